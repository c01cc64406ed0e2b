//! Optimizers: their settings, and the rule of one step.

use threadwise_kernels::train::{Adam, Kernels, Momentum, Plain, State, Terms};

use crate::linalg::Real;

/// An optimizer's settings for one step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Optimizer {
    /// Gradient descent.
    Sgd {
        /// Learning rate.
        rate: f64,
        /// What is kept of the velocity: with none there is no velocity.
        momentum: f64,
        /// Whether momentum is Nesterov's.
        is_nesterov: bool,
        /// What of the weights is added to their gradients.
        decay: f64,
    },
    /// Adam, or with decay apart from the gradients, `AdamW`.
    Adam {
        /// Learning rate.
        rate: f64,
        /// What is kept of the means of gradients and of their squares.
        betas: [f64; 2],
        /// Added to the root.
        eps: f64,
        /// How much weights decay.
        decay: f64,
        /// Whether they decay apart from their gradients.
        is_decoupled: bool,
        /// Number of the step, from 1.
        time: u64,
    },
}

impl Optimizer {
    /// Numbers that it remembers of each weight.
    #[must_use]
    pub fn states(&self) -> usize {
        match *self {
            Self::Sgd { momentum, .. } => usize::from(momentum != 0.0),
            Self::Adam { .. } => 2,
        }
    }

    /// The same at step `later` after this one, with another learning rate.
    #[must_use]
    pub(super) fn at(mut self, later: u64, new_rate: f64) -> Self {
        match &mut self {
            Self::Sgd { rate, .. } => *rate = new_rate,
            Self::Adam { rate, time, .. } => (*rate, *time) = (new_rate, *time + later),
        }
        self
    }

    /// A step of `state`, whose gradients are the sums of elements `first` and so on.
    pub(super) fn step<T: Real>(
        &self,
        kernels: &Kernels<T>,
        terms: &Terms<'_, T, T>,
        first: usize,
        state: State<'_, T>,
    ) {
        let t = T::from_f64;
        match *self {
            Self::Sgd { rate, momentum: 0.0, decay, .. } => {
                kernels.plain(terms, first, Plain { rate: t(rate), decay: t(decay) }, state);
            }
            Self::Sgd { rate, momentum, is_nesterov, decay } => {
                let (rate, decay, keep) = (t(rate), t(decay), t(momentum));
                kernels.momentum(terms, first, Momentum { rate, decay, keep, is_nesterov }, state);
            }
            Self::Adam { rate, betas: [one, two], eps, decay, is_decoupled, time } => {
                let corrected = |beta: f64| 1.0 - beta.powf(time as f64);
                let (added, kept) =
                    if is_decoupled { (0.0, 1.0 - rate * decay) } else { (decay, 1.0) };
                let rule = Adam {
                    rate: t(rate / corrected(one)),
                    decay: t(added),
                    keep: t(kept),
                    first: [t(one), t(1.0 - one)],
                    second: [t(two), t(1.0 - two)],
                    root: t(1.0 / corrected(two).sqrt()),
                    eps: t(eps),
                };
                kernels.adam(terms, first, rule, state);
            }
        }
    }
}
