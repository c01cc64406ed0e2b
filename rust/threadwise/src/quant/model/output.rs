//! The files that are written, open at once, and what the system is told of their pages.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use threadwise_runtime::pages;

use super::memory;
use super::plan::{Plan, Task, shape_bytes};
use crate::Error;
use crate::store::{StoreError, Weights, read_at, write_at};

/// The files of a plan.
#[derive(Debug)]
pub(super) struct Output {
    files: Vec<(PathBuf, File, u64)>,
    /// Whether the system should forget what was read and written: a large model would drive the pages of
    /// all other programs out of memory, a small one had better stay for who reads it next.
    forgets: bool,
}

impl Output {
    /// Opens the files in a directory, which are there or are made, and writes the shapes.
    pub(super) fn open(folder: &Path, plan: &Plan) -> Result<Self, Error> {
        let forgets = memory::available().is_some_and(|available| plan.bytes > available / 4);
        let mut files = Vec::with_capacity(plan.shards.len());
        for (number, shard) in plan.shards.iter().enumerate() {
            let path = folder.join(&shard.name);
            let mut options = File::options();
            let opened = options.read(true).write(true).create(true).truncate(false).open(&path);
            let file = opened.map_err(StoreError::io(&path, "be opened"))?;
            let shapes: Vec<u8> = plan
                .tasks
                .iter()
                .filter(|task| task.shard == number)
                .filter(|task| task.scheme.is_some())
                .flat_map(|task| task.tensor.shape.iter().flat_map(|&n| (n as u64).to_le_bytes()))
                .collect();
            let room = shard.room as u64;
            write_at(&file, &shapes, room).map_err(StoreError::io(&path, "be written"))?;
            files.push((path, file, room));
        }
        Ok(Self { files, forgets })
    }

    /// Writes bytes at a place of a file, from the beginning of its data.
    pub(super) fn write(&self, shard: usize, begin: u64, bytes: &[u8]) -> io::Result<()> {
        let (_, file, room) = &self.files[shard];
        let at = room + begin;
        write_at(file, bytes, at)?;
        pages::write_behind(file, at, bytes.len() as u64);
        if self.forgets {
            // What is on the disk by now; that is not what was just written.
            const BEHIND: u64 = 128 << 20;
            const PAGE: u64 = 4096;
            let begin = at.saturating_sub(BEHIND) / PAGE * PAGE;
            pages::forget(file, begin, bytes.len() as u64 + 2 * PAGE);
        }
        Ok(())
    }

    /// Reads what was written there.
    pub(super) fn read(&self, shard: usize, begin: u64, bytes: &mut [u8]) -> io::Result<()> {
        let (_, file, room) = &self.files[shard];
        read_at(file, bytes, room + begin)
    }

    /// Notes that bytes of a file's data were read, and are not needed again; and that those after them
    /// soon will be, a few times as many.
    pub(super) fn was_read(&self, weights: &Weights, begin: u64, bytes: u64) {
        // While these are quantized the disk would have nothing to do.
        const AHEAD: u64 = 3;
        pages::expect(weights.file(), weights.data() + begin + bytes, AHEAD * bytes);
        if self.forgets {
            pages::forget(weights.file(), weights.data() + begin, bytes);
        }
    }

    /// The error for a tensor of a file that could not be written.
    pub(super) fn complaint(&self, shard: usize, tensor: &str, error: io::Error) -> Error {
        StoreError::io_of(&self.files[shard].0, tensor, "be written")(error).into()
    }

    /// Writes the beginning of a file, and has it end where its data do.
    pub(super) fn complete(&self, shard: usize, header: &[u8], data: u64) -> Result<(), Error> {
        let (path, file, room) = &self.files[shard];
        write_at(file, header, 0)
            .and_then(|()| file.set_len(room + data))
            .map_err(StoreError::io(path, "be written"))?;
        Ok(())
    }

    /// The files, and where they are.
    pub(super) fn into_files(self) -> impl Iterator<Item = (PathBuf, File)> {
        self.files.into_iter().map(|(path, file, _)| (path, file))
    }
}

/// Where the tensors of each file begin: after the shapes.
pub(super) fn beginnings(tasks: &[Task], shards: usize) -> Vec<u64> {
    let mut begin = vec![0; shards];
    for task in tasks {
        begin[task.shard] += shape_bytes(task);
    }
    begin
}
