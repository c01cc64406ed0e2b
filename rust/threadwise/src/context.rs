//! What an operation needs to know besides its operands.

use std::fmt;

use threadwise_kernels::Isa;
use threadwise_runtime::{Interrupt, budget};

use crate::Error;

/// The instruction set, the number of threads and the way to be stopped.
pub struct Context<'a> {
    /// What kernels run on.
    pub isa: Isa,
    /// How many threads may take part, the caller among them: at least 1.
    pub threads: usize,
    /// Asked between pieces of work.
    pub interrupt: Interrupt<'a>,
}

impl fmt::Debug for Context<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context").field("isa", &self.isa).field("threads", &self.threads).finish()
    }
}

impl Context<'static> {
    /// The widest instruction set allowed, the calling thread's budget, and no interruption.
    ///
    /// # Errors
    ///
    /// If an environment variable of threadwise has a value that makes no sense.
    pub fn new() -> Result<Self, Error> {
        let (threads, _) = budget::threads()?;
        Ok(Self { isa: Isa::current()?, threads, interrupt: Interrupt::never() })
    }
}
