//! Products of matrices that are contiguous by rows, and so small that to plan them would take a good part of their time.

use ndarray::{ArrayView2, ArrayViewMut2};
use threadwise_kernels::Isa;
use threadwise_runtime::budget;

use super::Real;
use super::plan;
use super::product::alone;
use crate::Error;
use crate::error::Shape;

/// Elements of a result that [`tiny`] has room for, and terms of each.
const TINY: usize = 1024;

/// Whether a product of m×k by k×n, all contiguous by rows, is so small that [`tiny`] is for it.
#[must_use]
pub fn is_tiny(m: usize, k: usize, n: usize) -> bool {
    let elements = m.saturating_mul(n);
    elements <= TINY && is_small(m, k, n)
}

/// Whether it is so small that [`small`] is for it, if it is one thread's.
#[must_use]
pub fn is_small(m: usize, k: usize, n: usize) -> bool {
    k <= TINY && plan::is_small(m, k, n)
}

/// `a @ b` for matrices that are [tiny](is_tiny), handed to `take`: no memory is allocated and nothing is
/// planned.
///
/// # Errors
///
/// If shapes do not fit, or an environment variable of threadwise makes no sense.
pub fn tiny<T: Real, R>(
    a: ArrayView2<'_, T>,
    b: ArrayView2<'_, T>,
    take: impl FnOnce(ArrayView2<'_, T>) -> R,
) -> Result<R, Error> {
    // Rooms of two sizes, because to clear the large one takes as long as the smallest products.
    const SMALL: usize = 64;
    if a.nrows() * b.ncols() <= SMALL {
        in_room(&mut [T::default(); SMALL], a, b, take)
    } else {
        in_room(&mut [T::default(); TINY], a, b, take)
    }
}

/// `c = a @ b` for matrices that are [small](is_small), and a C that has as many elements: nothing is planned.
///
/// # Errors
///
/// As [`tiny`].
pub fn small<T: Real>(
    a: ArrayView2<'_, T>,
    b: ArrayView2<'_, T>,
    c: &mut [T],
) -> Result<(), Error> {
    in_room(c, a, b, |_| ())
}

fn in_room<T: Real, R>(
    room: &mut [T],
    a: ArrayView2<'_, T>,
    b: ArrayView2<'_, T>,
    take: impl FnOnce(ArrayView2<'_, T>) -> R,
) -> Result<R, Error> {
    budget::check_environment()?;
    let (m, n) = (a.nrows(), b.ncols());
    let too_large = || Error::TooLarge(Shape(vec![m, n]));
    let room = room.get_mut(..m * n).ok_or_else(too_large)?;
    let c = ArrayViewMut2::from_shape((m, n), &mut *room).map_err(|_| too_large())?;
    alone(&T::gemm(Isa::current()?), a, b, c)?;
    Ok(take(ArrayView2::from_shape((m, n), room).map_err(|_| too_large())?))
}
