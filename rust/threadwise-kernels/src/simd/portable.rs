//! Lanes without a vector unit: an array, which the compiler vectorizes for the target's baseline.

use super::{Arithmetic, Element, Lanes};
use crate::Activation;

/// `N` elements, each operation a loop over them.
#[derive(Clone, Copy)]
pub(crate) struct Portable<T, const N: usize>(pub(super) [T; N]);

impl<T: Element, const N: usize> Portable<T, N> {
    #[inline(always)]
    fn zip(self, other: Self, f: impl Fn(T, T) -> T) -> Self {
        Self(std::array::from_fn(|i| f(self.0[i], other.0[i])))
    }
}

impl<T: Element, const N: usize> Lanes for Portable<T, N> {
    type Element = T;
    type Proof = ();
    type Mask = usize;
    const COUNT: usize = N;

    #[inline(always)]
    fn splat((): (), x: T) -> Self {
        Self([x; N])
    }

    #[inline(always)]
    fn first((): (), count: usize) -> usize {
        count
    }

    #[inline(always)]
    unsafe fn load((): (), from: *const T) -> Self {
        // SAFETY: the caller's promise: N readable elements; an array needs no more alignment.
        Self(unsafe { *from.cast::<[T; N]>() })
    }

    #[inline(always)]
    unsafe fn load_first((): (), count: usize, from: *const T) -> Self {
        if count == N {
            // SAFETY: the caller's promise, for all N lanes.
            return unsafe { Self::load((), from) };
        }
        let mut lanes = [T::default(); N];
        // SAFETY: the caller's promise: `count` readable elements.
        let source = unsafe { std::slice::from_raw_parts(from, count) };
        lanes[..count].copy_from_slice(source);
        Self(lanes)
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut T) {
        // SAFETY: the caller's promise: N writable elements.
        unsafe { to.cast::<[T; N]>().write(self.0) };
    }

    #[inline(always)]
    unsafe fn store_first(self, count: usize, to: *mut T) {
        for (i, &lane) in self.0[..count].iter().enumerate() {
            // SAFETY: i < count, and the caller promises `count` writable elements.
            let place = unsafe { to.add(i) };
            // SAFETY: `place` is one of them.
            unsafe { place.write(lane) };
        }
    }

    #[inline(always)]
    unsafe fn transpose((): (), from: *const T, from_row: isize, to: *mut T, to_row: isize) {
        // SAFETY: passed on.
        unsafe { Self::transpose_first((), from, from_row, to, to_row, (N, N), false) }
    }

    #[inline(always)]
    unsafe fn transpose_first(
        (): (),
        from: *const T,
        from_row: isize,
        to: *mut T,
        to_row: isize,
        (rows, columns): (usize, usize),
        fills: bool,
    ) {
        for i in 0..if fills { N } else { rows } {
            for j in 0..columns {
                let from = from.wrapping_offset(i as isize * from_row).wrapping_add(j);
                let to = to.wrapping_offset(j as isize * to_row).wrapping_add(i);
                // SAFETY: element (i, j) of those that the caller promises.
                let x = if i < rows { unsafe { *from } } else { T::default() };
                // SAFETY: its place among the transposed ones.
                unsafe { to.write(x) };
            }
        }
    }

    #[inline(always)]
    fn prefetch(_: *const T) {}

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        self.zip(other, |x, y| x + y)
    }

    #[inline(always)]
    fn mul_add(self, factor: Self, addend: Self) -> Self {
        Self(std::array::from_fn(|i| self.0[i] * factor.0[i] + addend.0[i]))
    }

    #[inline(always)]
    fn total(self) -> T {
        self.0.into_iter().fold(T::default(), |sum, x| sum + x)
    }

    #[inline(always)]
    fn activate(self, (): (), activation: Activation) -> Self {
        Self(self.0.map(|x| x.activate(activation)))
    }
}

impl<T: Element, const N: usize> Arithmetic for Portable<T, N> {
    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        self.zip(other, |x, y| x - y)
    }

    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        self.zip(other, |x, y| x * y)
    }

    #[inline(always)]
    fn div(self, other: Self) -> Self {
        self.zip(other, |x, y| x / y)
    }

    #[inline(always)]
    fn sqrt(self) -> Self {
        // Rounded once: a root of double precision has digits enough for any narrower one.
        Self(self.0.map(|x| T::from_f64(x.to_f64().sqrt())))
    }

    #[inline(always)]
    fn max(self, other: Self) -> Self {
        self.zip(other, |x, y| if x > y { x } else { y })
    }

    #[inline(always)]
    fn min(self, other: Self) -> Self {
        self.zip(other, |x, y| if x < y { x } else { y })
    }

    #[inline(always)]
    fn largest(self) -> T {
        self.0.into_iter().fold(self.0[0], |largest, x| if x > largest { x } else { largest })
    }

    #[inline(always)]
    fn round(self) -> Self {
        Self(self.0.map(|x| T::from_f64(x.to_f64().round_ties_even())))
    }

    #[inline(always)]
    fn scale(self, n: Self) -> Self {
        // In two halves, so that neither power leaves the range of double precision.
        let scaled = |x: f64, n: f64| {
            let half = (n / 2.0).floor();
            x * half.exp2() * (n - half).exp2()
        };
        self.zip(n, |x, n| T::from_f64(scaled(x.to_f64(), n.to_f64())))
    }

    #[inline(always)]
    fn select_less(self, other: Self, then: Self, otherwise: Self) -> Self {
        let select = |i| if self.0[i] < other.0[i] { then.0[i] } else { otherwise.0[i] };
        Self(std::array::from_fn(select))
    }
}
