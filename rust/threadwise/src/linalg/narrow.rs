//! Products of narrow numbers: bfloat16, float16, and integers of eight bits.
//!
//! As in `product`, C is cut into pieces that threads share. Sums are wider than the numbers: they are kept
//! in scratch memory until k has been passed over, and rounded once. Where k is cut depends on k and on the kernel
//! alone; only the size of pieces depends on the threads.

use std::marker::PhantomData;
use std::sync::{Mutex, PoisonError};

use bytemuck::Pod;
use ndarray::{ArrayView2, ArrayViewMut2, Axis};
use threadwise_kernels::gemm::Epilogue;
use threadwise_kernels::narrow::{Kernel, Left, Pair, Rounded};
use threadwise_runtime::{Checkpoint, with_scratch};

use super::plan::Form;
use super::{Product, load};
use crate::work::{Kind, WorkDistribution};
use crate::{Context, Error, Isa};

/// Where k may be cut: whole units of any kernel, filled up.
const CUT: usize = 64;

/// Rows of A that are multiplied with all of a piece's B while they, and their sums, are near.
const BLOCK: usize = 96;

/// Columns of a piece at most, and bytes of its part of B in a pass: packed, it then fills less than the second-level
/// cache.
const COLUMNS: usize = 512;
const PIECE: usize = 1 << 20;

/// Rows of a piece at most where its sums must be kept from pass to pass.
const KEPT: usize = 288;

/// Pieces for each thread, so that the last ones do not keep the others waiting for long.
const PIECES: usize = 2;

/// Columns from which on streaming B through is faster than packing it.
const WORTH_STREAMING: usize = 128;

/// Terms of a pass of a product of few rows, so that a wish to stop is heard between passes.
const FEW_DEPTH: usize = 1 << 20;

/// Elements of B in a piece of such a product at most, for the same reason.
const FEW_PIECE: usize = 16 << 20;

/// Bytes of a B that stays near while several times few rows go past.
const NEAR: usize = 32 << 10;

/// Multiply-adds below which the definition is faster than packing, and elements of its result at most.
const TINY: usize = 512;

/// Results that are rounded at a time where they do not follow one another.
const SPREAD: usize = 256;

/// The product of `P`, stored as `R`.
#[derive(Clone, Copy, Debug)]
pub struct Narrow<P, R>(PhantomData<(P, R)>);

impl<P: Pair<Sum: Pod>, R: Rounded<P::Sum>> Product for Narrow<P, R> {
    type Left = P::Left;
    type Right = P::Right;
    type Out = R;
    type Bias = P::Sum;

    fn multiply(
        a: ArrayView2<'_, P::Left>,
        b: ArrayView2<'_, P::Right>,
        c: ArrayViewMut2<'_, R>,
        epilogue: Epilogue<'_, P::Sum>,
        context: &Context<'_>,
    ) -> Result<(), Error> {
        let (m, n) = c.dim();
        let by_rows = c.strides()[1] == 1 || n == 1;
        let by_columns = (c.strides()[0] == 1 || m == 1) && epilogue.bias.is_none();
        let is_column = n == 1 && m > 1;
        if by_columns && (is_column || !by_rows) {
            // Cᵀ = Bᵀ·Aᵀ; a column is a row of the transposed product, which has kernels of its own.
            let (a, b, c) = (b.reversed_axes(), a.reversed_axes(), c.reversed_axes());
            return by_form::<P::Swapped, R>(a, b, c, epilogue, context);
        }
        by_form::<P, R>(a, b, c, epilogue, context)
    }

    fn rate() -> Kind {
        match P::NAME {
            "bf16" => Kind::Bfloat16,
            "f16" => Kind::Float16,
            _ => Kind::Int8,
        }
    }

    fn outline(
        a: ArrayView2<'_, P::Left>,
        b: ArrayView2<'_, P::Right>,
        threads: usize,
        context: &Context<'_>,
    ) -> (String, usize) {
        if b.ncols() == 1 && a.nrows() > 1 {
            return outline::<P::Swapped>(b.reversed_axes(), a.reversed_axes(), threads, context);
        }
        outline::<P>(a, b, threads, context)
    }
}

/// What a product is made of.
#[derive(Clone, Copy)]
struct Operands<'a, P: Pair> {
    a: ArrayView2<'a, P::Left>,
    b: ArrayView2<'a, P::Right>,
    epilogue: Epilogue<'a, P::Sum>,
}

/// The size of pieces and of passes, and how many threads share them.
struct Plan {
    form: Form,
    threads: usize,
    depth: usize,
    rows: usize,
    columns: usize,
}

/// A piece of C, and where in C it begins.
struct Piece<'a, R> {
    row: usize,
    column: usize,
    c: ArrayViewMut2<'a, R>,
}

fn form<P: Pair>(kernel: &Kernel<P>, m: usize, b: ArrayView2<'_, P::Right>) -> Form {
    let (k, n) = b.dim();
    let by_columns = b.strides()[0] == 1 || k == 1;
    let by_rows = b.strides()[1] == 1 || n == 1;
    if by_columns && m < kernel.worth_packing() {
        Form::Dots
    } else if by_rows && m <= kernel.few() && n >= WORTH_STREAMING {
        Form::Streams
    } else {
        Form::Tiles
    }
}

fn outline<P: Pair>(
    a: ArrayView2<'_, P::Left>,
    b: ArrayView2<'_, P::Right>,
    threads: usize,
    context: &Context<'_>,
) -> (String, usize) {
    let ((m, k), n) = (a.dim(), b.ncols());
    let kernel = P::kernel(context.isa);
    let form = form(&kernel, m, b);
    let plan = Plan::new(&kernel, form, (m, k, n), threads);
    let plan = plan.cut_by(context.distribution, &kernel, (m, n));
    (kernel.name().replace("gemm", form.name()), m.div_ceil(plan.rows) * n.div_ceil(plan.columns))
}

fn by_form<P: Pair<Sum: Pod>, R: Rounded<P::Sum>>(
    a: ArrayView2<'_, P::Left>,
    b: ArrayView2<'_, P::Right>,
    mut c: ArrayViewMut2<'_, R>,
    epilogue: Epilogue<'_, P::Sum>,
    context: &Context<'_>,
) -> Result<(), Error> {
    let ((m, k), n) = (a.dim(), b.ncols());
    if c.is_empty() {
        return Ok(());
    }
    if m * n <= TINY && (m * n).saturating_mul(k) <= TINY {
        let mut sums = [P::Sum::default(); TINY];
        if let Ok(mut sums) = ArrayViewMut2::from_shape((m, n), &mut sums[..m * n]) {
            Kernel::<P>::tiny(a, b, sums.view_mut());
            finish(context.isa, sums, epilogue, c);
        }
        return Ok(());
    }
    let kernel = P::kernel(context.isa);
    let form = form(&kernel, m, b.view());
    let threads = load::threads::<Narrow<P, R>>((m, k, n), 1, context);
    let plan = Plan::new(&kernel, form, (m, k, n), threads);
    let plan = plan.cut_by(context.distribution, &kernel, (m, n));
    let operands = Operands { a, b, epilogue };
    let mut pieces = Vec::with_capacity(m.div_ceil(plan.rows) * n.div_ceil(plan.columns));
    for (i, mut rows) in c.axis_chunks_iter_mut(Axis(0), plan.rows).enumerate() {
        for column in (0..n).step_by(plan.columns) {
            let (c, rest) = rows.split_at(Axis(1), plan.columns.min(n - column));
            pieces.push(Piece { row: i * plan.rows, column, c });
            rows = rest;
        }
    }
    let (isa, failure) = (context.isa, Mutex::new(None));
    context.share(&mut pieces, plan.threads, |it, checkpoint| {
        if let Err(error) = piece(&kernel, &plan, operands, it, isa, checkpoint) {
            *failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
        }
    })?;
    failure.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
}

impl Plan {
    fn new<P: Pair>(
        kernel: &Kernel<P>,
        form: Form,
        (m, k, n): (usize, usize, usize),
        threads: usize,
    ) -> Self {
        if form != Form::Tiles {
            let depth = even(k, FEW_DEPTH, 1);
            let share = if threads > 1 { n.div_ceil(PIECES * threads) } else { n };
            let columns = share.min(FEW_PIECE / depth).next_multiple_of(CUT).max(CUT);
            return Self { form, threads, depth, rows: m, columns };
        }
        let depth = even(k, kernel.depth(), CUT);
        let (height, width) = (kernel.rows(), kernel.columns());
        let most = if depth < k { KEPT } else { m };
        let widest = COLUMNS.min(PIECE / (depth * size_of::<P::Right>())).max(width);
        let (mut rows, mut columns) = (even(m, most, height), even(n, widest, width));
        // Every row of pieces packs B anew, so columns are cut first.
        while threads > 1 && m.div_ceil(rows) * n.div_ceil(columns) < PIECES * threads {
            if columns > 2 * width || (columns > width && rows <= BLOCK) {
                columns = even(columns, columns / 2, width);
            } else if rows > height {
                rows = even(rows, rows / 2, height);
            } else {
                break;
            }
        }
        Self { form, threads, depth, rows, columns }
    }

    /// The same, with pieces as the caller wants them: so many rows of C, or where rows are few, columns.
    fn cut_by<P: Pair>(
        self,
        distribution: Option<WorkDistribution>,
        kernel: &Kernel<P>,
        (m, n): (usize, usize),
    ) -> Self {
        let Some(distribution) = distribution else { return self };
        if self.form == Form::Tiles {
            let rows = distribution.extent(m, self.threads, kernel.rows());
            return Self { rows: rows.min(self.rows.max(kernel.rows())), ..self };
        }
        let columns = distribution.extent(n, self.threads, CUT);
        Self { columns: columns.min((FEW_PIECE / self.depth).next_multiple_of(CUT)), ..self }
    }
}

/// The extent of parts of `count`, at most `limit` and as even as possible, in whole `unit`s.
fn even(count: usize, limit: usize, unit: usize) -> usize {
    let units = count.div_ceil(unit).max(1);
    let most = (limit / unit).max(1);
    units.div_ceil(units.div_ceil(most)) * unit
}

/// Computes one piece of C.
fn piece<P: Pair<Sum: Pod>, R: Rounded<P::Sum>>(
    kernel: &Kernel<P>,
    plan: &Plan,
    Operands { a, b, epilogue }: Operands<'_, P>,
    piece: &mut Piece<'_, R>,
    isa: Isa,
    checkpoint: Checkpoint<'_>,
) -> Result<(), Error> {
    let (m, n) = piece.c.dim();
    let a = a.slice_axis(Axis(0), (piece.row..piece.row + m).into());
    let columns = piece.column..piece.column + n;
    let b = b.slice_axis(Axis(1), columns.clone().into());
    let epilogue = Epilogue { bias: epilogue.bias.map(|bias| &bias[columns]), ..epilogue };
    let operands = Operands { a, b, epilogue };
    let c = piece.c.view_mut();
    if plan.form == Form::Tiles {
        tiles(kernel, plan, operands, c, isa, checkpoint)
    } else {
        few(kernel, plan, operands, c, isa, checkpoint)
    }
}

/// A piece in tiles: pass by pass over k, and in each pass block by block of A's rows against the piece's
/// columns of B, which are packed once a pass.
fn tiles<P: Pair<Sum: Pod>, R: Rounded<P::Sum>>(
    kernel: &Kernel<P>,
    plan: &Plan,
    Operands { a, b, epilogue }: Operands<'_, P>,
    mut c: ArrayViewMut2<'_, R>,
    isa: Isa,
    checkpoint: Checkpoint<'_>,
) -> Result<(), Error> {
    let ((m, n), k) = (c.dim(), a.ncols());
    let plain = epilogue.bias.is_none() && epilogue.activation.is_none();
    let is_direct = plain && c.strides()[1] == 1 && R::sums(&mut c).is_some();
    // Sums that one pass completes are rounded while they are near.
    let kept = if plan.depth >= k { BLOCK.min(m) } else { m };
    with_scratch(if is_direct { 0 } else { kept * n }, |sums: &mut [P::Sum]| {
        for first in (0..k.max(1)).step_by(plan.depth) {
            let terms = first..k.min(first + plan.depth);
            let is_last = terms.end == k;
            let a = a.slice_axis(Axis(1), terms.clone().into());
            let b = b.slice_axis(Axis(0), terms.into());
            with_scratch(kernel.packed_right(b.nrows(), n), |packed: &mut [u32]| {
                kernel.pack_right(b, packed);
                let blocks = a.axis_chunks_iter(Axis(0), BLOCK);
                for (i, (a, mut c)) in
                    blocks.zip(c.axis_chunks_iter_mut(Axis(0), BLOCK)).enumerate()
                {
                    if checkpoint.reached() {
                        break;
                    }
                    if is_direct {
                        if let Some(sums) = R::sums(&mut c) {
                            block(kernel, a, packed, sums, first > 0)?;
                        }
                        continue;
                    }
                    let begin = if kept < m { 0 } else { i * BLOCK * n };
                    let sums = &mut sums[begin..begin + a.nrows() * n];
                    let Ok(mut sums) = ArrayViewMut2::from_shape((a.nrows(), n), sums) else {
                        continue;
                    };
                    block(kernel, a, packed, sums.view_mut(), first > 0)?;
                    if is_last {
                        finish(isa, sums, epilogue, c);
                    }
                }
                Ok::<(), Error>(())
            })??;
            if checkpoint.reached() {
                break;
            }
        }
        Ok(())
    })?
}

/// A block of A's rows with packed columns of B.
fn block<P: Pair<Sum: Pod>>(
    kernel: &Kernel<P>,
    a: ArrayView2<'_, P::Left>,
    b: &[u32],
    sums: ArrayViewMut2<'_, P::Sum>,
    accumulate: bool,
) -> Result<(), Error> {
    let (m, k) = a.dim();
    if a.strides()[1] == 1 && kernel.takes_in_place(k) {
        kernel.multiply(Left::InPlace(a), b, sums, accumulate);
        return Ok(());
    }
    Ok(with_scratch(kernel.packed_left(m, k), |packed: &mut [u32]| {
        kernel.pack_left(a, packed);
        kernel.multiply(Left::Packed(m, k, packed), b, sums, accumulate);
    })?)
}

/// A piece of few rows: pass by pass over k, a block of columns at a time, which stay near while the rows go past,
/// few at a time.
fn few<P: Pair<Sum: Pod>, R: Rounded<P::Sum>>(
    kernel: &Kernel<P>,
    plan: &Plan,
    Operands { a, b, epilogue }: Operands<'_, P>,
    c: ArrayViewMut2<'_, R>,
    isa: Isa,
    checkpoint: Checkpoint<'_>,
) -> Result<(), Error> {
    let ((m, n), k) = (c.dim(), a.ncols());
    let width = kernel.few_columns(n);
    let near = NEAR / (plan.depth * size_of::<P::Right>());
    // Where few rows at a time are all rows, B goes past once anyway.
    let near = if m <= kernel.few() { width } else { near.next_multiple_of(CUT) };
    with_scratch(m * width, |sums: &mut [P::Sum]| {
        for first in (0..k.max(1)).step_by(plan.depth) {
            if checkpoint.reached() {
                return Ok(());
            }
            let terms = first..k.min(first + plan.depth);
            let a = a.slice_axis(Axis(1), terms.clone().into());
            let b = b.slice_axis(Axis(0), terms.into());
            with_scratch(kernel.packed_few(m, a.ncols()), |packed: &mut [u32]| {
                kernel.pack_few(a, packed);
                for (j, b) in b.axis_chunks_iter(Axis(1), near).enumerate() {
                    for start in (0..m).step_by(kernel.few()) {
                        let rows = kernel.few().min(m - start);
                        let row = kernel.packed_few(1, a.ncols());
                        let a = &packed[start * row..(start + rows) * row];
                        let begin = start * width + j * near;
                        let end = begin + (rows - 1) * width + kernel.few_columns(b.ncols());
                        let sums = &mut sums[begin..end];
                        if plan.form == Form::Dots {
                            kernel.dots(a, b, sums, width, first > 0);
                        } else {
                            kernel.streams(a, b, sums, width, first > 0);
                        }
                    }
                }
            })?;
        }
        if let Ok(sums) = ArrayViewMut2::from_shape((m, width), sums) {
            finish(isa, sums, epilogue, c);
        }
        Ok(())
    })?
}

/// Rounds sums, of which rows may be longer than those of C, into their places.
fn finish<S: Copy, R: Rounded<S>>(
    isa: Isa,
    mut sums: ArrayViewMut2<'_, S>,
    epilogue: Epilogue<'_, S>,
    mut c: ArrayViewMut2<'_, R>,
) {
    let n = c.ncols();
    for (mut sums, mut c) in sums.rows_mut().into_iter().zip(c.rows_mut()) {
        let Some(sums) = sums.as_slice_mut() else { continue };
        let sums = &mut sums[..n];
        if let Some(c) = c.as_slice_mut() {
            R::finish(isa, sums, epilogue, c);
            continue;
        }
        let mut room = [R::default(); SPREAD];
        for (i, mut c) in c.axis_chunks_iter_mut(Axis(0), SPREAD).enumerate() {
            let place = i * SPREAD..i * SPREAD + c.len();
            let bias = epilogue.bias.map(|bias| &bias[place.clone()]);
            let room = &mut room[..c.len()];
            R::finish(isa, &mut sums[place], Epilogue { bias, ..epilogue }, room);
            c.iter_mut().zip(room).for_each(|(to, from)| *to = *from);
        }
    }
}
