//! Scaling a row to unit root mean square.
//!
//! yⱼ = wⱼ·xⱼ/r with r = √(Σₖ xₖ²/d + ε): B. Zhang, R. Sennrich, *Root Mean Square Layer Normalization*,
//! `NeurIPS` 2019, arXiv:1910.07467. Their formula has no ε, which keeps a row of zeros finite.
//!
//! **Error.** At most γₙ·|yⱼ| with n = d/2 + 6, barring underflow, where γₙ = n·u/(1 − n·u) (N. J. Higham,
//! *Accuracy and Stability of Numerical Algorithms*, 2002, section 3.1). Squares are not negative, so in
//! any order their sum is off by at most d roundings; division by d and ε make d + 2, which the root
//! halves; the root itself, its storing, a quotient and a product are four more. Squares that overflow
//! are summed again in a larger unit, which takes the last one.
//!
//! **Bits.** They depend on the row, the weight, ε and the instruction set.
//!
//! [`scalar`] is the definition, computed in double precision; [`lanes`] its twin on vector units; [`residual`]
//! adds to the row beforehand.

#[cfg(target_arch = "x86_64")]
mod lanes;
mod residual;
mod scalar;

#[cfg(test)]
mod tests;

use crate::element::Element;
#[cfg(target_arch = "x86_64")]
use crate::simd::Arithmetic;
#[cfg(target_arch = "x86_64")]
use crate::{Avx2, Avx512};

pub use residual::AddRmsNorm;

/// Scales the row `x` into `y`: `(x, weight, eps, y)`.
///
/// # Safety
///
/// The CPU has the instruction set of the function.
type RowFn<T> = unsafe fn(&[T], &[T], f64, &mut [T]);

/// The kernel for one element type on one instruction set.
#[derive(Clone, Copy, Debug)]
pub struct RmsNorm<T: 'static> {
    row: RowFn<T>,
}

impl<T: Element> RmsNorm<T> {
    pub(crate) const fn scalar() -> Self {
        Self { row: scalar::rms_norm }
    }

    #[cfg(target_arch = "x86_64")]
    pub(crate) const fn avx2<V: Arithmetic<Element = T, Proof = Avx2>>(_: Avx2) -> Self {
        Self { row: lanes::avx2::<V> }
    }

    #[cfg(target_arch = "x86_64")]
    pub(crate) const fn avx512<V: Arithmetic<Element = T, Proof = Avx512>>(_: Avx512) -> Self {
        Self { row: lanes::avx512::<V> }
    }

    /// yⱼ = wⱼ·xⱼ/√(Σₖ xₖ²/d + ε) for one row of d elements. `eps` is ε, positive and finite.
    ///
    /// # Panics
    ///
    /// If the slices differ in length.
    pub fn row(&self, x: &[T], weight: &[T], eps: f64, y: &mut [T]) {
        assert_eq!(x.len(), weight.len(), "one factor an element");
        assert_eq!(x.len(), y.len(), "one result an element");
        // SAFETY: a kernel is only made with the proof of its instruction set.
        unsafe { (self.row)(x, weight, eps, y) }
    }
}
