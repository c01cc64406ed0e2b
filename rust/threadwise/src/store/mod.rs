//! Weights in files: safetensors, the directories of models that Hugging Face lays out, and results that
//! are whole or absent.
//!
//! Files come from anywhere: a header is bounded in length before it is read and checked before it is
//! believed ([`Header::parse`]), and what is wrong is one sentence that names file and tensor
//! ([`StoreError`]). Data are read and written at offsets, block by block, never as a whole.

mod at;
mod checkpoint;
mod dtype;
mod error;
mod header;
mod json;
pub(crate) mod staging;
mod weights;

pub(crate) use at::{read_at, write_at};
pub(crate) use checkpoint::small_file;
pub use checkpoint::{Checkpoint, INDEX, SINGLE};
pub use dtype::Dtype;
pub(crate) use error::Quoted;
pub use error::{Flaw, StoreError};
pub use header::{Header, LONGEST, MOST_AXES, Tensor};
pub use weights::Weights;
