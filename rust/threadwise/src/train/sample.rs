//! Monte Carlo dropout: many passes with masks of their own, of which the part before the first mask is the same.

use ndarray::{ArrayView2, ArrayViewMut2, Axis};
use threadwise_kernels::Activation;
use threadwise_kernels::gemm::{Epilogue, Finish, Kernel, Right};
use threadwise_kernels::train::{Curve, Dropout, Kernels};
use threadwise_runtime::with_scratch;

use super::network::Network;
use super::product::{blocks, depth};
use super::run::{Sample, forward};
use super::task::Weights;
use crate::error::Shape;
use crate::linalg::Real;
use crate::work::{Choice, Load, calibration};
use crate::{Context, Error};

/// Rows that an item computes.
const ROWS: usize = 128;

/// `out[s·n + i] = network(x[i])` with the masks of sample s, from 0 on, where x has n rows. The bits are those of
/// [`forward`] with each of the samples.
///
/// # Errors
///
/// As [`forward`].
pub fn monte_carlo<T: Real>(
    network: &Network,
    weights: Vec<Weights<'_, T>>,
    x: ArrayView2<'_, T>,
    (seed, first_row): (u64, usize),
    mut out: ArrayViewMut2<'_, T>,
    context: &Context<'_>,
) -> Result<(), Error> {
    let batch = x.nrows();
    if out.is_empty() {
        return Ok(());
    }
    let masked = (0..network.layers() - 1).find(|&l| network.rate(l) > 0.0);
    let Some(masked) = masked else {
        // Nothing is random: all samples are the same.
        let (mut first, mut rest) = out.split_at(Axis(0), batch);
        forward(network, weights, x, None, first.view_mut(), context)?;
        for mut sample in rest.axis_chunks_iter_mut(Axis(0), batch) {
            sample.assign(&first);
        }
        return Ok(());
    };
    let units = network.sizes[masked + 1];
    let rest = &weights[masked + 1..];
    with_scratch(batch * units, |known: &mut [T]| {
        let too_large = |_| Error::TooLarge(Shape(vec![batch, units]));
        let place = ArrayViewMut2::from_shape((batch, units), &mut *known).map_err(too_large)?;
        forward(network, weights[..=masked].to_vec(), x, None, place, context)?;
        let known = ArrayView2::from_shape((batch, units), known).map_err(too_large)?;
        let (kernel, kernels) = (T::gemm(context.isa), T::train(context.isa));
        let packed: Vec<_> = rest.iter().map(|it| pack(&kernel, it.weight)).collect();
        let total = out.nrows();
        let mut items: Vec<_> = out
            .axis_chunks_iter_mut(Axis(0), ROWS)
            .enumerate()
            .map(|(i, it)| (i, it, Ok(())))
            .collect();
        let threads = threads::<T>(network, masked, total, context);
        context.share(&mut items, threads, |(number, out, outcome), _| {
            let (known, packed) = (known.view(), &packed[..]);
            let tail = Tail { network, masked, rest, packed, known, seed, first_row, kernels };
            *outcome = tail.run(&kernel, *number * ROWS, out);
        })?;
        items.into_iter().try_for_each(|item| item.2)
    })?
}

/// A weight in passes, each in slivers.
type Packed<T> = Vec<(usize, Vec<T>)>;

fn pack<T: Real>(kernel: &Kernel<T>, weight: ArrayView2<'_, T>) -> Packed<T> {
    let b = weight.t();
    let passes = b.axis_chunks_iter(Axis(0), depth(b.nrows()));
    let pass = |rows: ArrayView2<'_, T>| {
        let mut room = vec![T::default(); kernel.packed_right(rows.nrows(), rows.ncols())];
        kernel.pack_right(rows, &mut room);
        (rows.nrows(), room)
    };
    passes.into_iter().map(pass).collect()
}

/// The layers behind the first mask.
struct Tail<'a, 'w, T: 'static> {
    network: &'a Network,
    masked: usize,
    rest: &'a [Weights<'w, T>],
    packed: &'a [Packed<T>],
    known: ArrayView2<'a, T>,
    seed: u64,
    first_row: usize,
    kernels: Kernels<T>,
}

impl<T: Real> Tail<'_, '_, T> {
    /// The outputs of the rows `first` and so on of all samples.
    fn run(
        &self,
        kernel: &Kernel<T>,
        first: usize,
        out: &mut ArrayViewMut2<'_, T>,
    ) -> Result<(), Error> {
        let widest = self.network.sizes[self.masked + 1..].iter().copied().max().unwrap_or(1);
        let height = out.nrows();
        with_scratch(2 * height * widest, |room: &mut [T]| {
            let (mut from, mut to) = room.split_at_mut(height * widest);
            for (i, x) in from.chunks_exact_mut(self.known.ncols()).take(height).enumerate() {
                let row = (first + i) % self.known.nrows();
                x.iter_mut().zip(self.known.row(row)).for_each(|(to, known)| *to = *known);
            }
            for (l, (weights, packed)) in (self.masked..).zip(self.rest.iter().zip(self.packed)) {
                let (outputs, inputs) = weights.weight.dim();
                self.mask(l, first, &mut from[..height * inputs], inputs);
                let a = ArrayView2::from_shape((height, inputs), &from[..height * inputs]);
                let shape = (height, outputs);
                let c = ArrayViewMut2::from_shape(shape, &mut to[..height * outputs]);
                let (Ok(a), Ok(mut c)) = (a, c) else { return };
                let is_last = l + 2 == self.network.layers();
                let curve = self.network.curve.filter(|_| !is_last);
                let activation = (curve == Some(Curve::Relu)).then_some(Activation::Relu);
                let epilogue = Epilogue { bias: weights.bias.as_slice(), activation };
                let mut begin = 0;
                for (i, (terms, slivers)) in packed.iter().enumerate() {
                    let epilogue = (i + 1 == packed.len()).then_some(epilogue);
                    let finish = Finish { accumulate: i > 0, epilogue };
                    let a = a.slice_axis(Axis(1), (begin..begin + terms).into());
                    blocks(kernel, a, Right::Packed(*terms, outputs, slivers), &mut c, finish);
                    begin += terms;
                }
                if let Some(curve) = curve.filter(|&curve| curve != Curve::Relu) {
                    let (z, y) = (&to[..height * outputs], &mut from[..height * outputs]);
                    self.kernels.apply(curve, z, y);
                } else {
                    std::mem::swap(&mut from, &mut to);
                }
            }
            let result = ArrayView2::from_shape(out.dim(), &from[..out.len()]);
            if let Ok(result) = result {
                out.assign(&result);
            }
        })?;
        Ok(())
    }

    /// Masks what layer `l` gave.
    fn mask(&self, l: usize, first: usize, x: &mut [T], units: usize) {
        let rate = self.network.rate(l);
        if rate == 0.0 {
            return;
        }
        let batch = self.known.nrows();
        for (i, x) in x.chunks_exact_mut(units).enumerate() {
            let (sample, row) = ((first + i) / batch, (first + i) % batch);
            let number = sample as u64;
            let masks = Sample { seed: self.seed, number, first_row: self.first_row }.masks();
            let dropout = Dropout { key: masks.key, layer: l as u64, time: masks.time, rate };
            dropout.row(self.first_row + row, 0, x);
        }
    }
}

/// Threads that so many rows are worth.
fn threads<T: Real>(network: &Network, masked: usize, rows: usize, context: &Context<'_>) -> usize {
    if context.threads <= 1 || rows <= ROWS {
        return 1;
    }
    let pairs = network.sizes[masked + 1..].windows(2).map(|pair| pair[0] * pair[1] + 4 * pair[0]);
    let each = pairs.sum::<usize>() as f64;
    let bytes = (rows * network.sizes[masked + 1] * size_of::<T>()) as f64;
    let load =
        Load { kind: T::RATE, multiply_adds: each * rows as f64, read: bytes, written: bytes };
    let (machine, _) = calibration::current(context.isa);
    Choice::for_call(&machine, load, context.threads, rows.div_ceil(ROWS)).threads
}
