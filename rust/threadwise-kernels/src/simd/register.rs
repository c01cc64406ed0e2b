//! Lanes in a register of one instruction set: the same for each of them, but for its names.

/// A type of [`Lanes`](super::Lanes) over intrinsics. Each must do, in the instruction set that the proof
/// stands for, what the method of its name says; arguments come in the order of the AVX2 intrinsics.
macro_rules! register_lanes {
    ($lanes:ident, $element:ty, $count:literal, $register:ty, $mask:ty, $proof:ty, $features:literal, {
        activate: $op:ident, first: $first:ident,
        splat: $splat:ident, load: $load:ident, load_first: $load_first:ident,
        store: $store:ident, store_first: $store_first:ident, add: $add:ident, sub: $sub:ident,
        mul: $mul:ident, div: $div:ident, sqrt: $sqrt:ident, mul_add: $mul_add:ident, max: $max:ident,
        min: $min:ident, round: $round:ident, scale: $scale:ident, less: $less:ident,
        blend: $blend:ident, total: $total:ident, totals: $totals:ident,
        largest: $largest:ident, transposed: $transposed:ident,
    }) => {
        #[doc = concat!(stringify!($count), " lanes of `", stringify!($element), "`.")]
        #[derive(Clone, Copy)]
        pub(crate) struct $lanes(pub(crate) $register);

        /// The activation of every lane: a function of its own, because a product's tiles call it
        /// from many places and seldom.
        #[inline(never)]
        #[target_feature(enable = $features)]
        fn $op(proof: $proof, x: $lanes, activation: Activation) -> $lanes {
            activation::lanes::activate(proof, x, activation)
        }

        impl Lanes for $lanes {
            type Element = $element;
            type Proof = $proof;
            type Mask = $mask;
            const COUNT: usize = $count;

            #[inline(always)]
            fn splat(_: $proof, x: $element) -> Self {
                // SAFETY: the token proves the instruction set.
                Self(unsafe { $splat(x) })
            }

            #[inline(always)]
            fn first(_: $proof, count: usize) -> $mask {
                debug_assert!(count <= $count, "a mask of {count} lanes out of {}", $count);
                // SAFETY: the token proves the instruction set.
                unsafe { $first(count) }
            }

            #[inline(always)]
            unsafe fn load(_: $proof, from: *const $element) -> Self {
                // SAFETY: the token proves the instruction set; the caller promises a full register to read.
                Self(unsafe { $load(from) })
            }

            #[inline(always)]
            unsafe fn load_first(_: $proof, mask: $mask, from: *const $element) -> Self {
                // SAFETY: the token proves the instruction set; the caller promises the lanes of the mask, and
                // masked-out lanes are not read.
                Self(unsafe { $load_first(from, mask) })
            }

            #[inline(always)]
            unsafe fn store(self, to: *mut $element) {
                // SAFETY: a value proves the instruction set; the caller promises a full register to write.
                unsafe { $store(to, self.0) }
            }

            #[inline(always)]
            unsafe fn store_first(self, mask: $mask, to: *mut $element) {
                // SAFETY: a value proves the instruction set; the caller promises the lanes of the mask, and
                // masked-out lanes are not written.
                unsafe { $store_first(to, mask, self.0) }
            }

            #[inline(always)]
            unsafe fn transpose(
                proof: $proof,
                from: *const $element,
                from_row: isize,
                to: *mut $element,
                to_row: isize,
            ) {
                let mut rows = [Self::splat(proof, 0.0).0; $count];
                for (i, row) in rows.iter_mut().enumerate() {
                    let from = from.wrapping_offset(i as isize * from_row);
                    // SAFETY: row i of the square.
                    let lanes = unsafe { Self::load(proof, from) };
                    *row = lanes.0;
                }
                // SAFETY: the token proves the instruction set.
                let columns = unsafe { $transposed(&rows) };
                for (j, column) in columns.into_iter().enumerate() {
                    let to = to.wrapping_offset(j as isize * to_row);
                    // SAFETY: row j of the transposed square.
                    unsafe { Self(column).store(to) };
                }
            }

            #[inline(always)]
            unsafe fn transpose_first(
                proof: $proof,
                from: *const $element,
                from_row: isize,
                to: *mut $element,
                to_row: isize,
                (rows, columns): (usize, usize),
                fills: bool,
            ) {
                let mut square = [Self::splat(proof, 0.0).0; $count];
                let mask = Self::first(proof, columns);
                for (i, row) in square.iter_mut().enumerate().take(rows) {
                    let from = from.wrapping_offset(i as isize * from_row);
                    // SAFETY: row i, of which the caller promises as many elements as the mask has lanes.
                    let lanes = unsafe { Self::load_first(proof, mask, from) };
                    *row = lanes.0;
                }
                // SAFETY: the token proves the instruction set.
                let square = unsafe { $transposed(&square) };
                let mask = Self::first(proof, if fills { $count } else { rows });
                for (j, column) in square.into_iter().enumerate().take(columns) {
                    let to = to.wrapping_offset(j as isize * to_row);
                    // SAFETY: row j of the transposed ones, of which the caller promises as many elements.
                    unsafe { Self(column).store_first(mask, to) };
                }
            }

            #[inline(always)]
            fn prefetch(at: *const $element) {
                // SAFETY: every x86-64 CPU has the instruction, and it never faults.
                unsafe { _mm_prefetch::<_MM_HINT_T0>(at.cast()) }
            }

            #[inline(always)]
            fn add(self, other: Self) -> Self {
                // SAFETY: a value proves the instruction set.
                Self(unsafe { $add(self.0, other.0) })
            }

            #[inline(always)]
            fn mul_add(self, factor: Self, addend: Self) -> Self {
                // SAFETY: a value proves the instruction set.
                Self(unsafe { $mul_add(self.0, factor.0, addend.0) })
            }

            #[inline(always)]
            fn total(self) -> $element {
                // SAFETY: a value proves the instruction set.
                unsafe { $total(self.0) }
            }

            #[inline(always)]
            fn totals(four: [Self; 4]) -> [$element; 4] {
                // SAFETY: a value proves the instruction set.
                unsafe { $totals(four.map(|x| x.0)) }
            }

            #[inline(always)]
            fn activate(self, proof: $proof, activation: Activation) -> Self {
                // SAFETY: the token proves the instruction set.
                unsafe { $op(proof, self, activation) }
            }
        }

        impl Arithmetic for $lanes {
            #[inline(always)]
            fn sub(self, other: Self) -> Self {
                // SAFETY: a value proves the instruction set.
                Self(unsafe { $sub(self.0, other.0) })
            }

            #[inline(always)]
            fn mul(self, other: Self) -> Self {
                // SAFETY: a value proves the instruction set.
                Self(unsafe { $mul(self.0, other.0) })
            }

            #[inline(always)]
            fn div(self, other: Self) -> Self {
                // SAFETY: a value proves the instruction set.
                Self(unsafe { $div(self.0, other.0) })
            }

            #[inline(always)]
            fn sqrt(self) -> Self {
                // SAFETY: a value proves the instruction set.
                Self(unsafe { $sqrt(self.0) })
            }

            #[inline(always)]
            fn max(self, other: Self) -> Self {
                // SAFETY: a value proves the instruction set.
                Self(unsafe { $max(self.0, other.0) })
            }

            #[inline(always)]
            fn min(self, other: Self) -> Self {
                // SAFETY: a value proves the instruction set.
                Self(unsafe { $min(self.0, other.0) })
            }

            #[inline(always)]
            fn largest(self) -> $element {
                // SAFETY: a value proves the instruction set.
                unsafe { $largest(self.0) }
            }

            #[inline(always)]
            fn round(self) -> Self {
                // SAFETY: a value proves the instruction set.
                Self(unsafe { $round::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(self.0) })
            }

            #[inline(always)]
            fn scale(self, n: Self) -> Self {
                // SAFETY: a value proves the instruction set.
                Self(unsafe { $scale(self.0, n.0) })
            }

            #[inline(always)]
            fn select_less(self, other: Self, then: Self, otherwise: Self) -> Self {
                // SAFETY: a value proves the instruction set.
                let less = unsafe { $less::<_CMP_LT_OQ>(self.0, other.0) };
                // SAFETY: a value proves the instruction set.
                Self(unsafe { $blend(otherwise.0, then.0, less) })
            }
        }
    };
}

pub(super) use register_lanes;
