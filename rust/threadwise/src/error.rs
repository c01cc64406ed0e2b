//! What can go wrong, as data; the sentences are made here and nowhere else.

use std::fmt;
use std::path::PathBuf;

use threadwise_kernels::UnknownIsa;
use threadwise_runtime::Interrupted;
use threadwise_runtime::budget::BadVariable;
use threadwise_runtime::nodes::NoCpus;

use crate::quant::model::Refusal;
use crate::store::{Quoted, StoreError};

/// Why an operation did nothing, or did not finish.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An operand has fewer or more axes than the operation takes.
    #[error("{name} has shape {shape}, expected {expected}")]
    Axes {
        /// The operand, as the caller calls it.
        name: &'static str,
        /// Its shape.
        shape: Shape,
        /// What it should have.
        expected: &'static str,
    },

    /// Two operands disagree about an extent they share.
    #[error("{} has {}, {} has {}: they must be equal", .0[0].name, .0[0], .0[1].name, .0[1])]
    Extents(Box<[Extent; 2]>),

    /// The axes before the last two do not broadcast.
    #[error(
        "the batch axes {left} of {left_name} and {right} of {right_name} do not broadcast: \
             aligned at their ends, extents must be equal or 1"
    )]
    Broadcast {
        /// The first operand.
        left_name: &'static str,
        /// Its batch axes.
        left: Shape,
        /// The second operand.
        right_name: &'static str,
        /// Its batch axes.
        right: Shape,
    },

    /// The place for the result has another shape than the result.
    #[error("out has shape {actual}, expected {expected}")]
    Out {
        /// The shape of what was passed.
        actual: Shape,
        /// The shape of the result.
        expected: Shape,
    },

    /// A part of something has another shape than belongs to it.
    #[error("{name} has shape {actual}, expected {expected}")]
    Part {
        /// The part, as the caller calls it.
        name: &'static str,
        /// Its shape.
        actual: Shape,
        /// What belongs there.
        expected: Shape,
    },

    /// An array has an element that is infinite or no number.
    #[error("{name}[{}] is {actual}, expected finite numbers", .index.listed())]
    NotFinite {
        /// The array, as the caller calls it.
        name: &'static str,
        /// Where the first such element is.
        index: Shape,
        /// What it is.
        actual: f64,
    },

    /// A number lies outside of what makes sense.
    #[error("{name} is {actual:?}, expected {expected}")]
    Domain {
        /// The argument, as the caller calls it.
        name: &'static str,
        /// Its value.
        actual: f64,
        /// What it should be.
        expected: &'static str,
    },

    /// A whole number makes no sense.
    #[error("{name} is {actual}, expected {expected}")]
    Count {
        /// The argument, as the caller calls it.
        name: &'static str,
        /// Its value.
        actual: usize,
        /// What it should be.
        expected: String,
    },

    /// The result would have more elements than memory has addresses.
    #[error("the result would have shape {0}, which is more than memory can hold")]
    TooLarge(Shape),

    /// There is no memory for the scratch space of the operation.
    #[error("no memory left for the packed operands: {0}")]
    Memory(#[from] std::io::Error),

    /// An environment variable names no instruction set.
    #[error(transparent)]
    Isa(#[from] UnknownIsa),

    /// An environment variable holds no number of threads.
    #[error(transparent)]
    Threads(#[from] BadVariable),

    /// A hint names a memory node that this process has no CPU on.
    #[error(transparent)]
    Node(#[from] NoCpus),

    /// A file of weights is not what it should be, or cannot be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),

    /// Something is wrong with a tensor of a file.
    #[error("{}: tensor {}: {error}", .file.display(), Quoted(.name))]
    Tensor {
        /// The file.
        file: PathBuf,
        /// The tensor.
        name: String,
        /// What is wrong.
        error: Box<Error>,
    },

    /// A quantized weight is too far from what it was.
    #[error("{0}")]
    Cosine(Refusal),

    /// Ranks that share a layer have no sum of what each computed.
    #[error("the sum over ranks failed: {0}")]
    Sum(String),

    /// The caller asked to stop; the result is incomplete.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),

    /// Ranks that work together cannot, any more.
    #[error(transparent)]
    Ranks(#[from] RankError),
}

/// Why a rank hears no more from the others.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RankError {
    /// Somebody ended it for all.
    #[error("stopped, because another rank or stage has failed")]
    Stopped,

    /// Each waits for another.
    #[error("no rank can go on: {0}")]
    Stuck(String),

    /// Ranks call different things, where all must call the same.
    #[error("rank 0 calls {first}, rank {rank} calls {other}: they must be alike")]
    Unlike {
        /// What rank 0 calls.
        first: String,
        /// The first rank that differs.
        rank: usize,
        /// What that calls.
        other: String,
    },

    /// A message does not fit its place.
    #[error(
        "the message of rank {sender} with tag {tag} has {sent}, buf has {buffer}: they must be equal"
    )]
    Message {
        /// Who sent it.
        sender: usize,
        /// Its tag.
        tag: u32,
        /// How many of what it has.
        sent: String,
        /// How many of what there is room for.
        buffer: String,
    },
}

impl Error {
    /// What is wrong, wherever it is.
    #[must_use]
    pub fn innermost(&self) -> &Self {
        if let Self::Tensor { error, .. } = self { error.innermost() } else { self }
    }
}

/// An extent of an operand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extent {
    /// The operand, as the caller calls it.
    pub name: &'static str,
    /// Its length along the axis in question.
    pub length: usize,
    /// What is counted along that axis.
    pub unit: &'static str,
    /// The whole shape.
    pub shape: Shape,
}

impl fmt::Display for Extent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} (shape {})", self.length, self.unit, self.shape)
    }
}

/// A shape, written as Python writes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape(pub Vec<usize>);

impl From<&[usize]> for Shape {
    fn from(shape: &[usize]) -> Self {
        Self(shape.to_vec())
    }
}

impl Shape {
    /// The numbers with commas between.
    fn listed(&self) -> String {
        let words: Vec<String> = self.0.iter().map(usize::to_string).collect();
        words.join(", ")
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_slice() {
            [only] => write!(f, "({only},)"),
            _ => write!(f, "({})", self.listed()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_are_written_as_in_python() {
        let written = |shape: &[usize]| Shape::from(shape).to_string();
        assert_eq!([written(&[]), written(&[3]), written(&[2, 0])], ["()", "(3,)", "(2, 0)"]);
    }
}
