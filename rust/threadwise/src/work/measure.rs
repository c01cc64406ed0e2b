//! Measures this machine: the constants of [`Machine`], in less than a second.

use std::time::{Duration, Instant};

use half::{bf16, f16};
use ndarray::{ArrayView2, ArrayViewMut2};
use threadwise_kernels::Isa;
use threadwise_kernels::gemm::Epilogue;
use threadwise_kernels::narrow::{Bfloats, Halves, Signed};
use threadwise_runtime::{expect_workers, for_each, with_scratch};

use super::calibration;
use super::machine::Machine;
use crate::error::Shape;
use crate::linalg::{self, Narrow, Product};
use crate::{Context, Error};

/// Rows, columns and terms of the products whose rates are measured: all operands stay in the second-level
/// cache, and the rate is that of larger ones.
const SIZE: usize = 256;

/// Bytes that are read for each bandwidth: of the second-level cache, of the third, of memory.
const SPANS: [usize; 3] = [512 << 10, 8 << 20, 96 << 20];

/// Pieces of work whose sharing is timed take so long each: less would be over before a worker that was
/// parked comes.
const PIECE: Duration = Duration::from_micros(400);

/// The median time of some calls. Doubts about workers, from calls that lost time, are put aside.
///
/// # Errors
///
/// The first that a call returns.
fn median(calls: usize, mut call: impl FnMut() -> Result<Duration, Error>) -> Result<f64, Error> {
    let mut times = Vec::with_capacity(calls);
    for _ in 0..calls {
        expect_workers();
        times.push(call()?);
    }
    times.sort_unstable();
    Ok(times.get(calls / 2).map_or(0.0, Duration::as_secs_f64))
}

/// Measures the machine with the threads of `context`. Asks between measurements whether to stop.
///
/// # Errors
///
/// If memory runs out, or the context's interrupt is due.
pub fn measure(context: &Context<'_>) -> Result<Machine, Error> {
    // What is not measured stays as it is.
    let (known, _) = calibration::current(context.isa);
    let with = |threads: usize| Context {
        isa: context.isa,
        threads,
        interrupt: context.interrupt.part(),
        distribution: None,
    };
    let (one, two) = (with(1), with(context.threads.min(2)));
    let (half, brief) = (f16::ONE, bf16::ONE);
    let float32 = rate::<f32>((1.0, 1.0, 0.0), &one)?;
    let float64 = rate::<f64>((1.0, 1.0, 0.0), &one)?;
    let bfloat16 = rate::<Narrow<Bfloats, bf16>>((brief, brief, brief), &one)?;
    let float16 = rate::<Narrow<Halves, f16>>((half, half, half), &one)?;
    let int8 = rate::<Narrow<Signed, i32>>((1, 1, 0), &one)?;
    let [near, shared, memory] = bandwidths(&one)?;
    let mut machine =
        Machine { float32, float64, bfloat16, float16, int8, near, shared, memory, ..known };
    if context.threads > 1 {
        (machine.hot, machine.parked) = dispatch(&two)?;
        machine.compute_gain = compute_gain(&two)?;
        machine.memory_gain = memory_gain(memory, &two)?;
    }
    Ok(machine)
}

/// Multiply-adds a second of a product on one thread, of matrices that hold `left` and `right`.
fn rate<P: Product>(
    (left, right, out): (P::Left, P::Right, P::Out),
    context: &Context<'_>,
) -> Result<f64, Error>
where
    P::Out: Clone,
{
    let (a, b) = (vec![left; SIZE * SIZE], vec![right; SIZE * SIZE]);
    let mut c = vec![out; SIZE * SIZE];
    let time = median(9, || {
        let begin = Instant::now();
        let plain = Epilogue { bias: None, activation: None };
        P::multiply(square(&a)?, square(&b)?, square_mut(&mut c)?, plain, context)?;
        Ok(begin.elapsed())
    })?;
    Ok(SIZE.pow(3) as f64 / time)
}

fn square<T>(elements: &[T]) -> Result<ArrayView2<'_, T>, Error> {
    ArrayView2::from_shape((SIZE, SIZE), elements)
        .map_err(|_| Error::TooLarge(Shape::from(&[SIZE, SIZE][..])))
}

fn square_mut<T>(elements: &mut [T]) -> Result<ArrayViewMut2<'_, T>, Error> {
    ArrayViewMut2::from_shape((SIZE, SIZE), elements)
        .map_err(|_| Error::TooLarge(Shape::from(&[SIZE, SIZE][..])))
}

/// Bytes a second that one thread reads from each level.
fn bandwidths(context: &Context<'_>) -> Result<[f64; 3], Error> {
    let most = SPANS[2] / size_of::<f32>();
    with_scratch(most, |scratch: &mut [f32]| {
        // To fill it is to have all of its pages there.
        scratch.fill(1.0);
        let mut found = [0.0; 3];
        for ((found, span), calls) in found.iter_mut().zip(SPANS).zip([41, 9, 5]) {
            let elements = &scratch[..span / size_of::<f32>()];
            let time = median(calls, || read(elements, context))?;
            *found = span as f64 / time;
        }
        Ok(found)
    })?
}

/// How long it takes to read `elements`: their dot product, one half with the other.
fn read(elements: &[f32], context: &Context<'_>) -> Result<Duration, Error> {
    let (row, column) = elements.split_at(elements.len() / 2);
    let too_large = |_| Error::TooLarge(Shape::from(&[elements.len()][..]));
    let row = ArrayView2::from_shape((1, row.len()), row).map_err(too_large)?;
    let column = ArrayView2::from_shape((column.len(), 1), column).map_err(too_large)?;
    let mut sum = [0.0_f32];
    let begin = Instant::now();
    let c = ArrayViewMut2::from_shape((1, 1), &mut sum).map_err(too_large)?;
    linalg::multiply(row, column, c, context)?;
    Ok(begin.elapsed())
}

/// Takes so long.
fn pass(time: Duration) {
    let begin = Instant::now();
    while begin.elapsed() < time {
        std::hint::spin_loop();
    }
}

/// What it costs to share work with one worker that is awake, and with one that is parked: what two pieces
/// of work take beyond one.
fn dispatch(context: &Context<'_>) -> Result<(f64, f64), Error> {
    let share = |piece: Duration| {
        let begin = Instant::now();
        for_each(&mut [(); 2], 2, &context.interrupt, |(), _| pass(piece))?;
        Ok(begin.elapsed().saturating_sub(piece))
    };
    let short = PIECE / 80;
    for _ in 0..50 {
        share(short)?;
    }
    let hot = median(201, || share(short))?;
    let parked = median(15, || {
        // Long after the last call, so that the worker has parked.
        std::thread::sleep(Duration::from_millis(1));
        share(PIECE)
    })?;
    let (hot, parked) = (hot.max(1e-7), parked / 2.0);
    Ok((hot, parked.max(hot)))
}

/// By how much a second thread is faster at arithmetic.
fn compute_gain(context: &Context<'_>) -> Result<f64, Error> {
    const TURNS: usize = 8;
    let isa = context.isa;
    let elements = TURNS * 3 * SIZE * SIZE;
    with_scratch(elements, |scratch: &mut [f32]| {
        scratch.fill(1.0);
        let mut places: Vec<&mut [f32]> = scratch.chunks_exact_mut(3 * SIZE * SIZE).collect();
        let mut time = |threads: usize| {
            median(5, || {
                let begin = Instant::now();
                for_each(&mut places, threads, &context.interrupt, |place, _| {
                    let alone = Context::alone(isa);
                    let (operands, c) = place.split_at_mut(2 * SIZE * SIZE);
                    let (a, b) = operands.split_at(SIZE * SIZE);
                    if let (Ok(a), Ok(b), Ok(c)) = (square(a), square(b), square_mut(c)) {
                        // It cannot fail: nothing interrupts, and the memory is there.
                        let _ = linalg::multiply(a, b, c, &alone);
                    }
                })?;
                Ok(begin.elapsed())
            })
        };
        let (one, two) = (time(1)?, time(2)?);
        Ok((one / two - 1.0).clamp(0.0, 1.0))
    })?
}

/// By how much a second thread is faster at reading memory, of which one reads `alone` bytes a second.
fn memory_gain(alone: f64, context: &Context<'_>) -> Result<f64, Error> {
    let elements = SPANS[2] / size_of::<f32>();
    with_scratch(elements, |scratch: &mut [f32]| {
        scratch.fill(1.0);
        let halves = scratch.split_at_mut(elements / 2);
        let mut halves = [halves.0, halves.1];
        let isa: Isa = context.isa;
        let time = median(5, || {
            let begin = Instant::now();
            for_each(&mut halves, 2, &context.interrupt, |half, _| {
                let _ = read(half, &Context::alone(isa));
            })?;
            Ok(begin.elapsed())
        })?;
        Ok((SPANS[2] as f64 / time / alone - 1.0).clamp(0.0, 1.0))
    })?
}
