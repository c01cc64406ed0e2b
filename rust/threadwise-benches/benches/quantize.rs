//! Weights in few bits, in memory: the engine, by bits, method and threads; and back. Of `cargo bench`'s rates,
//! "elem/s" are weights.

use std::hint::black_box;
use std::num::NonZeroUsize;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use half::f16;
use ndarray::Array2;
use threadwise::Context;
use threadwise::quant::{
    Bits, Method, Numbers, NumbersMut, Quantized, QuantizedMut, Scheme, ZeroPoint, Zeros, ZerosMut,
    dequantize, quantize,
};

/// Rows and columns: a layer of the models that `threadwise bench quantize` generates as 100M.
const SHAPE: (usize, usize) = (512, 4096);

/// Codes, scales and integer zero points.
struct Made {
    codes: Array2<u32>,
    scales: Array2<f16>,
    zeros: Array2<u32>,
}

impl Made {
    fn new(scheme: &Scheme) -> Self {
        let (rows, columns) = SHAPE;
        let groups = scheme.groups(columns);
        Self {
            codes: Array2::zeros((rows, scheme.words(columns))),
            scales: Array2::from_elem((rows, groups), f16::NAN),
            zeros: Array2::zeros((scheme.zero_words(rows), groups)),
        }
    }

    fn places(&mut self) -> QuantizedMut<'_> {
        QuantizedMut {
            codes: self.codes.view_mut(),
            scales: NumbersMut::F16(self.scales.view_mut()),
            zeros: ZerosMut::Integer(self.zeros.view_mut()),
        }
    }

    fn parts(&self) -> Quantized<'_> {
        Quantized {
            codes: self.codes.view(),
            scales: Numbers::F16(self.scales.view()),
            zeros: Zeros::Integer(self.zeros.view()),
        }
    }
}

/// Numbers about as large as weights, the same each time.
fn weight() -> Array2<f32> {
    let mut at = 0.0_f32;
    Array2::from_shape_simple_fn(SHAPE, || {
        at = (at + 0.7) % 1e3;
        at.sin() * 0.05
    })
}

fn scheme(bits: Bits, method: Method) -> Scheme {
    let group_size = NonZeroUsize::new(32);
    Scheme { bits, group_size, zero_point: ZeroPoint::Integer, method }
}

/// One thread, two, and all that calls use, each once.
fn contexts() -> Vec<Context<'static>> {
    let most = Context::new().expect("the environment makes sense").threads;
    let mut counts = vec![1, 2.min(most), most];
    counts.dedup();
    let with = |threads| Context { threads, ..Context::new().expect("it made sense before") };
    counts.into_iter().map(with).collect()
}

/// The values must be within a step of the weights, which go from -0.05 to 0.05 in 2^bits - 1 steps: rounding is
/// half of one, and what the search for the least error clips is less than another half.
fn check(weight: &Array2<f32>, made: &Made, scheme: &Scheme, context: &Context<'_>) {
    let mut values = Array2::from_elem(SHAPE, f32::NAN);
    dequantize(made.parts(), scheme, values.view_mut(), context).expect("the shapes fit");
    let step = 0.1 / scheme.bits.largest() as f32;
    for (value, weight) in values.iter().zip(weight) {
        assert!((value - weight).abs() <= 1.01 * step, "{value} for {weight}, step {step}");
    }
}

fn both(criterion: &mut Criterion) {
    let weight = weight();
    for method in [Method::MinMax, Method::Mse] {
        let name = format!("quantize {method:?} {}x{}", SHAPE.0, SHAPE.1);
        let mut group = criterion.benchmark_group(name);
        group.throughput(Throughput::Elements(weight.len() as u64));
        for bits in Bits::ALL {
            let scheme = scheme(bits, method);
            let mut made = Made::new(&scheme);
            for context in contexts() {
                quantize(weight.view(), None, &scheme, made.places(), &context)
                    .expect("the shapes fit");
                check(&weight, &made, &scheme, &context);
                let name = format!("{} bits, threads: {}", bits.get(), context.threads);
                group.bench_function(name, |bencher| {
                    bencher.iter(|| {
                        quantize(weight.view(), None, &scheme, black_box(made.places()), &context)
                    });
                });
            }
        }
        group.finish();
    }
}

fn back(criterion: &mut Criterion) {
    let weight = weight();
    let mut group = criterion.benchmark_group(format!("dequantize {}x{}", SHAPE.0, SHAPE.1));
    group.throughput(Throughput::Elements(weight.len() as u64));
    for bits in Bits::ALL {
        let scheme = scheme(bits, Method::MinMax);
        let mut made = Made::new(&scheme);
        let mut values = Array2::from_elem(SHAPE, f32::NAN);
        for context in contexts() {
            quantize(weight.view(), None, &scheme, made.places(), &context)
                .expect("the shapes fit");
            check(&weight, &made, &scheme, &context);
            let name = format!("{} bits, threads: {}", bits.get(), context.threads);
            group.bench_function(name, |bencher| {
                bencher.iter(|| {
                    dequantize(made.parts(), &scheme, black_box(values.view_mut()), &context)
                });
            });
        }
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1));
    targets = both, back
}
criterion_main!(benches);
