//! Plain matrices, without gaps in memory: their products are found out fast.

use half::{bf16, f16};
use numpy::ndarray::{ArrayView2, Axis};
use numpy::{
    PyArray1, PyArray2, PyArrayMethods, PyReadonlyArray1, PyReadonlyArray2, PyUntypedArrayMethods,
};
use pyo3::prelude::*;
use threadwise::linalg::{self, Summed};
use threadwise::narrow::{Bfloats, Halves, Pair, Rounded, Signed, UnsignedSigned};

use crate::dtype::{Factor, Float, Number, plain_factor};
use crate::linalg::Shares;
use crate::seam::{bytes, compute, product_work, raise, result, threads_argument};

type Object<'py> = Bound<'py, PyAny>;

/// The product of two plain matrices of the same type: for small ones the general way would take
/// longer to find out what they are than to multiply them. `None` if they, or `out`, are anything else:
/// the general way then does it, or says what is wrong.
pub(crate) fn matrices<'py, T: Float>(
    py: Python<'py>,
    a: &Object<'py>,
    b: &Object<'py>,
    out: Option<&Object<'py>>,
    Shares { threads, distribution, .. }: Shares<'_, 'py>,
) -> PyResult<Option<Object<'py>>> {
    let (Some(a), Some(b)) = (dense_matrix::<T>(a), dense_matrix::<T>(b)) else {
        return vectors::<T>(py, a, b, out, Shares { threads, distribution, question: None });
    };
    let (&[m, k], &[b_k, n]) = (a.shape(), b.shape()) else { return Ok(None) };
    let Some(elements) = m.checked_mul(n) else { return Ok(None) };
    if k != b_k {
        return Ok(None);
    }
    let by_rows = a.is_c_contiguous() && b.is_c_contiguous();
    let (Ok(a), Ok(b)) = (a.try_readonly(), b.try_readonly()) else { return Ok(None) };
    if by_rows && linalg::is_tiny(m, k, n) && out.is_none() {
        threads_argument(threads)?;
        let made = |c: ArrayView2<'_, T>| PyArray2::from_array(py, &c).into_any();
        return linalg::tiny(a.as_array(), b.as_array(), made).map(Some).map_err(raise);
    }
    let read = [bytes::<T>(&[m, k]), bytes::<T>(&[k, n])];
    let work = product_work(elements.saturating_mul(k), read, bytes::<T>(&[m, n]));
    let is_one_threads = work < linalg::WORTH_DETACHING && distribution.is_none();
    if by_rows && out.is_none() && is_one_threads && linalg::is_small(m, k, n) {
        threads_argument(threads)?;
        let fill = |c: &mut [T]| linalg::small(a.as_array(), b.as_array(), c);
        let (made, outcome) = threadwise_arrays::filled(py, &[m, n], fill)?;
        outcome.map_err(raise)?;
        return Ok(Some(made.into_any()));
    }
    let place = match out {
        None => result::<T>(py, &[m, n])?.cast_into::<PyArray2<T>>()?,
        Some(out) => {
            let Some(place) = plain_matrix::<T>(out) else { return Ok(None) };
            if place.shape() != [m, n] || touch(place, &a) || touch(place, &b) {
                return Ok(None);
            }
            place.clone()
        }
    };
    let Ok(mut lent) = place.try_readwrite() else { return Ok(None) };
    let (a, b, c) = (a.as_array(), b.as_array(), lent.as_array_mut());
    compute(py, threads, work, move |context| {
        linalg::multiply(a, b, c, &context.distributed(distribution))
    })?;
    drop(lent);
    Ok(Some(place.into_any()))
}

/// The same where one of them is a vector, or both are.
fn vectors<'py, T: Float>(
    py: Python<'py>,
    a: &Object<'py>,
    b: &Object<'py>,
    out: Option<&Object<'py>>,
    Shares { threads, distribution, .. }: Shares<'_, 'py>,
) -> PyResult<Option<Object<'py>>> {
    let (Some(a), Some(b)) = (Plain::<T>::of(a), Plain::<T>::of(b)) else { return Ok(None) };
    let (Some(a), Some(b)) = (a.lend(), b.lend()) else { return Ok(None) };
    let (row, column) = (a.as_row(), b.as_column());
    let ((m, k), (b_k, n)) = (row.dim(), column.dim());
    let Some(elements) = m.checked_mul(n) else { return Ok(None) };
    if k != b_k || out.is_some() {
        return Ok(None);
    }
    let is_number = matches!((&a, &b), (Borrowed::Vector(_), Borrowed::Vector(_)));
    if linalg::is_tiny(m, k, n) {
        threads_argument(threads)?;
        return linalg::tiny(row, column, |c| {
            let made = PyArray1::from_iter(py, c.iter().copied());
            // As in NumPy: an array without axes is given as a number.
            if is_number { made.get_item(0) } else { Ok(made.into_any()) }
        })
        .map_err(raise)?
        .map(Some);
    }
    let place = result::<T>(py, &[elements])?.cast_into::<PyArray1<T>>()?;
    let Ok(mut lent) = place.try_readwrite() else { return Ok(None) };
    let Ok(c) = lent.as_array_mut().into_shape_with_order((m, n)) else { return Ok(None) };
    let read = [bytes::<T>(&[m, k]), bytes::<T>(&[k, n])];
    let work = product_work(elements.saturating_mul(k), read, bytes::<T>(&[m, n]));
    compute(py, threads, work, move |context| {
        linalg::multiply(row, column, c, &context.distributed(distribution))
    })?;
    drop(lent);
    Ok(Some(if is_number { place.get_item(0)? } else { place.into_any() }))
}

/// An array with one axis or two, contiguous by rows.
enum Plain<'a, 'py, T: Number> {
    Vector(&'a Bound<'py, PyArray1<T>>),
    Matrix(&'a Bound<'py, PyArray2<T>>),
}

impl<'a, 'py, T: Number> Plain<'a, 'py, T> {
    fn of(object: &'a Object<'py>) -> Option<Self> {
        if let Ok(array) = object.cast::<PyArray1<T>>() {
            return (array.is_c_contiguous() && array.is_aligned()).then_some(Self::Vector(array));
        }
        plain_matrix::<T>(object).map(Self::Matrix)
    }

    fn lend(&self) -> Option<Borrowed<'py, T>> {
        match self {
            Self::Vector(array) => array.try_readonly().ok().map(Borrowed::Vector),
            Self::Matrix(array) => array.try_readonly().ok().map(Borrowed::Matrix),
        }
    }
}

/// The same, borrowed.
enum Borrowed<'py, T: Number> {
    Vector(PyReadonlyArray1<'py, T>),
    Matrix(PyReadonlyArray2<'py, T>),
}

impl<T: Number> Borrowed<'_, T> {
    fn as_row(&self) -> ArrayView2<'_, T> {
        match self {
            Self::Vector(vector) => vector.as_array().insert_axis(Axis(0)),
            Self::Matrix(matrix) => matrix.as_array(),
        }
    }

    fn as_column(&self) -> ArrayView2<'_, T> {
        match self {
            Self::Vector(vector) => vector.as_array().insert_axis(Axis(1)),
            Self::Matrix(matrix) => matrix.as_array(),
        }
    }
}

/// The same for the smallest products of narrower numbers.
pub(crate) fn smallest<'py>(
    py: Python<'py>,
    a: &Object<'py>,
    b: &Object<'py>,
) -> PyResult<Option<Object<'py>>> {
    match (plain_factor(a), plain_factor(b)) {
        (Some(Factor::Bf16), Some(Factor::Bf16)) => smallest_of::<Bfloats, bf16>(py, a, b),
        (Some(Factor::F16), Some(Factor::F16)) => smallest_of::<Halves, f16>(py, a, b),
        (Some(Factor::I8), Some(Factor::I8)) => smallest_of::<Signed, i32>(py, a, b),
        (Some(Factor::U8), Some(Factor::I8)) => smallest_of::<UnsignedSigned, i32>(py, a, b),
        _ => Ok(None),
    }
}

fn smallest_of<'py, P, R>(
    py: Python<'py>,
    a: &Object<'py>,
    b: &Object<'py>,
) -> PyResult<Option<Object<'py>>>
where
    P: Pair<Left: Number, Right: Number, Sum: Summed>,
    R: Rounded<P::Sum> + Number,
{
    let (Some(a), Some(b)) = (Plain::<P::Left>::of(a), Plain::<P::Right>::of(b)) else {
        return Ok(None);
    };
    let is_number = matches!((&a, &b), (Plain::Vector(_), Plain::Vector(_)));
    let are_matrices = matches!((&a, &b), (Plain::Matrix(_), Plain::Matrix(_)));
    let (Some(a), Some(b)) = (a.lend(), b.lend()) else { return Ok(None) };
    let made = |c: ArrayView2<'_, R>| {
        if are_matrices {
            return Ok(PyArray2::from_array(py, &c).into_any());
        }
        let made = PyArray1::from_iter(py, c.iter().copied());
        // As in NumPy: an array without axes is given as a number.
        if is_number { made.get_item(0) } else { Ok(made.into_any()) }
    };
    linalg::smallest::<P, R, _>(a.as_row(), b.as_column(), made).map_err(raise)?.transpose()
}

/// An array of `T` with two axes, contiguous by rows.
fn plain_matrix<'a, 'py, T: Number>(
    object: &'a Object<'py>,
) -> Option<&'a Bound<'py, PyArray2<T>>> {
    let array = object.cast::<PyArray2<T>>().ok()?;
    (array.is_c_contiguous() && array.is_aligned()).then_some(array)
}

/// An array of `T` with two axes, contiguous by rows or by columns.
fn dense_matrix<'a, 'py, T: Number>(
    object: &'a Object<'py>,
) -> Option<&'a Bound<'py, PyArray2<T>>> {
    let array = object.cast::<PyArray2<T>>().ok()?;
    (array.is_contiguous() && array.is_aligned()).then_some(array)
}

/// Whether the memory of two contiguous arrays touches.
fn touch<T: Number>(one: &Bound<'_, PyArray2<T>>, other: &Bound<'_, PyArray2<T>>) -> bool {
    let span = |array: &Bound<'_, PyArray2<T>>| {
        let start = array.data().addr();
        start..start + array.len() * size_of::<T>()
    };
    let (one, other) = (span(one), span(other));
    one.start < other.end && other.start < one.end
}
