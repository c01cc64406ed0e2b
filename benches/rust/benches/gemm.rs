//! float32 products of square matrices on one thread: the engine against the `gemm` crate.

use std::hint::black_box;
use std::time::Duration;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput};
use gemm::Parallelism;
use ndarray::{ArrayD, ArrayViewMutD, IxDyn};
use threadwise::{Context, linalg};

const SIZES: [usize; 5] = [4, 32, 128, 512, 1024];

fn main() {
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .configure_from_args();
    let context = Context { threads: 1, ..Context::new().expect("the environment makes sense") };
    for size in SIZES {
        let mut group = criterion.benchmark_group(format!("f32 {size}x{size}x{size}"));
        group.throughput(Throughput::Elements(2 * (size as u64).pow(3))); // "elem/s" is FLOP/s
        race(&mut group, size, &context);
        group.finish();
    }
    criterion.final_summary();
}

fn race(group: &mut BenchmarkGroup<'_, WallTime>, size: usize, context: &Context<'_>) {
    let (a, b) = (matrix(size, 0.0), matrix(size, 1.0));
    let ours = |c: ArrayViewMutD<'_, f32>| {
        linalg::matmul(a.view(), b.view(), c, context).expect("the shapes fit");
    };
    let theirs = |c: ArrayViewMutD<'_, f32>| theirs(&a, &b, c);

    let (mut c, mut expected) = (linalg::zeros(&[size, size]), linalg::zeros(&[size, size]));
    ours(c.view_mut());
    theirs(expected.view_mut());
    check(&a, &b, &c, &expected);

    group.bench_function("threadwise", |bencher| bencher.iter(|| ours(black_box(c.view_mut()))));
    group.bench_function("gemm", |bencher| bencher.iter(|| theirs(black_box(c.view_mut()))));
}

/// Numbers from -1 to 1, the same each time.
fn matrix(size: usize, start: f32) -> ArrayD<f32> {
    let mut at = start;
    ArrayD::from_shape_simple_fn(IxDyn(&[size, size]), || {
        at += 0.7;
        at.sin()
    })
}

fn theirs(a: &ArrayD<f32>, b: &ArrayD<f32>, mut c: ArrayViewMutD<'_, f32>) {
    let size = c.shape()[0];
    assert!([a.shape(), b.shape(), c.shape()] == [[size, size]; 3], "square, all alike");
    assert!(
        a.is_standard_layout() && b.is_standard_layout() && c.is_standard_layout(),
        "row-major"
    );
    let (rows, columns) = (size.cast_signed(), 1); // strides, in elements
    let (c, a, b) = (c.as_mut_ptr(), a.as_ptr(), b.as_ptr());
    // SAFETY: each pointer is that of a row-major array of size x size initialized elements, as
    // asserted, whose strides these are; `c` is borrowed mutably, so it overlaps neither operand.
    unsafe {
        gemm::gemm(
            size,
            size,
            size,
            c,
            columns,
            rows,
            false, // overwrite
            a,
            columns,
            rows,
            b,
            columns,
            rows,
            0.0, // times what was there
            1.0, // times the product
            false,
            false,
            false,
            Parallelism::None,
        );
    }
}

/// Both must be as close to the float64 product as rounding allows: within k·u·Σ|aᵢ·bᵢ|, which is at
/// most k²·u here, and one in a hundred more for sums in passes (Higham 2002, section 3.1).
fn check(a: &ArrayD<f32>, b: &ArrayD<f32>, ours: &ArrayD<f32>, theirs: &ArrayD<f32>) {
    let size = a.shape()[0];
    let bound = 1.01 * (size as f64).powi(2) * f64::from(f32::EPSILON / 2.0);
    // Some rows, the first and the last among them: all would take longer than the race.
    for i in (0..size).step_by(size.div_ceil(7)).chain([size - 1]) {
        for j in 0..size {
            let exact: f64 = (0..size).map(|k| f64::from(a[[i, k]]) * f64::from(b[[k, j]])).sum();
            for (library, c) in [("threadwise", ours), ("gemm", theirs)] {
                let error = (f64::from(c[[i, j]]) - exact).abs();
                assert!(error <= bound, "{library} is off by {error:e} > {bound:e} at {i}, {j}");
            }
        }
    }
}
