//! Attention whose heads are split among ranks.

use ndarray::{
    Array2, Array3, ArrayD, ArrayView2, ArrayView3, ArrayViewMut2, ArrayViewMut3, Axis, Slice,
};

use super::communicator::{Communicator, Term};
use super::{HeadPlan, row_parallel_linear};
use crate::linalg::{self, Real};
use crate::nn::attention::View;
use crate::{Context, Error, nn};

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

/// Numbers of which heads attend.
pub trait Head: Real + Term {
    /// softmax(q kᵀ · scale) v for query heads (t, h, e) that share keys and values (t, e), of which `view` says
    /// which are seen.
    ///
    /// # Errors
    ///
    /// As [`nn::attention::attention`].
    fn attend(
        query: ArrayView3<'_, Self>,
        key: ArrayView2<'_, Self>,
        value: ArrayView2<'_, Self>,
        view: View,
        out: ArrayViewMut3<'_, Self>,
        context: &Context<'_>,
    ) -> Result<(), Error>;
}

/// By the kernel.
impl Head for f32 {
    fn attend(
        query: ArrayView3<'_, Self>,
        key: ArrayView2<'_, Self>,
        value: ArrayView2<'_, Self>,
        view: View,
        out: ArrayViewMut3<'_, Self>,
        context: &Context<'_>,
    ) -> Result<(), Error> {
        // (t, h, e) to (h, t, e), and one head of keys
        let query = query.permuted_axes([1, 0, 2]).into_dyn();
        let [key, value] = [key, value].map(|x| x.insert_axis(Axis(0)).into_dyn());
        let out = out.permuted_axes([1, 0, 2]).into_dyn();
        nn::attention::attention(query, key, value, view, out, context)
    }
}

/// By the definition, with a table of all pairs of positions.
impl Head for f64 {
    fn attend(
        query: ArrayView3<'_, Self>,
        key: ArrayView2<'_, Self>,
        value: ArrayView2<'_, Self>,
        view: View,
        mut out: ArrayViewMut3<'_, Self>,
        context: &Context<'_>,
    ) -> Result<(), Error> {
        let scale = view.scale.unwrap_or((key.ncols() as f64).sqrt().recip());
        let is_seen = |i: usize, j: usize| {
            !(view.is_causal && j > i || view.window.is_some_and(|window| j + window <= i))
        };
        let mut weights = Array2::zeros((query.dim().0, key.nrows()));
        for (query, out) in query.axis_iter(Axis(1)).zip(out.axis_iter_mut(Axis(1))) {
            linalg::multiply(query, key.t(), weights.view_mut(), context)?;
            for (i, mut row) in weights.outer_iter_mut().enumerate() {
                for (j, score) in row.iter_mut().enumerate() {
                    *score = if is_seen(i, j) { *score * scale } else { f64::NEG_INFINITY };
                }
                let largest = row.fold(f64::NEG_INFINITY, |m, &s| m.max(s));
                row.mapv_inplace(|score| (score - largest).exp());
                let sum = row.sum();
                row.mapv_inplace(|weight| weight / sum);
            }
            linalg::multiply(weights.view(), value, out, context)?;
        }
        Ok(())
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
pub fn attention_parallel<T: Head>(
    x: ArrayView2<'_, T>,
    shard: &AttentionShard<'_, T>,
    plan: &HeadPlan,
    view: View,
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
        T::attend(query, key, value, view, mixed, context)?;
    }
    let (rows, features) = (x.nrows(), shard.query.nrows());
    let mixed = ArrayD::from_shape_vec(vec![rows, features], mixed.into_raw_vec_and_offset().0)
        .unwrap_or_default();
    row_parallel_linear(mixed.view(), shard.output, None, out.into_dyn(), comm, context)
}
