//! Layers and pipelines that ranks share.
//!
//! `split` says what of an extent is whose, `heads` what of attention. `communicator` is what ranks can say to one
//! another; `thread_comm` is the one whose ranks are threads, which meet in a `group` and wait in a `family`.
//! `layers` and `attention` are computed by all ranks together, `pipeline` is stages one behind the other.
//!
//! Sums over ranks are added in the order of ranks, whoever comes first: results depend on the number of ranks
//! by rounding, and from run to run not at all.
//!
//! ```
//! use threadwise::shard::{Communicator, ThreadComm};
//!
//! let sums = ThreadComm::run(3, |comm| {
//!     let mut x = [comm.rank() as f32, 1.0];
//!     comm.all_reduce_in_place(&mut x)?;
//!     Ok::<_, threadwise::Error>(x)
//! })?;
//! assert_eq!(sums, [[3.0, 3.0]; 3]);
//! # Ok::<(), threadwise::Error>(())
//! ```

mod attention;
mod communicator;
mod family;
mod group;
mod heads;
mod layers;
pub mod pipeline;
mod split;
#[cfg(test)]
mod tests;
mod thread_comm;

pub use attention::{AttentionShard, Head, attention_parallel};
pub use communicator::{Communicator, Datum, SelfComm, Term};
pub use heads::{HeadPlan, Segment};
pub use layers::{
    MlpShard, all_reduce_sum, all_reduce_sum_inplace, column_parallel_linear, mlp_tensor_parallel,
    row_parallel_linear,
};
pub use split::{MOST_RANKS, TensorParallelConfig, TensorParallelStrategy};
pub use thread_comm::ThreadComm;
