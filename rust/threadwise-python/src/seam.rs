//! The one crossing between Python and the engine: which arrays are borrowed and which are copied,
//! when the interpreter's lock is released, and what errors are called in Python.
//!
//! A binding is: operands, result, [`compute`], return. What Python passes is checked here, once, with
//! the names the caller knows.

use std::num::NonZeroUsize;
use std::sync::{Mutex, PoisonError};

use crate::dtype::{Kind, Number};
use crate::memory::{extent, repeats_elements, steps_are_whole};
use numpy::ndarray::ArrayViewD;
use numpy::{
    PyArrayDescr, PyArrayDyn, PyArrayMethods, PyReadonlyArrayDyn, PyReadwriteArrayDyn,
    PyUntypedArray, PyUntypedArrayMethods,
};
use pyo3::exceptions::{PyMemoryError, PyRuntimeError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyDict;
use threadwise::linalg::WORTH_DETACHING;
use threadwise::store::StoreError;
use threadwise::{Context, Error, Interrupt, Isa, budget, topology};

pyo3::import_exception!(threadwise.errors, CommunicationError);
pyo3::import_exception!(threadwise.errors, DTypeError);
pyo3::import_exception!(threadwise.errors, DomainError);
pyo3::import_exception!(threadwise.errors, FormatError);
pyo3::import_exception!(threadwise.errors, LayoutError);
pyo3::import_exception!(threadwise.errors, ShapeError);
pyo3::import_exception!(threadwise.errors, StorageError);

/// Axes of the arrays that can be borrowed (NumPy itself had this limit before version 2).
const MOST_AXES: usize = 32;

/// An argument that is an array of a type we know, aligned and in the machine's byte order.
pub(crate) struct Operand<'py, K = Kind> {
    name: &'static str,
    pub(crate) kind: K,
    pub(crate) array: Bound<'py, PyUntypedArray>,
}

impl<'py, K> Operand<'py, K> {
    /// Takes what NumPy makes an array of, if `kind` knows its type.
    pub(crate) fn of(
        name: &'static str,
        object: &Bound<'py, PyAny>,
        kind: impl FnOnce(&Bound<'py, PyArrayDescr>) -> PyResult<K>,
    ) -> PyResult<Self> {
        let array = if let Ok(array) = object.cast::<PyUntypedArray>() {
            array.clone()
        } else {
            let made = numpy(object.py())?.call_method1(intern!(object.py(), "asarray"), (object,));
            made?.cast_into::<PyUntypedArray>()?
        };
        let kind = kind(&array.dtype())?;
        expect_few_axes(name, &array)?;
        if !array.is_aligned() {
            let advice = "pass a copy, for example numpy.require(array, requirements='A')";
            return Err(LayoutError::new_err(format!(
                "{name} is not aligned in memory, expected elements at multiples of their size: \
                 {advice}"
            )));
        }
        Ok(Self { name, kind, array })
    }

    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    pub(crate) fn shape(&self) -> &[usize] {
        self.array.shape()
    }

    /// Borrows the array as elements of `T`. An array of narrower elements is converted, and one whose
    /// elements do not lie in whole steps of their size (a field of a record) is copied, once.
    pub(crate) fn borrow<T: Number>(&self) -> PyResult<Borrowed<'py, T>> {
        let py = self.array.py();
        let array = match self.array.cast::<PyArrayDyn<T>>() {
            Ok(array) if steps_are_whole(&self.array, size_of::<T>()) => array.clone(),
            _ => {
                let wanted = T::get_dtype(py);
                let copy = self.array.call_method1(intern!(py, "astype"), (wanted, "C"))?;
                copy.cast_into::<PyArrayDyn<T>>()?
            }
        };
        match array.try_readonly() {
            Ok(array) => Ok(Borrowed { name: self.name, array }),
            Err(_) => Err(LayoutError::new_err(format!(
                "{} is being written to by another call, expected an array at rest: wait for that \
                 call or pass a copy",
                self.name
            ))),
        }
    }
}

/// An operand that nobody may write to through us while this lives.
pub(crate) struct Borrowed<'py, T: Number> {
    name: &'static str,
    array: PyReadonlyArrayDyn<'py, T>,
}

impl<T: Number> Borrowed<'_, T> {
    pub(crate) fn view(&self) -> ArrayViewD<'_, T> {
        self.array.as_array()
    }
}

/// A borrowed array of whatever type, for [`place`] to keep clear of.
pub(crate) trait Lent {
    /// The caller's name of it.
    fn name(&self) -> &'static str;

    /// Whether it shares an element with the array whose first element is at `at`.
    fn shares_with(&self, array: &Bound<'_, PyUntypedArray>, at: usize) -> PyResult<bool>;
}

impl<T: Number> Lent for Borrowed<'_, T> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn shares_with(&self, array: &Bound<'_, PyUntypedArray>, at: usize) -> PyResult<bool> {
        overlap((array, at), (self.array.as_untyped(), self.array.data().addr()))
    }
}

fn expect_few_axes(name: &str, array: &Bound<'_, PyUntypedArray>) -> PyResult<()> {
    let axes = array.ndim();
    if axes <= MOST_AXES {
        return Ok(());
    }
    Err(ShapeError::new_err(format!(
        "{name} has {axes} axes, expected at most {MOST_AXES}: join some with reshape"
    )))
}

/// The result's array, the caller's or a new one, and the right to write to it.
pub(crate) fn place<'py, T: Number>(
    py: Python<'py>,
    shape: &[usize],
    out: Option<&Bound<'py, PyAny>>,
    operands: &[&dyn Lent],
) -> PyResult<(Bound<'py, PyAny>, PyReadwriteArrayDyn<'py, T>)> {
    if let Some(out) = out {
        return Ok((out.clone(), result_in::<T>(out, operands)?));
    }
    let made = result::<T>(py, shape)?;
    let lent = made.readwrite();
    Ok((made.into_any(), lent))
}

/// The place for a result that the caller passed.
fn result_in<'py, T: Number>(
    out: &Bound<'py, PyAny>,
    operands: &[&dyn Lent],
) -> PyResult<PyReadwriteArrayDyn<'py, T>> {
    let Ok(untyped) = out.cast::<PyUntypedArray>() else {
        let actual = out.get_type();
        return Err(DTypeError::new_err(format!(
            "out is a {}, expected a numpy.ndarray or None",
            actual.name()?
        )));
    };
    expect_few_axes("out", untyped)?;
    let Ok(array) = out.cast::<PyArrayDyn<T>>() else {
        return Err(DTypeError::new_err(format!(
            "out has dtype {}, expected {}, the dtype of the result",
            untyped.dtype().getattr("str")?.str()?,
            T::NAME
        )));
    };
    let flags = out.getattr(intern!(out.py(), "flags"))?;
    if !flags.getattr(intern!(out.py(), "writeable"))?.extract::<bool>()? {
        return Err(LayoutError::new_err("out is read-only, expected a writable array"));
    }
    if !untyped.is_aligned() || !steps_are_whole(untyped, size_of::<T>()) {
        return Err(LayoutError::new_err(
            "out is not aligned in memory, expected elements at multiples of their size: pass an \
             array from numpy.empty",
        ));
    }
    if repeats_elements(untyped, size_of::<T>()) {
        return Err(LayoutError::new_err(
            "out repeats elements in memory, expected one place for each element: pass an array from \
             numpy.empty",
        ));
    }
    for operand in operands {
        if operand.shares_with(array.as_untyped(), array.data().addr())? {
            return Err(LayoutError::new_err(format!(
                "out overlaps {} in memory, expected separate arrays: pass a copy or another out",
                operand.name()
            )));
        }
    }
    array.try_readwrite().map_err(|_| {
        LayoutError::new_err(
            "out is in use by another call, expected an array at rest: give each call its own",
        )
    })
}

/// Whether two arrays share an element. Where that is too hard to find out, they may. NumPy, which gives
/// up the interpreter's lock to find out, is asked only where the arrays lie within one another.
fn overlap(
    (one, one_at): (&Bound<'_, PyUntypedArray>, usize),
    (other, other_at): (&Bound<'_, PyUntypedArray>, usize),
) -> PyResult<bool> {
    const MAX_WORK: usize = 10_000;
    let py = one.py();
    let (ours, theirs) = (extent(one, one_at), extent(other, other_at));
    if ours.end <= theirs.start || theirs.end <= ours.start {
        return Ok(false);
    }
    let options = PyDict::new(py);
    options.set_item(intern!(py, "max_work"), MAX_WORK)?;
    let shares = intern!(py, "shares_memory");
    match numpy(py)?.call_method(shares, (one, other), Some(&options)) {
        Ok(answer) => answer.extract(),
        Err(_) => Ok(true),
    }
}

/// A new array for a result. It is not cleared: the engine writes every element.
pub(crate) fn result<'py, T: Number>(
    py: Python<'py>,
    shape: &[usize],
) -> PyResult<Bound<'py, PyArrayDyn<T>>> {
    threadwise_arrays::empty(py, shape)
}

fn numpy(py: Python<'_>) -> PyResult<&Bound<'_, PyAny>> {
    static NUMPY: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let module =
        NUMPY.get_or_try_init(py, || PyResult::Ok(py.import("numpy")?.into_any().unbind()))?;
    Ok(module.bind(py))
}

/// A number of threads, or `None` for the calling thread's budget.
pub(crate) fn threads_argument(
    threads: Option<&Bound<'_, PyAny>>,
) -> PyResult<Option<NonZeroUsize>> {
    let Some(given) = threads else { return Ok(None) };
    let expected = format!("expected a whole number from 1 to {} or None", budget::MOST);
    let is_number = given.hasattr(intern!(given.py(), "__index__"))?;
    if !is_number || given.is_instance_of::<pyo3::types::PyBool>() {
        let kind = given.get_type();
        return Err(DTypeError::new_err(format!(
            "threads is {} (a {}), {expected}",
            given.repr()?,
            kind.name()?
        )));
    }
    match given.extract::<usize>().ok().and_then(NonZeroUsize::new) {
        Some(threads) if threads.get() <= budget::MOST => Ok(Some(threads)),
        _ => Err(DomainError::new_err(format!("threads is {}, {expected}", given.repr()?))),
    }
}

/// How long a product is, in multiply-adds: as long as its own take, or as its bytes take to be moved. One that is
/// written takes about as long as one multiply-add, one that is read less.
pub(crate) fn product_work(multiply_adds: usize, read: [usize; 2], written: usize) -> usize {
    let read = read[0].saturating_add(read[1]) / 3 * 2;
    multiply_adds.max(read.saturating_add(written))
}

/// The bytes of an array of this shape.
pub(crate) fn bytes<T>(shape: &[usize]) -> usize {
    shape.iter().fold(size_of::<T>(), |bytes, &extent| bytes.saturating_mul(extent))
}

/// Runs `work` with the context of this call. If it is long, it runs without the interpreter's lock, so
/// that other Python threads go on, and stops when a signal handler raises, as Ctrl-C's does.
///
/// `multiply_adds` says how long it is.
pub(crate) fn compute<T: Send>(
    py: Python<'_>,
    threads: Option<&Bound<'_, PyAny>>,
    multiply_adds: usize,
    work: impl FnOnce(&Context<'_>) -> Result<T, Error> + Send,
) -> PyResult<T> {
    let isa = Isa::current().map_err(raise)?;
    let asked = threads_argument(threads)?;
    if multiply_adds < WORTH_DETACHING {
        budget::check_environment().map_err(raise)?;
        let (threads, interrupt, distribution) = (1, Interrupt::never(), None);
        return work(&Context { isa, threads, interrupt, distribution }).map_err(raise);
    }
    let threads = match asked {
        Some(threads) => threads.get(),
        None => budget::threads().map_err(raise)?.0,
    };
    let signal = Mutex::new(None);
    let outcome = py.detach(|| {
        #[expect(
            clippy::redundant_closure_for_method_calls,
            reason = "the method itself is not general enough in its lifetime"
        )]
        let check = || {
            // Python runs signal handlers on the main thread only; others need not take its lock.
            if !topology::is_main_thread() {
                return false;
            }
            match Python::attach(|py| py.check_signals()) {
                Ok(()) => false,
                Err(raised) => {
                    *signal.lock().unwrap_or_else(PoisonError::into_inner) = Some(raised);
                    true
                }
            }
        };
        let interrupt = Interrupt::when(&check);
        work(&Context { isa, threads, interrupt, distribution: None })
    });
    match signal.into_inner().unwrap_or_else(PoisonError::into_inner) {
        Some(raised) => Err(raised),
        None => outcome.map_err(raise),
    }
}

/// The Python exception for an error of the engine.
pub(crate) fn raise(error: impl Into<Error>) -> PyErr {
    let error = error.into();
    let sentence = error.to_string();
    match error.innermost() {
        Error::Axes { .. }
        | Error::Extents(_)
        | Error::Broadcast { .. }
        | Error::Out { .. }
        | Error::Part { .. }
        | Error::TooLarge(_) => ShapeError::new_err(sentence),
        Error::Domain { .. }
        | Error::Count { .. }
        | Error::NotFinite { .. }
        | Error::Cosine(_)
        | Error::Isa(_)
        | Error::Node(_)
        | Error::Threads(_) => DomainError::new_err(sentence),
        Error::Memory(_) => PyMemoryError::new_err(sentence),
        Error::Ranks(_) => CommunicationError::new_err(sentence),
        Error::Store(StoreError::Io { .. }) => StorageError::new_err(sentence),
        Error::Store(_) => FormatError::new_err(sentence),
        // An interruption comes with the signal handler's exception, which `compute` raises.
        _ => PyRuntimeError::new_err(sentence),
    }
}
