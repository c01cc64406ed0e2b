//! Memory of this process and of the machine, as the system counts it.

use std::fs;

/// Bytes of this process that are no file's: what it made itself. `None` where the system does not tell.
#[must_use]
pub fn anonymous() -> Option<u64> {
    field(&fs::read_to_string("/proc/self/status").ok()?, "RssAnon:")
}

/// Bytes that could be had without taking them from anybody.
pub(super) fn available() -> Option<u64> {
    field(&fs::read_to_string("/proc/meminfo").ok()?, "MemAvailable:")
}

fn field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn memory_that_is_touched_is_counted() {
        // Other tests may give memory back at the same time.
        let is_counted = (0..50).any(|_| {
            let before = anonymous().unwrap();
            let memory = std::hint::black_box(vec![1_u8; 64 << 20]);
            let more = before + (60 << 20)..before + (68 << 20);
            more.contains(&anonymous().unwrap()) && memory.len() == 64 << 20
        });
        assert!(is_counted, "64 MB more were never seen");
        assert!(available().unwrap() > 0, "of the machine");
    }

    #[test]
    fn lines_are_found_by_their_names() {
        assert_eq!(field("A:   12 kB\nAB: 3 kB\n", "AB:"), Some(3 << 10), "the second");
        assert_eq!([field("A: 12", "A:"), field("A: 12 kB", "B:")], [None, None], "no such line");
    }
}
