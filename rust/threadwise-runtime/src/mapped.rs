//! A file that is read where the system keeps it.

use std::fs::File;
use std::io;
use std::ops::Deref;

use memmap2::Mmap;

/// The bytes of a file, mapped for reading: they take no memory of this process that the system could not have
/// back, and all who map the file share them.
///
/// A file that somebody changes in place while it is mapped shows the change, and reading what was cut off ends the
/// process. Who writes files of weights replaces them, therefore.
#[derive(Debug)]
pub struct Mapped {
    memory: Option<Mmap>,
}

impl Mapped {
    /// Maps a whole file.
    ///
    /// # Errors
    ///
    /// If the system refuses.
    pub fn new(file: &File) -> io::Result<Self> {
        if file.metadata()?.len() == 0 {
            return Ok(Self { memory: None });
        }
        // SAFETY: nobody writes through the mapping; that nobody changes the file in place, the type's
        // documentation asks of whoever owns it, as every program that maps weights does.
        let memory = unsafe { Mmap::map(file) }?;
        Ok(Self { memory: Some(memory) })
    }
}

impl Deref for Mapped {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.memory.as_deref().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_file_as_long_as_that_is_open_or_not() {
        let path = std::env::temp_dir().join(format!("threadwise-mapped-{}", std::process::id()));
        std::fs::write(&path, b"weights").unwrap();
        let mapped = Mapped::new(&File::open(&path).unwrap()).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(&mapped[..], b"weights");
        std::fs::write(&path, b"").unwrap();
        let empty = Mapped::new(&File::open(&path).unwrap()).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert!(empty.is_empty(), "of an empty file");
    }
}
