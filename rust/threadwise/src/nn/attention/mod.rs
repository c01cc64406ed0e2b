//! Attention: softmax(q·kᵀ·scale)·v over the keys that each query sees.
//!
//! `cache` has keys and values in pages, `schedule` cuts the work into items of a region; [`attention`] is both
//! for arrays that are at hand.

mod cache;
mod schedule;
#[cfg(test)]
mod tests;

use ndarray::{
    ArrayD, ArrayView3, ArrayView4, ArrayViewD, ArrayViewMut2, ArrayViewMutD, Axis, CowArray, Ix4,
    Order,
};
use threadwise_kernels::Element;
use threadwise_kernels::attention::Layout;
use threadwise_runtime::with_scratch;

use crate::error::{Error, Extent, Shape};
use crate::linalg::Real;
use crate::phased::{Cut, Item, Phased, Region, Shared};
use crate::work::{Choice, Load, calibration};
use crate::{Context, Isa, linalg};

pub use cache::{CacheShape, KvCache, Lent};
pub use schedule::{Heads, Schedule, Span};

/// Tokens of a page of keys and values that live for one call.
const PAGE: usize = 256;

/// Multiply-adds below which one thread is the answer without asking: some two microseconds.
const AT_ONCE: usize = 100_000;

/// What a query sees, and how scores are scaled.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct View {
    /// Whether a query sees no key behind its own, where the last query's own is the last key.
    pub is_causal: bool,
    /// How many keys a query sees at most, the last of them its own.
    pub window: Option<usize>,
    /// What q·k is multiplied by; 1/√e, if it is not said.
    pub scale: Option<f64>,
}

/// Shapes of operands that fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Sizes {
    batch: usize,
    heads: usize,
    kv_heads: usize,
    queries: usize,
    keys: usize,
    width: usize,
}

/// The shape of [`attention`]'s result, which is that of `q`.
///
/// # Errors
///
/// If an operand has fewer than two axes, or extents that should be equal are not: those of `k` and `v`; numbers
/// of `q` and `k`, and axes before the heads; or the heads of `k` do not divide those of `q`.
pub fn attention_shape(q: &[usize], k: &[usize], v: &[usize]) -> Result<Vec<usize>, Error> {
    sizes(q, k, v)?;
    Ok(q.to_vec())
}

fn sizes(q: &[usize], k: &[usize], v: &[usize]) -> Result<Sizes, Error> {
    for (name, shape) in [("q", q), ("k", k), ("v", v)] {
        if shape.len() < 2 {
            let expected = "at least two axes, positions and numbers, and heads before them";
            return Err(Error::Axes { name, shape: Shape::from(shape), expected });
        }
    }
    if v != k {
        let expected = "that of k";
        return Err(Error::Axes { name: "v", shape: Shape::from(v), expected });
    }
    let extent = |name, shape: &[usize], length, unit| Extent {
        name,
        length,
        unit,
        shape: Shape::from(shape),
    };
    let unequal = |one, other| Err(Error::Extents(Box::new([one, other])));
    let [batch @ .., queries, width] = q else { unreachable!("two axes") };
    let [k_batch @ .., keys, k_width] = k else { unreachable!("two axes") };
    if batch.len() != k_batch.len() {
        return unequal(extent("k", k, k.len(), "axes"), extent("q", q, q.len(), "axes"));
    }
    if width != k_width {
        let unit = "numbers in a row";
        return unequal(extent("k", k, *k_width, unit), extent("q", q, *width, unit));
    }
    let (batch, heads) = batch.split_last().map_or((&[][..], 1), |(heads, batch)| (batch, *heads));
    let (k_batch, kv_heads) = k_batch.split_last().map_or((&[][..], 1), |(h, batch)| (batch, *h));
    for (ours, theirs) in batch.iter().zip(k_batch) {
        if ours != theirs {
            let unit = "sequences";
            return unequal(extent("k", k, *theirs, unit), extent("q", q, *ours, unit));
        }
    }
    if kv_heads == 0 && heads > 0 || kv_heads > 0 && !heads.is_multiple_of(kv_heads) {
        let expected = format!("a divisor of the {heads} of q");
        return Err(Error::Count { name: "the number of heads of k", actual: kv_heads, expected });
    }
    let batch = batch.iter().product();
    Ok(Sizes { batch, heads, kv_heads, queries: *queries, keys: *keys, width: *width })
}

/// `out = softmax(q @ k.T * scale) @ v` over the keys that each query sees; of shape (…, h, t, e), k and v of
/// (…, `h_kv`, s, e). A query that sees no key gives zeros.
///
/// # Errors
///
/// If shapes do not fit, the scale is not finite, or the window is empty or without causality (then `out` is
/// untouched); if memory runs out, or the context's interrupt is due.
pub fn attention(
    q: ArrayViewD<'_, f32>,
    k: ArrayViewD<'_, f32>,
    v: ArrayViewD<'_, f32>,
    view: View,
    mut out: ArrayViewMutD<'_, f32>,
    context: &Context<'_>,
) -> Result<(), Error> {
    let sizes = sizes(q.shape(), k.shape(), v.shape())?;
    linalg::expect(&out, q.shape())?;
    let heads = heads(sizes, view)?;
    if out.is_empty() {
        return Ok(());
    }
    if !out.is_standard_layout() {
        let mut made = ArrayD::zeros(q.raw_dim());
        attention(q, k, v, view, made.view_mut(), context)?;
        out.assign(&made);
        return Ok(());
    }
    let out = out.as_slice_mut().unwrap_or_default();
    let [q, k, v] = [&q, &k, &v].map(|x| by_head(x, sizes.batch));
    let (q, k, v) = (q.view(), k.view(), v.view());

    let layout = Layout::new(sizes.width, PAGE);
    let pages = sizes.keys.div_ceil(PAGE);
    let span = |sequence| Span { sequence, first: 0, count: sizes.keys, queries: sizes.queries };
    let schedule = Schedule::new(heads, (0..sizes.batch).map(span).collect(), PAGE);
    let tables = (0..sizes.batch)
        .map(|i| cache::Table { first: 0, pages: (i * pages..(i + 1) * pages).collect() });
    let shape =
        CacheShape { layers: 1, kv_heads: sizes.kv_heads, width: sizes.width, window: None };
    let slabs = sizes.batch * pages * sizes.kv_heads;
    let partials = schedule.partials();
    let threads = threads(sizes, view, schedule.works(), context);
    with_scratch(slabs * layout.numbers(), |numbers: &mut [f32]| {
        with_scratch(partials.0 * partials.1, |memory: &mut [f32]| {
            let region = Region::new();
            let lent = Lent::new(&region, shape, layout, numbers, &mut [], tables.collect());
            let mut partials = region.share(cache::matrix(partials.0, partials.1, memory));
            let rows = partials.cut(1, partials.dim().1.max(1));
            // Rows are heads, and columns positions and numbers.
            let (down, across) = (sizes.batch * sizes.heads, sizes.queries * sizes.width);
            let mut out = region.share(cache::matrix(down, across, out));
            let places = out.cut(sizes.heads / sizes.kv_heads, sizes.width);
            let isa = context.isa;
            let call = Call { schedule, lent, partials, rows, q, k, v, out, places, sizes, isa };
            context.run(region, threads, &call)
        })
    })??
}

/// The heads, if the view makes sense.
fn heads(sizes: Sizes, view: View) -> Result<Heads, Error> {
    let scale = view.scale.unwrap_or(1.0 / (sizes.width as f64).sqrt());
    let rounded = f32::from_f64(scale);
    if sizes.width > 0 && !rounded.is_finite() {
        let expected = "a finite number, also when rounded to float32";
        return Err(Error::Domain { name: "scale", actual: scale, expected });
    }
    match view.window {
        Some(0) => {
            let expected = "at least 1: a query sees its own key".to_owned();
            return Err(Error::Count { name: "window", actual: 0, expected });
        }
        Some(actual) if !view.is_causal => {
            let expected =
                "None without causal=True: a window ends at the query's own key".to_owned();
            return Err(Error::Count { name: "window", actual, expected });
        }
        _ => {}
    }
    let Sizes { heads, kv_heads, width, .. } = sizes;
    let View { is_causal, window, .. } = view;
    Ok(Heads { heads, kv_heads, width, scale: rounded, is_causal, window })
}

/// An operand by sequence, head, position and number.
fn by_head<'a>(x: &'a ArrayViewD<'_, f32>, batch: usize) -> CowArray<'a, f32, Ix4> {
    let &[.., positions, width] = x.shape() else { unreachable!("two axes") };
    let heads = if x.ndim() > 2 { x.shape()[x.ndim() - 3] } else { 1 };
    let shape = (batch, heads, positions, width);
    // Only axes of sequences that do not lie one after the other are copied.
    x.to_shape((shape, Order::RowMajor)).unwrap_or_else(|_| unreachable!("as many elements"))
}

/// One call's attention, as a region: keys and values are stored, queries attend, chunks are united.
struct Call<'a> {
    schedule: Schedule,
    lent: Lent<'a, f32>,
    partials: Shared<'a, f32>,
    rows: Cut,
    q: ArrayView4<'a, f32>,
    k: ArrayView4<'a, f32>,
    v: ArrayView4<'a, f32>,
    out: Shared<'a, f32>,
    places: Cut,
    sizes: Sizes,
    isa: Isa,
}

impl Call<'_> {
    /// The tokens of a sequence, by position, head and number.
    fn sequence<'i>(x: &'i ArrayView4<'_, f32>, sequence: usize) -> ArrayView3<'i, f32> {
        let mut x = x.index_axis(Axis(0), sequence);
        x.swap_axes(0, 1);
        x
    }

    /// Where the results of a query go, of all heads that share a head of keys.
    fn place<'i>(
        &'i self,
        item: &'i Item<'_>,
        (sequence, query, head): (usize, usize, usize),
    ) -> ArrayViewMut2<'i, f32> {
        let row = sequence * self.sizes.kv_heads + head;
        self.out.piece(item, self.places, row * self.sizes.queries + query)
    }
}

impl Phased for Call<'_> {
    fn phases(&self) -> usize {
        3
    }

    fn items(&self, phase: usize) -> usize {
        [self.schedule.stores(), self.schedule.works(), self.schedule.unions()][phase]
    }

    fn run(&self, item: &Item<'_>) -> Result<(), Error> {
        let (schedule, number) = (&self.schedule, item.number());
        let place = |span, query, head| self.place(item, (span, query, head));
        match item.phase() {
            0 => {
                let tokens = |span| [&self.k, &self.v].map(|x| Self::sequence(x, span));
                schedule.store(item, number, &self.lent, 0, tokens)
            }
            1 => {
                let queries = |span| Self::sequence(&self.q, span);
                let partials = (&self.partials, self.rows);
                schedule.attend(item, number, self.isa, &self.lent, 0, partials, queries, place)
            }
            _ => schedule.unite(item, number, &self.partials, place),
        }
    }
}

/// Multiply-adds of such an attention, about: twice those of half the scores, where half of them are not seen.
#[must_use]
pub fn attention_cost(q: &[usize], k: &[usize], is_causal: bool) -> usize {
    let keys = if let [.., keys, _] = k { *keys } else { 0 };
    let rows = q.iter().product::<usize>();
    rows.saturating_mul(keys).saturating_mul(if is_causal { 1 } else { 2 })
}

/// Threads that it is worth to attend in so many items.
fn threads(sizes: Sizes, view: View, items: usize, context: &Context<'_>) -> usize {
    let Sizes { batch, heads, kv_heads, queries, keys, width } = sizes;
    let cost = attention_cost(&[batch, heads, queries, width], &[keys, width], view.is_causal);
    if context.threads <= 1 || cost < AT_ONCE {
        return 1;
    }
    let [written, read] =
        [heads * queries, 2 * kv_heads * keys].map(|rows| (4 * batch * rows * width) as f64);
    // What is packed is read again.
    let load = Load { kind: f32::RATE, multiply_adds: cost as f64, read: 2.0 * read, written };
    let (machine, _) = calibration::current(context.isa);
    Choice::for_call(&machine, load, context.threads, items).threads
}
