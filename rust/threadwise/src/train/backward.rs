//! Items of the way backwards: derivatives, gradients, steps.

use ndarray::{Array1, ArrayView2, ArrayViewMut2, Axis};
use threadwise_kernels::gemm::{Epilogue, Finish, Right};
use threadwise_kernels::train::{Curve, State, Terms};
use threadwise_runtime::with_scratch;

use super::pass::{End, Layer, Pass};
use super::plane::part;
use super::product::{blocks, depth, product};
use super::task::Course;
use crate::Error;
use crate::linalg::Real;
use crate::phased::Item;

impl<T: Real> Pass<'_, T> {
    /// Some derivatives by the inputs of layer `l`, or some rows of a gradient.
    pub(super) fn backwards(&self, item: &Item<'_>, step: usize, l: usize) -> Result<(), Error> {
        let (layers, derivatives, [behind, first]) = self.backward(l);
        let Some(gradient) = item.number().checked_sub(derivatives) else {
            return self.derivatives(item, step, l);
        };
        // Both layers' items in turns, however many there are of each: who begins at the first of them and who
        // begins in their middle have as much work.
        let firsts = |items: usize| items * first / (behind + first);
        let before = firsts(gradient);
        if firsts(gradient + 1) > before {
            self.gradient(item, step, layers[1], before)
        } else {
            self.gradient(item, step, layers[0], gradient - before)
        }
    }

    fn derivatives(&self, item: &Item<'_>, step: usize, l: usize) -> Result<(), Error> {
        let before = &self.layers[l - 1];
        let Some(delta) = &before.delta else { return Ok(()) };
        let (row, column) = delta.at(item.number());
        let mut d = delta.cell(item, item.number());
        let (rows, columns) = (row..row + d.nrows(), column..column + d.ncols());
        let (behind, weight) = (self.deltas(item, l), self.layers[l].weight.read(item));
        let (behind, weight) = (
            behind.slice_axis(Axis(0), rows.clone().into()),
            weight.slice_axis(Axis(1), columns.clone().into()),
        );
        let none = Epilogue { bias: None, activation: None };
        match &self.pieces {
            Some(pieces) => pieces.product(item, (l + 1, row), weight, &mut d, None)?,
            None => product(&self.kernel, behind, weight, &mut d, none)?,
        }
        if let Some((dropout, first)) = self.dropout(l - 1, step) {
            for (i, mut d) in d.rows_mut().into_iter().enumerate() {
                if let Some(d) = d.as_slice_mut() {
                    dropout.row(first + row + i, column, d);
                }
            }
        }
        if let Some(curve) = self.network.curve {
            let x = before.z.as_ref().filter(|_| curve != Curve::Relu).unwrap_or(&before.y);
            let x = x.read(item);
            for (x, mut d) in part(x, rows, columns).rows().into_iter().zip(d.rows_mut()) {
                if let (Some(x), Some(d)) = (x.as_slice(), d.as_slice_mut()) {
                    self.kernels.derive(curve, x, d);
                }
            }
        }
        if let Some(pieces) = self.pieces.as_ref().filter(|_| l > 1) {
            pieces.pack_rows(item, l, item.number(), d.view());
        }
        Ok(())
    }

    /// Rows of the gradient of a layer's weight and bias, and the step with them.
    fn gradient(&self, item: &Item<'_>, step: usize, l: usize, number: usize) -> Result<(), Error> {
        let layer = &self.layers[l];
        let deltas = self.deltas(item, l);
        let [_, outputs] = self.network.extents(l);
        let first = number * layer.rows;
        let rows = first..outputs.min(first + layer.rows);
        let (height, batch) = (rows.len(), self.batch);
        let deltas = deltas.slice_axis(Axis(1), rows.into());
        if self.pieces.is_some() {
            let mut sums = vec![T::default(); height];
            for row in deltas.rows() {
                let row = row.to_slice().unwrap_or_default();
                sums.iter_mut().zip(row).for_each(|(sum, delta)| *sum += *delta);
            }
            return self.gradient_of(item, step, (l, number), deltas.t(), &sums);
        }
        with_scratch(height * batch, |columns: &mut [T]| {
            self.kernel.copy_left(deltas.t(), columns);
            let Ok(columns) = ArrayView2::from_shape((height, batch), columns) else {
                return Ok(());
            };
            let sums: Array1<T> =
                columns.rows().into_iter().map(|row| self.total(row.as_slice())).collect();
            let sums = sums.as_slice().unwrap_or_default();
            self.gradient_of(item, step, (l, number), columns, sums)
        })?
    }

    /// The same from derivatives, by columns, and their sums.
    fn gradient_of(
        &self,
        item: &Item<'_>,
        step: usize,
        (l, number): (usize, usize),
        columns: ArrayView2<'_, T>,
        sums: &[T],
    ) -> Result<(), Error> {
        let (layer, [inputs, _]) = (&self.layers[l], self.network.extents(l));
        if let Some((weight, bias)) = &layer.gradient {
            let mut gradient = weight.cell(item, number);
            self.weight_gradient(item, l, columns, &mut gradient)?;
            bias.cell(item, number).iter_mut().zip(sums).for_each(|(to, from)| *to = *from);
            self.note_squares(item, l, number, gradient.as_slice().unwrap_or_default(), sums);
            return Ok(());
        }
        let End::Step(course) = self.end else { return Ok(()) };
        let height = columns.nrows();
        with_scratch(height * inputs, |gradient: &mut [T]| {
            if let Ok(mut gradient) = ArrayViewMut2::from_shape((height, inputs), &mut *gradient) {
                self.weight_gradient(item, l, columns, &mut gradient)?;
            }
            self.step(item, step, (layer, number), course, [gradient, sums], 1.0);
            Ok(())
        })?
    }

    fn total(&self, row: Option<&[T]>) -> T {
        self.kernels.total(row.unwrap_or_default())
    }

    /// The product of derivatives, some outputs' of all rows, and the inputs that were packed.
    fn weight_gradient(
        &self,
        item: &Item<'_>,
        l: usize,
        columns: ArrayView2<'_, T>,
        gradient: &mut ArrayViewMut2<'_, T>,
    ) -> Result<(), Error> {
        if let Some(pieces) = &self.pieces {
            return pieces.weight_gradient(item, l, columns, gradient);
        }
        let Some(packed) = &self.layers[l].packed else { return Ok(()) };
        let packed = packed.read(item);
        let (depth, width, n) = (depth(self.batch), self.kernel.columns(), gradient.ncols());
        let across = n.div_ceil(width);
        for (number, sliver) in packed.rows().into_iter().enumerate() {
            let (pass, first) = (number / across, number % across * width);
            let terms = pass * depth..self.batch.min((pass + 1) * depth);
            let count = width.min(n - first);
            let Some(sliver) = sliver.to_slice() else { continue };
            let b = Right::Packed(terms.len(), count, &sliver[..terms.len() * width]);
            let finish = Finish { accumulate: pass > 0, epilogue: None };
            let mut c = gradient.slice_axis_mut(Axis(1), (first..first + count).into());
            blocks(&self.kernel, columns.slice_axis(Axis(1), terms.into()), b, &mut c, finish);
        }
        Ok(())
    }

    /// The optimizer's step for an item's rows, with gradients of weights and biases times `factor`.
    fn step(
        &self,
        item: &Item<'_>,
        step: usize,
        (layer, number): (&Layer<'_, T>, usize),
        course: Course<'_>,
        gradients: [&[T]; 2],
        factor: f64,
    ) {
        let optimizer = course.optimizer.at(step as u64, course.rates[step]);
        for (which, gradient) in gradients.into_iter().enumerate() {
            let plane = if which == 0 { &layer.weight } else { &layer.bias };
            let Some(mut weights) = plane.cell(item, number) else { continue };
            let mut states: Vec<_> = layer
                .states
                .iter()
                .map(|(weight, bias)| if which == 0 { weight } else { bias }.cell(item, number))
                .collect();
            let mut states =
                states.iter_mut().map(|state| state.as_slice_mut().unwrap_or_default());
            let states = [states.next().unwrap_or_default(), states.next().unwrap_or_default()];
            let Some(weights) = weights.as_slice_mut() else { continue };
            let (sources, one) = ([gradient], [T::from_f64(1.0)]);
            let terms = Terms { sources: &sources, weights: &one, factor: T::from_f64(factor) };
            optimizer.step(&self.kernels, &terms, 0, State { weights, states });
        }
    }

    /// Notes the squares of an item's gradients, where their norm is asked for.
    fn note_squares(&self, item: &Item<'_>, l: usize, number: usize, weight: &[T], bias: &[T]) {
        let Some(squares) = &self.squares else { return };
        let one = [T::from_f64(1.0)];
        let of = |x: &[T]| {
            let terms = Terms { sources: &[x], weights: &one, factor: one[0] };
            self.kernels.squares(&terms, 0, x.len())
        };
        let before: usize = self.layers[..l].iter().map(|layer| layer.items).sum();
        squares.cell(item, before + number).fill(of(weight) + of(bias));
    }

    /// A step with gradients that are all there, scaled down if their norm is too large.
    pub(super) fn step_all(&self, item: &Item<'_>, step: usize) {
        let (End::Step(course), Some(squares)) = (self.end, &self.squares) else { return };
        let norm = squares.read(item).iter().sum::<f64>().sqrt();
        let most = course.clip.unwrap_or(f64::INFINITY);
        let factor = if norm > most { most / norm } else { 1.0 };
        let mut number = item.number();
        for layer in &self.layers {
            if number >= layer.items {
                number -= layer.items;
                continue;
            }
            let Some((weight, bias)) = &layer.gradient else { return };
            let (weight, bias) = (weight.read(item), bias.read(item));
            let first = number * layer.rows;
            let rows = first..weight.nrows().min(first + layer.rows);
            let (weight, bias) = (
                weight.slice_axis(Axis(0), rows.clone().into()),
                bias.slice_axis(Axis(0), rows.into()),
            );
            let gradients =
                [weight.as_slice().unwrap_or_default(), bias.as_slice().unwrap_or_default()];
            return self.step(item, step, (layer, number), course, gradients, factor);
        }
    }

    /// The gradients of a layer's weights for some rows, each by itself.
    pub(super) fn each(&self, item: &Item<'_>, l: usize) {
        let Some((weight, bias)) = &self.layers[l].gradient else { return };
        let (inputs, deltas) = (self.inputs(item, l), self.deltas(item, l));
        let (first, _) = weight.at(item.number());
        let mut weight = weight.cell(item, item.number());
        let mut bias = bias.cell(item, item.number());
        for (i, (mut weight, mut bias)) in
            weight.rows_mut().into_iter().zip(bias.rows_mut()).enumerate()
        {
            let (x, delta) = (inputs.row(first + i), deltas.row(first + i));
            bias.assign(&delta);
            let Some(weight) = weight.as_slice_mut() else { continue };
            for (row, &delta) in weight.chunks_exact_mut(x.len()).zip(&delta) {
                row.iter_mut().zip(&x).for_each(|(to, x)| *to = delta * *x);
            }
        }
    }
}
