//! Products of few rows with a large B: every element of B is read from memory once and used for all
//! rows, so the speed is that of memory, and B is neither packed nor read in strips.
//!
//! `dots` for a B whose columns are contiguous, `streams` for one whose rows are. `short` is for many rows of few
//! terms, where C is most of the work; `each` for many small products.

/// Calls the instance of a function for a size that is found at run time, at most a limit.
macro_rules! instance {
    ($function:ident [$($of:ident)*] $at:literal ($($argument:expr),*)) => {
        // SAFETY: the instance for the size that was asked for; the rest is passed on.
        unsafe { $function::<$($of,)* $at>($($argument),*) }
    };
    ($size:expr, $limit:expr, [$($at:literal)*], $function:ident $of:tt $arguments:tt) => {
        match $size {
            $($at if $at <= $limit => instance!($function $of $at $arguments),)*
            size => debug_assert!(false, "no instance for {size}"),
        }
    };
}

mod dots;
mod each;
mod short;
mod streams;

use std::marker::PhantomData;
use std::mem::MaybeUninit;

use crate::Activation;
use crate::simd::Lanes;
pub(super) use each::Each;
pub(super) use short::{Short, ShortFn};

/// A product of few rows, or few terms. Strides count elements.
pub(super) struct Few<T> {
    /// Number of terms, k.
    pub(super) depth: usize,
    /// Number of rows of A and C, at least one.
    pub(super) rows: usize,
    /// Number of columns.
    pub(super) columns: usize,
    /// The first row of A.
    pub(super) a: *const T,
    /// From a row of A to the next.
    pub(super) a_row: isize,
    /// From a column of A to the next; dots need 1.
    pub(super) a_step: isize,
    /// The first element of B.
    pub(super) b: *const T,
    /// From a column of B to the next for dots, whose columns are contiguous; from a row to the next
    /// for streams, whose rows are.
    pub(super) b_stride: isize,
    /// The first element of C.
    pub(super) c: *mut T,
    /// From a row of C to the next.
    pub(super) c_row: isize,
    /// From a column of C to the next; streams, and bias and activation, need 1.
    pub(super) c_step: isize,
    /// Whether the product is added to C or replaces it; if it replaces it, C is not read.
    pub(super) accumulate: bool,
    /// One summand a column, or null.
    pub(super) bias: *const T,
    /// Applied last, if any.
    pub(super) activation: Option<Activation>,
}

impl<T> Few<T> {
    /// Where row `i` of A begins.
    #[inline(always)]
    fn a(&self, i: usize) -> *const T {
        self.a.wrapping_offset(i as isize * self.a_row)
    }

    /// Where row `i` of C begins.
    #[inline(always)]
    fn c(&self, i: usize) -> *mut T {
        self.c.wrapping_offset(i as isize * self.c_row)
    }

    /// Where what follows each other at `b_stride` begins, the `i`th time.
    #[inline(always)]
    fn b(&self, i: usize) -> *const T {
        self.b.wrapping_offset(i as isize * self.b_stride)
    }

    /// Where group `i` of the rows begins, if groups are as even as possible and have at most `limit`
    /// rows; behind the last group, the number of rows.
    #[inline(always)]
    const fn group(&self, i: usize, limit: usize) -> usize {
        i * self.rows / self.rows.div_ceil(limit)
    }
}

/// Computes C.
///
/// # Safety
///
/// The CPU has the instruction set of the kernel that the function belongs to. All elements of A (rows ×
/// depth) and B (depth × columns) are readable at the strides given; `bias + j` is for each column j if
/// `bias` is not null; all elements of C are writable, and no other reference to them is in use.
pub(super) type FewFn<T> = unsafe fn(&Few<T>);

/// The same of all products.
pub(super) type EachFn<T> = unsafe fn(&Each<T>);

/// The functions of one instruction set. The numbers are all numbers of rows that dots hold in registers; those that
/// streams do, and vectors of each of more than three rows; rows of short products of one vector and of two, rows and
/// vectors of the strips of wider ones; rows of small products.
macro_rules! instantiate {
    (
        $module:ident, $proof:ty, $assume:expr, [$($dots:literal)*], [$($streams:literal)*], $wide:literal,
        $slim:literal, $half:literal, [$($high:literal)*], $strip:literal, $each:literal,
        $(#[$attribute:meta])*
    ) => {
        pub(super) mod $module {
            use super::super::pack::{CopyFn, SquaresFn, copy as copy_rows, transpose};
            use super::{Each, EachFn, Few, FewFn, Lanes, MaybeUninit, PhantomData, streams};
            use super::dots::{Part, RowsFn};
            use super::short::{Columns, RowsFn as ShortRowsFn};
            use super::{Short, ShortFn};

            pub(in super::super) struct Functions<V>(PhantomData<V>);

            impl<V: Lanes<Proof = $proof>> Functions<V> {
                pub(in super::super) const DOTS: FewFn<V::Element> = dots::<V>;
                pub(in super::super) const STREAMS: FewFn<V::Element> = by_streams::<V>;
                pub(in super::super) const SHORT: ShortFn<V::Element> = short::<V>;
                pub(in super::super) const EACH: EachFn<V::Element> = each::<V>;
                pub(in super::super) const EACH_BY_DOTS: EachFn<V::Element> = each_by_dots::<V>;
                pub(in super::super) const SQUARES: SquaresFn<V::Element> = squares::<V>;
                pub(in super::super) const COPY: CopyFn<V::Element> = copy::<V>;
            }

            /// # Safety
            ///
            /// As [`SquaresFn`] says, on a CPU with this instruction set.
            $(#[$attribute])*
            unsafe fn squares<V: Lanes<Proof = $proof>>(
                from: (*const V::Element, isize),
                to: (*mut V::Element, isize),
                size: (usize, usize),
                fills: bool,
            ) {
                // SAFETY: the caller promises the instruction set.
                let proof = unsafe { $assume };
                // SAFETY: passed on from the caller.
                unsafe { transpose::<V>(proof, from, to, size, fills) }
            }

            /// # Safety
            ///
            /// As [`CopyFn`] says, on a CPU with this instruction set.
            $(#[$attribute])*
            unsafe fn copy<V: Lanes<Proof = $proof>>(
                from: (*const V::Element, isize),
                to: (*mut V::Element, isize),
                size: (usize, usize),
                fills: bool,
            ) {
                // SAFETY: the caller promises the instruction set.
                let proof = unsafe { $assume };
                // SAFETY: passed on from the caller.
                unsafe { copy_rows::<V>(proof, from, to, size, fills) }
            }

            /// # Safety
            ///
            /// As `super::dots::dots` says, on a CPU with this instruction set.
            $(#[$attribute])*
            unsafe fn dots<V: Lanes<Proof = $proof>>(few: &Few<V::Element>) {
                // SAFETY: the caller promises the instruction set.
                let proof = unsafe { $assume };
                // SAFETY: passed on from the caller.
                unsafe { super::dots::dots::<V, DOTS>(proof, few, const { &rows::<V>() }) }
            }

            const fn rows<V: Lanes<Proof = $proof>>() -> [RowsFn<V::Element>; DOTS] {
                [$(some_rows::<V, $dots>),*]
            }

            /// Rows that dots hold in registers.
            const DOTS: usize = [$($dots),*].len();

            /// # Safety
            ///
            /// As `super::dots::rows` says, on a CPU with this instruction set.
            $(#[$attribute])*
            unsafe fn some_rows<V: Lanes<Proof = $proof>, const M: usize>(
                few: &Few<V::Element>,
                part: Part,
            ) {
                // SAFETY: the caller promises the instruction set.
                let proof = unsafe { $assume };
                // SAFETY: passed on from the caller.
                unsafe { super::dots::rows::<V, M>(proof, few, part) }
            }

            /// # Safety
            ///
            /// As `super::streams::streams` says, on a CPU with this instruction set.
            $(#[$attribute])*
            unsafe fn by_streams<V: Lanes<Proof = $proof>>(few: &Few<V::Element>) {
                // SAFETY: passed on from the caller, and the function is of this instruction set.
                unsafe { streams::streams::<V>(few, streams_within::<V>) }
            }

            /// # Safety
            ///
            /// As `super::streams::streams` says, on a CPU with this instruction set.
            $(#[$attribute])*
            unsafe fn streams_within<V: Lanes<Proof = $proof>>(
                few: &Few<V::Element>,
                room: &mut [MaybeUninit<V>],
            ) {
                // SAFETY: the caller promises the instruction set.
                let proof = unsafe { $assume };
                // SAFETY: passed on from the caller.
                unsafe { streams::streams_within::<V, ROWS>(proof, few, const { &adds::<V>() }, room) }
            }

            /// Rows that streams hold in registers.
            const ROWS: usize = [$($streams),*].len();

            const fn adds<V: Lanes<Proof = $proof>>() -> streams::Adds<V, ROWS> {
                use streams::{MANY, ONE, SOME, TOGETHER};
                [
                    (MANY, [$(add::<V, MANY, $streams>),*]),
                    (TOGETHER, [$(add::<V, TOGETHER, $streams>),*]),
                    (SOME, [$(add::<V, SOME, $streams>),*]),
                    (ONE, [$(add::<V, ONE, $streams>),*]),
                ]
            }

            /// # Safety
            ///
            /// As `super::streams::add` says, on a CPU with this instruction set.
            $(#[$attribute])*
            unsafe fn add<V: Lanes<Proof = $proof>, const N: usize, const M: usize>(
                few: &Few<V::Element>,
                part: streams::Part,
                sums: *mut V,
            ) {
                // SAFETY: the caller promises the instruction set.
                let proof = unsafe { $assume };
                // SAFETY: passed on from the caller.
                unsafe { streams::add::<V, $wide, N, M>(proof, few, part, sums) }
            }

            /// # Safety
            ///
            /// As `super::short::short` says, on a CPU with this instruction set.
            $(#[$attribute])*
            unsafe fn short<V: Lanes<Proof = $proof>>(short: &Short<V::Element>) {
                // SAFETY: the caller promises the instruction set.
                let proof = unsafe { $assume };
                // SAFETY: passed on from the caller.
                unsafe {
                    super::short::short::<V, $slim, $half, LOW, SIZES>(
                        proof,
                        short,
                        const { &short_rows::<V>() },
                    );
                }
            }

            const fn short_rows<V: Lanes<Proof = $proof>>() -> [ShortRowsFn<V::Element>; SIZES] {
                [$(some_short_rows::<V, $high>),*]
            }

            /// Rows of wide short products: of how many sizes, and the least.
            const SIZES: usize = [$($high),*].len();
            const LOW: usize = [$($high),*][0];

            /// # Safety
            ///
            /// As `super::short::rows` says, on a CPU with this instruction set.
            $(#[$attribute])*
            unsafe fn some_short_rows<V: Lanes<Proof = $proof>, const M: usize>(
                short: &Short<V::Element>,
                start: usize,
                columns: Columns<V::Element>,
            ) {
                // SAFETY: the caller promises the instruction set.
                let proof = unsafe { $assume };
                // SAFETY: passed on from the caller.
                unsafe { super::short::rows::<V, M, $strip>(proof, short, start, columns) }
            }

            /// # Safety
            ///
            /// As `super::each::each` says, on a CPU with this instruction set.
            $(#[$attribute])*
            unsafe fn each<V: Lanes<Proof = $proof>>(each: &Each<V::Element>) {
                // SAFETY: the caller promises the instruction set.
                let proof = unsafe { $assume };
                // SAFETY: passed on from the caller.
                unsafe { super::each::each::<V, $each>(proof, each) }
            }

            /// # Safety
            ///
            /// As `super::each::each_by_dots` says, on a CPU with this instruction set.
            $(#[$attribute])*
            unsafe fn each_by_dots<V: Lanes<Proof = $proof>>(each: &Each<V::Element>) {
                // SAFETY: the caller promises the instruction set.
                let proof = unsafe { $assume };
                // SAFETY: passed on from the caller.
                unsafe { super::each::each_by_dots::<V, DOTS>(proof, each, const { &rows::<V>() }) }
            }
        }
    };
}

/// What any CPU has.
const unsafe fn nothing() {}

instantiate!(portable, (), super::nothing(), [1 2], [1 2], 2, 2, 2, [2 3 4], 2, 2,);
#[cfg(target_arch = "x86_64")]
instantiate!(
    avx2,
    crate::Avx2,
    crate::Avx2::assume(),
    [1 2 3],
    [1 2 3 4],
    2,
    8,
    4,
    [3 4 5 6],
    2,
    4,
    #[target_feature(enable = "avx2,fma")]
);
#[cfg(target_arch = "x86_64")]
instantiate!(
    avx512,
    crate::Avx512,
    crate::Avx512::assume(),
    [1 2 3 4 5 6],
    [1 2 3 4 5 6 7 8],
    3,
    16,
    8,
    [3 4 5 6],
    4,
    8,
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
);
