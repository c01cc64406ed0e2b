//! The engine of threadwise: shapes, threads and models, without Python.
//!
//! An operation takes array views, a place for its result and a [`Context`]; it checks shapes,
//! chooses a plan, and runs kernels of `threadwise_kernels` on the threads of `threadwise_runtime`.
//! Results have the same bits for every number of threads.
//!
//! ```
//! use ndarray::array;
//! use threadwise::{Context, linalg};
//!
//! let (a, b) = (array![[1.0, 2.0], [3.0, 4.0]].into_dyn(), array![1.0, 10.0].into_dyn());
//! let mut c = linalg::zeros(&linalg::matmul_shape(a.shape(), b.shape())?);
//! linalg::matmul(a.view(), b.view(), c.view_mut(), &Context::new()?)?;
//! assert_eq!(c, array![21.0, 43.0].into_dyn());
//! # Ok::<(), threadwise::Error>(())
//! ```
#![forbid(unsafe_code)]

pub mod causal;
pub mod columns;
mod context;
mod error;
pub mod linalg;
pub mod nn;
pub mod phased;
pub mod quant;
pub mod shard;
pub mod store;
pub mod train;
pub mod work;

pub use context::Context;
pub use error::{Error, RankError};
pub use threadwise_kernels::attention::Stored;
pub use threadwise_kernels::quant::dots;
pub use threadwise_kernels::{Activation, Isa, narrow};
pub use threadwise_runtime::{Interrupt, budget, expect_forks, topology};
