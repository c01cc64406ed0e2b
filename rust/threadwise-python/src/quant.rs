//! Documented in `threadwise.quant`.

mod stacks;

use std::num::NonZeroUsize;

use half::{bf16, f16};
use numpy::PyArrayMethods;
use numpy::ndarray::{ArrayView3, ArrayViewMut2, ArrayViewMut3, Axis};
use pyo3::prelude::*;
use threadwise::quant::{
    self, Bits, Method, NumbersMut, Outcome, Quantized, QuantizedMut, Scheme, ZeroPoint, Zeros,
    ZerosMut,
};
use threadwise::{Context, Error};

use self::stacks::{Held, each, matrices, stack, stacked};
use crate::dtype::{Factor, Number};
use crate::seam::{Borrowed, DomainError, Lent, Operand, compute, place, raise, result};

type Object<'py> = Bound<'py, PyAny>;

/// Multiply-adds that take about as long as to compute a value, by which the binding tells whether a call is long.
const VALUE: usize = 8;

/// A number type of weights.
trait Weight: Number + quant::Number {}
impl Weight for f32 {}
impl Weight for f16 {}
impl Weight for bf16 {}

/// A number type that scales are made in.
trait Scale: Number + quant::Number {
    fn places(to: ArrayViewMut2<'_, Self>) -> NumbersMut<'_>;
}

impl Scale for f16 {
    fn places(to: ArrayViewMut2<'_, Self>) -> NumbersMut<'_> {
        NumbersMut::F16(to)
    }
}

impl Scale for f32 {
    fn places(to: ArrayViewMut2<'_, Self>) -> NumbersMut<'_> {
        NumbersMut::F32(to)
    }
}

/// Codes, scales and zero points.
type Parts<'py> = (Object<'py>, Object<'py>, Option<Object<'py>>);

/// Documented in `threadwise.quant.quantize`, which has checked the words.
#[pyfunction]
#[pyo3(signature = (weight, bits, group_size, zero_point, method, importance, threads, /))]
#[expect(clippy::too_many_arguments, reason = "the operation has as many")]
pub(crate) fn quantize<'py>(
    py: Python<'py>,
    weight: &Object<'py>,
    bits: usize,
    group_size: Option<NonZeroUsize>,
    zero_point: &str,
    method: &str,
    importance: Option<&Object<'py>>,
    threads: Option<&Object<'py>>,
) -> PyResult<Parts<'py>> {
    let method = if method == "minmax" { Method::MinMax } else { Method::Mse };
    let scheme = scheme(bits, group_size, zero_point, method)?;
    let weight = Operand::weight("weight", weight)?;
    let importance = importance.map(|given| Operand::floating("importance", given)).transpose()?;
    match weight.kind {
        Factor::F16 => quantize_of::<f16>(py, &weight, importance.as_ref(), &scheme, threads),
        Factor::Bf16 => quantize_of::<bf16>(py, &weight, importance.as_ref(), &scheme, threads),
        _ => quantize_of::<f32>(py, &weight, importance.as_ref(), &scheme, threads),
    }
}

fn scheme(
    bits: usize,
    group_size: Option<NonZeroUsize>,
    zero_point: &str,
    method: Method,
) -> PyResult<Scheme> {
    let bits = Bits::try_from(bits)
        .map_err(|bits| DomainError::new_err(format!("bits is {bits}, expected 2, 3, 4 or 8")))?;
    let zero_point = match zero_point {
        "float" => ZeroPoint::Float,
        "integer" => ZeroPoint::Integer,
        _ => ZeroPoint::Symmetric,
    };
    Ok(Scheme { bits, group_size, zero_point, method })
}

fn quantize_of<'py, T: Weight>(
    py: Python<'py>,
    weight: &Operand<'py, Factor>,
    importance: Option<&Operand<'py, Factor>>,
    scheme: &Scheme,
    threads: Option<&Object<'py>>,
) -> PyResult<Parts<'py>> {
    let Some(&columns) = weight.shape().last() else {
        let (shape, expected) = (weight.shape().into(), "at least one axis, the inputs");
        return Err(raise(Error::Axes { name: "weight", shape, expected }));
    };
    let x = weight.borrow::<T>()?;
    let importance = importance.map(Operand::borrow::<f32>).transpose()?;
    let shape = weight.shape();
    let importance = match importance.as_ref().map(Borrowed::view) {
        None => None,
        Some(view) if view.shape() == shape => Some(view),
        Some(view) if view.shape() == [columns] => Some(view),
        Some(view) => {
            let (actual, expected) = (view.shape().into(), shape.into());
            return Err(raise(Error::Part { name: "importance", actual, expected }));
        }
    };
    let wide = importance.as_ref().and_then(|view| view.broadcast(shape));
    let (x, importance) = (stack(x.view())?, wide.map(stack).transpose()?);
    let (x, importance) = (x.view(), importance.as_ref().map(|w| w.view()));
    let job = Job { shape, x, importance, scheme };
    let (parts, is_enough) = job.run::<f16>(py, threads)?;
    if is_enough {
        return Ok(parts);
    }
    drop(parts);
    Ok(job.run::<f32>(py, threads)?.0)
}

/// What is to be done, whatever the scales are made in.
struct Job<'a, T> {
    shape: &'a [usize],
    x: ArrayView3<'a, T>,
    importance: Option<ArrayView3<'a, f32>>,
    scheme: &'a Scheme,
}

impl<T: Weight> Job<'_, T> {
    /// The parts with scales of type `S`, and whether that is good enough.
    fn run<'py, S: Scale>(
        &self,
        py: Python<'py>,
        threads: Option<&Object<'py>>,
    ) -> PyResult<(Parts<'py>, bool)> {
        let (_, rows, columns) = self.x.dim();
        let scheme = self.scheme;
        let leading = &self.shape[..self.shape.len().saturating_sub(2)];
        let is_row = self.shape.len() == 1;
        let of = |rows: usize, last: usize| {
            let rows: &[usize] = if is_row { &[] } else { &[rows] };
            [leading, rows, &[last]].concat()
        };
        let groups = scheme.groups(columns);
        let codes = result::<u32>(py, &of(rows, scheme.words(columns)))?;
        let scales = result::<S>(py, &of(rows, groups))?;
        let minima = scheme.zero_point == ZeroPoint::Float;
        let minima = minima.then(|| result::<S>(py, &of(rows, groups))).transpose()?;
        let zeros = scheme.zero_point == ZeroPoint::Integer;
        let places = [leading, &[scheme.zero_words(rows), groups]].concat();
        let zeros = zeros.then(|| result::<u32>(py, &places)).transpose()?;
        let work = self.x.len().saturating_mul(quant::work(scheme.method));
        let outcome = {
            let (mut codes, mut scales) = (codes.readwrite(), scales.readwrite());
            let (mut minima, mut zeros) =
                (minima.as_ref().map(|a| a.readwrite()), zeros.as_ref().map(|a| a.readwrite()));
            let (codes, scales) = (matrices(&mut codes)?, matrices(&mut scales)?);
            let minima = minima.as_mut().map(matrices).transpose()?;
            let zeros = zeros.as_mut().map(matrices).transpose()?;
            let to = Places { codes, scales, minima, zeros };
            compute(py, threads, work, move |context| self.each(to, context))?
        };
        let is_enough = !(S::NAME == f16::NAME && outcome.survey.needs_single(scheme));
        let zeros = minima.map(Bound::into_any).or(zeros.map(Bound::into_any));
        Ok(((codes.into_any(), scales.into_any(), zeros), is_enough))
    }

    /// Quantizes one matrix after the other.
    fn each<S: Scale>(
        &self,
        mut to: Places<'_, S>,
        context: &Context<'_>,
    ) -> Result<Outcome, Error> {
        let mut outcome = Outcome::default();
        for (i, x) in self.x.outer_iter().enumerate() {
            let importance = self.importance.as_ref().map(|w| w.index_axis(Axis(0), i));
            let parts = to.matrix(i);
            match quant::quantize(x, importance, self.scheme, parts, context) {
                Ok(done) => outcome.merge(&done),
                Err(Error::NotFinite { name, index, actual }) => {
                    let index = unraveled(self.shape, i, &index.0).as_slice().into();
                    return Err(Error::NotFinite { name, index, actual });
                }
                Err(error) => return Err(error),
            }
        }
        Ok(outcome)
    }
}

/// The index in an array of `shape` of an element of its `matrix`-th matrix.
fn unraveled(shape: &[usize], mut matrix: usize, within: &[usize]) -> Vec<usize> {
    let &[.., row, column] = within else { return within.to_vec() };
    if shape.len() == 1 {
        return vec![column];
    }
    let mut index = vec![column, row];
    for &extent in shape[..shape.len() - 2].iter().rev() {
        index.push(matrix % extent);
        matrix /= extent;
    }
    index.reverse();
    index
}

/// Where the parts of a stack of matrices go.
struct Places<'a, S> {
    codes: ArrayViewMut3<'a, u32>,
    scales: ArrayViewMut3<'a, S>,
    minima: Option<ArrayViewMut3<'a, S>>,
    zeros: Option<ArrayViewMut3<'a, u32>>,
}

impl<S: Scale> Places<'_, S> {
    fn matrix(&mut self, i: usize) -> QuantizedMut<'_> {
        let zeros = match (&mut self.minima, &mut self.zeros) {
            (Some(minima), _) => ZerosMut::Float(S::places(minima.index_axis_mut(Axis(0), i))),
            (None, Some(zeros)) => ZerosMut::Integer(zeros.index_axis_mut(Axis(0), i)),
            (None, None) => ZerosMut::Symmetric,
        };
        let codes = self.codes.index_axis_mut(Axis(0), i);
        QuantizedMut { codes, scales: S::places(self.scales.index_axis_mut(Axis(0), i)), zeros }
    }
}

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
