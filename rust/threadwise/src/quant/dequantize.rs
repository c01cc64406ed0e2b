//! Values from codes.

use ndarray::{ArrayViewMut2, Axis};
use threadwise_kernels::Isa;
use threadwise_kernels::quant::{Kernel, Number};
use threadwise_runtime::with_scratch;

use super::parts::narrow;
use super::{Quantized, Scheme, Zeros};
use crate::error::Shape;
use crate::work::{Choice, Kind, Load, calibration};
use crate::{Context, Error};

/// Numbers of a piece of work, about.
const PIECE: usize = 1 << 16;

/// The values of a quantized weight: computed in float32, then rounded to `T`.
///
/// # Errors
///
/// If sizes do not fit (then `out` is untouched), memory runs out, or the context's interrupt is due.
pub fn dequantize<T: Number>(
    weight: Quantized<'_>,
    scheme: &Scheme,
    mut out: ArrayViewMut2<'_, T>,
    context: &Context<'_>,
) -> Result<(), Error> {
    let (rows, columns) = out.dim();
    weight.expect((rows, columns), scheme)?;
    if out.is_empty() {
        return Ok(());
    }
    let together = (PIECE / columns).clamp(1, rows);
    let mut pieces: Vec<Piece<'_, T>> = out
        .axis_chunks_iter_mut(Axis(0), together)
        .enumerate()
        .map(|(i, to)| Piece { first: i * together, to, outcome: Ok(()) })
        .collect();
    let elements = rows as f64 * columns as f64;
    let (read, written) = (elements, elements * size_of::<T>() as f64);
    let load = Load { kind: Kind::Float32, multiply_adds: 8.0 * elements, read, written };
    let (machine, _) = calibration::current(context.isa);
    let threads = Choice::for_call(&machine, load, context.threads, pieces.len()).threads;
    let isa = context.isa;
    context.share(&mut pieces, threads, |piece, _| {
        let to = piece.to.view_mut();
        piece.outcome = dequantize_rows(weight, scheme, piece.first, to, isa);
    })?;
    pieces.into_iter().try_for_each(|piece| piece.outcome)
}

/// Some rows of values, and what became of them.
struct Piece<'a, T> {
    first: usize,
    to: ArrayViewMut2<'a, T>,
    outcome: Result<(), Error>,
}

/// The values of as many rows of a quantized weight as `out` has, from row `first` on, on the calling thread.
///
/// # Errors
///
/// If sizes do not fit (then `out` is untouched), or memory runs out.
pub fn dequantize_rows<T: Number>(
    weight: Quantized<'_>,
    scheme: &Scheme,
    first: usize,
    mut out: ArrayViewMut2<'_, T>,
    isa: Isa,
) -> Result<(), Error> {
    let (rows, columns) = (weight.codes.nrows(), out.ncols());
    weight.expect((rows, columns), scheme)?;
    if first + out.nrows() > rows {
        let (actual, expected) =
            (Shape::from(out.shape()), Shape(vec![rows - first.min(rows), columns]));
        return Err(Error::Out { actual, expected });
    }
    if columns == 0 {
        return Ok(());
    }
    let (group, groups) = (scheme.group(columns), scheme.groups(columns));
    let kernel = Kernel::new(isa);
    let mut codes = vec![0; columns];
    let mut gathered = vec![0; scheme.words(columns)];
    with_scratch(2 * groups + columns, |scratch: &mut [f32]| {
        let (scales, scratch) = scratch.split_at_mut(groups);
        let (zeros, values) = scratch.split_at_mut(groups);
        for (i, to) in out.outer_iter_mut().enumerate() {
            let row = first + i;
            let stream = weight.codes.row(row);
            let stream = stream.as_slice().unwrap_or_else(|| {
                gathered.iter_mut().zip(&stream).for_each(|(to, word)| *to = *word);
                &gathered
            });
            kernel.unpack(scheme.bits, stream, &mut codes);
            weight.scales.row(isa, row, scales);
            weight.zeros.row(isa, row, scheme, zeros);
            kernel.decode(scheme.zero_point, group, &codes, scales, zeros, values);
            narrow(isa, to, values);
        }
    })?;
    Ok(())
}

impl Zeros<'_> {
    /// What the codes of a row are counted from: the group's minima, or whole numbers.
    fn row(&self, isa: Isa, row: usize, scheme: &Scheme, to: &mut [f32]) {
        let bits = scheme.bits;
        match self {
            Self::Symmetric => to.fill(bits.largest().div_ceil(2) as f32),
            Self::Float(minima) => minima.row(isa, row, to),
            Self::Integer(zeros) => {
                let (word, shift) = (row * bits.get() / 32, row * bits.get() % 32);
                let above = zeros.row(word);
                if shift + bits.get() <= 32 {
                    for (to, &low) in to.iter_mut().zip(above) {
                        *to = (low >> shift & bits.largest()) as f32;
                    }
                } else {
                    for ((to, &low), &high) in to.iter_mut().zip(above).zip(zeros.row(word + 1)) {
                        *to = ((low >> shift | high << (32 - shift)) & bits.largest()) as f32;
                    }
                }
            }
        }
    }
}
