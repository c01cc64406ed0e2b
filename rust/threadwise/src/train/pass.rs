//! A pass over a network, forwards and maybe backwards, any number of times: the phases, and which items they have.
//!
//! Forwards, an item computes some rows and columns of a layer's outputs; others copy what the layer was given into
//! the order in which tiles read it, for the gradient of its weight; where products are made from pieces (`pieces`),
//! the item that made it does so at once. Backwards, an item computes some rows and columns
//! of the derivatives by a layer's inputs, or some rows of the gradient by its weight, all columns of them. With these
//! it makes the optimizer's step at once, while they are in its cache, unless the norm of all must be known first.

use ndarray::ArrayView2;
use threadwise_kernels::gemm::Kernel;
use threadwise_kernels::train::{Dropout, Kernels};

use super::network::Network;
use super::pieces::Pieces;
use super::plane::{Grid, Plane};
use super::task::{Course, Goal, Masks};
use crate::Error;
use crate::linalg::Real;
use crate::phased::{Cut, Item, Phased};

/// The buffers of a layer.
#[derive(Debug)]
pub(super) struct Layer<'b, T> {
    /// (outputs, inputs)
    pub(super) weight: Plane<'b, T>,
    /// (outputs, 1)
    pub(super) bias: Plane<'b, T>,
    /// (batch, outputs): what it gives; of the last layer, then its derivatives.
    pub(super) y: Grid<'b, T>,
    /// (batch, outputs): what its function is given, if that must be kept.
    pub(super) z: Option<Grid<'b, T>>,
    /// (batch, outputs): derivatives by what its function is given, of all but the last layer.
    pub(super) delta: Option<Grid<'b, T>>,
    /// What it is given, in slivers.
    pub(super) packed: Option<Grid<'b, T>>,
    /// Weights' and biases' gradients.
    pub(super) gradient: Option<(Grid<'b, T>, Grid<'b, T>)>,
    /// What the optimizer remembers of weights and biases.
    pub(super) states: Vec<(Grid<'b, T>, Grid<'b, T>)>,
    /// Items of the gradient of its weight.
    pub(super) items: usize,
    /// Rows of an item.
    pub(super) rows: usize,
}

/// Where inputs come from.
#[derive(Debug)]
pub(super) struct Input<'b, T> {
    pub(super) x: ArrayView2<'b, T>,
    /// The rows of each step, one after the other, and where they go. If there are none, a step takes all rows.
    pub(super) gathered: Option<(&'b [usize], Grid<'b, T>)>,
}

/// What becomes of gradients.
#[derive(Clone, Copy, Debug)]
pub(super) enum End<'b> {
    /// There are none.
    Outputs,
    /// They are kept.
    Gradients,
    /// They are kept for each row.
    EachGradient,
    /// The optimizer makes a step with them.
    Step(Course<'b>),
}

/// A phase of one step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Rows of the inputs are collected.
    Gather,
    /// Inputs are packed, in pieces.
    Split,
    /// Outputs of a layer; its inputs are packed, if they were not before.
    Forward(usize),
    /// Losses, and derivatives by the outputs.
    Loss,
    /// Derivatives by the outputs are packed, in pieces.
    SplitDeltas,
    /// Derivatives by the inputs of a layer; gradients of the weights of the layer behind it, whose weights are no
    /// longer needed as they were, and of the first layer's together with those of the second.
    Backward(usize),
    /// Gradients of a layer's weights for each row.
    Each(usize),
    /// Steps, when the norm is known.
    Step,
}

#[derive(Debug)]
pub(super) struct Pass<'b, T: Real> {
    pub(super) network: &'b Network,
    pub(super) kernel: Kernel<T>,
    pub(super) kernels: Kernels<T>,
    pub(super) batch: usize,
    pub(super) steps: usize,
    pub(super) input: Input<'b, T>,
    pub(super) goal: Option<Goal<'b, T>>,
    pub(super) masks: Option<Masks>,
    pub(super) end: End<'b>,
    pub(super) layers: Vec<Layer<'b, T>>,
    /// Operands of products, if these are made from pieces.
    pub(super) pieces: Option<Pieces<'b, T>>,
    /// Cells of the last layer's outputs whose losses are one item.
    pub(super) loss_cut: Option<(Cut, usize)>,
    /// A number for each step and item.
    pub(super) losses: Option<Grid<'b, f64>>,
    /// Sums of squares, one for each item of gradients.
    pub(super) squares: Option<Grid<'b, f64>>,
    /// The phases of a step, and how many items they have.
    pub(super) phases: Vec<(Phase, usize)>,
}

impl<T: Real> Pass<'_, T> {
    /// Lists the phases.
    pub(super) fn plan(&mut self) {
        let count = self.layers.len();
        let mut phases = Vec::new();
        if let Some((_, grid)) = &self.input.gathered {
            phases.push((Phase::Gather, grid.len()));
        }
        if self.pieces.is_some() {
            phases.push((Phase::Split, Pieces::<T>::items(self.batch)));
        }
        for (l, layer) in self.layers.iter().enumerate() {
            let packed = layer.packed.as_ref().map_or(0, Grid::len);
            phases.push((Phase::Forward(l), layer.y.len() + packed));
        }
        if let Some((cut, _)) = self.loss_cut {
            phases.push((Phase::Loss, cut.len()));
            if self.pieces.is_some() && count > 1 {
                phases.push((Phase::SplitDeltas, Pieces::<T>::items(self.batch)));
            }
            for l in (0..count).rev() {
                let (_, derivatives, gradients) = self.backward(l);
                phases.push((Phase::Backward(l), derivatives + gradients.iter().sum::<usize>()));
            }
        }
        match self.end {
            End::EachGradient => {
                let items = |layer: &Layer<'_, T>| {
                    layer.gradient.as_ref().map_or(0, |(weight, _)| weight.len())
                };
                phases.extend(
                    self.layers.iter().enumerate().map(|(l, it)| (Phase::Each(l), items(it))),
                );
            }
            End::Step(Course { clip: Some(_), .. }) => {
                phases.push((Phase::Step, self.layers.iter().map(|layer| layer.items).sum()));
            }
            _ => (),
        }
        self.phases = phases;
    }

    /// The layers whose gradients are computed together with the derivatives by the inputs of layer `l`, how many
    /// items those have, and how many these.
    pub(super) fn backward(&self, l: usize) -> ([usize; 2], usize, [usize; 2]) {
        let derivatives = match l.checked_sub(1).map(|before| &self.layers[before]) {
            Some(before) => before.delta.as_ref().map_or(0, Grid::len),
            None => 0,
        };
        if matches!(self.end, End::EachGradient | End::Outputs) {
            return ([0; 2], derivatives, [0; 2]);
        }
        let behind = self.layers.get(l + 1).map_or(0, |layer| layer.items);
        let first = if l == 0 { self.layers[0].items } else { 0 };
        ([l + 1, 0], derivatives, [behind, first])
    }

    /// What a layer is given.
    pub(super) fn inputs<'i>(&'i self, item: &'i Item<'_>, l: usize) -> ArrayView2<'i, T> {
        match (l.checked_sub(1), &self.input.gathered) {
            (Some(before), _) => self.layers[before].y.read(item),
            (None, Some((_, grid))) => grid.read(item),
            (None, None) => self.input.x.view(),
        }
    }

    /// Derivatives by what the function of a layer is given, or by the outputs.
    pub(super) fn deltas<'i>(&'i self, item: &'i Item<'_>, l: usize) -> ArrayView2<'i, T> {
        let layer = &self.layers[l];
        layer.delta.as_ref().unwrap_or(&layer.y).read(item)
    }

    /// The masks of a layer in this step, if it has any.
    pub(super) fn dropout(&self, l: usize, step: usize) -> Option<(Dropout, usize)> {
        let rate = if l + 1 < self.network.layers() { self.network.rate(l) } else { 0.0 };
        let masks = self.masks.filter(|_| rate > 0.0)?;
        let (layer, time) = (l as u64, masks.time + step as u64);
        Some((Dropout { key: masks.key, layer, time, rate }, masks.row))
    }
}

impl<T: Real> Phased for Pass<'_, T> {
    fn phases(&self) -> usize {
        self.phases.len() * self.steps
    }

    fn items(&self, phase: usize) -> usize {
        self.phases[phase % self.phases.len()].1
    }

    fn run(&self, item: &Item<'_>) -> Result<(), Error> {
        let (step, phase) = (item.phase() / self.phases.len(), item.phase() % self.phases.len());
        match self.phases[phase].0 {
            Phase::Gather => self.gather(item, step),
            Phase::Split => self.split_inputs(item),
            Phase::SplitDeltas => self.split_deltas(item),
            Phase::Forward(l) => self.forward(item, step, l)?,
            Phase::Loss => self.loss(item, step),
            Phase::Backward(l) => self.backwards(item, step, l)?,
            Phase::Each(l) => self.each(item, l),
            Phase::Step => self.step_all(item, step),
        }
        Ok(())
    }
}
