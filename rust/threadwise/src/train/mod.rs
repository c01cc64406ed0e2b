//! Training: networks of layers forwards and backwards, optimizers, gradients of several shards made one.
//!
//! A pass over a network is work in phases (`pass`), cut by sizes alone (`cuts`); what phases hand on lies in
//! `plane`s. Products are computed by tiles only (`product`), so that a row's outputs have the same bits in every
//! batch, and sums over a batch are made in its order: bits depend on no number of threads.

mod aggregate;
mod backward;
mod buffers;
mod cuts;
mod forward;
mod network;
mod optimizer;
mod pass;
mod pieces;
mod plane;
mod product;
mod run;
mod sample;
mod task;
#[cfg(test)]
mod tests;

pub use aggregate::{ELEMENT, Merge, Parameter, aggregate, norm_of, step};
pub use network::Network;
pub use optimizer::Optimizer;
pub use run::{Sample, each_gradient, forward, gradients, train};
pub use sample::monte_carlo;
pub use task::{Course, Goal, Target, Trained, Weights, WeightsMut};
pub use threadwise_kernels::train::{Curve, Loss, State, Summand, Terms};
