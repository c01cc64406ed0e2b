//! Instances of the kernels: for each instruction set, width of codes and number of rows of inputs.

#[cfg(target_arch = "x86_64")]
use super::amx;
use super::kernel::Functions;
#[cfg(target_arch = "x86_64")]
use super::pairs::Pairs;
use super::{inputs, scalar};
use crate::Isa;
#[cfg(target_arch = "x86_64")]
use crate::{Avx2, Vnni};

/// Functions for a number of bits that is found at run time.
macro_rules! by_width {
    ($bits:expr, $functions:ident) => {
        match $bits {
            2 => $functions::<2>(),
            3 => $functions::<3>(),
            4 => $functions::<4>(),
            _ => $functions::<8>(),
        }
    };
}

/// The instances of a function for each number of rows of inputs.
macro_rules! of_each_number {
    ($function:path, $bits:expr) => {{
        use $function as of;
        [
            of::<{ $bits }, 1>,
            of::<{ $bits }, 2>,
            of::<{ $bits }, 3>,
            of::<{ $bits }, 4>,
            of::<{ $bits }, 5>,
            of::<{ $bits }, 6>,
            of::<{ $bits }, 7>,
            of::<{ $bits }, 8>,
        ]
    }};
}

/// The functions for codes of `bits` on `isa`.
pub(super) fn functions(isa: Isa, bits: u32) -> Functions {
    #[cfg(target_arch = "x86_64")]
    {
        let avx2 = |proof: Avx2| avx2::functions(proof, bits);
        let found = match isa {
            Isa::Scalar => None,
            Isa::Avx2(proof) => Some(avx2(proof)),
            // Without VNNI, 256 bits do as well.
            Isa::Amx(_) => Vnni::detect().map(|proof| Functions {
                isa: "amx",
                pairs: Some(Pairs { multiply: amx::pair, factors: amx::factors }),
                ..avx512vnni::functions(proof, bits)
            }),
            Isa::Avx512(_) => Vnni::detect()
                .map(|proof| avx512vnni::functions(proof, bits))
                .or_else(|| Avx2::detect().map(avx2)),
        };
        if let Some(found) = found {
            return found;
        }
    }
    let _ = isa;
    by_width!(bits, portable)
}

fn portable<const BITS: u32>() -> Functions {
    Functions {
        isa: "scalar",
        most: 4,
        quantize: inputs::quantize,
        widen: scalar::widen::<BITS>,
        tiles: of_each_number!(scalar::tile, BITS),
        wide: of_each_number!(scalar::tile, 8),
        floats: of_each_number!(scalar::floats, BITS),
        pairs: None,
    }
}

/// The functions of one instruction set.
#[cfg(target_arch = "x86_64")]
macro_rules! instantiate {
    ($module:ident, $words:ty, $proof:ty, $most:literal, $features:literal) => {
        mod $module {
            use super::super::inputs;
            use super::super::kernel::Functions;
            use super::super::layout::Layout;
            use super::super::tile::{self, Sums, Task};

            /// Those for codes of `bits`.
            pub(super) fn functions(_: $proof, bits: u32) -> Functions {
                by_width!(bits, of)
            }

            fn of<const BITS: u32>() -> Functions {
                Functions {
                    isa: stringify!($module),
                    most: $most,
                    quantize,
                    widen: widen::<BITS>,
                    tiles: of_each_number!(tile, BITS),
                    wide: of_each_number!(tile, 8),
                    floats: of_each_number!(floats, BITS),
                    pairs: None,
                }
            }

            /// # Safety
            ///
            /// The CPU has the instruction set.
            #[target_feature(enable = $features)]
            unsafe fn quantize(
                x: &[f32],
                run: usize,
                codes: &mut [u32],
                scales: &mut [f32],
                sums: &mut [f32],
            ) {
                inputs::quantize(x, run, codes, scales, sums);
            }

            /// # Safety
            ///
            /// The CPU has the instruction set.
            #[target_feature(enable = $features)]
            unsafe fn widen<const BITS: u32>(layout: &Layout, codes: &[u8], to: &mut [u8]) {
                // SAFETY: the caller promises the instruction set.
                let proof = unsafe { <$proof>::assume() };
                tile::widen::<$words, BITS>(proof, layout, codes, to);
            }

            /// # Safety
            ///
            /// The CPU has the instruction set.
            #[target_feature(enable = $features)]
            unsafe fn tile<const BITS: u32, const M: usize>(task: &Task<'_>, to: &mut Sums) {
                // SAFETY: the caller promises the instruction set.
                let proof = unsafe { <$proof>::assume() };
                tile::tile::<$words, BITS, M>(proof, task, to);
            }

            /// # Safety
            ///
            /// The CPU has the instruction set.
            #[target_feature(enable = $features)]
            unsafe fn floats<const BITS: u32, const M: usize>(task: &Task<'_>, to: &mut Sums) {
                // SAFETY: the caller promises the instruction set.
                let proof = unsafe { <$proof>::assume() };
                tile::floats::<$words, BITS, M>(proof, task, to);
            }
        }
    };
}

#[cfg(target_arch = "x86_64")]
instantiate!(avx2, crate::quant::dots::avx2::Words8, crate::Avx2, 4, "avx2,fma,f16c");
#[cfg(target_arch = "x86_64")]
instantiate!(
    avx512vnni,
    crate::quant::dots::avx512::Words16,
    crate::Vnni,
    8,
    "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni"
);
