//! What the machine and the operating system let this process run on.

use std::io;

use crate::cpus::CpuSet;

/// CPUs that the calling thread may run on now, from its affinity mask where the system has one.
#[must_use]
pub fn affinity() -> usize {
    affinity_mask().unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from))
}

#[cfg(target_os = "linux")]
fn affinity_mask() -> Option<usize> {
    let mask = system_mask()?;
    // SAFETY: the call only reads the mask.
    let count = unsafe { libc::CPU_COUNT(&mask) };
    (count > 0).then(|| count.unsigned_abs() as usize)
}

#[cfg(not(target_os = "linux"))]
fn affinity_mask() -> Option<usize> {
    None
}

#[cfg(target_os = "linux")]
fn empty_mask() -> libc::cpu_set_t {
    // SAFETY: the mask is plain bits, for which all zeros is a value.
    unsafe { std::mem::zeroed() }
}

#[cfg(target_os = "linux")]
fn system_mask() -> Option<libc::cpu_set_t> {
    // A mask of the C library holds 1024 CPUs; larger machines refuse it, and `None` is answered.
    let mut mask = empty_mask();
    // SAFETY: the mask is ours and as large as we say; 0 is the calling thread.
    let status = unsafe { libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &raw mut mask) };
    (status == 0).then_some(mask)
}

/// Those CPUs themselves, where the system has masks.
#[must_use]
pub fn allowed() -> Option<CpuSet> {
    #[cfg(target_os = "linux")]
    {
        let mask = system_mask()?;
        // SAFETY: a mask has room for this number.
        let is_in = |&cpu: &usize| unsafe { libc::CPU_ISSET(cpu, &mask) };
        Some((0..CpuSet::MOST).filter(is_in).collect()).filter(|set: &CpuSet| !set.is_empty())
    }
    #[cfg(not(target_os = "linux"))]
    {
        None
    }
}

/// Lets the calling thread run on these CPUs only.
///
/// # Errors
///
/// If the system refuses it, or has no masks.
pub(crate) fn allow(cpus: &CpuSet) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    {
        let mut mask = empty_mask();
        for cpu in cpus.iter() {
            // SAFETY: a mask has room for this number.
            unsafe { libc::CPU_SET(cpu, &mut mask) };
        }
        // SAFETY: the mask is as large as we say; 0 is the calling thread.
        let status =
            unsafe { libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const mask) };
        if status == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = cpus;
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// The CPU that the calling thread is on, where the system says so.
#[must_use]
pub fn cpu() -> Option<usize> {
    #[cfg(target_os = "linux")]
    {
        // SAFETY: the call has no preconditions.
        let cpu = unsafe { libc::sched_getcpu() };
        usize::try_from(cpu).ok()
    }
    #[cfg(not(target_os = "linux"))]
    {
        None
    }
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

/// Bytes that a cache of the first CPU holds, of data at least, where the system says so.
#[must_use]
pub fn cache(level: u32) -> Option<usize> {
    (0..8).find_map(|index| {
        let folder = format!("/sys/devices/system/cpu/cpu0/cache/index{index}");
        let read = |name: &str| std::fs::read_to_string(format!("{folder}/{name}")).ok();
        let is_it =
            read("level")?.trim().parse() == Ok(level) && read("type")?.trim() != "Instruction";
        if is_it { cache_size(&read("size")?) } else { None }
    })
}

/// A size as the system writes it: `2048K`.
fn cache_size(text: &str) -> Option<usize> {
    let text = text.trim();
    let (number, unit) = match text.strip_suffix('K') {
        Some(number) => (number, 1 << 10),
        None => text.strip_suffix('M').map_or((text, 1), |number| (number, 1 << 20)),
    };
    number.parse::<usize>().ok()?.checked_mul(unit)
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
    fn sizes_of_caches_are_read_as_the_system_writes_them() {
        let sizes = ["2048K\n", "32M", "512", "", "K", "-1K"].map(cache_size);
        assert_eq!(sizes, [Some(2 << 20), Some(32 << 20), Some(512), None, None, None]);
        assert_eq!(cache(17), None, "no machine has so many levels");
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_spawned_thread_is_not_the_main_one() {
        let answer = std::thread::spawn(is_main_thread).join().unwrap();
        assert!(!answer, "tests and their threads are spawned");
    }
}
