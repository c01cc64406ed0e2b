//! Keeping a thread on some CPUs for a while. Not to succeed is no error, because no result depends on
//! it; the first failure is remembered until somebody asks.

use std::sync::atomic::{AtomicBool, Ordering};

use once_cell::race::OnceBox;

use crate::cpus::CpuSet;
use crate::topology;

/// The calling thread is on some of its CPUs only, until this is dropped.
#[derive(Debug)]
#[must_use = "the thread is let go when this is dropped"]
pub struct Pinned {
    /// What it may run on otherwise.
    before: Option<CpuSet>,
    /// Not to be sent: it is about the thread that made it.
    _thread: std::marker::PhantomData<*const ()>,
}

impl Pinned {
    /// Keeps the calling thread on those of `cpus` that it may run on.
    pub fn to(cpus: &CpuSet) -> Self {
        let pinned = |before| Self { before, _thread: std::marker::PhantomData };
        let Some(before) = topology::allowed() else { return pinned(None) };
        let within = cpus.intersection(&before);
        if within.is_empty() {
            remember(format!("a worker may run on CPUs {before}, none of which is among {cpus}"));
            return pinned(None);
        }
        if within == before {
            return pinned(None);
        }
        if let Err(error) = topology::allow(&within) {
            remember(format!("a worker cannot be kept on CPUs {within}: {error}"));
            return pinned(None);
        }
        pinned(Some(before))
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        if let Some(before) = &self.before
            && let Err(error) = topology::allow(before)
        {
            remember(format!("a worker cannot be let go to CPUs {before}: {error}"));
        }
    }
}

static FAILURE: OnceBox<String> = OnceBox::new();
static IS_TOLD: AtomicBool = AtomicBool::new(false);

fn remember(failure: String) {
    let _ = FAILURE.set(Box::new(failure));
}

/// The first failure of this process, told once.
#[must_use]
pub fn failure() -> Option<&'static str> {
    let failure = FAILURE.get()?;
    (!IS_TOLD.swap(true, Ordering::Relaxed)).then_some(failure)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_thread_is_kept_on_a_cpu_and_let_go() {
        let before = topology::allowed().unwrap();
        let last = before.iter().last().unwrap();
        let only = CpuSet::from_iter([last]);
        let pinned = Pinned::to(&only);
        assert_eq!((topology::allowed(), topology::cpu()), (Some(only), Some(last)), "kept");
        drop(pinned);
        assert_eq!(topology::allowed(), Some(before), "let go");
    }

    #[test]
    fn only_the_inherited_mask_counts_and_the_first_failure_is_told_once() {
        let before = topology::allowed().unwrap();
        let first = before.iter().next().unwrap();
        let outside: CpuSet = (0..CpuSet::MOST).filter(|&cpu| !before.contains(cpu)).collect();
        let pinned = Pinned::to(&outside.union(&CpuSet::from_iter([first])));
        assert_eq!(topology::allowed(), Some([first].into_iter().collect()), "no more than it had");
        drop(pinned);
        for _ in 0..2 {
            let pinned = Pinned::to(&outside);
            assert_eq!(topology::allowed(), Some(before), "it stays as it was");
            drop(pinned);
        }
        let told = failure().unwrap();
        assert!(told.starts_with(&format!("a worker may run on CPUs {before}, none")), "{told}");
        assert_eq!(failure(), None, "once");
    }
}
