//! The number types that kernels are compiled for.

use std::fmt::{Debug, Display};
use std::ops::{Add, AddAssign, Div, Mul, Sub};

use crate::Isa;
use crate::activation::lanes::{self, Constants};
use crate::activation::{Activation, scalar};
use crate::gemm::Kernel;
use crate::norm::RmsNorm;
use crate::simd::portable::Portable;
#[cfg(target_arch = "x86_64")]
use crate::simd::{avx2, avx512};
use crate::{split, train};

/// A floating-point type that kernels are compiled for: `f32` or `f64`.
pub trait Element:
    Copy
    + Debug
    + Default
    + Display
    + PartialEq
    + PartialOrd
    + Send
    + Sync
    + Add<Output = Self>
    + AddAssign
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + 'static
{
    /// NumPy's name of the type.
    const NAME: &'static str;
    /// Half the distance from 1 to the next number: the bound on the relative error of a rounding.
    const UNIT_ROUNDOFF: f64;
    /// What the activations are computed with.
    #[doc(hidden)]
    const ACTIVATION: Constants<Self>;

    /// The matrix-product kernel for this type on `isa`.
    fn gemm(isa: Isa) -> Kernel<Self>;

    /// The kernels that multiply by pieces, where they are faster than [`Element::gemm`].
    #[must_use]
    fn split(isa: Isa) -> Option<split::Kernel<Self>>;

    /// The kernel that scales rows of this type to unit root mean square on `isa`.
    fn rms_norm(isa: Isa) -> RmsNorm<Self>;

    /// The kernels of training for this type on `isa`.
    fn train(isa: Isa) -> train::Kernels<Self>;

    /// The definition of `activation` at one number.
    #[must_use]
    fn activate(self, activation: Activation) -> Self;

    /// The nearest number to `x`.
    #[must_use]
    fn from_f64(x: f64) -> Self;

    /// The same number in double precision.
    #[must_use]
    fn to_f64(self) -> f64;
}

impl Element for f32 {
    const NAME: &'static str = "float32";
    const UNIT_ROUNDOFF: f64 = f32::EPSILON as f64 / 2.0;
    const ACTIVATION: Constants<Self> = lanes::F32;

    fn gemm(isa: Isa) -> Kernel<Self> {
        match isa {
            Isa::Scalar => Kernel::portable::<Portable<f32, 4>>(),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2(proof) => Kernel::avx2::<avx2::F32x8>(proof),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512(proof) => Kernel::avx512::<avx512::F32x16>(proof),
            #[cfg(target_arch = "x86_64")]
            Isa::Amx(proof) => Kernel::avx512::<avx512::F32x16>(proof.avx512()),
        }
    }

    fn split(isa: Isa) -> Option<split::Kernel<Self>> {
        split::Kernel::float32(isa)
    }

    fn rms_norm(isa: Isa) -> RmsNorm<Self> {
        match isa {
            Isa::Scalar => RmsNorm::scalar(),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2(proof) => RmsNorm::avx2::<avx2::F32x8>(proof),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512(proof) => RmsNorm::avx512::<avx512::F32x16>(proof),
            #[cfg(target_arch = "x86_64")]
            Isa::Amx(proof) => RmsNorm::avx512::<avx512::F32x16>(proof.avx512()),
        }
    }

    fn train(isa: Isa) -> train::Kernels<Self> {
        train::Kernels::float32(isa)
    }

    fn activate(self, activation: Activation) -> Self {
        Self::from_f64(scalar::activate(f64::from(self), activation))
    }

    #[expect(clippy::cast_possible_truncation, reason = "rounding is what it is for")]
    fn from_f64(x: f64) -> Self {
        x as f32
    }

    fn to_f64(self) -> f64 {
        f64::from(self)
    }
}

impl Element for f64 {
    const NAME: &'static str = "float64";
    const UNIT_ROUNDOFF: f64 = f64::EPSILON / 2.0;
    const ACTIVATION: Constants<Self> = lanes::F64;

    fn gemm(isa: Isa) -> Kernel<Self> {
        match isa {
            Isa::Scalar => Kernel::portable::<Portable<f64, 2>>(),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2(proof) => Kernel::avx2::<avx2::F64x4>(proof),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512(proof) => Kernel::avx512::<avx512::F64x8>(proof),
            #[cfg(target_arch = "x86_64")]
            Isa::Amx(proof) => Kernel::avx512::<avx512::F64x8>(proof.avx512()),
        }
    }

    fn split(_: Isa) -> Option<split::Kernel<Self>> {
        None
    }

    fn rms_norm(isa: Isa) -> RmsNorm<Self> {
        match isa {
            Isa::Scalar => RmsNorm::scalar(),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2(proof) => RmsNorm::avx2::<avx2::F64x4>(proof),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512(proof) => RmsNorm::avx512::<avx512::F64x8>(proof),
            #[cfg(target_arch = "x86_64")]
            Isa::Amx(proof) => RmsNorm::avx512::<avx512::F64x8>(proof.avx512()),
        }
    }

    fn train(isa: Isa) -> train::Kernels<Self> {
        train::Kernels::float64(isa)
    }

    fn activate(self, activation: Activation) -> Self {
        scalar::activate(self, activation)
    }

    fn from_f64(x: f64) -> Self {
        x
    }

    fn to_f64(self) -> f64 {
        self
    }
}
