//! Teams as their callers see them.

use std::collections::HashSet;
use std::sync::atomic::AtomicUsize;
use std::thread::{self, ThreadId};
use std::time::Duration;

use super::*;
#[cfg(target_os = "linux")]
use crate::topology;

fn run<T: Send>(items: &mut [T], threads: usize, work: impl Fn(&mut T) + Sync) {
    for_each(items, threads, &Interrupt::never(), |item, _| work(item)).unwrap();
}

#[test]
fn every_item_is_worked_on_once() {
    for threads in 1..=5 {
        for count in [0, 1, 2, 3, 7, 1000] {
            let mut items = vec![0_u32; count];
            run(&mut items, threads, |item| *item += 1);
            assert_eq!(items, vec![1; count], "{count} items on {threads} threads");
        }
    }
}

/// Threads that took part when each of `threads` items waits for all the others, if they come.
fn participants(threads: usize) -> HashSet<ThreadId> {
    let (begun, patience) = (AtomicUsize::new(0), Duration::from_millis(200));
    let mut items = vec![None; threads];
    run(&mut items, threads, |item| {
        begun.fetch_add(1, Ordering::SeqCst);
        let begin = Instant::now();
        while begun.load(Ordering::SeqCst) < threads && begin.elapsed() < patience {
            thread::yield_now();
        }
        *item = Some(thread::current().id());
    });
    items.into_iter().flatten().collect()
}

/// Held by tests that need many workers at once: two of them could take each other's again and again.
static MANY: Mutex<()> = Mutex::new(());

#[test]
fn as_many_threads_take_part_as_were_asked_for_and_the_caller_is_one() {
    let _many = MANY.lock().unwrap_or_else(PoisonError::into_inner);
    for threads in [2, 3, 4] {
        // Workers may be other tests' for a moment.
        let complete = (0..50).any(|_| {
            let ids = participants(threads);
            assert!(ids.len() <= threads, "no more than were asked for");
            assert!(ids.contains(&thread::current().id()), "the caller works too");
            ids.len() == threads
        });
        assert!(complete, "{threads} threads never worked together");
    }
}

/// For each member of a team that is complete, whether it is a worker, and the CPUs that it may be on.
#[cfg(target_os = "linux")]
fn masks(places: Option<&[CpuSet]>, threads: usize) -> Vec<(bool, CpuSet)> {
    let (me, never) = (thread::current().id(), Interrupt::never());
    let attempt = || {
        let (begun, patience) = (AtomicUsize::new(0), Duration::from_millis(200));
        let mut items = vec![None; threads];
        for_each_in(places, &mut items, threads, &never, |item, _| {
            begun.fetch_add(1, Ordering::SeqCst);
            *item = Some((thread::current().id(), topology::allowed().unwrap()));
            let begin = Instant::now();
            while begun.load(Ordering::SeqCst) < threads && begin.elapsed() < patience {
                thread::yield_now();
            }
        })
        .unwrap();
        let items: Vec<_> = items.into_iter().flatten().collect();
        let ids: HashSet<ThreadId> = items.iter().map(|item| item.0).collect();
        (ids.len() == threads).then(|| items.iter().map(|item| (item.0 != me, item.1)).collect())
    };
    // Workers may be other tests' for a moment.
    (0..50).find_map(|_| attempt()).unwrap()
}

/// The same, like `expected` if it ever is: a call of another test may have taken a CPU from the mask of a worker that it
/// meant to wake, which puts it back when it wakes next.
#[cfg(target_os = "linux")]
fn masks_like(expected: &[(bool, CpuSet)], places: Option<&[CpuSet]>) -> Vec<(bool, CpuSet)> {
    let mut found = masks(places, expected.len());
    for _ in 0..50 {
        if found == expected {
            break;
        }
        thread::sleep(Duration::from_millis(5));
        found = masks(places, expected.len());
    }
    found
}

/// Where there is but one CPU, both nodes have the same.
#[test]
#[cfg(target_os = "linux")]
fn members_have_the_items_of_their_node_and_stay_there_until_the_call_ends() {
    let _many = MANY.lock().unwrap_or_else(PoisonError::into_inner);
    let before = topology::allowed().unwrap();
    let one = |cpu: Option<usize>| cpu.into_iter().collect::<CpuSet>();
    let (first, last) = (one(before.iter().next()), one(before.iter().last()));
    for places in [vec![first, last], vec![last, first], vec![first, first, last, last]] {
        let expected: Vec<_> = places
            .iter()
            .enumerate()
            .map(|(i, &p)| (i > 0, if i > 0 { p } else { before }))
            .collect();
        let found = masks_like(&expected, Some(&places));
        assert_eq!(found, expected, "in the order of their places");
        assert_eq!(topology::allowed(), Some(before), "the caller is not moved");
        let free: Vec<_> = expected.iter().map(|member| (member.0, before)).collect();
        assert_eq!(masks_like(&free, None), free, "all are let go");
    }
}

#[test]
fn every_item_is_worked_on_once_whatever_the_places() {
    let nowhere = [CpuSet::default(); 3];
    for count in [0, 1, 2, 3, 1000] {
        for places in [&nowhere[..0], &nowhere[..1], &nowhere] {
            let mut items = vec![0_u32; count];
            let never = Interrupt::never();
            for_each_in(Some(places), &mut items, 3, &never, |item, _| *item += 1).unwrap();
            assert_eq!(items, vec![1; count], "{count} items, {} places", places.len());
        }
    }
}

#[test]
fn one_thread_and_nested_calls_are_the_plain_loop() {
    let me = thread::current().id();
    let mut items = [(); 8];
    run(&mut items, 1, |()| assert_eq!(thread::current().id(), me, "the caller's loop"));
    run(&mut items, 3, |()| {
        let outer = thread::current().id();
        run(&mut [(); 8], 3, |()| assert_eq!(thread::current().id(), outer, "nested: no team"));
    });
}

/// Does work while another call holds its workers. Says whether that had all of those it asked for.
fn work_beside_a_busy_call() -> bool {
    let (release, begun) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        scope.spawn(|| {
            run(&mut [(); 4], 4, |()| {
                begun.fetch_add(1, Ordering::SeqCst);
                while !release.load(Ordering::SeqCst) {
                    thread::sleep(Duration::from_millis(1));
                }
            });
        });
        let (begin, patience) = (Instant::now(), Duration::from_millis(200));
        while begun.load(Ordering::SeqCst) < 4 && begin.elapsed() < patience {
            thread::sleep(Duration::from_millis(1));
        }
        let all = begun.load(Ordering::SeqCst) == 4;
        // This call must end by itself.
        let mut items = vec![0; 100];
        run(&mut items, 4, |item| *item = 1);
        release.store(true, Ordering::SeqCst);
        assert_eq!(items, vec![1; 100], "the caller did what nobody else did");
        all
    })
}

#[test]
fn a_call_does_not_wait_for_a_worker_that_is_busy_elsewhere() {
    let _many = MANY.lock().unwrap_or_else(PoisonError::into_inner);
    // Workers may be other tests' for a moment.
    assert!((0..50).any(|_| work_beside_a_busy_call()), "no call ever had three workers");
}

#[test]
fn a_panic_reaches_the_caller_after_all_have_left() {
    for _ in 0..50 {
        let inside = AtomicUsize::new(0);
        let mut items: Vec<usize> = (0..64).collect();
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            run(&mut items, 3, |&mut item| {
                inside.fetch_add(1, Ordering::SeqCst);
                let result = catch_unwind(|| assert_ne!(item, 40, "item forty"));
                inside.fetch_sub(1, Ordering::SeqCst);
                if let Err(panic) = result {
                    resume_unwind(panic);
                }
            });
        }));
        assert!(outcome.is_err(), "the panic was lost");
        assert_eq!(inside.load(Ordering::SeqCst), 0, "somebody was still at work");
    }
}

#[test]
fn an_interruption_stops_the_work() {
    for threads in [1, 3] {
        let done = AtomicUsize::new(0);
        let mut items = vec![(); 10_000];
        let interrupt = Interrupt::when(&|| true);
        let outcome = for_each(&mut items, threads, &interrupt, |(), _| {
            thread::sleep(Duration::from_millis(1));
            done.fetch_add(1, Ordering::Relaxed);
        });
        assert_eq!(outcome, Err(Interrupted), "{threads} threads");
        assert!(done.load(Ordering::Relaxed) < 1000, "it went on long after 50 ms");
    }
}

#[test]
fn a_long_item_hears_of_the_interruption_wherever_it_runs() {
    for threads in [1, 3] {
        let interrupt = Interrupt::when(&|| true);
        let outcome = for_each(&mut [(); 3], threads, &interrupt, |(), checkpoint| {
            while !checkpoint.reached() {
                thread::sleep(Duration::from_millis(1));
            }
        });
        assert_eq!(outcome, Err(Interrupted), "{threads} threads");
    }
}

#[test]
fn threads_that_find_no_item_left_help_once() {
    let helped = |threads: usize| {
        let (mut items, count) = (vec![0_u32; 20], AtomicUsize::new(0));
        for_each_then(
            None,
            &mut items,
            threads,
            &Interrupt::never(),
            |item, _| *item += 1,
            |_| _ = count.fetch_add(1, Ordering::Relaxed),
        )
        .unwrap();
        assert!(items.iter().all(|&done| done == 1), "{items:?}");
        count.into_inner()
    };
    assert_eq!(helped(1), 0, "the plain loop leaves nothing");
    for _ in 0..50 {
        let members = helped(3);
        assert!((1..=3).contains(&members), "{members}: the caller, and workers that came");
    }
}
