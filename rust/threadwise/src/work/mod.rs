//! What a caller may say about how work is shared, and what was counted while it was.
//!
//! None of it changes a bit of a result.

mod distribution;

pub use distribution::{Ranges, WorkDistribution};
pub use threadwise_runtime::nodes::{Hint, NoCpus, Policy, places};
pub use threadwise_runtime::{pin, stats};
