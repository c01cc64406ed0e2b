//! Instances of the kernels: for each instruction set, width of codes, kind and number of rows of inputs.

#[cfg(target_arch = "x86_64")]
use half::bf16;

#[cfg(target_arch = "x86_64")]
use super::avx512::Words16;
#[cfg(target_arch = "x86_64")]
use super::decode::{self, Bfloats, DecodeFn};
use super::kernel::Functions;
#[cfg(target_arch = "x86_64")]
use super::layout::Layout;
use super::strip::Way;
use super::{factors, prepare, scalar};

/// Functions for a number of bits that is found at run time.
macro_rules! by_width {
    ($bits:expr, $functions:ident $(, $of:ty)?) => {
        match $bits {
            2 => $functions::<$($of,)? 2>(),
            3 => $functions::<$($of,)? 3>(),
            4 => $functions::<$($of,)? 4>(),
            _ => $functions::<$($of,)? 8>(),
        }
    };
}

pub(super) fn scalar<I: Way>(bits: u32) -> Functions {
    fn of<I: Way, const BITS: u32>() -> Functions {
        Functions {
            isa: "scalar",
            prepare: if I::FLOATS { prepare::floats::<BITS> } else { prepare::bytes::<BITS> },
            factors: factors::scalar,
            decode: scalar::decode::<BITS>,
            decode_bf16: None,
            strips: [
                scalar::strip::<I, BITS, 1>,
                scalar::strip::<I, BITS, 2>,
                scalar::strip::<I, BITS, 3>,
                scalar::strip::<I, BITS, 4>,
            ],
        }
    }
    by_width!(bits, of, I)
}

/// The functions of one instruction set.
#[cfg(target_arch = "x86_64")]
macro_rules! instantiate {
    ($module:ident, $words:ty, $proof:ty, $features:literal) => {
        pub(super) mod $module {
            use super::super::decode::{self, Singles};
            use super::super::factors::{RowZeros, Scales, lanes};
            use super::super::kernel::Functions;
            use super::super::layout::Layout;
            use super::super::prepare;
            use super::super::strip::{Strip, Sums, Way, strip};

            /// Those for codes of `bits`.
            pub(in super::super) fn functions<I: Way>(_: $proof, bits: u32) -> Functions {
                by_width!(bits, of, I)
            }

            fn of<I: Way, const BITS: u32>() -> Functions {
                Functions {
                    isa: stringify!($module),
                    prepare: prepared::<I, BITS>,
                    factors,
                    decode: decoded::<BITS>,
                    decode_bf16: None,
                    strips: [
                        sums::<I, BITS, 1>,
                        sums::<I, BITS, 2>,
                        sums::<I, BITS, 3>,
                        sums::<I, BITS, 4>,
                    ],
                }
            }

            /// # Safety
            ///
            /// The CPU has the instruction set.
            #[target_feature(enable = $features)]
            unsafe fn prepared<I: Way, const BITS: u32>(
                layout: &Layout,
                x: &[f32],
                to: &mut [u32],
            ) {
                if I::FLOATS {
                    prepare::floats::<BITS>(layout, x, to);
                } else {
                    prepare::bytes::<BITS>(layout, x, to);
                }
            }

            /// # Safety
            ///
            /// The CPU has the instruction set.
            #[target_feature(enable = $features)]
            unsafe fn factors(
                layout: &Layout,
                scales: Scales<'_>,
                zeros: RowZeros<'_>,
                to: &mut [f32],
            ) {
                // SAFETY: the caller promises the instruction set.
                let proof = unsafe { <$proof>::assume() };
                lanes::<$words>(proof, layout, scales, zeros, to);
            }

            /// # Safety
            ///
            /// The CPU has the instruction set.
            #[target_feature(enable = $features)]
            unsafe fn decoded<const BITS: u32>(
                layout: &Layout,
                codes: &[u32],
                factors: &[f32],
                start: usize,
                to: &mut [f32],
            ) {
                // SAFETY: the caller promises the instruction set.
                let proof = unsafe { <$proof>::assume() };
                // SAFETY: floats are stored by any CPU.
                unsafe {
                    decode::lanes::<$words, Singles, BITS>(proof, layout, codes, factors, start, to)
                }
            }

            /// # Safety
            ///
            /// The CPU has the instruction set.
            #[target_feature(enable = $features)]
            unsafe fn sums<I: Way, const BITS: u32, const M: usize>(of: &Strip<'_>) -> Sums {
                // SAFETY: the caller promises the instruction set.
                let proof = unsafe { <$proof>::assume() };
                strip::<$words, I, BITS, M>(proof, of)
            }
        }
    };
}

#[cfg(target_arch = "x86_64")]
instantiate!(avx2, super::super::avx2::Words8, crate::Avx2, "avx2,fma,f16c");
#[cfg(target_arch = "x86_64")]
instantiate!(
    avx512vnni,
    super::super::avx512::Words16,
    crate::Vnni,
    "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni"
);

/// What writes rows as bfloat16, where the CPU rounds them.
#[cfg(target_arch = "x86_64")]
pub(super) fn decode_bf16(_: crate::Bf16, _: crate::Vnni, bits: u32) -> DecodeFn<bf16> {
    by_width!(bits, bfloats)
}

#[cfg(target_arch = "x86_64")]
fn bfloats<const BITS: u32>() -> DecodeFn<bf16> {
    /// # Safety
    ///
    /// The CPU has the instruction sets.
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512bf16")]
    unsafe fn decoded<const BITS: u32>(
        layout: &Layout,
        codes: &[u32],
        factors: &[f32],
        start: usize,
        to: &mut [bf16],
    ) {
        // SAFETY: the caller promises the instruction set.
        let proof = unsafe { crate::Vnni::assume() };
        // SAFETY: the caller promises AVX-512 BF16.
        unsafe { decode::lanes::<Words16, Bfloats, BITS>(proof, layout, codes, factors, start, to) }
    }
    decoded::<BITS>
}
