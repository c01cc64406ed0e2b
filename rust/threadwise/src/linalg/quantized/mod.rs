//! Products with quantized weights.
//!
//! Threads share the rows of the weight, each of which is one thread's, so that the bits do not depend on their number:
//! `few` reads packed codes where they lie, `many` makes plain rows of them first.

mod few;
mod many;
#[cfg(test)]
mod tests;

use std::ops::Range;

use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};
use ndarray::{ArrayView1, ArrayViewD, ArrayViewMut1, ArrayViewMutD, Axis};
use threadwise_kernels::gemm::Epilogue;
use threadwise_kernels::narrow::Rounded;
use threadwise_kernels::quant::dots::{Inputs, Kernel, Layout, Scales, Weights, Zeros};
use threadwise_kernels::{Activation, Isa};
use threadwise_runtime::with_scratch;

use super::{expect, linear_shape};
use crate::work::{Choice, Kind, Load, calibration};
use crate::{Context, Error};

/// Rows of inputs up to which packed codes are read where they lie; of more, rows of the weight become plain numbers.
///
/// With inputs as bytes that is as fast as products of float32 are, whatever their number, but the inputs of more
/// rows fit in no near cache.
fn most_rows(inputs: Inputs, isa: Isa) -> usize {
    match inputs {
        Inputs::Int8 if many::is_narrow(isa) => 32,
        Inputs::Int8 => 256,
        Inputs::Float => 32,
    }
}

/// No bias, no activation.
const PLAIN: Epilogue<'static, f32> = Epilogue { bias: None, activation: None };

/// Bytes of codes, and multiply-adds, that take a few microseconds, for which nobody is asked.
const AT_ONCE: (usize, usize) = (48 << 10, 200_000);

/// Inputs from which on threads share the work to make them ready: some ten microseconds.
const WORTH_SHARING: usize = 16 << 10;

/// Results that are rounded at a time where they do not follow one another.
const SPREAD: usize = 256;

/// A quantized weight of (outputs, inputs) elements.
#[derive(Clone, Copy, Debug)]
pub struct QuantizedWeight<'a> {
    outputs: usize,
    layout: Layout,
    weights: Weights<'a>,
}

impl<'a> QuantizedWeight<'a> {
    /// The weight of so many rows, if what they hold has the sizes for it.
    #[must_use]
    pub fn new(outputs: usize, layout: Layout, weights: Weights<'a>) -> Option<Self> {
        let (words, groups) = (layout.words(), layout.groups());
        let numbers = outputs.checked_mul(groups)?;
        let zeros = match weights.zeros {
            Zeros::Symmetric => true,
            Zeros::Minimum(minima) => minima.len() == numbers,
            Zeros::Packed(packed) => {
                let rows = outputs.checked_mul(layout.bits() as usize)?.div_ceil(32);
                packed.len() == rows * groups
            }
        };
        let fits = weights.codes.len() == outputs.checked_mul(words)?;
        let fits = fits && weights.scales.len() == numbers && zeros;
        fits.then_some(Self { outputs, layout, weights })
    }

    /// The shape of the weight that it stands for.
    #[must_use]
    pub fn shape(&self) -> [usize; 2] {
        [self.outputs, self.layout.columns()]
    }

    /// Bytes of a row that a product reads.
    fn row_bytes(&self) -> usize {
        let numbers = if matches!(self.weights.zeros, Zeros::Minimum(_)) { 2 } else { 1 };
        let size = if matches!(self.weights.scales, Scales::F32(_)) { 4 } else { 2 };
        4 * self.layout.words() + numbers * size * self.layout.groups()
    }

    /// Bytes that a product reads.
    fn bytes(&self) -> usize {
        self.outputs * self.row_bytes()
    }
}

/// What layers with quantized weights take and give: `f32`, `f16` or `bf16`.
pub trait Single: Rounded<f32> {
    /// The same numbers as `f32`: as they lie, or in `room`, which is as long.
    #[must_use]
    fn widened<'a>(from: &'a [Self], room: &'a mut [f32]) -> &'a [f32];
}

impl Single for f32 {
    fn widened<'a>(from: &'a [f32], _: &'a mut [f32]) -> &'a [f32] {
        from
    }
}

impl Single for f16 {
    fn widened<'a>(from: &'a [f16], room: &'a mut [f32]) -> &'a [f32] {
        from.convert_to_f32_slice(room);
        room
    }
}

impl Single for bf16 {
    fn widened<'a>(from: &'a [bf16], room: &'a mut [f32]) -> &'a [f32] {
        from.convert_to_f32_slice(room);
        room
    }
}

/// `out = f(x @ dequantized(weight).T + bias)`, as [`linear`](super::linear) is for weights that are not quantized.
///
/// # Errors
///
/// If shapes do not fit (then `out` is untouched), memory runs out, or the context's interrupt is due.
pub fn linear_quantized<T: Single>(
    x: ArrayViewD<'_, T>,
    weight: &QuantizedWeight<'_>,
    bias: Option<&[f32]>,
    activation: Option<Activation>,
    inputs: Inputs,
    out: ArrayViewMutD<'_, T>,
    context: &Context<'_>,
) -> Result<(), Error> {
    let bias_shape = bias.map(|bias| [bias.len()]);
    let bias_shape = bias_shape.as_ref().map(<[usize; 1]>::as_slice);
    expect(&out, &linear_shape(x.shape(), &weight.shape(), bias_shape)?)?;
    if out.is_empty() {
        return Ok(());
    }
    let (mut x, mut out) = (x, out);
    if x.ndim() == 1 {
        x = x.insert_axis(Axis(0));
        out = out.insert_axis(Axis(0));
    }
    let epilogue = Epilogue { bias, activation };
    if out.len() / weight.outputs <= most_rows(inputs, context.isa) {
        few::few(inputs, x, weight, epilogue, out, context)
    } else {
        many::many(inputs, x, weight, epilogue, out, context)
    }
}

/// Columns of the result that one thread computes without the others.
struct Piece<'a, T> {
    first: usize,
    c: ArrayViewMutD<'a, T>,
    outcome: Result<(), Error>,
}

impl<'a, T: Single> Piece<'a, T> {
    /// All columns of a result, so many in a piece.
    fn cut(out: &'a mut ArrayViewMutD<'_, T>, columns: usize) -> Vec<Self> {
        let last = Axis(out.ndim() - 1);
        let pieces = out.axis_chunks_iter_mut(last, columns).enumerate();
        pieces.map(|(i, c)| Self { first: i * columns, c, outcome: Ok(()) }).collect()
    }

    /// Which columns they are: rows of the weight.
    fn columns(&self) -> Range<usize> {
        self.first..self.first + self.c.len_of(Axis(self.c.ndim() - 1))
    }

    /// Rounds sums into their places; the sums are used up.
    fn fill(&mut self, isa: Isa, sums: &mut [f32], epilogue: Epilogue<'_, f32>) {
        let columns = self.columns();
        let bias = epilogue.bias.map(|bias| &bias[columns.clone()]);
        let rows = sums.chunks_exact_mut(columns.len()).zip(self.c.rows_mut());
        for (sums, c) in rows {
            finish(isa, sums, Epilogue { bias, ..epilogue }, c);
        }
    }
}

/// A row of inputs, where it goes, and what became of it.
struct Row<'a, T> {
    x: ArrayView1<'a, T>,
    to: &'a mut [u32],
    outcome: Result<(), Error>,
}

/// All rows of inputs as the kernel reads them.
fn prepare<T: Single>(
    kernel: &Kernel,
    x: ArrayViewD<'_, T>,
    prepared: &mut [u32],
    threads: usize,
    context: &Context<'_>,
) -> Result<(), Error> {
    let k = kernel.layout().columns();
    let threads = if x.len() >= WORTH_SHARING { threads } else { 1 };
    let places = prepared.chunks_exact_mut(kernel.prepared().max(1));
    let rows = x.rows().into_iter().zip(places);
    let mut rows: Vec<_> = rows.map(|(x, to)| Row { x, to, outcome: Ok(()) }).collect();
    context.share(&mut rows, threads, |row, _| {
        let made = with_scratch(k, |room| kernel.prepare(widened(row.x, room), row.to));
        row.outcome = made.map_err(Error::from);
    })?;
    rows.into_iter().try_for_each(|row| row.outcome)
}

/// The numbers of a row, side by side: as they lie, or in `row`.
fn widened<'a, T: Single>(x: ArrayView1<'a, T>, row: &'a mut [f32]) -> &'a [f32] {
    if let Some(x) = x.to_slice() {
        return T::widened(x, row);
    }
    for (to, &x) in row.iter_mut().zip(x) {
        *to = T::widened(&[x], &mut [0.0])[0];
    }
    row
}

/// Rounds a row of sums into its place.
fn finish<T: Single>(
    isa: Isa,
    sums: &mut [f32],
    epilogue: Epilogue<'_, f32>,
    mut c: ArrayViewMut1<'_, T>,
) {
    if let Some(c) = c.as_slice_mut() {
        return T::finish(isa, sums, epilogue, c);
    }
    let mut room = [T::default(); SPREAD];
    for (i, (sums, mut c)) in
        sums.chunks_mut(SPREAD).zip(c.axis_chunks_iter_mut(Axis(0), SPREAD)).enumerate()
    {
        let bias = epilogue.bias.map(|bias| &bias[i * SPREAD..][..sums.len()]);
        let room = &mut room[..sums.len()];
        T::finish(isa, sums, Epilogue { bias, ..epilogue }, room);
        c.iter_mut().zip(room).for_each(|(to, from)| *to = *from);
    }
}

/// Threads that a product of so many rows is worth.
fn threads<T>(
    m: usize,
    weight: &QuantizedWeight<'_>,
    pieces: usize,
    context: &Context<'_>,
) -> usize {
    let ([n, k], bytes) = (weight.shape(), weight.bytes());
    let multiply_adds = m.saturating_mul(k).saturating_mul(n);
    if context.threads <= 1 || (bytes <= AT_ONCE.0 && multiply_adds <= AT_ONCE.1) {
        return 1;
    }
    let (read, written) = (bytes + m * k * size_of::<T>(), m * n * size_of::<T>());
    let load = Load {
        // The kernels are about as fast as those of float32.
        kind: Kind::Float32,
        multiply_adds: multiply_adds as f64,
        read: read as f64,
        written: written as f64,
    };
    let (machine, _) = calibration::current(context.isa);
    Choice::for_call(&machine, load, context.threads, pieces).threads
}
