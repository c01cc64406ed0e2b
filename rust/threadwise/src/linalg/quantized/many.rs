//! Many rows: some rows of the weight at a time become plain numbers, which all rows of inputs are multiplied with while
//! they are near.

use half::bf16;
use half::slice::HalfBitsSliceExt;
use ndarray::{ArrayView2, ArrayViewD, ArrayViewMut2, ArrayViewMutD, ShapeBuilder};
use threadwise_kernels::Isa;
use threadwise_kernels::gemm::Epilogue;
use threadwise_kernels::narrow::{Bfloats, Pair, Rounded};
use threadwise_kernels::quant::dots::{Inputs, Kernel};
use threadwise_runtime::with_scratch;

use super::super::{Narrow, PackedWeight, Product, product};
use super::{PLAIN, Piece, QuantizedWeight, Single, prepare, threads};
use crate::error::Shape;
use crate::{Context, Error};

/// Bytes of plain rows that are made at a time, about: less than the second-level cache.
const NEAR: usize = 1 << 20;

/// Rows that are made at a time are a multiple of this, a whole sliver of any kernel.
const ROWS: usize = 64;

/// Numbers between plain rows: a cache line.
const APART: usize = 16;

/// Whether inputs and weights become bfloat16, because the CPU multiplies that faster and the caller asks for no more.
fn is_narrow(isa: Isa, inputs: Inputs, kernel: &Kernel) -> bool {
    inputs == Inputs::Int8 && kernel.decodes_bf16() && Bfloats::kernel(isa).speed() > 1
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
    let is_narrow = is_narrow(context.isa, inputs, &kernel);
    let size = if is_narrow { size_of::<bf16>() } else { size_of::<f32>() };
    let mut columns = (NEAR / (wide * size).max(1) / ROWS * ROWS).max(ROWS);
    if let Some(distribution) = context.distribution {
        columns = distribution.extent(n, context.threads, ROWS).min(columns);
    }
    let mut pieces = Piece::cut(&mut out, columns);
    let threads = threads::<T>(m, weight, pieces.len(), context);
    let isa = context.isa;
    with_scratch(m * kernel.prepared(), |prepared: &mut [u32]| {
        prepare(&kernel, x, prepared)?;
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
        // The inputs are packed once, as what plain rows are multiplied with.
        let packed = PackedWeight::new(rows, context)?;
        context.share(&mut pieces, threads, |piece, _| {
            piece.outcome = singles(&kernel, &packed, weight, epilogue, piece, isa);
        })
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

/// A piece of plain rows as they are decoded: the transposed product, for which they need not be packed.
fn singles<T: Single>(
    kernel: &Kernel,
    x: &PackedWeight<f32>,
    weight: &QuantizedWeight<'_>,
    epilogue: Epilogue<'_, f32>,
    piece: &mut Piece<'_, T>,
    isa: Isa,
) -> Result<(), Error> {
    let ([m, wide], rows) = (x.shape(), piece.columns());
    let n = rows.len();
    // Rows that lie a power of two apart would drive each other out of the nearest cache.
    let stride = wide + APART;
    with_scratch(n * (stride + m), |room: &mut [f32]| {
        let (plain, sums) = room.split_at_mut(n * stride);
        with_scratch(kernel.scratch(), |scratch: &mut [f32]| {
            for (row, to) in rows.zip(plain.chunks_exact_mut(stride)) {
                kernel.decode(&weight.weights, row..row + 1, scratch, &mut to[..wide]);
            }
        })?;
        let plain = ArrayView2::from_shape((n, wide).strides((stride, 1)), &*plain);
        let plain = plain.map_err(|_| too_large(n, wide))?;
        let view = ArrayViewMut2::from_shape((n, m), &mut *sums).map_err(|_| too_large(n, m))?;
        product::multiply_packed(plain, x, view, PLAIN, &Context::alone(isa))?;
        let sums = ArrayView2::from_shape((n, m), &*sums).map_err(|_| too_large(n, m))?;
        with_scratch(n * m, |rows: &mut [f32]| {
            x.kernel().copy_left(sums.reversed_axes(), rows);
            piece.fill(isa, rows, epilogue);
        })?;
        Ok(())
    })?
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
        with_scratch(kernel.scratch(), |scratch: &mut [f32]| {
            kernel.decode_bf16(&weight.weights, rows.clone(), scratch, plain);
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
