//! A directory that is whole or absent.
//!
//! What becomes the directory `DST` is written into `.DST.threadwise-partial/model` beside it, and gets its
//! name when it is complete and on the disk. `.DST.threadwise-partial/journal.jsonl` is who works at it:
//! one process at a time, which holds a lock on that file, and a later one that goes on where this one
//! was stopped. An old `DST` stays as it is until the new one takes its name, in one step where the
//! system can exchange names.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use threadwise_runtime::pages;

use super::error::{Flaw, StoreError};

/// The place of a directory in the making, which is this process's alone.
#[derive(Debug)]
pub(crate) struct Staging {
    target: PathBuf,
    partial: PathBuf,
    journal: File,
}

impl Staging {
    /// Takes the place of what will be `target`, or takes it up where another process left it.
    ///
    /// # Errors
    ///
    /// If another process has it, or the system refuses.
    pub(crate) fn take(target: &Path) -> Result<Self, StoreError> {
        let Some(name) = target.file_name() else {
            let problem = "it has no name, expected that of a new directory".to_owned();
            return Err(StoreError::format(target)(Flaw::Problem(problem)));
        };
        let partial = format!(".{}.threadwise-partial", name.to_string_lossy());
        let partial = target.with_file_name(partial);
        fs::create_dir_all(&partial).map_err(StoreError::io(&partial, "be made"))?;
        let path = partial.join("journal.jsonl");
        let mut options = File::options();
        let opened = options.read(true).append(true).create(true).open(&path);
        let journal = opened.map_err(StoreError::io(&path, "be opened"))?;
        match journal.try_lock() {
            Ok(()) => Ok(Self { target: target.to_owned(), partial, journal }),
            Err(TryLockError::WouldBlock) => {
                let busy = io::Error::other("another process is at work on it");
                Err(StoreError::io(target, "be written")(busy))
            }
            Err(TryLockError::Error(error)) => Err(StoreError::io(&path, "be locked")(error)),
        }
    }

    /// The journal, to which everything is appended.
    pub(crate) const fn journal(&self) -> &File {
        &self.journal
    }

    /// Where the journal is.
    pub(crate) fn journal_path(&self) -> PathBuf {
        self.partial.join("journal.jsonl")
    }

    /// Where the directory is made.
    pub(crate) fn folder(&self) -> PathBuf {
        self.partial.join("model")
    }

    /// What it will be called.
    pub(crate) fn target(&self) -> &Path {
        &self.target
    }

    /// Forgets what was made until now, and makes an empty directory.
    pub(crate) fn clear(&self) -> Result<(), StoreError> {
        let (folder, path) = (self.folder(), self.journal_path());
        self.journal.set_len(0).map_err(StoreError::io(&path, "be emptied"))?;
        remove(&folder)?;
        fs::create_dir_all(&folder).map_err(StoreError::io(&folder, "be made"))
    }

    /// Gives the directory, which is on the disk, its name, in place of one that has it if that may be.
    pub(crate) fn publish(&self, overwrite: bool) -> Result<(), StoreError> {
        let (folder, target) = (self.folder(), &self.target);
        if !exists(target) {
            fs::rename(&folder, target).map_err(StoreError::io(target, "be written"))?;
        } else if !overwrite {
            return Err(in_the_way(target));
        } else if pages::exchange(&folder, target).is_err() {
            let old = self.partial.join("old");
            remove(&old)?;
            fs::rename(target, &old).map_err(StoreError::io(target, "be replaced"))?;
            if let Err(error) = fs::rename(&folder, target) {
                let _ = fs::rename(&old, target);
                return Err(StoreError::io(target, "be written")(error));
            }
        }
        let parent = match target.parent() {
            Some(parent) if parent != Path::new("") => parent,
            _ => Path::new("."),
        };
        sync_folder(parent)
    }

    /// Removes what is left when the directory has its name, or nobody wants it any more.
    pub(crate) fn remove(self) -> Result<(), StoreError> {
        remove(&self.folder())?;
        remove(&self.partial)
    }
}

/// Whether there is anything of this name, also a link that leads nowhere.
pub(crate) fn exists(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

/// The complaint about a target that exists.
pub(crate) fn in_the_way(target: &Path) -> StoreError {
    let problem = "it exists already, expected a new directory, or overwrite".to_owned();
    StoreError::format(target)(Flaw::Problem(problem))
}

/// Puts the names in a directory on the disk.
pub(crate) fn sync_folder(folder: &Path) -> Result<(), StoreError> {
    // Elsewhere directories cannot be opened, and need not be.
    #[cfg(unix)]
    File::open(folder)
        .and_then(|open| open.sync_all())
        .map_err(StoreError::io(folder, "be put on the disk"))?;
    let _ = folder;
    Ok(())
}

fn remove(path: &Path) -> Result<(), StoreError> {
    let removed = match path.symlink_metadata() {
        Ok(about) if about.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(StoreError::io(path, "be removed")(error))
        }
        _ => Ok(()),
    }
}
