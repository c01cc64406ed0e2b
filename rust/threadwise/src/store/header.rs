//! The header of a safetensors file: eight bytes of length, then JSON, then the data without holes.
//!
//! What is read may be anything: it is bounded in length before it is read, every number is checked
//! before it is used, and what is kept is at most a few times as large as the text. Beyond the format's
//! own rules, a name that comes twice is refused, as the format's description demands.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::dtype::Dtype;
use super::error::Flaw;
use super::json;
use crate::error::Shape;

/// Bytes of the longest header that anybody reads: the format's own limit.
pub const LONGEST: u64 = 100_000_000;

/// Axes of a tensor: NumPy's limit, and far beyond what models have.
pub const MOST_AXES: usize = 64;

/// Data begin at a multiple of this, so that a mapped file has them at cache lines.
const ALIGNMENT: usize = 64;

/// The length of the length.
pub(super) const PREFIX: u64 = 8;

/// One tensor of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tensor {
    /// Its name, which no other tensor of the file has.
    pub name: String,
    /// What its elements are.
    pub dtype: Dtype,
    /// Its extents, the last one contiguous.
    pub shape: Vec<usize>,
    /// Where it begins, from the beginning of the data.
    pub begin: u64,
    /// Where it ends.
    pub end: u64,
}

impl Tensor {
    /// What it takes in the file.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.end - self.begin
    }
}

/// What a header says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// The texts that are kept with the tensors.
    pub metadata: BTreeMap<String, String>,
    /// In the order in which they lie in the file, one beginning where another ends.
    pub tensors: Vec<Tensor>,
}

/// The length of the header, of which `prefix` is the beginning of a file of `file` bytes.
///
/// # Errors
///
/// If it is longer than allowed, or than the file.
pub(super) fn length(prefix: [u8; 8], file: u64) -> Result<u64, Flaw> {
    let header = u64::from_le_bytes(prefix);
    let left = file.saturating_sub(PREFIX);
    match header {
        _ if header > LONGEST => Err(Flaw::LongHeader(header)),
        _ if header > left => Err(Flaw::CutHeader { header, left }),
        _ => Ok(header),
    }
}

impl Header {
    /// Reads the JSON of a header, which `data` bytes of data follow.
    ///
    /// # Errors
    ///
    /// If it is not what a header must be, or does not fit the data.
    pub fn parse(text: &[u8], data: u64) -> Result<Self, Flaw> {
        let mut header = json::header(text)?;
        header.tensors.sort_by_key(|tensor| (tensor.begin, tensor.end));
        let mut before: Option<&Tensor> = None;
        for tensor in &header.tensors {
            let name = || tensor.name.clone();
            let Tensor { begin, end, .. } = *tensor;
            if end < begin {
                return Err(Flaw::Backwards { name: name(), begin, end });
            }
            let expected = tensor.dtype.bytes(&tensor.shape);
            if expected != Some(end - begin) {
                let (dtype, shape) = (tensor.dtype.name(), Shape(tensor.shape.clone()));
                return Err(Flaw::Size {
                    name: name(),
                    bytes: end - begin,
                    expected,
                    dtype,
                    shape,
                });
            }
            let reached = before.map_or(0, |before| before.end);
            match before {
                Some(before) if begin < reached => {
                    return Err(Flaw::Overlap { first: before.name.clone(), second: name() });
                }
                _ if begin > reached => {
                    return Err(Flaw::Hole { bytes: begin - reached, before: name() });
                }
                _ => before = Some(tensor),
            }
        }
        let end = before.map_or(0, |last| last.end);
        if end < data {
            return Err(Flaw::Excess(data - end));
        }
        match header.tensors.iter().find(|tensor| tensor.end > data) {
            Some(cut) => Err(Flaw::Cut { name: cut.name.clone(), missing: end - data }),
            None => Ok(header),
        }
    }

    /// The bytes of length and JSON together, with spaces until they are `room`.
    ///
    /// # Panics
    ///
    /// If they are more; [`Header::room`] has room for them.
    #[must_use]
    pub fn bytes(&self, room: usize) -> Vec<u8> {
        let text = self.text(|offset| offset);
        let padded = room - 8;
        assert!(text.len() <= padded, "a header of {} bytes in {padded}", text.len());
        let mut bytes = Vec::with_capacity(room);
        bytes.extend_from_slice(&(padded as u64).to_le_bytes());
        bytes.extend_from_slice(text.as_bytes());
        bytes.resize(room, b' ');
        bytes
    }

    /// Bytes of length and JSON together in which any offsets up to the largest of this header have room.
    /// A multiple of 64.
    #[must_use]
    pub fn room(&self) -> usize {
        let most = self.tensors.iter().map(|tensor| tensor.end).max().unwrap_or(0);
        (8 + self.text(|_| most).len()).next_multiple_of(ALIGNMENT)
    }

    fn text(&self, offset: impl Fn(u64) -> u64) -> String {
        let quoted = |text: &str| serde_json::Value::from(text).to_string();
        let mut all = String::from("{");
        if !self.metadata.is_empty() {
            let metadata: Vec<String> =
                self.metadata.iter().map(|(k, v)| format!("{}:{}", quoted(k), quoted(v))).collect();
            let _ = write!(all, "\"__metadata__\":{{{}}}", metadata.join(","));
        }
        for tensor in &self.tensors {
            let shape: Vec<String> = tensor.shape.iter().map(usize::to_string).collect();
            let _ = write!(
                all,
                "{}{}:{{\"dtype\":\"{}\",\"shape\":[{}],\"data_offsets\":[{},{}]}}",
                if all.len() > 1 { "," } else { "" },
                quoted(&tensor.name),
                tensor.dtype,
                shape.join(","),
                offset(tensor.begin),
                offset(tensor.end),
            );
        }
        all.push('}');
        all
    }
}

#[cfg(test)]
mod tests;
