//! The end of a job: headers, the index, the configuration and whatever else belongs to the model, all of
//! it on the disk, and then its name.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::config;
use super::journal::{Journal, Settled};
use super::output::Output;
use super::plan::Plan;
use super::report::Report;
use crate::store::staging::{Staging, sync_folder};
use crate::store::{Checkpoint, Flaw, Header, INDEX, StoreError, Tensor, small_file};
use crate::{Context, Error};

/// How often the caller's thread looks for signals while the disk is busy.
const PERIOD: Duration = Duration::from_millis(50);

/// What is needed to make a whole directory.
#[derive(Clone, Copy)]
pub(super) struct Complete<'a> {
    pub(super) checkpoint: &'a Checkpoint,
    pub(super) plan: &'a Plan,
    pub(super) staging: &'a Staging,
}

impl Complete<'_> {
    /// Writes all that is missing, and waits until it is on the disk.
    pub(super) fn finish(
        &self,
        output: Output,
        journal: &Journal<'_>,
        tensors: Vec<Vec<Tensor>>,
        report: &Report,
        context: &Context<'_>,
    ) -> Result<(), Error> {
        let folder = self.staging.folder();
        let mut map = Map::new();
        let mut total = 0;
        for (number, (shard, tensors)) in self.plan.shards.iter().zip(tensors).enumerate() {
            let end = tensors.iter().map(|tensor| tensor.end).max().unwrap_or(0);
            total += end;
            map.extend(tensors.iter().map(|t| (t.name.clone(), Value::from(shard.name.as_str()))));
            let header = Header { metadata: shard.metadata.clone(), tensors };
            output.complete(number, &header.bytes(shard.room), end)?;
        }
        let mut files: Vec<(PathBuf, File)> = output.into_files().collect();
        if self.checkpoint.has_index {
            let index = json!({ "metadata": { "total_size": total }, "weight_map": map });
            files.push(written(&folder.join(INDEX), &index)?);
        }
        if let Some(configuration) = self.configuration(report)? {
            files.push(written(&folder.join("config.json"), &configuration)?);
        }
        let mut folders = vec![folder.clone()];
        for other in self.checkpoint.others()? {
            if other == Path::new("config.json") {
                continue;
            }
            let (from, to) = (self.checkpoint.folder.join(&other), folder.join(&other));
            if let Some(parent) = to.parent().filter(|parent| !folders.iter().any(|f| f == parent))
            {
                fs::create_dir_all(parent).map_err(StoreError::io(parent, "be made"))?;
                folders.push(parent.to_owned());
            }
            // A copy of an earlier run may be one that nobody may write to.
            let _ = fs::remove_file(&to);
            fs::copy(&from, &to).map_err(StoreError::io(&from, "be copied"))?;
            // Some systems sync only what may be written to.
            let opened = File::options().append(true).open(&to).or_else(|_| File::open(&to));
            files.push((to.clone(), opened.map_err(StoreError::io(&to, "be opened"))?));
            if context.interrupt.is_due() {
                return Err(threadwise_runtime::Interrupted.into());
            }
        }
        sync(files, context)?;
        folders.iter().try_for_each(|folder| sync_folder(folder))?;
        journal.complete(identity(&folder))
    }

    /// The model's configuration with what is said of its weights, if there is anything to say.
    fn configuration(&self, report: &Report) -> Result<Option<Value>, Error> {
        let (_, quantization) = config::quantization(&report.tensors);
        let path = self.checkpoint.folder.join("config.json");
        let mut all = Map::new();
        if self.checkpoint.is_folder && path.exists() {
            let text = small_file(&path)?;
            let Ok(Value::Object(found)) = serde_json::from_slice(&text) else {
                let problem = "it is no object of JSON, expected the model's configuration";
                return Err(StoreError::format(&path)(Flaw::Problem(problem.to_owned())).into());
            };
            all = found;
        }
        if let Some(quantization) = quantization {
            all.insert("quantization_config".to_owned(), quantization);
        }
        Ok((!all.is_empty()).then_some(Value::Object(all)))
    }
}

fn written(path: &Path, json: &Value) -> Result<(PathBuf, File), Error> {
    let mut text = format!("{json:#}");
    text.push('\n');
    let mut file = File::create(path).map_err(StoreError::io(path, "be made"))?;
    file.write_all(text.as_bytes()).map_err(StoreError::io(path, "be written"))?;
    Ok((path.to_owned(), file))
}

/// Has everything put on the disk. A thread waits for that, which the caller leaves alone when it is told
/// to stop: the files are not harmed by being written.
fn sync(files: Vec<(PathBuf, File)>, context: &Context<'_>) -> Result<(), Error> {
    let (tell, told) = mpsc::channel();
    let work = move || {
        let sync = |(path, file): &(PathBuf, File)| {
            file.sync_all().map_err(StoreError::io(path, "be put on the disk"))
        };
        // Nobody listens any more if the caller was told to stop.
        let _ = tell.send(files.iter().try_for_each(sync));
    };
    let started = std::thread::Builder::new().name("threadwise-sync".to_owned()).spawn(work);
    started.map_err(StoreError::io(Path::new("a worker"), "be started"))?;
    loop {
        match told.recv_timeout(PERIOD) {
            Ok(synced) => return Ok(synced?),
            Err(mpsc::RecvTimeoutError::Timeout) if !context.interrupt.is_due() => (),
            Err(_) => return Err(threadwise_runtime::Interrupted.into()),
        }
    }
}

/// What a directory keeps when it gets another name.
fn identity(folder: &Path) -> Option<u64> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        folder.metadata().ok().map(|about| about.ino())
    }
    #[cfg(not(unix))]
    {
        let _ = folder;
        None
    }
}

/// What a run did that was stopped after the directory got its name, and before it could clean up.
pub(super) fn completed(
    text: &str,
    about: &Value,
    staging: &Staging,
    plan: &Plan,
) -> Option<Vec<Settled>> {
    let lines: Vec<&str> = text.lines().collect();
    let (first, rest) = lines.split_first()?;
    let (last, settled) = rest.split_last()?;
    let is_his = serde_json::from_str::<Value>(first).ok().as_ref() == Some(about);
    let folder = serde_json::from_str::<Value>(last).ok()?.get("complete")?.as_u64()?;
    let done: Option<Vec<Settled>> =
        settled.iter().map(|line| serde_json::from_str(line).ok()).collect();
    let is_there = identity(staging.target()) == Some(folder);
    done.filter(|done| is_his && is_there && done.len() == plan.tasks.len())
}
