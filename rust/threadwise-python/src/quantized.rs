//! Products with quantized weights, whose arrays Python holds: the private half of `threadwise.quant`.

use half::{bf16, f16};
use numpy::{
    PyArrayDyn, PyArrayMethods, PyReadonlyArrayDyn, PyUntypedArray, PyUntypedArrayMethods,
};
use pyo3::prelude::*;
use threadwise::dots::{Inputs, Layout, Scales, Weights, Zeros};
use threadwise::linalg::{self, QuantizedWeight, Single};

use crate::dtype::{Factor, Kind, Number};
use crate::linalg::{Shares, activation_argument};
use crate::seam::{
    Borrowed, DTypeError, DomainError, LayoutError, Lent, Operand, ShapeError, compute, place,
    raise,
};
use crate::work::distribution_argument;

type Object<'py> = Bound<'py, PyAny>;

/// The name of the method by which an object that is no array multiplies as a weight.
pub(crate) const LINEAR: &str = "_linear";

/// The name of that by which it multiplies from the left.
pub(crate) const MATMUL: &str = "_matmul";

/// What a weight that is no array does with a call of the method `name`, if it has one.
pub(crate) fn method<'py>(object: &Object<'py>, name: &str) -> Option<Object<'py>> {
    if object.is_instance_of::<PyUntypedArray>() {
        return None;
    }
    object.getattr(name).ok()
}

/// The sentence for a plan of a product that the object would do itself, by `attribute`: it has one way only.
pub(crate) fn refuse_question(name: &str, object: &Object<'_>, attribute: &str) -> PyResult<()> {
    if method(object, attribute).is_none() {
        return Ok(());
    }
    Err(DTypeError::new_err(format!(
        "{name} is a {}, expected an array or a PackedWeight: there is no plan of products with quantized \
         weights",
        object.get_type().name()?
    )))
}

/// `activation(x @ weight.T + bias)` for a quantized weight of the shape (outputs, inputs).
#[pyfunction]
#[expect(clippy::too_many_arguments, reason = "an operation has as many arguments as it has")]
#[pyo3(signature = (
    x, codes, scales, zeros, shape, bits, group_size, bias, activation, activations, out, threads,
    distribution, /
))]
pub(crate) fn linear_quantized<'py>(
    py: Python<'py>,
    x: &Object<'py>,
    codes: &Object<'py>,
    scales: &Object<'py>,
    zeros: Option<&Object<'py>>,
    shape: (usize, usize),
    bits: u32,
    group_size: Option<usize>,
    bias: Option<&Object<'py>>,
    activation: Option<&Object<'py>>,
    activations: Option<&Object<'py>>,
    out: Option<&Object<'py>>,
    threads: Option<&Object<'py>>,
    distribution: Option<&Object<'py>>,
) -> PyResult<Object<'py>> {
    let distribution = distribution_argument(distribution)?;
    let inputs = inputs_argument(activations)?;
    let activation = activation.map(activation_argument).transpose()?;
    let (outputs, columns) = shape;
    let layout = Layout::new(bits, columns, group_size);
    let held = Held {
        codes: Numbers::new("codes", codes)?,
        scales: Numbers::new("scales", scales)?,
        zeros: zeros.map(|zeros| Numbers::new("zero_points", zeros)).transpose()?,
    };
    let weight = held.weight(outputs, layout)?;
    let x = Operand::floating("x", x)?;
    let bias = bias.map(|bias| Operand::floating("bias", bias)).transpose()?;
    let shares = Shares { threads, distribution, question: None };
    let call = Call { x: &x, bias: bias.as_ref(), activation, inputs, out, shares };
    match x.kind {
        Factor::Real(Kind::F32) => linear_of::<f32>(py, &weight, &call),
        Factor::F16 => linear_of::<f16>(py, &weight, &call),
        Factor::Bf16 => linear_of::<bf16>(py, &weight, &call),
        _ => Err(DTypeError::new_err(format!(
            "x has dtype {}, expected float32, float16 or bfloat16 beside a quantized weight: nothing is \
             cast silently, pass x.astype('float32')",
            x.kind.name()
        ))),
    }
}

/// What a call passes besides the weight.
struct Call<'a, 'py> {
    x: &'a Operand<'py, Factor>,
    bias: Option<&'a Operand<'py, Factor>>,
    activation: Option<threadwise::Activation>,
    inputs: Inputs,
    out: Option<&'a Object<'py>>,
    shares: Shares<'a, 'py>,
}

fn linear_of<'py, T: Number + Single>(
    py: Python<'py>,
    weight: &QuantizedWeight<'_>,
    &Call { x, bias, activation, inputs, out, shares }: &Call<'_, 'py>,
) -> PyResult<Object<'py>> {
    if let Some(bias) = bias
        && bias.kind != x.kind
        && bias.kind != Factor::Real(Kind::F32)
    {
        let expected = "the same dtype, or float32 for the bias";
        return Err(crate::linalg::unlike(&[("x", x), ("bias", bias)], expected));
    }
    let bias_shape = bias.map(Operand::shape);
    let shape = linalg::linear_shape(x.shape(), &weight.shape(), bias_shape).map_err(raise)?;
    let work = weight.shape()[1].saturating_mul(shape.iter().product());
    let x = x.borrow::<T>()?;
    let bias = bias.map(Operand::borrow::<f32>).transpose()?;
    let mut operands: Vec<&dyn Lent> = vec![&x];
    operands.extend(bias.as_ref().map(|bias| bias as &dyn Lent));
    let (place, mut y) = place::<T>(py, &shape, out, &operands)?;
    let bias = bias.as_ref().map(Borrowed::view);
    // A bias of one axis with gaps is the only thing that is not contiguous here.
    let bias = bias.as_ref().map(|bias| bias.as_standard_layout());
    let bias = bias.as_ref().and_then(|bias| bias.as_slice());
    let (x, view) = (x.view(), y.as_array_mut());
    compute(py, shares.threads, work, move |context| {
        let context = context.distributed(shares.distribution);
        linalg::linear_quantized(x, weight, bias, activation, inputs, view, &context)
    })?;
    Ok(place)
}

/// The arrays of a quantized weight.
struct Held<'py> {
    codes: Numbers<'py>,
    scales: Numbers<'py>,
    zeros: Option<Numbers<'py>>,
}

/// An array that nobody may write to through us, contiguous, of one of the types that quantized weights are made of.
enum Numbers<'py> {
    U32(PyReadonlyArrayDyn<'py, u32>),
    F16(PyReadonlyArrayDyn<'py, f16>),
    Bf16(PyReadonlyArrayDyn<'py, bf16>),
    F32(PyReadonlyArrayDyn<'py, f32>),
}

impl<'py> Numbers<'py> {
    fn new(name: &str, object: &Object<'py>) -> PyResult<Self> {
        if let Ok(array) = object.cast::<PyArrayDyn<u32>>() {
            return Ok(Self::U32(borrow(name, array)?));
        }
        if let Ok(array) = object.cast::<PyArrayDyn<f16>>() {
            return Ok(Self::F16(borrow(name, array)?));
        }
        if let Ok(array) = object.cast::<PyArrayDyn<f32>>() {
            return Ok(Self::F32(borrow(name, array)?));
        }
        let array = Operand::floating("scales", object)?;
        if array.kind == Factor::Bf16
            && let Ok(array) = object.cast::<PyArrayDyn<bf16>>()
        {
            return Ok(Self::Bf16(borrow(name, array)?));
        }
        let expected = "expected uint32, float16, bfloat16 or float32";
        Err(DTypeError::new_err(format!("{name} has dtype {}, {expected}", array.kind.name())))
    }

    fn words(&self, name: &str) -> PyResult<&[u32]> {
        match self {
            Self::U32(words) => slice(name, words),
            _ => Err(DTypeError::new_err(format!("{name} are no uint32"))),
        }
    }

    fn scales(&self, name: &str) -> PyResult<Scales<'_>> {
        match self {
            Self::F16(numbers) => Ok(Scales::F16(slice(name, numbers)?)),
            Self::Bf16(numbers) => Ok(Scales::Bf16(slice(name, numbers)?)),
            Self::F32(numbers) => Ok(Scales::F32(slice(name, numbers)?)),
            Self::U32(_) => Err(DTypeError::new_err(format!("{name} are uint32"))),
        }
    }
}

fn borrow<'py, T: numpy::Element>(
    name: &str,
    array: &Bound<'py, PyArrayDyn<T>>,
) -> PyResult<PyReadonlyArrayDyn<'py, T>> {
    if !array.is_c_contiguous() || !array.is_aligned() {
        let expected = "expected a C-contiguous and aligned array";
        return Err(LayoutError::new_err(format!("{name} lie apart in memory, {expected}")));
    }
    let busy = "expected an array at rest: wait for that call or pass a copy";
    array.try_readonly().map_err(|_| {
        LayoutError::new_err(format!("{name} are being written to by another call, {busy}"))
    })
}

fn slice<'a, T: numpy::Element>(
    name: &str,
    array: &'a PyReadonlyArrayDyn<'_, T>,
) -> PyResult<&'a [T]> {
    array.as_slice().map_err(|_| LayoutError::new_err(format!("{name} lie apart in memory")))
}

impl Held<'_> {
    /// The weight, if the arrays have its sizes.
    fn weight(&self, outputs: usize, layout: Layout) -> PyResult<QuantizedWeight<'_>> {
        let zeros = match &self.zeros {
            None => Zeros::Symmetric,
            Some(words @ Numbers::U32(_)) => Zeros::Packed(words.words("zero_points")?),
            Some(minima) => Zeros::Minimum(minima.scales("zero_points")?),
        };
        let weights = Weights {
            codes: self.codes.words("codes")?,
            scales: self.scales.scales("scales")?,
            zeros,
        };
        QuantizedWeight::new(outputs, layout, weights).ok_or_else(|| {
            let (columns, bits) = (layout.columns(), layout.bits());
            ShapeError::new_err(format!(
                "the arrays of a quantized weight do not have the sizes that ({outputs}, {columns}) codes of \
                 {bits} bits need"
            ))
        })
    }
}

fn inputs_argument(given: Option<&Object<'_>>) -> PyResult<Inputs> {
    let Some(given) = given else { return Ok(Inputs::Int8) };
    let expected = "expected None, 'int8' or 'float'";
    match given.extract::<String>().as_deref() {
        Ok("int8") => Ok(Inputs::Int8),
        Ok("float") => Ok(Inputs::Float),
        Ok(name) => Err(DomainError::new_err(format!("activations is '{name}', {expected}"))),
        Err(_) => {
            let kind = given.get_type();
            let sentence =
                format!("activations is {} (a {}), {expected}", given.repr()?, kind.name()?);
            Err(DTypeError::new_err(sentence))
        }
    }
}

/// The sentence for a weight that is not quantized: the option would have no effect.
pub(crate) fn refuse_activations(given: Option<&Object<'_>>) -> PyResult<()> {
    let Some(given) = given else { return Ok(()) };
    inputs_argument(Some(given))?;
    Err(DomainError::new_err(format!(
        "activations is {}, expected None beside a weight that is not quantized",
        given.repr()?
    )))
}
