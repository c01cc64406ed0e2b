//! Where workers wake up.
//!
//! Linux wakes a thread on the CPU it last ran on, or on the waking one's, and looks for an idle one
//! only where it expects to find it soon; on a machine of few CPUs it does not look. A worker is then
//! queued behind its caller, who is busy with the very work the worker should share, and gets its turn
//! some milliseconds later: too late.
//!
//! So when a parked worker is woken, and only then, the caller's CPU is taken out of the worker's
//! affinity mask. The worker puts its mask back when it arrives. The mask is always a part of the
//! caller's own. It costs the caller two system calls a worker, so where many are called, and Linux
//! does look, it is done for those only that last ran on the caller's CPU.

use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::sync::{Mutex, PoisonError};

/// A worker's place, as its callers know it.
#[derive(Debug)]
pub(crate) struct Seat {
    /// The worker's thread, once it sits; else -1.
    thread: AtomicI32,
    /// The CPU on which it last parked or woke, or -1.
    cpu: AtomicI32,
    /// Whether `narrowed` is worth a look.
    is_narrowed: AtomicBool,
    /// The mask to put back, while it is narrowed.
    narrowed: Mutex<Option<system::Mask>>,
}

/// Workers up to which each is kept off the caller's CPU whenever it is woken.
const SOME: usize = 3;

impl Seat {
    pub(crate) const fn new() -> Self {
        Self {
            thread: AtomicI32::new(-1),
            cpu: AtomicI32::new(-1),
            is_narrowed: AtomicBool::new(false),
            narrowed: Mutex::new(None),
        }
    }

    /// By the worker, once: this is its seat.
    pub(crate) fn take(&self) {
        self.thread.store(system::thread(), Ordering::Relaxed);
    }

    /// By a caller, before it wakes this worker, one of `called`: keeps it off the caller's CPU.
    pub(crate) fn call(&self, called: usize) {
        let (here, thread) = (system::cpu(), self.thread.load(Ordering::Relaxed));
        if here < 0 || thread < 0 {
            return;
        }
        if called > SOME && self.cpu.load(Ordering::Relaxed) != here {
            return;
        }
        let mut narrowed = self.narrowed.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(mask) = narrowed.take().or_else(system::mask) else { return };
        if let Some(rest) = system::without(mask, here)
            && system::set_mask(thread, &rest)
        {
            *narrowed = Some(mask);
            self.is_narrowed.store(true, Ordering::Release);
        }
    }

    /// By the worker, when it has been woken: notes where it is, and puts its mask back.
    pub(crate) fn arrive(&self) {
        self.note();
        if !self.is_narrowed.swap(false, Ordering::Acquire) {
            return;
        }
        let mask = self.narrowed.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(mask) = mask {
            system::set_mask(0, &mask);
        }
    }

    /// By a caller: where it was last seen.
    pub(crate) fn cpu(&self) -> Option<usize> {
        usize::try_from(self.cpu.load(Ordering::Relaxed)).ok()
    }

    /// By the worker, before it parks: notes where it is.
    pub(crate) fn note(&self) {
        self.cpu.store(system::cpu(), Ordering::Relaxed);
    }
}

#[cfg(target_os = "linux")]
mod system {
    pub(super) type Mask = libc::cpu_set_t;

    pub(super) fn thread() -> i32 {
        // SAFETY: the call has no preconditions.
        unsafe { libc::gettid() }
    }

    pub(super) fn cpu() -> i32 {
        // SAFETY: the call has no preconditions.
        unsafe { libc::sched_getcpu() }
    }

    /// The calling thread's mask.
    pub(super) fn mask() -> Option<Mask> {
        // SAFETY: the mask is plain bits, for which all zeros is a value.
        let mut mask: Mask = unsafe { std::mem::zeroed() };
        // SAFETY: the mask is ours and as large as we say; 0 is the calling thread.
        let status = unsafe { libc::sched_getaffinity(0, size_of::<Mask>(), &raw mut mask) };
        (status == 0).then_some(mask)
    }

    /// The mask without one CPU, unless nothing would be left.
    pub(super) fn without(mut mask: Mask, cpu: i32) -> Option<Mask> {
        let cpu = usize::try_from(cpu).ok().filter(|&cpu| cpu < 8 * size_of::<Mask>())?;
        // SAFETY: the CPU is within the mask, which is ours.
        unsafe { libc::CPU_CLR(cpu, &mut mask) };
        // SAFETY: the mask is ours.
        let left = unsafe { libc::CPU_COUNT(&mask) };
        (left > 0).then_some(mask)
    }

    /// Sets a thread's mask (0: the calling thread's), and says whether that was possible.
    pub(super) fn set_mask(thread: i32, mask: &Mask) -> bool {
        // SAFETY: the mask is alive and as large as we say; a thread that is gone is an error.
        let status = unsafe { libc::sched_setaffinity(thread, size_of::<Mask>(), mask) };
        status == 0
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    pub(super) type Mask = ();

    pub(super) fn thread() -> i32 {
        0
    }

    pub(super) fn cpu() -> i32 {
        -1
    }

    pub(super) fn mask() -> Option<Mask> {
        None
    }

    pub(super) fn without((): Mask, _: i32) -> Option<Mask> {
        None
    }

    pub(super) fn set_mask(_: i32, (): &Mask) -> bool {
        false
    }
}

#[cfg(test)]
impl Seat {
    /// As if the worker were there.
    pub(crate) fn pretend(&self, cpu: i32) {
        self.cpu.store(cpu, Ordering::Relaxed);
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::sync::{Arc, mpsc};

    use super::*;

    fn cpus(mask: &system::Mask) -> Vec<usize> {
        // SAFETY: the CPU is within the mask.
        (0..8 * size_of::<system::Mask>())
            .filter(|&cpu| unsafe { libc::CPU_ISSET(cpu, mask) })
            .collect()
    }

    #[test]
    fn a_worker_is_kept_off_its_callers_cpu_until_it_arrives() {
        let seat = Arc::new(Seat::new());
        let (sit, seated) = mpsc::channel();
        let (wake, woken) = mpsc::channel::<()>();
        let worker = std::thread::spawn({
            let seat = Arc::clone(&seat);
            move || {
                seat.take();
                sit.send(()).unwrap();
                woken.recv().unwrap();
                let asleep = system::mask().unwrap();
                seat.arrive();
                (cpus(&asleep), cpus(&system::mask().unwrap()))
            }
        });
        seated.recv().unwrap();
        let all = cpus(&system::mask().unwrap());
        // Called twice before it arrives, as a late worker is.
        seat.call(1);
        seat.call(1);
        wake.send(()).unwrap();
        let (asleep, awake) = worker.join().unwrap();
        assert_eq!(awake, all, "the mask is back as it was");
        assert!(asleep.iter().all(|cpu| all.contains(cpu)), "{asleep:?} is a part of {all:?}");
        assert_eq!(asleep.len(), (all.len() - 1).max(1), "{asleep:?} is all but one of {all:?}");
    }
}
