//! Attention as its formula reads, in double precision.

use std::ops::Range;

/// The definition that [`super::lanes`] answers to: a row's result, and σ of the module's error bound. The
/// query comes multiplied by its scale; `keys` and `values` are rows.
pub(super) fn attend(
    query: &[f32],
    keys: &[Vec<f64>],
    values: &[Vec<f64>],
    seen: Range<usize>,
) -> (Vec<f64>, f64) {
    let products = |j: usize| query.iter().zip(&keys[j]).map(|(q, k)| f64::from(*q) * k);
    let scores: Vec<f64> = seen.clone().map(|j| products(j).sum()).collect();
    let sigma = seen.clone().map(|j| products(j).map(f64::abs).sum()).fold(0.0, f64::max);
    let largest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let weights: Vec<f64> = scores.iter().map(|score| (score - largest).exp()).collect();
    let sum: f64 = weights.iter().sum();
    let mut result = vec![0.0; query.len()];
    for (weight, j) in weights.iter().zip(seen) {
        result.iter_mut().zip(&values[j]).for_each(|(y, v)| *y += weight / sum * v);
    }
    (result, sigma)
}
