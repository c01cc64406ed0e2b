//! Many rows: some rows of the weight at a time become plain numbers, which all rows of inputs are multiplied with while
//! they are near.

use std::ops::Range;

use half::bf16;
use half::slice::HalfBitsSliceExt;
use ndarray::{ArrayView2, ArrayViewD, ArrayViewMut2, ArrayViewMutD, Axis, ShapeBuilder};
use threadwise_kernels::gemm::{self, Epilogue, Finish, Right};
use threadwise_kernels::narrow::{Bfloats, Pair, Rounded};
use threadwise_kernels::quant::dots::{Inputs, Kernel};
use threadwise_kernels::{Element, Isa};
use threadwise_runtime::with_scratch;

use super::super::{Narrow, Product};
use super::{PLAIN, Piece, QuantizedWeight, Single, prepare, threads};
use crate::error::Shape;
use crate::{Context, Error};

/// Bytes of plain rows of bfloat16 that are made at a time, about: less than the second-level cache.
const NEAR: usize = 1 << 20;

/// Such rows are a multiple of this, a whole sliver of any kernel.
const ROWS: usize = 64;

/// Rows of a piece that are made as float32: whole tiles of any kernel.
const SINGLES: usize = 96;

/// Terms of such a row that are made at a time: whole blocks of any width of codes.
const DEPTH: usize = 512;

/// Whether inputs and weights become bfloat16, where the caller asks for no more: because the CPU multiplies that
/// faster.
pub(super) fn is_narrow(isa: Isa) -> bool {
    Bfloats::kernel(isa).speed() > 1
}

/// The product by way of plain rows of the weight.
pub(super) fn many<T: Single>(
    inputs: Inputs,
    x: ArrayViewD<'_, T>,
    weight: &QuantizedWeight<'_>,
    epilogue: Epilogue<'_, f32>,
    mut out: ArrayViewMutD<'_, T>,
    context: &Context<'_>,
) -> Result<(), Error> {
    let kernel = Kernel::new(context.isa, weight.layout, Inputs::Float);
    let ([n, _], wide) = (weight.shape(), kernel.wide());
    let m = out.len() / n;
    let is_narrow = inputs == Inputs::Int8 && is_narrow(context.isa) && kernel.decodes_bf16();
    let near = NEAR / (wide * size_of::<bf16>()).max(1);
    let mut columns = if is_narrow { (near / ROWS * ROWS).max(ROWS) } else { SINGLES };
    if let Some(distribution) = context.distribution {
        columns = distribution.extent(n, context.threads, ROWS).min(columns);
    }
    let mut pieces = Piece::cut(&mut out, columns);
    let threads = threads::<T>(m, weight, pieces.len(), context);
    let isa = context.isa;
    with_scratch(m * kernel.prepared(), |prepared: &mut [u32]| {
        prepare(&kernel, x, prepared, threads, context)?;
        let floats: &[f32] = bytemuck::cast_slice(prepared);
        let rows = ArrayView2::from_shape((m, wide).strides((kernel.prepared(), 1)), floats);
        let rows = rows.map_err(|_| too_large(m, wide))?;
        if is_narrow {
            return with_scratch(m * wide, |narrow: &mut [u16]| {
                let narrow: &mut [bf16] = narrow.reinterpret_cast_mut();
                round(isa, rows, narrow)?;
                let rows = ArrayView2::from_shape((m, wide), &*narrow);
                let rows = rows.map_err(|_| too_large(m, wide))?;
                context.share(&mut pieces, threads, |piece, _| {
                    piece.outcome = bfloats(&kernel, rows, weight, epilogue, piece, isa);
                })
            })?;
        }
        let gemm = f32::gemm(isa);
        with_scratch(gemm.packed_right(wide, m), |packed: &mut [f32]| {
            pack(&gemm, rows, packed, threads, context)?;
            let x = Packed { gemm, rows: m, slivers: packed };
            context.share(&mut pieces, threads, |piece, _| {
                piece.outcome = singles(&kernel, &x, weight, epilogue, piece, isa);
            })
        })?
    })??;
    pieces.into_iter().try_for_each(|piece| piece.outcome)
}

/// Rows of inputs rounded to bfloat16.
fn round(isa: Isa, rows: ArrayView2<'_, f32>, to: &mut [bf16]) -> Result<(), Error> {
    Ok(with_scratch(rows.ncols(), |row: &mut [f32]| {
        for (from, to) in rows.rows().into_iter().zip(to.chunks_exact_mut(rows.ncols().max(1))) {
            row.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
            bf16::finish(isa, row, PLAIN, to);
        }
    })?)
}

/// Rows of inputs as what plain rows are multiplied with: of each pass the slivers of all of them.
struct Packed<'a> {
    gemm: gemm::Kernel<f32>,
    rows: usize,
    slivers: &'a [f32],
}

/// Packs rows of inputs, pass by pass.
fn pack(
    gemm: &gemm::Kernel<f32>,
    rows: ArrayView2<'_, f32>,
    to: &mut [f32],
    threads: usize,
    context: &Context<'_>,
) -> Result<(), Error> {
    let passes = rows.axis_chunks_iter(Axis(1), DEPTH);
    let places = to.chunks_mut(gemm.packed_right(DEPTH, rows.nrows()));
    let mut passes: Vec<_> = passes.zip(places).collect();
    context.share(&mut passes, threads, |(rows, to), _| gemm.pack_right(rows.t(), to))
}

/// A piece of plain rows as they are decoded: the transposed product, for which they need not be packed.
fn singles<T: Single>(
    kernel: &Kernel,
    x: &Packed<'_>,
    weight: &QuantizedWeight<'_>,
    epilogue: Epilogue<'_, f32>,
    piece: &mut Piece<'_, T>,
    isa: Isa,
) -> Result<(), Error> {
    let (m, rows, both) = (x.rows, piece.columns(), kernel.row_factors());
    let n = rows.len();
    with_scratch(n * (both + 2 * m), |room: &mut [f32]| {
        let (factors, room) = room.split_at_mut(n * both);
        let (sums, turned) = room.split_at_mut(n * m);
        kernel.factors(&weight.weights, rows.clone(), factors);
        with_scratch(n * DEPTH, |plain: &mut [f32]| {
            passes(kernel, x, weight, rows, factors, plain, sums)
        })??;
        let sums = ArrayView2::from_shape((n, m), &*sums).map_err(|_| too_large(n, m))?;
        x.gemm.copy_left(sums.reversed_axes(), turned);
        piece.fill(isa, turned, epilogue);
        Ok(())
    })?
}

/// The sums of plain rows, of which there is room for one pass.
fn passes(
    kernel: &Kernel,
    x: &Packed<'_>,
    weight: &QuantizedWeight<'_>,
    rows: Range<usize>,
    factors: &[f32],
    plain: &mut [f32],
    sums: &mut [f32],
) -> Result<(), Error> {
    let (n, m, wide) = (rows.len(), x.rows, kernel.wide());
    let sliver = x.gemm.packed_right(DEPTH, m);
    if wide == 0 {
        sums.fill(0.0);
    }
    for first in (0..wide).step_by(DEPTH) {
        let terms = first..wide.min(first + DEPTH);
        let depth = terms.len();
        let plain = &mut plain[..n * depth];
        kernel.decode(&weight.weights, rows.clone(), factors, terms, plain);
        let plain = ArrayView2::from_shape((n, depth), plain).map_err(|_| too_large(n, depth))?;
        let slivers = &x.slivers[first / DEPTH * sliver..][..x.gemm.packed_right(depth, m)];
        let sums = ArrayViewMut2::from_shape((n, m), &mut *sums).map_err(|_| too_large(n, m))?;
        let finish = Finish { accumulate: first > 0, epilogue: None };
        x.gemm.multiply(plain, Right::Packed(depth, m, slivers), sums, finish);
    }
    Ok(())
}

/// A piece of plain rows as bfloat16.
fn bfloats<T: Single>(
    kernel: &Kernel,
    x: ArrayView2<'_, bf16>,
    weight: &QuantizedWeight<'_>,
    epilogue: Epilogue<'_, f32>,
    piece: &mut Piece<'_, T>,
    isa: Isa,
) -> Result<(), Error> {
    let (rows, wide) = (piece.columns(), kernel.wide());
    with_scratch(rows.len() * wide, |plain: &mut [u16]| {
        let plain: &mut [bf16] = plain.reinterpret_cast_mut();
        with_scratch(rows.len() * kernel.row_factors(), |factors: &mut [f32]| {
            kernel.factors(&weight.weights, rows.clone(), factors);
            kernel.decode_bf16(&weight.weights, rows.clone(), factors, 0..wide, plain);
        })?;
        let plain = ArrayView2::from_shape((rows.len(), wide), &*plain);
        let plain = plain.map_err(|_| too_large(rows.len(), wide))?;
        let (m, n) = (x.nrows(), rows.len());
        with_scratch(m * n, |sums: &mut [f32]| {
            let view = ArrayViewMut2::from_shape((m, n), &mut *sums);
            let view = view.map_err(|_| too_large(m, n))?;
            let alone = Context::alone(isa);
            Narrow::<Bfloats, f32>::multiply(x, plain.reversed_axes(), view, PLAIN, &alone)?;
            piece.fill(isa, sums, epilogue);
            Ok(())
        })?
    })?
}

/// What ndarray refuses: extents beyond what it can address.
fn too_large(m: usize, n: usize) -> Error {
    Error::TooLarge(Shape(vec![m, n]))
}
