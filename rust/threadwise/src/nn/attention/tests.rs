//! Attention in pages, against its formula and against itself.

use std::ops::Range;

use ndarray::{Array2, Array3, Array4, ArrayView1, ArrayView2, Slice};
use threadwise_kernels::attention::Stored;
use threadwise_runtime::Interrupt;

use super::*;

fn wave(shape: (usize, usize, usize, usize), seed: f32) -> Array4<f32> {
    let mut i = seed;
    Array4::from_shape_simple_fn(shape, || {
        i += 0.7;
        i.sin() * 1.5
    })
}

/// As the formula reads, in double precision, for one query.
fn definition(
    query: ArrayView1<'_, f32>,
    keys: ArrayView2<'_, f32>,
    values: ArrayView2<'_, f32>,
    seen: Range<usize>,
) -> Vec<f64> {
    let scale = 1.0 / (query.len() as f64).sqrt();
    let score = |j: usize| -> f64 {
        let pairs = query.iter().zip(keys.row(j));
        pairs.map(|(q, k)| f64::from(*q) * f64::from(*k)).sum::<f64>() * scale
    };
    let weights: Vec<f64> = seen.clone().map(|j| score(j).exp()).collect();
    let sum: f64 = weights.iter().sum();
    let value = |d: usize| {
        weights.iter().zip(seen.clone()).map(move |(w, j)| w / sum * f64::from(values[[j, d]]))
    };
    (0..query.len()).map(|d| value(d).sum()).collect()
}

fn run(operands: [&Array4<f32>; 3], view: View, threads: usize) -> Array4<f32> {
    let [q, k, v] = operands.map(|x| x.view().into_dyn());
    let isa = Isa::current().unwrap();
    let context = Context { isa, threads, interrupt: Interrupt::never(), distribution: None };
    let mut out = Array4::from_elem(operands[0].dim(), f32::NAN);
    attention(q, k, v, view, out.view_mut().into_dyn(), &context).unwrap();
    out
}

const CAUSAL: View = View { is_causal: true, window: None, scale: None };

#[test]
fn every_head_sees_what_it_should_and_threads_do_not_change_a_bit() {
    for (heads, kv_heads, queries, keys, width) in [
        (1, 1, 1, 1, 1),
        (4, 2, 5, 5, 7),
        (8, 1, 1, 700, 24),
        (3, 3, 70, 70, 17),
        (6, 2, 30, 330, 16),
        (60, 1, 2, 40, 8),
        (2, 1, 9, 4, 8),
    ] {
        let (q, k) = (wave((2, heads, queries, width), 0.1), wave((2, kv_heads, keys, width), 0.5));
        let v = wave((2, kv_heads, keys, width), 9.0);
        let views = [None, Some(1), Some(3), Some(300)].map(|window| View { window, ..CAUSAL });
        for view in [&views[..], &[View { is_causal: false, ..CAUSAL }]].concat() {
            let result = run([&q, &k, &v], view, 1);
            for (b, h, i) in ndarray::indices((2, heads, queries)) {
                let end =
                    if view.is_causal { (keys + i + 1).saturating_sub(queries) } else { keys };
                let seen = view.window.map_or(0, |window| end.saturating_sub(window))..end;
                let kv = h / (heads / kv_heads);
                let head = |x: &Array4<f32>, h: usize| -> Array2<f32> {
                    x.index_axis(Axis(0), b).index_axis(Axis(0), h).to_owned()
                };
                let (q, k, v) = (head(&q, h), head(&k, kv), head(&v, kv));
                let exact = definition(q.row(i), k.view(), v.view(), seen);
                for (y, exact) in head(&result, h).row(i).iter().zip(exact) {
                    let what = format!(
                        "{heads}/{kv_heads} heads, {queries}, {keys}, {view:?}, {b} {h} {i}"
                    );
                    assert!((f64::from(*y) - exact).abs() < 2e-4, "{what}: {y}, not {exact}");
                }
            }
            for threads in 2..=4 {
                assert_eq!(run([&q, &k, &v], view, threads), result, "{threads} threads");
            }
        }
    }
}

/// One layer's attention over a cache, chunk by chunk, as a model would do it.
struct Chunk<'a, S> {
    schedule: Schedule,
    lent: Lent<'a, S>,
    partials: Shared<'a, f32>,
    rows: Cut,
    tokens: [ArrayView3<'a, f32>; 3],
    out: Shared<'a, f32>,
    places: Cut,
    heads: Heads,
}

impl<S: Stored> Phased for Chunk<'_, S> {
    fn phases(&self) -> usize {
        3
    }

    fn items(&self, phase: usize) -> usize {
        [self.schedule.stores(), self.schedule.works(), self.schedule.unions()][phase]
    }

    fn run(&self, item: &Item<'_>) -> Result<(), Error> {
        let (schedule, number, [q, k, v]) = (&self.schedule, item.number(), &self.tokens);
        let place = |_, query, head| {
            let piece = self.out.piece(item, self.places, query * self.heads.kv_heads + head);
            let group = self.heads.heads / self.heads.kv_heads;
            piece.into_shape_with_order((group, self.heads.width)).unwrap()
        };
        match item.phase() {
            0 => schedule.store(item, number, &self.lent, 1, |_| [k.view(), v.view()]),
            1 => {
                let (isa, partials) = (Isa::current()?, (&self.partials, self.rows));
                schedule.attend(item, number, isa, &self.lent, 1, partials, |_| q.view(), place)
            }
            _ => schedule.unite(item, number, &self.partials, place),
        }
    }
}

fn cached<S: Stored>(
    cache: &mut KvCache<S>,
    heads: Heads,
    tokens: [ArrayView3<'_, f32>; 3],
    threads: usize,
) -> Array2<f32> {
    let count = tokens[0].len_of(Axis(0));
    let first = cache.length(0);
    cache.reserve(0, count).unwrap();
    let span = Span { sequence: 0, first, count, queries: count };
    let page = cache.page();
    let schedule = Schedule::new(heads, vec![span], page);
    let mut memory = Array2::from_elem(schedule.partials(), f32::NAN);
    let mut result = Array2::from_elem((count, heads.heads * heads.width), f32::NAN);
    let region = Region::new();
    let lent = cache.lend(&region);
    let mut partials = region.share(memory.view_mut());
    let rows = partials.cut(1, partials.dim().1.max(1));
    let mut out = region.share(result.view_mut());
    let places = out.cut(1, heads.heads / heads.kv_heads * heads.width);
    let chunk = Chunk { schedule, lent, partials, rows, tokens, out, places, heads };
    let isa = Isa::current().unwrap();
    let context = Context { isa, threads, interrupt: Interrupt::never(), distribution: None };
    context.run(region, threads, &chunk).unwrap();
    cache.advance(0, count);
    result
}

/// A cache that is filled in chunks of these lengths gives what attention at once gives.
fn check<S: Stored>(window: Option<usize>, chunks: &[usize], error: f32) {
    let (heads, kv_heads, width) = (6, 2, 10);
    let tokens = chunks.iter().sum();
    let operands =
        [heads, kv_heads, kv_heads].map(|heads| wave((1, heads, tokens, width), heads as f32));
    let [q, k, v] = &operands;
    let view = View { window, ..CAUSAL };
    let expected = run([q, k, v], view, 1);
    let scale = 1.0 / 10.0_f32.sqrt();
    let heads = Heads { heads, kv_heads, width, scale, is_causal: true, window };
    let shape = CacheShape { layers: 2, kv_heads, width, window };
    for threads in [1, 3] {
        let mut cache = KvCache::<S>::new(shape, tokens, 1).unwrap();
        let mut first = 0;
        for &count in chunks {
            let by_token = |x: &Array4<f32>| -> Array3<f32> {
                let chunk = x.index_axis(Axis(0), 0);
                let chunk = chunk.slice_axis(Axis(1), Slice::from(first..first + count));
                chunk.permuted_axes([1, 0, 2]).as_standard_layout().into_owned()
            };
            let [q, k, v] = [q, k, v].map(by_token);
            let result = cached(&mut cache, heads, [q.view(), k.view(), v.view()], threads);
            for ((i, column), y) in result.indexed_iter() {
                let exact = expected[[0, column / width, first + i, column % width]];
                let what =
                    format!("{} in {chunks:?}, window {window:?}, token {}", S::NAME, first + i);
                assert!((y - exact).abs() <= error, "{what}: {y}, not {exact}");
            }
            first += count;
        }
    }
}

#[test]
fn a_cache_gives_what_attention_at_once_gives_however_it_is_filled() {
    let by_one = [1; 80];
    for window in [None, Some(1), Some(16), Some(70)] {
        for chunks in [&[200][..], &[64, 64, 72], &[1, 63, 2, 100, 1, 1, 1], &by_one, &[1100, 1, 1]]
        {
            check::<f32>(window, chunks, 1e-5);
            check::<half::f16>(window, chunks, 2e-3);
            check::<i8>(window, chunks, 3e-2);
        }
    }
}
