//! What an instruction set does in fewer operations has the bits of one at a time, and parts of what it does at once
//! leave the rest alone.

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

/// Parts of a square are copied, rows to columns, and nothing else is written but the zeros that fill a vector.
fn check_parts<V: Lanes>(proof: V::Proof) {
    let (stride, untouched) = (V::COUNT + 3, V::Element::from_f64(-7.0));
    let at = |i: usize| V::Element::from_f64(1.0 + i as f64);
    let from: Vec<_> = (0..V::COUNT * stride).map(at).collect();
    for (rows, columns) in (1..=V::COUNT).flat_map(|r| (1..=V::COUNT).map(move |c| (r, c))) {
        for fills in [false, true] {
            let mut to = vec![untouched; V::COUNT * stride];
            let (apart, size) = (stride.cast_signed(), (rows, columns));
            // SAFETY: rows of both are `stride` apart, and there are as many as a vector has lanes.
            unsafe {
                V::transpose_first(
                    proof,
                    from.as_ptr(),
                    apart,
                    to.as_mut_ptr(),
                    apart,
                    size,
                    fills,
                );
            }
            for (place, &x) in to.iter().enumerate() {
                let (j, i) = (place / stride, place % stride);
                let expected = if j < columns && i < rows {
                    at(i * stride + j).to_f64()
                } else if j < columns && i < V::COUNT && fills {
                    0.0
                } else {
                    -7.0
                };
                assert_eq!(x.to_f64().to_bits(), expected.to_bits(), "{size:?}: ({j}, {i})");
            }
        }
    }
}

#[test]
fn parts_of_a_square_are_transposed_and_nothing_else_is_written() {
    check_parts::<Portable<f32, 4>>(());
    check_parts::<Portable<f64, 2>>(());
    #[cfg(target_arch = "x86_64")]
    if let Some(proof) = crate::Avx2::detect() {
        check_parts::<super::avx2::F32x8>(proof);
        check_parts::<super::avx2::F64x4>(proof);
    }
    #[cfg(target_arch = "x86_64")]
    if let Some(proof) = crate::Avx512::detect() {
        check_parts::<super::avx512::F32x16>(proof);
        check_parts::<super::avx512::F64x8>(proof);
    }
}
