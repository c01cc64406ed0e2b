//! The sizes of tiles on each instruction set.

use std::marker::PhantomData;

use super::{APART, BY_COLUMNS, BY_ROWS, COPYING, MASKED, Tile, TileFn, WHOLE, activate, compute};
use crate::simd::Lanes;
#[cfg(target_arch = "x86_64")]
use crate::{Avx2, Avx512};

/// Tiles of up to 4 rows of 2 vectors: sixteen registers of 128 bits hold them.
pub(in crate::gemm) struct Portable<V>(PhantomData<V>);

impl<V: Lanes<Proof = ()>> Portable<V> {
    pub(in crate::gemm) const TILES: &'static [&'static [TileFn<V::Element>]] = &[
        &[portable::<V, 1, 1>, portable::<V, 1, 2>],
        &[portable::<V, 2, 1>, portable::<V, 2, 2>],
        &[portable::<V, 3, 1>, portable::<V, 3, 2>],
        &[portable::<V, 4, 1>, portable::<V, 4, 2>],
    ];
}

/// Tiles of up to 6 rows of 2 vectors: 12 of sixteen registers are sums, 2 hold B, 1 holds A. Where C is
/// one vector wide, up to 12 rows of it.
#[cfg(target_arch = "x86_64")]
pub(in crate::gemm) struct TilesAvx2<V>(PhantomData<V>);

#[cfg(target_arch = "x86_64")]
impl<V: Lanes<Proof = Avx2>> TilesAvx2<V> {
    pub(in crate::gemm) const TILES: &'static [&'static [TileFn<V::Element>]] = &[
        &[avx2::<V, 1, 1>, avx2::<V, 1, 2>],
        &[avx2::<V, 2, 1>, avx2::<V, 2, 2>],
        &[avx2::<V, 3, 1>, avx2::<V, 3, 2>],
        &[avx2::<V, 4, 1>, avx2::<V, 4, 2>],
        &[avx2::<V, 5, 1>, avx2::<V, 5, 2>],
        &[avx2::<V, 6, 1>, avx2::<V, 6, 2>],
        &[avx2::<V, 7, 1>],
        &[avx2::<V, 8, 1>],
        &[avx2::<V, 9, 1>],
        &[avx2::<V, 10, 1>],
        &[avx2::<V, 11, 1>],
        &[avx2::<V, 12, 1>],
    ];
}

/// Tiles of up to 6 rows of 4 vectors: 24 of thirty-two registers are sums, 4 hold B, 1 holds A.
/// A step of k is 4 loads and 6 broadcasts, 5 cycles on two load ports, for 24 multiply-adds, 12
/// cycles on two ports: the arithmetic is the limit by a wide margin. Where C is three vectors wide, up to
/// 8 rows of them, two or less, up to 12.
#[cfg(target_arch = "x86_64")]
pub(in crate::gemm) struct TilesAvx512<V>(PhantomData<V>);

#[cfg(target_arch = "x86_64")]
impl<V: Lanes<Proof = Avx512>> TilesAvx512<V> {
    pub(in crate::gemm) const TILES: &'static [&'static [TileFn<V::Element>]] = &[
        &[avx512::<V, 1, 1>, avx512::<V, 1, 2>, avx512::<V, 1, 3>, avx512::<V, 1, 4>],
        &[avx512::<V, 2, 1>, avx512::<V, 2, 2>, avx512::<V, 2, 3>, avx512::<V, 2, 4>],
        &[avx512::<V, 3, 1>, avx512::<V, 3, 2>, avx512::<V, 3, 3>, avx512::<V, 3, 4>],
        &[avx512::<V, 4, 1>, avx512::<V, 4, 2>, avx512::<V, 4, 3>, avx512::<V, 4, 4>],
        &[avx512::<V, 5, 1>, avx512::<V, 5, 2>, avx512::<V, 5, 3>, avx512::<V, 5, 4>],
        &[avx512::<V, 6, 1>, avx512::<V, 6, 2>, avx512::<V, 6, 3>, avx512::<V, 6, 4>],
        &[avx512::<V, 7, 1>, avx512::<V, 7, 2>, avx512::<V, 7, 3>],
        &[avx512::<V, 8, 1>, avx512::<V, 8, 2>, avx512::<V, 8, 3>],
        &[avx512::<V, 9, 1>, avx512::<V, 9, 2>],
        &[avx512::<V, 10, 1>, avx512::<V, 10, 2>],
        &[avx512::<V, 11, 1>, avx512::<V, 11, 2>],
        &[avx512::<V, 12, 1>, avx512::<V, 12, 2>],
    ];
}

/// The tiles of one instruction set, each in a function of its own for each way in which A and B are read: several
/// loops in one function have too few registers.
macro_rules! instantiate {
    ($name:ident, $read:ident, $proof:ty, $assume:expr, $(#[$attribute:meta])*) => {
        /// # Safety
        ///
        /// As [`TileFn`] says, on a CPU with this instruction set.
        $(#[$attribute])*
        unsafe fn $name<V: Lanes<Proof = $proof>, const ROWS: usize, const VECTORS: usize>(
            tile: &Tile<V::Element>,
        ) {
            let is_copied = !tile.copy.is_null();
            let function: TileFn<V::Element> = match (tile.a_step, tile.a_row, tile.is_whole) {
                (1, _, _) if is_copied => $read::<V, ROWS, VECTORS, BY_ROWS, COPYING>,
                (1, _, true) => $read::<V, ROWS, VECTORS, BY_ROWS, WHOLE>,
                (1, _, false) => $read::<V, ROWS, VECTORS, BY_ROWS, MASKED>,
                (_, 1, true) => $read::<V, ROWS, VECTORS, BY_COLUMNS, WHOLE>,
                (_, 1, false) => $read::<V, ROWS, VECTORS, BY_COLUMNS, MASKED>,
                _ => $read::<V, ROWS, VECTORS, APART, MASKED>,
            };
            // SAFETY: passed on from the caller; A and B are as the function reads them.
            unsafe { function(tile) };
            if let Some(activation) = tile.activation {
                // SAFETY: the caller promises the instruction set.
                let proof = unsafe { $assume };
                // SAFETY: passed on from the caller.
                unsafe { activate::<V, ROWS, VECTORS>(proof, tile, activation) };
            }
        }

        /// # Safety
        ///
        /// As [`compute`] says, on a CPU with this instruction set.
        $(#[$attribute])*
        unsafe fn $read<
            V: Lanes<Proof = $proof>,
            const ROWS: usize,
            const VECTORS: usize,
            const ADJACENT: u8,
            const READ: u8,
        >(
            tile: &Tile<V::Element>,
        ) {
            // SAFETY: the caller promises the instruction set.
            let proof = unsafe { $assume };
            // SAFETY: passed on from the caller.
            unsafe { compute::<V, ROWS, VECTORS, ADJACENT, READ>(proof, tile) }
        }
    };
}

/// What any CPU has.
const unsafe fn nothing() {}

instantiate!(portable, portable_reading, (), nothing(),);
#[cfg(target_arch = "x86_64")]
instantiate!(
    avx2,
    avx2_reading,
    Avx2,
    Avx2::assume(),
    #[target_feature(enable = "avx2,fma")]
);
#[cfg(target_arch = "x86_64")]
instantiate!(
    avx512,
    avx512_reading,
    Avx512,
    Avx512::assume(),
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
);
