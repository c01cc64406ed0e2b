//! The definition, and units without a vector unit: an array, which the compiler vectorizes for the
//! target's baseline.

#[cfg(test)]
use std::ops::Mul;

use half::{bf16, f16};
#[cfg(test)]
use ndarray::{ArrayView2, ArrayViewMut2};

use super::Narrow;
use super::units::{Fetch, Units};
#[cfg(test)]
use super::{Pair, Sum};

/// Σₖ aₖ·bₖ in the order of k, each number widened first: the definition.
#[cfg(test)]
pub(super) fn product<P: Pair<Sum: Mul<Output = P::Sum>>>(
    a: ArrayView2<'_, P::Left>,
    b: ArrayView2<'_, P::Right>,
    mut c: ArrayViewMut2<'_, P::Sum>,
) {
    for (a, mut c) in a.rows().into_iter().zip(c.rows_mut()) {
        for (b, c) in b.columns().into_iter().zip(&mut c) {
            let terms = a.into_iter().zip(b).map(|(&a, &b)| a.widen() * b.widen());
            *c = terms.fold(P::Sum::default(), Sum::plus);
        }
    }
}

/// Units in an array of this many.
const LANES: usize = 4;

/// Four numbers of `S`, made of narrower ones: `GROUP` in a unit of 32 bits.
#[derive(Clone, Copy)]
pub(super) struct Singles([u32; LANES]);

/// Four pairs of integers of 16 bits, made of integers of eight.
#[derive(Clone, Copy)]
pub(super) struct Pairs([u32; LANES]);

macro_rules! portable_units {
    ($units:ident, $sum:ty, $group:literal, $dot:path, $add:path, $bits:path, $sum_of:path) => {
        impl Units for $units {
            type Proof = ();
            type Sum = $sum;
            const COUNT: usize = LANES;
            const GROUP: usize = $group;

            #[inline(always)]
            fn splat((): (), unit: u32) -> Self {
                Self([unit; LANES])
            }

            #[inline(always)]
            unsafe fn load((): (), from: *const u32) -> Self {
                // SAFETY: the caller's promise.
                Self(unsafe { from.cast::<[u32; LANES]>().read_unaligned() })
            }

            #[inline(always)]
            unsafe fn store(self, to: *mut u32) {
                // SAFETY: the caller's promise.
                unsafe { to.cast::<[u32; LANES]>().write_unaligned(self.0) };
            }

            #[inline(always)]
            unsafe fn load_first((): (), from: *const u32, count: usize) -> Self {
                // SAFETY: units that the caller promises.
                let unit = |i| if i < count { unsafe { *from.wrapping_add(i) } } else { 0 };
                Self(std::array::from_fn(unit))
            }

            #[inline(always)]
            unsafe fn store_first(self, to: *mut u32, count: usize) {
                for (i, unit) in self.0.into_iter().enumerate().take(count) {
                    // SAFETY: a unit that the caller promises.
                    unsafe { to.wrapping_add(i).write(unit) };
                }
            }

            #[inline(always)]
            unsafe fn transpose(
                (): (),
                from: *const u32,
                from_row: usize,
                to: *mut u32,
                to_row: usize,
            ) {
                for i in 0..LANES {
                    for j in 0..LANES {
                        // SAFETY: unit (i, j) of the square.
                        let unit = unsafe { *from.wrapping_add(i * from_row + j) };
                        // SAFETY: its place in the transposed square.
                        unsafe { to.wrapping_add(j * to_row + i).write(unit) };
                    }
                }
            }

            #[inline(always)]
            fn dot(self, right: Self, sums: Self) -> Self {
                let dot = |i| $bits($dot(self.0[i], right.0[i], $sum_of(sums.0[i])));
                Self(std::array::from_fn(dot))
            }

            #[inline(always)]
            fn add(self, other: Self) -> Self {
                let add = |i| $bits($add($sum_of(self.0[i]), $sum_of(other.0[i])));
                Self(std::array::from_fn(add))
            }

            #[inline(always)]
            fn total(self) -> $sum {
                self.0.into_iter().fold(<$sum>::default(), |sum, x| $add(sum, $sum_of(x)))
            }
        }
    };
}

portable_units!(Singles, f32, 1, dot_single, plus, f32::to_bits, f32::from_bits);
portable_units!(Pairs, i32, 2, dot_pair, i32::wrapping_add, i32::cast_unsigned, u32::cast_signed);

fn dot_single(left: u32, right: u32, sum: f32) -> f32 {
    sum + f32::from_bits(left) * f32::from_bits(right)
}

fn plus(x: f32, y: f32) -> f32 {
    x + y
}

/// The halves of a unit, each with its sign.
#[expect(clippy::cast_possible_truncation, reason = "the low half is meant")]
fn halves(unit: u32) -> (i32, i32) {
    (i32::from(unit as i16), i32::from((unit >> 16) as i16))
}

fn dot_pair(left: u32, right: u32, sum: i32) -> i32 {
    let ((a, b), (c, d)) = (halves(left), halves(right));
    sum.wrapping_add(a * c).wrapping_add(b * d)
}

/// A unit of two integers.
fn pair<E: Into<i16>>(low: E, high: E) -> u32 {
    let word = |x: E| u32::from(Into::<i16>::into(x).cast_unsigned());
    word(low) | word(high) << 16
}

macro_rules! portable_singles {
    ($element:ty) => {
        impl Fetch<$element> for Singles {
            #[inline(always)]
            unsafe fn along((): (), from: *const $element) -> Self {
                // SAFETY: the caller's promise.
                let elements = unsafe { from.cast::<[$element; LANES]>().read_unaligned() };
                Self(elements.map(|x| x.widen().to_bits()))
            }

            #[inline(always)]
            unsafe fn across((): (), from: *const $element, _: isize) -> Self {
                // SAFETY: a group is one row.
                unsafe { <Self as Fetch<$element>>::along((), from) }
            }
        }
    };
}
portable_singles!(bf16);
portable_singles!(f16);

macro_rules! portable_pairs {
    ($element:ty) => {
        impl Fetch<$element> for Pairs {
            #[inline(always)]
            unsafe fn along((): (), from: *const $element) -> Self {
                // SAFETY: the caller's promise.
                let pairs = unsafe { from.cast::<[[$element; 2]; LANES]>().read_unaligned() };
                Self(pairs.map(|[low, high]| pair(low, high)))
            }

            #[inline(always)]
            unsafe fn across((): (), from: *const $element, row: isize) -> Self {
                // SAFETY: the caller's promise: four elements of the first row.
                let first = unsafe { from.cast::<[$element; LANES]>().read_unaligned() };
                let second = from.wrapping_offset(row).cast::<[$element; LANES]>();
                // SAFETY: and of the second.
                let second = unsafe { second.read_unaligned() };
                Self(std::array::from_fn(|i| pair(first[i], second[i])))
            }
        }
    };
}
portable_pairs!(i8);
portable_pairs!(u8);
