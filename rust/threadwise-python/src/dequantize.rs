//! Documented in `threadwise.quant.QuantizedTensor.dequantize`.

use std::num::NonZeroUsize;

use half::{bf16, f16};
use numpy::ndarray::{ArrayViewMut2, ArrayViewMutD, Axis, CowArray, Ix3};
use pyo3::prelude::*;
use threadwise::Error;
use threadwise::quant::{self, Method, Numbers, Quantized, Scheme, Zeros};

use crate::dtype::{Factor, Number};
use crate::quant::{Weight, scheme, stack};
use crate::seam::{Borrowed, Lent, Operand, compute, place};

type Object<'py> = Bound<'py, PyAny>;

/// Multiply-adds that take about as long as to compute a value.
const VALUE: usize = 8;

/// Documented in `threadwise.quant.QuantizedTensor.dequantize`. The parts are what that has checked.
#[pyfunction]
#[pyo3(signature = (codes, scales, zeros, shape, bits, group_size, dtype, out, threads, /))]
#[expect(clippy::too_many_arguments, reason = "a tensor has as many parts")]
pub(crate) fn dequantize<'py>(
    py: Python<'py>,
    codes: &Object<'py>,
    scales: &Object<'py>,
    zeros: Option<&Object<'py>>,
    shape: Vec<usize>,
    bits: usize,
    group_size: Option<NonZeroUsize>,
    dtype: &str,
    out: Option<&Object<'py>>,
    threads: Option<&Object<'py>>,
) -> PyResult<Object<'py>> {
    let (codes, scales) = (Operand::words("codes", codes)?, Held::new("scales", scales)?);
    let zeros = match zeros {
        None => None,
        Some(zeros) if Operand::words("zero_points", zeros).is_ok() => {
            Some(Err(Operand::words("zero_points", zeros)?))
        }
        Some(zeros) => Some(Ok(Held::new("zero_points", zeros)?)),
    };
    let zero_point = match zeros {
        None => "symmetric",
        Some(Ok(_)) => "float",
        Some(Err(_)) => "integer",
    };
    let scheme = scheme(bits, group_size, zero_point, Method::MinMax)?;
    let codes = codes.borrow::<u32>()?;
    let (minima, zeros) = match zeros {
        None => (None, None),
        Some(Ok(minima)) => (Some(minima), None),
        Some(Err(zeros)) => (None, Some(zeros.borrow::<u32>()?)),
    };
    let parts = Lot { codes, scales, minima, zeros };
    match dtype {
        f16::NAME => dequantize_as::<f16>(py, &parts, &scheme, &shape, out, threads),
        bf16::NAME => dequantize_as::<bf16>(py, &parts, &scheme, &shape, out, threads),
        _ => dequantize_as::<f32>(py, &parts, &scheme, &shape, out, threads),
    }
}

/// Scales or minima of any type.
enum Held<'py> {
    F16(Borrowed<'py, f16>),
    Bf16(Borrowed<'py, bf16>),
    F32(Borrowed<'py, f32>),
}

impl<'py> Held<'py> {
    fn new(name: &'static str, given: &Object<'py>) -> PyResult<Self> {
        let numbers = Operand::weight(name, given)?;
        Ok(match numbers.kind {
            Factor::F16 => Self::F16(numbers.borrow()?),
            Factor::Bf16 => Self::Bf16(numbers.borrow()?),
            _ => Self::F32(numbers.borrow()?),
        })
    }

    fn lent(&self) -> &dyn Lent {
        match self {
            Self::F16(numbers) => numbers,
            Self::Bf16(numbers) => numbers,
            Self::F32(numbers) => numbers,
        }
    }

    fn view(&self) -> PyResult<HeldView<'_>> {
        Ok(match self {
            Self::F16(numbers) => HeldView::F16(stacked(numbers)?),
            Self::Bf16(numbers) => HeldView::Bf16(stacked(numbers)?),
            Self::F32(numbers) => HeldView::F32(stacked(numbers)?),
        })
    }
}

/// The same as a stack of matrices.
enum HeldView<'a> {
    F16(CowArray<'a, f16, Ix3>),
    Bf16(CowArray<'a, bf16, Ix3>),
    F32(CowArray<'a, f32, Ix3>),
}

impl HeldView<'_> {
    fn matrix(&self, i: usize) -> Numbers<'_> {
        match self {
            Self::F16(numbers) => Numbers::F16(numbers.index_axis(Axis(0), i)),
            Self::Bf16(numbers) => Numbers::Bf16(numbers.index_axis(Axis(0), i)),
            Self::F32(numbers) => Numbers::F32(numbers.index_axis(Axis(0), i)),
        }
    }
}

fn stacked<'a, T: Number>(lent: &'a Borrowed<'_, T>) -> PyResult<CowArray<'a, T, Ix3>> {
    stack(lent.view())
}

/// The parts of a quantized tensor.
struct Lot<'py> {
    codes: Borrowed<'py, u32>,
    scales: Held<'py>,
    minima: Option<Held<'py>>,
    zeros: Option<Borrowed<'py, u32>>,
}

fn dequantize_as<'py, T: Weight>(
    py: Python<'py>,
    parts: &Lot<'py>,
    scheme: &Scheme,
    shape: &[usize],
    out: Option<&Object<'py>>,
    threads: Option<&Object<'py>>,
) -> PyResult<Object<'py>> {
    let mut lent: Vec<&dyn Lent> = vec![&parts.codes, parts.scales.lent()];
    lent.extend(parts.minima.as_ref().map(Held::lent));
    lent.extend(parts.zeros.as_ref().map(|zeros| zeros as &dyn Lent));
    let (place, mut to) = place::<T>(py, shape, out, &lent)?;
    let (codes, scales) = (stacked(&parts.codes)?, parts.scales.view()?);
    let minima = parts.minima.as_ref().map(Held::view).transpose()?;
    let zeros = parts.zeros.as_ref().map(stacked).transpose()?;
    let work = shape.iter().product::<usize>().saturating_mul(VALUE);
    let to = to.as_array_mut();
    compute(py, threads, work, move |context| {
        if to.shape() != shape {
            let (actual, expected) = (to.shape().into(), shape.into());
            return Err(Error::Out { actual, expected });
        }
        let mut to = to;
        while to.ndim() < 2 {
            to = to.insert_axis(Axis(0));
        }
        let matrix = |i: usize| Quantized {
            codes: codes.index_axis(Axis(0), i),
            scales: scales.matrix(i),
            zeros: match (&minima, &zeros) {
                (Some(minima), _) => Zeros::Float(minima.matrix(i)),
                (None, Some(zeros)) => Zeros::Integer(zeros.index_axis(Axis(0), i)),
                (None, None) => Zeros::Symmetric,
            },
        };
        each(to, &mut 0, &mut |i, out| quant::dequantize(matrix(i), scheme, out, context))
    })?;
    Ok(place)
}

/// Calls `work` for each matrix of an array, with its number.
fn each<T>(
    array: ArrayViewMutD<'_, T>,
    next: &mut usize,
    work: &mut impl FnMut(usize, ArrayViewMut2<'_, T>) -> Result<(), Error>,
) -> Result<(), Error> {
    if array.ndim() == 2 {
        let Ok(matrix) = array.into_dimensionality() else { return Ok(()) };
        *next += 1;
        return work(*next - 1, matrix);
    }
    let mut array = array;
    array.outer_iter_mut().try_for_each(|part| each(part, next, work))
}
