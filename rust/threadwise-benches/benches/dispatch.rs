//! What it costs to share work: two items on two threads, against the same loop on one; and, in a region, to go
//! on from one phase to the next.

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use threadwise_runtime::{Interrupt, Item, Program, Region, for_each};

/// Calls the team on items that take no time.
fn dispatch(items: &mut [u64], threads: usize) {
    let never = Interrupt::never();
    let outcome = for_each(items, threads, &never, |item, _| *item = black_box(*item + 1));
    assert!(outcome.is_ok(), "nobody interrupts");
}

/// Phases of two items that take no time.
struct Empty(usize);

impl Program for Empty {
    fn phases(&self) -> usize {
        self.0
    }

    fn items(&self, _: usize) -> usize {
        2
    }

    fn run(&self, item: &Item<'_>) {
        black_box(item.number());
    }
}

fn region(phases: usize, threads: usize) {
    let outcome = Region::new().run(None, threads, &Interrupt::never(), &Empty(phases));
    assert!(outcome.is_ok(), "nobody interrupts");
}

/// Takes so long.
fn pass(time: Duration) {
    let begin = Instant::now();
    while begin.elapsed() < time {}
}

fn cost(criterion: &mut Criterion) {
    let mut items = [0; 2];
    let mut group = criterion.benchmark_group("dispatch");
    group.bench_function("one thread", |b| b.iter(|| dispatch(&mut items, 1)));
    group.bench_function("two threads, hot", |b| b.iter(|| dispatch(&mut items, 2)));
    // What is more than five microseconds is what it cost to share them out.
    for threads in [1, 2] {
        let name = format!("two items of five microseconds, threads: {threads}");
        group.bench_function(name, |b| {
            let never = Interrupt::never();
            b.iter(|| for_each(&mut items, threads, &never, |_, _| pass(Duration::from_micros(5))));
        });
    }
    // As long after the last call as it takes a worker to park.
    group.bench_function("two threads, parked", |b| {
        b.iter_custom(|count| {
            let mut total = Duration::ZERO;
            for _ in 0..count {
                std::thread::sleep(Duration::from_micros(300));
                let begin = Instant::now();
                dispatch(&mut items, 2);
                total += begin.elapsed();
            }
            total
        });
    });
    group.finish();
}

/// A region of 1001 phases costs a thousand changes more than one of a single phase.
fn phases(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("region");
    for threads in [1, 2] {
        for phases in [1, 1001] {
            let name = format!("{phases} phases of two items, threads: {threads}");
            group.bench_function(name, |b| b.iter(|| region(phases, threads)));
        }
    }
    group.finish();
}

criterion_group!(benches, cost, phases);
criterion_main!(benches);
