//! The CPU quota of the control group that this process runs in, versions 1 and 2.

use std::fs;
use std::path::{Path, PathBuf};

/// CPUs' worth of time that this process may use, if a control group limits it.
pub(crate) fn quota() -> Option<f64> {
    let membership = fs::read_to_string("/proc/self/cgroup").ok()?;
    smallest_quota(Path::new("/sys/fs/cgroup"), &membership)
}

/// The smallest quota of the groups named in `membership` (a `/proc/self/cgroup`) and of the groups
/// they lie in, each of which limits the process too. Inside a container the mounted tree often begins
/// at the process's own group while `membership` names it from the host's root; then the walk up finds
/// it at the mount.
fn smallest_quota(mount: &Path, membership: &str) -> Option<f64> {
    membership
        .lines()
        .filter_map(|line| {
            // hierarchy:controllers:path, where version 2 has neither number nor controllers.
            let (_, rest) = line.split_once(':')?;
            rest.split_once(':')
        })
        .flat_map(|(controllers, path)| {
            if controllers.is_empty() {
                quotas(mount, path, &quota_v2)
            } else if controllers.split(',').any(|name| name == "cpu") {
                let mut found = quotas(&mount.join("cpu"), path, &quota_v1);
                found.extend(quotas(&mount.join(controllers), path, &quota_v1));
                found
            } else {
                Vec::new()
            }
        })
        .min_by(f64::total_cmp)
}

/// The quotas of the group at `path` below `mount` and of all groups above it.
fn quotas(mount: &Path, path: &str, quota: &dyn Fn(&Path) -> Option<f64>) -> Vec<f64> {
    let relative: PathBuf = Path::new(path).components().skip(1).collect();
    relative.ancestors().filter_map(|group| quota(&mount.join(group))).collect()
}

/// `cpu.max` holds "max 100000" or "150000 100000": microseconds of CPU time in each period.
fn quota_v2(group: &Path) -> Option<f64> {
    let text = fs::read_to_string(group.join("cpu.max")).ok()?;
    let mut words = text.split_whitespace();
    ratio(words.next()?, words.next()?)
}

/// A quota of -1 means none.
fn quota_v1(group: &Path) -> Option<f64> {
    let read = |name: &str| fs::read_to_string(group.join(name)).ok();
    ratio(&read("cpu.cfs_quota_us")?, &read("cpu.cfs_period_us")?)
}

fn ratio(quota: &str, period: &str) -> Option<f64> {
    let (quota, period): (f64, f64) = (quota.trim().parse().ok()?, period.trim().parse().ok()?);
    (quota > 0.0 && period > 0.0).then(|| quota / period)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A directory with these files, removed when dropped.
    struct Tree(PathBuf);

    impl Tree {
        fn new(name: &str, files: &[(&str, &str)]) -> Self {
            let root = std::env::temp_dir()
                .join(format!("threadwise-cgroup-{name}-{}", std::process::id()));
            for (path, text) in files {
                let path = root.join(path);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, text).unwrap();
            }
            Self(root)
        }
    }

    impl Drop for Tree {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn version_2_takes_the_smallest_quota_on_the_way_up() {
        let tree = Tree::new(
            "v2",
            &[
                ("cpu.max", "max 100000\n"),
                ("user/cpu.max", "150000 100000\n"),
                ("user/job/cpu.max", "400000 100000\n"),
            ],
        );
        assert_eq!(smallest_quota(&tree.0, "0::/user/job\n"), Some(1.5), "the parent's is smaller");
        assert_eq!(smallest_quota(&tree.0, "0::/\n"), None, "the root has none");
    }

    #[test]
    fn version_2_in_a_container_is_found_at_the_mount() {
        let tree = Tree::new("container", &[("cpu.max", "50000 100000\n")]);
        assert_eq!(smallest_quota(&tree.0, "0::/docker/4f2a\n"), Some(0.5), "half a CPU");
    }

    #[test]
    fn version_1_reads_quota_and_period() {
        let tree = Tree::new(
            "v1",
            &[
                ("cpu,cpuacct/job/cpu.cfs_quota_us", "250000\n"),
                ("cpu,cpuacct/job/cpu.cfs_period_us", "100000\n"),
                ("cpu/free/cpu.cfs_quota_us", "-1\n"),
                ("cpu/free/cpu.cfs_period_us", "100000\n"),
            ],
        );
        let membership = "9:memory:/job\n4:cpu,cpuacct:/job\n";
        assert_eq!(smallest_quota(&tree.0, membership), Some(2.5), "two and a half CPUs");
        assert_eq!(smallest_quota(&tree.0, "4:cpu:/free\n"), None, "-1 is no quota");
    }

    #[test]
    fn nonsense_is_no_quota() {
        let tree = Tree::new("nonsense", &[("cpu.max", "much 0\n")]);
        assert_eq!(smallest_quota(&tree.0, "0::/\nrubbish\n"), None, "neither number parses");
    }
}
