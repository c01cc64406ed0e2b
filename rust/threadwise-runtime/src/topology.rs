//! What the machine and the operating system let this process run on.

/// CPUs that the calling thread may run on now, from its affinity mask where the system has one.
#[must_use]
pub fn affinity() -> usize {
    affinity_mask().unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from))
}

#[cfg(target_os = "linux")]
fn affinity_mask() -> Option<usize> {
    // A mask of the C library holds 1024 CPUs; larger machines refuse it, and `None` is answered.
    // SAFETY: the mask is plain bits, for which all zeros is a value.
    let mut mask: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: the mask is ours and as large as we say; 0 is the calling thread.
    let status = unsafe { libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &raw mut mask) };
    // SAFETY: the call has filled the mask.
    let count = unsafe { libc::CPU_COUNT(&mask) };
    (status == 0 && count > 0).then(|| count.unsigned_abs() as usize)
}

#[cfg(not(target_os = "linux"))]
fn affinity_mask() -> Option<usize> {
    None
}

/// CPUs that are switched on.
#[must_use]
pub fn cpus() -> usize {
    online_cpus().unwrap_or_else(affinity)
}

#[cfg(unix)]
fn online_cpus() -> Option<usize> {
    // SAFETY: the call has no preconditions.
    let count = unsafe { libc::sysconf(libc::_SC_NPROCESSORS_ONLN) };
    usize::try_from(count).ok().filter(|&count| count > 0)
}

#[cfg(not(unix))]
fn online_cpus() -> Option<usize> {
    None
}

/// CPUs' worth of time that a control group allows this process, if one limits it.
#[must_use]
pub fn quota() -> Option<f64> {
    crate::cgroup::quota()
}

/// Memory nodes, at least 1.
#[must_use]
pub fn numa_nodes() -> usize {
    let Ok(entries) = std::fs::read_dir("/sys/devices/system/node") else { return 1 };
    let is_node =
        |name: &str| name.strip_prefix("node").is_some_and(|number| number.parse::<u32>().is_ok());
    entries.flatten().filter(|e| e.file_name().to_str().is_some_and(is_node)).count().max(1)
}

/// Whether the calling thread is the first of its process, which on Linux is the one that Python's
/// signal handlers run on. Elsewhere the answer is always yes.
#[must_use]
pub fn is_main_thread() -> bool {
    #[cfg(target_os = "linux")]
    {
        // SAFETY: the call has no preconditions.
        let thread = unsafe { libc::gettid() };
        u32::try_from(thread) == Ok(std::process::id())
    }
    #[cfg(not(target_os = "linux"))]
    {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_has_cpus_and_nodes() {
        assert!((1..=cpus()).contains(&affinity()), "{} of {} CPUs", affinity(), cpus());
        assert!(numa_nodes() >= 1, "at least one node");
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_spawned_thread_is_not_the_main_one() {
        let answer = std::thread::spawn(is_main_thread).join().unwrap();
        assert!(!answer, "tests and their threads are spawned");
    }
}
