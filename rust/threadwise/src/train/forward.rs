//! Items of the way forwards, and of losses.

use ndarray::Axis;
use threadwise_kernels::Activation;
use threadwise_kernels::gemm::Epilogue;
use threadwise_kernels::train::Curve;

use super::pass::{End, Pass};
use super::plane::part;
use super::product::{depth, product};
use super::task::Target;
use crate::Error;
use crate::linalg::Real;
use crate::phased::Item;

impl<T: Real> Pass<'_, T> {
    /// Collects some rows of the inputs.
    pub(super) fn gather(&self, item: &Item<'_>, step: usize) {
        let Some((rows, grid)) = &self.input.gathered else { return };
        let (first, _) = grid.at(item.number());
        let rows = &rows[step * self.batch + first..];
        for (mut to, &row) in grid.cell(item, item.number()).rows_mut().into_iter().zip(rows) {
            to.assign(&self.input.x.row(row));
        }
    }

    /// Some of a layer's outputs, or a copy of some of its inputs.
    pub(super) fn forward(&self, item: &Item<'_>, step: usize, l: usize) -> Result<(), Error> {
        let layer = &self.layers[l];
        let Some(cell) = Some(item.number()).filter(|&cell| cell < layer.y.len()) else {
            self.pack(item, l, item.number() - layer.y.len());
            return Ok(());
        };
        let (row, column) = layer.y.at(cell);
        let mut y = layer.y.cell(item, cell);
        let (rows, columns) = (row..row + y.nrows(), column..column + y.ncols());
        let x = self.inputs(item, l);
        let weight = layer.weight.read(item);
        let bias = layer.bias.read(item);
        let bias = bias.as_slice().map(|bias| &bias[columns.clone()]);
        let (x, weight) =
            (x.slice_axis(Axis(0), rows.into()), weight.slice_axis(Axis(0), columns.into()));
        let curve = self.network.curve.filter(|_| l + 1 < self.network.layers());
        let mut z = layer.z.as_ref().map(|z| z.cell(item, cell));
        let activation = (curve == Some(Curve::Relu)).then_some(Activation::Relu);
        let place = z.as_mut().unwrap_or(&mut y);
        let epilogue = Epilogue { bias, activation };
        match &self.pieces {
            Some(pieces) => {
                let epilogue = Some((&self.kernel, epilogue));
                pieces.product(item, (l, row), weight.t(), place, epilogue)?;
            }
            None => product(&self.kernel, x, weight.t(), place, epilogue)?,
        }
        if let (Some(z), Some(curve)) = (z, curve) {
            for (z, mut y) in z.rows().into_iter().zip(y.rows_mut()) {
                if let (Some(z), Some(y)) = (z.as_slice(), y.as_slice_mut()) {
                    self.kernels.apply(curve, z, y);
                }
            }
        }
        if let Some((dropout, first)) = self.dropout(l, step) {
            for (i, mut y) in y.rows_mut().into_iter().enumerate() {
                if let Some(y) = y.as_slice_mut() {
                    dropout.row(first + row + i, column, y);
                }
            }
        }
        if let Some(pieces) = self.pieces.as_ref().filter(|_| l + 1 < self.layers.len()) {
            pieces.pack_inputs(item, l + 1, cell, y.view());
        }
        Ok(())
    }

    /// Copies some columns of a layer's inputs into slivers.
    fn pack(&self, item: &Item<'_>, l: usize, cell: usize) {
        let Some(packed) = &self.layers[l].packed else { return };
        let x = self.inputs(item, l);
        let (depth, width) = (depth(self.batch), self.kernel.columns());
        let across = x.ncols().div_ceil(width);
        let (first, _) = packed.at(cell);
        for (i, mut sliver) in packed.cell(item, cell).rows_mut().into_iter().enumerate() {
            let (pass, number) = ((first + i) / across, (first + i) % across);
            let rows = pass * depth..self.batch.min((pass + 1) * depth);
            let columns = number * width..x.ncols().min((number + 1) * width);
            if let Some(sliver) = sliver.as_slice_mut() {
                let x = part(x.view(), rows.clone(), columns);
                self.kernel.pack_right(x, &mut sliver[..rows.len() * width]);
            }
        }
    }

    /// Losses of some rows, whose place their derivatives take.
    pub(super) fn loss(&self, item: &Item<'_>, step: usize) {
        let (Some(goal), Some((cut, height)), Some(losses), Some(layer)) =
            (&self.goal, self.loss_cut, &self.losses, self.layers.last())
        else {
            return;
        };
        let mut outputs = layer.y.piece(item, cut, item.number());
        let first = item.number() * height;
        let rows = if matches!(self.end, End::EachGradient) { 1 } else { self.batch };
        let factor = T::from_f64(goal.share(rows, outputs.ncols()));
        let mut sum = 0.0;
        for (i, mut z) in outputs.axis_iter_mut(Axis(0)).enumerate() {
            let row = step * self.batch + first + i;
            let row = self.input.gathered.as_ref().map_or(row, |(rows, _)| rows[row]);
            let Some(z) = z.as_slice_mut() else { continue };
            sum += match goal.target {
                Target::Labels(labels) => {
                    let right = usize::try_from(labels[row]).unwrap_or_default();
                    self.kernels.label(z, right, factor)
                }
                Target::Values(values) => {
                    let values = values.row(row);
                    match values.as_slice() {
                        Some(values) => self.kernels.values(goal.loss, z, values, factor),
                        None => self.kernels.values(goal.loss, z, &values.to_vec(), factor),
                    }
                }
            };
        }
        losses.cell(item, step * cut.len() + item.number()).fill(sum);
    }
}
