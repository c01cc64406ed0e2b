//! Models of language: the private half of `threadwise.models`.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

use numpy::{PyArray2, PyArrayMethods, PyReadonlyArrayDyn};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};
use threadwise::Error;
use threadwise::causal::{
    Cache, CacheType, CausalLm, Input, ModelShape, Packing, Part, Reduce, Wanted, ZeroKind,
};
use threadwise::dots::Inputs;

use crate::nn::scaling_argument;
use crate::seam::{DTypeError, DomainError, Operand, ShapeError, compute, place, raise};

type Object<'py> = Bound<'py, PyAny>;

/// A part of a model; see `threadwise._threadwise.pyi`.
#[pyclass(frozen, module = "threadwise._threadwise")]
pub(crate) struct CausalModel(pub(crate) CausalLm);

/// Keys and values of sequences.
#[pyclass(frozen, module = "threadwise._threadwise")]
pub(crate) struct KvCache {
    cache: Mutex<Cache>,
    dtype: &'static str,
}

#[pymethods]
impl CausalModel {
    #[new]
    #[expect(clippy::too_many_arguments, reason = "Python's")]
    #[pyo3(signature = (path, shape, quantization, layers, shard, activations, threads, /))]
    fn new(
        py: Python<'_>,
        path: PathBuf,
        shape: &Bound<'_, PyDict>,
        quantization: HashMap<String, (u32, isize, String)>,
        layers: Option<(usize, usize)>,
        shard: (usize, usize),
        activations: &str,
        threads: Option<&Object<'_>>,
    ) -> PyResult<Self> {
        let shape = shape_argument(shape)?;
        let inputs = match activations {
            "int8" => Inputs::Int8,
            "float" => Inputs::Float,
            other => {
                let expected = "expected 'int8' or 'float'";
                return Err(DomainError::new_err(format!("activations is '{other}', {expected}")));
            }
        };
        let packings: PyResult<HashMap<String, Packing>> =
            quantization.into_iter().map(|(name, how)| Ok((name, packing(&how)?))).collect();
        let packings = packings?;
        let layers = layers.map_or(0..shape.layers, |(first, last)| first..last);
        let part = Part { layers, world: shard.0, rank: shard.1 };
        compute(py, threads, usize::MAX, |context| {
            CausalLm::load(&path, shape, &packings, part, inputs, context)
        })
        .map(Self)
    }

    /// Bytes of weights that are read, mapped ones among them.
    #[getter]
    fn nbytes(&self) -> usize {
        self.0.bytes()
    }

    /// Whether tokens go in.
    #[getter]
    fn is_first(&self) -> bool {
        self.0.is_first()
    }

    /// Whether logits come out.
    #[getter]
    fn is_last(&self) -> bool {
        self.0.is_last()
    }

    #[pyo3(signature = (sequences, max_context, dtype, /))]
    fn cache(&self, sequences: usize, max_context: usize, dtype: &str) -> PyResult<KvCache> {
        let (kind, dtype) = match dtype {
            "float32" => (CacheType::F32, "float32"),
            "float16" => (CacheType::F16, "float16"),
            "int8" => (CacheType::I8, "int8"),
            other => {
                let expected = "expected 'float32', 'float16' or 'int8'";
                return Err(DomainError::new_err(format!("kv_dtype is '{other}', {expected}")));
            }
        };
        let cache = Cache::new(&self.0, sequences, max_context, kind).map_err(raise)?;
        Ok(KvCache { cache: Mutex::new(cache), dtype })
    }

    #[expect(clippy::too_many_arguments, reason = "Python's")]
    #[pyo3(signature = (inputs, counts, slots, cache, rows, reduce, threads, /))]
    fn forward<'py>(
        &self,
        py: Python<'py>,
        inputs: &Object<'py>,
        counts: Option<Vec<usize>>,
        slots: Vec<usize>,
        cache: &KvCache,
        rows: &str,
        reduce: Option<Py<PyAny>>,
        threads: Option<&Object<'py>>,
    ) -> PyResult<Object<'py>> {
        let wanted = wanted(rows)?;
        let given = Given::new(inputs, counts)?;
        let counts = given.counts();
        let shape = [self.0.rows(&counts, wanted), self.0.outputs()];
        let (place, mut out) = place::<f32>(py, &shape, None, &[])?;
        let out = out.as_array_mut().into_dimensionality();
        let out = out.map_err(|_| ShapeError::new_err("the result is no matrix"))?;
        let work = counts.iter().sum::<usize>().saturating_mul(self.0.bytes());
        let sum = reduce.map(|call| Sum { call, raised: Mutex::new(None) });
        let mut held = cache.held()?;
        let kept = &mut *held;
        let outcome = given.with(|input| {
            let hook = sum.as_ref().map(|sum| sum as &dyn Reduce);
            compute(py, threads, work, |context| {
                self.0.forward(input, &slots, kept, wanted, out, hook, context)
            })
        });
        if let Some(sum) = sum
            && let Some(raised) = sum.raised.into_inner().unwrap_or_else(PoisonError::into_inner)
        {
            return Err(raised);
        }
        outcome?;
        Ok(place)
    }
}

#[pymethods]
impl KvCache {
    /// Bytes of the pages that were used so far.
    #[getter]
    fn nbytes(&self) -> PyResult<usize> {
        Ok(self.held()?.bytes())
    }

    #[getter]
    fn sequences(&self) -> PyResult<usize> {
        Ok(self.held()?.slots())
    }

    #[getter]
    fn max_context(&self) -> PyResult<usize> {
        Ok(self.held()?.max_context())
    }

    #[getter]
    fn dtype(&self) -> &'static str {
        self.dtype
    }

    #[pyo3(signature = (slot, /))]
    fn length(&self, slot: usize) -> PyResult<usize> {
        self.held()?.length(slot).map_err(raise)
    }

    #[pyo3(signature = (slot, length, /))]
    fn truncate(&self, slot: usize, length: usize) -> PyResult<()> {
        self.held()?.truncate(slot, length).map_err(raise)
    }

    #[pyo3(signature = (slot, /))]
    fn free(&self, slot: usize) -> PyResult<()> {
        self.held()?.free(slot).map_err(raise)
    }
}

impl KvCache {
    /// The cache, if no other call has it.
    pub(crate) fn held(&self) -> PyResult<MutexGuard<'_, Cache>> {
        match self.cache.try_lock() {
            Ok(held) => Ok(held),
            Err(TryLockError::Poisoned(held)) => Ok(held.into_inner()),
            Err(TryLockError::WouldBlock) => Err(DomainError::new_err(
                "the cache is in use by another call, expected one call at a time: wait for that call, or make \
                 another cache",
            )),
        }
    }
}

/// What goes in.
enum Given<'py> {
    Ids(Vec<Vec<usize>>),
    Hidden(PyReadonlyArrayDyn<'py, f32>, Vec<usize>),
}

impl<'py> Given<'py> {
    fn new(inputs: &Object<'py>, counts: Option<Vec<usize>>) -> PyResult<Self> {
        let Some(counts) = counts else {
            return tokens_of(inputs).map(Self::Ids);
        };
        let hidden = Operand::single("hidden", inputs)?;
        if hidden.shape().len() != 2 {
            let sentence = format!("hidden has {} axes, expected 2", hidden.shape().len());
            return Err(ShapeError::new_err(sentence));
        }
        let Ok(hidden) = inputs.cast::<PyArray2<f32>>() else {
            return Err(DTypeError::new_err("hidden is no float32, expected that"));
        };
        Ok(Self::Hidden(hidden.to_dyn().readonly(), counts))
    }

    fn counts(&self) -> Vec<usize> {
        match self {
            Self::Ids(ids) => ids.iter().map(Vec::len).collect(),
            Self::Hidden(_, counts) => counts.clone(),
        }
    }

    fn with<T>(&self, work: impl FnOnce(Input<'_>) -> T) -> T {
        match self {
            Self::Ids(ids) => {
                let ids: Vec<&[usize]> = ids.iter().map(Vec::as_slice).collect();
                work(Input::Ids(&ids))
            }
            Self::Hidden(hidden, counts) => {
                let hidden = hidden.as_array();
                let hidden = hidden.as_standard_layout();
                work(Input::Hidden(hidden.as_slice().unwrap_or_default(), counts))
            }
        }
    }
}

/// Of which tokens logits are wanted.
pub(crate) fn wanted(rows: &str) -> PyResult<Wanted> {
    match rows {
        "all" => Ok(Wanted::All),
        "last" => Ok(Wanted::Last),
        other => {
            let expected = "expected 'all' or 'last'";
            Err(DomainError::new_err(format!("rows is '{other}', {expected}")))
        }
    }
}

/// The tokens of each of some sequences.
pub(crate) fn tokens_of(ids: &Object<'_>) -> PyResult<Vec<Vec<usize>>> {
    ids.cast::<PyList>()?.iter().map(|ids| tokens(&ids)).collect()
}

/// The tokens of a sequence.
fn tokens(ids: &Object<'_>) -> PyResult<Vec<usize>> {
    let ids = Operand::whole("the tokens", ids)?;
    if ids.shape().len() != 1 {
        let sentence = format!("the tokens have {} axes, expected one", ids.shape().len());
        return Err(ShapeError::new_err(sentence));
    }
    let ids = ids.borrow::<i64>()?;
    let view = ids.view();
    let id = |(at, id): (usize, &i64)| {
        usize::try_from(*id).map_err(|_| {
            let expected = "expected a number from the vocabulary, none of which is negative";
            DomainError::new_err(format!("the token at {at} is {id}, {expected}"))
        })
    };
    view.iter().enumerate().map(id).collect()
}

/// A sum over ranks that Python computes.
struct Sum {
    call: Py<PyAny>,
    raised: Mutex<Option<PyErr>>,
}

impl Reduce for Sum {
    fn sum(&self, numbers: &mut [f32], columns: usize) -> Result<(), Error> {
        let outcome = Python::attach(|py| {
            let array = PyArray2::<f32>::zeros(py, [numbers.len() / columns, columns], false);
            array.readwrite().as_slice_mut()?.copy_from_slice(numbers);
            self.call.call1(py, (&array,))?;
            numbers.copy_from_slice(array.readonly().as_slice()?);
            PyResult::Ok(())
        });
        outcome.map_err(|error| {
            let sentence = error.to_string();
            self.raised.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
            Error::Sum(sentence)
        })
    }
}

/// The sizes of a model, from a dictionary that has them all and nothing else.
fn shape_argument(given: &Bound<'_, PyDict>) -> PyResult<ModelShape> {
    fn get<'py, T: for<'a> FromPyObject<'a, 'py>>(
        given: &Bound<'py, PyDict>,
        name: &str,
    ) -> PyResult<T> {
        let value = given.get_item(name)?;
        let Some(value) = value else {
            return Err(DomainError::new_err(format!("shape has no {name}")));
        };
        value.extract::<T>().map_err(|_| {
            let words =
                value.repr().map(|value| format!("{name} is {value}, which makes no sense"));
            words.map_or_else(|error| error, DTypeError::new_err)
        })
    }
    let scaling: Option<(String, Vec<Object<'_>>)> = get(given, "rope_scaling")?;
    Ok(ModelShape {
        vocab_size: get(given, "vocab_size")?,
        hidden_size: get(given, "hidden_size")?,
        layers: get(given, "layers")?,
        heads: get(given, "heads")?,
        kv_heads: get(given, "kv_heads")?,
        head_dim: get(given, "head_dim")?,
        ffn: get(given, "ffn")?,
        norm_eps: get(given, "norm_eps")?,
        window: get(given, "window")?,
        is_tied: get(given, "is_tied")?,
        qkv_bias: get(given, "qkv_bias")?,
        o_bias: get(given, "o_bias")?,
        mlp_bias: get(given, "mlp_bias")?,
        rope_theta: get(given, "rope_theta")?,
        rope_scaling: scaling
            .map(|(kind, numbers)| scaling_argument(&kind, &numbers))
            .transpose()?,
    })
}

fn packing((bits, group, zeros): &(u32, isize, String)) -> PyResult<Packing> {
    let zeros = match zeros.as_str() {
        "symmetric" => ZeroKind::Symmetric,
        "float" => ZeroKind::Minimum,
        "integer" => ZeroKind::Code,
        other => return Err(DomainError::new_err(format!("there is no zero point {other:?}"))),
    };
    Ok(Packing { bits: *bits, group: usize::try_from(*group).ok(), zeros })
}
