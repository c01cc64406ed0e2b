//! How work is shared: what a caller may say about it, what this machine makes of it, and what was counted
//! while it was.
//!
//! None of it changes a bit of a result.

pub mod calibration;
mod distribution;
mod machine;
mod measure;

pub use distribution::{Ranges, WorkDistribution};
pub use machine::{Choice, Kind, Load, Machine};
pub use measure::measure;
pub use threadwise_runtime::nodes::{Hint, NoCpus, Policy, places};
pub use threadwise_runtime::{pin, stats};
