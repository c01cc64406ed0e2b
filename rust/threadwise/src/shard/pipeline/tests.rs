//! Pipelines on threads and in turns.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex};
use std::time::{Duration, Instant};

use threadwise_runtime::Interrupt;

use super::{PipelineConfig, PipelineReport, Stage, run};
use crate::Error;

const TICK: Duration = Duration::from_millis(20);

fn config(is_async: bool) -> PipelineConfig {
    PipelineConfig::new(4, is_async, 512 << 20).unwrap()
}

type Visits = Vec<usize>;

/// Stages that sleep, and note in each micro-batch that they had it.
fn sleeping<'a>(count: usize) -> Vec<Stage<'a, Visits, Error>> {
    let stage = |number| {
        Box::new(move |mut visits: Visits| {
            std::thread::sleep(TICK);
            visits.push(number);
            Ok(visits)
        }) as Stage<'a, Visits, Error>
    };
    (0..count).map(stage).collect()
}

fn through(
    stages: &mut [Stage<'_, Visits, Error>],
    batches: usize,
    config: &PipelineConfig,
) -> (Vec<Visits>, PipelineReport) {
    let batches = (0..batches).map(|number| vec![1000 + number]);
    run(stages, batches, config, |visits| size_of_val(visits.as_slice()), &Interrupt::never())
        .unwrap()
}

/// How long stages wait for those that shall work at the same time: a pipeline that does not overlap would keep them
/// waiting for ever.
const PATIENCE: Duration = Duration::from_secs(30);

/// [`sleeping`] stages, each of which begins with micro-batch b when all others have come to theirs of the same tick:
/// stage s works on b in tick b + s. No clock says so, which other tests would slow down.
fn in_step<'a>(
    count: usize,
    batches: usize,
    arrived: &'a (Mutex<Vec<usize>>, Condvar),
) -> Vec<Stage<'a, Visits, Error>> {
    let wait = move |tick: usize| {
        let (ticks, changed) = arrived;
        let others = (0..count).filter(|&stage| (stage..stage + batches).contains(&tick)).count();
        let mut ticks = ticks.lock().unwrap();
        ticks[tick] += 1;
        changed.notify_all();
        let late = |ticks: &mut Vec<usize>| ticks[tick] < others;
        let (ticks, patience) = changed.wait_timeout_while(ticks, PATIENCE, late).unwrap();
        assert!(!patience.timed_out(), "{} of {others} stages in tick {tick}", ticks[tick]);
    };
    let stages = sleeping(count).into_iter().enumerate();
    let stage = |(number, mut work): (usize, Stage<'a, Visits, Error>)| {
        Box::new(move |visits: Visits| {
            wait(visits[0] - 1000 + number);
            work(visits)
        }) as Stage<'a, Visits, Error>
    };
    stages.map(stage).collect()
}

#[test]
fn stages_overlap_so_that_all_takes_m_plus_s_minus_1_ticks() {
    for (stages, batches) in [(2, 6), (3, 4)] {
        let arrived = (Mutex::new(vec![0; batches + stages - 1]), Condvar::new());
        let mut working = in_step(stages, batches, &arrived);
        let (results, report) = through(&mut working, batches, &config(true));
        let expected = (0..batches).map(|b| std::iter::once(1000 + b).chain(0..stages).collect());
        assert_eq!(results, expected.collect::<Vec<Visits>>(), "in order, through all stages");
        let ticks = report.elapsed.as_secs_f64() / TICK.as_secs_f64();
        assert!(ticks >= (batches + stages - 1) as f64, "{ticks} ticks are too few");
        assert_eq!(report.micro_batches, batches, "counted");
        // One stage at a time would be idle for all but a part of the time.
        assert!(report.bubble() < 1.0 - 1.0 / stages as f64, "{report:?}");
    }
}

#[test]
fn in_turns_it_is_one_thread_and_the_same_results() {
    let (stages, batches) = (3, 4);
    let caller = std::thread::current().id();
    let mut watched = sleeping(stages);
    watched.push(Box::new(|visits| {
        assert_eq!(std::thread::current().id(), caller, "another thread");
        Ok(visits)
    }));
    let (results, report) = through(&mut watched, batches, &config(false));
    assert_eq!(results, through(&mut sleeping(stages), batches, &config(true)).0, "the same");
    assert!(report.elapsed >= TICK * 12, "it cannot overlap: {report:?}");
    assert!(report.bubble() > 0.6, "three of four stages wait at any time: {report:?}");
}

#[test]
fn no_more_than_the_budget_is_on_its_way() {
    for is_async in [false, true] {
        let peak = |budget, size: fn(&Visits) -> usize| {
            let config = PipelineConfig::new(4, is_async, budget).unwrap();
            let batches = (0..5).map(|number| vec![number]);
            let outcome = run(&mut sleeping(3), batches, &config, size, &Interrupt::never());
            outcome.unwrap().1.peak_bytes
        };
        assert_eq!(peak(16, |_| 8), 16, "two at a time");
        assert!(peak(1 << 20, |_| 8) > 16, "several at a time");
        assert_eq!(peak(1, |visits| 8 * visits.len()), 32, "one, though it grows at each stage");
    }
}

#[test]
fn an_error_of_a_stage_stops_the_others() {
    for is_async in [false, true] {
        let last = AtomicUsize::new(0);
        let mut stages = sleeping(1);
        stages.push(Box::new(|visits| match visits[0] {
            1002 => Err(Error::Count { name: "it", actual: 2, expected: "less".to_owned() }),
            _ => Ok(visits),
        }));
        stages.push(Box::new(|visits| {
            last.fetch_add(1, Ordering::Relaxed);
            Ok(visits)
        }));
        let begin = Instant::now();
        let batches = (0..1000).map(|number| vec![1000 + number]);
        let outcome = run(&mut stages, batches, &config(is_async), |_| 1, &Interrupt::never());
        assert_eq!(outcome.unwrap_err().to_string(), "it is 2, expected less");
        assert!(begin.elapsed() < Duration::from_secs(1), "not stopped");
        drop(stages);
        assert!(last.into_inner() <= 2, "those behind it went on");
    }
}

#[test]
fn a_panic_of_a_stage_goes_on_in_the_caller() {
    let outcome = std::panic::catch_unwind(|| {
        let mut stages = sleeping(2);
        stages.push(Box::new(|_| panic!("on purpose")));
        through(&mut stages, 10, &config(true))
    });
    assert!(outcome.is_err(), "the panic is lost");
}

#[test]
fn an_interruption_ends_it() {
    for is_async in [false, true] {
        let begin = Instant::now();
        let check = || begin.elapsed() > TICK * 4;
        let batches = (0..1000).map(|number| vec![number]);
        let interrupt = Interrupt::when(&check);
        let outcome = run(&mut sleeping(2), batches, &config(is_async), |_| 1, &interrupt);
        assert!(matches!(outcome, Err(Error::Interrupted(_))), "went on");
        assert!(begin.elapsed() < Duration::from_secs(1), "late");
    }
}

#[test]
fn no_stages_are_refused_and_no_batches_are_nothing() {
    let outcome = run::<(), Error>(&mut [], [()], &config(true), |()| 0, &Interrupt::never());
    assert_eq!(outcome.unwrap_err().to_string(), "stages is 0, expected from 1 to 1024");
    for is_async in [false, true] {
        let (results, report) = through(&mut sleeping(2), 0, &config(is_async));
        assert_eq!((results.len(), report.micro_batches), (0, 0), "nothing");
    }
}
