//! Rules by which optimizers step, for one element.
//!
//! | rule | source |
//! | --- | --- |
//! | [`Plain`], [`Momentum`] | I. Sutskever and others, *On the importance of initialization and momentum in deep learning*, ICML 2013, with the rate outside of the momentum, as in `PyTorch` |
//! | [`Adam`] | D. Kingma, J. Ba, *Adam: A Method for Stochastic Optimization*, 2015, arXiv:1412.6980 |
//! | [`Adam`] with `keep` below 1 | I. Loshchilov, F. Hutter, *Decoupled Weight Decay Regularization*, 2019, arXiv:1711.05101 |

use crate::simd::Arithmetic;

/// Gradient descent: w −= rate·(g + decay·w).
#[derive(Clone, Copy, Debug)]
pub struct Plain<T> {
    /// Learning rate.
    pub rate: T,
    /// What of w is added to its gradient.
    pub decay: T,
}

/// Gradient descent with momentum: g += decay·w, v = keep·v + g, then w −= rate·v, or with Nesterov's momentum
/// w −= rate·(g + keep·v).
#[derive(Clone, Copy, Debug)]
pub struct Momentum<T> {
    /// Learning rate.
    pub rate: T,
    /// What of w is added to its gradient.
    pub decay: T,
    /// What of v is kept.
    pub keep: T,
    /// Whether momentum is Nesterov's.
    pub is_nesterov: bool,
}

/// Adam: g += decay·w, m = b₁·m + (1 − b₁)·g, v = b₂·v + (1 − b₂)·g², then
/// w = keep·w − rate·m/(root·√v + ε), with what corrects the bias of m and v in `rate` and `root`.
#[derive(Clone, Copy, Debug)]
pub struct Adam<T> {
    /// Learning rate, over 1 − b₁ᵗ.
    pub rate: T,
    /// What of w is added to its gradient.
    pub decay: T,
    /// What of w is kept.
    pub keep: T,
    /// b₁ and 1 − b₁.
    pub first: [T; 2],
    /// b₂ and 1 − b₂.
    pub second: [T; 2],
    /// 1/√(1 − b₂ᵗ).
    pub root: T,
    /// ε.
    pub eps: T,
}

/// A rule, for as many elements as a vector has.
pub(super) trait Rule<V: Arithmetic>: Copy {
    /// Numbers that an element has besides its weight.
    const STATES: usize;

    /// The next weights and states. Of states, the first [`STATES`](Self::STATES) are used.
    fn step(self, proof: V::Proof, w: V, g: V, states: [V; 2]) -> (V, [V; 2]);
}

impl<V: Arithmetic> Rule<V> for Plain<V::Element> {
    const STATES: usize = 0;

    #[inline(always)]
    fn step(self, proof: V::Proof, w: V, g: V, states: [V; 2]) -> (V, [V; 2]) {
        let g = V::splat(proof, self.decay).mul_add(w, g);
        (w.sub(V::splat(proof, self.rate).mul(g)), states)
    }
}

impl<V: Arithmetic> Rule<V> for Momentum<V::Element> {
    const STATES: usize = 1;

    #[inline(always)]
    fn step(self, proof: V::Proof, w: V, g: V, [v, other]: [V; 2]) -> (V, [V; 2]) {
        let keep = V::splat(proof, self.keep);
        let g = V::splat(proof, self.decay).mul_add(w, g);
        let v = keep.mul_add(v, g);
        let change = if self.is_nesterov { keep.mul_add(v, g) } else { v };
        (w.sub(V::splat(proof, self.rate).mul(change)), [v, other])
    }
}

impl<V: Arithmetic> Rule<V> for Adam<V::Element> {
    const STATES: usize = 2;

    #[inline(always)]
    fn step(self, proof: V::Proof, w: V, g: V, [m, v]: [V; 2]) -> (V, [V; 2]) {
        let g = V::splat(proof, self.decay).mul_add(w, g);
        let [kept, added] = self.first;
        let m = V::splat(proof, kept).mul_add(m, V::splat(proof, added).mul(g));
        let [kept, added] = self.second;
        let v = V::splat(proof, kept).mul_add(v, V::splat(proof, added).mul(g.mul(g)));
        let below = v.sqrt().mul_add(V::splat(proof, self.root), V::splat(proof, self.eps));
        let change = V::splat(proof, self.rate).mul(m.div(below));
        (w.mul(V::splat(proof, self.keep)).sub(change), [m, v])
    }
}
