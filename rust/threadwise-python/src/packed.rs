//! Documented in `threadwise.linalg.pack`.

use half::{bf16, f16};
use numpy::ndarray::{ArrayView2, ArrayViewMut2, Ix2};
use numpy::{PyArrayMethods, PyReadwriteArrayDyn};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyTuple;
use threadwise::linalg::{Narrow, NarrowWeight, Product};
use threadwise::narrow::{Bfloats, Halves, Signed, UnsignedSigned};
use threadwise::{Activation, Context, Error, linalg};

use crate::dtype::{Factor, Kind, Number};
use crate::linalg::{Shares, is_single};
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
    Bf16(NarrowWeight<bf16>),
    F16(NarrowWeight<f16>),
    I8(NarrowWeight<i8>),
}

/// The same of whichever type is held.
macro_rules! held {
    ($packed:expr, $weight:ident => $answer:expr) => {
        match &$packed.0 {
            Held::F32($weight) => $answer,
            Held::F64($weight) => $answer,
            Held::Bf16($weight) => $answer,
            Held::F16($weight) => $answer,
            Held::I8($weight) => $answer,
        }
    };
}

#[pymethods]
impl PackedWeight {
    /// The shape of the weight: one row an output feature.
    #[getter]
    fn shape<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        PyTuple::new(py, self.extents())
    }

    /// The dtype of the weight.
    #[getter]
    fn dtype<'py>(&self, py: Python<'py>) -> Object<'py> {
        let dtype = match self.0 {
            Held::F32(_) => <f32 as numpy::Element>::get_dtype(py),
            Held::F64(_) => <f64 as numpy::Element>::get_dtype(py),
            Held::Bf16(_) => <bf16 as numpy::Element>::get_dtype(py),
            Held::F16(_) => <f16 as numpy::Element>::get_dtype(py),
            Held::I8(_) => <i8 as numpy::Element>::get_dtype(py),
        };
        dtype.into_any()
    }

    /// Bytes of memory that it owns: those of the weight, rounded up to whole tiles.
    #[getter]
    fn nbytes(&self) -> usize {
        held!(self, weight => weight.bytes())
    }

    /// Return the weight as it was: a new array, bit for bit.
    fn unpack<'py>(&self, py: Python<'py>) -> PyResult<Object<'py>> {
        let shape = self.extents();
        held!(self, weight => unpacked(py, shape, |view| weight.unpack(view)))
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
            (Held::Bf16(one), Held::Bf16(other)) => one == other,
            (Held::F16(one), Held::F16(other)) => one == other,
            (Held::I8(one), Held::I8(other)) => one == other,
            _ => false,
        }
    }

    fn __repr__(&self) -> String {
        let ([outputs, inputs], bytes) = (self.extents(), self.nbytes());
        format!(
            "PackedWeight(shape=({outputs}, {inputs}), dtype={}, nbytes={bytes})",
            self.factor().name()
        )
    }
}

impl PackedWeight {
    fn extents(&self) -> [usize; 2] {
        held!(self, weight => weight.shape())
    }

    fn factor(&self) -> Factor {
        match &self.0 {
            Held::F32(_) => Factor::Real(Kind::F32),
            Held::F64(_) => Factor::Real(Kind::F64),
            Held::Bf16(_) => Factor::Bf16,
            Held::F16(_) => Factor::F16,
            Held::I8(_) => Factor::I8,
        }
    }

    /// Whether products with `x`, and a bias, can be computed: neither it nor the weight is converted to what is
    /// wider, or of another kind.
    fn expect(&self, x: &Operand<'_, Factor>, bias: Option<&Operand<'_, Factor>>) -> PyResult<()> {
        let weight = self.factor();
        let is_like = |operand: &Operand<'_, Factor>| match (operand.kind, weight) {
            (Factor::Real(kind), Factor::Real(most)) => kind <= most,
            (kind, weight) => kind == weight,
        };
        if !is_like(x) && (x.kind, weight) != (Factor::U8, Factor::I8) {
            return Err(unlike(x, weight));
        }
        match bias {
            Some(bias) if !is_like(bias) && bias.kind != Factor::Real(Kind::F32) => {
                Err(unlike(bias, weight))
            }
            _ => Ok(()),
        }
    }
}

fn unpacked<T: Number>(
    py: Python<'_>,
    shape: [usize; 2],
    unpack: impl FnOnce(ArrayViewMut2<'_, T>) + Send,
) -> PyResult<Object<'_>> {
    let array = result::<T>(py, &shape)?;
    let mut place: PyReadwriteArrayDyn<'_, T> = array.readwrite();
    let view: Result<ArrayViewMut2<'_, T>, _> = place.as_array_mut().into_dimensionality::<Ix2>();
    if let Ok(view) = view {
        py.detach(|| unpack(view));
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
    let weight = Operand::packable("weight", weight)?;
    let held = match weight.kind {
        Factor::Real(Kind::F32) => {
            Held::F32(packed(py, &weight, threads, linalg::PackedWeight::new)?)
        }
        Factor::Real(Kind::F64) => {
            Held::F64(packed(py, &weight, threads, linalg::PackedWeight::new)?)
        }
        Factor::Bf16 => Held::Bf16(packed(py, &weight, threads, NarrowWeight::new)?),
        Factor::F16 => Held::F16(packed(py, &weight, threads, NarrowWeight::new)?),
        Factor::I8 | Factor::U8 => Held::I8(packed(py, &weight, threads, NarrowWeight::new)?),
    };
    Ok(PackedWeight(held))
}

fn packed<T: Number, W: Send>(
    py: Python<'_>,
    weight: &Operand<'_, Factor>,
    threads: Option<&Object<'_>>,
    pack: impl FnOnce(ArrayView2<'_, T>, &Context<'_>) -> Result<W, Error> + Send,
) -> PyResult<W> {
    let weight = weight.borrow::<T>()?;
    let Ok(view) = weight.view().into_dimensionality::<Ix2>() else {
        let shape = weight.view().shape().to_vec();
        return Err(raise(linalg::weight_axes(&shape)));
    };
    // To copy an element takes as long as some multiply-adds.
    let work = view.len().saturating_mul(8);
    compute(py, threads, work, move |context| pack(view, context))
}

/// `activation(x @ weight.T + bias)` for a packed weight.
pub(crate) fn linear<'py>(
    py: Python<'py>,
    x: &Operand<'py, Factor>,
    weight: &Bound<'py, PackedWeight>,
    bias: Option<&Operand<'py, Factor>>,
    activation: Option<Activation>,
    out: Option<&Object<'py>>,
    shares: Shares<'_, 'py>,
) -> PyResult<Object<'py>> {
    weight.get().expect(x, bias)?;
    let wants_sums = out.is_some_and(is_single);
    let call = Call { x, bias, activation, out, shares };
    match &weight.get().0 {
        Held::F32(weight) => linear_of::<f32>(py, weight, &call),
        Held::F64(weight) => linear_of::<f64>(py, weight, &call),
        Held::Bf16(weight) if wants_sums => linear_of::<Narrow<Bfloats, f32>>(py, weight, &call),
        Held::Bf16(weight) => linear_of::<Narrow<Bfloats, bf16>>(py, weight, &call),
        Held::F16(weight) if wants_sums => linear_of::<Narrow<Halves, f32>>(py, weight, &call),
        Held::F16(weight) => linear_of::<Narrow<Halves, f16>>(py, weight, &call),
        Held::I8(weight) if x.kind == Factor::U8 => {
            linear_of::<Narrow<UnsignedSigned, i32>>(py, weight, &call)
        }
        Held::I8(weight) => linear_of::<Narrow<Signed, i32>>(py, weight, &call),
    }
}

/// What a layer says to a packed weight of integers.
pub(crate) fn expect_layer(weight: &Bound<'_, PackedWeight>) -> PyResult<()> {
    if weight.get().factor() != Factor::I8 {
        return Ok(());
    }
    Err(DTypeError::new_err(
        "weight has dtype int8, expected float32, float64, float16 or bfloat16: a layer of integers lacks \
         its scale, use matmul",
    ))
}

/// What a call passes besides the weight.
struct Call<'a, 'py> {
    x: &'a Operand<'py, Factor>,
    bias: Option<&'a Operand<'py, Factor>>,
    activation: Option<Activation>,
    out: Option<&'a Object<'py>>,
    shares: Shares<'a, 'py>,
}

fn linear_of<'py, P>(
    py: Python<'py>,
    weight: &P::Weight,
    &Call { x, bias, activation, out, shares }: &Call<'_, 'py>,
) -> PyResult<Object<'py>>
where
    P: Product<Left: Number, Out: Number, Bias: Number>,
{
    let bias_shape = bias.map(Operand::shape);
    let extents = P::weight_shape(weight);
    let shape = linalg::linear_shape(x.shape(), &extents, bias_shape).map_err(raise)?;
    let work = extents[1].saturating_mul(shape.iter().product());
    let x = x.borrow::<P::Left>()?;
    let bias = bias.map(Operand::borrow::<P::Bias>).transpose()?;
    let operands: Vec<&dyn Lent> = match &bias {
        Some(bias) => vec![&x, bias],
        None => vec![&x],
    };
    let (place, mut y) = place::<P::Out>(py, &shape, out, &operands)?;
    let bias = bias.as_ref().map(Borrowed::view);
    // A bias of one axis with gaps is the only thing that is not contiguous here.
    let bias = bias.as_ref().map(|bias| bias.as_standard_layout());
    let bias = bias.as_ref().and_then(|bias| bias.as_slice());
    let x = x.view();
    if let Some(question) = shares.question {
        let view = y.as_array();
        question.answer(shares, work, |context| {
            linalg::explain_packed::<P>(x, weight, view, context)
        })?;
        drop(y);
        return Ok(place);
    }
    let view = y.as_array_mut();
    compute(py, shares.threads, work, move |context| {
        let context = context.distributed(shares.distribution);
        linalg::linear_packed_of::<P>(x, weight, bias, activation, view, &context)
    })?;
    Ok(place)
}

/// The sentence for an operand of another dtype than the weight's: a packed weight is not converted.
fn unlike(operand: &Operand<'_, Factor>, weight: Factor) -> PyErr {
    let (name, kind, dtype) = (operand.name(), operand.kind.name(), weight.name());
    let expected = if weight == Factor::I8 { "int8 or uint8" } else { dtype };
    let pack = match (operand.kind, weight) {
        (Factor::Real(_), Factor::Real(_)) => "pack the weight in float64, or ",
        _ => "nothing is cast silently, ",
    };
    DTypeError::new_err(format!(
        "{name} has dtype {kind}, expected {expected}, the dtype of the packed weight: {pack}pass \
         {name}.astype({dtype})"
    ))
}
