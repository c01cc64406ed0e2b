//! Products of narrow numbers, C = A·B on one thread: bfloat16 and float16, summed in float32, and integers of
//! eight bits, summed in 32.
//!
//! A product is computed from *units*: the 32 bits that an instruction takes from each operand at a time. A unit
//! is two numbers of bfloat16 or four integers of eight bits that follow one another along k, where
//! the CPU multiplies them as they are (`vdpbf16ps`, `vpdpbusd`, AMX); else one number widened to float32, or two
//! integers widened to 16 bits (`vpmaddwd`). Packing makes units of whatever strides; a tile of C then stays in
//! registers while units of A, broadcast, and of B stream past, as in `gemm`.
//!
//! **Bits.** Integers are exact, modulo 2³². Floating-point sums begin at zero and run along k, unit after unit;
//! dots, for few rows, sum each lane of a register by itself and then the lanes. An element depends on its
//! row of A, its column of B, the way that is taken and where the caller cuts k, and on nothing else. Products of two
//! numbers of 16 bits are exact in float32, so that an inner product of k terms is within γₖ·Σ|aᵢ·bᵢ| of the truth
//! (Higham 2002, section 3.1), where the CPU multiplies bfloat16 as it is, too: it rounds no more
//! often than k times, but takes subnormal numbers for zero, so that each term, and each sum, may be off by 2⁻¹²⁶ times
//! the other factor, or 1.
//!
//! `scalar` has the definition, `units` what a register does, `avx2` and `avx512` their instances, `pack` the copies,
//! `tile` the inner kernel, `amx` its twin in tiles, `few` the kernels for products of few rows, `kept` a B
//! that is packed once for many products, `strips` few rows with such a B, `results` and `round` what becomes of sums, `singles` the way by
//! float32 that many small products take.

#[cfg(target_arch = "x86_64")]
mod amx;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod few;
mod functions;
mod instances;
mod kept;
mod kernel;
mod pack;
mod results;
mod round;
mod scalar;
mod singles;
mod strips;
#[cfg(test)]
mod tests;
mod tile;
mod units;

use std::fmt::Debug;

use half::{bf16, f16};

use crate::Isa;
#[cfg(target_arch = "x86_64")]
use crate::{Avx512, Bf16, Vnni};
pub use kernel::{Kernel, Left};
pub use results::{RoundFn, Rounded, Rows};
pub(crate) use round::Round;
pub use singles::{EXACT_TERMS, Single};

/// A number that sums are narrower than: `bf16`, `f16`, `i8` or `u8`.
pub trait Narrow: Single + Copy + Debug + Default + PartialEq + Send + Sync + 'static {
    /// What products of these are summed in.
    type Sum: Sum;
    /// The pair whose kernel packs such a B for many products. Kernels of other pairs with such a B read it too.
    type Pair: Pair<Right = Self, Sum = Self::Sum>;

    /// The same number as a sum.
    #[must_use]
    fn widen(self) -> Self::Sum;
}

impl Narrow for bf16 {
    type Sum = f32;
    type Pair = Bfloats;

    #[inline(always)]
    fn widen(self) -> f32 {
        f32::from_bits(u32::from(self.to_bits()) << 16)
    }
}

impl Narrow for f16 {
    type Sum = f32;
    type Pair = Halves;

    #[inline(always)]
    fn widen(self) -> f32 {
        self.to_f32()
    }
}

impl Narrow for i8 {
    type Sum = i32;
    type Pair = Signed;

    #[inline(always)]
    fn widen(self) -> i32 {
        self.into()
    }
}

impl Narrow for u8 {
    type Sum = i32;
    type Pair = SignedUnsigned;

    #[inline(always)]
    fn widen(self) -> i32 {
        self.into()
    }
}

/// What narrow numbers are summed in: `f32`, or `i32` modulo 2³².
pub trait Sum: Copy + Debug + Default + PartialEq + Send + Sync + 'static {
    /// Whether sums are exact, in whatever order they are taken.
    const IS_EXACT: bool;

    /// `self + other`.
    #[must_use]
    fn plus(self, other: Self) -> Self;

    /// Sums that were taken in float32, as they would be in this type: of integers, at most
    /// [`EXACT_TERMS`] terms.
    ///
    /// # Panics
    ///
    /// If there are not as many places.
    fn of_singles(isa: Isa, from: &[f32], to: &mut [Self]);
}

impl Sum for f32 {
    const IS_EXACT: bool = false;

    #[inline(always)]
    fn plus(self, other: f32) -> f32 {
        self + other
    }

    fn of_singles(_: Isa, from: &[f32], to: &mut [f32]) {
        to.copy_from_slice(from);
    }
}

impl Sum for i32 {
    const IS_EXACT: bool = true;

    #[inline(always)]
    fn plus(self, other: i32) -> i32 {
        self.wrapping_add(other)
    }

    fn of_singles(isa: Isa, from: &[f32], to: &mut [i32]) {
        assert_eq!(from.len(), to.len(), "a place for each sum");
        singles::integers(isa, from, to);
    }
}

/// The number types of a product.
pub trait Pair: Copy + Debug + Send + Sync + Sized + 'static {
    /// What A holds.
    type Left: Narrow<Sum = Self::Sum>;
    /// What B holds.
    type Right: Narrow<Sum = Self::Sum>;
    /// What their products are summed in.
    type Sum: Sum;
    /// The pair of the transposed product.
    type Swapped: Pair<Left = Self::Right, Right = Self::Left, Sum = Self::Sum>;
    /// For people.
    const NAME: &'static str;

    /// The kernels for this pair on `isa`.
    fn kernel(isa: Isa) -> Kernel<Self>;
}

/// bfloat16 by bfloat16.
#[derive(Clone, Copy, Debug)]
pub enum Bfloats {}

/// float16 by float16.
#[derive(Clone, Copy, Debug)]
pub enum Halves {}

/// Integers with signs.
#[derive(Clone, Copy, Debug)]
pub enum Signed {}

/// Integers without signs by such with.
#[derive(Clone, Copy, Debug)]
pub enum UnsignedSigned {}

/// Integers with signs by such without: what [`UnsignedSigned`] is when transposed.
#[derive(Clone, Copy, Debug)]
pub enum SignedUnsigned {}

impl Pair for Bfloats {
    type Left = bf16;
    type Right = bf16;
    type Sum = f32;
    type Swapped = Self;
    const NAME: &'static str = "bf16";

    fn kernel(isa: Isa) -> Kernel<Self> {
        match isa {
            Isa::Scalar => Kernel::portable::<scalar::Singles>(),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2(proof) => Kernel::avx2::<avx2::Singles>(proof),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512(proof) => match Bf16::detect_fast() {
                Some(bf16) => Kernel::bf16::<avx512::Bf16Pairs, avx512::Singles>(bf16),
                None => Kernel::avx512::<avx512::Singles>(proof),
            },
            #[cfg(target_arch = "x86_64")]
            Isa::Amx(proof) => {
                Kernel::amx_bf16::<avx512::Bf16Pairs, avx512::Singles>(proof, amx::BFLOATS)
            }
        }
    }
}

impl Pair for Halves {
    type Left = f16;
    type Right = f16;
    type Sum = f32;
    type Swapped = Self;
    const NAME: &'static str = "f16";

    fn kernel(isa: Isa) -> Kernel<Self> {
        match isa {
            Isa::Scalar => Kernel::portable::<scalar::Singles>(),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2(proof) => Kernel::avx2::<avx2::Singles>(proof),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512(proof) => Kernel::avx512::<avx512::Singles>(proof),
            #[cfg(target_arch = "x86_64")]
            Isa::Amx(proof) => Kernel::avx512::<avx512::Singles>(proof.avx512()),
        }
    }
}

/// The three pairs of integers differ in one instruction only.
macro_rules! integers {
    ($pair:ty, $left:ty, $right:ty, $swapped:ty, $name:literal, $vnni:expr, $amx:expr) => {
        impl Pair for $pair {
            type Left = $left;
            type Right = $right;
            type Sum = i32;
            type Swapped = $swapped;
            const NAME: &'static str = $name;

            fn kernel(isa: Isa) -> Kernel<Self> {
                match isa {
                    Isa::Scalar => Kernel::portable::<scalar::Pairs>(),
                    #[cfg(target_arch = "x86_64")]
                    Isa::Avx2(proof) => Kernel::avx2::<avx2::Pairs>(proof),
                    #[cfg(target_arch = "x86_64")]
                    Isa::Avx512(proof) => $vnni(proof),
                    #[cfg(target_arch = "x86_64")]
                    Isa::Amx(proof) => {
                        Kernel::amx_bytes::<avx512::PlainQuads, avx512::Pairs>(proof, $amx)
                    }
                }
            }
        }
    };
}

integers!(Signed, i8, i8, Self, "i8", signed, amx::SIGNED);
integers!(UnsignedSigned, u8, i8, SignedUnsigned, "u8-i8", unsigned, amx::UNSIGNED_SIGNED);
integers!(
    SignedUnsigned,
    i8,
    u8,
    UnsignedSigned,
    "i8-u8",
    Kernel::avx512::<avx512::Pairs>,
    amx::SIGNED_UNSIGNED
);

#[cfg(target_arch = "x86_64")]
fn signed(proof: Avx512) -> Kernel<Signed> {
    Vnni::detect().map_or_else(
        || Kernel::avx512::<avx512::Pairs>(proof),
        Kernel::vnni::<avx512::Quads, avx512::Pairs>,
    )
}

#[cfg(target_arch = "x86_64")]
fn unsigned(proof: Avx512) -> Kernel<UnsignedSigned> {
    Vnni::detect().map_or_else(
        || Kernel::avx512::<avx512::Pairs>(proof),
        Kernel::vnni::<avx512::PlainQuads, avx512::Pairs>,
    )
}

/// The kernels' names for people.
#[must_use]
pub fn kernel_names(isa: Isa) -> Vec<String> {
    vec![
        Bfloats::kernel(isa).name(),
        Halves::kernel(isa).name(),
        Signed::kernel(isa).name(),
        UnsignedSigned::kernel(isa).name(),
    ]
}
