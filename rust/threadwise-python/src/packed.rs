//! Documented in `threadwise.linalg.pack`.

use numpy::ndarray::{ArrayViewMut2, Ix2};
use numpy::{PyArrayMethods, PyReadwriteArrayDyn};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyTuple;
use threadwise::linalg::Real;
use threadwise::{Activation, linalg};

use crate::dtype::{Kind, Number};
use crate::linalg::Shares;
use crate::seam::{Borrowed, DTypeError, Lent, Operand, compute, place, raise, result};

type Object<'py> = Bound<'py, PyAny>;

/// A layer's weight, copied once into the order in which products read it.
///
/// Made by `threadwise.pack`, and taken by `threadwise.linear` and `threadwise.matmul` in place of the
/// weight. It never changes, owns its memory, and may be used by any number of threads at the same time.
/// Two are equal if their dtypes, shapes and elements are. It can be pickled and copied; the pickle
/// holds the weight as it was, because the order depends on the machine.
#[pyclass(frozen, module = "threadwise", name = "PackedWeight")]
pub(crate) struct PackedWeight(Held);

/// A weight of each type that can be packed.
enum Held {
    F32(linalg::PackedWeight<f32>),
    F64(linalg::PackedWeight<f64>),
}

/// A number type whose packed weights are held.
pub(crate) trait Packs: Number + Real {
    const KIND: Kind;

    fn hold(weight: linalg::PackedWeight<Self>) -> PackedWeight;
    fn held(weight: &PackedWeight) -> Option<&linalg::PackedWeight<Self>>;
}

impl Packs for f32 {
    const KIND: Kind = Kind::F32;

    fn hold(weight: linalg::PackedWeight<Self>) -> PackedWeight {
        PackedWeight(Held::F32(weight))
    }

    fn held(weight: &PackedWeight) -> Option<&linalg::PackedWeight<Self>> {
        if let Held::F32(weight) = &weight.0 { Some(weight) } else { None }
    }
}

impl Packs for f64 {
    const KIND: Kind = Kind::F64;

    fn hold(weight: linalg::PackedWeight<Self>) -> PackedWeight {
        PackedWeight(Held::F64(weight))
    }

    fn held(weight: &PackedWeight) -> Option<&linalg::PackedWeight<Self>> {
        if let Held::F64(weight) = &weight.0 { Some(weight) } else { None }
    }
}

#[pymethods]
impl PackedWeight {
    /// The shape of the weight: one row an output feature.
    #[getter]
    fn shape<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        PyTuple::new(py, self.extents())
    }

    /// The dtype of the weight, and of products with it.
    #[getter]
    fn dtype<'py>(&self, py: Python<'py>) -> Object<'py> {
        match self.0 {
            Held::F32(_) => <f32 as numpy::Element>::get_dtype(py).into_any(),
            Held::F64(_) => <f64 as numpy::Element>::get_dtype(py).into_any(),
        }
    }

    /// Bytes of memory that it owns: those of the weight, rounded up to whole tiles.
    #[getter]
    fn nbytes(&self) -> usize {
        match &self.0 {
            Held::F32(weight) => weight.bytes(),
            Held::F64(weight) => weight.bytes(),
        }
    }

    /// Return the weight as it was: a new array, bit for bit.
    fn unpack<'py>(&self, py: Python<'py>) -> PyResult<Object<'py>> {
        match &self.0 {
            Held::F32(weight) => unpacked(py, weight),
            Held::F64(weight) => unpacked(py, weight),
        }
    }

    #[pyo3(signature = (dtype = None, copy = None))]
    fn __array__<'py>(
        &self,
        py: Python<'py>,
        dtype: Option<&Object<'py>>,
        copy: Option<bool>,
    ) -> PyResult<Object<'py>> {
        if copy == Some(false) {
            let sentence = "a packed weight has no array to share, expected copy=None or True";
            return Err(pyo3::exceptions::PyValueError::new_err(sentence));
        }
        let array = self.unpack(py)?;
        match dtype {
            Some(dtype) => array.call_method1(intern!(py, "astype"), (dtype,)),
            None => Ok(array),
        }
    }

    fn __reduce__<'py>(&self, py: Python<'py>) -> PyResult<(Object<'py>, (Object<'py>,))> {
        let pack = py.import("threadwise")?.getattr("pack")?;
        Ok((pack, (self.unpack(py)?,)))
    }

    fn __eq__(&self, other: &Object<'_>) -> bool {
        let Ok(other) = other.cast::<Self>() else { return false };
        match (&self.0, &other.get().0) {
            (Held::F32(one), Held::F32(other)) => one == other,
            (Held::F64(one), Held::F64(other)) => one == other,
            _ => false,
        }
    }

    fn __repr__(&self) -> String {
        let ([outputs, inputs], bytes) = (self.extents(), self.nbytes());
        format!("PackedWeight(shape=({outputs}, {inputs}), dtype={}, nbytes={bytes})", self.name())
    }
}

impl PackedWeight {
    fn extents(&self) -> [usize; 2] {
        match &self.0 {
            Held::F32(weight) => weight.shape(),
            Held::F64(weight) => weight.shape(),
        }
    }

    fn name(&self) -> &'static str {
        match &self.0 {
            Held::F32(weight) => weight.dtype(),
            Held::F64(weight) => weight.dtype(),
        }
    }
}

fn unpacked<'py, T: Packs>(
    py: Python<'py>,
    weight: &linalg::PackedWeight<T>,
) -> PyResult<Object<'py>> {
    let array = result::<T>(py, &weight.shape())?;
    let mut place: PyReadwriteArrayDyn<'_, T> = array.readwrite();
    let view: Result<ArrayViewMut2<'_, T>, _> = place.as_array_mut().into_dimensionality::<Ix2>();
    if let Ok(view) = view {
        py.detach(|| weight.unpack(view));
    }
    drop(place);
    Ok(array.into_any())
}

/// Documented in `threadwise.linalg.pack`.
#[pyfunction]
#[pyo3(signature = (weight, threads, /))]
pub(crate) fn pack(
    py: Python<'_>,
    weight: &Object<'_>,
    threads: Option<&Object<'_>>,
) -> PyResult<PackedWeight> {
    let weight = Operand::new("weight", weight)?;
    match weight.kind {
        Kind::F32 => pack_of::<f32>(py, &weight, threads),
        Kind::F64 => pack_of::<f64>(py, &weight, threads),
    }
}

fn pack_of<T: Packs>(
    py: Python<'_>,
    weight: &Operand<'_>,
    threads: Option<&Object<'_>>,
) -> PyResult<PackedWeight> {
    let weight = weight.borrow::<T>()?;
    let Ok(view) = weight.view().into_dimensionality::<Ix2>() else {
        let shape = weight.view().shape().to_vec();
        return Err(raise(linalg::weight_axes(&shape)));
    };
    // To copy an element takes as long as some multiply-adds.
    let work = view.len().saturating_mul(8);
    let packed =
        compute(py, threads, work, move |context| linalg::PackedWeight::new(view, context))?;
    Ok(T::hold(packed))
}

/// `activation(x @ weight.T + bias)` for a packed weight.
pub(crate) fn linear<'py>(
    py: Python<'py>,
    x: &Operand<'py>,
    weight: &Bound<'py, PackedWeight>,
    bias: Option<&Operand<'py>>,
    activation: Option<Activation>,
    out: Option<&Object<'py>>,
    shares: Shares<'_, 'py>,
) -> PyResult<Object<'py>> {
    let call = Call { x, bias, activation, out, shares };
    match weight.get().0 {
        Held::F32(_) => linear_of::<f32>(py, weight.get(), &call),
        Held::F64(_) => linear_of::<f64>(py, weight.get(), &call),
    }
}

/// What a call passes besides the weight.
struct Call<'a, 'py> {
    x: &'a Operand<'py>,
    bias: Option<&'a Operand<'py>>,
    activation: Option<Activation>,
    out: Option<&'a Object<'py>>,
    shares: Shares<'a, 'py>,
}

fn linear_of<'py, T: Packs>(
    py: Python<'py>,
    weight: &PackedWeight,
    &Call { x, bias, activation, out, shares }: &Call<'_, 'py>,
) -> PyResult<Object<'py>> {
    let Some(packed) = T::held(weight) else {
        return Err(wider("the weight", <T as Number>::NAME));
    };
    for operand in [Some(x), bias].into_iter().flatten() {
        if operand.kind > T::KIND {
            return Err(wider(operand.name(), <T as Number>::NAME));
        }
    }
    let bias_shape = bias.map(Operand::shape);
    let shape = linalg::linear_shape(x.shape(), &packed.shape(), bias_shape).map_err(raise)?;
    let work = packed.shape()[1].saturating_mul(shape.iter().product());
    let x = x.borrow::<T>()?;
    let bias = bias.map(Operand::borrow::<T>).transpose()?;
    let operands: Vec<&dyn Lent> = match &bias {
        Some(bias) => vec![&x, bias],
        None => vec![&x],
    };
    let (place, mut y) = place::<T>(py, &shape, out, &operands)?;
    let bias = bias.as_ref().map(Borrowed::view);
    // A bias of one axis with gaps is the only thing that is not contiguous here.
    let bias = bias.as_ref().map(|bias| bias.as_standard_layout());
    let bias = bias.as_ref().and_then(|bias| bias.as_slice());
    let x = x.view();
    if let Some(question) = shares.question {
        let view = y.as_array();
        question
            .answer(shares, work, |context| linalg::explain_packed(x, packed, view, context))?;
        drop(y);
        return Ok(place);
    }
    let view = y.as_array_mut();
    compute(py, shares.threads, work, move |context| {
        let context = context.distributed(shares.distribution);
        linalg::linear_packed(x, packed, bias, activation, view, &context)
    })?;
    Ok(place)
}

/// The sentence for an operand that is wider than the weight: a packed weight is not converted.
fn wider(name: &str, dtype: &str) -> PyErr {
    DTypeError::new_err(format!(
        "{name} has dtype float64, expected {dtype}, the dtype of the packed weight: pack the weight in \
         float64, or pass {name}.astype({dtype})"
    ))
}
