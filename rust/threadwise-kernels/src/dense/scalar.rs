//! The definition, in double precision.

/// Σⱼ wⱼ·xⱼ, and Σⱼ |wⱼ·xⱼ| for the bound.
pub(super) fn product<S: Copy + Into<f64>>(weights: &[S], x: &[f32]) -> (f64, f64) {
    let terms = weights.iter().zip(x).map(|(w, x)| (*w).into() * f64::from(*x));
    terms.fold((0.0, 0.0), |(sum, size), term| (sum + term, size + term.abs()))
}
