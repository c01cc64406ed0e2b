//! A job from its beginning to its end.

use std::cell::Cell;
use std::collections::HashSet;
use std::fmt;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Instant;

use serde_json::Value;

use super::super::{ErrorSums, Scheme};
use super::block::Shop;
use super::config;
use super::course::Course;
use super::finish::{self, Complete};
use super::journal::{Found, Journal, Settled, Syncing, describe};
use super::layout::{end, parts};
use super::memory;
use super::output::{Output, beginnings};
use super::plan::{Plan, block_within, shape_bytes};
use super::report::{Event, Report, TensorReport};
use super::run::{Pace, Peak, run};
use crate::store::staging::{self, Staging};
use crate::store::{Checkpoint, Dtype, Flaw, StoreError, Tensor};
use crate::{Context, Error};

/// Memory of a worker beside its block: stack, scratch, and huge pages that are not full.
const BESIDE: u64 = 6 << 20;

/// What loading ahead may take where nobody says.
const AHEAD: u64 = 256 << 20;

/// Whether to go on where an earlier run of the same job was stopped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Resume {
    /// If there is such a run.
    #[default]
    IfPossible,
    /// There must be one.
    Must,
    /// Never: what is there is forgotten.
    Never,
}

/// What is to be done with a model.
#[derive(Clone, Copy)]
pub struct Job<'a> {
    /// The directory of the model, or its file.
    pub source: &'a Path,
    /// The directory that will be.
    pub target: &'a Path,
    /// How a tensor is quantized, if it is.
    pub scheme: &'a dyn Fn(&Tensor) -> Option<Scheme>,
    /// Below this cosine a tensor is made again with the next wider bits.
    pub min_cosine: f64,
    /// Whether such a tensor is an error instead.
    pub fail_fast: bool,
    /// Whether a block for each worker is all that is held in memory.
    pub streaming: bool,
    /// Bytes that blocks may take.
    pub max_memory: Option<u64>,
    /// Whether the target may exist, and is replaced at the end.
    pub overwrite: bool,
    /// What is done about an earlier run.
    pub resume: Resume,
}

impl fmt::Debug for Job<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Job").field("source", &self.source).field("target", &self.target).finish()
    }
}

/// Quantizes the weights of a model into a new directory, and copies what else belongs to it. `each` is
/// told when a tensor is finished, and ends the job by `Break`.
///
/// # Errors
///
/// If anything cannot be read or written, a tensor cannot be quantized, or the job is ended by `each` or
/// the interrupt. The target is then as it was; what was finished is beside it for the next run.
pub fn quantize_model(
    job: &Job<'_>,
    each: &mut dyn FnMut(&Event) -> ControlFlow<()>,
    context: &Context<'_>,
) -> Result<Report, Error> {
    let since = Instant::now();
    let checkpoint = Checkpoint::open(job.source)?;
    let (plan, pace) = prepare(job, &checkpoint, context.threads)?;
    let expected = expected(&plan, pace);
    let staging = Staging::take(&resolved(job.target)?)?;
    let journal = Journal::new(&staging, &checkpoint);
    let about = describe(job, context.isa, &checkpoint, &plan)?;
    let text = journal.text()?;
    let mut report = Report {
        tensors: Vec::new(),
        resumed: 0,
        threads: pace.threads,
        memory: [Some(expected), None],
        bytes: [0; 2],
        format: config::OWN,
        seconds: 0.0,
    };
    if let Some(done) = finish::completed(&text, &about, &staging, &plan) {
        // Only the last traces of that run are left.
        report.resumed = done.len();
        close(&mut report, &checkpoint, &plan, &done);
        staging.remove()?;
        report.seconds = since.elapsed().as_secs_f64();
        return Ok(report);
    }
    if staging::exists(job.target) && !job.overwrite {
        if text.is_empty() {
            staging.remove()?;
        }
        return Err(staging::in_the_way(job.target).into());
    }
    let (output, done, ends) = begin(job, &plan, &staging, &journal, &about, &text, context)?;
    report.resumed = done.len();
    let count = plan.tasks.len();
    let bytes = plan.tasks[..done.len()].iter().map(|task| task.tensor.bytes()).sum();
    let first = Event {
        name: None,
        index: done.len(),
        count,
        bytes,
        of: plan.bytes,
        seconds: 0.0,
        memory: expected,
    };
    if each(&first).is_break() {
        return Err(threadwise_runtime::Interrupted.into());
    }
    let _syncing = Syncing::begin(&journal)?;
    let peak = Peak::default();
    peak.look();
    let course = Course::new(&plan, &journal, job, expected, (done, ends));
    let shop = Shop {
        checkpoint: &checkpoint,
        plan: &plan,
        course: &course,
        output: &output,
        isa: context.isa,
    };
    let ran = run(shop, pace, &peak, each, context);
    // An error of a worker says more than that somebody stopped the others.
    let done = course.end()?;
    ran?;
    let Some(done) = done else { return Err(threadwise_runtime::Interrupted.into()) };
    let tensors = close(&mut report, &checkpoint, &plan, &done);
    let complete = Complete { checkpoint: &checkpoint, plan: &plan, staging: &staging };
    complete.finish(output, &journal, tensors, &report, context)?;
    staging.publish(job.overwrite)?;
    staging.remove()?;
    peak.look();
    report.memory[1] = peak.bytes();
    report.seconds = since.elapsed().as_secs_f64();
    Ok(report)
}

/// Takes up what an earlier run has finished, if that is wanted and there is any, or begins anew.
fn begin(
    job: &Job<'_>,
    plan: &Plan,
    staging: &Staging,
    journal: &Journal<'_>,
    about: &Value,
    text: &str,
    context: &Context<'_>,
) -> Result<(Output, Vec<Settled>, Vec<u64>), Error> {
    let is_over = Cell::new(false);
    let stopped = || {
        // It answers once, then not again for a while.
        is_over.set(is_over.get() || context.interrupt.is_due());
        is_over.get()
    };
    if job.resume != Resume::Never && staging.folder().is_dir() {
        let output = Output::open(&staging.folder(), plan)?;
        let found = journal.take_up(text, about, plan, &output, &stopped)?;
        if is_over.get() {
            return Err(threadwise_runtime::Interrupted.into());
        }
        if let Found::Settled(done, ends) = found {
            return Ok((output, done, ends));
        }
    }
    if job.resume == Resume::Must {
        let problem = "there is no unfinished run of this job to go on with".to_owned();
        return Err(StoreError::format(job.target)(Flaw::Problem(problem)).into());
    }
    staging.clear()?;
    journal.begin(about)?;
    let output = Output::open(&staging.folder(), plan)?;
    Ok((output, Vec::new(), beginnings(&plan.tasks, plan.shards.len())))
}

/// What is to be done, and with how much memory at once.
fn prepare(job: &Job<'_>, checkpoint: &Checkpoint, threads: usize) -> Result<(Plan, Pace), Error> {
    let least = if job.streaming { threads } else { threads + 2 };
    let budget = job.max_memory.or((!job.streaming).then_some(AHEAD));
    let plan = Plan::new(checkpoint, job.scheme, block_within(job.max_memory, least));
    check(checkpoint, &plan)?;
    let [usual, memory] = plan.memory();
    let block = usual.total().max(1);
    let fitting = budget.map_or(least as u64, |budget| budget / block);
    if job.max_memory.is_some() && fitting < least as u64 {
        return Err(Error::Count {
            name: "max_memory",
            actual: usize::try_from(job.max_memory.unwrap_or(0)).unwrap_or(usize::MAX),
            expected: format!(
                "at least {}, for {least} blocks of the largest tensor",
                block * least as u64
            ),
        });
    }
    // More than a few for each worker are of no use.
    let most = (4 * threads + 2) as u64;
    let ahead = usize::try_from(fitting.clamp(least as u64, most)).unwrap_or(least);
    let ahead = (!job.streaming).then_some(ahead);
    Ok((plan, Pace { threads, ahead, memory }))
}

/// Whether everything can be quantized that shall be, and all names will be different.
fn check(checkpoint: &Checkpoint, plan: &Plan) -> Result<(), Error> {
    let mut names = HashSet::new();
    for task in &plan.tasks {
        let (path, tensor) = (checkpoint.shards[task.shard].path(), &task.tensor);
        let is_float = matches!(tensor.dtype, Dtype::F32 | Dtype::F16 | Dtype::Bf16);
        if task.scheme.is_some() && (!is_float || tensor.shape.is_empty()) {
            let (name, dtype, axes) = (tensor.name.clone(), tensor.dtype, tensor.shape.len());
            let problem = format!(
                "it is {dtype} with {axes} axes, expected F32, F16 or BF16 with at least one to \
                 be quantized"
            );
            return Err(StoreError::format(path)(Flaw::Entry { name, problem }).into());
        }
        let form = task.scheme.map(super::layout::Form::of);
        let endings = parts(tensor, form, 0).into_iter().map(|part| part.role.ending());
        let shape = task.scheme.map(|_| super::layout::SHAPE);
        for ending in endings.chain(shape) {
            let name = format!("{}{ending}", tensor.name);
            if !names.insert(name.clone()) {
                let problem = "another tensor would have the same name".to_owned();
                return Err(StoreError::format(path)(Flaw::Entry { name, problem }).into());
            }
        }
    }
    Ok(())
}

fn expected(plan: &Plan, pace: Pace) -> u64 {
    let [usual, _] = plan.memory();
    let blocks = pace.ahead.unwrap_or(pace.threads) as u64;
    let now = memory::anonymous().unwrap_or(0);
    now + blocks * usual.total() + pace.threads as u64 * BESIDE
}

/// The path with its directory as it really is, so that names beside it are on the same disk.
fn resolved(target: &Path) -> Result<PathBuf, Error> {
    let parent = match target.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    let name = target.file_name().unwrap_or_default();
    let parent = parent.canonicalize().map_err(StoreError::io(parent, "be opened"))?;
    Ok(parent.join(name))
}

/// Fills in what is known at the end; returns the tensors of each file.
fn close(
    report: &mut Report,
    checkpoint: &Checkpoint,
    plan: &Plan,
    done: &[Settled],
) -> Vec<Vec<Tensor>> {
    let mut at = beginnings(&plan.tasks, plan.shards.len());
    let mut placed: Vec<Vec<_>> = plan.shards.iter().map(|_| Vec::new()).collect();
    for (task, settled) in plan.tasks.iter().zip(done) {
        let form = settled.form(task);
        let parts = parts(&task.tensor, form, at[task.shard]);
        let bytes = end(&parts) - at[task.shard] + shape_bytes(task);
        at[task.shard] = end(&parts);
        placed[task.shard].push((task, parts));
        report.tensors.push(TensorReport {
            tensor: task.tensor.clone(),
            wanted: task.scheme,
            scheme: form.map(|form| form.scheme),
            has_single_scales: settled.wide,
            sums: settled.sums.map(ErrorSums::from),
            tries: settled.tries.iter().map(|attempt| (attempt.bits, attempt.cosine)).collect(),
            bytes,
            seconds: settled.seconds,
        });
    }
    let before = checkpoint.shards.iter().map(|weights| {
        weights.data() + weights.header().tensors.last().map_or(0, |tensor| tensor.end)
    });
    let after = plan.shards.iter().zip(&at).map(|(shard, &end)| shard.room as u64 + end);
    report.bytes = [before.sum(), after.sum()];
    (report.format, _) = config::quantization(&report.tensors);
    placed.into_iter().map(|tasks| super::plan::listed(tasks.into_iter())).collect()
}
