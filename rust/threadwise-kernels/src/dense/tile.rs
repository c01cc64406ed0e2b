//! Four rows of weights times a few rows of inputs.

use crate::simd::{Lanes, Widen};
#[cfg(target_arch = "x86_64")]
use crate::{Avx2, Avx512};

/// Rows of weights that are taken together.
pub(super) const OUTPUTS: usize = 4;

/// Rows of inputs that are at most.
pub(super) const INPUTS: usize = 6;

/// Lanes of the longest vector.
const LONGEST: usize = 16;

/// What a tile is computed from: rows that are equally long.
pub(super) struct Strip<'a, S> {
    /// The first ones are taken, as many as the function takes.
    pub(super) inputs: [&'a [f32]; INPUTS],
    pub(super) weights: [&'a [S]; OUTPUTS],
}

/// The sums of each row of inputs with each row of weights.
pub(super) type Sums = [[f32; OUTPUTS]; INPUTS];

/// Computes the sums, for a number of inputs that the function fixes.
///
/// # Safety
///
/// The CPU has the instruction set of the function.
pub(super) type TileFn<S> = unsafe fn(&Strip<'_, S>) -> Sums;

/// Twin of `scalar::product`, for each pair.
#[inline(always)]
fn tile<V: Widen<S> + Lanes<Element = f32>, S: Copy + Default, const M: usize>(
    proof: V::Proof,
    strip: &Strip<'_, S>,
) -> Sums {
    let k = strip.weights[0].len();
    assert!(strip.weights.iter().all(|row| row.len() == k), "rows of weights");
    assert!(strip.inputs.iter().all(|row| row.len() == k), "rows of inputs");
    let (weights, inputs) = (strip.weights.map(<[S]>::as_ptr), strip.inputs.map(<[f32]>::as_ptr));
    let mut sums = [[V::splat(proof, 0.0); OUTPUTS]; M];
    let whole = k - k % V::COUNT;
    let mut j = 0;
    while j < whole {
        let mut rows = [V::splat(proof, 0.0); OUTPUTS];
        for (row, weights) in rows.iter_mut().zip(weights) {
            // SAFETY: a vector of the row is left from `j` on.
            *row = unsafe { V::widen(proof, weights.wrapping_add(j)) };
        }
        for (sums, x) in sums.iter_mut().zip(inputs) {
            // SAFETY: a vector of the row is left from `j` on.
            let x = unsafe { V::load(proof, x.wrapping_add(j)) };
            for (sum, row) in sums.iter_mut().zip(rows) {
                *sum = row.mul_add(x, *sum);
            }
        }
        j += V::COUNT;
    }
    if whole < k {
        let mask = V::first(proof, k - whole);
        let mut rows = [V::splat(proof, 0.0); OUTPUTS];
        for (row, weights) in rows.iter_mut().zip(strip.weights) {
            *row = rest::<V, S>(proof, &weights[whole..]);
        }
        for (sums, x) in sums.iter_mut().zip(inputs) {
            // SAFETY: as many lanes as are left of the row.
            let x = unsafe { V::load_first(proof, mask, x.wrapping_add(whole)) };
            for (sum, row) in sums.iter_mut().zip(rows) {
                *sum = row.mul_add(x, *sum);
            }
        }
    }
    let mut totals = [[0.0; OUTPUTS]; INPUTS];
    for (totals, sums) in totals.iter_mut().zip(&sums) {
        for (total, sum) in totals.iter_mut().zip(sums) {
            *total = sum.total();
        }
    }
    totals
}

/// Less than a vector of weights; the other lanes are zero.
#[inline(always)]
fn rest<V: Widen<S>, S: Copy + Default>(proof: V::Proof, weights: &[S]) -> V {
    let mut full = [S::default(); LONGEST];
    full[..weights.len()].copy_from_slice(weights);
    // SAFETY: no vector has more lanes.
    unsafe { V::widen(proof, full.as_ptr()) }
}

/// The instances for each number of rows of inputs.
macro_rules! of_each_number {
    ($function:ident, $v:ty, $s:ty) => {
        [
            $function::<$v, $s, 1>,
            $function::<$v, $s, 2>,
            $function::<$v, $s, 3>,
            $function::<$v, $s, 4>,
            $function::<$v, $s, 5>,
            $function::<$v, $s, 6>,
        ]
    };
}

/// Tiles on the target's baseline.
pub(super) fn portable<V, S>() -> [TileFn<S>; INPUTS]
where
    V: Widen<S> + Lanes<Element = f32, Proof = ()>,
    S: Copy + Default,
{
    /// # Safety
    ///
    /// Nothing is asked of the CPU: it is unsafe only to have the type of the others.
    unsafe fn run<V, S, const M: usize>(strip: &Strip<'_, S>) -> Sums
    where
        V: Widen<S> + Lanes<Element = f32, Proof = ()>,
        S: Copy + Default,
    {
        tile::<V, S, M>((), strip)
    }
    of_each_number!(run, V, S)
}

/// Tiles of one instruction set.
macro_rules! instantiate {
    ($name:ident, $proof:ty, $features:literal) => {
        #[doc = concat!("Tiles on `", $features, "`.")]
        #[cfg(target_arch = "x86_64")]
        pub(super) fn $name<V, S>(_: $proof) -> [TileFn<S>; INPUTS]
        where
            V: Widen<S> + Lanes<Element = f32, Proof = $proof>,
            S: Copy + Default,
        {
            /// # Safety
            ///
            /// The CPU has the instruction set.
            #[target_feature(enable = $features)]
            unsafe fn run<V, S, const M: usize>(strip: &Strip<'_, S>) -> Sums
            where
                V: Widen<S> + Lanes<Element = f32, Proof = $proof>,
                S: Copy + Default,
            {
                // SAFETY: the caller promises the instruction set.
                let proof = unsafe { <$proof>::assume() };
                tile::<V, S, M>(proof, strip)
            }
            of_each_number!(run, V, S)
        }
    };
}

instantiate!(avx2, Avx2, "avx2,fma,f16c");
instantiate!(avx512, Avx512, "avx512f,avx512bw,avx512dq,avx512vl");
