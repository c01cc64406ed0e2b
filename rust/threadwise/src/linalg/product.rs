//! One product of two matrices, by the plan.

use ndarray::{ArrayView2, ArrayViewMut2, Axis};
use threadwise_kernels::gemm::{Epilogue, Finish, Kernel, Left, Right};
use threadwise_runtime::{for_each, with_scratch};

use super::Real;
use super::plan::{Layout, Plan};
use crate::{Context, Error};

/// A piece of C with its place.
struct Piece<'a, T> {
    row: usize,
    column: usize,
    c: ArrayViewMut2<'a, T>,
}

/// `c = f(a @ b + bias)`. Any strides will do; C is written fastest where its rows are contiguous.
pub(super) fn multiply<T: Real>(
    a: ArrayView2<'_, T>,
    b: ArrayView2<'_, T>,
    mut c: ArrayViewMut2<'_, T>,
    epilogue: Epilogue<'_, T>,
    context: &Context<'_>,
) -> Result<(), Error> {
    let (m, n) = c.dim();
    if c.is_empty() {
        return Ok(());
    }
    if c.strides()[1] == 1 || n == 1 {
        return into_rows(a, b, c, epilogue, context);
    }
    if (c.strides()[0] == 1 || m == 1) && epilogue.bias.is_none() {
        // Cᵀ = Bᵀ·Aᵀ, term by term the same sums.
        return into_rows(
            b.reversed_axes(),
            a.reversed_axes(),
            c.reversed_axes(),
            epilogue,
            context,
        );
    }
    with_scratch(m * n, |scratch: &mut [T]| {
        // The scratch has this size, so neither view can fail.
        if let Ok(rows) = ArrayViewMut2::from_shape((m, n), &mut *scratch) {
            into_rows(a, b, rows, epilogue, context)?;
        }
        if let Ok(rows) = ArrayView2::from_shape((m, n), scratch) {
            c.assign(&rows);
        }
        Ok(())
    })?
}

/// [`multiply`] where the rows of C are contiguous.
fn into_rows<T: Real>(
    a: ArrayView2<'_, T>,
    b: ArrayView2<'_, T>,
    mut c: ArrayViewMut2<'_, T>,
    epilogue: Epilogue<'_, T>,
    context: &Context<'_>,
) -> Result<(), Error> {
    let kernel = T::gemm(context.isa);
    let ((m, k), n) = (a.dim(), b.ncols());
    let layout = Layout {
        right_is_row_major: b.strides()[1] == 1 || n == 1 || k == 0,
        left_is_row_major: a.strides()[1] == 1,
        left_stride: a.strides()[0].unsigned_abs() * size_of::<T>(),
    };
    let plan = Plan::new(&kernel, (m, k, n), layout, context.threads);
    // A product without terms is one pass that stores zeros and the epilogue.
    let passes = k.div_ceil(plan.depth.max(1)).max(1);
    for first_column in (0..n).step_by(plan.panel) {
        let columns = plan.panel.min(n - first_column);
        let panel = first_column..first_column + columns;
        let epilogue =
            Epilogue { bias: epilogue.bias.map(|bias| &bias[panel.clone()]), ..epilogue };
        let b = b.slice_axis(Axis(1), panel.clone().into());
        let mut c = c.slice_axis_mut(Axis(1), panel.into());
        for pass in 0..passes {
            let terms = pass * plan.depth..k.min((pass + 1) * plan.depth);
            let finish =
                Finish { accumulate: pass > 0, epilogue: (pass + 1 == passes).then_some(epilogue) };
            let a = a.slice_axis(Axis(1), terms.clone().into());
            let b = b.slice_axis(Axis(0), terms.into());
            one_pass(&kernel, &plan, a, b, c.view_mut(), finish, context)?;
        }
    }
    Ok(())
}

/// `c = a @ b` or `c += a @ b` for a B that fits a panel.
fn one_pass<T: Real>(
    kernel: &Kernel<T>,
    plan: &Plan,
    a: ArrayView2<'_, T>,
    b: ArrayView2<'_, T>,
    c: ArrayViewMut2<'_, T>,
    finish: Finish<'_, T>,
    context: &Context<'_>,
) -> Result<(), Error> {
    if !plan.pack_right {
        return pieces(kernel, plan, a, Right::InPlace(b), c, finish, context);
    }
    let (k, n) = b.dim();
    with_scratch(kernel.packed_right(k, n), |packed: &mut [T]| {
        pack(kernel, plan, b, packed, context)?;
        pieces(kernel, plan, a, Right::Packed(k, n, packed), c, finish, context)
    })?
}

/// Packs B, the slivers shared among the threads.
fn pack<T: Real>(
    kernel: &Kernel<T>,
    plan: &Plan,
    b: ArrayView2<'_, T>,
    packed: &mut [T],
    context: &Context<'_>,
) -> Result<(), Error> {
    let (k, width) = (b.nrows(), kernel.columns());
    let mut slivers: Vec<_> =
        b.axis_chunks_iter(Axis(1), width).zip(packed.chunks_mut((k * width).max(1))).collect();
    for_each(&mut slivers, plan.threads, &context.interrupt, |(b, sliver)| {
        kernel.pack_right(b.view(), sliver);
    })?;
    Ok(())
}

/// Computes C in pieces, shared among the threads.
fn pieces<T: Real>(
    kernel: &Kernel<T>,
    plan: &Plan,
    a: ArrayView2<'_, T>,
    b: Right<'_, T>,
    mut c: ArrayViewMut2<'_, T>,
    finish: Finish<'_, T>,
    context: &Context<'_>,
) -> Result<(), Error> {
    let (m, n) = c.dim();
    if m <= plan.rows && n <= plan.columns {
        return piece(kernel, plan, a, b, Piece { row: 0, column: 0, c }, finish);
    }
    let mut pieces = Vec::with_capacity(m.div_ceil(plan.rows) * n.div_ceil(plan.columns));
    for (i, mut rows) in c.axis_chunks_iter_mut(Axis(0), plan.rows).enumerate() {
        // Cut from the front, so that each piece is borrowed once and for as long as C.
        for j in 0..n.div_ceil(plan.columns) {
            let rest = rows.ncols();
            let (c, after) = rows.split_at(Axis(1), plan.columns.min(rest));
            pieces.push(Piece { row: i * plan.rows, column: j * plan.columns, c });
            rows = after;
        }
    }
    // Column by column, so that threads that work side by side share a part of B.
    pieces.sort_by_key(|piece| (piece.column, piece.row));
    let outcome = std::sync::Mutex::new(Ok(()));
    for_each(&mut pieces, plan.threads, &context.interrupt, |it| {
        let it = Piece { row: it.row, column: it.column, c: it.c.view_mut() };
        if let Err(error) = piece(kernel, plan, a, b, it, finish)
            && let Ok(mut outcome) = outcome.lock()
        {
            *outcome = Err(error);
        }
    })?;
    outcome.into_inner().unwrap_or(Ok(()))
}

/// Computes one piece of C.
fn piece<T: Real>(
    kernel: &Kernel<T>,
    plan: &Plan,
    a: ArrayView2<'_, T>,
    b: Right<'_, T>,
    piece: Piece<'_, T>,
    finish: Finish<'_, T>,
) -> Result<(), Error> {
    let (rows, columns) = piece.c.dim();
    let (first, end) = (piece.column, piece.column + columns);
    let b = match b {
        Right::InPlace(mut b) => {
            b.slice_axis_inplace(Axis(1), (first..end).into());
            Right::InPlace(b)
        }
        Right::Packed(k, _, packed) => {
            let stop = first * k + kernel.packed_right(k, columns);
            Right::Packed(k, columns, &packed[first * k..stop])
        }
    };
    let finish = Finish {
        epilogue: finish.epilogue.map(|epilogue| Epilogue {
            bias: epilogue.bias.map(|bias| &bias[first..end]),
            ..epilogue
        }),
        ..finish
    };
    let a = a.slice_axis(Axis(0), (piece.row..piece.row + rows).into());
    if !plan.pack_left {
        kernel.multiply(Left::InPlace(a), b, piece.c, finish);
        return Ok(());
    }
    with_scratch(a.len(), |packed: &mut [T]| {
        kernel.pack_left(a, packed);
        kernel.multiply(Left::Packed(a.nrows(), a.ncols(), packed), b, piece.c, finish);
    })?;
    Ok(())
}
