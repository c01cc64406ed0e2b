//! Attention whose heads are split among ranks.

use ndarray::{
    Array2, Array3, ArrayD, ArrayView2, ArrayView3, ArrayViewMut2, ArrayViewMut3, Axis, Slice,
};

use super::communicator::{Communicator, Term};
use super::{HeadPlan, row_parallel_linear};
use crate::linalg::{self, Real};
use crate::{Context, Error};

/// The rank's part of an attention block: rows of the first three weights, columns of the last.
#[derive(Clone, Copy, Debug)]
pub struct AttentionShard<'a, T> {
    /// To the rank's query heads, (h e, d).
    pub query: ArrayView2<'a, T>,
    /// To the heads of keys that these need, (`h_kv` e, d).
    pub key: ArrayView2<'a, T>,
    /// To their values, (`h_kv` e, d).
    pub value: ArrayView2<'a, T>,
    /// From the query heads to the outputs, (d, h e).
    pub output: ArrayView2<'a, T>,
}

/// What a position looks at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mask {
    /// Not at later positions.
    pub is_causal: bool,
    /// Only at those fewer than so many positions before it.
    pub window: Option<usize>,
}

impl Mask {
    fn admits(self, query: usize, key: usize) -> bool {
        !(self.is_causal && key > query || self.window.is_some_and(|window| key + window <= query))
    }
}

/// Attention over the rows of `x`, (t, d), which all ranks have: each computes its heads, and `out`, (t, d), is
/// the sum over the ranks, whole on every one. `rotate` is given queries, then keys, (t, heads, e), before they
/// meet.
///
/// # Errors
///
/// If shapes do not fit `plan`; as [`row_parallel_linear`].
#[expect(clippy::too_many_arguments, reason = "an operation has as many arguments as it has")]
pub fn attention_parallel<T: Real + Term>(
    x: ArrayView2<'_, T>,
    shard: &AttentionShard<'_, T>,
    plan: &HeadPlan,
    mask: Mask,
    rotate: impl Fn(ArrayViewMut3<'_, T>),
    out: ArrayViewMut2<'_, T>,
    comm: &impl Communicator,
    context: &Context<'_>,
) -> Result<(), Error> {
    let (heads, kv_heads) = (plan.query().len(), plan.kv().len());
    let project = |weight: ArrayView2<'_, T>, name, heads: usize| {
        let rows = weight.nrows();
        if (rows == 0) != (heads == 0) || !rows.is_multiple_of(heads) {
            let expected = format!("a multiple of the rank's heads, {heads}");
            return Err(Error::Count { name, actual: rows, expected });
        }
        let mut y = Array2::from_elem((x.nrows(), rows), T::default());
        let (x, weight) = (x.into_dyn(), weight.into_dyn());
        linalg::linear(x, weight, None, None, y.view_mut().into_dyn(), context)?;
        // (t, h e) to (t, h, e)
        let shape = (y.nrows(), heads, rows.checked_div(heads).unwrap_or(0));
        Ok(Array3::from_shape_vec(shape, y.into_raw_vec_and_offset().0).unwrap_or_default())
    };
    let mut query = project(shard.query, "the rows of query", heads)?;
    let mut key = project(shard.key, "the rows of key", kv_heads)?;
    let value = project(shard.value, "the rows of value", kv_heads)?;
    for array in [&key, &value] {
        linalg::expect(&array.view().into_dyn(), &[x.nrows(), kv_heads, query.dim().2])?;
    }
    rotate(query.view_mut());
    rotate(key.view_mut());
    let mut mixed = Array3::from_elem(query.dim(), T::default());
    for segment in plan.segments() {
        let (key, value) =
            (key.index_axis(Axis(1), segment.kv), value.index_axis(Axis(1), segment.kv));
        let heads = Slice::from(segment.query);
        let (query, mixed) =
            (query.slice_axis(Axis(1), heads), mixed.slice_axis_mut(Axis(1), heads));
        attend(query, key, value, mask, mixed, context)?;
    }
    let (rows, features) = (x.nrows(), shard.query.nrows());
    let mixed = ArrayD::from_shape_vec(vec![rows, features], mixed.into_raw_vec_and_offset().0)
        .unwrap_or_default();
    row_parallel_linear(mixed.view(), shard.output, None, out.into_dyn(), comm, context)
}

/// softmax(q kᵀ / √e) v for query heads (t, h, e) that share keys and values (t, e): the definition.
fn attend<T: Real>(
    query: ArrayView3<'_, T>,
    key: ArrayView2<'_, T>,
    value: ArrayView2<'_, T>,
    mask: Mask,
    mut out: ArrayViewMut3<'_, T>,
    context: &Context<'_>,
) -> Result<(), Error> {
    let scale = (key.ncols() as f64).sqrt().recip();
    let mut weights = Array2::from_elem((query.dim().0, key.nrows()), T::default());
    for (query, out) in query.axis_iter(Axis(1)).zip(out.axis_iter_mut(Axis(1))) {
        linalg::multiply(query, key.t(), weights.view_mut(), context)?;
        for (i, mut row) in weights.outer_iter_mut().enumerate() {
            let score = |(j, &s): (usize, &T)| {
                if mask.admits(i, j) { s.to_f64() * scale } else { f64::NEG_INFINITY }
            };
            let scores: Vec<f64> = row.iter().enumerate().map(score).collect();
            let largest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let sum: f64 = scores.iter().map(|s| (s - largest).exp()).sum();
            for (weight, score) in row.iter_mut().zip(scores) {
                *weight = T::from_f64((score - largest).exp() / sum);
            }
        }
        linalg::multiply(weights.view(), value, out, context)?;
    }
    Ok(())
}
