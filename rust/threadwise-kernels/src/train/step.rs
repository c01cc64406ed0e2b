//! Reduction and step in one pass.

use super::rules::Rule;
use super::terms::{ROOM, SIDE, Terms, put, total, total_first};
use crate::simd::slices::load;
use crate::simd::{Arithmetic, Element, Widen};

/// Weights, and what an optimizer remembers of each: as many slices as its rule has, the others empty.
#[derive(Debug)]
pub struct State<'a, T> {
    /// The weights.
    pub weights: &'a mut [T],
    /// The memory.
    pub states: [&'a mut [T]; 2],
}

impl<T> State<'_, T> {
    /// Asserts that there are as many slices as the rule has, each as long as the weights.
    pub(super) fn check(&self, states: usize) {
        let n = self.weights.len();
        for (i, state) in self.states.iter().enumerate() {
            assert_eq!(state.len(), if i < states { n } else { 0 }, "numbers of state {i}");
        }
    }
}

/// A step of each weight, with the sum of elements `first` and so on as its gradient.
#[inline(always)]
pub(super) fn step<T: Element, V: Arithmetic<Element = T> + Widen<T>, R: Rule<V>>(
    proof: V::Proof,
    terms: &Terms<'_, T, T>,
    first: usize,
    rule: R,
    state: State<'_, T>,
) {
    let State { weights, states: [one, other] } = state;
    let wide = SIDE * V::COUNT;
    let whole = weights.len() / wide * wide;
    for at in (0..whole).step_by(wide) {
        let gradients = total::<V, T>(proof, terms, first + at);
        let range = at..at + wide;
        let one = if R::STATES > 0 { &mut one[range.clone()] } else { &mut [] };
        let other = if R::STATES > 1 { &mut other[range.clone()] } else { &mut [] };
        block(proof, gradients, rule, &mut weights[range], [one, other]);
    }
    let count = weights.len() - whole;
    if count == 0 {
        return;
    }
    let gradients = total_first::<V, T>(proof, terms, first + whole, count);
    let mut rooms = [[T::default(); ROOM]; 3];
    rooms[0][..count].copy_from_slice(&weights[whole..]);
    if R::STATES > 0 {
        rooms[1][..count].copy_from_slice(&one[whole..]);
    }
    if R::STATES > 1 {
        rooms[2][..count].copy_from_slice(&other[whole..]);
    }
    let [w, s, t] = &mut rooms;
    block(proof, gradients, rule, &mut w[..wide], [&mut s[..wide], &mut t[..wide]]);
    weights[whole..].copy_from_slice(&w[..count]);
    if R::STATES > 0 {
        one[whole..].copy_from_slice(&s[..count]);
    }
    if R::STATES > 1 {
        other[whole..].copy_from_slice(&t[..count]);
    }
}

/// A step of [`SIDE`] vectors.
#[inline(always)]
fn block<V: Arithmetic, R: Rule<V>>(
    proof: V::Proof,
    gradients: [V; SIDE],
    rule: R,
    weights: &mut [V::Element],
    [one, other]: [&mut [V::Element]; 2],
) {
    let zero = V::splat(proof, V::Element::default());
    let (mut w, mut s, mut t) = ([zero; SIDE], [zero; SIDE], [zero; SIDE]);
    for j in 0..SIDE {
        let range = j * V::COUNT..(j + 1) * V::COUNT;
        let before = load::<V>(proof, &weights[range.clone()]);
        let first = if R::STATES > 0 { load(proof, &one[range.clone()]) } else { zero };
        let second = if R::STATES > 1 { load(proof, &other[range]) } else { zero };
        (w[j], [s[j], t[j]]) = rule.step(proof, before, gradients[j], [first, second]);
    }
    put(w, weights);
    if R::STATES > 0 {
        put(s, one);
    }
    if R::STATES > 1 {
        put(t, other);
    }
}
