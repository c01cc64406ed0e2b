//! What an instruction set does in fewer operations has the bits of one at a time.

use super::portable::Portable;
use super::{Element, Lanes};

/// Four vectors of numbers that the order of a sum shows in.
fn four<V: Lanes>(proof: V::Proof, seed: f64) -> [V; 4] {
    let at = |i: usize| V::Element::from_f64((i as f64 * 1.7 + seed).sin() * 1e3);
    let numbers: Vec<_> = (0..4 * V::COUNT).map(at).collect();
    // SAFETY: each of the four has as many elements as a vector.
    std::array::from_fn(|v| unsafe { V::load(proof, numbers[v * V::COUNT..].as_ptr()) })
}

fn check<V: Lanes>(proof: V::Proof) {
    for seed in 0..100 {
        let four = four::<V>(proof, f64::from(seed));
        let bits = |totals: [V::Element; 4]| totals.map(|x| x.to_f64().to_bits());
        assert_eq!(bits(V::totals(four)), bits(four.map(V::total)), "from {seed}");
    }
}

#[test]
fn totals_of_four_have_the_bits_of_each() {
    check::<Portable<f32, 4>>(());
    check::<Portable<f64, 2>>(());
    #[cfg(target_arch = "x86_64")]
    if let Some(proof) = crate::Avx2::detect() {
        check::<super::avx2::F32x8>(proof);
        check::<super::avx2::F64x4>(proof);
    }
    #[cfg(target_arch = "x86_64")]
    if let Some(proof) = crate::Avx512::detect() {
        check::<super::avx512::F32x16>(proof);
        check::<super::avx512::F64x8>(proof);
    }
}
