//! Documented in `threadwise.quant`.

use std::num::NonZeroUsize;

use half::{bf16, f16};
use numpy::ndarray::{
    Array, ArrayView3, ArrayViewD, ArrayViewMut2, ArrayViewMut3, Axis, CowArray, Ix3,
};
use numpy::{PyArrayMethods, PyReadwriteArrayDyn};
use pyo3::prelude::*;
use threadwise::quant::{
    self, Bits, Method, NumbersMut, Outcome, QuantizedMut, Scheme, ZeroPoint, ZerosMut,
};
use threadwise::{Context, Error};

use crate::dtype::{Factor, Number};
use crate::seam::{Borrowed, DomainError, Operand, ShapeError, compute, raise, result};

type Object<'py> = Bound<'py, PyAny>;

/// A number type of weights.
pub(crate) trait Weight: Number + quant::Number {}
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
    let importance = importance.map(|given| Operand::factor("importance", given)).transpose()?;
    match weight.kind {
        Factor::F16 => quantize_of::<f16>(py, &weight, importance.as_ref(), &scheme, threads),
        Factor::Bf16 => quantize_of::<bf16>(py, &weight, importance.as_ref(), &scheme, threads),
        _ => quantize_of::<f32>(py, &weight, importance.as_ref(), &scheme, threads),
    }
}

pub(crate) fn scheme(
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
            let (mut minima, mut zeros) = (
                minima.as_ref().map(PyArrayMethods::readwrite),
                zeros.as_ref().map(PyArrayMethods::readwrite),
            );
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

/// Extents as matrices: a row is a matrix of one.
fn extents(shape: &[usize]) -> (usize, usize, usize) {
    match *shape {
        [] => (1, 1, 1),
        [columns] => (1, 1, columns),
        [ref leading @ .., rows, columns] => (leading.iter().product(), rows, columns),
    }
}

/// An array as a stack of matrices; copied where it has more axes, and gaps.
pub(crate) fn stack<T: Clone>(view: ArrayViewD<'_, T>) -> PyResult<CowArray<'_, T, Ix3>> {
    let shape = extents(view.shape());
    let mut few = view.clone();
    while few.ndim() < 3 {
        few = few.insert_axis(Axis(0));
    }
    let made = if few.ndim() == 3 {
        few.into_dimensionality::<Ix3>().map(CowArray::from)
    } else if let Some(adjacent) = view.to_slice() {
        ArrayView3::from_shape(shape, adjacent).map(CowArray::from)
    } else {
        Array::from_shape_vec(shape, view.iter().cloned().collect()).map(CowArray::from)
    };
    made.map_err(|error| ShapeError::new_err(error.to_string()))
}

/// A new array as a stack of matrices.
fn matrices<'a, T: Number>(
    lent: &'a mut PyReadwriteArrayDyn<'_, T>,
) -> PyResult<ArrayViewMut3<'a, T>> {
    let view = lent.as_array_mut();
    let shape = extents(view.shape());
    view.into_shape_with_order(shape).map_err(|error| ShapeError::new_err(error.to_string()))
}
