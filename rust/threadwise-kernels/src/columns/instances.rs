//! The loops, compiled for each instruction set.

use super::moments::{self, Extremes, Moments};
use super::windows::{self, Statistic};
use crate::Isa;
use crate::element::Element;

/// # Safety
///
/// The CPU has the instruction set of the function; so of the ones below.
type MomentsFn<T> = unsafe fn(&[T], &[T], &mut Moments);
type ExtremesFn<T> = unsafe fn(&[T], &mut Extremes<T>);
type ScaledFn<T> = unsafe fn(&[T], &[f64], &[f64], &mut [T]);
type WindowsFn<const LANES: usize> =
    unsafe fn(Statistic, &mut [[f64; LANES]], &mut [[f64; LANES]], &mut [[f64; LANES]]);

/// The kernels of columns for one number type on one instruction set.
#[derive(Clone, Copy, Debug)]
pub struct Columns<T: 'static> {
    moments: MomentsFn<T>,
    extremes: ExtremesFn<T>,
    scaled: ScaledFn<T>,
}

impl<T: Element> Columns<T> {
    /// Those on `isa`.
    #[must_use]
    pub fn new(isa: Isa) -> Self {
        match isa {
            Isa::Scalar => {
                Self { moments: plain::moments, extremes: plain::extremes, scaled: plain::scaled }
            }
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2(_) => {
                Self { moments: avx2::moments, extremes: avx2::extremes, scaled: avx2::scaled }
            }
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512(_) | Isa::Amx(_) => Self {
                moments: avx512::moments,
                extremes: avx512::extremes,
                scaled: avx512::scaled,
            },
        }
    }

    /// What is true of the columns of rows as long as `first`, whose numbers they are compared with.
    ///
    /// # Panics
    ///
    /// If rows have no columns, they are not whole, or `found` has not their columns.
    pub fn moments(&self, rows: &[T], first: &[T], found: &mut Moments) {
        whole(rows.len(), first.len());
        assert_eq!(found.mean.len(), first.len(), "columns");
        // SAFETY: a kernel is only made with the proof of its instruction set.
        unsafe { (self.moments)(rows, first, found) }
    }

    /// Puts the least and the largest numbers of rows to those that are known.
    ///
    /// # Panics
    ///
    /// If rows have no columns or are not whole.
    pub fn extremes(&self, rows: &[T], found: &mut Extremes<T>) {
        whole(rows.len(), found.least.len());
        // SAFETY: a kernel is only made with the proof of its instruction set.
        unsafe { (self.extremes)(rows, found) }
    }

    /// out = (x − shift)/scale, in double precision, rounded once to T.
    ///
    /// # Panics
    ///
    /// If rows have no columns or are not whole, or `out` is not as long.
    pub fn scaled(&self, rows: &[T], shift: &[f64], scale: &[f64], out: &mut [T]) {
        whole(rows.len(), shift.len());
        assert_eq!((shift.len(), rows.len()), (scale.len(), out.len()), "a place for each number");
        // SAFETY: a kernel is only made with the proof of its instruction set.
        unsafe { (self.scaled)(rows, shift, scale, out) }
    }
}

fn whole(numbers: usize, width: usize) {
    assert!(width > 0 && numbers.is_multiple_of(width), "{numbers} numbers in rows of {width}");
}

/// The kernel of windows in so many series at once.
#[derive(Clone, Copy, Debug)]
pub struct Windows<const LANES: usize> {
    run: WindowsFn<LANES>,
}

impl<const LANES: usize> Windows<LANES> {
    /// That on `isa`.
    #[must_use]
    pub fn new(isa: Isa) -> Self {
        let run: WindowsFn<LANES> = match isa {
            Isa::Scalar => plain::windows,
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2(_) => avx2::windows,
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512(_) | Isa::Amx(_) => avx512::windows,
        };
        Self { run }
    }

    /// Puts the statistic of the windows that begin in each row of a block, and are as long as it, in the place of the
    /// row. `next` are the rows behind; it and `squares` hold nothing of use afterwards.
    ///
    /// # Panics
    ///
    /// If there are not as many rows behind as in the block, or in `squares`.
    pub fn run(
        &self,
        statistic: Statistic,
        block: &mut [[f64; LANES]],
        next: &mut [[f64; LANES]],
        squares: &mut [[f64; LANES]],
    ) {
        let rows = block.len();
        assert_eq!((next.len(), squares.len()), (rows, rows), "blocks of {rows} rows");
        // SAFETY: a kernel is only made with the proof of its instruction set.
        unsafe { (self.run)(statistic, block, next, squares) }
    }
}

/// The loops on one instruction set.
macro_rules! compiled {
    ($name:ident, $says:literal $(, $feature:literal)?) => {
        mod $name {
            use super::*;

            /// # Safety
            ///
            #[doc = $says]
            $(#[target_feature(enable = $feature)])?
            pub(super) unsafe fn moments<T: Element>(rows: &[T], first: &[T], found: &mut Moments) {
                moments::moments(rows, first, found);
            }

            /// # Safety
            ///
            #[doc = $says]
            $(#[target_feature(enable = $feature)])?
            pub(super) unsafe fn extremes<T: Element>(rows: &[T], found: &mut Extremes<T>) {
                moments::extremes(rows, found);
            }

            /// # Safety
            ///
            #[doc = $says]
            $(#[target_feature(enable = $feature)])?
            pub(super) unsafe fn scaled<T: Element>(
                rows: &[T],
                shift: &[f64],
                scale: &[f64],
                out: &mut [T],
            ) {
                moments::scaled(rows, shift, scale, out);
            }

            /// # Safety
            ///
            #[doc = $says]
            $(#[target_feature(enable = $feature)])?
            pub(super) unsafe fn windows<const LANES: usize>(
                statistic: Statistic,
                block: &mut [[f64; LANES]],
                next: &mut [[f64; LANES]],
                squares: &mut [[f64; LANES]],
            ) {
                windows::windows(statistic, block, next, squares);
            }
        }
    };
}

compiled!(plain, "Any CPU will do.");
#[cfg(target_arch = "x86_64")]
compiled!(avx2, "The CPU has AVX2 and FMA.", "avx2,fma");
#[cfg(target_arch = "x86_64")]
compiled!(avx512, "The CPU has AVX-512 F, BW, DQ and VL.", "avx512f,avx512bw,avx512dq,avx512vl");
