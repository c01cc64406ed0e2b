//! Products of narrow numbers: bfloat16, float16, and integers of eight bits.
//!
//! As in `product`, C is cut into pieces that threads share. Sums are wider than the numbers: they are kept
//! in scratch memory until k has been passed over, and rounded once. Where k is cut depends on k and on the kernel
//! alone; only the size of pieces depends on the threads.

mod plan;

use std::marker::PhantomData;
use std::sync::{Mutex, PoisonError};

use bytemuck::Pod;
use ndarray::{ArrayView2, ArrayViewMut2, Axis};
use threadwise_kernels::gemm::Epilogue;
use threadwise_kernels::narrow::{Kernel, Left, Pair, Rounded};
use threadwise_runtime::{Checkpoint, with_scratch};

use self::plan::{BLOCK, CUT, NEAR, Plan, form};
use super::plan::Form;
use super::{Product, load};
use crate::work::Kind;
use crate::{Context, Error, Isa};

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
        if is_transposed((m, n), [c.strides()[0], c.strides()[1]], epilogue.bias.is_some()) {
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

    fn kernel(isa: Isa) -> String {
        P::kernel(isa).name()
    }

    fn outline(
        a: ArrayView2<'_, P::Left>,
        b: ArrayView2<'_, P::Right>,
        strides: [isize; 2],
        epilogue: Epilogue<'_, P::Sum>,
        threads: usize,
        context: &Context<'_>,
    ) -> (String, usize) {
        if is_transposed((a.nrows(), b.ncols()), strides, epilogue.bias.is_some()) {
            return outline::<P::Swapped>(b.reversed_axes(), a.reversed_axes(), threads, context);
        }
        outline::<P>(a, b, threads, context)
    }
}

/// Whether Cᵀ = Bᵀ·Aᵀ is computed into a C of these extents and strides: where its columns are contiguous, and
/// a single one is as a row, which has kernels of its own.
fn is_transposed((m, n): (usize, usize), strides: [isize; 2], has_bias: bool) -> bool {
    let by_rows = strides[1] == 1 || n == 1;
    let by_columns = (strides[0] == 1 || m == 1) && !has_bias;
    by_columns && ((n == 1 && m > 1) || !by_rows)
}

/// Whether the definition does it.
fn is_tiny((m, k, n): (usize, usize, usize)) -> bool {
    m * n <= TINY && (m * n).saturating_mul(k) <= TINY
}

/// What a product is made of.
#[derive(Clone, Copy)]
struct Operands<'a, P: Pair> {
    a: ArrayView2<'a, P::Left>,
    b: ArrayView2<'a, P::Right>,
    epilogue: Epilogue<'a, P::Sum>,
}

/// A piece of C, and where in C it begins.
struct Piece<'a, R> {
    row: usize,
    column: usize,
    c: ArrayViewMut2<'a, R>,
}

fn outline<P: Pair>(
    a: ArrayView2<'_, P::Left>,
    b: ArrayView2<'_, P::Right>,
    threads: usize,
    context: &Context<'_>,
) -> (String, usize) {
    let ((m, k), n) = (a.dim(), b.ncols());
    let kernel = P::kernel(context.isa);
    if is_tiny((m, k, n)) {
        return (kernel.name().replace("gemm", "definition"), 1);
    }
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
    if is_tiny((m, k, n)) {
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
