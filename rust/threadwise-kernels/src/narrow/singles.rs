//! Narrow numbers as float32, which holds each of them, and whole sums of float32 as integers.

use half::{bf16, f16};

use crate::Isa;
use crate::simd::{Lanes, Widen, portable::Portable};
#[cfg(target_arch = "x86_64")]
use crate::simd::{avx2::F32x8, avx512::F32x16};
#[cfg(target_arch = "x86_64")]
use crate::{Avx2, Avx512};

/// Numbers at a time where the CPU has no instructions for it, and lanes of a vector at most.
const MOST: usize = 16;

/// A number that float32 holds.
pub trait Single: Sized {
    /// The same numbers as float32.
    ///
    /// # Panics
    ///
    /// If there are not as many places.
    fn singles(isa: Isa, from: &[Self], to: &mut [f32]);
}

macro_rules! single {
    ($($narrow:ty)*) => {$(
        impl Single for $narrow {
            fn singles(isa: Isa, from: &[Self], to: &mut [f32]) {
                assert_eq!(from.len(), to.len(), "a place for each number");
                match isa {
                    Isa::Scalar => run::<Portable<f32, MOST>, Self>((), from, to),
                    #[cfg(target_arch = "x86_64")]
                    Isa::Avx2(proof) => {
                        // SAFETY: the proof is at hand.
                        unsafe { run_avx2(proof, from, to) }
                    }
                    #[cfg(target_arch = "x86_64")]
                    Isa::Avx512(_) | Isa::Amx(_) => {
                        // SAFETY: either is only made on a CPU with AVX-512.
                        unsafe { run_avx512(from, to) }
                    }
                }
            }
        }
    )*};
}

single!(bf16 f16 i8 u8);

#[inline(always)]
fn run<V: Lanes<Element = f32> + Widen<S>, S: Copy + Default>(
    proof: V::Proof,
    from: &[S],
    to: &mut [f32],
) {
    let (from, last) = (from.chunks_exact(V::COUNT), from.chunks_exact(V::COUNT).remainder());
    let mut places = to.chunks_exact_mut(V::COUNT);
    for (from, to) in from.zip(&mut places) {
        // SAFETY: as many numbers as a vector has lanes.
        let singles = unsafe { V::widen(proof, from.as_ptr()) };
        // SAFETY: as many places.
        unsafe { singles.store(to.as_mut_ptr()) };
    }
    let (mut padded, mut singles) = ([S::default(); MOST], [0.0; MOST]);
    padded[..last.len()].copy_from_slice(last);
    // SAFETY: at least as many numbers as a vector has lanes.
    let vector = unsafe { V::widen(proof, padded.as_ptr()) };
    // SAFETY: as many places.
    unsafe { vector.store(singles.as_mut_ptr()) };
    places.into_remainder().copy_from_slice(&singles[..last.len()]);
}

/// # Safety
///
/// The CPU has AVX2, FMA and F16C.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn run_avx2<S: Copy + Default>(proof: Avx2, from: &[S], to: &mut [f32])
where
    F32x8: Widen<S>,
{
    run::<F32x8, S>(proof, from, to);
}

/// # Safety
///
/// The CPU has AVX-512 F, BW, DQ and VL.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
unsafe fn run_avx512<S: Copy + Default>(from: &[S], to: &mut [f32])
where
    F32x16: Widen<S>,
{
    // SAFETY: the caller promises the instruction set.
    run::<F32x16, S>(unsafe { Avx512::assume() }, from, to);
}

/// Terms up to which sums of products of two integers of eight bits are exact in float32: 2²⁴ is 512·2¹⁵.
pub const EXACT_TERMS: usize = 512;

/// What sums in float32 are, where they are integers: the same as integers.
pub(super) fn integers(isa: Isa, from: &[f32], to: &mut [i32]) {
    match isa {
        Isa::Scalar => convert(from, to),
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2(_) => {
            // SAFETY: the proof is at hand.
            unsafe { convert_avx2(from, to) }
        }
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512(_) | Isa::Amx(_) => {
            // SAFETY: either is only made on a CPU with AVX-512.
            unsafe { convert_avx512(from, to) }
        }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "they are integers")]
fn convert(from: &[f32], to: &mut [i32]) {
    for (from, to) in from.iter().zip(to) {
        *to = *from as i32;
    }
}

/// Eight at a time. The compiler would mind numbers that are no integers.
///
/// # Safety
///
/// The CPU has AVX2.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
unsafe fn convert_avx2(from: &[f32], to: &mut [i32]) {
    use std::arch::x86_64::{_mm256_cvttps_epi32, _mm256_loadu_ps, _mm256_storeu_si256};
    let (eights, last) = from.as_chunks::<8>();
    let (places, last_place) = to.as_chunks_mut::<8>();
    for (from, to) in eights.iter().zip(places) {
        // SAFETY: eight numbers to read.
        let eight = _mm256_cvttps_epi32(unsafe { _mm256_loadu_ps(from.as_ptr()) });
        // SAFETY: eight numbers to write.
        unsafe { _mm256_storeu_si256(to.as_mut_ptr().cast(), eight) };
    }
    convert(last, last_place);
}

/// Sixteen at a time.
///
/// # Safety
///
/// The CPU has AVX-512 F, BW, DQ and VL.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
unsafe fn convert_avx512(from: &[f32], to: &mut [i32]) {
    use std::arch::x86_64::{_mm512_cvttps_epi32, _mm512_loadu_ps, _mm512_storeu_si512};
    let (sixteens, last) = from.as_chunks::<16>();
    let (places, last_place) = to.as_chunks_mut::<16>();
    for (from, to) in sixteens.iter().zip(places) {
        // SAFETY: sixteen numbers to read.
        let sixteen = _mm512_cvttps_epi32(unsafe { _mm512_loadu_ps(from.as_ptr()) });
        // SAFETY: sixteen numbers to write.
        unsafe { _mm512_storeu_si512(to.as_mut_ptr().cast(), sixteen) };
    }
    convert(last, last_place);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::narrow::{Narrow, Sum};

    fn check<N: Narrow<Sum: Into<f64>>>(all: &[N]) {
        for isa in Isa::detected() {
            for from in [all, &all[..all.len().min(7)], &all[1..all.len().min(40)], &[]] {
                let mut to = vec![f32::NAN; from.len()];
                N::singles(isa, from, &mut to);
                for (from, to) in from.iter().zip(to) {
                    let expected: f64 = from.widen().into();
                    let (to, expected) = (f64::from(to).to_bits(), expected.to_bits());
                    let are_nan = [to, expected].map(|x| f64::from_bits(x).is_nan());
                    assert!(to == expected || are_nan == [true; 2], "{from:?}: {to:x}");
                }
            }
        }
    }

    #[test]
    fn every_number_is_itself_as_float32() {
        check(&(0..=u16::MAX).map(bf16::from_bits).collect::<Vec<_>>());
        check(&(0..=u16::MAX).map(f16::from_bits).collect::<Vec<_>>());
        check(&(i8::MIN..=i8::MAX).collect::<Vec<_>>());
        check(&(u8::MIN..=u8::MAX).collect::<Vec<_>>());
    }

    #[test]
    fn sums_are_the_integers_that_they_were() {
        let largest = i32::try_from(EXACT_TERMS).unwrap() << 15;
        let sums: Vec<i32> = (-300..300).chain([largest, -largest, largest - 1]).collect();
        let singles: Vec<f32> = sums.iter().map(|&sum| sum as f32).collect();
        for isa in Isa::detected() {
            let mut to = vec![7; sums.len()];
            i32::of_singles(isa, &singles, &mut to);
            assert_eq!(to, sums, "{}", isa.name());
        }
    }
}
