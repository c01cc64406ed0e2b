//! The number types of weights and of what is stored beside codes.

use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};
use ndarray::ArrayView2;

use crate::Isa;
use crate::gemm::Epilogue;
use crate::narrow::Rounded;

/// A number type of weights: `f32`, `f16` or `bf16`.
pub trait Number: Rounded<f32> + Default {
    /// The same numbers as float32.
    ///
    /// # Panics
    ///
    /// If the slices differ in length.
    fn widen(isa: Isa, from: &[Self], to: &mut [f32]);

    /// The nearest numbers, halves to even. `from` is used up.
    ///
    /// # Panics
    ///
    /// If the slices differ in length.
    fn narrow(isa: Isa, from: &mut [f32], to: &mut [Self]) {
        Self::finish(isa, from, Epilogue { bias: None, activation: None }, to);
    }

    /// The numbers themselves, if they are float32.
    #[must_use]
    fn singles(_: ArrayView2<'_, Self>) -> Option<ArrayView2<'_, f32>> {
        None
    }
}

impl Number for f32 {
    fn widen(_: Isa, from: &[f32], to: &mut [f32]) {
        to.copy_from_slice(from);
    }

    fn singles(numbers: ArrayView2<'_, f32>) -> Option<ArrayView2<'_, f32>> {
        Some(numbers)
    }
}

impl Number for bf16 {
    fn widen(_: Isa, from: &[bf16], to: &mut [f32]) {
        assert_eq!(from.len(), to.len(), "a place for each number");
        for (from, to) in from.iter().zip(to) {
            *to = f32::from_bits(u32::from(from.to_bits()) << 16);
        }
    }
}

impl Number for f16 {
    fn widen(_: Isa, from: &[f16], to: &mut [f32]) {
        // Exact, so that it does not matter which instructions it finds.
        from.convert_to_f32_slice(to);
    }
}
