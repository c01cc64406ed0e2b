//! Units: the 32 bits that a product of narrow numbers takes from an operand at a time.

/// A register of units, or of the sums of their products, which are as wide.
///
/// A value can only be made with a [`Units::Proof`], which exists only where the CPU has the
/// instructions: operations on values are therefore safe. In memory units are `u32`.
pub(super) trait Units: Copy {
    /// The capability token of the instruction set.
    type Proof: Copy;
    /// What the sums are: `f32` or `i32`.
    type Sum: Copy + Default;
    /// Units in a register.
    const COUNT: usize;
    /// Elements in a unit.
    const GROUP: usize;
    /// What is flipped in every unit of a left operand. If it is not 0, the left operand is 128 too large
    /// in each element, and sums begin with −128·Σb.
    const FLIP: u32 = 0;

    /// `unit` in each place.
    fn splat(proof: Self::Proof, unit: u32) -> Self;

    /// Reads `COUNT` units.
    ///
    /// # Safety
    ///
    /// `from` is valid for reading them; it need not be aligned.
    unsafe fn load(proof: Self::Proof, from: *const u32) -> Self;

    /// Writes `COUNT` units.
    ///
    /// # Safety
    ///
    /// `to` is valid for writing them; it need not be aligned.
    unsafe fn store(self, to: *mut u32);

    /// Reads the first `count` units, at most as many as there are; the others are zero.
    ///
    /// # Safety
    ///
    /// `from` is valid for reading them.
    unsafe fn load_first(proof: Self::Proof, from: *const u32, count: usize) -> Self;

    /// Writes the first `count` units, at most as many as there are.
    ///
    /// # Safety
    ///
    /// `to` is valid for writing them.
    unsafe fn store_first(self, to: *mut u32, count: usize);

    /// Copies a square of `COUNT` by `COUNT` units, rows to columns: unit (i, j), at `from + i·from_row + j`,
    /// goes to `to + j·to_row + i`.
    ///
    /// # Safety
    ///
    /// All these units are readable, and writable, respectively.
    unsafe fn transpose(
        proof: Self::Proof,
        from: *const u32,
        from_row: usize,
        to: *mut u32,
        to_row: usize,
    );

    /// `sums` plus the products of the units of a left operand with those of a right one.
    fn dot(self, right: Self, sums: Self) -> Self;

    /// The sum of two registers of sums.
    fn add(self, other: Self) -> Self;

    /// The sum of all sums, in an order that is fixed for the instruction set.
    fn total(self) -> Self::Sum;
}

/// How units are made of elements of `E`, which are widened on the way if the units hold wider ones.
pub(super) trait Fetch<E: Copy + Default>: Units {
    /// Units of `COUNT · GROUP` elements that follow one another.
    ///
    /// # Safety
    ///
    /// `from` is valid for reading them.
    unsafe fn along(proof: Self::Proof, from: *const E) -> Self;

    /// Units of `GROUP` rows of `COUNT` elements: element j of each row goes into unit j.
    ///
    /// # Safety
    ///
    /// `from + i·row` is valid for reading `COUNT` elements, i < `GROUP`.
    unsafe fn across(proof: Self::Proof, from: *const E, row: isize) -> Self;

    /// [`Fetch::along`] of the first `count` elements, at most as many; the others are zero.
    ///
    /// # Safety
    ///
    /// `from` is valid for reading them.
    #[inline(always)]
    unsafe fn along_first(proof: Self::Proof, from: *const E, count: usize) -> Self {
        let mut elements = [E::default(); MOST];
        for (i, element) in elements.iter_mut().enumerate().take(count) {
            // SAFETY: an element that the caller promises.
            *element = unsafe { *from.wrapping_add(i) };
        }
        // SAFETY: more elements than a register takes.
        unsafe { Self::along(proof, elements.as_ptr()) }
    }

    /// [`Fetch::across`] of the first `columns` elements of the first `rows` rows; the others are zero.
    ///
    /// # Safety
    ///
    /// `from + i·row` is valid for reading `columns` elements, i < `rows`.
    #[inline(always)]
    unsafe fn across_first(
        proof: Self::Proof,
        from: *const E,
        row: isize,
        (rows, columns): (usize, usize),
    ) -> Self {
        let mut elements = [E::default(); MOST];
        for (i, to) in elements.chunks_exact_mut(Self::COUNT).enumerate().take(rows) {
            let from = from.wrapping_offset(i as isize * row);
            for (j, element) in to.iter_mut().enumerate().take(columns) {
                // SAFETY: an element that the caller promises.
                *element = unsafe { *from.wrapping_add(j) };
            }
        }
        // SAFETY: as many rows as a register takes.
        unsafe { Self::across(proof, elements.as_ptr(), Self::COUNT.cast_signed()) }
    }
}

/// Elements in a register at most.
pub(super) const MOST: usize = 64;

/// A type of [`Units`] over intrinsics; each must do, in the instruction set that the proof stands for, what
/// the method of its name says.
macro_rules! register_units {
    ($(#[$doc:meta])* $units:ident, $register:ty, $count:literal, $group:literal, $sum:ty, $proof:ty, {
        flip: $flip:literal, splat: $splat:path, load: $load:path, store: $store:path,
        load_first: $load_first:path, store_first: $store_first:path, square: $square:expr,
        dot: $dot:path, add: $add:path, total: $total:path,
    }) => {
        $(#[$doc])*
        #[derive(Clone, Copy)]
        pub(super) struct $units($register);

        impl Units for $units {
            type Proof = $proof;
            type Sum = $sum;
            const COUNT: usize = $count;
            const GROUP: usize = $group;
            const FLIP: u32 = $flip;

            #[inline(always)]
            fn splat(_: $proof, unit: u32) -> Self {
                // SAFETY: the token proves the instruction set.
                Self(unsafe { $splat(unit.cast_signed()) })
            }

            #[inline(always)]
            unsafe fn load(_: $proof, from: *const u32) -> Self {
                // SAFETY: the token proves the instruction set; the caller promises a full register to read.
                Self(unsafe { $load(from.cast()) })
            }

            #[inline(always)]
            unsafe fn store(self, to: *mut u32) {
                // SAFETY: a value proves the instruction set; the caller promises a full register to write.
                unsafe { $store(to.cast(), self.0) }
            }

            #[inline(always)]
            unsafe fn load_first(_: $proof, from: *const u32, count: usize) -> Self {
                // SAFETY: the token proves the instruction set; the caller promises as many units to read.
                Self(unsafe { $load_first(from.cast(), count) })
            }

            #[inline(always)]
            unsafe fn store_first(self, to: *mut u32, count: usize) {
                // SAFETY: a value proves the instruction set; the caller promises as many units to write.
                unsafe { $store_first(to.cast(), count, self.0) }
            }

            #[inline(always)]
            unsafe fn transpose(
                proof: $proof,
                from: *const u32,
                from_row: usize,
                to: *mut u32,
                to_row: usize,
            ) {
                let (from_row, to_row) = (from_row.cast_signed(), to_row.cast_signed());
                // SAFETY: passed on; 32 bits are 32 bits.
                unsafe { $square(proof, from.cast(), from_row, to.cast(), to_row) }
            }

            #[inline(always)]
            fn dot(self, right: Self, sums: Self) -> Self {
                // SAFETY: a value proves the instruction set.
                Self(unsafe { $dot(self.0, right.0, sums.0) })
            }

            #[inline(always)]
            fn add(self, other: Self) -> Self {
                // SAFETY: a value proves the instruction set.
                Self(unsafe { $add(self.0, other.0) })
            }

            #[inline(always)]
            fn total(self) -> $sum {
                // SAFETY: a value proves the instruction set.
                unsafe { $total(self.0) }
            }
        }
    };
}

/// How [`Units`] of the macro above are made of elements. A register, or part of one, is read by a function like
/// `$whole`; the first elements of one, and zeros, by that of the same name in the module `$first`, without which the
/// trait's own way is taken. `$along` makes units of one such part, `$across` of one from each row.
macro_rules! register_fetch {
    (
        $units:ident, $element:ty, $proof:ty,
        $along:ident($whole:ident), $across:ident($part:ident[$($i:literal),+]) $(, $first:ident)?
    ) => {
        impl Fetch<$element> for $units {
            #[inline(always)]
            unsafe fn along(_: $proof, from: *const $element) -> Self {
                // SAFETY: the token proves the instruction set; the caller promises the elements.
                let part = unsafe { $whole(from) };
                // SAFETY: the token proves the instruction set.
                Self(unsafe { $along([part]) })
            }

            #[inline(always)]
            unsafe fn across(_: $proof, from: *const $element, row: isize) -> Self {
                // SAFETY: the token proves the instruction set; the caller promises the elements.
                let parts = [$(unsafe { $part(from.wrapping_offset($i * row)) }),+];
                // SAFETY: the token proves the instruction set.
                Self(unsafe { $across(parts) })
            }

            register_fetch!(@first $($first)?, $element, $proof, $along($whole), $across($part[$($i),+]));
        }
    };
    (
        @first $first:ident, $element:ty, $proof:ty,
        $along:ident($whole:ident), $across:ident($part:ident[$($i:literal),+])
    ) => {
        #[inline(always)]
        unsafe fn along_first(_: $proof, from: *const $element, count: usize) -> Self {
            // SAFETY: the token proves the instruction set; the caller promises the elements.
            let part = unsafe { $first::$whole(from, count) };
            // SAFETY: the token proves the instruction set.
            Self(unsafe { $along([part]) })
        }

        #[inline(always)]
        unsafe fn across_first(
            _: $proof,
            from: *const $element,
            row: isize,
            (rows, columns): (usize, usize),
        ) -> Self {
            // Where there is no row, nothing of the first one is read: to read nothing of a page that is not there
            // is no fault, but takes a CPU hundreds of cycles.
            let place = |i: isize| {
                if i.cast_unsigned() < rows { (from.wrapping_offset(i * row), columns) } else { (from, 0) }
            };
            // SAFETY: the token proves the instruction set; the caller promises the elements.
            let parts = [$(unsafe { let (at, count) = place($i); $first::$part(at, count) }),+];
            // SAFETY: the token proves the instruction set.
            Self(unsafe { $across(parts) })
        }
    };
    (@first , $($rest:tt)*) => {};
}

pub(super) use {register_fetch, register_units};

/// Asks for the cache line at `at`, which need not be valid.
#[inline(always)]
pub(super) fn prefetch<E>(at: *const E) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: every x86-64 CPU has the instruction, and it never faults.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(at.cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = at;
}
