//! The inner kernel: one tile of C in registers.

use std::marker::PhantomData;

use super::vectors::{row, write};
use crate::Activation;
use crate::simd::Lanes;
#[cfg(target_arch = "x86_64")]
use crate::{Avx2, Avx512};

/// One tile of C and what it is computed from. Strides count elements.
pub(super) struct Tile<T> {
    /// Number of terms, k.
    pub(super) depth: usize,
    /// The tile's first row of A.
    pub(super) a: *const T,
    /// From a row of A to the next.
    pub(super) a_row: isize,
    /// From a column of A to the next.
    pub(super) a_step: isize,
    /// The tile's first column of B; columns are adjacent.
    pub(super) b: *const T,
    /// From a row of B to the next.
    pub(super) b_step: isize,
    /// The tile's first element of C; columns are adjacent.
    pub(super) c: *mut T,
    /// From a row of C to the next.
    pub(super) c_row: isize,
    /// Columns in the last vector of a row: 1 to the number of lanes.
    pub(super) last: usize,
    /// Whether the product is added to C or replaces it; if it replaces it, C is not read.
    pub(super) accumulate: bool,
    /// One summand a column of the tile, or null.
    pub(super) bias: *const T,
    /// Applied last, if any.
    pub(super) activation: Option<Activation>,
}

/// Computes a tile whose size the function fixes.
///
/// # Safety
///
/// The CPU has the instruction set of the kernel that the function belongs to. With `rows` × `columns`
/// the size of the function's tile, of which `last` columns lie in the last vector:
/// `a + i·a_row + p·a_step` is readable for i < rows, p < depth; `b + p·b_step + j` for p < depth,
/// j < columns; `bias + j` if `bias` is not null; `c + i·c_row + j` is readable and writable, and no
/// other reference to those elements of C is in use.
pub(super) type TileFn<T> = unsafe fn(&Tile<T>);

/// The kernel itself, for any vectors.
///
/// # Safety
///
/// As [`TileFn`] says, with `ROWS` rows and `VECTORS` vectors a row.
#[inline(always)]
unsafe fn compute<V: Lanes, const ROWS: usize, const VECTORS: usize>(
    proof: V::Proof,
    tile: &Tile<V::Element>,
) {
    let mask = V::first(proof, tile.last);
    if tile.depth >= LONG && (ROWS * VECTORS <= BUSY || tile.a_step != 1) {
        for i in 0..ROWS {
            let c = tile.c.wrapping_offset(i as isize * tile.c_row);
            for j in 0..VECTORS {
                V::prefetch(c.wrapping_add(j * V::COUNT));
            }
            // The row may lie across one line more.
            V::prefetch(c.wrapping_add(VECTORS * V::COUNT - 1));
        }
    }
    let mut sums = if tile.a_step == 1 {
        // SAFETY: the caller's promise about A and B.
        unsafe { products::<V, ROWS, VECTORS, BY_ROWS>(proof, mask, tile) }
    } else if tile.a_row == 1 {
        // SAFETY: the same.
        unsafe { products::<V, ROWS, VECTORS, BY_COLUMNS>(proof, mask, tile) }
    } else {
        // SAFETY: the same.
        unsafe { products::<V, ROWS, VECTORS, APART>(proof, mask, tile) }
    };
    // Loops of few instructions: those that the compiler does not write out keep the sums in memory, in
    // the loop over k too.
    if tile.accumulate {
        for (i, sums) in sums.iter_mut().enumerate() {
            let c = tile.c.wrapping_offset(i as isize * tile.c_row);
            // SAFETY: row i of C, which the caller lends.
            let before = unsafe { row::<V, VECTORS>(proof, mask, c) };
            for (sum, before) in sums.iter_mut().zip(before) {
                *sum = before.add(*sum);
            }
        }
    }
    if !tile.bias.is_null() {
        // SAFETY: not null, so the caller promises one summand a column.
        let bias = unsafe { row::<V, VECTORS>(proof, mask, tile.bias) };
        for sums in &mut sums {
            for (sum, bias) in sums.iter_mut().zip(bias) {
                *sum = sum.add(bias);
            }
        }
    }
    for (i, sums) in sums.iter().enumerate() {
        let c = tile.c.wrapping_offset(i as isize * tile.c_row);
        // SAFETY: row i of C, which the caller lends.
        unsafe { write::<V, VECTORS>(mask, *sums, c) };
    }
    if let Some(activation) = tile.activation {
        // In a second pass, over what the first has just left in the nearest cache: a call between
        // the sums and their store would push all of them out of their registers.
        for i in 0..ROWS {
            let c = tile.c.wrapping_offset(i as isize * tile.c_row);
            // SAFETY: row i of C, which the caller lends.
            let mut sums = unsafe { row::<V, VECTORS>(proof, mask, c) };
            for sum in &mut sums {
                *sum = sum.activate(proof, activation);
            }
            // SAFETY: as above.
            unsafe { write::<V, VECTORS>(mask, sums, c) };
        }
    }
}

/// Steps of k in whose time a tile of C is fetched from afar: it will be there when the sums are.
const LONG: usize = 64;

/// Steps of k that are written out one after the other: pointers and the counter move once for all.
const UNROLL: usize = 4;

/// Multiply-adds whose time hides that of fetching a row of B from afar. The fewer a step has, the more
/// steps ahead are fetched; tiles with more than [`BUSY`] find B near, because it has been packed, and
/// need not ask.
const AHEAD: usize = 288;
const BUSY: usize = 20;

/// Which elements of A are adjacent in memory: constants, because addresses are then part of instructions.
type Adjacent = u8;
/// Those of a row: `a_step` is 1.
const BY_ROWS: Adjacent = 0;
/// Those of a column: `a_row` is 1.
const BY_COLUMNS: Adjacent = 1;
/// None.
const APART: Adjacent = 2;

/// Σₖ aₖ·bₖ for each element of a tile.
///
/// # Safety
///
/// As [`TileFn`] says of A and B.
#[inline(always)]
unsafe fn products<V: Lanes, const ROWS: usize, const VECTORS: usize, const ADJACENT: Adjacent>(
    proof: V::Proof,
    mask: V::Mask,
    tile: &Tile<V::Element>,
) -> [[V; VECTORS]; ROWS] {
    let zero = V::splat(proof, V::Element::default());
    let mut sums = [[zero; VECTORS]; ROWS];
    let a_step = if ADJACENT == BY_ROWS { 1 } else { tile.a_step };
    let a_row = if ADJACENT == BY_COLUMNS { 1 } else { tile.a_row };
    let (mut a, mut b) = (tile.a, tile.b);
    let mut left = tile.depth;
    // The rows of A below, which the next tile reads: each in its round the lines that it has for all rounds.
    let below = tile.a.wrapping_offset(ROWS as isize * tile.a_row);
    let line = 64 / size_of::<V::Element>();
    let rounds = ROWS.next_multiple_of(line / UNROLL);
    let is_large = ADJACENT == BY_ROWS && ROWS * VECTORS > BUSY && tile.depth >= LONG;
    let mut round = 0;
    while left >= UNROLL {
        if is_large {
            let row = below.wrapping_offset((round % rounds) as isize * tile.a_row);
            let lines = rounds * UNROLL / line;
            for i in 0..lines {
                V::prefetch(row.wrapping_add((round / rounds * lines + i) * line));
            }
            // A line of C at a time, so that those of B need not wait; a row may lie across one line more.
            let c = tile.c.wrapping_offset((round / (VECTORS + 1)) as isize * tile.c_row);
            if round < ROWS * (VECTORS + 1) {
                V::prefetch(c.wrapping_add(round % (VECTORS + 1) * V::COUNT));
            }
            round += 1;
        }
        for u in 0..UNROLL as isize {
            let (a, b) = (a.wrapping_offset(u * a_step), b.wrapping_offset(u * tile.b_step));
            // SAFETY: `b` is a row of B and `a` a column of A, u steps on, and as many are left.
            unsafe { step(proof, mask, (a_row, tile.b_step), &mut sums, a, b) };
        }
        // The last step may leave the arrays, so the pointers move without claiming to stay inside.
        a = a.wrapping_offset(UNROLL as isize * a_step);
        b = b.wrapping_offset(UNROLL as isize * tile.b_step);
        left -= UNROLL;
    }
    while left > 0 {
        // SAFETY: `b` is a row of B and `a` a column of A.
        unsafe { step(proof, mask, (a_row, tile.b_step), &mut sums, a, b) };
        a = a.wrapping_offset(a_step);
        b = b.wrapping_offset(tile.b_step);
        left -= 1;
    }
    sums
}

/// One term of each sum.
///
/// # Safety
///
/// `a` is a column of the tile's A, whose rows are `a_row` apart, `b` a row of its B.
#[inline(always)]
unsafe fn step<V: Lanes, const ROWS: usize, const VECTORS: usize>(
    proof: V::Proof,
    mask: V::Mask,
    (a_row, b_step): (isize, isize),
    sums: &mut [[V; VECTORS]; ROWS],
    a: *const V::Element,
    b: *const V::Element,
) {
    if ROWS * VECTORS <= BUSY {
        let ahead = (AHEAD / (ROWS * VECTORS)) as isize * b_step;
        for j in 0..VECTORS {
            V::prefetch(b.wrapping_offset(ahead).wrapping_add(j * V::COUNT));
        }
    }
    // SAFETY: the caller's row of B.
    let right = unsafe { row::<V, VECTORS>(proof, mask, b) };
    for (i, sums) in sums.iter_mut().enumerate() {
        // SAFETY: i < ROWS, in the caller's column of A.
        let left = unsafe { *a.wrapping_offset(i as isize * a_row) };
        let left = V::splat(proof, left);
        for (sum, right) in sums.iter_mut().zip(right) {
            *sum = left.mul_add(right, *sum);
        }
    }
}

/// Tiles of up to 4 rows of 2 vectors: sixteen registers of 128 bits hold them.
pub(super) struct Portable<V>(PhantomData<V>);

impl<V: Lanes<Proof = ()>> Portable<V> {
    pub(super) const TILES: &'static [&'static [TileFn<V::Element>]] = &[
        &[portable::<V, 1, 1>, portable::<V, 1, 2>],
        &[portable::<V, 2, 1>, portable::<V, 2, 2>],
        &[portable::<V, 3, 1>, portable::<V, 3, 2>],
        &[portable::<V, 4, 1>, portable::<V, 4, 2>],
    ];
}

/// # Safety
///
/// As [`TileFn`] says; any CPU will do.
unsafe fn portable<V: Lanes<Proof = ()>, const ROWS: usize, const VECTORS: usize>(
    tile: &Tile<V::Element>,
) {
    // SAFETY: passed on from the caller.
    unsafe { compute::<V, ROWS, VECTORS>((), tile) }
}

/// Tiles of up to 6 rows of 2 vectors: 12 of sixteen registers are sums, 2 hold B, 1 holds A. Where C is
/// one vector wide, up to 12 rows of it.
#[cfg(target_arch = "x86_64")]
pub(super) struct TilesAvx2<V>(PhantomData<V>);

#[cfg(target_arch = "x86_64")]
impl<V: Lanes<Proof = Avx2>> TilesAvx2<V> {
    pub(super) const TILES: &'static [&'static [TileFn<V::Element>]] = &[
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

/// # Safety
///
/// As [`TileFn`] says, on a CPU with AVX2 and FMA.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn avx2<V: Lanes<Proof = Avx2>, const ROWS: usize, const VECTORS: usize>(
    tile: &Tile<V::Element>,
) {
    // SAFETY: the caller promises the instruction set.
    let proof = unsafe { Avx2::assume() };
    // SAFETY: passed on from the caller.
    unsafe { compute::<V, ROWS, VECTORS>(proof, tile) }
}

/// Tiles of up to 6 rows of 4 vectors: 24 of thirty-two registers are sums, 4 hold B, 1 holds A.
/// A step of k is 4 loads and 6 broadcasts, 5 cycles on two load ports, for 24 multiply-adds, 12
/// cycles on two ports: the arithmetic is the limit by a wide margin. Where C is three vectors wide, up to
/// 8 rows of them, two or less, up to 12.
#[cfg(target_arch = "x86_64")]
pub(super) struct TilesAvx512<V>(PhantomData<V>);

#[cfg(target_arch = "x86_64")]
impl<V: Lanes<Proof = Avx512>> TilesAvx512<V> {
    pub(super) const TILES: &'static [&'static [TileFn<V::Element>]] = &[
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

/// # Safety
///
/// As [`TileFn`] says, on a CPU with AVX-512 F, BW, DQ and VL.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
unsafe fn avx512<V: Lanes<Proof = Avx512>, const ROWS: usize, const VECTORS: usize>(
    tile: &Tile<V::Element>,
) {
    // SAFETY: the caller promises the instruction set.
    let proof = unsafe { Avx512::assume() };
    // SAFETY: passed on from the caller.
    unsafe { compute::<V, ROWS, VECTORS>(proof, tile) }
}
