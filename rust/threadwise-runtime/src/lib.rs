//! Threads and memory of threadwise: how many threads a call may use, the workers that run them, the
//! team that shares one call's work, and the scratch memory of each thread.
//!
//! Nothing here knows of matrices, kernels or Python. `unsafe` is used for lifetimes across threads
//! and for system calls; `mailbox` writes down the protocol that threads follow.

pub mod budget;
mod cgroup;
mod cpus;
mod interrupt;
mod mailbox;
mod members;
mod momentum;
pub mod nodes;
mod owned;
pub mod pages;
pub mod pin;
mod placement;
mod presence;
mod ranges;
mod scratch;
pub mod stats;
mod sync;
mod team;
pub mod topology;
mod workers;

pub use cpus::{BadList, CpuSet};
pub use interrupt::{Interrupt, Interrupted};
pub use momentum::worth_waking;
pub use owned::Owned;
pub use scratch::with_scratch;
pub use team::{
    Checkpoint, Readiness, expect_forks, expect_workers, for_each, for_each_in, readiness,
};
