//! Which instruction sets this CPU has, as tokens, and the user's cap on them.

#[cfg(target_arch = "x86_64")]
mod amx;

use std::fmt;

use once_cell::race::OnceBox;

#[cfg(target_arch = "x86_64")]
pub use amx::Amx;

/// The variable that caps the instruction sets in use, so that one machine can test them all.
const CAP: &str = "THREADWISE_ISA";

/// Proof that this CPU executes AVX2, FMA and F16C. Only [`Avx2::detect`] makes one.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Avx2(());

#[cfg(target_arch = "x86_64")]
impl Avx2 {
    /// Asks the CPU; `std` remembers the answer.
    #[must_use]
    pub fn detect() -> Option<Self> {
        (is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("fma")
            && is_x86_feature_detected!("f16c"))
        .then_some(Self(()))
    }

    /// The token without asking, for functions that are only called where it was once asked for.
    ///
    /// # Safety
    ///
    /// The CPU executes AVX2, FMA and F16C.
    pub(crate) unsafe fn assume() -> Self {
        Self(())
    }
}

/// Proof that this CPU executes AVX-512 F, BW, DQ and VL. Only [`Avx512::detect`] makes one.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Avx512(());

#[cfg(target_arch = "x86_64")]
impl Avx512 {
    /// Asks the CPU; `std` remembers the answer.
    #[must_use]
    pub fn detect() -> Option<Self> {
        (is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vl"))
        .then_some(Self(()))
    }

    /// The token without asking, for functions that are only called where it was once asked for.
    ///
    /// # Safety
    ///
    /// The CPU executes AVX-512 F, BW, DQ and VL.
    pub(crate) unsafe fn assume() -> Self {
        Self(())
    }
}

/// Proof that this CPU executes AVX-512 VNNI besides [`Avx512`]. Only [`Vnni::detect`] makes one.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vnni(Avx512);

#[cfg(target_arch = "x86_64")]
impl Vnni {
    /// Asks the CPU; `std` remembers the answer.
    #[must_use]
    pub fn detect() -> Option<Self> {
        Avx512::detect().filter(|_| is_x86_feature_detected!("avx512vnni")).map(Self)
    }

    /// The token without asking, for functions that are only called where it was once asked for.
    ///
    /// # Safety
    ///
    /// The CPU executes AVX-512 F, BW, DQ, VL and VNNI.
    pub(crate) unsafe fn assume() -> Self {
        Self(Avx512(()))
    }

    /// What the instruction set rests on.
    pub(crate) fn avx512(self) -> Avx512 {
        self.0
    }
}

/// Proof that this CPU executes AVX-512 BF16 besides [`Avx512`]. Only [`Bf16::detect`] makes one.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bf16(Avx512);

#[cfg(target_arch = "x86_64")]
impl Bf16 {
    /// Asks the CPU; `std` remembers the answer.
    #[must_use]
    pub fn detect() -> Option<Self> {
        Avx512::detect().filter(|_| is_x86_feature_detected!("avx512bf16")).map(Self)
    }

    /// Detects it where a product of pairs takes no longer than a multiply-add of float32. AMD's
    /// cores since Zen 4 are so; Intel's take four times as long, so that wider numbers are faster.
    #[must_use]
    pub fn detect_fast() -> Option<Self> {
        Self::detect().filter(|_| amx::vendor() == *b"AuthenticAMD")
    }

    /// The token without asking, for functions that are only called where it was once asked for.
    ///
    /// # Safety
    ///
    /// The CPU executes AVX-512 F, BW, DQ, VL and BF16.
    pub(crate) unsafe fn assume() -> Self {
        Self(Avx512(()))
    }

    /// What the instruction set rests on.
    pub(crate) fn avx512(self) -> Avx512 {
        self.0
    }
}

/// An instruction set that kernels are written for, with the proof that this CPU has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isa {
    /// Plain Rust, which the compiler vectorizes for the target's baseline.
    Scalar,
    /// 256-bit vectors with fused multiply-add.
    #[cfg(target_arch = "x86_64")]
    Avx2(Avx2),
    /// 512-bit vectors with masks.
    #[cfg(target_arch = "x86_64")]
    Avx512(Avx512),
    /// Tiles of 16 by 64 bytes, for products of bfloat16 and of eight-bit integers; all else is as
    /// with 512-bit vectors.
    #[cfg(target_arch = "x86_64")]
    Amx(Amx),
}

/// The value of `THREADWISE_ISA` is not the name of an instruction set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownIsa(String);

impl fmt::Display for UnknownIsa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{CAP} is '{}', expected one of 'scalar', 'avx2', 'avx512', 'amx', or unset for all \
             that this CPU has",
            self.0
        )
    }
}

impl std::error::Error for UnknownIsa {}

impl Isa {
    /// The names `THREADWISE_ISA` takes, narrowest first.
    pub const NAMES: [&'static str; 4] = ["scalar", "avx2", "avx512", "amx"];

    /// Every instruction set this CPU has, narrowest first; `Scalar` always is.
    #[must_use]
    pub fn detected() -> Vec<Self> {
        let mut found = vec![Self::Scalar];
        #[cfg(target_arch = "x86_64")]
        {
            found.extend(Avx2::detect().map(Self::Avx2));
            found.extend(Avx512::detect().map(Self::Avx512));
            found.extend(Amx::detect().map(Self::Amx));
        }
        found
    }

    /// The widest instruction set that this CPU has and `THREADWISE_ISA` allows. The variable is
    /// read once in a process.
    ///
    /// # Errors
    ///
    /// If `THREADWISE_ISA` is none of [`Isa::NAMES`].
    pub fn current() -> Result<Self, UnknownIsa> {
        static CURRENT: OnceBox<Result<Isa, UnknownIsa>> = OnceBox::new();
        CURRENT
            .get_or_init(|| {
                let cap = std::env::var_os(CAP).unwrap_or_default();
                Box::new(Self::capped(&cap.to_string_lossy()))
            })
            .clone()
    }

    /// The widest instruction set of this CPU that is not wider than the one named `cap`; an empty
    /// `cap` allows all.
    fn capped(cap: &str) -> Result<Self, UnknownIsa> {
        let cap = cap.trim();
        let limit = if cap.is_empty() {
            Self::NAMES.len() - 1
        } else {
            let name = cap.to_ascii_lowercase();
            Self::NAMES
                .iter()
                .position(|known| *known == name)
                .ok_or_else(|| UnknownIsa(cap.to_owned()))?
        };
        let widest = Self::detected().into_iter().rfind(|isa| isa.rank() <= limit);
        Ok(widest.unwrap_or(Self::Scalar))
    }

    fn rank(self) -> usize {
        match self {
            Self::Scalar => 0,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(_) => 1,
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(_) => 2,
            #[cfg(target_arch = "x86_64")]
            Self::Amx(_) => 3,
        }
    }

    /// The name by which `THREADWISE_ISA` and kernel names know it.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::NAMES[self.rank()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cap_never_widens_and_scalar_is_always_there() {
        assert_eq!(Isa::capped("scalar"), Ok(Isa::Scalar), "scalar must be exactly scalar");
        let ranks: Vec<usize> =
            Isa::NAMES.iter().map(|cap| Isa::capped(cap).unwrap().rank()).collect();
        assert!(ranks.is_sorted(), "wider caps give narrower sets: {ranks:?}");
        assert_eq!(Isa::capped(""), Isa::capped("amx"), "no cap allows all");
        assert_eq!(Isa::capped(" AVX2 "), Isa::capped("avx2"), "case and spaces do not matter");
    }

    #[test]
    fn an_unknown_name_is_refused_with_the_known_ones() {
        let message = Isa::capped("avx1024").unwrap_err().to_string();
        assert!(message.contains("'avx1024'"), "names what it got: {message}");
        assert!(message.contains("'avx512'"), "names what it takes: {message}");
    }
}
