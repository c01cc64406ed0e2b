//! Documented in `threadwise.linalg`.

use numpy::ndarray::ArrayView2;
use numpy::{PyArray2, PyArrayMethods, PyUntypedArrayMethods};
use pyo3::intern;
use pyo3::prelude::*;
use threadwise::linalg::WORTH_DETACHING;
use threadwise::work::WorkDistribution;
use threadwise::{Activation, linalg};

use crate::packed::{self, PackedWeight};
use crate::seam::{
    Borrowed, DTypeError, DomainError, Kind, Number, Operand, compute, place, plain_kind, raise,
    result,
};
use crate::work::{distribution_argument, warn_if_unpinned};

type Object<'py> = Bound<'py, PyAny>;

/// Documented in `threadwise.linalg.matmul`.
#[pyfunction]
#[pyo3(signature = (a, b, out, threads, distribution, /))]
pub(crate) fn matmul<'py>(
    py: Python<'py>,
    a: &Object<'py>,
    b: &Object<'py>,
    out: Option<&Object<'py>>,
    threads: Option<&Object<'py>>,
    distribution: Option<&Object<'py>>,
) -> PyResult<Object<'py>> {
    let distribution = distribution_argument(distribution)?;
    let shares = Shares { threads, distribution };
    let found = match plain_kind(a) {
        Some(Kind::F32) => matrices::<f32>(py, a, b, out, shares)?,
        Some(Kind::F64) => matrices::<f64>(py, a, b, out, shares)?,
        None => None,
    };
    let c = if let Some(c) = found {
        c
    } else if let Ok(weight) = b.cast::<PackedWeight>() {
        packed::linear(py, &Operand::new("a", a)?, weight, None, None, out, shares)?
    } else {
        let (a, b) = (Operand::new("a", a)?, Operand::new("b", b)?);
        match a.kind.max(b.kind) {
            Kind::F32 => matmul_of::<f32>(py, &a, &b, out, shares)?,
            Kind::F64 => matmul_of::<f64>(py, &a, &b, out, shares)?,
        }
    };
    warn_if_unpinned(py, distribution)?;
    Ok(c)
}

/// How the caller wants work to be shared.
#[derive(Clone, Copy)]
pub(crate) struct Shares<'a, 'py> {
    pub(crate) threads: Option<&'a Object<'py>>,
    pub(crate) distribution: Option<WorkDistribution>,
}

/// The product of two plain matrices of the same type: for small ones the general way would take
/// longer to find out what they are than to multiply them. `None` if they, or `out`, are anything else:
/// the general way then does it, or says what is wrong.
fn matrices<'py, T: Number>(
    py: Python<'py>,
    a: &Object<'py>,
    b: &Object<'py>,
    out: Option<&Object<'py>>,
    Shares { threads, distribution }: Shares<'_, 'py>,
) -> PyResult<Option<Object<'py>>> {
    let (Some(a), Some(b)) = (plain_matrix::<T>(a), plain_matrix::<T>(b)) else { return Ok(None) };
    let (&[m, k], &[b_k, n]) = (a.shape(), b.shape()) else { return Ok(None) };
    let Some(elements) = m.checked_mul(n) else { return Ok(None) };
    if k != b_k {
        return Ok(None);
    }
    let (Ok(a), Ok(b)) = (a.try_readonly(), b.try_readonly()) else { return Ok(None) };
    let work = elements.saturating_mul(k);
    let is_tiny = elements <= linalg::TINY && k <= linalg::TINY && work <= WORTH_DETACHING;
    if is_tiny && out.is_none() && threads.is_none() {
        let made = |c: ArrayView2<'_, T>| PyArray2::from_array(py, &c).into_any();
        return linalg::tiny(a.as_array(), b.as_array(), made).map(Some).map_err(raise);
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

/// An array of `T` with two axes, contiguous by rows.
fn plain_matrix<'a, 'py, T: Number>(
    object: &'a Object<'py>,
) -> Option<&'a Bound<'py, PyArray2<T>>> {
    let array = object.cast::<PyArray2<T>>().ok()?;
    (array.is_c_contiguous() && array.is_aligned()).then_some(array)
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

fn matmul_of<'py, T: Number>(
    py: Python<'py>,
    a: &Operand<'py>,
    b: &Operand<'py>,
    out: Option<&Object<'py>>,
    Shares { threads, distribution }: Shares<'_, 'py>,
) -> PyResult<Object<'py>> {
    let shape = linalg::matmul_shape(a.shape(), b.shape()).map_err(raise)?;
    let work = a.shape().last().map_or(1, |&k| k).saturating_mul(shape.iter().product());
    let (a, b) = (a.borrow::<T>()?, b.borrow::<T>()?);
    let (place, mut c) = place::<T>(py, &shape, out, &[&a, &b])?;
    let (a, b, view) = (a.view(), b.view(), c.as_array_mut());
    compute(py, threads, work, move |context| {
        linalg::matmul(a, b, view, &context.distributed(distribution))
    })?;
    drop(c);
    if out.is_none() && shape.is_empty() {
        // As in NumPy: an array without axes is given as a number.
        return place.call_method1(intern!(py, "__getitem__"), ((),));
    }
    Ok(place)
}

/// Documented in `threadwise.linalg.linear`.
#[pyfunction]
#[expect(clippy::too_many_arguments, reason = "an operation has as many arguments as it has")]
#[pyo3(signature = (x, weight, bias, activation, out, threads, distribution, /))]
pub(crate) fn linear<'py>(
    py: Python<'py>,
    x: &Object<'py>,
    weight: &Object<'py>,
    bias: Option<&Object<'py>>,
    activation: Option<&Object<'py>>,
    out: Option<&Object<'py>>,
    threads: Option<&Object<'py>>,
    distribution: Option<&Object<'py>>,
) -> PyResult<Object<'py>> {
    let distribution = distribution_argument(distribution)?;
    let shares = Shares { threads, distribution };
    let x = Operand::new("x", x)?;
    let bias = bias.map(|bias| Operand::new("bias", bias)).transpose()?;
    let activation = activation.map(activation_argument).transpose()?;
    if let Ok(weight) = weight.cast::<PackedWeight>() {
        let y = packed::linear(py, &x, weight, bias.as_ref(), activation, out, shares)?;
        warn_if_unpinned(py, distribution)?;
        return Ok(y);
    }
    let weight = Operand::new("weight", weight)?;
    let kind = x.kind.max(weight.kind).max(bias.as_ref().map_or(Kind::F32, |bias| bias.kind));
    let call = Layer { x, weight, bias, activation };
    let y = match kind {
        Kind::F32 => linear_of::<f32>(py, &call, out, shares)?,
        Kind::F64 => linear_of::<f64>(py, &call, out, shares)?,
    };
    warn_if_unpinned(py, distribution)?;
    Ok(y)
}

struct Layer<'py> {
    x: Operand<'py>,
    weight: Operand<'py>,
    bias: Option<Operand<'py>>,
    activation: Option<Activation>,
}

fn linear_of<'py, T: Number>(
    py: Python<'py>,
    Layer { x, weight, bias, activation }: &Layer<'py>,
    out: Option<&Object<'py>>,
    Shares { threads, distribution }: Shares<'_, 'py>,
) -> PyResult<Object<'py>> {
    let bias_shape = bias.as_ref().map(Operand::shape);
    let shape = linalg::linear_shape(x.shape(), weight.shape(), bias_shape).map_err(raise)?;
    let work = weight.shape()[1].saturating_mul(shape.iter().product());
    let (x, weight) = (x.borrow::<T>()?, weight.borrow::<T>()?);
    let bias = bias.as_ref().map(Operand::borrow::<T>).transpose()?;
    let operands: Vec<_> = [&x, &weight].into_iter().chain(&bias).collect();
    let (place, mut y) = place::<T>(py, &shape, out, &operands)?;
    let bias = bias.as_ref().map(Borrowed::view);
    // A bias of one axis with gaps is the only thing that is not contiguous here.
    let bias = bias.as_ref().map(|bias| bias.as_standard_layout());
    let bias = bias.as_ref().and_then(|bias| bias.as_slice());
    let (x, weight, view, activation) = (x.view(), weight.view(), y.as_array_mut(), *activation);
    compute(py, threads, work, move |context| {
        let context = context.distributed(distribution);
        linalg::linear(x, weight, bias, activation, view, &context)
    })?;
    Ok(place)
}

fn activation_argument(given: &Object<'_>) -> PyResult<Activation> {
    let names: Vec<String> =
        Activation::NAMED.iter().map(|(name, _)| format!("'{name}'")).collect();
    let expected = format!("expected None or one of {}", names.join(", "));
    let Ok(name) = given.extract::<String>() else {
        let kind = given.get_type();
        let sentence = format!("activation is {} (a {}), {expected}", given.repr()?, kind.name()?);
        return Err(DTypeError::new_err(sentence));
    };
    Activation::named(&name)
        .ok_or_else(|| DomainError::new_err(format!("activation is '{name}', {expected}")))
}
