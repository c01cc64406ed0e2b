//! Operations on numbers that lie in rows: the gate of a feed-forward layer, and the softmax.

use ndarray::{ArrayViewD, ArrayViewMutD, Axis};
use threadwise_kernels::gate::Gate;
use threadwise_kernels::softmax::Softmax;

use crate::error::{Error, Extent, Shape};
use crate::linalg::Real;
use crate::work::{Choice, Load, calibration};
use crate::{Context, linalg};

/// Elements that take a few microseconds, for which nobody is asked.
const AT_ONCE: usize = 1 << 14;

/// Elements of a piece of work, about.
const PIECE: usize = 1 << 14;

/// The shape of [`swiglu`]'s result, which is that of both operands.
///
/// # Errors
///
/// If they have not the same shape.
pub fn swiglu_shape(gate: &[usize], up: &[usize]) -> Result<Vec<usize>, Error> {
    if gate != up {
        let axis = gate.iter().zip(up).position(|(ours, theirs)| ours != theirs);
        let (unit, lengths) = match axis {
            Some(axis) if gate.len() == up.len() => ("along an axis", [up[axis], gate[axis]]),
            _ => ("axes", [up.len(), gate.len()]),
        };
        let extent = |name, length, shape| Extent { name, length, unit, shape: Shape::from(shape) };
        let [ours, theirs] = lengths;
        return Err(Error::Extents(Box::new([
            extent("up", ours, up),
            extent("gate", theirs, gate),
        ])));
    }
    Ok(gate.to_vec())
}

/// `out = silu(gate) * up`, number by number.
///
/// # Errors
///
/// If shapes do not fit (then `out` is untouched), or the context's interrupt is due.
pub fn swiglu(
    gate: ArrayViewD<'_, f32>,
    up: ArrayViewD<'_, f32>,
    mut out: ArrayViewMutD<'_, f32>,
    context: &Context<'_>,
) -> Result<(), Error> {
    linalg::expect(&out, &swiglu_shape(gate.shape(), up.shape())?)?;
    let (gate, up) = (gate.as_standard_layout(), up.as_standard_layout());
    let (Some(gate), Some(up)) = (gate.as_slice(), up.as_slice()) else { unreachable!("standard") };
    let kernel = Gate::new(context.isa);
    let Some(y) = out.as_slice_mut() else {
        let mut made = vec![0.0; gate.len()];
        kernel.swiglu(gate, up, &mut made);
        out.iter_mut().zip(made).for_each(|(to, y)| *to = y);
        return Ok(());
    };
    let pieces = gate.chunks(PIECE).zip(up.chunks(PIECE)).zip(y.chunks_mut(PIECE));
    let mut pieces: Vec<_> = pieces.collect();
    let threads = threads(gate.len(), pieces.len(), context);
    context.share(&mut pieces, threads, |((gate, up), y), _| kernel.swiglu(gate, up, y))
}

/// The shape of [`softmax`]'s result, which is that of `x`.
///
/// # Errors
///
/// If `x` has no axes.
pub fn softmax_shape(x: &[usize]) -> Result<Vec<usize>, Error> {
    if x.is_empty() {
        let expected = "at least one axis, the row";
        return Err(Error::Axes { name: "x", shape: Shape::from(x), expected });
    }
    Ok(x.to_vec())
}

/// `out = exp(x - max(x)) / sum(exp(x - max(x)))`, row by row along the last axis.
///
/// # Errors
///
/// If `x` has no axes or `out` another shape (then it is untouched), or the context's interrupt is due.
pub fn softmax(
    x: ArrayViewD<'_, f32>,
    mut out: ArrayViewMutD<'_, f32>,
    context: &Context<'_>,
) -> Result<(), Error> {
    linalg::expect(&out, &softmax_shape(x.shape())?)?;
    let columns = x.len_of(Axis(x.ndim() - 1));
    if out.is_empty() {
        return Ok(());
    }
    let kernel = Softmax::new(context.isa);
    out.assign(&x);
    let Some(y) = out.as_slice_mut() else {
        for mut row in out.lanes_mut(Axis(x.ndim() - 1)) {
            let mut made = row.to_vec();
            kernel.row(&mut made);
            row.iter_mut().zip(made).for_each(|(to, y)| *to = y);
        }
        return Ok(());
    };
    let together = (PIECE / columns).max(1);
    let mut pieces: Vec<_> = y.chunks_mut(together * columns).collect();
    let threads = threads(x.len(), pieces.len(), context);
    context.share(&mut pieces, threads, |piece, _| {
        piece.chunks_mut(columns).for_each(|row| kernel.row(row));
    })
}

/// Threads that it is worth to go over so many elements in so many pieces.
fn threads(elements: usize, pieces: usize, context: &Context<'_>) -> usize {
    if context.threads <= 1 || elements < AT_ONCE {
        return 1;
    }
    let (elements, bytes) = (elements as f64, elements as f64 * size_of::<f32>() as f64);
    let load =
        Load { kind: f32::RATE, multiply_adds: 8.0 * elements, read: 2.0 * bytes, written: bytes };
    let (machine, _) = calibration::current(context.isa);
    Choice::for_call(&machine, load, context.threads, pieces).threads
}
