//! Normalization of rows.

use ndarray::{ArrayView1, ArrayViewD, ArrayViewMut1, ArrayViewMutD, Axis};
use threadwise_kernels::norm::RmsNorm;
use threadwise_runtime::{for_each, with_scratch};

use crate::error::{Error, Extent, Shape};
use crate::linalg::Real;
use crate::work::{Choice, Load, calibration};
use crate::{Context, linalg};

/// Elements that take a few microseconds, for which nobody is asked.
const AT_ONCE: usize = 1 << 14;

/// Elements of a piece of work, about: a few microseconds, and both its arrays fit in the second-level
/// cache.
const PIECE: usize = 1 << 14;

/// The shape of [`rms_norm`]'s result, which is that of `x`.
///
/// # Errors
///
/// If `x` has no axes, `weight` not one, or `weight` is not as long as a row of `x`.
pub fn rms_norm_shape(x: &[usize], weight: &[usize]) -> Result<Vec<usize>, Error> {
    let &[.., columns] = x else {
        let expected = "at least one axis, the row";
        return Err(Error::Axes { name: "x", shape: Shape::from(x), expected });
    };
    let &[factors] = weight else {
        let expected = "one axis, a factor for each column of x";
        return Err(Error::Axes { name: "weight", shape: Shape::from(weight), expected });
    };
    if factors != columns {
        let (shape, unit) = (Shape::from(weight), "elements");
        let weight = Extent { name: "weight", length: factors, unit, shape };
        let unit = if x.len() == 1 { "elements" } else { "columns" };
        let x = Extent { name: "x", length: columns, unit, shape: Shape::from(x) };
        return Err(Error::Extents(Box::new([weight, x])));
    }
    Ok(x.to_vec())
}

/// `out = weight * x / sqrt(mean(x**2) + eps)`, row by row along the last axis.
///
/// A row is one thread's, from its first square to its last quotient: its bits depend on nothing else.
///
/// # Errors
///
/// If shapes do not fit or `eps` is not positive and finite, also as a number of this type (then `out`
/// is untouched); if memory runs out, or the context's interrupt is due.
pub fn rms_norm<T: Real>(
    x: ArrayViewD<'_, T>,
    weight: &[T],
    eps: f64,
    mut out: ArrayViewMutD<'_, T>,
    context: &Context<'_>,
) -> Result<(), Error> {
    linalg::expect(&out, &rms_norm_shape(x.shape(), &[weight.len()])?)?;
    let rounded = T::from_f64(eps).to_f64();
    if !(rounded > 0.0 && rounded.is_finite()) {
        let expected = "a positive and finite number, also when rounded to the type of the result";
        return Err(Error::Domain { name: "eps", actual: eps, expected });
    }
    if out.is_empty() {
        return Ok(());
    }
    if x.ndim() == 1 {
        return rms_norm(x.insert_axis(Axis(0)), weight, eps, out.insert_axis(Axis(0)), context);
    }
    // The longest of the axes that count rows is cut: there need be no order among rows.
    let rows_axis = (0..x.ndim() - 1).max_by_key(|&axis| x.shape()[axis]).map_or(Axis(0), Axis);
    let length = x.len_of(rows_axis);
    let together = (PIECE / (x.len() / length)).clamp(1, length);
    let threads = threads::<T>(x.len(), length.div_ceil(together), context);
    let from = x.axis_chunks_iter(rows_axis, together);
    let mut pieces: Vec<Piece<'_, T>> = from
        .zip(out.axis_chunks_iter_mut(rows_axis, together))
        .map(|(x, y)| Piece { x, y, outcome: Ok(()) })
        .collect();
    let kernel = T::rms_norm(context.isa);
    for_each(&mut pieces, threads, &context.interrupt, |piece, _| {
        let rows = piece.x.rows().into_iter().zip(piece.y.rows_mut());
        for (x, y) in rows {
            if let Err(error) = row(kernel, x, weight, eps, y) {
                piece.outcome = Err(error);
            }
        }
    })?;
    pieces.into_iter().try_for_each(|piece| piece.outcome)
}

/// Some rows, and what became of them.
struct Piece<'a, T> {
    x: ArrayViewD<'a, T>,
    y: ArrayViewMutD<'a, T>,
    outcome: Result<(), Error>,
}

/// One row, by way of scratch memory where its elements are not adjacent.
fn row<T: Real>(
    kernel: RmsNorm<T>,
    x: ArrayView1<'_, T>,
    weight: &[T],
    eps: f64,
    mut y: ArrayViewMut1<'_, T>,
) -> Result<(), Error> {
    let Some(x_row) = x.as_slice() else {
        return with_scratch(x.len(), |copy: &mut [T]| {
            copy.iter_mut().zip(x).for_each(|(to, from)| *to = *from);
            row(kernel, ArrayView1::from(&*copy), weight, eps, y)
        })?;
    };
    match y.as_slice_mut() {
        Some(y) => kernel.row(x_row, weight, eps, y),
        None => with_scratch(x_row.len(), |made: &mut [T]| {
            kernel.row(x_row, weight, eps, made);
            y.iter_mut().zip(made).for_each(|(to, from)| *to = *from);
        })?,
    }
    Ok(())
}

/// Threads that it is worth to norm so many elements in so many pieces: they are read and written, and little
/// is computed.
fn threads<T: Real>(elements: usize, pieces: usize, context: &Context<'_>) -> usize {
    if context.threads <= 1 || elements < AT_ONCE {
        return 1;
    }
    let bytes = elements as f64 * size_of::<T>() as f64;
    let load = Load { kind: T::RATE, multiply_adds: elements as f64, read: bytes, written: bytes };
    let (machine, _) = calibration::current(context.isa);
    Choice::for_call(&machine, load, context.threads, pieces).threads
}

#[cfg(test)]
mod tests {
    use ndarray::{Array, ArrayD, IxDyn, Slice};
    use threadwise_kernels::Isa;
    use threadwise_runtime::Interrupt;

    use super::*;

    fn normalized(x: ArrayViewD<'_, f32>, weight: &[f32], threads: usize) -> ArrayD<f32> {
        let isa = Isa::current().unwrap();
        let context = Context { isa, threads, interrupt: Interrupt::never(), distribution: None };
        let mut out = ArrayD::from_elem(x.raw_dim(), f32::NAN);
        rms_norm(x, weight, 1e-5, out.view_mut(), &context).unwrap();
        out
    }

    #[test]
    fn threads_and_layouts_do_not_change_a_bit() {
        for (n, d) in [(1, 1), (5, 3), (1000, 200), (3, 100_000), (300_000, 1)] {
            let mut i = 0.0_f32;
            let x = Array::from_shape_simple_fn(IxDyn(&[2, n, d]), || {
                i += 0.7;
                i.sin()
            });
            let weight: Vec<f32> = (0_u8..=255).map(f32::from).cycle().take(d).collect();
            let expected = normalized(x.view(), &weight, 1);
            let columns = x.view().reversed_axes().as_standard_layout().into_owned();
            for threads in 1..=4 {
                let what = format!("({n}, {d}) on {threads} threads");
                assert_eq!(normalized(x.view(), &weight, threads), expected, "{what}");
                let transposed = columns.view().reversed_axes();
                assert_eq!(normalized(transposed, &weight, threads), expected, "{what}: columns");
            }
            let mut spread = ArrayD::from_elem(IxDyn(&[2, n, 2 * d]), f32::NAN);
            let every_other = Slice::new(0, None, 2);
            let out = spread.slice_axis_mut(Axis(2), every_other);
            rms_norm(x.view(), &weight, 1e-5, out, &Context::new().unwrap()).unwrap();
            assert_eq!(spread.slice_axis(Axis(2), every_other), expected, "into every other place");
        }
    }

    #[test]
    fn eps_must_be_positive_and_finite_in_the_type_of_the_result() {
        let x = ArrayD::<f32>::zeros(IxDyn(&[2, 2]));
        for eps in [0.0, -1e-6, f64::NAN, f64::INFINITY, 1e-50, 1e50] {
            let mut out = x.clone();
            let context = Context::new().unwrap();
            let outcome = rms_norm(x.view(), &[1.0; 2], eps, out.view_mut(), &context);
            assert!(matches!(outcome, Err(Error::Domain { .. })), "{eps}: {outcome:?}");
        }
    }
}
