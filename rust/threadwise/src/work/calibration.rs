//! The constants of this machine: measured when somebody asks, kept in a file, read when first needed.
//!
//! The file is for one machine as this process sees it: its CPU, instruction set, CPUs and quota are in
//! it, and another machine's is not used. It is whole or absent: written under another name, then
//! renamed, so that processes may write at once. What cannot be read as such a file is passed over.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use arc_swap::ArcSwapOption;
use serde::{Deserialize, Serialize};
use threadwise_kernels::Isa;
use threadwise_runtime::topology;

use super::machine::Machine;

/// `off`: what is assumed is used, whatever was measured.
const SWITCH: &str = "THREADWISE_CALIBRATION";

/// The layout of the file, and what its constants mean.
const VERSION: u32 = 1;

/// Which machine, as a process sees it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Host {
    version: u32,
    cpu: String,
    isa: String,
    cpus: usize,
    quota: Option<f64>,
}

impl Host {
    fn current(isa: Isa) -> Self {
        Self {
            version: VERSION,
            cpu: cpu_name(),
            isa: isa.name().to_owned(),
            cpus: topology::affinity(),
            quota: topology::quota(),
        }
    }

    /// The name of its file: readable, and another one for every host that differs in anything.
    fn file_name(&self) -> String {
        let text = format!("{self:?}");
        // FNV-1a: G. Fowler, L. C. Noll, P. Vo, 1991.
        let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        format!("calibration-{}-{}-cpus-{hash:016x}.json", self.isa, self.cpus)
    }
}

fn cpu_name() -> String {
    let listed = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = listed.lines().find_map(|line| line.strip_prefix("model name")?.split(':').nth(1));
    model.map_or_else(|| std::env::consts::ARCH.to_owned(), |name| name.trim().to_owned())
}

/// What is in the file.
#[derive(Serialize, Deserialize)]
struct Record {
    host: Host,
    machine: Machine,
}

/// Where constants come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Assumed: nothing was measured on this machine, or the measurement is switched off.
    Assumed,
    /// Measured, by this process or an earlier one.
    Measured,
}

/// Constants, where they come from, and the file that they are in.
#[derive(Clone, Debug)]
struct Known {
    machine: Machine,
    origin: Origin,
    file: Option<PathBuf>,
}

/// The constants in use, once they were needed. No lock: a child after `fork` would wait for ever for one
/// that another thread of its parent held.
static CURRENT: ArcSwapOption<Known> = ArcSwapOption::const_empty();

/// The constants of this machine, and where they come from.
#[must_use]
pub fn current(isa: Isa) -> (Machine, Origin) {
    if let Some(Known { machine, origin, .. }) = CURRENT.load().as_deref() {
        return (*machine, *origin);
    }
    let Known { machine, origin, .. } = first(isa);
    (machine, origin)
}

/// What this process begins with, unless another thread has measured meanwhile.
#[cold]
fn first(isa: Isa) -> Known {
    let host = Host::current(isa);
    let folder = if is_off() { None } else { folder() };
    let kept = folder.and_then(|folder| Some((load(&folder, &host)?, folder)));
    let known = match kept {
        Some((machine, folder)) => {
            let file = Some(folder.join(host.file_name()));
            Known { machine, origin: Origin::Measured, file }
        }
        None => Known { machine: Machine::assumed(isa), origin: Origin::Assumed, file: None },
    };
    let known = Arc::new(known);
    let nothing: Option<Arc<Known>> = None;
    let before = CURRENT.compare_and_swap(&nothing, Some(Arc::clone(&known)));
    before.as_deref().unwrap_or(&known).clone()
}

/// The file that the constants in use were read from or written to, if there is one.
#[must_use]
pub fn file(isa: Isa) -> Option<PathBuf> {
    let _ = current(isa);
    CURRENT.load().as_deref()?.file.clone()
}

/// Whether measurements are switched off.
#[must_use]
pub fn is_off() -> bool {
    std::env::var_os(SWITCH).is_some_and(|value| value.eq_ignore_ascii_case("off"))
}

/// Uses `machine` from now on, and keeps it for later processes. Returns the file.
///
/// # Errors
///
/// If there is no place for the file, or it cannot be written: then it is used in this process only.
pub fn keep(isa: Isa, machine: Machine) -> io::Result<PathBuf> {
    let nowhere =
        || io::Error::new(io::ErrorKind::NotFound, "neither XDG_CACHE_HOME nor HOME is set");
    let stored = folder()
        .ok_or_else(nowhere)
        .and_then(|folder| store(&folder, &Record { host: Host::current(isa), machine }));
    let file = stored.as_ref().ok().cloned();
    CURRENT.store(Some(Arc::new(Known { machine, origin: Origin::Measured, file })));
    stored
}

/// The folder of such files, by the XDG Base Directory Specification.
fn folder() -> Option<PathBuf> {
    folder_in(std::env::var_os("XDG_CACHE_HOME"), std::env::var_os("HOME"))
}

fn folder_in(cache: Option<OsString>, home: Option<OsString>) -> Option<PathBuf> {
    let absolute = |path: Option<OsString>| path.map(PathBuf::from).filter(|p| p.is_absolute());
    let cache = absolute(cache).or_else(|| absolute(home).map(|home| home.join(".cache")))?;
    Some(cache.join("threadwise"))
}

fn load(folder: &Path, host: &Host) -> Option<Machine> {
    let text = fs::read_to_string(folder.join(host.file_name())).ok()?;
    let record: Record = serde_json::from_str(&text).ok()?;
    (record.host == *host && record.machine.is_plausible()).then_some(record.machine)
}

fn store(folder: &Path, record: &Record) -> io::Result<PathBuf> {
    static WRITES: AtomicU32 = AtomicU32::new(0);
    fs::create_dir_all(folder)?;
    let path = folder.join(record.host.file_name());
    let write = WRITES.fetch_add(1, Ordering::Relaxed);
    let unfinished = folder.join(format!(".{}-{write}.tmp", std::process::id()));
    let written = fs::write(&unfinished, serde_json::to_string_pretty(record)?)
        .and_then(|()| fs::rename(&unfinished, &path));
    if written.is_err() {
        let _ = fs::remove_file(&unfinished);
    }
    written.map(|()| path)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use super::*;

    fn machine(float32: f64) -> Machine {
        Machine { float32, ..Machine::assumed(Isa::Scalar) }
    }

    fn host() -> Host {
        Host::current(Isa::Scalar)
    }

    /// A new folder, removed at the end.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let path =
                std::env::temp_dir().join(format!("threadwise-{}-{name}", std::process::id()));
            let _ = fs::remove_dir_all(&path);
            Self(path)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn what_was_stored_is_loaded_on_the_same_host_only() {
        let folder = Folder::new("same");
        assert_eq!(load(&folder.0, &host()), None, "there is no folder");
        let record = Record { host: host(), machine: machine(7e9) };
        let path = store(&folder.0, &record).unwrap();
        assert_eq!(load(&folder.0, &host()), Some(machine(7e9)), "{}", path.display());
        let other = Host { cpus: 1000, ..host() };
        assert_eq!(load(&folder.0, &other), None, "another number of CPUs");
        fs::rename(path, folder.0.join(other.file_name())).unwrap();
        assert_eq!(load(&folder.0, &other), None, "a file that was moved is of another host");
    }

    #[test]
    fn files_that_are_none_are_passed_over() {
        let folder = Folder::new("none");
        let record = |machine| Record { host: host(), machine };
        let path = store(&folder.0, &record(machine(7e9))).unwrap();
        let whole = fs::read(&path).unwrap();
        for text in [&b""[..], b"{", b"null", b"\xff\xfe", &whole[..whole.len() / 2], b"[1, 2]"] {
            fs::write(&path, text).unwrap();
            assert_eq!(load(&folder.0, &host()), None, "{}", String::from_utf8_lossy(text));
        }
        store(&folder.0, &record(machine(-1.0))).unwrap();
        assert_eq!(load(&folder.0, &host()), None, "no machine multiplies backwards");
    }

    #[test]
    fn a_reader_sees_one_writers_whole_file() {
        let (folder, is_over) = (Folder::new("many"), AtomicBool::new(false));
        store(&folder.0, &Record { host: host(), machine: machine(1e9) }).unwrap();
        std::thread::scope(|scope| {
            let writers: Vec<_> = [1e9, 2e9, 3e9]
                .map(|rate| {
                    let folder = &folder.0;
                    scope.spawn(move || {
                        for _ in 0..100 {
                            store(folder, &Record { host: host(), machine: machine(rate) })
                                .unwrap();
                        }
                    })
                })
                .into();
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    let read = load(&folder.0, &host()).expect("always whole");
                    assert!([1e9, 2e9, 3e9].contains(&read.float32), "{read:?}");
                }
            });
            for writer in writers {
                writer.join().unwrap();
            }
            is_over.store(true, Ordering::Relaxed);
        });
        assert_eq!(fs::read_dir(&folder.0).unwrap().count(), 1, "nothing unfinished is left");
    }

    #[test]
    fn the_folder_is_where_the_specification_says() {
        let folder = |cache: Option<&str>, home: Option<&str>| {
            folder_in(cache.map(Into::into), home.map(Into::into))
        };
        assert_eq!(folder(Some("/c"), Some("/h")), Some("/c/threadwise".into()), "the variable");
        assert_eq!(folder(None, Some("/h")), Some("/h/.cache/threadwise".into()), "its default");
        assert_eq!(folder(Some("relative"), Some("/h")), Some("/h/.cache/threadwise".into()));
        assert_eq!(folder(Some(""), None), None, "nowhere");
    }
}
