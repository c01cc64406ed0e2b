//! Activations of neural networks, element by element.
//!
//! | name | y | source |
//! | --- | --- | --- |
//! | relu | max(x, 0) | V. Nair, G. Hinton, ICML 2010 |
//! | gelu | x·Φ(x), Φ the normal distribution function | D. Hendrycks, K. Gimpel, arXiv:1606.08415, 2016 |
//! | `gelu_tanh` | x·(1 + tanh(√(2/π)·(x + 0.044715·x³)))/2 | the same, its approximation |
//! | silu | x/(1 + exp(−x)) | S. Elfwing and others, arXiv:1702.03118, 2017 |
//!
//! [`scalar`] is the definition, computed in double precision; [`lanes`] its twin on vector units.
//! NaN stays NaN.

pub(crate) mod lanes;
pub(crate) mod scalar;

#[cfg(test)]
mod tests;

/// What is applied to each element of a product before it is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// max(x, 0)
    Relu,
    /// x·Φ(x)
    Gelu,
    /// The approximation of `Gelu` by tanh.
    GeluTanh,
    /// x/(1 + exp(−x))
    Silu,
}

impl Activation {
    /// Every activation, with its name.
    pub const NAMED: [(&'static str, Self); 4] = [
        ("relu", Self::Relu),
        ("gelu", Self::Gelu),
        ("gelu_tanh", Self::GeluTanh),
        ("silu", Self::Silu),
    ];

    /// The activation called `name`.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::NAMED.iter().find(|(known, _)| *known == name).map(|&(_, activation)| activation)
    }
}
