//! The functions of each instruction set: what `pack`, `tile` and `few` say, compiled for it.

use std::marker::PhantomData;

/// What any CPU has.
const unsafe fn nothing() {}

/// [`strips::strip`](super::strips::strip) for one row and more, each with so many lanes in registers at a time.
macro_rules! strip_functions {
    ($units:ty, $element:ty, $lie:ty, [$one:literal $two:literal $three:literal $four:literal]) => {
        &[
            strip::<$units, $element, $lie, 1, $one>,
            strip::<$units, $element, $lie, 2, $two>,
            strip::<$units, $element, $lie, 3, $three>,
            strip::<$units, $element, $lie, 4, $four>,
        ]
    };
}

/// The functions of one instruction set. `$width` is the number of registers in a row of a sliver of B; then
/// come the heights of tiles of as many registers a row, and fewer, and the lanes of strips.
macro_rules! instantiate {
    ($module:ident, $proof:ty, $assume:expr, $width:literal, [$($rows:literal: [$($vectors:literal)*])*],
     [$($lanes:literal)*],
     $(#[$attribute:meta])*) => {
        pub(super) mod $module {
            use super::super::few::{self, Few, FewFn};
            use super::super::kept::{self, WidenFn};
            use super::super::pack::{self, PackFn, Place, Source};
            use super::super::strips::{self, Lie, Strip, StripFn, TotalFn};
            use super::super::tile::{self, Block, BlockFn, Tile, TileFn};
            use super::super::units::{Fetch, Units};
            use super::super::{Narrow, Sum};
            use super::PhantomData;

            /// Registers in a row of a sliver of B.
            pub(in super::super) const WIDTH: usize = $width;

            pub(in super::super) struct Functions<V>(PhantomData<V>);

            impl<V: Units<Proof = $proof>> Functions<V> {
                const TILES: &'static [&'static [TileFn]] =
                    &[$(&[$(compute::<V, $rows, $vectors>),*]),*];
                pub(in super::super) const BLOCK: BlockFn<V::Sum> = block::<V>;
            }

            /// How elements of `E` are packed.
            pub(in super::super) struct Packs<V, E>(PhantomData<(V, E)>);

            impl<V: Fetch<E, Proof = $proof>, E: Narrow> Packs<V, E> {
                pub(in super::super) const LEFT: PackFn<E> = left::<V, E>;
                pub(in super::super) const RIGHT: PackFn<E> = right::<V, E>;
                pub(in super::super) const WIDEN: WidenFn<E> = widen::<V, E>;
            }

            impl<V: Fetch<E, Proof = $proof>, E: Narrow> Packs<V, E>
            where
                V::Sum: Sum,
            {
                pub(in super::super) const DOTS: &'static [FewFn<E, V::Sum>; few::ROWS] =
                    &[dots::<V, E, 1>, dots::<V, E, 2>, dots::<V, E, 3>, dots::<V, E, 4>];
                pub(in super::super) const STREAMS: &'static [FewFn<E, V::Sum>; few::ROWS] =
                    &[streams::<V, E, 1>, streams::<V, E, 2>, streams::<V, E, 3>, streams::<V, E, 4>];
                pub(in super::super) const TOTAL: TotalFn<V::Sum> = total::<V>;
            }

            /// Few rows with slivers in which groups lie as `L` says.
            pub(in super::super) struct Strips<V, E, L>(PhantomData<(V, E, L)>);

            impl<V: Fetch<E, Proof = $proof>, E: Narrow, L: Lie<V, E>> Strips<V, E, L> {
                pub(in super::super) const STRIPS: &'static [StripFn<E>; few::ROWS] =
                    strip_functions!(V, E, L, [$($lanes)*]);
            }

            /// # Safety
            ///
            /// As [`TileFn`] says, on a CPU with this instruction set.
            $(#[$attribute])*
            unsafe fn compute<V: Units<Proof = $proof>, const ROWS: usize, const VECTORS: usize>(
                tile: &Tile,
            ) {
                // SAFETY: the caller promises the instruction set.
                let proof = unsafe { $assume };
                // SAFETY: passed on from the caller.
                unsafe { tile::compute::<V, ROWS, VECTORS, $width>(proof, tile) }
            }

            /// # Safety
            ///
            /// As [`BlockFn`] says, on a CPU with this instruction set.
            $(#[$attribute])*
            unsafe fn block<V: Units<Proof = $proof>>(block: &Block<'_, V::Sum>) {
                // SAFETY: passed on from the caller.
                unsafe { tile::block::<V>(Functions::<V>::TILES, block) }
            }

            /// # Safety
            ///
            /// As [`PackFn`] says, on a CPU with this instruction set.
            $(#[$attribute])*
            unsafe fn left<V: Fetch<E, Proof = $proof>, E: Narrow>(
                source: &Source<E>,
                place: &Place,
            ) {
                // SAFETY: the caller promises the instruction set.
                let proof = unsafe { $assume };
                // SAFETY: passed on from the caller.
                unsafe { pack::left::<V, E>(proof, source, place) }
            }

            /// # Safety
            ///
            /// As [`PackFn`] says, on a CPU with this instruction set.
            $(#[$attribute])*
            unsafe fn right<V: Fetch<E, Proof = $proof>, E: Narrow>(
                source: &Source<E>,
                place: &Place,
            ) {
                // SAFETY: the caller promises the instruction set.
                let proof = unsafe { $assume };
                // SAFETY: passed on from the caller.
                unsafe { pack::right::<V, E>(proof, source, place) }
            }

            /// # Safety
            ///
            /// As [`WidenFn`] says, on a CPU with this instruction set.
            $(#[$attribute])*
            unsafe fn widen<V: Fetch<E, Proof = $proof>, E: Narrow>(
                from: *const E,
                to: *mut u32,
                rows: usize,
                width: usize,
            ) {
                // SAFETY: the caller promises the instruction set.
                let proof = unsafe { $assume };
                // SAFETY: passed on from the caller.
                unsafe { kept::widen::<V, E>(proof, from, to, rows, width) }
            }

            /// # Safety
            ///
            /// As [`StripFn`] says, on a CPU with this instruction set.
            $(#[$attribute])*
            unsafe fn strip<V, E, L, const M: usize, const LANES: usize>(strip: &Strip<E>)
            where
                V: Fetch<E, Proof = $proof>,
                E: Narrow,
                L: Lie<V, E>,
            {
                // SAFETY: the caller promises the instruction set.
                let proof = unsafe { $assume };
                // SAFETY: passed on from the caller.
                unsafe { strips::strip::<V, E, L, M, LANES>(proof, strip) }
            }

            /// # Safety
            ///
            /// As [`TotalFn`] says, on a CPU with this instruction set.
            $(#[$attribute])*
            unsafe fn total<V: Units<Proof = $proof, Sum: Sum>>(
                lanes: *const u32,
                columns: usize,
                c: *mut V::Sum,
                add: bool,
            ) {
                // SAFETY: the caller promises the instruction set.
                let proof = unsafe { $assume };
                // SAFETY: passed on from the caller.
                unsafe { strips::total::<V>(proof, lanes, columns, c, add) }
            }

            /// # Safety
            ///
            /// As [`FewFn`] says, on a CPU with this instruction set.
            $(#[$attribute])*
            unsafe fn dots<V: Fetch<E, Proof = $proof>, E: Narrow, const M: usize>(
                few: &Few<E, V::Sum>,
            ) where
                V::Sum: Sum,
            {
                // SAFETY: the caller promises the instruction set.
                let proof = unsafe { $assume };
                // SAFETY: passed on from the caller.
                unsafe { few::dots::<V, E, V::Sum, M>(proof, few) }
            }

            /// # Safety
            ///
            /// As [`FewFn`] says, on a CPU with this instruction set.
            $(#[$attribute])*
            unsafe fn streams<V: Fetch<E, Proof = $proof>, E: Narrow, const M: usize>(
                few: &Few<E, V::Sum>,
            ) where
                V::Sum: Sum,
            {
                // SAFETY: the caller promises the instruction set.
                let proof = unsafe { $assume };
                // SAFETY: passed on from the caller.
                unsafe { few::streams::<V, E, V::Sum, M>(proof, few) }
            }
        }
    };
}

instantiate!(portable, (), super::nothing(), 2, [1: [1 2] 2: [1 2] 3: [1 2] 4: [1 2]], [4 2 2 1],);

#[cfg(target_arch = "x86_64")]
instantiate!(
    avx2,
    crate::Avx2,
    crate::Avx2::assume(),
    2,
    [1: [1 2] 2: [1 2] 3: [1 2] 4: [1 2] 5: [1 2] 6: [1 2] 7: [1] 8: [1] 9: [1] 10: [1] 11: [1] 12: [1]],
    [4 2 2 1],
    #[target_feature(enable = "avx2,fma,f16c")]
);

/// An instruction set of 512-bit registers: tiles of up to 6 rows of 4 registers, or 12 of 2.
#[cfg(target_arch = "x86_64")]
macro_rules! instantiate_wide {
    ($module:ident, $proof:ty, $features:literal) => {
        instantiate!(
            $module,
            $proof,
            <$proof>::assume(),
            4,
            [1: [1 2 3 4] 2: [1 2 3 4] 3: [1 2 3 4] 4: [1 2 3 4] 5: [1 2 3 4] 6: [1 2 3 4]
             7: [1 2] 8: [1 2] 9: [1 2] 10: [1 2] 11: [1 2] 12: [1 2]],
            [8 4 4 2],
            #[target_feature(enable = $features)]
        );
    };
}

#[cfg(target_arch = "x86_64")]
instantiate_wide!(avx512, crate::Avx512, "avx512f,avx512bw,avx512dq,avx512vl");
#[cfg(target_arch = "x86_64")]
instantiate_wide!(bf16, crate::Bf16, "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16");
#[cfg(target_arch = "x86_64")]
instantiate_wide!(vnni, crate::Vnni, "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni");
