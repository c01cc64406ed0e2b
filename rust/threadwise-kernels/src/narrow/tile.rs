//! The loop over the tiles of a block of C, and the inner kernel: one tile of sums in registers.

use std::mem::MaybeUninit;

use super::units::{Units, prefetch};
use crate::gemm::pack::pieces;

/// A block of C and the units it is computed from.
pub(super) struct Block<'a, S> {
    /// Groups of k.
    pub(super) groups: usize,
    /// Rows and columns of C.
    pub(super) rows: usize,
    pub(super) columns: usize,
    /// The units of A: rows of `groups`.
    pub(super) a: *const u8,
    /// Bytes from a row of A to the next.
    pub(super) a_row: isize,
    /// Bytes of a row of A, fewer than its groups take if it is read in place by what fills it up.
    pub(super) a_bytes: usize,
    /// The slivers of B.
    pub(super) b: *const u32,
    /// The first element of C; columns are adjacent.
    pub(super) c: *mut S,
    /// From a row of C to the next.
    pub(super) c_row: isize,
    /// Whether the product is added to C or replaces it; if it replaces it, C is not read.
    pub(super) accumulate: bool,
    /// What takes the sums instead of C, tile by tile, so that they are not read again from far, and what is
    /// written of one meets what is computed of the next. Then nothing is added up.
    pub(super) results: Option<&'a dyn Results<S>>,
}

/// What takes sums.
pub(super) trait Results<S> {
    /// Takes some of a block's.
    ///
    /// # Safety
    ///
    /// The sums are readable and writable, and lie within the block.
    unsafe fn take(&self, sums: &Part<S>);
}

/// Some sums of a block: so many rows and columns from this row and column on. Adjacent columns are adjacent.
pub(super) struct Part<S> {
    pub(super) sums: *mut S,
    /// From a row to the next.
    pub(super) row: isize,
    pub(super) size: (usize, usize),
    pub(super) from: (usize, usize),
}

/// Computes a block.
///
/// # Safety
///
/// The CPU has the instruction set of the kernel that the function belongs to. In each row of A `a_bytes` are
/// readable, those of `groups` units unless the kernel fills up;
/// B is what the kernel's [`PackFn`](super::pack::PackFn) made of as many groups and columns;
/// all elements of C are writable, and readable if they are added to, and no other reference to them is in use.
pub(super) type BlockFn<S> = unsafe fn(&Block<'_, S>);

/// One tile of C.
pub(super) struct Tile {
    groups: usize,
    a: *const u8,
    a_row: isize,
    /// The tile's columns in the first row of their sliver.
    b: *const u32,
    c: *mut u32,
    c_row: isize,
    /// Columns in the last register.
    last: usize,
    accumulate: bool,
}

/// Computes a tile whose size the function fixes.
///
/// # Safety
///
/// As [`BlockFn`] says.
pub(super) type TileFn = unsafe fn(&Tile);

/// `tiles[rows - 1][vectors - 1]`: the more rows, the fewer registers in each.
pub(super) type Tiles = [&'static [TileFn]];

/// Sums of the largest tile.
const ROOM: usize = 6 * 64;

/// Room for a tile.
#[repr(C, align(64))]
struct Room([MaybeUninit<u32>; ROOM]);

/// # Safety
///
/// As [`BlockFn`] says; `width` is that of the slivers.
#[inline(always)]
pub(super) unsafe fn block<V: Units>(tiles: &Tiles, block: &Block<'_, V::Sum>) {
    let width = tiles[0].len() * V::COUNT;
    let mut room = Room([MaybeUninit::uninit(); ROOM]);
    for first in (0..block.columns).step_by(width) {
        let columns = width.min(block.columns - first);
        let vectors = columns.div_ceil(V::COUNT);
        let height = tiles.partition_point(|widths| widths.len() >= vectors);
        let b = block.b.wrapping_add(first * (block.groups + 1));
        for (start, rows) in pieces(block.rows, height) {
            let c = block.c.wrapping_offset(start as isize * block.c_row).wrapping_add(first);
            let mut tile = Tile {
                groups: block.groups,
                a: block.a.wrapping_offset(start as isize * block.a_row),
                a_row: block.a_row,
                b,
                c: c.cast::<u32>(),
                c_row: block.c_row,
                last: columns - (vectors - 1) * V::COUNT,
                accumulate: block.accumulate,
            };
            let compute = tiles[rows - 1][vectors - 1];
            let Some(results) = block.results else {
                // SAFETY: these rows and columns of the block.
                unsafe { compute(&tile) };
                continue;
            };
            let row = vectors * V::COUNT;
            assert!(rows * row <= ROOM, "room for a tile");
            let at = room.0.as_mut_ptr().cast::<u32>();
            (tile.c, tile.c_row, tile.last) = (at, row.cast_signed(), V::COUNT);
            // SAFETY: these rows and columns of A and B, and room for as many sums.
            unsafe { compute(&tile) };
            let (size, from) = ((rows, columns), (start, first));
            let sums = Part { sums: at.cast::<V::Sum>(), row: row.cast_signed(), size, from };
            // SAFETY: sums that were computed, of these rows and columns.
            unsafe { results.take(&sums) };
        }
    }
}

/// Rows of B between the one in use and the one asked of the second-level cache.
const AHEAD: usize = 8;

/// The kernel itself. `WIDTH` is the number of registers in a row of the slivers.
///
/// # Safety
///
/// As [`TileFn`] says, with `ROWS` rows and `VECTORS` registers a row.
#[inline(always)]
pub(super) unsafe fn compute<
    V: Units,
    const ROWS: usize,
    const VECTORS: usize,
    const WIDTH: usize,
>(
    proof: V::Proof,
    tile: &Tile,
) {
    let width = WIDTH * V::COUNT;
    let mut sums = [[V::splat(proof, 0); VECTORS]; ROWS];
    if V::FLIP != 0 {
        for sums in &mut sums {
            for (j, sum) in sums.iter_mut().enumerate() {
                // SAFETY: what the sums of these columns begin with.
                *sum = unsafe { V::load(proof, tile.b.wrapping_add(j * V::COUNT)) };
            }
        }
    }
    let (mut a, mut b) = (tile.a, tile.b);
    for _ in 0..tile.groups {
        b = b.wrapping_add(width);
        let mut right = [V::splat(proof, 0); VECTORS];
        for (j, right) in right.iter_mut().enumerate() {
            prefetch(b.wrapping_add(AHEAD * width + j * V::COUNT));
            // SAFETY: the units of this group and these columns.
            *right = unsafe { V::load(proof, b.wrapping_add(j * V::COUNT)) };
        }
        for (i, sums) in sums.iter_mut().enumerate() {
            let a = a.wrapping_offset(i as isize * tile.a_row);
            // SAFETY: the unit of this group and row.
            let left = V::splat(proof, unsafe { a.cast::<u32>().read_unaligned() });
            for (sum, right) in sums.iter_mut().zip(right) {
                *sum = left.dot(right, *sum);
            }
        }
        a = a.wrapping_add(size_of::<u32>());
    }
    for (i, sums) in sums.iter().enumerate() {
        let c = tile.c.wrapping_offset(i as isize * tile.c_row);
        for (j, sum) in sums.iter().enumerate() {
            let c = c.wrapping_add(j * V::COUNT);
            let mut sum = *sum;
            if j + 1 == VECTORS && tile.last < V::COUNT {
                if tile.accumulate {
                    // SAFETY: what row i of C has here.
                    sum = unsafe { V::load_first(proof, c, tile.last) }.add(sum);
                }
                // SAFETY: as above.
                unsafe { sum.store_first(c, tile.last) };
                continue;
            }
            if tile.accumulate {
                // SAFETY: a whole register of row i of C.
                sum = unsafe { V::load(proof, c) }.add(sum);
            }
            // SAFETY: as above.
            unsafe { sum.store(c) };
        }
    }
}
