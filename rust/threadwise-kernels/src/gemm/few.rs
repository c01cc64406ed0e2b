//! Products of few rows with a large B: every element of B is read once and used a few times, so the
//! speed is that of memory, and B is neither packed nor read in strips.
//!
//! *Dots*, where the columns of B are contiguous: each element of C is a dot product along k, a vector
//! at a time, its lanes summed at the end. *Streams*, where the rows of B are: some rows of B at a time
//! are multiplied with their elements of A and added to all of C, which stays in the nearest cache.

use std::marker::PhantomData;

use crate::Activation;
use crate::simd::Lanes;

/// Rows of A that these kernels take.
pub(super) const ROWS: usize = 4;

/// Columns that a tile of dots has.
pub(super) const COLUMNS: usize = 4;

/// Rows of B that are added to C at a time.
const TOGETHER: usize = 4;

/// Elements of C, over all rows, that are worked on before the next ones: half the nearest cache.
const NEAR: usize = 4096;

/// A product of few rows. Strides count elements.
pub(super) struct Few<T> {
    /// Number of terms, k.
    pub(super) depth: usize,
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
    /// The first element of C; columns are adjacent.
    pub(super) c: *mut T,
    /// From a row of C to the next.
    pub(super) c_row: isize,
    /// Whether the product is added to C or replaces it; if it replaces it, C is not read.
    pub(super) accumulate: bool,
    /// One summand a column, or null.
    pub(super) bias: *const T,
    /// Applied last, if any.
    pub(super) activation: Option<Activation>,
}

/// Computes C for a number of rows that the function fixes.
///
/// # Safety
///
/// The CPU has the instruction set of the kernel that the function belongs to. All elements of A (the
/// function's rows × depth) and B (depth × columns) are readable at the strides given; `bias + j` is for
/// each column j if `bias` is not null; all elements of C are writable, and no other reference to them
/// is in use.
pub(super) type FewFn<T> = unsafe fn(&Few<T>);

/// # Safety
///
/// As [`FewFn`] says, with `M` rows, contiguous rows of A and contiguous columns of B.
#[inline(always)]
unsafe fn dots<V: Lanes, const M: usize>(proof: V::Proof, few: &Few<V::Element>) {
    let mut j = 0;
    while j + COLUMNS <= few.columns {
        // SAFETY: columns j to j + COLUMNS - 1 are within B and C.
        unsafe { dots_tile::<V, M, COLUMNS>(proof, few, j) };
        j += COLUMNS;
    }
    while j < few.columns {
        // SAFETY: column j is within B and C.
        unsafe { dots_tile::<V, M, 1>(proof, few, j) };
        j += 1;
    }
    // SAFETY: passed on.
    unsafe { finish::<V, M>(proof, few) };
}

/// # Safety
///
/// As [`dots`]; columns `first` to `first + N - 1` exist.
#[inline(always)]
unsafe fn dots_tile<V: Lanes, const M: usize, const N: usize>(
    proof: V::Proof,
    few: &Few<V::Element>,
    first: usize,
) {
    let zero = V::splat(proof, V::Element::default());
    let mut sums = [[zero; N]; M];
    let b = few.b.wrapping_offset(first as isize * few.b_stride);
    let whole = few.depth / V::COUNT * V::COUNT;
    let mut p = 0;
    while p < whole {
        for j in 0..N {
            let b = b.wrapping_offset(j as isize * few.b_stride).wrapping_add(p);
            // SAFETY: a full vector of column first + j.
            let right = unsafe { V::load(proof, b) };
            for (i, sums) in sums.iter_mut().enumerate() {
                let a = few.a.wrapping_offset(i as isize * few.a_row).wrapping_add(p);
                // SAFETY: a full vector of row i.
                let left = unsafe { V::load(proof, a) };
                sums[j] = left.mul_add(right, sums[j]);
            }
        }
        p += V::COUNT;
    }
    if whole < few.depth {
        let mask = V::first(proof, few.depth - whole);
        for j in 0..N {
            let b = b.wrapping_offset(j as isize * few.b_stride).wrapping_add(whole);
            // SAFETY: what is left of column first + j.
            let right = unsafe { V::load_first(proof, mask, b) };
            for (i, sums) in sums.iter_mut().enumerate() {
                let a = few.a.wrapping_offset(i as isize * few.a_row).wrapping_add(whole);
                // SAFETY: what is left of row i.
                let left = unsafe { V::load_first(proof, mask, a) };
                sums[j] = left.mul_add(right, sums[j]);
            }
        }
    }
    for (i, sums) in sums.iter().enumerate() {
        for (j, sum) in sums.iter().enumerate() {
            let c = few.c.wrapping_offset(i as isize * few.c_row).wrapping_add(first + j);
            let mut total = sum.total();
            if few.accumulate {
                // SAFETY: element (i, first + j) of C, which holds a sum.
                total = unsafe { *c } + total;
            }
            // SAFETY: the same element.
            unsafe { c.write(total) };
        }
    }
}

/// # Safety
///
/// As [`FewFn`] says, with `M` rows and contiguous rows of B.
#[inline(always)]
unsafe fn streams<V: Lanes, const M: usize>(proof: V::Proof, few: &Few<V::Element>) {
    let mut first = 0;
    while first < few.columns {
        let columns = (NEAR / M).min(few.columns - first);
        let mut p = 0;
        if !few.accumulate {
            // SAFETY: these columns of C.
            unsafe { clear::<V, M>(proof, few, first, columns) };
        }
        while p + TOGETHER <= few.depth {
            // SAFETY: rows p to p + TOGETHER - 1 of B, and these columns of B and C.
            unsafe { add_rows::<V, M, TOGETHER>(proof, few, p, first, columns) };
            p += TOGETHER;
        }
        while p < few.depth {
            // SAFETY: row p of B, and these columns of B and C.
            unsafe { add_rows::<V, M, 1>(proof, few, p, first, columns) };
            p += 1;
        }
        first += columns;
    }
    // SAFETY: passed on.
    unsafe { finish::<V, M>(proof, few) };
}

/// Sets `columns` columns of C from `first` on to zero.
///
/// # Safety
///
/// They are within C.
#[inline(always)]
unsafe fn clear<V: Lanes, const M: usize>(
    proof: V::Proof,
    few: &Few<V::Element>,
    first: usize,
    columns: usize,
) {
    let zero = V::splat(proof, V::Element::default());
    let mut j = 0;
    while j < columns {
        let mask = V::first(proof, V::COUNT.min(columns - j));
        for i in 0..M {
            let c = few.c.wrapping_offset(i as isize * few.c_row).wrapping_add(first + j);
            // SAFETY: as many elements of row i of C as the mask has lanes.
            unsafe { zero.store_first(mask, c) };
        }
        j += V::COUNT;
    }
}

/// Adds `N` rows of B from row `p` on, times their elements of A, to `columns` columns of C.
///
/// # Safety
///
/// These rows and columns exist.
#[inline(always)]
unsafe fn add_rows<V: Lanes, const M: usize, const N: usize>(
    proof: V::Proof,
    few: &Few<V::Element>,
    p: usize,
    first: usize,
    columns: usize,
) {
    let zero = V::splat(proof, V::Element::default());
    let mut left = [[zero; N]; M];
    for (i, left) in left.iter_mut().enumerate() {
        for (q, left) in left.iter_mut().enumerate() {
            let a = few.a.wrapping_offset(i as isize * few.a_row);
            let a = a.wrapping_offset((p + q) as isize * few.a_step);
            // SAFETY: element (i, p + q) of A.
            *left = V::splat(proof, unsafe { *a });
        }
    }
    let b = few.b.wrapping_offset(p as isize * few.b_stride).wrapping_add(first);
    let c = few.c.wrapping_add(first);
    let whole = columns / V::COUNT * V::COUNT;
    let mut j = 0;
    while j < whole {
        let mut sums = [zero; M];
        for (i, sum) in sums.iter_mut().enumerate() {
            let c = c.wrapping_offset(i as isize * few.c_row).wrapping_add(j);
            // SAFETY: a full vector of row i of C.
            *sum = unsafe { V::load(proof, c) };
        }
        for q in 0..N {
            let b = b.wrapping_offset(q as isize * few.b_stride).wrapping_add(j);
            // SAFETY: a full vector of row p + q of B.
            let right = unsafe { V::load(proof, b) };
            for (sum, left) in sums.iter_mut().zip(&left) {
                *sum = left[q].mul_add(right, *sum);
            }
        }
        for (i, sum) in sums.iter().enumerate() {
            let c = c.wrapping_offset(i as isize * few.c_row).wrapping_add(j);
            // SAFETY: a full vector of row i of C.
            unsafe { sum.store(c) };
        }
        j += V::COUNT;
    }
    if whole < columns {
        let mask = V::first(proof, columns - whole);
        for (i, left) in left.iter().enumerate() {
            let c = c.wrapping_offset(i as isize * few.c_row).wrapping_add(whole);
            // SAFETY: what is left of row i of C.
            let mut sum = unsafe { V::load_first(proof, mask, c) };
            for (q, left) in left.iter().enumerate() {
                let b = b.wrapping_offset(q as isize * few.b_stride).wrapping_add(whole);
                // SAFETY: what is left of row p + q of B.
                let right = unsafe { V::load_first(proof, mask, b) };
                sum = left.mul_add(right, sum);
            }
            // SAFETY: what is left of row i of C.
            unsafe { sum.store_first(mask, c) };
        }
    }
}

/// Adds the bias to each row of C and applies the activation.
///
/// # Safety
///
/// As [`FewFn`] says of C and the bias, with `M` rows; C has been written.
#[inline(always)]
unsafe fn finish<V: Lanes, const M: usize>(proof: V::Proof, few: &Few<V::Element>) {
    if few.bias.is_null() && few.activation.is_none() {
        return;
    }
    for i in 0..M {
        let c = few.c.wrapping_offset(i as isize * few.c_row);
        let mut j = 0;
        while j < few.columns {
            let mask = V::first(proof, V::COUNT.min(few.columns - j));
            // SAFETY: as many elements of row i of C as the mask has lanes.
            let mut x = unsafe { V::load_first(proof, mask, c.wrapping_add(j)) };
            if !few.bias.is_null() {
                // SAFETY: not null, so there is one summand a column.
                x = x.add(unsafe { V::load_first(proof, mask, few.bias.wrapping_add(j)) });
            }
            if let Some(activation) = few.activation {
                x = x.activate(proof, activation);
            }
            // SAFETY: as above.
            unsafe { x.store_first(mask, c.wrapping_add(j)) };
            j += V::COUNT;
        }
    }
}

/// The functions of one instruction set, for 1 to [`ROWS`] rows.
macro_rules! instantiate {
    ($module:ident, $proof:ty, $assume:expr, $(#[$attribute:meta])*) => {
        pub(super) mod $module {
            use super::super::pack::SquareFn;
            use super::{Few, FewFn, Lanes, PhantomData, ROWS};

            pub(in super::super) struct Functions<V>(PhantomData<V>);

            impl<V: Lanes<Proof = $proof>> Functions<V> {
                pub(in super::super) const DOTS: &'static [FewFn<V::Element>; ROWS] =
                    &[dots::<V, 1>, dots::<V, 2>, dots::<V, 3>, dots::<V, 4>];
                pub(in super::super) const STREAMS: &'static [FewFn<V::Element>; ROWS] =
                    &[streams::<V, 1>, streams::<V, 2>, streams::<V, 3>, streams::<V, 4>];
            }

            impl<V: Lanes<Proof = $proof>> Functions<V> {
                pub(in super::super) const SQUARE: SquareFn<V::Element> = square::<V>;
            }

            /// # Safety
            ///
            /// As [`Lanes::transpose`] says, on a CPU with this instruction set.
            $(#[$attribute])*
            unsafe fn square<V: Lanes<Proof = $proof>>(
                from: *const V::Element,
                from_row: isize,
                to: *mut V::Element,
                to_row: isize,
            ) {
                // SAFETY: the caller promises the instruction set.
                let proof = unsafe { $assume };
                // SAFETY: passed on from the caller.
                unsafe { V::transpose(proof, from, from_row, to, to_row) }
            }

            /// # Safety
            ///
            /// As `super::dots` says, on a CPU with this instruction set.
            $(#[$attribute])*
            unsafe fn dots<V: Lanes<Proof = $proof>, const M: usize>(few: &Few<V::Element>) {
                // SAFETY: the caller promises the instruction set.
                let proof = unsafe { $assume };
                // SAFETY: passed on from the caller.
                unsafe { super::dots::<V, M>(proof, few) }
            }

            /// # Safety
            ///
            /// As `super::streams` says, on a CPU with this instruction set.
            $(#[$attribute])*
            unsafe fn streams<V: Lanes<Proof = $proof>, const M: usize>(few: &Few<V::Element>) {
                // SAFETY: the caller promises the instruction set.
                let proof = unsafe { $assume };
                // SAFETY: passed on from the caller.
                unsafe { super::streams::<V, M>(proof, few) }
            }
        }
    };
}

/// What any CPU has.
const unsafe fn nothing() {}

instantiate!(portable, (), super::nothing(),);
#[cfg(target_arch = "x86_64")]
instantiate!(
    avx2,
    crate::Avx2,
    crate::Avx2::assume(),
    #[target_feature(enable = "avx2,fma")]
);
#[cfg(target_arch = "x86_64")]
instantiate!(
    avx512,
    crate::Avx512,
    crate::Avx512::assume(),
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
);
