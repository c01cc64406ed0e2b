//! What a row's groups are multiplied with, as floats: the sums of codes times inputs with their scales, the sums of
//! inputs with what the code 0 stands for.

use half::{bf16, f16};

use super::layout::{LANES, Layout};
use super::words::Words;
use crate::simd::{Arithmetic, Lanes};

/// Numbers of a quantized matrix, a row after the other, of one of the types that files hold.
#[derive(Clone, Copy, Debug)]
pub enum Scales<'a> {
    /// 16-bit floats of 5 bits of exponent.
    F16(&'a [f16]),
    /// 16-bit floats of 8 bits of exponent.
    Bf16(&'a [bf16]),
    /// 32-bit floats.
    F32(&'a [f32]),
}

impl<'a> Scales<'a> {
    /// How many numbers there are.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "nobody asks")]
    pub fn len(&self) -> usize {
        match self {
            Self::F16(numbers) => numbers.len(),
            Self::Bf16(numbers) => numbers.len(),
            Self::F32(numbers) => numbers.len(),
        }
    }

    /// Some of them.
    #[must_use]
    pub fn part(&self, place: std::ops::Range<usize>) -> Scales<'a> {
        match self {
            Self::F16(numbers) => Scales::F16(&numbers[place]),
            Self::Bf16(numbers) => Scales::Bf16(&numbers[place]),
            Self::F32(numbers) => Scales::F32(&numbers[place]),
        }
    }

    /// Those of row `row`, of `groups` each.
    #[inline(always)]
    pub(super) fn row(&self, row: usize, groups: usize) -> Scales<'a> {
        self.part(row * groups..(row + 1) * groups)
    }

    /// One of them.
    #[inline(always)]
    pub(in crate::quant) fn get(&self, i: usize) -> f32 {
        match self {
            Self::F16(numbers) => numbers[i].to_f32(),
            Self::Bf16(numbers) => numbers[i].to_f32(),
            Self::F32(numbers) => numbers[i],
        }
    }
}

/// Which value a code stands for.
#[derive(Clone, Copy, Debug)]
pub enum Zeros<'a> {
    /// `(code - 2^(bits - 1)) · scale`.
    Symmetric,
    /// `code · scale + minimum`, with a minimum a group.
    Minimum(Scales<'a>),
    /// `(code - zero) · scale`, with a code a group, packed along the rows of the matrix: the codes of a column of
    /// groups are one stream of bits, of which each row of words has 32.
    Packed(&'a [u32]),
}

/// The zeros of one row.
#[derive(Clone, Copy)]
pub(super) enum RowZeros<'a> {
    Symmetric,
    Minimum(Scales<'a>),
    /// The words in which codes begin, those in which they end, and the bit at which they begin.
    Packed(&'a [u32], &'a [u32], u32),
}

impl<'a> Zeros<'a> {
    /// Those of row `row`.
    #[inline(always)]
    pub(super) fn row(&self, layout: &Layout, row: usize) -> RowZeros<'a> {
        let groups = layout.groups();
        match *self {
            Self::Symmetric => RowZeros::Symmetric,
            Self::Minimum(minima) => RowZeros::Minimum(minima.row(row, groups)),
            Self::Packed(words) => {
                let bit = row * layout.bits() as usize;
                let (first, last) = (bit / 32, (bit + layout.bits() as usize - 1) / 32);
                let words_of = |row: usize| &words[row * groups..(row + 1) * groups];
                #[expect(clippy::cast_possible_truncation, reason = "less than 32")]
                let at = (bit % 32) as u32;
                RowZeros::Packed(words_of(first), words_of(last), at)
            }
        }
    }
}

/// Computes the factors of one row: the layout, its scales, its zeros, and the place of two times
/// [`Layout::factors`].
///
/// # Safety
///
/// The CPU has the instruction set of the function.
pub(super) type FactorsFn = unsafe fn(&Layout, Scales<'_>, RowZeros<'_>, &mut [f32]);

/// The definition.
pub(super) fn scalar(layout: &Layout, scales: Scales<'_>, zeros: RowZeros<'_>, to: &mut [f32]) {
    let (to_scales, to_zeros) = to.split_at_mut(layout.factors());
    to_scales.fill(0.0);
    to_zeros.fill(0.0);
    for group in 0..layout.groups() {
        let scale = scales.get(group);
        to_scales[group] = scale;
        to_zeros[group] = match zeros {
            RowZeros::Symmetric => -middle(layout.bits()) * scale,
            RowZeros::Minimum(minima) => minima.get(group),
            RowZeros::Packed(first, last, at) => {
                let both = u64::from(first[group]) | u64::from(last[group]) << 32;
                // Where first and last are the same word, the code is within the first.
                let code = both >> at & ((1 << layout.bits()) - 1);
                -(code as f32) * scale
            }
        };
    }
}

/// The code that stands for 0 where values are symmetric.
fn middle(bits: u32) -> f32 {
    (1_u32 << (bits - 1)) as f32
}

/// Twin of [`scalar`]: the same bits.
#[inline(always)]
pub(super) fn lanes<W: Words>(
    proof: W::Proof,
    layout: &Layout,
    scales: Scales<'_>,
    zeros: RowZeros<'_>,
    to: &mut [f32],
) {
    assert_eq!(to.len(), 2 * layout.factors(), "room for the factors of a row");
    let (groups, floats) = (layout.groups(), W::floats(proof));
    let (to_scales, to_zeros) = to.split_at_mut(layout.factors());
    let mut i = 0;
    while i < groups {
        let scale = load::<W>(proof, scales, i);
        write(scale, &mut to_scales[i..]);
        let zero = match zeros {
            RowZeros::Symmetric => scale.mul(W::Floats::splat(floats, -middle(layout.bits()))),
            RowZeros::Minimum(minima) => load::<W>(proof, minima, i),
            RowZeros::Packed(first, last, at) => {
                let mut codes = load_words::<W>(proof, first, i).right(proof, at);
                if at + layout.bits() > 32 {
                    let rest = load_words::<W>(proof, last, i).left(proof, 32 - at);
                    codes = codes.select(rest, W::splat(proof, (1 << (32 - at)) - 1));
                }
                let codes = codes.and(W::splat(proof, (1 << layout.bits()) - 1));
                codes.to_floats().mul(W::Floats::splat(floats, -1.0)).mul(scale)
            }
        };
        write(zero, &mut to_zeros[i..]);
        i += W::COUNT;
    }
    to_scales[groups..].fill(0.0);
    to_zeros[groups..].fill(0.0);
}

#[inline(always)]
fn write<V: Lanes<Element = f32>>(vector: V, to: &mut [f32]) {
    assert!(to.len() >= V::COUNT, "a whole register");
    // SAFETY: as many elements as the register has, as asserted.
    unsafe { vector.store(to.as_mut_ptr()) }
}

/// Numbers from the `i`th on; zeros behind the last.
#[inline(always)]
fn load<W: Words>(proof: W::Proof, numbers: Scales<'_>, i: usize) -> W::Floats {
    match numbers {
        Scales::F16(numbers) => {
            let mut rest = [f16::ZERO; LANES];
            // SAFETY: at least a register of numbers.
            unsafe { W::widen_f16(proof, whole(&numbers[i..], &mut rest)) }
        }
        Scales::Bf16(numbers) => {
            let mut rest = [bf16::ZERO; LANES];
            // SAFETY: at least a register of numbers.
            unsafe { W::widen_bf16(proof, whole(&numbers[i..], &mut rest)) }
        }
        Scales::F32(numbers) => {
            let mut rest = [0.0; LANES];
            // SAFETY: at least a register of numbers.
            unsafe { W::Floats::load(W::floats(proof), whole(&numbers[i..], &mut rest)) }
        }
    }
}

#[inline(always)]
fn load_words<W: Words>(proof: W::Proof, words: &[u32], i: usize) -> W {
    let mut rest = [0; LANES];
    // SAFETY: at least a register of words.
    unsafe { W::load(proof, whole(&words[i..], &mut rest).cast()) }
}

/// Where sixteen numbers can be read: at these, or, if there are fewer, where they are copied to.
#[inline(always)]
fn whole<T: Copy>(numbers: &[T], rest: &mut [T; LANES]) -> *const T {
    if numbers.len() >= LANES {
        return numbers.as_ptr();
    }
    rest[..numbers.len()].copy_from_slice(numbers);
    rest.as_ptr()
}
