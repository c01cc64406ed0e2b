//! One file of weights, open for reading.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::at::read_at;
use super::error::StoreError;
use super::header::{self, Header, PREFIX, Tensor};

/// A safetensors file whose header was read and fits the file. Data are read when they are asked for.
#[derive(Debug)]
pub struct Weights {
    path: PathBuf,
    file: File,
    header: Header,
    data: u64,
}

impl Weights {
    /// Opens a file and reads its header.
    ///
    /// # Errors
    ///
    /// If the system refuses, or the file is not what it should be.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        // Before it is opened, which would wait for ever for who writes to a pipe.
        let about = path.metadata().map_err(StoreError::io(path, "be opened"))?;
        if !about.is_file() {
            let not_a_file = std::io::Error::other("it is not a file");
            return Err(StoreError::io(path, "be opened")(not_a_file));
        }
        let file = File::open(path).map_err(StoreError::io(path, "be opened"))?;
        let bytes = file.metadata().map_err(StoreError::io(path, "be opened"))?.len();
        if bytes < PREFIX {
            return Err(StoreError::format(path)(super::Flaw::NoLength(bytes)));
        }
        let mut prefix = [0; 8];
        (&file).read_exact(&mut prefix).map_err(StoreError::io(path, "be read"))?;
        let length = header::length(prefix, bytes).map_err(StoreError::format(path))?;
        // At most 100 MB, and no more than the file has.
        let mut text = vec![0; usize::try_from(length).unwrap_or(usize::MAX)];
        (&file).read_exact(&mut text).map_err(StoreError::io(path, "be read"))?;
        let data = PREFIX + length;
        let header = Header::parse(&text, bytes - data).map_err(StoreError::format(path))?;
        Ok(Self { path: path.to_owned(), file, header, data })
    }

    /// Where the file is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The open file.
    #[must_use]
    pub const fn file(&self) -> &File {
        &self.file
    }

    /// What is in it.
    #[must_use]
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// Where the data begin in the file.
    #[must_use]
    pub const fn data(&self) -> u64 {
        self.data
    }

    /// Fills `bytes` with those of a tensor of this file, from the one numbered `skip` on.
    ///
    /// # Errors
    ///
    /// If the system refuses; also if the file has become shorter meanwhile.
    pub fn read(&self, tensor: &Tensor, skip: u64, bytes: &mut [u8]) -> Result<(), StoreError> {
        let at = self.data + tensor.begin + skip;
        read_at(&self.file, bytes, at).map_err(StoreError::io_of(
            &self.path,
            &tensor.name,
            "be read",
        ))
    }
}
