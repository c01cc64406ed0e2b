//! One product of two matrices, by the plan.

use ndarray::{ArrayView2, ArrayView3, ArrayViewMut2, Axis};
use threadwise_kernels::gemm::{Epilogue, Finish, Kernel, Right};
use threadwise_runtime::with_scratch;

use super::packed::PackedWeight;
use super::pieces::{Operands, Piece, Source, cut, passes, share};
use super::plan::{self, Plan};
use super::way::{Target, Way, layout};
use super::{Real, load};
use crate::error::Shape;
use crate::{Context, Error};

/// `c = f(a @ b + bias)`. Any strides will do; C is written fastest where its rows are contiguous.
pub(super) fn multiply<T: Real>(
    a: ArrayView2<'_, T>,
    b: ArrayView2<'_, T>,
    c: ArrayViewMut2<'_, T>,
    epilogue: Epilogue<'_, T>,
    context: &Context<'_>,
) -> Result<(), Error> {
    let (m, n) = c.dim();
    if c.is_empty() {
        return Ok(());
    }
    let strides = [c.strides()[0], c.strides()[1]];
    match Way::of(a, b, Target::new((m, n), strides, epilogue)) {
        Way::Rows => into_rows(a, b, c, epilogue, context),
        Way::Columns => {
            let (a, b, c) = (b.reversed_axes(), a.reversed_axes(), c.reversed_axes());
            into_rows(a, b, c, epilogue, context)
        }
        Way::Narrow => narrow(a, b, c, epilogue, context),
        Way::Wide => into_columns(a, b, c, epilogue, context),
        Way::Copied => by_way_of_rows(c, |rows| into_rows(a, b, rows, epilogue, context)),
    }
}

/// [`multiply`] for a C of few columns: the transposed product, whose few rows are the columns of B, or a copy of them.
fn narrow<T: Real>(
    a: ArrayView2<'_, T>,
    b: ArrayView2<'_, T>,
    mut c: ArrayViewMut2<'_, T>,
    epilogue: Epilogue<'_, T>,
    context: &Context<'_>,
) -> Result<(), Error> {
    let kernel = T::gemm(context.isa);
    let ((m, k), n) = (a.dim(), b.ncols());
    let threads = load::threads::<T>((n, k, m), 1, context);
    // Only dots may write columns that are not adjacent.
    let plan = Plan::dots(&kernel, (n, k, m), threads);
    let plan = plan.cut_by(context.distribution, &kernel, (n, k, m));
    let (right, columns) = (a.reversed_axes(), c.view_mut().reversed_axes());
    let dots = |left: ArrayView2<'_, T>| {
        let epilogue = Epilogue { bias: None, activation: None };
        let operands = Operands { a: left, b: Source::Plain(right), n: m, epilogue };
        run(&kernel, &plan, operands, columns, context)
    };
    if b.strides()[0] == 1 {
        dots(b.reversed_axes())?;
    } else {
        turned(&kernel, b, dots)?;
    }
    if epilogue.bias.is_none() && epilogue.activation.is_none() {
        return Ok(());
    }
    if threads <= 1 {
        finish(&kernel, a, c, epilogue);
        return Ok(());
    }
    let mut parts: Vec<_> = c.axis_chunks_iter_mut(Axis(0), m.div_ceil(threads)).collect();
    context.share(&mut parts, threads, |part, _| {
        let rows = a.slice_axis(Axis(0), (..part.nrows()).into());
        finish(&kernel, rows, part.view_mut(), epilogue);
    })
}

/// The epilogue of sums that C has, whose rows are contiguous: no terms of as many rows of A are added.
fn finish<T: Real>(
    kernel: &Kernel<T>,
    a: ArrayView2<'_, T>,
    c: ArrayViewMut2<'_, T>,
    epilogue: Epilogue<'_, T>,
) {
    if epilogue.bias.is_some() || epilogue.activation.is_some() {
        let (a, n) = (a.slice_axis_move(Axis(1), (..0).into()), c.ncols());
        let finish = Finish { accumulate: true, epilogue: Some(epilogue) };
        kernel.multiply(a, Right::Packed(0, n, &[]), c, finish);
    }
}

/// Calls `work` with a copy of B's columns, as rows.
fn turned<T: Real>(
    kernel: &Kernel<T>,
    b: ArrayView2<'_, T>,
    work: impl FnOnce(ArrayView2<'_, T>) -> Result<(), Error>,
) -> Result<(), Error> {
    let (k, n) = b.dim();
    with_scratch(b.len(), |scratch: &mut [T]| {
        kernel.copy_left(b.t(), scratch);
        work(ArrayView2::from_shape((n, k), scratch).map_err(|_| too_large((n, k)))?)
    })?
}

/// [`multiply`] for a B whose columns are contiguous and many: the transposed product, for which A is
/// packed and B is not, copied row to column. The sums are the same.
fn into_columns<T: Real>(
    a: ArrayView2<'_, T>,
    b: ArrayView2<'_, T>,
    mut c: ArrayViewMut2<'_, T>,
    epilogue: Epilogue<'_, T>,
    context: &Context<'_>,
) -> Result<(), Error> {
    let (m, n) = c.dim();
    let kernel = T::gemm(context.isa);
    with_scratch(m * n, |scratch: &mut [T]| {
        let plain = Epilogue { bias: None, activation: None };
        let shape = (n, m);
        let columns = ArrayViewMut2::from_shape(shape, &mut *scratch);
        let columns = columns.map_err(|_| too_large(shape))?;
        into_rows(b.reversed_axes(), a.reversed_axes(), columns, plain, context)?;
        let columns = ArrayView2::from_shape(shape, &*scratch).map_err(|_| too_large(shape))?;
        if let Some(c) = c.as_slice_mut() {
            kernel.copy_left(columns.reversed_axes(), c);
        }
        finish(&kernel, a, c, epilogue);
        Ok(())
    })?
}

/// `c = f(a @ weight.T + bias)`.
pub(super) fn multiply_packed<T: Real>(
    a: ArrayView2<'_, T>,
    weight: &PackedWeight<T>,
    c: ArrayViewMut2<'_, T>,
    epilogue: Epilogue<'_, T>,
    context: &Context<'_>,
) -> Result<(), Error> {
    let (m, n) = c.dim();
    if c.is_empty() {
        return Ok(());
    }
    let (kernel, k) = (weight.kernel(), a.ncols());
    let plan = Plan::packed(kernel, (m, k, n), load::threads::<T>((m, k, n), 1, context));
    let plan = plan.cut_by(context.distribution, kernel, (m, k, n));
    let operands = Operands { a, b: weight.source(), n, epilogue };
    if c.strides()[1] == 1 || n == 1 {
        return run(kernel, &plan, operands, c, context);
    }
    by_way_of_rows(c, |rows| run(kernel, &plan, operands, rows, context))
}

/// Computes into memory whose rows are contiguous, and copies.
fn by_way_of_rows<T: Real>(
    mut c: ArrayViewMut2<'_, T>,
    compute: impl FnOnce(ArrayViewMut2<'_, T>) -> Result<(), Error>,
) -> Result<(), Error> {
    let (m, n) = c.dim();
    with_scratch(m * n, |scratch: &mut [T]| {
        // The scratch has this size, so neither view can fail.
        if let Ok(rows) = ArrayViewMut2::from_shape((m, n), &mut *scratch) {
            compute(rows)?;
        }
        if let Ok(rows) = ArrayView2::from_shape((m, n), scratch) {
            c.assign(&rows);
        }
        Ok(())
    })?
}

/// `c = a @ b` for small operands whose rows are contiguous, on the calling thread and without packing:
/// the sums of [`multiply`]. Fails where it does: if memory runs out.
pub(super) fn alone<T: Real>(
    kernel: &Kernel<T>,
    a: ArrayView2<'_, T>,
    b: ArrayView2<'_, T>,
    mut c: ArrayViewMut2<'_, T>,
) -> Result<(), Error> {
    let (n, k) = (c.ncols(), a.ncols());
    let none = Epilogue { bias: None, activation: None };
    if n == 1 {
        let (a, b, c) = (b.reversed_axes(), a.reversed_axes(), c.reversed_axes());
        kernel.dots(a, b, c, Finish { accumulate: false, epilogue: Some(none) });
        return Ok(());
    }
    if Plan::is_narrow_by_rows::<T>((c.nrows(), k, n)) {
        let depth = Plan::dots(kernel, (n, k, c.nrows()), 1).depth;
        return turned(kernel, b, |b| {
            for terms in passes(depth, 0..k) {
                let b = b.slice_axis(Axis(1), terms.clone().into());
                let a = a.slice_axis(Axis(1), terms.clone().into());
                let finish = Finish { accumulate: terms.start > 0, epilogue: None };
                kernel.dots(b, a.reversed_axes(), c.view_mut().reversed_axes(), finish);
            }
            Ok(())
        });
    }
    // Of a smaller B, both sum in the same order.
    let is_large = n >= plan::WORTH_STREAMING && k * n > plan::NEAREST / size_of::<T>();
    if is_large && Plan::is_streamed(kernel, (c.nrows(), k, n), layout(a, b)) {
        kernel.streams(a, b, c, Finish { accumulate: false, epilogue: None });
        return Ok(());
    }
    for terms in passes(plan::depth(k), 0..k) {
        let a = a.slice_axis(Axis(1), terms.clone().into());
        let b = Right::InPlace(b.slice_axis(Axis(0), terms.clone().into()));
        let finish = Finish { accumulate: terms.start > 0, epilogue: None };
        kernel.multiply(a, b, c.view_mut(), finish);
    }
    Ok(())
}

/// How [`multiply`] would do a product on so many threads: its kernel, and its number of pieces.
pub(super) fn outline<T: Real>(
    a: ArrayView2<'_, T>,
    b: ArrayView2<'_, T>,
    target: Target,
    threads: usize,
    context: &Context<'_>,
) -> (String, usize) {
    let way = Way::of(a, b, target);
    let (a, b) = if way.is_transposed() { (b.reversed_axes(), a.reversed_axes()) } else { (a, b) };
    let ((m, k), n) = (a.dim(), b.ncols());
    let kernel = T::gemm(context.isa);
    let plan = match way {
        Way::Narrow => Plan::dots(&kernel, (m, k, n), threads),
        _ => Plan::new(&kernel, (m, k, n), layout(a, b), threads),
    };
    let plan = plan.cut_by(context.distribution, &kernel, (m, k, n));
    // A narrow result gets its epilogue when all its sums are there.
    let finishes = way == Way::Narrow && !target.is_plain() && threads > 1;
    let parts = if finishes { n.div_ceil(n.div_ceil(threads)) } else { 0 };
    (kernel.name().replace("gemm", plan.form.name()), plan.tasks(&kernel, (m, k, n)) + parts)
}

/// The same for [`multiply_packed`].
pub(super) fn outline_packed<T: Real>(
    rows: usize,
    weight: &PackedWeight<T>,
    threads: usize,
    context: &Context<'_>,
) -> (String, usize) {
    let ([n, k], kernel) = (weight.shape(), weight.kernel());
    let plan = Plan::packed(kernel, (rows, k, n), threads);
    let plan = plan.cut_by(context.distribution, kernel, (rows, k, n));
    (kernel.name().replace("gemm", "packed"), plan.tasks(kernel, (rows, k, n)))
}

/// [`multiply`] where the rows of C are contiguous.
fn into_rows<T: Real>(
    a: ArrayView2<'_, T>,
    b: ArrayView2<'_, T>,
    c: ArrayViewMut2<'_, T>,
    epilogue: Epilogue<'_, T>,
    context: &Context<'_>,
) -> Result<(), Error> {
    let kernel = T::gemm(context.isa);
    let ((m, k), n) = (a.dim(), b.ncols());
    let threads = load::threads::<T>((m, k, n), 1, context);
    let plan = Plan::new(&kernel, (m, k, n), layout(a.view(), b.view()), threads);
    let plan = plan.cut_by(context.distribution, &kernel, (m, k, n));
    let operands = Operands { a, b: Source::Plain(b), n, epilogue };
    if plan.pack_together {
        return packed_together(&kernel, &plan, operands, b, c, context);
    }
    run(&kernel, &plan, operands, c, context)
}

/// A product by its plan.
fn run<T: Real>(
    kernel: &Kernel<T>,
    plan: &Plan,
    operands: Operands<'_, T>,
    c: ArrayViewMut2<'_, T>,
    context: &Context<'_>,
) -> Result<(), Error> {
    let ((m, n), k) = (c.dim(), operands.a.ncols());
    if plan.chunk < k {
        return in_chunks(kernel, plan, operands, c, context);
    }
    if m <= plan.rows && n <= plan.columns {
        let mut whole = [Piece { row: 0, column: 0, terms: 0..k, c }];
        return share(&mut whole, &(0..k), kernel, plan, operands, context);
    }
    let mut pieces = Vec::with_capacity(m.div_ceil(plan.rows) * n.div_ceil(plan.columns));
    cut((plan.rows, plan.columns), 0..k, c, &mut pieces);
    share(&mut pieces, &(0..k), kernel, plan, operands, context)
}

/// A small C of long sums: each chunk of k into a C of its own, which are then added up in order.
fn in_chunks<T: Real>(
    kernel: &Kernel<T>,
    plan: &Plan,
    operands: Operands<'_, T>,
    mut c: ArrayViewMut2<'_, T>,
    context: &Context<'_>,
) -> Result<(), Error> {
    let ((m, n), k) = (c.dim(), operands.a.ncols());
    if c.strides()[1] != 1 && n > 1 {
        // Of a narrow result, which is transposed. It has few elements, for else k would not be cut.
        return by_way_of_rows(c, |rows| in_chunks(kernel, plan, operands, rows, context));
    }
    let chunks = k.div_ceil(plan.chunk);
    with_scratch(chunks * m * n, |scratch: &mut [T]| {
        let mut pieces = Vec::new();
        for (i, sums) in scratch.chunks_exact_mut(m * n).enumerate() {
            let terms = i * plan.chunk..k.min((i + 1) * plan.chunk);
            let sums = ArrayViewMut2::from_shape((m, n), sums).map_err(|_| too_large((m, n)))?;
            cut((plan.rows, plan.columns), terms, sums, &mut pieces);
        }
        share(&mut pieces, &(0..k), kernel, plan, operands, context)?;
        drop(pieces);
        // Ones times the sums of the chunks: a product of one row, with the epilogue at its end.
        let ones = [T::from_f64(1.0); plan::CHUNKS];
        let ones = ArrayView2::from_shape((1, chunks), &ones[..chunks]);
        let sums = ArrayView3::from_shape((chunks, m, n), &*scratch);
        let (Ok(ones), Ok(sums)) = (ones, sums) else { return Err(too_large((m, n))) };
        let add = |first: usize, c: &mut ArrayViewMut2<'_, T>| {
            let columns = first..first + c.ncols();
            let bias = operands.epilogue.bias.map(|bias| &bias[columns.clone()]);
            let epilogue = Epilogue { bias, ..operands.epilogue };
            let finish = Finish { accumulate: false, epilogue: Some(epilogue) };
            let sums = sums.slice_axis(Axis(2), columns.into());
            for (i, row) in c.rows_mut().into_iter().enumerate() {
                kernel.streams(ones, sums.index_axis(Axis(1), i), row.insert_axis(Axis(0)), finish);
            }
        };
        let columns = plan.added(kernel, (m, k, n));
        if columns >= n {
            add(0, &mut c);
            return Ok(());
        }
        let mut parts = Vec::with_capacity(n.div_ceil(columns));
        cut((m, columns), 0..k, c, &mut parts);
        context.share(&mut parts, plan.threads, |part, _| add(part.column, &mut part.c))?;
        Ok(())
    })?
}

/// B packed once by all threads, as much of it at a time as [`Plan::turn`] says, then
/// multiplied by all.
fn packed_together<T: Real>(
    kernel: &Kernel<T>,
    plan: &Plan,
    operands: Operands<'_, T>,
    b: ArrayView2<'_, T>,
    c: ArrayViewMut2<'_, T>,
    context: &Context<'_>,
) -> Result<(), Error> {
    let (k, n) = b.dim();
    let most = plan.turn(kernel, n);
    let mut pieces = Vec::with_capacity(c.nrows().div_ceil(plan.rows) * n.div_ceil(plan.columns));
    cut((plan.rows, plan.columns), 0..k, c, &mut pieces);
    with_scratch(kernel.packed_right(most.min(k), n), |scratch: &mut [T]| {
        for first in (0..k).step_by(most) {
            let now = first..k.min(first + most);
            let packed = &mut scratch[..kernel.packed_right(now.len(), n)];
            let part = b.slice_axis(Axis(0), now.clone().into());
            pack(kernel, plan.depth, part, packed, plan.threads, context)?;
            let (a, b) = (operands.a, Source::Slivers { first, packed });
            let operands = Operands { a, b, ..operands };
            share(&mut pieces, &now, kernel, plan, operands, context)?;
        }
        Ok(())
    })?
}

/// Packs B, in passes of `depth` terms, sliver by sliver on some threads.
pub(super) fn pack<T: Real>(
    kernel: &Kernel<T>,
    depth: usize,
    b: ArrayView2<'_, T>,
    packed: &mut [T],
    threads: usize,
    context: &Context<'_>,
) -> Result<(), Error> {
    let (width, padded) = (kernel.columns(), kernel.packed_right(1, b.ncols()));
    let mut slivers = Vec::new();
    let passes = b.axis_chunks_iter(Axis(0), depth.max(1));
    for (rows, packed) in passes.zip(packed.chunks_mut((depth * padded).max(1))) {
        let places = packed.chunks_exact_mut((rows.nrows() * width).max(1));
        for (i, place) in places.enumerate() {
            let columns = i * width..b.ncols().min((i + 1) * width);
            slivers.push((rows.slice_axis_move(Axis(1), columns.into()), place));
        }
    }
    context.share(&mut slivers, threads, |(b, place), _| kernel.pack_right(b.view(), place))
}

/// What ndarray refuses: extents beyond what it can address.
fn too_large((m, n): (usize, usize)) -> Error {
    Error::TooLarge(Shape(vec![m, n]))
}
