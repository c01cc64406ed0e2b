//! Documented in `threadwise.linalg`.

use half::{bf16, f16};
use numpy::PyArrayDyn;
use pyo3::intern;
use pyo3::prelude::*;
use threadwise::linalg::{Narrow, Product};
use threadwise::narrow::{Bfloats, Halves, Signed, UnsignedSigned};
use threadwise::work::WorkDistribution;
use threadwise::{Activation, linalg};

use crate::dtype::{Factor, Kind, Number, plain_kind};
use crate::packed::{self, PackedWeight};
use crate::plain::{matrices, smallest};
use crate::plan::Question;
use crate::quantized;
use crate::seam::{
    Borrowed, DTypeError, DomainError, Lent, Operand, bytes, compute, place, product_work, raise,
};
use crate::work::{distribution_argument, warn_if_unpinned};

type Object<'py> = Bound<'py, PyAny>;

/// Documented in `threadwise.linalg.matmul`.
#[pyfunction]
#[pyo3(signature = (a, b, out, threads, cut, /))]
pub(crate) fn matmul<'py>(
    py: Python<'py>,
    a: &Object<'py>,
    b: &Object<'py>,
    out: Option<&Object<'py>>,
    threads: Option<&Object<'py>>,
    cut: Option<&Object<'py>>,
) -> PyResult<Object<'py>> {
    let distribution = distribution_argument(cut)?;
    let shares = Shares { threads, distribution, question: None };
    let found = match plain_kind(a) {
        Some(Kind::F32) => matrices::<f32>(py, a, b, out, shares)?,
        Some(Kind::F64) => matrices::<f64>(py, a, b, out, shares)?,
        None => match quantized::method(a, quantized::MATMUL) {
            Some(method) => return method.call1((b, out, threads, cut)),
            None if out.is_none() && threads.is_none() => smallest(py, a, b)?,
            None => None,
        },
    };
    let c = match found {
        Some(c) => c,
        None => product(py, a, b, out, shares)?,
    };
    warn_if_unpinned(py, distribution)?;
    Ok(c)
}

/// `a @ b` for whatever they are.
pub(crate) fn product<'py>(
    py: Python<'py>,
    a: &Object<'py>,
    b: &Object<'py>,
    out: Option<&Object<'py>>,
    shares: Shares<'_, 'py>,
) -> PyResult<Object<'py>> {
    if shares.question.is_some() {
        quantized::refuse_question("a", a, quantized::MATMUL)?;
    }
    if let Ok(weight) = b.cast::<PackedWeight>() {
        return packed::linear(py, &Operand::factor("a", a)?, weight, None, None, out, shares);
    }
    by_types(py, &Operand::factor("a", a)?, &Operand::factor("b", b)?, out, shares)
}

/// How the caller wants work to be shared, or whether only to know how it would be.
#[derive(Clone, Copy)]
pub(crate) struct Shares<'a, 'py> {
    pub(crate) threads: Option<&'a Object<'py>>,
    pub(crate) distribution: Option<WorkDistribution>,
    pub(crate) question: Option<&'a Question>,
}

/// The product by the types of its operands.
fn by_types<'py>(
    py: Python<'py>,
    a: &Operand<'py, Factor>,
    b: &Operand<'py, Factor>,
    out: Option<&Object<'py>>,
    shares: Shares<'_, 'py>,
) -> PyResult<Object<'py>> {
    let wants_sums = out.is_some_and(is_single);
    match (a.kind, b.kind) {
        (Factor::Real(left), Factor::Real(right)) => match left.max(right) {
            Kind::F32 => matmul_of::<f32>(py, a, b, out, shares),
            Kind::F64 => matmul_of::<f64>(py, a, b, out, shares),
        },
        (Factor::Bf16, Factor::Bf16) if wants_sums => {
            matmul_of::<Narrow<Bfloats, f32>>(py, a, b, out, shares)
        }
        (Factor::Bf16, Factor::Bf16) => matmul_of::<Narrow<Bfloats, bf16>>(py, a, b, out, shares),
        (Factor::F16, Factor::F16) if wants_sums => {
            matmul_of::<Narrow<Halves, f32>>(py, a, b, out, shares)
        }
        (Factor::F16, Factor::F16) => matmul_of::<Narrow<Halves, f16>>(py, a, b, out, shares),
        (Factor::I8, Factor::I8) => matmul_of::<Narrow<Signed, i32>>(py, a, b, out, shares),
        (Factor::U8, Factor::I8) => matmul_of::<Narrow<UnsignedSigned, i32>>(py, a, b, out, shares),
        _ => Err(unlike(
            &[("a", a), ("b", b)],
            "float32 or float64, float16, or bfloat16 for both, or int8 or uint8 and int8",
        )),
    }
}

/// Whether an array is of float32, in which products of 16 bits are summed.
pub(crate) fn is_single(array: &Object<'_>) -> bool {
    array.cast::<PyArrayDyn<f32>>().is_ok()
}

/// The sentence for types that do not go together.
pub(crate) fn unlike(operands: &[(&str, &Operand<'_, Factor>)], expected: &str) -> PyErr {
    let each: Vec<String> = operands
        .iter()
        .map(|(name, operand)| format!("{name} has dtype {}", operand.kind.name()))
        .collect();
    DTypeError::new_err(format!(
        "{}, expected {expected}: nothing is cast silently, pass array.astype(...) if a conversion \
         is meant",
        each.join(", ")
    ))
}

fn matmul_of<'py, P>(
    py: Python<'py>,
    a: &Operand<'py, Factor>,
    b: &Operand<'py, Factor>,
    out: Option<&Object<'py>>,
    shares: Shares<'_, 'py>,
) -> PyResult<Object<'py>>
where
    P: Product<Left: Number, Right: Number, Out: Number>,
{
    let shape = linalg::matmul_shape(a.shape(), b.shape()).map_err(raise)?;
    let work = a.shape().last().map_or(1, |&k| k).saturating_mul(shape.iter().product());
    let read = [bytes::<P::Left>(a.shape()), bytes::<P::Right>(b.shape())];
    let work = product_work(work, read, bytes::<P::Out>(&shape));
    let (a, b) = (a.borrow::<P::Left>()?, b.borrow::<P::Right>()?);
    let (place, mut c) = place::<P::Out>(py, &shape, out, &[&a, &b])?;
    let (a, b) = (a.view(), b.view());
    if let Some(question) = shares.question {
        let view = c.as_array();
        question.answer(shares, work, |context| {
            linalg::explain::<P>(a, b, None, None, view, context)
        })?;
        drop(c);
        return Ok(place);
    }
    let view = c.as_array_mut();
    compute(py, shares.threads, work, move |context| {
        linalg::matmul_of::<P>(a, b, view, &context.distributed(shares.distribution))
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
#[pyo3(signature = (x, weight, bias, activation, activations, out, threads, distribution, /))]
pub(crate) fn linear<'py>(
    py: Python<'py>,
    x: &Object<'py>,
    weight: &Object<'py>,
    bias: Option<&Object<'py>>,
    activation: Option<&Object<'py>>,
    activations: Option<&Object<'py>>,
    out: Option<&Object<'py>>,
    threads: Option<&Object<'py>>,
    distribution: Option<&Object<'py>>,
) -> PyResult<Object<'py>> {
    if let Some(method) = quantized::method(weight, quantized::LINEAR) {
        return method.call1((x, bias, activation, activations, out, threads, distribution));
    }
    quantized::refuse_activations(activations)?;
    let distribution = distribution_argument(distribution)?;
    let shares = Shares { threads, distribution, question: None };
    let y = layer(py, x, weight, bias, activation, out, shares)?;
    warn_if_unpinned(py, distribution)?;
    Ok(y)
}

/// `activation(x @ weight.T + bias)` for whatever they are.
pub(crate) fn layer<'py>(
    py: Python<'py>,
    x: &Object<'py>,
    weight: &Object<'py>,
    bias: Option<&Object<'py>>,
    activation: Option<&Object<'py>>,
    out: Option<&Object<'py>>,
    shares: Shares<'_, 'py>,
) -> PyResult<Object<'py>> {
    let activation = activation.map(activation_argument).transpose()?;
    if shares.question.is_some() {
        quantized::refuse_question("weight", weight, quantized::LINEAR)?;
    }
    if let Ok(weight) = weight.cast::<PackedWeight>() {
        packed::expect_layer(weight)?;
        let x = Operand::floating("x", x)?;
        let bias = bias.map(|bias| Operand::floating("bias", bias)).transpose()?;
        return packed::linear(py, &x, weight, bias.as_ref(), activation, out, shares);
    }
    let (x, weight) = (Operand::floating("x", x)?, Operand::floating("weight", weight)?);
    let bias = bias.map(|bias| Operand::floating("bias", bias)).transpose()?;
    let layer = Layer { x, weight, bias, activation };
    let wants_sums = out.is_some_and(is_single);
    match layer.kind()? {
        Factor::Real(Kind::F64) => linear_of::<f64>(py, &layer, out, shares),
        Factor::Bf16 if wants_sums => linear_of::<Narrow<Bfloats, f32>>(py, &layer, out, shares),
        Factor::Bf16 => linear_of::<Narrow<Bfloats, bf16>>(py, &layer, out, shares),
        Factor::F16 if wants_sums => linear_of::<Narrow<Halves, f32>>(py, &layer, out, shares),
        Factor::F16 => linear_of::<Narrow<Halves, f16>>(py, &layer, out, shares),
        _ => linear_of::<f32>(py, &layer, out, shares),
    }
}

struct Layer<'py> {
    x: Operand<'py, Factor>,
    weight: Operand<'py, Factor>,
    bias: Option<Operand<'py, Factor>>,
    activation: Option<Activation>,
}

impl Layer<'_> {
    /// The type that decides: the wider one of real numbers; else that of `x` and `weight`, where the bias may
    /// be as wide as the sums.
    fn kind(&self) -> PyResult<Factor> {
        let (x, weight) = (self.x.kind, self.weight.kind);
        let bias = self.bias.as_ref().map_or(x, |bias| bias.kind);
        match (x, weight, bias) {
            (Factor::Real(x), Factor::Real(weight), Factor::Real(bias)) => {
                Ok(Factor::Real(x.max(weight).max(bias)))
            }
            _ if x == weight
                && !matches!(x, Factor::Real(_))
                && (bias == x || bias == Factor::Real(Kind::F32)) =>
            {
                Ok(x)
            }
            _ => {
                let named = [("x", Some(&self.x)), ("weight", Some(&self.weight))];
                let operands: Vec<_> = named
                    .into_iter()
                    .chain([("bias", self.bias.as_ref())])
                    .filter_map(|(name, operand)| operand.map(|operand| (name, operand)))
                    .collect();
                let expected = "float32 or float64, float16, or bfloat16 for all, or float32 for \
                                the bias alone";
                Err(unlike(&operands, expected))
            }
        }
    }
}

fn linear_of<'py, P>(
    py: Python<'py>,
    Layer { x, weight, bias, activation }: &Layer<'py>,
    out: Option<&Object<'py>>,
    shares: Shares<'_, 'py>,
) -> PyResult<Object<'py>>
where
    P: Product<Left: Number, Right: Number, Out: Number, Bias: Number>,
{
    let bias_shape = bias.as_ref().map(Operand::shape);
    let shape = linalg::linear_shape(x.shape(), weight.shape(), bias_shape).map_err(raise)?;
    let work = weight.shape()[1].saturating_mul(shape.iter().product());
    let read = [bytes::<P::Left>(x.shape()), bytes::<P::Right>(weight.shape())];
    let work = product_work(work, read, bytes::<P::Out>(&shape));
    let (x, weight) = (x.borrow::<P::Left>()?, weight.borrow::<P::Right>()?);
    let bias = bias.as_ref().map(Operand::borrow::<P::Bias>).transpose()?;
    let mut operands: Vec<&dyn Lent> = vec![&x, &weight];
    operands.extend(bias.as_ref().map(|bias| bias as &dyn Lent));
    let (place, mut y) = place::<P::Out>(py, &shape, out, &operands)?;
    let bias = bias.as_ref().map(Borrowed::view);
    // A bias of one axis with gaps is the only thing that is not contiguous here.
    let bias = bias.as_ref().map(|bias| bias.as_standard_layout());
    let bias = bias.as_ref().and_then(|bias| bias.as_slice());
    let (x, weight, activation) = (x.view(), weight.view(), *activation);
    if let Some(question) = shares.question {
        let view = y.as_array();
        question.answer(shares, work, |context| {
            linalg::explain::<P>(x, weight.reversed_axes(), bias, activation, view, context)
        })?;
        drop(y);
        return Ok(place);
    }
    let view = y.as_array_mut();
    compute(py, shares.threads, work, move |context| {
        let context = context.distributed(shares.distribution);
        linalg::linear_of::<P>(x, weight, bias, activation, view, &context)
    })?;
    Ok(place)
}

pub(crate) fn activation_argument(given: &Object<'_>) -> PyResult<Activation> {
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
