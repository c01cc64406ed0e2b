//! Arithmetic of threadwise: kernels on slices and matrix views, one thread, no allocation.
//!
//! A kernel is a contract, a definition and its twins. The contract stands in the `mod.rs` of its
//! folder; the definition is plain Rust that a reader can check by eye; the twins do the same on
//! wider vector units. [`Isa`] says which instruction sets this CPU has: its tokens can only be made
//! by detection, so whoever holds one may run the instructions it stands for, and a kernel that takes
//! a token is a safe function.
//!
//! Nothing here knows of threads, Python or models. `unsafe` is used for instructions and for the
//! pointers they read and write, and once to ask the system for leave to use AMX; one operation a
//! block, each with its proof.

pub mod activation;
pub mod attention;
pub mod columns;
pub mod dense;
mod element;
pub mod gate;
pub mod gemm;
mod isa;
pub mod narrow;
pub mod norm;
pub mod quant;
pub mod rope;
mod simd;
pub mod softmax;
pub mod split;
pub mod train;

pub use activation::Activation;
pub use element::Element;
pub use isa::{Isa, UnknownIsa};

#[cfg(target_arch = "x86_64")]
pub use isa::{Amx, Avx2, Avx512, Bf16, Vnni};
