//! Which arrays each kind of argument takes, and what is said of the others.

use numpy::{Element, PyArrayDescrMethods};
use pyo3::prelude::*;

use crate::dtype::{Factor, Kind, Number, factor, refused};
use crate::seam::Operand;

impl<'py> Operand<'py> {
    /// Takes what NumPy makes an array of. Arrays are taken as they are; other objects are converted.
    pub(crate) fn new(name: &'static str, object: &Bound<'py, PyAny>) -> PyResult<Self> {
        Self::of(name, object, |dtype| match factor(dtype) {
            Some(Factor::Real(kind)) => Ok(kind),
            _ => Err(refused(name, dtype, "float32 or float64")?),
        })
    }
}

impl<'py> Operand<'py, Factor> {
    /// As [`Operand::new`], for the operands of products.
    pub(crate) fn factor(name: &'static str, object: &Bound<'py, PyAny>) -> PyResult<Self> {
        Self::of(name, object, |dtype| {
            let expected = "float32, float64, float16, bfloat16, int8 or uint8";
            factor(dtype).map_or_else(|| Err(refused(name, dtype, expected)?), Ok)
        })
    }

    /// As [`Operand::new`], for a weight to be packed.
    pub(crate) fn packable(name: &'static str, object: &Bound<'py, PyAny>) -> PyResult<Self> {
        Self::of(name, object, |dtype| match factor(dtype) {
            Some(factor) if factor != Factor::U8 => Ok(factor),
            _ => Err(refused(name, dtype, "float32, float64, float16, bfloat16 or int8")?),
        })
    }

    /// As [`Operand::new`], for the arguments of layers: any floating-point numbers.
    pub(crate) fn floating(name: &'static str, object: &Bound<'py, PyAny>) -> PyResult<Self> {
        Self::of(name, object, |dtype| match factor(dtype) {
            Some(factor) if !matches!(factor, Factor::I8 | Factor::U8) => Ok(factor),
            _ => Err(refused(name, dtype, "float32, float64, float16 or bfloat16")?),
        })
    }

    /// As [`Operand::new`], for weights that are quantized, and for their scales.
    pub(crate) fn weight(name: &'static str, object: &Bound<'py, PyAny>) -> PyResult<Self> {
        Self::of(name, object, |dtype| match factor(dtype) {
            Some(Factor::Real(Kind::F64) | Factor::I8 | Factor::U8) | None => {
                Err(refused(name, dtype, "float32, float16 or bfloat16")?)
            }
            Some(factor) => Ok(factor),
        })
    }
}

impl<'py> Operand<'py, ()> {
    /// As [`Operand::new`], for numbers of single precision.
    pub(crate) fn single(name: &'static str, object: &Bound<'py, PyAny>) -> PyResult<Self> {
        Self::of(name, object, |dtype| match factor(dtype) {
            Some(Factor::Real(Kind::F32)) => Ok(()),
            _ => Err(refused(name, dtype, "float32")?),
        })
    }

    /// As [`Operand::new`], for whole numbers of any size.
    pub(crate) fn whole(name: &'static str, object: &Bound<'py, PyAny>) -> PyResult<Self> {
        Self::of(name, object, |dtype| match dtype.kind() {
            b'i' | b'u' => Ok(()),
            _ => Err(refused(name, dtype, "whole numbers")?),
        })
    }

    /// As [`Operand::new`], for codes in words.
    pub(crate) fn words(name: &'static str, object: &Bound<'py, PyAny>) -> PyResult<Self> {
        Self::of(name, object, |dtype| {
            let is_word = dtype.is_equiv_to(&u32::get_dtype(dtype.py()));
            if is_word { Ok(()) } else { Err(refused(name, dtype, u32::NAME)?) }
        })
    }
}
