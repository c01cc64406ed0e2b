//! The weights of a model as Hugging Face lays them out: a file, or a directory with one file or with
//! several and their index; and what else is in the directory.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Component, Path, PathBuf};

use super::error::{Flaw, StoreError};
use super::header::LONGEST;
use super::json;
use super::weights::Weights;

/// The only file of a model whose weights are in one.
pub const SINGLE: &str = "model.safetensors";

/// The index of a model whose weights are in several files.
pub const INDEX: &str = "model.safetensors.index.json";

/// Ends of names of weights in formats that are not read here: not copied beside quantized ones, which
/// they would outweigh.
const OTHER_WEIGHTS: [&str; 9] =
    ["safetensors", "bin", "pt", "pth", "ckpt", "gguf", "h5", "msgpack", "onnx"];

/// The opened weights of a model.
#[derive(Debug)]
pub struct Checkpoint {
    /// Its directory, or that of its file.
    pub folder: PathBuf,
    /// The files with weights, in the order of their names.
    pub shards: Vec<Weights>,
    /// Whether an index says which tensor is where.
    pub has_index: bool,
    /// Whether the directory is the model, with whatever else is in it.
    pub is_folder: bool,
}

impl Checkpoint {
    /// Opens a model: a directory with `model.safetensors`, with an index, or else with any safetensors
    /// files; or a single such file.
    ///
    /// # Errors
    ///
    /// If the system refuses, or a file is not what it should be: an index that names files elsewhere, a
    /// tensor that is not where the index says, or one that is in two files.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let about = fs::metadata(path).map_err(StoreError::io(path, "be opened"))?;
        if !about.is_dir() {
            let folder = path.parent().unwrap_or(Path::new("")).to_owned();
            return Ok(Self {
                folder,
                shards: vec![Weights::open(path)?],
                has_index: false,
                is_folder: false,
            });
        }
        let folder = path.to_owned();
        let (single, index) = (path.join(SINGLE), path.join(INDEX));
        let has_index = !single.exists() && index.exists();
        let shards = if single.exists() {
            vec![Weights::open(&single)?]
        } else if has_index {
            indexed(path, &index)?
        } else {
            loose(path)?
        };
        expect_different(&shards)?;
        Ok(Self { folder, shards, has_index, is_folder: true })
    }

    /// Files that belong to the model beside its weights: configuration, tokenizer, and the like, as
    /// paths from the directory, in order. Weights in other formats, links to directories and what is
    /// hidden are left out.
    ///
    /// # Errors
    ///
    /// If a directory cannot be read.
    pub fn others(&self) -> Result<Vec<PathBuf>, StoreError> {
        let mut found = Vec::new();
        if self.is_folder {
            gather(&self.folder, Path::new(""), &mut found)?;
        }
        found.sort();
        Ok(found)
    }
}

fn indexed(folder: &Path, index: &Path) -> Result<Vec<Weights>, StoreError> {
    let map = json::weight_map(&small_file(index)?).map_err(StoreError::format(index))?;
    let mut files: Vec<&String> = map.values().collect();
    files.sort();
    files.dedup();
    let mut shards = Vec::with_capacity(files.len());
    for file in files {
        let is_name = Path::new(file).components().eq([Component::Normal(file.as_ref())]);
        if !is_name {
            let problem = format!("the index names the file {file:?}, expected one beside it");
            return Err(StoreError::format(index)(Flaw::Problem(problem)));
        }
        shards.push(Weights::open(&folder.join(file))?);
    }
    let mut homes = HashMap::new();
    for shard in &shards {
        let file = shard.path().file_name().unwrap_or_default().to_string_lossy();
        for tensor in &shard.header().tensors {
            homes.entry(tensor.name.as_str()).or_insert(file.clone());
        }
    }
    for (name, file) in &map {
        if homes.get(name.as_str()).is_none_or(|home| home != file) {
            let flaw = Flaw::Missing { name: name.clone(), file: file.clone() };
            return Err(StoreError::format(index)(flaw));
        }
    }
    Ok(shards)
}

/// All files of safetensors in a directory without index.
fn loose(folder: &Path) -> Result<Vec<Weights>, StoreError> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).map_err(StoreError::io(folder, "be read"))? {
        let path = entry.map_err(StoreError::io(folder, "be read"))?.path();
        if path.extension().is_some_and(|end| end == "safetensors") && path.is_file() {
            paths.push(path);
        }
    }
    if paths.is_empty() {
        return Err(StoreError::format(folder)(Flaw::NoWeights));
    }
    paths.sort();
    paths.iter().map(|path| Weights::open(path)).collect()
}

fn expect_different(shards: &[Weights]) -> Result<(), StoreError> {
    let mut homes: HashMap<&str, &Path> = HashMap::new();
    for shard in shards {
        for tensor in &shard.header().tensors {
            if let Some(home) = homes.insert(&tensor.name, shard.path()) {
                let (name, home) = (super::error::Quoted(&tensor.name), home.display());
                let problem = format!("tensor {name} is also in {home}");
                return Err(StoreError::format(shard.path())(Flaw::Problem(problem)));
            }
        }
    }
    Ok(())
}

/// The contents of a file of JSON, which is no longer than headers may be.
pub(crate) fn small_file(path: &Path) -> Result<Vec<u8>, StoreError> {
    let file = File::open(path).map_err(StoreError::io(path, "be opened"))?;
    let mut text = Vec::new();
    file.take(LONGEST + 1).read_to_end(&mut text).map_err(StoreError::io(path, "be read"))?;
    if text.len() as u64 > LONGEST {
        let problem = format!("the file has more than {LONGEST} bytes, too many for what it is");
        return Err(StoreError::format(path)(Flaw::Problem(problem)));
    }
    Ok(text)
}

fn gather(root: &Path, under: &Path, found: &mut Vec<PathBuf>) -> Result<(), StoreError> {
    let folder = root.join(under);
    for entry in fs::read_dir(&folder).map_err(StoreError::io(&folder, "be read"))? {
        let entry = entry.map_err(StoreError::io(&folder, "be read"))?;
        let name = entry.file_name();
        let path = under.join(&name);
        let kind = entry.file_type().map_err(StoreError::io(&folder, "be read"))?;
        if kind.is_dir() && !name.to_string_lossy().starts_with('.') {
            gather(root, &path, found)?;
        } else if !kind.is_dir() && entry.path().is_file() && !is_weights(&path) {
            found.push(path);
        }
    }
    Ok(())
}

/// Whether a file is weights or an index of them, by its name.
fn is_weights(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    let name = name.strip_suffix(".index.json").unwrap_or(&name);
    name.rsplit_once('.').is_some_and(|(_, end)| OTHER_WEIGHTS.contains(&end))
}

#[cfg(test)]
mod tests;
