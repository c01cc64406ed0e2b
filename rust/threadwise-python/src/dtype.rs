//! The number types of arrays, on both sides of the seam, and the sentences about others.

use std::sync::atomic::{AtomicBool, Ordering};

use half::{bf16, f16};
use numpy::{Element, PyArrayDescr, PyArrayDescrMethods, PyUntypedArray, PyUntypedArrayMethods};
use pyo3::prelude::*;
use threadwise::linalg::Real;

use crate::seam::DTypeError;

/// The number types that operations compute in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    F32,
    F64,
}

/// The number types that products take: those, and narrower ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Factor {
    Real(Kind),
    Bf16,
    F16,
    I8,
    U8,
}

impl Factor {
    /// NumPy's name of it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Real(Kind::F32) => f32::NAME,
            Self::Real(Kind::F64) => f64::NAME,
            Self::Bf16 => bf16::NAME,
            Self::F16 => f16::NAME,
            Self::I8 => i8::NAME,
            Self::U8 => u8::NAME,
        }
    }
}

/// What arrays hold on both sides of the seam.
pub(crate) trait Number: Element + Copy {
    /// NumPy's name of it.
    const NAME: &'static str;
}

impl Number for f32 {
    const NAME: &'static str = "float32";
}
impl Number for f64 {
    const NAME: &'static str = "float64";
}
impl Number for bf16 {
    const NAME: &'static str = "bfloat16";
}
impl Number for f16 {
    const NAME: &'static str = "float16";
}
impl Number for i8 {
    const NAME: &'static str = "int8";
}
impl Number for u8 {
    const NAME: &'static str = "uint8";
}
impl Number for u32 {
    const NAME: &'static str = "uint32";
}
impl Number for i32 {
    const NAME: &'static str = "int32";
}
impl Number for i64 {
    const NAME: &'static str = "int64";
}

/// A number that operations compute in.
pub(crate) trait Float: Number + Real {}

impl Float for f32 {}
impl Float for f64 {}

/// The kind of an array that is just what NumPy makes by default, found without a call into NumPy.
pub(crate) fn plain_kind(object: &Bound<'_, PyAny>) -> Option<Kind> {
    let dtype = object.cast::<PyUntypedArray>().ok()?.dtype();
    let py = object.py();
    if dtype.is(f32::get_dtype(py)) {
        return Some(Kind::F32);
    }
    dtype.is(f64::get_dtype(py)).then_some(Kind::F64)
}

/// The same for narrower numbers.
pub(crate) fn plain_factor(object: &Bound<'_, PyAny>) -> Option<Factor> {
    let dtype = object.cast::<PyUntypedArray>().ok()?.dtype();
    let py = object.py();
    if dtype.is(f16::get_dtype(py)) {
        return Some(Factor::F16);
    }
    if dtype.is(i8::get_dtype(py)) {
        return Some(Factor::I8);
    }
    if dtype.is(u8::get_dtype(py)) {
        return Some(Factor::U8);
    }
    (is_like_bf16(&dtype) && dtype.is(bf16::get_dtype(py))).then_some(Factor::Bf16)
}

/// Whether a dtype may be bfloat16, a type that NumPy learns from `ml_dtypes`: an array of it exists only where
/// that is loaded, while to ask for it by name fails where it is not, and takes longer than small products.
fn is_like_bf16(dtype: &Bound<'_, PyArrayDescr>) -> bool {
    static IS_KNOWN: AtomicBool = AtomicBool::new(false);
    if (dtype.kind(), dtype.itemsize()) != (b'V', 2) {
        return false;
    }
    if !IS_KNOWN.load(Ordering::Relaxed) {
        IS_KNOWN.store(PyArrayDescr::new(dtype.py(), bf16::NAME).is_ok(), Ordering::Relaxed);
    }
    IS_KNOWN.load(Ordering::Relaxed)
}

/// What a dtype is, if products know it.
pub(crate) fn factor(dtype: &Bound<'_, PyArrayDescr>) -> Option<Factor> {
    let py = dtype.py();
    let is = |known: Bound<'_, PyArrayDescr>| dtype.is_equiv_to(&known);
    match (dtype.kind(), dtype.itemsize()) {
        (b'f', 4) if is(f32::get_dtype(py)) => Some(Factor::Real(Kind::F32)),
        (b'f', 8) if is(f64::get_dtype(py)) => Some(Factor::Real(Kind::F64)),
        (b'f', 2) if is(f16::get_dtype(py)) => Some(Factor::F16),
        (b'i', 1) => Some(Factor::I8),
        (b'u', 1) => Some(Factor::U8),
        (b'V', 2) if is_like_bf16(dtype) && is(bf16::get_dtype(py)) => Some(Factor::Bf16),
        _ => None,
    }
}

/// The sentence that says why a dtype is refused.
pub(crate) fn refused(
    name: &str,
    dtype: &Bound<'_, PyArrayDescr>,
    expected: &str,
) -> PyResult<PyErr> {
    let size = dtype.itemsize();
    let is_swapped = dtype.kind() == b'f'
        && (matches!(size, 4 | 8) || size == 2 && expected.contains(f16::NAME));
    let remedy = if is_swapped {
        " in the machine's byte order: pass array.astype(array.dtype.newbyteorder('='))"
    } else {
        ": nothing is cast silently, pass array.astype(...) if a conversion is meant"
    };
    let written = if is_swapped && factor(dtype).is_none() {
        dtype.getattr("str")?.str()?
    } else {
        dtype.str()?
    };
    Ok(DTypeError::new_err(format!("{name} has dtype {written}, expected {expected}{remedy}")))
}
