//! Sums of gradients, and sums of their squares.

use half::{bf16, f16};

use super::terms::{ROOM, SIDE, Terms, put, total, total_first};
use crate::Isa;
use crate::narrow::Round;
use crate::simd::portable::Portable;
use crate::simd::{Arithmetic, Element, Widen};
#[cfg(target_arch = "x86_64")]
use crate::simd::{
    avx2::{F32x8, F64x4},
    avx512::{F32x16, F64x8},
};
#[cfg(target_arch = "x86_64")]
use crate::{Avx2, Avx512};

/// `(terms, first, out)`: elements `first..first + out.len()`.
///
/// # Safety
///
/// The CPU has the instruction set of the function, and [`Terms::check`] was asked.
type ReduceFn<S, T> = unsafe fn(&Terms<'_, S, T>, usize, &mut [S]);

/// The sum kernel for one number type on one instruction set.
#[derive(Clone, Copy, Debug)]
pub struct Reduce<S: Summand> {
    run: ReduceFn<S, S::Sum>,
}

/// A number type whose slices are summed: floats of 64, 32 and 16 bits. The narrow ones are summed in float32 and
/// rounded once.
pub trait Summand: Copy + Default + Send + Sync + 'static {
    /// What sums, weights and factors are.
    type Sum: Element;

    /// The kernel on `isa`.
    fn reduce(isa: Isa) -> Reduce<Self>;
}

impl<S: Summand> Reduce<S> {
    /// outⱼ = the sum of elements `first + j`.
    ///
    /// # Panics
    ///
    /// If a source ends before, or there is not one weight for each.
    pub fn run(&self, terms: &Terms<'_, S, S::Sum>, first: usize, out: &mut [S]) {
        terms.check(first, out.len());
        // SAFETY: a kernel is only made with the proof of its instruction set; the terms were checked.
        unsafe { (self.run)(terms, first, out) }
    }
}

/// How sums are stored.
pub(super) trait Stored<V: Arithmetic, const F16C: bool>: Copy + Default {
    /// # Safety
    ///
    /// The CPU executes AVX2, FMA and F16C if `F16C` says so.
    unsafe fn put(sums: [V; SIDE], to: &mut [Self]);
}

impl<V: Arithmetic<Element = f32>> Stored<V, false> for f32 {
    #[inline(always)]
    unsafe fn put(sums: [V; SIDE], to: &mut [f32]) {
        put(sums, to);
    }
}

impl<V: Arithmetic<Element = f64>> Stored<V, false> for f64 {
    #[inline(always)]
    unsafe fn put(sums: [V; SIDE], to: &mut [f64]) {
        put(sums, to);
    }
}

/// Numbers of 16 bits, by way of an array of 32.
macro_rules! stored {
    ($half:ty, $f16c:literal, $round:ident) => {
        impl<V: Arithmetic<Element = f32>> Stored<V, $f16c> for $half {
            #[inline(always)]
            unsafe fn put(sums: [V; SIDE], to: &mut [$half]) {
                let mut wide = [0.0; ROOM];
                put(sums, &mut wide);
                stored!($round, $half, &wide[..to.len()], to);
            }
        }
    };
    (round, $half:ty, $wide:expr, $to:expr) => {
        <$half as Round>::round($wide, $to)
    };
    (round_f16c, $half:ty, $wide:expr, $to:expr) => {
        // SAFETY: the caller's promise about the CPU.
        unsafe { <$half as Round>::round_f16c($wide, $to) }
    };
}

stored!(bf16, false, round);
stored!(f16, false, round);
stored!(f16, true, round_f16c);

/// # Safety
///
/// The CPU executes AVX2, FMA and F16C if `F16C` says so.
#[inline(always)]
unsafe fn reduce<V: Widen<S> + Arithmetic, S: Stored<V, F16C>, const F16C: bool>(
    proof: V::Proof,
    terms: &Terms<'_, S, V::Element>,
    mut first: usize,
    out: &mut [S],
) {
    let wide = SIDE * V::COUNT;
    let whole = out.len() / wide * wide;
    let (out, tail) = out.split_at_mut(whole);
    for out in out.chunks_exact_mut(wide) {
        let sums = total::<V, S>(proof, terms, first);
        // SAFETY: the caller's promise.
        unsafe { S::put(sums, out) };
        first += wide;
    }
    if !tail.is_empty() {
        let sums = total_first::<V, S>(proof, terms, first, tail.len());
        let mut room = [S::default(); ROOM];
        // SAFETY: the caller's promise.
        unsafe { S::put(sums, &mut room[..wide]) };
        tail.copy_from_slice(&room[..tail.len()]);
    }
}

/// Σⱼ of the squares of the sums of elements `first..first + count`, in float64 from one round of vectors to the
/// next where these are of float32.
#[inline(always)]
pub(super) fn squares<T: Element, V: Arithmetic<Element = T> + Widen<T>>(
    proof: V::Proof,
    terms: &Terms<'_, T, T>,
    first: usize,
    count: usize,
) -> f64 {
    /// Rounds of vectors that are summed in their own precision.
    const ROUNDS: usize = 16;
    let wide = SIDE * V::COUNT;
    let whole = count / wide;
    let mut sum = 0.0;
    let mut round = 0;
    while round < whole {
        let mut squares = [V::splat(proof, T::default()); SIDE];
        for _ in 0..ROUNDS.min(whole - round) {
            let totals = total::<V, T>(proof, terms, first + round * wide);
            for (square, x) in squares.iter_mut().zip(totals) {
                *square = x.mul_add(x, *square);
            }
            round += 1;
        }
        sum += united(squares).to_f64();
    }
    let rest = count - whole * wide;
    let totals = total_first::<V, T>(proof, terms, first + whole * wide, rest);
    let mut squares = totals;
    for square in &mut squares {
        *square = square.mul(*square);
    }
    sum + united(squares).to_f64()
}

/// The sum of all lanes of all vectors.
#[inline(always)]
pub(super) fn united<V: Arithmetic>(vectors: [V; SIDE]) -> V::Element {
    let [a, b, c, d, e, f, g, h] = vectors;
    a.add(b).add(c.add(d)).add(e.add(f).add(g.add(h))).total()
}

macro_rules! summand {
    ($number:ty, $sum:ty, $portable:ty, $avx2:ty, $avx512:ty, $f16c:literal) => {
        impl Summand for $number {
            type Sum = $sum;

            fn reduce(isa: Isa) -> Reduce<Self> {
                let run: ReduceFn<Self, $sum> = match isa {
                    Isa::Scalar => portable::<$portable, Self>,
                    #[cfg(target_arch = "x86_64")]
                    Isa::Avx2(_) => avx2::<$avx2, Self, $f16c>,
                    #[cfg(target_arch = "x86_64")]
                    Isa::Avx512(_) | Isa::Amx(_) => avx512::<$avx512, Self, $f16c>,
                };
                Reduce { run }
            }
        }
    };
}

summand!(f32, f32, Portable<f32, 4>, F32x8, F32x16, false);
summand!(f64, f64, Portable<f64, 2>, F64x4, F64x8, false);
summand!(bf16, f32, Portable<f32, 4>, F32x8, F32x16, false);
summand!(f16, f32, Portable<f32, 4>, F32x8, F32x16, true);

/// # Safety
///
/// The terms were checked; any CPU will do.
unsafe fn portable<V: Widen<S> + Arithmetic<Proof = ()>, S: Stored<V, false>>(
    terms: &Terms<'_, S, V::Element>,
    first: usize,
    out: &mut [S],
) {
    // SAFETY: nothing is said of F16C.
    unsafe { reduce::<V, S, false>((), terms, first, out) };
}

/// # Safety
///
/// The CPU has AVX2, FMA and F16C.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn avx2<V: Widen<S> + Arithmetic<Proof = Avx2>, S: Stored<V, F16C>, const F16C: bool>(
    terms: &Terms<'_, S, V::Element>,
    first: usize,
    out: &mut [S],
) {
    // SAFETY: the caller promises the instruction set.
    let proof = unsafe { Avx2::assume() };
    // SAFETY: as above.
    unsafe { reduce::<V, S, F16C>(proof, terms, first, out) };
}

/// # Safety
///
/// The CPU has AVX-512 F, BW, DQ and VL, and so AVX2, FMA and F16C.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
unsafe fn avx512<V: Widen<S> + Arithmetic<Proof = Avx512>, S: Stored<V, F16C>, const F16C: bool>(
    terms: &Terms<'_, S, V::Element>,
    first: usize,
    out: &mut [S],
) {
    // SAFETY: the caller promises the instruction set.
    let proof = unsafe { Avx512::assume() };
    // SAFETY: as above.
    unsafe { reduce::<V, S, F16C>(proof, terms, first, out) };
}
