//! The inner kernel: one tile of C in registers. `sizes` has its instances.

mod sizes;

use super::vectors::{row, write};
use crate::Activation;
use crate::simd::Lanes;
pub(super) use sizes::Portable;
#[cfg(target_arch = "x86_64")]
pub(super) use sizes::{TilesAvx2, TilesAvx512};

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
    /// Rows of B that may be asked for ahead without driving each other out of the nearest cache.
    pub(super) ahead: usize,
    /// Whether B has whole vectors of columns, the last one too: reading all lanes is one operation less.
    pub(super) is_whole: bool,
    /// Where each row of B is copied to as it is read, in whole vectors, or null; only if columns of A are adjacent.
    pub(super) copy: *mut T,
    /// From a row of the copy to the next.
    pub(super) copy_step: isize,
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
/// j < columns, and for all lanes of the last vector if B has whole ones; `bias + j` if `bias` is not
/// null; `c + i·c_row + j` is readable and writable, and so is `copy + p·copy_step + j`, if `copy` is
/// not null, for all lanes of all vectors; no other reference to those elements is in use.
pub(super) type TileFn<T> = unsafe fn(&Tile<T>);

/// The kernel itself, for any vectors, but for the activation.
///
/// # Safety
///
/// As [`TileFn`] says, with `ROWS` rows and `VECTORS` vectors a row, and A and B as `ADJACENT` and `READ` say.
#[inline(always)]
unsafe fn compute<
    V: Lanes,
    const ROWS: usize,
    const VECTORS: usize,
    const ADJACENT: Adjacent,
    const READ: Read,
>(
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
    // SAFETY: the caller's promise about A, B and its copy.
    let mut sums = unsafe { products::<V, ROWS, VECTORS, ADJACENT, READ>(proof, mask, tile) };
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
}

/// The activation of a tile that is computed, in a second pass, over what the first has just left in the nearest
/// cache: a call between the sums and their store would push all of them out of their registers.
///
/// # Safety
///
/// As [`TileFn`] says of C, with `ROWS` rows and `VECTORS` vectors a row.
#[inline(always)]
unsafe fn activate<V: Lanes, const ROWS: usize, const VECTORS: usize>(
    proof: V::Proof,
    tile: &Tile<V::Element>,
    activation: Activation,
) {
    let mask = V::first(proof, tile.last);
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

/// Steps of k in whose time a tile of C is fetched from afar: it will be there when the sums are.
const LONG: usize = 64;

/// Steps of k that are written out one after the other: pointers and the counter move once for all. Of tiles of
/// more rows, and where B is copied, the compiler would read the elements of A for all steps first, and
/// have no registers for them, unless each is an operand of one multiply-add.
const UNROLL: usize = 4;
const UNROLLED_ROWS: usize = 6;

/// Multiply-adds whose time hides that of fetching a row of B from afar. The fewer a step has, the more
/// steps ahead are fetched; the widest tiles, if they have more than [`BUSY`], find B near, because it has been
/// packed, and need not ask.
const AHEAD: usize = 288;
const BUSY: usize = 20;
const WIDEST: usize = 4;

/// Which elements of A are adjacent in memory: constants, because addresses are then part of instructions.
type Adjacent = u8;
/// Those of a row: `a_step` is 1.
const BY_ROWS: Adjacent = 0;
/// Those of a column: `a_row` is 1.
const BY_COLUMNS: Adjacent = 1;
/// None.
const APART: Adjacent = 2;

/// How rows of B are read.
type Read = u8;
/// Whole vectors.
const WHOLE: Read = 0;
/// With a mask for the last vector.
const MASKED: Read = 1;
/// The same, and each is written to its place in the copy.
const COPYING: Read = 2;

/// Steps of k in whose time a row of B that is copied comes from afar.
const FAR: usize = 24;

/// Σₖ aₖ·bₖ for each element of a tile.
///
/// # Safety
///
/// As [`TileFn`] says of A, B and its copy.
#[inline(always)]
unsafe fn products<
    V: Lanes,
    const ROWS: usize,
    const VECTORS: usize,
    const ADJACENT: Adjacent,
    const READ: Read,
>(
    proof: V::Proof,
    mask: V::Mask,
    tile: &Tile<V::Element>,
) -> [[V; VECTORS]; ROWS] {
    let zero = V::splat(proof, V::Element::default());
    let mut sums = [[zero; VECTORS]; ROWS];
    let a_step = if ADJACENT == BY_ROWS { 1 } else { tile.a_step };
    let a_row = if ADJACENT == BY_COLUMNS { 1 } else { tile.a_row };
    let (mut a, mut b, mut copy) = (tile.a, tile.b, tile.copy);
    let far = tile.ahead.min(FAR);
    let ahead = tile.ahead.min(AHEAD / (ROWS * VECTORS)) as isize * tile.b_step;
    let mut left = tile.depth;
    // The rows of A below, which the next tile reads: each in its round the lines that it has for all rounds.
    let below = tile.a.wrapping_offset(ROWS as isize * tile.a_row);
    let line = 64 / size_of::<V::Element>();
    let rounds = ROWS.next_multiple_of(line / UNROLL);
    let is_large = ADJACENT == BY_ROWS && ROWS * VECTORS > BUSY && tile.depth >= LONG;
    let mut round = 0;
    let is_tall = VECTORS > 1 && ROWS > UNROLLED_ROWS;
    let unroll = if READ == COPYING || is_tall { 1 } else { UNROLL };
    while left >= unroll {
        if is_large && (unroll == UNROLL || left.is_multiple_of(UNROLL)) {
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
        if READ == COPYING && left > far {
            let ahead = b.wrapping_offset(far as isize * tile.b_step);
            for j in 0..VECTORS {
                V::prefetch(ahead.wrapping_add(j * V::COUNT));
            }
            // The row lies across one line more.
            V::prefetch(ahead.wrapping_add(VECTORS * V::COUNT - 1));
        }
        for u in 0..unroll as isize {
            let (a, b) = (a.wrapping_offset(u * a_step), b.wrapping_offset(u * tile.b_step));
            // SAFETY: `b` is a row of B, `a` a column of A and `copy` the place of a row, u steps on, and as many
            // are left; where B is copied, u is 0.
            unsafe {
                step::<_, _, _, READ>(proof, mask, (a_row, ahead), &mut sums, a, b, copy);
            };
        }
        // The last step may leave the arrays, so the pointers move without claiming to stay inside.
        a = a.wrapping_offset(unroll as isize * a_step);
        b = b.wrapping_offset(unroll as isize * tile.b_step);
        copy = copy.wrapping_offset(tile.copy_step);
        left -= unroll;
    }
    while left > 0 {
        // SAFETY: `b` is a row of B and `a` a column of A; where B is copied, none is left.
        unsafe { step::<_, _, _, READ>(proof, mask, (a_row, ahead), &mut sums, a, b, copy) };
        a = a.wrapping_offset(a_step);
        b = b.wrapping_offset(tile.b_step);
        left -= 1;
    }
    sums
}

/// One term of each sum. What is `ahead` elements behind the row of B is asked for.
///
/// # Safety
///
/// `a` is a column of the tile's A, whose rows are `a_row` apart, `b` a row of its B, `copy` its place in the copy.
#[inline(always)]
unsafe fn step<V: Lanes, const ROWS: usize, const VECTORS: usize, const READ: Read>(
    proof: V::Proof,
    mask: V::Mask,
    (a_row, ahead): (isize, isize),
    sums: &mut [[V; VECTORS]; ROWS],
    a: *const V::Element,
    b: *const V::Element,
    copy: *mut V::Element,
) {
    if (ROWS * VECTORS <= BUSY || VECTORS < WIDEST) && READ != COPYING {
        let ahead = b.wrapping_offset(ahead);
        for j in 0..VECTORS {
            V::prefetch(ahead.wrapping_add(j * V::COUNT));
        }
    }
    let right = if READ == WHOLE {
        // SAFETY: the caller's row of B, which has whole vectors.
        unsafe { whole::<V, VECTORS>(proof, b) }
    } else {
        // SAFETY: the caller's row of B.
        unsafe { row::<V, VECTORS>(proof, mask, b) }
    };
    if READ == COPYING {
        // SAFETY: the caller's place for that row.
        unsafe { write_whole(right, copy) };
    }
    for (i, sums) in sums.iter_mut().enumerate() {
        // SAFETY: i < ROWS, in the caller's column of A.
        let left = unsafe { *a.wrapping_offset(i as isize * a_row) };
        let left = V::splat(proof, left);
        for (sum, right) in sums.iter_mut().zip(right) {
            *sum = left.mul_add(right, *sum);
        }
    }
}

/// Reads `VECTORS` vectors.
///
/// # Safety
///
/// `from` is valid for reading all their lanes.
#[inline(always)]
unsafe fn whole<V: Lanes, const VECTORS: usize>(
    proof: V::Proof,
    from: *const V::Element,
) -> [V; VECTORS] {
    let mut vectors = [V::splat(proof, V::Element::default()); VECTORS];
    for (j, vector) in vectors.iter_mut().enumerate() {
        // SAFETY: a vector that the caller promises.
        *vector = unsafe { V::load(proof, from.wrapping_add(j * V::COUNT)) };
    }
    vectors
}

/// Writes all lanes of `VECTORS` vectors.
///
/// # Safety
///
/// `to` is valid for writing them.
#[inline(always)]
unsafe fn write_whole<V: Lanes, const VECTORS: usize>(vectors: [V; VECTORS], to: *mut V::Element) {
    for (j, vector) in vectors.into_iter().enumerate() {
        // SAFETY: a vector that the caller promises.
        unsafe { vector.store(to.wrapping_add(j * V::COUNT)) };
    }
}
