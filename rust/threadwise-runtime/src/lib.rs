//! Threads and memory of threadwise: how many threads a call may use, the workers that run them, the
//! team that shares one call's work, and the scratch memory of each thread.
//!
//! Nothing here knows of matrices, kernels or Python. `unsafe` is used for lifetimes across threads
//! and for two system calls; `team` writes its protocol down.

pub mod budget;
mod cgroup;
mod interrupt;
mod owned;
mod placement;
mod pool;
mod scratch;
mod team;
pub mod topology;

pub use interrupt::{Interrupt, Interrupted};
pub use owned::Owned;
pub use scratch::with_scratch;
pub use team::{Checkpoint, for_each};
