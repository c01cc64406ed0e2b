//! Models in files: a directory of weights becomes one of quantized weights, whatever its size, with as
//! little memory as the caller allows, and without loss whatever happens meanwhile.
//!
//! `plan` knows from headers alone what is to be done, `layout` where everything will lie; `run` has the
//! threads, `course` says who does which `block`, and `journal` what is finished. `finish` makes a whole
//! directory of it, with what `config` says of it. The result has the same bits for every number of threads,
//! streaming or not, and after any number of interruptions.

mod block;
mod config;
mod course;
mod finish;
mod job;
mod journal;
mod layout;
mod memory;
mod output;
mod plan;
mod report;
mod run;

pub use config::{NONE, OWN, SHARED};
pub use job::{Job, Resume, quantize_model};
pub use memory::anonymous;
pub use report::{Event, Refusal, Report, TensorReport};

#[cfg(test)]
mod tests;
