//! A network of layers, each a product, a bias and a function: what it is, without its weights.

use threadwise_kernels::train::Curve;

/// Layers of `sizes[l]` inputs and `sizes[l + 1]` outputs, all but the last with a function and then dropout.
#[derive(Clone, Debug, PartialEq)]
pub struct Network {
    /// Inputs, hidden units layer by layer, outputs: at least two numbers, none of them zero.
    pub sizes: Vec<usize>,
    /// The function of hidden layers; nothing for the identity.
    pub curve: Option<Curve>,
    /// The share of units that is left out of each hidden layer, from 0 to less than 1.
    pub dropout: Vec<f64>,
    /// What masks are functions of.
    pub seed: u64,
}

impl Network {
    /// How many layers there are.
    #[must_use]
    pub fn layers(&self) -> usize {
        self.sizes.len() - 1
    }

    /// Inputs and outputs of a layer.
    pub(super) fn extents(&self, layer: usize) -> [usize; 2] {
        [self.sizes[layer], self.sizes[layer + 1]]
    }

    /// Whether what comes before the function must be kept for its derivative: that of relu is known from what comes
    /// after it.
    pub(super) fn keeps_inputs(&self) -> bool {
        self.curve.is_some_and(|curve| curve != Curve::Relu)
    }

    /// What is left out of the units that a layer gives.
    pub(super) fn rate(&self, layer: usize) -> f64 {
        self.dropout.get(layer).copied().unwrap_or(0.0)
    }

    /// Multiply-adds of a pass forwards for a row.
    #[must_use]
    pub fn multiply_adds(&self) -> usize {
        self.sizes
            .windows(2)
            .map(|pair| pair[0].saturating_mul(pair[1]))
            .fold(0, usize::saturating_add)
    }
}

/// What masks are for, so that those of training and of sampling are not the same.
#[derive(Clone, Copy, Debug)]
pub(super) enum Purpose {
    Training = 1,
    Sampling = 2,
}
