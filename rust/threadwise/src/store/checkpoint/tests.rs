use std::sync::atomic::{AtomicU32, Ordering};

use super::*;
use crate::store::{Dtype, Header, Tensor};

/// A directory of this test, gone after it.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("threadwise-checkpoint-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) -> &Self {
        let path = self.0.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        self
    }

    fn weights(&self, file: &str, names: &[&str]) -> &Self {
        let tensor = |(number, name): (usize, &&str)| {
            let (begin, name) = (number as u64, (*name).to_owned());
            Tensor { name, dtype: Dtype::U8, shape: vec![1], begin, end: begin + 1 }
        };
        let tensors: Vec<Tensor> = names.iter().enumerate().map(tensor).collect();
        let header = Header { tensors, ..Header::default() };
        let mut bytes = header.bytes(header.room());
        bytes.extend(names.iter().map(|name| name.as_bytes()[0]));
        self.write(file, bytes)
    }

    fn open(&self) -> Result<Checkpoint, String> {
        Checkpoint::open(&self.0).map_err(|error| error.to_string())
    }

    fn sentence(&self) -> String {
        self.open().unwrap_err().replace(self.0.to_str().unwrap(), "DIR")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn files(checkpoint: &Checkpoint) -> Vec<String> {
    let name = |shard: &Weights| shard.path().file_name().unwrap().to_str().unwrap().to_owned();
    checkpoint.shards.iter().map(name).collect()
}

#[test]
fn one_file_an_index_or_any_files_are_a_model() {
    let folder = Folder::new();
    folder.weights("b.safetensors", &["b"]).weights("a.safetensors", &["a", "c"]);
    assert_eq!(files(&folder.open().unwrap()), ["a.safetensors", "b.safetensors"], "loose");
    folder.write(INDEX, r#"{"metadata":{"total_size":1},"weight_map":{"b":"b.safetensors"}}"#);
    assert_eq!(files(&folder.open().unwrap()), ["b.safetensors"], "what the index names");
    folder.weights(SINGLE, &["x", "y"]);
    let single = folder.open().unwrap();
    assert_eq!(files(&single), [SINGLE], "the single file comes first");
    let (shard, mut byte) = (&single.shards[0], [0]);
    shard.read(&shard.header().tensors[1], 0, &mut byte).unwrap();
    assert_eq!(byte, *b"y", "its data");
    let alone = Checkpoint::open(&folder.0.join("a.safetensors")).unwrap();
    assert!(!alone.is_folder && alone.others().unwrap().is_empty(), "a file has no others");
}

#[test]
fn what_does_not_fit_is_refused_in_a_sentence() {
    let folder = Folder::new();
    let nothing =
        "DIR: there is no model.safetensors, no index and no other file of safetensors in it";
    assert_eq!(folder.sentence(), nothing, "an empty directory");
    folder.weights("a.safetensors", &["a"]).weights("b.safetensors", &["a"]);
    let twice = "DIR/b.safetensors: tensor 'a' is also in DIR/a.safetensors";
    assert_eq!(folder.sentence(), twice, "a tensor in two files");
    let index = |text: &str| folder.write(INDEX, text).sentence();
    for elsewhere in ["../a.safetensors", "/etc/passwd", "x/a.safetensors", "..", ".", ""] {
        let sentence = index(&format!(r#"{{"weight_map":{{"a":"{elsewhere}"}}}}"#));
        let expected = format!("the index names the file {elsewhere:?}, expected one beside it");
        assert!(sentence.ends_with(&expected), "{sentence}");
    }
    let missing = index(r#"{"weight_map":{"z":"a.safetensors"}}"#);
    let expected = "tensor 'z' is not in a.safetensors, where the index says it is";
    assert!(missing.ends_with(expected), "{missing}");
    let absent = index(r#"{"weight_map":{"z":"c.safetensors"}}"#);
    assert!(absent.starts_with("DIR/c.safetensors: cannot be opened: "), "{absent}");
    let twice = index(r#"{"weight_map":{"a":"a.safetensors","a":"a.safetensors"}}"#);
    assert!(twice.contains("\"a\" comes twice"), "{twice}");
    assert!(index("[]").contains("the index is not that of a model: "), "no object");
    folder.write("model.safetensors", b"\x05\0\0\0\0\0\0\0{}");
    let cut = "DIR/model.safetensors: the header has 5 bytes, but the file ends after 2 of them";
    assert_eq!(folder.sentence(), cut, "a truncated header");
    folder.write("model.safetensors", b"\x05\0");
    assert!(folder.sentence().contains("the file has 2 bytes, expected at least 8"), "no length");
}

#[test]
fn everything_but_weights_goes_with_the_model() {
    let folder = Folder::new();
    folder.weights(SINGLE, &["a"]).write("config.json", "{}").write("tokenizer.model", "");
    folder.write("sub/notes.txt", "").write(".git/config", "").write(".gitattributes", "");
    for weights in ["pytorch_model.bin", "pytorch_model.bin.index.json", "x.GGUF", "sub/y.pth"] {
        folder.write(weights, "");
    }
    folder.write(INDEX, "{}");
    let others = folder.open().unwrap().others().unwrap();
    let expected = [".gitattributes", "config.json", "sub/notes.txt", "tokenizer.model"];
    assert_eq!(others, expected.map(PathBuf::from), "as they are found");
}
