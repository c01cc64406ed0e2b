//! AMX: whether the CPU has it, and leave of the system to use it.

use std::arch::x86_64::{__cpuid_count, CpuidResult};

use once_cell::race::OnceBox;

use super::{Avx512, Bf16, Vnni};

/// Proof that this process may execute AMX on bfloat16 and eight-bit integers, and AVX-512 with VNNI
/// and BF16, which every CPU with AMX has. Only [`Amx::detect`] makes one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Amx(Avx512);

impl Amx {
    /// Asks the CPU, and on Linux the system: tiles are eight kilobytes of state a thread, which it
    /// gives only to processes that asked. Both are asked once in a process; a child after `fork`
    /// inherits the leave.
    #[must_use]
    pub fn detect() -> Option<Self> {
        static FOUND: OnceBox<Option<Amx>> = OnceBox::new();
        *FOUND.get_or_init(|| Box::new(Self::ask()))
    }

    fn ask() -> Option<Self> {
        let (vectors, _, _) = (Avx512::detect()?, Vnni::detect()?, Bf16::detect()?);
        (has_tiles() && leave()).then_some(Self(vectors))
    }

    /// The 512-bit vectors beside the tiles.
    pub(crate) fn avx512(self) -> Avx512 {
        self.0
    }
}

/// The CPU's maker, as it names itself.
pub(super) fn vendor() -> [u8; 12] {
    let leaf = cpuid(0);
    let mut name = [0; 12];
    for (part, register) in name.chunks_exact_mut(4).zip([leaf.ebx, leaf.edx, leaf.ecx]) {
        part.copy_from_slice(&register.to_le_bytes());
    }
    name
}

/// What the CPU says of itself on this page.
#[allow(unused_unsafe, reason = "the intrinsic became safe after our minimum version of Rust")]
fn cpuid(page: u32) -> CpuidResult {
    // SAFETY: every x86-64 CPU has the instruction.
    unsafe { __cpuid_count(page, 0) }
}

/// Whether the CPU has tiles, and products of both kinds of numbers in them.
fn has_tiles() -> bool {
    const TILE: u32 = 1 << 24;
    const BF16: u32 = 1 << 22;
    const INT8: u32 = 1 << 25;
    let all = TILE | BF16 | INT8;
    cpuid(0).eax >= 7 && cpuid(7).edx & all == all
}

/// Whether the system lets this process use tiles. Other systems than Linux are not asked, because
/// there is none to test it on.
#[cfg(not(target_os = "linux"))]
fn leave() -> bool {
    false
}

/// Whether the system lets this process use tiles (`arch_prctl(2)`, and `Documentation/arch/x86/xstate.rst`
/// of the kernel). A system that does not know the request, or has not switched the state on, refuses.
#[cfg(target_os = "linux")]
fn leave() -> bool {
    const ARCH_REQ_XCOMP_PERM: libc::c_long = 0x1023;
    const TILE_DATA: libc::c_long = 18;
    // SAFETY: the call takes two numbers and touches no memory of ours.
    unsafe { libc::syscall(libc::SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, TILE_DATA) == 0 }
}
