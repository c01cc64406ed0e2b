//! Layers whose weights are split among ranks.
//!
//! Source: M. Shoeybi et al., *Megatron-LM: Training Multi-Billion Parameter Language Models Using Model
//! Parallelism*, 2019, arXiv:1909.08053, section 3: a layer split by column and after it one split by row need
//! one sum over all ranks between them. A rank without any features takes part in that with zeros.

use ndarray::{ArrayD, ArrayView2, ArrayViewD, ArrayViewMutD, Axis, Zip};

use super::communicator::{Communicator, Term};
use crate::linalg::{self, Real};
use crate::{Activation, Context, Error};

/// What of a layer's output this rank computes: `out = f(x @ weight.T + bias)` for the rank's rows of the
/// weight and elements of the bias. `x` is the same on all ranks.
///
/// # Errors
///
/// As [`linalg::linear`].
pub fn column_parallel_linear<T: Real>(
    x: ArrayViewD<'_, T>,
    weight: ArrayView2<'_, T>,
    bias: Option<&[T]>,
    activation: Option<Activation>,
    out: ArrayViewMutD<'_, T>,
    context: &Context<'_>,
) -> Result<(), Error> {
    linalg::linear(x, weight.into_dyn(), bias, activation, out, context)
}

/// A layer's whole output on every rank: the sum over the ranks of `x @ weight.T`, each for its columns of the
/// weight and the features that they belong to, then `bias`, which all ranks have whole.
///
/// # Errors
///
/// As [`linalg::linear`] and [`Communicator::all_reduce`]. If a rank fails, the others wait for it until
/// their communicator is stopped.
pub fn row_parallel_linear<T: Real + Term>(
    x: ArrayViewD<'_, T>,
    weight: ArrayView2<'_, T>,
    bias: Option<&[T]>,
    mut out: ArrayViewMutD<'_, T>,
    comm: &impl Communicator,
    context: &Context<'_>,
) -> Result<(), Error> {
    // The bias is not added yet, but has to fit already.
    let bias_shape = bias.map(|bias| [bias.len()]);
    let bias_shape = bias_shape.as_ref().map(<[usize; 1]>::as_slice);
    linalg::linear_shape(x.shape(), weight.shape(), bias_shape)?;
    linalg::linear(x, weight.into_dyn(), None, None, out.view_mut(), context)?;
    all_reduce_sum_inplace(out.view_mut(), comm)?;
    if let Some(bias) = bias {
        let features = Axis(out.ndim() - 1);
        for mut row in out.lanes_mut(features) {
            for (y, &shift) in row.iter_mut().zip(bias) {
                *y += shift;
            }
        }
    }
    Ok(())
}

/// The sum of all ranks' `x`, in the order of ranks.
///
/// # Errors
///
/// As [`Communicator::all_reduce`].
pub fn all_reduce_sum<T: Term>(
    x: ArrayViewD<'_, T>,
    comm: &impl Communicator,
) -> Result<ArrayD<T>, Error> {
    let mut sum = x.as_standard_layout().into_owned();
    all_reduce_sum_inplace(sum.view_mut(), comm)?;
    Ok(sum)
}

/// [`all_reduce_sum`] where the terms are.
///
/// # Errors
///
/// As [`Communicator::all_reduce`].
pub fn all_reduce_sum_inplace<T: Term>(
    mut x: ArrayViewMutD<'_, T>,
    comm: &impl Communicator,
) -> Result<(), Error> {
    if let Some(slice) = x.as_slice_mut() {
        return comm.all_reduce_in_place(slice);
    }
    let sum = all_reduce_sum(x.view(), comm)?;
    x.assign(&sum);
    Ok(())
}

/// The rank's part of a feed-forward block: rows of `gate` and `up`, columns of `down`.
#[derive(Clone, Copy, Debug)]
pub struct MlpShard<'a, T> {
    /// Its features go through the activation.
    pub gate: ArrayView2<'a, T>,
    /// They are multiplied by these.
    pub up: ArrayView2<'a, T>,
    /// From these features to the outputs.
    pub down: ArrayView2<'a, T>,
}

/// `out = (f(x @ gate.T) * (x @ up.T)) @ down.T`, whole on every rank, with one sum over the ranks.
///
/// Source of the formula: N. Shazeer, *GLU Variants Improve Transformer*, 2020, arXiv:2002.05202; with SiLU it
/// is SwiGLU.
///
/// # Errors
///
/// As [`row_parallel_linear`].
pub fn mlp_tensor_parallel<T: Real + Term>(
    x: ArrayViewD<'_, T>,
    shard: &MlpShard<'_, T>,
    activation: Activation,
    out: ArrayViewMutD<'_, T>,
    comm: &impl Communicator,
    context: &Context<'_>,
) -> Result<(), Error> {
    let &MlpShard { gate, up, down } = shard;
    let features = |weight: ArrayView2<'_, T>, activation| {
        let shape = linalg::linear_shape(x.shape(), weight.shape(), None)?;
        let mut y = linalg::zeros(&shape);
        column_parallel_linear(x.view(), weight, None, activation, y.view_mut(), context)?;
        Ok::<_, Error>(y)
    };
    let (mut hidden, factors) = (features(gate, Some(activation))?, features(up, None)?);
    linalg::expect(&factors, hidden.shape())?;
    Zip::from(&mut hidden).and(&factors).for_each(|h, &u| *h = *h * u);
    row_parallel_linear(hidden.view(), down, None, out, comm, context)
}
