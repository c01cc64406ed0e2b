//! Teams as their callers see them.

use std::collections::HashSet;
use std::thread::{self, ThreadId};
use std::time::Duration;

use super::*;

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

#[test]
fn as_many_threads_take_part_as_were_asked_for_and_the_caller_is_one() {
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

#[test]
fn a_call_does_not_wait_for_a_worker_that_is_busy_elsewhere() {
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
        while begun.load(Ordering::SeqCst) < 4 {
            thread::sleep(Duration::from_millis(1));
        }
        // All three workers (or more, where other tests asked for them) may be held; this call
        // must end by itself all the same.
        let mut items = vec![0; 100];
        run(&mut items, 4, |item| *item = 1);
        release.store(true, Ordering::SeqCst);
        assert_eq!(items, vec![1; 100], "the caller did what nobody else did");
    });
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
