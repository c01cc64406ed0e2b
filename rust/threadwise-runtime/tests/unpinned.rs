//! What happens where workers cannot be kept where they should be. The failure is the whole process's, so
//! this is a process of its own.
#![cfg(target_os = "linux")]

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use threadwise_runtime::{CpuSet, Interrupt, for_each_in, pin, topology};

/// Doubles two items that wait for each other, and says whether a worker came for one of them.
fn double(places: Option<&[CpuSet]>) -> bool {
    let (caller, patience) = (std::thread::current().id(), Duration::from_millis(200));
    let (begun, came, mut items) = (AtomicUsize::new(0), AtomicBool::new(false), [3, 4]);
    let outcome = for_each_in(places, &mut items, 2, &Interrupt::never(), |item, _| {
        *item *= 2;
        if std::thread::current().id() != caller {
            came.store(true, Ordering::SeqCst);
        }
        begun.fetch_add(1, Ordering::SeqCst);
        let begin = Instant::now();
        while begun.load(Ordering::SeqCst) < 2 && begin.elapsed() < patience {
            std::thread::yield_now();
        }
    });
    assert_eq!((outcome, items), (Ok(()), [6, 8]), "the work is done all the same");
    came.load(Ordering::SeqCst)
}

#[test]
fn a_worker_that_cannot_be_kept_works_where_it_is_and_the_first_failure_is_told_once() {
    let allowed = topology::allowed().unwrap();
    assert!((0..50).any(|_| double(None)), "a worker comes");
    assert_eq!(pin::failure(), None, "nobody was to be kept anywhere");
    let outside: CpuSet = (0..CpuSet::MOST).filter(|&cpu| !allowed.contains(cpu)).collect();
    for _ in 0..2 {
        assert!((0..50).any(|_| double(Some(&[allowed, outside]))), "a worker comes");
    }
    let told = pin::failure().unwrap();
    assert_eq!(
        told,
        format!("a worker may run on CPUs {allowed}, none of which is among {outside}")
    );
    assert_eq!(pin::failure(), None, "once");
}
