//! What a pass over a network is for.

use ndarray::{ArrayView2, ArrayViewMut2};
use threadwise_kernels::train::Loss;

use super::Optimizer;

/// A weight of (outputs, inputs) elements and a bias of (outputs, 1), both by rows without gaps.
#[derive(Clone, Copy, Debug)]
pub struct Weights<'a, T> {
    /// The weight.
    pub weight: ArrayView2<'a, T>,
    /// The bias.
    pub bias: ArrayView2<'a, T>,
}

/// The same, to be written.
#[derive(Debug)]
pub struct WeightsMut<'a, T> {
    /// The weight.
    pub weight: ArrayViewMut2<'a, T>,
    /// The bias.
    pub bias: ArrayViewMut2<'a, T>,
}

/// The parameters of a layer that is trained, and what the optimizer remembers of them.
#[derive(Debug)]
pub struct Trained<'a, T> {
    /// The parameters.
    pub weights: WeightsMut<'a, T>,
    /// As many as the optimizer has.
    pub states: Vec<WeightsMut<'a, T>>,
}

/// What the outputs should be.
#[derive(Clone, Copy, Debug)]
pub enum Target<'a, T> {
    /// The number of the right output of each row, all of them less than the number of outputs.
    Labels(&'a [i64]),
    /// What each output should be, a row for each row.
    Values(ArrayView2<'a, T>),
}

/// What is trained for.
#[derive(Clone, Copy, Debug)]
pub struct Goal<'a, T> {
    /// What the outputs should be.
    pub target: Target<'a, T>,
    /// How far they are from that.
    pub loss: Loss,
}

impl<T> Goal<'_, T> {
    /// The same for a shorter time.
    pub(super) fn lend(&self) -> Goal<'_, T> {
        let target = match &self.target {
            Target::Labels(labels) => Target::Labels(labels),
            Target::Values(values) => Target::Values(values.view()),
        };
        Goal { target, loss: self.loss }
    }

    /// What the loss of a row is multiplied by, for the mean over `rows` rows: over their outputs too, but for cross
    /// entropy, which is one number a row.
    pub(super) fn share(&self, rows: usize, outputs: usize) -> f64 {
        let numbers = if self.loss == Loss::CrossEntropy { rows } else { rows * outputs };
        1.0 / numbers as f64
    }
}

impl<T> WeightsMut<'_, T> {
    /// The same for a shorter time.
    pub(super) fn lend(&mut self) -> WeightsMut<'_, T> {
        WeightsMut { weight: self.weight.view_mut(), bias: self.bias.view_mut() }
    }
}

impl<T> Trained<'_, T> {
    /// The same for a shorter time.
    pub(super) fn lend(&mut self) -> Trained<'_, T> {
        let states = self.states.iter_mut().map(WeightsMut::lend).collect();
        Trained { weights: self.weights.lend(), states }
    }
}

/// How training steps.
#[derive(Clone, Copy, Debug)]
pub struct Course<'a> {
    /// The optimizer at the first step.
    pub optimizer: Optimizer,
    /// The learning rate of each step.
    pub rates: &'a [f64],
    /// The norm that the gradient may have; if it is larger, it is scaled down to it.
    pub clip: Option<f64>,
    /// The number of the first step, of which masks are functions.
    pub time: u64,
}

/// Which masks a pass has.
#[derive(Clone, Copy, Debug)]
pub(super) struct Masks {
    pub(super) key: [u64; 2],
    pub(super) time: u64,
    /// The number of the first row.
    pub(super) row: usize,
}
