//! Logits, of whatever comes together.

use ndarray::{Array2, ArrayView2, Axis, Slice};
use threadwise_runtime::Interrupt;

use super::super::forward::CHUNK;
use super::super::{
    Cache, CacheType, CausalLm, Input, ModelShape, Packing, Part, Wanted, ZeroKind,
};
use super::model::{Kind, Tiny, shape};
use crate::dots::Inputs;
use crate::nn::rope::Scaling;
use crate::store::Dtype;
use crate::{Context, Isa};

pub(super) fn context(threads: usize) -> Context<'static> {
    let isa = Isa::current().unwrap();
    Context { isa, threads, interrupt: Interrupt::never(), distribution: None }
}

pub(super) fn tokens(count: usize, seed: usize) -> Vec<usize> {
    (0..count).map(|i| (i * i * 7 + i * seed + seed) % 37).collect()
}

fn load(tiny: &Tiny, inputs: Inputs) -> CausalLm {
    let part = Part::whole(&tiny.shape);
    CausalLm::load(tiny.path(), tiny.shape.clone(), &tiny.packings, part, inputs, &context(2))
        .unwrap()
}

/// Logits of sequences that begin in some slots, on so many threads.
fn forward(
    model: &CausalLm,
    cache: &mut Cache,
    ids: &[&[usize]],
    slots: &[usize],
    wanted: Wanted,
    threads: usize,
) -> Array2<f32> {
    let counts: Vec<usize> = ids.iter().map(|ids| ids.len()).collect();
    let mut out = Array2::from_elem((model.rows(&counts, wanted), model.outputs()), f32::NAN);
    let view = out.view_mut();
    model.forward(Input::Ids(ids), slots, cache, wanted, view, None, &context(threads)).unwrap();
    out
}

fn alone(model: &CausalLm, ids: &[usize], kind: CacheType) -> Array2<f32> {
    let mut cache = Cache::new(model, 1, ids.len(), kind).unwrap();
    forward(model, &mut cache, &[ids], &[0], Wanted::All, 1)
}

fn farthest(y: ArrayView2<'_, f32>, exact: &Array2<f64>) -> f64 {
    assert_eq!(y.dim(), exact.dim(), "logits");
    y.iter().zip(exact).map(|(y, exact)| (f64::from(*y) - exact).abs()).fold(0.0, f64::max)
}

/// What models are made of: heads, windows, biases, angles.
fn shapes() -> Vec<ModelShape> {
    let llama3 = Scaling::Llama3 {
        factor: 8.0,
        low_freq_factor: 1.0,
        high_freq_factor: 4.0,
        original_context: 64.0,
    };
    vec![
        shape(6, 2, 8),
        ModelShape { window: Some(5), is_tied: true, ..shape(4, 4, 10) },
        ModelShape { qkv_bias: true, rope_theta: 1e6, ..shape(5, 1, 6) },
        ModelShape { o_bias: true, mlp_bias: true, rope_scaling: Some(llama3), ..shape(8, 2, 16) },
        ModelShape { window: Some(1), hidden_size: 80, ffn: 33, ..shape(2, 1, 80) },
    ]
}

#[test]
fn logits_are_those_of_the_definition_for_every_type_of_weight() {
    let ids = tokens(23, 3);
    for shape in shapes() {
        for dtype in [Dtype::F32, Dtype::F16, Dtype::Bf16] {
            let tiny = Tiny::new(shape.clone(), Kind::Plain(dtype));
            let exact = tiny.logits(&ids);
            let model = load(&tiny, Inputs::Int8);
            let error = farthest(alone(&model, &ids, CacheType::F32).view(), &exact);
            assert!(error <= 1e-4, "{shape:?}, {dtype}: {error}");
            for (kind, bound) in [(CacheType::F16, 0.02), (CacheType::I8, 0.15)] {
                let error = farthest(alone(&model, &ids, kind).view(), &exact);
                assert!(error <= bound, "{shape:?}, {dtype}, {kind:?}: {error}");
            }
        }
    }
}

pub(super) fn packings() -> Vec<Packing> {
    let mut all = Vec::new();
    for (bits, group) in [(2, Some(16)), (3, Some(32)), (4, Some(32)), (4, None), (8, Some(16))] {
        for zeros in [ZeroKind::Symmetric, ZeroKind::Minimum, ZeroKind::Code] {
            all.push(Packing { bits, group, zeros });
        }
    }
    all
}

#[test]
fn quantized_logits_are_those_of_the_values_that_codes_stand_for() {
    let ids = tokens(11, 5);
    for packing in packings() {
        for shape in &shapes()[..2] {
            let tiny = Tiny::new(shape.clone(), Kind::Packed(packing));
            let exact = tiny.logits(&ids);
            let largest = exact.fold(0.0_f64, |largest, x| largest.max(x.abs()));
            let made = |inputs| alone(&load(&tiny, inputs), &ids, CacheType::F32);
            let error = farthest(made(Inputs::Float).view(), &exact);
            assert!(error <= 2e-4 * largest.max(1.0), "{packing:?}: {error}");
            let error = farthest(made(Inputs::Int8).view(), &exact);
            assert!(error <= 0.1 * largest, "{packing:?}: {error} of {largest}");
        }
    }
}

#[test]
fn bits_depend_neither_on_threads_nor_on_what_is_done_together() {
    let count = CHUNK + 90;
    let ids = tokens(count, 3);
    let packing = Packing { bits: 4, group: Some(16), zeros: ZeroKind::Minimum };
    let windowed = ModelShape { window: Some(70), layers: 2, ..shape(6, 2, 8) };
    let models = [
        (ModelShape { layers: 2, ..shape(6, 2, 8) }, Kind::Plain(Dtype::Bf16)),
        (windowed.clone(), Kind::Plain(Dtype::F32)),
        (windowed, Kind::Packed(packing)),
    ];
    for (shape, kind) in models {
        let tiny = Tiny::new(shape, kind);
        let model = load(&tiny, Inputs::Int8);
        for kind in [CacheType::F32, CacheType::I8] {
            let mut cache = Cache::new(&model, 3, count, kind).unwrap();
            let expected = forward(&model, &mut cache, &[&ids], &[0], Wanted::All, 1);
            for threads in 2..=4 {
                cache.free(0).unwrap();
                let again = forward(&model, &mut cache, &[&ids], &[0], Wanted::All, threads);
                assert_eq!(again, expected, "{threads} threads");
            }
            // Another chunk, then one by one, then the rest; the others begin beside it.
            let (mut row, others) = (0, [tokens(40, 9), tokens(7, 2)]);
            for (i, step) in [100, 1, 1, 1, 1, 30, 1, count - 135].into_iter().enumerate() {
                let part = &ids[row..row + step];
                let mut all = vec![part];
                all.extend(others.iter().filter(|_| i == 0).map(Vec::as_slice));
                let slots = [1, 0, 2];
                let free = if i == 0 { &slots[1..] } else { &[] };
                for slot in free {
                    cache.free(*slot).unwrap();
                }
                let slots = &slots[..all.len()];
                let y = forward(&model, &mut cache, &all, slots, Wanted::All, 2);
                let rows = Slice::from(row..row + step);
                let first = Slice::from(..step);
                let what = format!("tokens {row} to {}", row + step);
                assert_eq!(
                    y.slice_axis(Axis(0), first),
                    expected.slice_axis(Axis(0), rows),
                    "{what}"
                );
                row += step;
                if i == 0 {
                    let mut from = step;
                    for other in &others {
                        let rows = Slice::from(from..from + other.len());
                        let y = y.slice_axis(Axis(0), rows);
                        let kind = alone_in(&model, other, count, kind);
                        assert_eq!(y, kind, "beside it");
                        from += other.len();
                    }
                }
            }
        }
    }
}

/// Alone in a cache with room for `room` tokens: its pages are as long.
fn alone_in(model: &CausalLm, ids: &[usize], room: usize, kind: CacheType) -> Array2<f32> {
    let mut cache = Cache::new(model, 1, room, kind).unwrap();
    forward(model, &mut cache, &[ids], &[0], Wanted::All, 1)
}

#[test]
fn the_last_rows_are_those_of_all() {
    let tiny = Tiny::new(shape(4, 2, 8), Kind::Plain(Dtype::F16));
    let model = load(&tiny, Inputs::Int8);
    let sequences = [tokens(200, 3), tokens(1, 2), tokens(150, 5), tokens(30, 7)];
    let ids: Vec<&[usize]> = sequences.iter().map(Vec::as_slice).collect();
    let mut cache = Cache::new(&model, 4, 256, CacheType::F32).unwrap();
    let all = forward(&model, &mut cache, &ids, &[3, 0, 1, 2], Wanted::All, 2);
    let mut cache = Cache::new(&model, 4, 256, CacheType::F32).unwrap();
    let last = forward(&model, &mut cache, &ids, &[0, 1, 2, 3], Wanted::Last, 2);
    let mut end = 0;
    for (sequence, ids) in ids.iter().enumerate() {
        end += ids.len();
        assert_eq!(last.row(sequence), all.row(end - 1), "sequence {sequence}");
        assert_eq!(cache.length(sequence).unwrap(), ids.len());
    }
}

#[test]
fn a_sequence_goes_on_from_where_it_was_cut() {
    let tiny = Tiny::new(shape(4, 2, 8), Kind::Plain(Dtype::F32));
    let model = load(&tiny, Inputs::Int8);
    let ids = tokens(30, 3);
    let mut cache = Cache::new(&model, 1, 100, CacheType::F32).unwrap();
    let expected = forward(&model, &mut cache, &[&ids], &[0], Wanted::Last, 1);
    forward(&model, &mut cache, &[&tokens(20, 8)], &[0], Wanted::Last, 1);
    cache.truncate(0, 12).unwrap();
    let again = forward(&model, &mut cache, &[&ids[12..]], &[0], Wanted::Last, 1);
    assert_eq!(again, expected);
}

#[test]
fn an_interrupt_ends_it_between_phases() {
    let tiny = Tiny::new(shape(4, 2, 8), Kind::Plain(Dtype::F32));
    let model = load(&tiny, Inputs::Int8);
    let mut cache = Cache::new(&model, 1, 100_000, CacheType::F32).unwrap();
    let stop = || true;
    let context = Context { interrupt: Interrupt::when(&stop), ..context(2) };
    let ids = tokens(100_000, 3);
    let mut out = Array2::zeros((1, 37));
    let view = out.view_mut();
    let ids: &[&[usize]] = &[&ids];
    let outcome =
        model.forward(Input::Ids(ids), &[0], &mut cache, Wanted::Last, view, None, &context);
    assert!(matches!(outcome, Err(crate::Error::Interrupted(_))), "{outcome:?}");
    assert!(cache.length(0).unwrap() < 100_000, "it is not through");
}
