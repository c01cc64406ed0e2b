//! What is finished, line by line, so that a job that was killed goes on where it was.
//!
//! The first line is the job: what is read (sizes, times of change and headers of the files), what becomes
//! of each tensor, and on which instruction set. Then comes a line for each settled tensor, in the order of
//! the plan, with the checksums of what was written for it. Who goes on reads that again: after a loss of
//! power the journal may know more than the disk has. A line that was cut, a checksum that differs or a
//! line out of order is where the job goes on; a journal of another job counts as none, or is refused if
//! the caller insists on going on.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use crc32fast::Hasher;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use threadwise_kernels::Isa;

use super::super::{ErrorSums, Method, ZeroPoint};
use super::job::Job;
use super::layout::{Form, end, parts};
use super::output::{Output, beginnings};
use super::plan::{Plan, Task};
use super::report::Refusal;
use crate::Error;
use crate::store::staging::Staging;
use crate::store::{Checkpoint, StoreError, Weights};

/// A tensor that is finished.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Settled {
    pub(super) tensor: String,
    /// None if it stayed as it was.
    pub(super) bits: Option<usize>,
    /// Whether scales are float32.
    pub(super) wide: bool,
    pub(super) checksums: Vec<u32>,
    pub(super) sums: Option<Sums>,
    pub(super) tries: Vec<Try>,
    pub(super) seconds: f64,
}

/// Bits that were not enough.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Try {
    pub(super) bits: usize,
    pub(super) cosine: f64,
}

/// [`ErrorSums`] as they are written, by their bits: what overflowed is no number that JSON has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Sums(usize, [u64; 5]);

impl From<ErrorSums> for Sums {
    fn from(sums: ErrorSums) -> Self {
        let ErrorSums { count, weights, values, products, errors, largest } = sums;
        Self(count, [weights, values, products, errors, largest].map(f64::to_bits))
    }
}

impl From<Sums> for ErrorSums {
    fn from(Sums(count, sums): Sums) -> Self {
        let [weights, values, products, errors, largest] = sums.map(f64::from_bits);
        Self { count, weights, values, products, errors, largest }
    }
}

impl Settled {
    /// The form that it has.
    pub(super) fn form(&self, task: &Task) -> Option<Form> {
        let mut form = Form::of(task.scheme?);
        while Some(form.scheme.bits.get()) != self.bits {
            form = form.wider()?;
        }
        Some(Form { wide: self.wide, ..form })
    }
}

/// The journal of a job.
pub(super) struct Journal<'a> {
    file: &'a File,
    path: PathBuf,
    sources: Vec<&'a Path>,
}

/// Has a journal put on the disk every now and then, on a thread of its own because that may take long,
/// until it is dropped. What was written of tensors need not be there before: it is checked.
pub(super) struct Syncing {
    _until: mpsc::Sender<()>,
}

impl Syncing {
    const PERIOD: Duration = Duration::from_secs(2);

    pub(super) fn begin(journal: &Journal<'_>) -> Result<Self, Error> {
        // A file of its own: the lock lasts as long as anybody has that of the journal.
        let file = File::options().append(true).open(&journal.path);
        let file = file.map_err(StoreError::io(&journal.path, "be opened"))?;
        let (until, ended) = mpsc::channel::<()>();
        let work = move || {
            while ended.recv_timeout(Self::PERIOD) == Err(mpsc::RecvTimeoutError::Timeout) {
                // If it fails the end fails too, and says so.
                let _ = file.sync_data();
            }
        };
        let started = thread::Builder::new().name("threadwise-sync".to_owned()).spawn(work);
        started.map_err(StoreError::io(Path::new("a worker"), "be started"))?;
        Ok(Self { _until: until })
    }
}

/// What a journal has to say to a job.
pub(super) enum Found {
    /// Nothing, or that it is another job's.
    Nothing,
    /// What was settled, and where that ends in each file.
    Settled(Vec<Settled>, Vec<u64>),
}

impl<'a> Journal<'a> {
    pub(super) fn new(staging: &'a Staging, checkpoint: &'a Checkpoint) -> Self {
        let sources = checkpoint.shards.iter().map(Weights::path).collect();
        Self { file: staging.journal(), path: staging.journal_path(), sources }
    }

    /// Everything that was written until now.
    pub(super) fn text(&self) -> Result<String, Error> {
        let mut text = Vec::new();
        let mut file = self.file;
        file.seek(SeekFrom::Start(0))
            .and_then(|_| file.read_to_end(&mut text))
            .map_err(StoreError::io(&self.path, "be read"))?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }

    /// Writes the job down, in an empty journal.
    pub(super) fn begin(&self, job: &Value) -> Result<(), Error> {
        self.line(job)
    }

    /// Writes a tensor down.
    pub(super) fn append(&self, settled: &Settled) -> Result<(), Error> {
        self.line(settled)
    }

    /// Writes down that the directory is whole, and makes sure that all of that is on the disk.
    pub(super) fn complete(&self, folder: Option<u64>) -> Result<(), Error> {
        self.line(&json!({ "complete": folder }))?;
        self.file.sync_all().map_err(StoreError::io(&self.path, "be put on the disk"))?;
        Ok(())
    }

    fn line(&self, line: &impl Serialize) -> Result<(), Error> {
        let mut text = serde_json::to_string(line).map_err(std::io::Error::from);
        if let Ok(text) = &mut text {
            text.push('\n');
        }
        let mut file = self.file;
        text.and_then(|text| file.write_all(text.as_bytes()))
            .map_err(StoreError::io(&self.path, "be written"))?;
        Ok(())
    }

    /// What the journal has of this job, as far as the files agree; the rest is cut off.
    pub(super) fn take_up(
        &self,
        text: &str,
        job: &Value,
        plan: &Plan,
        output: &Output,
        stopped: &dyn Fn() -> bool,
    ) -> Result<Found, Error> {
        let mut lines = text.split_inclusive('\n');
        let first = lines.next().unwrap_or_default();
        if serde_json::from_str::<Value>(first).ok().as_ref() != Some(job) {
            return Ok(Found::Nothing);
        }
        let mut length = first.len();
        let (mut done, mut ends) = (Vec::new(), beginnings(&plan.tasks, plan.shards.len()));
        for (line, task) in lines.zip(&plan.tasks) {
            let Ok(settled) = serde_json::from_str::<Settled>(line) else { break };
            let begin = ends[task.shard];
            let is_his = settled.tensor == task.tensor.name && line.ends_with('\n');
            if stopped() || !is_his || !agrees(&settled, task, output, begin, stopped) {
                break;
            }
            ends[task.shard] = end(&parts(&task.tensor, settled.form(task), begin));
            length += line.len();
            done.push(settled);
        }
        if !stopped() {
            self.file.set_len(length as u64).map_err(StoreError::io(&self.path, "be written"))?;
        }
        Ok(Found::Settled(done, ends))
    }

    /// The error of a tensor that is not good enough.
    pub(super) fn refused(&self, task: &Task, refusal: Refusal) -> Error {
        let file = self.sources[task.shard].to_owned();
        let error = Box::new(Error::Cosine(refusal));
        Error::Tensor { file, name: task.tensor.name.clone(), error }
    }
}

/// Whether the files have what the journal says.
fn agrees(
    settled: &Settled,
    task: &Task,
    output: &Output,
    begin: u64,
    stopped: &dyn Fn() -> bool,
) -> bool {
    let form = settled.form(task);
    let parts = parts(&task.tensor, form, begin);
    if settled.bits.is_some() != form.is_some() || parts.len() != settled.checksums.len() {
        return false;
    }
    let mut buffer = vec![0; 1 << 20];
    parts.iter().zip(&settled.checksums).all(|(part, &expected)| {
        let (mut hasher, mut at) = (Hasher::new(), 0);
        while at < part.bytes && !stopped() {
            let count = (part.bytes - at).min(buffer.len() as u64);
            let Some(piece) = usize::try_from(count).ok().and_then(|n| buffer.get_mut(..n)) else {
                return false;
            };
            if output.read(task.shard, part.begin + at, piece).is_err() {
                return false;
            }
            hasher.update(piece);
            at += count;
        }
        at == part.bytes && hasher.finalize() == expected
    })
}

/// The job as the first line has it: whatever the bytes of the result depend on.
pub(super) fn describe(
    job: &Job<'_>,
    isa: Isa,
    checkpoint: &Checkpoint,
    plan: &Plan,
) -> Result<Value, Error> {
    let mut files = Vec::new();
    for weights in &checkpoint.shards {
        let path = weights.path();
        let about = weights.file().metadata().map_err(StoreError::io(path, "be read"))?;
        let changed = about.modified().ok().and_then(|at| {
            Some(at.duration_since(std::time::UNIX_EPOCH).ok()?.as_nanos().to_string())
        });
        let mut header = Hasher::new();
        let room = weights.header().room();
        header.update(&weights.header().bytes(room));
        let path = path.canonicalize().map_err(StoreError::io(path, "be opened"))?;
        files.push(json!([path, about.len(), changed, header.finalize()]));
    }
    let tensors: Vec<Value> = plan
        .tasks
        .iter()
        .map(|task| {
            let Some(scheme) = task.scheme else { return json!([task.tensor.name]) };
            let zero_point = zero_point(scheme.zero_point);
            let method = match scheme.method {
                Method::MinMax => "minmax",
                Method::Mse => "mse",
            };
            json!([task.tensor.name, scheme.bits.get(), scheme.group_size, zero_point, method])
        })
        .collect();
    Ok(json!({
        "threadwise": env!("CARGO_PKG_VERSION"),
        "isa": isa.name(),
        "min_cosine": job.min_cosine,
        "files": files,
        "tensors": tensors,
    }))
}

/// As files call it.
pub(super) const fn zero_point(zero_point: ZeroPoint) -> &'static str {
    match zero_point {
        ZeroPoint::Symmetric => "symmetric",
        ZeroPoint::Float => "float",
        ZeroPoint::Integer => "integer",
    }
}
