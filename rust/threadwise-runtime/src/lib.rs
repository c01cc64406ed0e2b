//! Threads and memory of threadwise: how many threads a call may use, the workers that run them, the
//! team that shares one call's work, in one go or in phases, and the scratch memory of each thread.
//!
//! Nothing here knows of kernels or Python, and of matrices only how they are cut. `unsafe` is used for
//! lifetimes across threads and for system calls; `mailbox` and `phases` write down the protocols that threads
//! follow.

pub mod budget;
mod cgroup;
mod checkpoint;
mod cpus;
mod interrupt;
mod mailbox;
mod mapped;
mod members;
mod momentum;
pub mod nodes;
mod owned;
pub mod pages;
mod phases;
pub mod pin;
mod placement;
mod presence;
mod ranges;
mod region;
mod scratch;
mod shared;
pub mod stats;
mod sync;
mod team;
pub mod topology;
mod workers;

pub use checkpoint::Checkpoint;
pub use cpus::{BadList, CpuSet};
pub use interrupt::{Interrupt, Interrupted};
pub use mapped::Mapped;
pub use momentum::worth_waking;
pub use owned::Owned;
pub use region::{Item, Program, Region};
pub use scratch::with_scratch;
pub use shared::{Cut, Shared};
pub use team::{
    Readiness, expect_forks, expect_workers, for_each, for_each_in, for_each_then, readiness,
};
