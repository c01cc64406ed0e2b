//! Arrays of any number of axes as stacks of matrices.

use half::{bf16, f16};
use numpy::PyReadwriteArrayDyn;
use numpy::ndarray::{
    Array, ArrayView3, ArrayViewD, ArrayViewMut2, ArrayViewMut3, ArrayViewMutD, Axis, CowArray, Ix3,
};
use pyo3::prelude::*;
use threadwise::Error;
use threadwise::quant::Numbers;

use crate::dtype::{Factor, Number};
use crate::seam::{Borrowed, Lent, Operand, ShapeError};

type Object<'py> = Bound<'py, PyAny>;

/// Extents as matrices: a row is a matrix of one.
pub(super) fn extents(shape: &[usize]) -> (usize, usize, usize) {
    match *shape {
        [] => (1, 1, 1),
        [columns] => (1, 1, columns),
        [ref leading @ .., rows, columns] => (leading.iter().product(), rows, columns),
    }
}

/// An array as a stack of matrices; copied where it has more axes, and gaps.
pub(super) fn stack<T: Clone>(view: ArrayViewD<'_, T>) -> PyResult<CowArray<'_, T, Ix3>> {
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
pub(super) fn matrices<'a, T: Number>(
    lent: &'a mut PyReadwriteArrayDyn<'_, T>,
) -> PyResult<ArrayViewMut3<'a, T>> {
    let view = lent.as_array_mut();
    let shape = extents(view.shape());
    view.into_shape_with_order(shape).map_err(|error| ShapeError::new_err(error.to_string()))
}

/// Scales or minima of any type.
pub(super) enum Held<'py> {
    F16(Borrowed<'py, f16>),
    Bf16(Borrowed<'py, bf16>),
    F32(Borrowed<'py, f32>),
}

impl<'py> Held<'py> {
    pub(super) fn new(name: &'static str, given: &Object<'py>) -> PyResult<Self> {
        let numbers = Operand::weight(name, given)?;
        Ok(match numbers.kind {
            Factor::F16 => Self::F16(numbers.borrow()?),
            Factor::Bf16 => Self::Bf16(numbers.borrow()?),
            _ => Self::F32(numbers.borrow()?),
        })
    }

    pub(super) fn lent(&self) -> &dyn Lent {
        match self {
            Self::F16(numbers) => numbers,
            Self::Bf16(numbers) => numbers,
            Self::F32(numbers) => numbers,
        }
    }

    pub(super) fn view(&self) -> PyResult<HeldView<'_>> {
        Ok(match self {
            Self::F16(numbers) => HeldView::F16(stacked(numbers)?),
            Self::Bf16(numbers) => HeldView::Bf16(stacked(numbers)?),
            Self::F32(numbers) => HeldView::F32(stacked(numbers)?),
        })
    }
}

/// The same as a stack of matrices.
pub(super) enum HeldView<'a> {
    F16(CowArray<'a, f16, Ix3>),
    Bf16(CowArray<'a, bf16, Ix3>),
    F32(CowArray<'a, f32, Ix3>),
}

impl HeldView<'_> {
    pub(super) fn matrix(&self, i: usize) -> Numbers<'_> {
        match self {
            Self::F16(numbers) => Numbers::F16(numbers.index_axis(Axis(0), i)),
            Self::Bf16(numbers) => Numbers::Bf16(numbers.index_axis(Axis(0), i)),
            Self::F32(numbers) => Numbers::F32(numbers.index_axis(Axis(0), i)),
        }
    }
}

pub(super) fn stacked<'a, T: Number>(lent: &'a Borrowed<'_, T>) -> PyResult<CowArray<'a, T, Ix3>> {
    stack(lent.view())
}

/// Calls `work` for each matrix of an array, with its number.
pub(super) fn each<T>(
    array: ArrayViewMutD<'_, T>,
    next: &mut usize,
    work: &mut impl FnMut(usize, ArrayViewMut2<'_, T>) -> Result<(), Error>,
) -> Result<(), Error> {
    if array.ndim() == 2 {
        let Ok(matrix) = array.into_dimensionality() else { return Ok(()) };
        *next += 1;
        return work(*next - 1, matrix);
    }
    let mut array = array;
    array.outer_iter_mut().try_for_each(|part| each(part, next, work))
}
