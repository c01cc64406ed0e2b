//! What some numbers lost when they became codes.

#[cfg(target_arch = "x86_64")]
use super::ranges::{load, write};
#[cfg(target_arch = "x86_64")]
use crate::simd::{Arithmetic, Coding, Lanes};

/// Sums over numbers w and the values v of their codes, in float64.
///
/// Number j is added to sum j mod 16 of each kind, and these in turn, on every instruction set. Products of two numbers of
/// float32 are exact, so that it does not matter which are fused; the squares of errors are rounded.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Loss {
    /// Σw²
    pub weights: f64,
    /// Σv²
    pub values: f64,
    /// Σw·v
    pub products: f64,
    /// Σ(w − v)²
    pub errors: f64,
    /// The largest |w − v|.
    pub largest: f64,
}

/// Sums of each kind that are added to in turn.
const STRIP: usize = 16;

/// The kinds of sums: Σw², Σv², Σw·v, Σ(w − v)², and the largest |w − v|.
type Sums = [[f64; STRIP]; 5];

/// The definition.
pub(super) fn loss(weights: &[f32], values: &[f32]) -> Loss {
    total([[0.0; STRIP]; 5], weights, values)
}

/// Its twin; `N` vectors of float64 are a strip.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
pub(super) fn vectors<V: Coding, const N: usize>(
    proof: V::Proof,
    weights: &[f32],
    values: &[f32],
) -> Loss {
    let zero = V::Wide::splat(proof, 0.0);
    let mut sums = [[zero; 5]; N];
    let (strips, rest) = weights.as_chunks::<STRIP>();
    let (strips_of_values, rest_of_values) = values.as_chunks::<STRIP>();
    for (weights, values) in strips.iter().zip(strips_of_values) {
        for i in 0..N / 2 {
            let some = i * V::COUNT..(i + 1) * V::COUNT;
            let w = load::<V>(proof, &weights[some.clone()]).wide();
            let v = load::<V>(proof, &values[some]).wide();
            for half in 0..2 {
                let (w, v, sums) = (w[half], v[half], &mut sums[2 * i + half]);
                let error = w.sub(v);
                *sums = [
                    w.mul_add(w, sums[0]),
                    v.mul_add(v, sums[1]),
                    w.mul_add(v, sums[2]),
                    error.mul(error).add(sums[3]),
                    error.max(zero.sub(error)).max(sums[4]),
                ];
            }
        }
    }
    let mut lanes = [[0.0; STRIP]; 5];
    for (kind, lanes) in lanes.iter_mut().enumerate() {
        for (sums, to) in sums.iter().zip(lanes.chunks_exact_mut(V::Wide::COUNT)) {
            write(sums[kind], to);
        }
    }
    total(lanes, rest, rest_of_values)
}

/// Adds more numbers, and then the sums of each kind.
fn total(mut sums: Sums, weights: &[f32], values: &[f32]) -> Loss {
    for (j, (&w, &v)) in weights.iter().zip(values).enumerate() {
        let (w, v) = (f64::from(w), f64::from(v));
        let (j, error) = (j % STRIP, w - v);
        sums[0][j] += w * w;
        sums[1][j] += v * v;
        sums[2][j] += w * v;
        sums[3][j] += error * error;
        sums[4][j] = sums[4][j].max(error.abs());
    }
    let [weights, values, products, errors] =
        [0, 1, 2, 3].map(|kind: usize| sums[kind].iter().sum());
    Loss { weights, values, products, errors, largest: sums[4].into_iter().fold(0.0, f64::max) }
}
