//! What a job tells its caller: while it runs, and at the end.

use std::fmt;

use super::super::{Bits, ErrorSums, Scheme};
use crate::store::Tensor;

/// Something that happened.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// The tensor that is finished; none at the beginning.
    pub name: Option<String>,
    /// How many are finished.
    pub index: usize,
    /// How many there are.
    pub count: usize,
    /// Bytes of the tensors that are finished, as they were.
    pub bytes: u64,
    /// Bytes of all.
    pub of: u64,
    /// Since the beginning.
    pub seconds: f64,
    /// Anonymous memory of the process that is expected at most, in bytes.
    pub memory: u64,
}

/// A tensor that is not as good as the caller demands.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Refusal {
    pub(super) bits: Bits,
    pub(super) cosine: f64,
    pub(super) least: f64,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { bits, cosine, least } = self;
        let bits = bits.get();
        write!(f, "the cosine with {bits} bits is {cosine:.6}, expected at least {least}")
    }
}

/// What became of a tensor.
#[derive(Clone, Debug, PartialEq)]
pub struct TensorReport {
    /// As it was.
    pub tensor: Tensor,
    /// How it should have been quantized; none if it stayed as it was.
    pub wanted: Option<Scheme>,
    /// How it was.
    pub scheme: Option<Scheme>,
    /// Whether scales are float32, which float16 could not hold.
    pub has_single_scales: bool,
    /// What was lost.
    pub sums: Option<ErrorSums>,
    /// Bits that were not enough, and the cosine that they reached.
    pub tries: Vec<(usize, f64)>,
    /// Bytes of all of its parts.
    pub bytes: u64,
    /// How long threads quantized it, summed, without reading and writing.
    pub seconds: f64,
}

/// What became of a model.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// In the order in which they lie.
    pub tensors: Vec<TensorReport>,
    /// Tensors that an earlier run had finished.
    pub resumed: usize,
    /// Quantizing threads.
    pub threads: usize,
    /// Anonymous memory of the process that was expected at most, in bytes, and what there was.
    pub memory: [Option<u64>; 2],
    /// Bytes of all files with weights, before and after, their headers included.
    pub bytes: [u64; 2],
    /// What the directory's configuration calls the format.
    pub format: &'static str,
    /// Of this run.
    pub seconds: f64,
}
