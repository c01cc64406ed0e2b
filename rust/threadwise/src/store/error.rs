//! What can be wrong with files of weights. Each sentence names the file, and the tensor if it is one's.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// Why a file could not be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The file is not what it should be.
    #[error("{}: {flaw}", .file.display())]
    Format {
        /// Which file.
        file: PathBuf,
        /// What is wrong with it.
        flaw: Flaw,
    },

    /// The system refused something.
    #[error("{}: {}cannot {action}: {source}", .file.display(), OfTensor(.tensor.as_deref()))]
    Io {
        /// Which file.
        file: PathBuf,
        /// What was being read or written, if that is a tensor.
        tensor: Option<String>,
        /// What was tried, as a verb.
        action: &'static str,
        /// What the system says.
        #[source]
        source: io::Error,
    },
}

struct OfTensor<'a>(Option<&'a str>);

impl fmt::Display for OfTensor<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(name) => write!(f, "tensor {}: ", Quoted(name)),
            None => Ok(()),
        }
    }
}

impl StoreError {
    /// For `map_err`: the system refused to do something with a file.
    pub(crate) fn io(file: &Path, action: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { file: file.to_owned(), tensor: None, action, source }
    }

    /// For `map_err`: the same with a tensor of the file.
    pub(crate) fn io_of(
        file: &Path,
        tensor: &str,
        action: &'static str,
    ) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io {
            file: file.to_owned(),
            tensor: Some(tensor.to_owned()),
            action,
            source,
        }
    }

    /// For `map_err`: the file has this flaw.
    pub(crate) fn format(file: &Path) -> impl FnOnce(Flaw) -> Self {
        move |flaw| Self::Format { file: file.to_owned(), flaw }
    }
}

/// What is wrong with a file. Names that come from the file are cut if they are long.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Flaw {
    /// Shorter than the length of its own header.
    #[error("the file has {0} bytes, expected at least 8, the length of its header")]
    NoLength(u64),
    /// A header of which nobody reads more.
    #[error("the header has {0} bytes, expected at most {most}", most = super::header::LONGEST)]
    LongHeader(u64),
    /// The header goes on beyond the end of the file.
    #[error("the header has {header} bytes, but the file ends after {left} of them")]
    CutHeader {
        /// Its length, as the file says.
        header: u64,
        /// What there is.
        left: u64,
    },
    /// The header is not JSON, or not an object with what must be in it.
    #[error("the header is not the JSON of safetensors: {0}")]
    Json(String),
    /// A name twice.
    #[error("tensor {} is in the header twice", Quoted(.0))]
    Twice(String),
    /// Metadata twice.
    #[error("the metadata are in the header twice")]
    MetadataTwice,
    /// A number type that nobody knows.
    #[error("tensor {} has dtype {}, which is none of safetensors'", Quoted(.name), Quoted(.dtype))]
    Dtype {
        /// The tensor.
        name: String,
        /// What it says.
        dtype: String,
    },
    /// More axes than anything has.
    #[error("tensor {} has more than {most} axes", Quoted(.0), most = super::header::MOST_AXES)]
    Axes(String),
    /// A part of a tensor's entry is missing or is something else.
    #[error("tensor {}: {problem}", Quoted(.name))]
    Entry {
        /// The tensor.
        name: String,
        /// What is wrong.
        problem: String,
    },
    /// The end is before the beginning.
    #[error("tensor {} ends at {end}, before it begins at {begin}", Quoted(.name))]
    Backwards {
        /// The tensor.
        name: String,
        /// Where it begins.
        begin: u64,
        /// Where it ends.
        end: u64,
    },
    /// Bytes do not fit the dtype and the shape.
    #[error(
        "tensor {} has {bytes} bytes, expected {} for {dtype} of shape {shape}",
        Quoted(.name),
        expected.map_or_else(|| "no more than fit in any file, in whole bytes,".to_owned(), |n| n.to_string()),
    )]
    Size {
        /// The tensor.
        name: String,
        /// What the offsets say.
        bytes: u64,
        /// What dtype and shape say, if that makes sense.
        expected: Option<u64>,
        /// The dtype.
        dtype: &'static str,
        /// The shape.
        shape: crate::error::Shape,
    },
    /// Two tensors share bytes.
    #[error("tensors {} and {} overlap", Quoted(.first), Quoted(.second))]
    Overlap {
        /// The one that begins first.
        first: String,
        /// The other.
        second: String,
    },
    /// Bytes that are no tensor's.
    #[error("{bytes} bytes before tensor {} belong to none", Quoted(.before))]
    Hole {
        /// How many.
        bytes: u64,
        /// The tensor after them.
        before: String,
    },
    /// The last tensor goes on beyond the end of the file.
    #[error("the file ends {missing} bytes too early: tensor {} is cut", Quoted(.name))]
    Cut {
        /// The first tensor that is not whole.
        name: String,
        /// What is missing at the end.
        missing: u64,
    },
    /// There is more than the tensors.
    #[error("{0} bytes after the last tensor belong to none")]
    Excess(u64),
    /// Anything else, in words.
    #[error("{0}")]
    Problem(String),
    /// An index names a tensor that its file does not have.
    #[error("tensor {} is not in {file}, where the index says it is", Quoted(.name))]
    Missing {
        /// The tensor.
        name: String,
        /// The file.
        file: String,
    },
    /// Nothing to read.
    #[error("there is no model.safetensors, no index and no other file of safetensors in it")]
    NoWeights,
}

/// A name in quotation marks, cut where it is too long for a sentence, with nothing in it that would
/// disturb a terminal.
pub(crate) struct Quoted<'a>(pub(crate) &'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MOST: usize = 200;
        let mut letters = self.0.chars();
        let shown: String = letters.by_ref().take(MOST).flat_map(char::escape_debug).collect();
        let rest = if letters.next().is_some() { "..." } else { "" };
        write!(f, "'{shown}{rest}'")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_name_file_and_tensor() {
        let error = StoreError::io_of(Path::new("a/b.safetensors"), "w", "be read")(
            io::ErrorKind::UnexpectedEof.into(),
        );
        assert_eq!(
            error.to_string(),
            "a/b.safetensors: tensor 'w': cannot be read: unexpected end of file",
            "with a tensor"
        );
        let error = StoreError::format(Path::new("x"))(Flaw::Twice("y\n".repeat(150)));
        let sentence = error.to_string();
        assert!(sentence.starts_with("x: tensor 'y\\ny") && sentence.len() < 400, "{sentence}");
        assert!(sentence.contains("...' is in the header twice"), "{sentence}");
    }
}
