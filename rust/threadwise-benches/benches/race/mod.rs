//! Three libraries at the same products: answers first, then times.

mod libraries;

use std::hint::black_box;
use std::time::Duration;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput};
use libraries::{Library, Product};
use ndarray::{ArrayD, IxDyn};
use threadwise::{Context, linalg};

/// m, k, n.
pub(crate) type Shape = (usize, usize, usize);

/// Races the libraries on `threads` threads, at each of `shapes`.
pub(crate) fn run(name: &str, threads: usize, shapes: &[Shape]) {
    libraries::set_threads_of_matrixmultiply(threads);
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .configure_from_args();
    let context = Context { threads, ..Context::new().expect("the environment makes sense") };
    for &(m, k, n) in shapes {
        let mut group = criterion.benchmark_group(format!("f32 {name} {m}x{k}x{n}"));
        group.throughput(Throughput::Elements(2 * (m * k * n) as u64)); // "elem/s" is FLOP/s
        race(&mut group, (m, k, n), &context);
        group.finish();
    }
    criterion.final_summary();
}

fn race(group: &mut BenchmarkGroup<'_, WallTime>, (m, k, n): Shape, context: &Context<'_>) {
    let product = Product { a: &matrix(m, k, 0.0), b: &matrix(k, n, 1.0), context };
    let mut c = linalg::zeros(&[m, n]);
    for library in Library::ALL {
        c.fill(f32::NAN);
        product.by(library, c.view_mut());
        check(&product, &c, library);
    }
    for library in Library::ALL {
        group.bench_function(library.name(), |bencher| {
            bencher.iter(|| product.by(library, black_box(c.view_mut())));
        });
    }
}

/// Numbers from -1 to 1, the same each time.
fn matrix(rows: usize, columns: usize, start: f32) -> ArrayD<f32> {
    let mut at = start;
    ArrayD::from_shape_simple_fn(IxDyn(&[rows, columns]), || {
        at += 0.7;
        at.sin()
    })
}

/// The answer must be as close to the float64 product as rounding allows: within k·u·Σ|aᵢ·bᵢ|, which is at
/// most k²·u here, and one in a hundred more for sums in passes (Higham 2002, section 3.1).
fn check(product: &Product<'_>, c: &ArrayD<f32>, library: Library) {
    let &[m, n] = c.shape() else { unreachable!("a product of matrices is one") };
    let depth = product.a.shape()[1];
    let bound = 1.01 * (depth as f64).powi(2) * f64::from(f32::EPSILON / 2.0);
    // Some rows, the first and the last among them: all would take longer than the race.
    for i in (0..m).step_by(m.div_ceil(7)).chain([m - 1]) {
        for j in 0..n {
            let exact: f64 = (0..depth)
                .map(|k| f64::from(product.a[[i, k]]) * f64::from(product.b[[k, j]]))
                .sum();
            let error = (f64::from(c[[i, j]]) - exact).abs();
            assert!(
                error <= bound,
                "{} is off by {error:e} > {bound:e} at {i}, {j}",
                library.name()
            );
        }
    }
}
