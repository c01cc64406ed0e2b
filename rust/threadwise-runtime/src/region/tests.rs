//! Regions as their callers see them.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::AtomicUsize;
use std::thread::ThreadId;

use ndarray::Array2;

use super::*;
use crate::for_each;

/// A program of phases with so many items each.
struct Steps<'a, F> {
    items: &'a [usize],
    work: F,
}

impl<F: Fn(&Item<'_>) + Sync> Program for Steps<'_, F> {
    fn phases(&self) -> usize {
        self.items.len()
    }

    fn items(&self, phase: usize) -> usize {
        self.items[phase]
    }

    fn run(&self, item: &Item<'_>) {
        (self.work)(item);
    }
}

fn run(items: &[usize], threads: usize, work: impl Fn(&Item<'_>) + Sync) {
    Region::new().run(None, threads, &Interrupt::never(), &Steps { items, work }).unwrap();
}

#[test]
fn every_item_is_done_once_after_all_of_the_phase_before() {
    for threads in 1..=5 {
        for items in [&[][..], &[0], &[1], &[3, 0, 0, 5, 1, 100, 0], &[0, 7, 7], &[2; 500]] {
            let done = Mutex::new(Vec::new());
            run(items, threads, |item| done.lock().unwrap().push((item.phase(), item.number())));
            let mut done = done.into_inner().unwrap();
            assert!(done.is_sorted_by_key(|done| done.0), "{items:?} on {threads}: {done:?}");
            done.sort_unstable();
            let all = items.iter().enumerate().flat_map(|(p, &n)| (0..n).map(move |i| (p, i)));
            assert!(all.eq(done), "{items:?} on {threads} threads");
        }
    }
}

#[test]
fn what_a_phase_wrote_the_next_one_reads() {
    const CELLS: usize = 64;
    for threads in 1..=4 {
        let (mut ones, mut others) = (Array2::ones((CELLS, 3)), Array2::<u64>::zeros((CELLS, 3)));
        let region = Region::new();
        let mut buffers = [region.share(ones.view_mut()), region.share(others.view_mut())];
        let cuts = [buffers[0].cut(1, 3), buffers[1].cut(1, 3)];
        let work = |item: &Item<'_>| {
            let (to, from) = ((item.phase() + 1) % 2, item.phase() % 2);
            let sum = buffers[from].read(item).sum() % 1_000_003;
            buffers[to].piece(item, cuts[to], item.number()).fill(sum + item.number() as u64);
        };
        region
            .run(None, threads, &Interrupt::never(), &Steps { items: &[CELLS; 300], work })
            .unwrap();
        let mut expected = vec![1; CELLS];
        for _ in 0..300 {
            let sum = expected.iter().sum::<u64>() * 3 % 1_000_003;
            expected = (0..CELLS as u64).map(|i| sum + i).collect();
        }
        assert!(ones.column(1).iter().eq(&expected), "{threads} threads");
    }
}

#[test]
fn workers_join_a_region_that_lasts_and_one_thread_is_the_plain_loop() {
    let threads_of = |threads: usize| {
        let seen = Mutex::new(Vec::<ThreadId>::new());
        run(&[threads; 100], threads, |_| {
            let me = thread::current().id();
            thread::sleep(Duration::from_micros(200));
            let mut seen = seen.lock().unwrap();
            if !seen.contains(&me) {
                seen.push(me);
            }
        });
        seen.into_inner().unwrap()
    };
    assert_eq!(threads_of(1), [thread::current().id()], "nobody else");
    // Workers may be other tests' for a moment.
    assert!((0..50).any(|_| threads_of(3).len() == 3), "three threads never worked together");
}

#[test]
fn a_region_within_other_work_is_the_plain_loop() {
    for_each(&mut [(); 6], 3, &Interrupt::never(), |(), _| {
        let outer = thread::current().id();
        run(&[5, 5], 3, |_| assert_eq!(thread::current().id(), outer, "nested: no team"));
    })
    .unwrap();
    run(&[6], 3, |_| {
        let outer = thread::current().id();
        for_each(&mut [(); 5], 3, &Interrupt::never(), |(), _| {
            assert_eq!(thread::current().id(), outer, "nested: no team");
        })
        .unwrap();
    });
}

#[test]
fn a_panic_reaches_the_caller_after_all_have_left() {
    for phase in [0, 7] {
        for threads in [1, 3] {
            let inside = AtomicUsize::new(0);
            let outcome = catch_unwind(AssertUnwindSafe(|| {
                run(&[16; 10], threads, |item| {
                    inside.fetch_add(1, Ordering::SeqCst);
                    thread::sleep(Duration::from_micros(50));
                    inside.fetch_sub(1, Ordering::SeqCst);
                    assert_ne!((item.phase(), item.number()), (phase, 12), "item twelve");
                });
            }));
            let panic = outcome.expect_err("the panic was lost");
            let sentence = panic.downcast_ref::<String>().unwrap();
            assert!(sentence.contains("item twelve"), "{sentence}");
            assert_eq!(inside.load(Ordering::SeqCst), 0, "somebody was still at work");
        }
    }
}

#[test]
fn an_interruption_stops_the_region_in_any_phase() {
    for items in [vec![10_000], vec![1; 10_000], vec![3; 10_000]] {
        let items = &items[..];
        for threads in [1, 3] {
            let done = AtomicUsize::new(0);
            let interrupt = Interrupt::when(&|| true);
            let work = |_: &Item<'_>| {
                thread::sleep(Duration::from_millis(1));
                done.fetch_add(1, Ordering::Relaxed);
            };
            let outcome = Region::new().run(None, threads, &interrupt, &Steps { items, work });
            assert_eq!(outcome, Err(Interrupted), "{threads} threads");
            assert!(done.load(Ordering::Relaxed) < 1000, "it went on long after 50 ms");
        }
    }
}

#[test]
fn who_waits_for_a_long_item_hears_of_the_interruption() {
    let interrupt = Interrupt::when(&|| true);
    let work = |item: &Item<'_>| while !item.checkpoint().reached() {};
    let outcome = Region::new().run(None, 3, &interrupt, &Steps { items: &[2, 2], work });
    assert_eq!(outcome, Err(Interrupted), "the items end when it is due, and not before");
}

#[test]
#[should_panic(expected = "1048576 items")]
fn a_phase_of_too_many_items_is_refused() {
    run(&[1 << 20], 2, |_| ());
}
