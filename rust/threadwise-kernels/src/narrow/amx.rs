//! The inner kernel in AMX's tiles: 32 by 32 sums in four tiles of 16 by 16, two tiles of A and two of B.
//!
//! A tile has 16 rows of 64 bytes, so 16 units: those of A are 16 rows of 16 groups of k, those of B 16 groups of 16
//! columns, which is how slivers lie; A lies as tiles want it even unpacked. A step of 16 groups is four loads
//! and four products, which take less time than four loads from the second-level cache: some steps of 32 rows of A are
//! copied to the first-level cache, tile after tile, and used for all columns.
//!
//! In a step of bfloat16, the even terms are summed by themselves, fused, and the odd ones; their sum is added to what
//! was there. Rounding is to nearest, subnormal numbers are zero. Integers are exact.
//!
//! Sums go by way of the first-level cache, too, and from there to C row by row: the rows of a tile would each go to a
//! line of their own, and where rows of C are a power of two apart, those lines drive one another out.
//!
//! Compilers know the instructions by name only, so a tile's whole sum is one block of assembly; the
//! configuration is loaded and released around each block of C, so that no thread leaves tiles in use behind.

use std::arch::asm;
use std::mem::MaybeUninit;

use super::tile::{Block, BlockFn};
use crate::simd::tiles::{self, Configuration};

/// Rows of a tile, and units in a row.
const SIDE: usize = 16;

/// Bytes in a row of a tile.
const ROW: usize = 64;

/// Rows and columns of the sums in four tiles, and units in a row of a sliver.
pub(super) const PANEL: usize = 2 * SIDE;

/// Groups of k in a step.
pub(super) const STEP: usize = SIDE;

/// Bytes of A in a step.
const STEP_BYTES: usize = PANEL * ROW;

/// Steps for which A is copied: these, and as many of B, fill two thirds of the first-level cache.
const NEAR: usize = 8;

/// Room for the copy.
#[repr(C, align(64))]
struct Near(MaybeUninit<[u8; NEAR * STEP_BYTES]>);

/// Panels beside one another that are computed together, so that A is copied once for all of them.
const TOGETHER: usize = 8;

/// Units from a row of kept sums to the next: a line more than there are sums, so that rows share no set of a cache.
const KEPT_ROW: usize = TOGETHER * PANEL + SIDE;

/// Room for the sums of some panels beside one another, kept until all steps are done.
#[repr(C, align(64))]
struct Kept(MaybeUninit<[u32; PANEL * KEPT_ROW]>);

/// Up to 32 by 32 sums.
struct Panel {
    steps: usize,
    /// Rows of a tile follow one another, then those of the tile below, then the next step.
    a: *const u8,
    b: *const u32,
    /// Where the sums go, rows of [`KEPT_ROW`], and whether they are added to what is there.
    kept: *mut u8,
    accumulate: bool,
}

/// # Safety
///
/// As [`BlockFn`] says of the operands, with whole tiles of columns; tiles are configured.
type PanelFn = unsafe fn(&Panel);

/// The loop over the steps of k, with a row and a column of tiles, or two of them. `[[rows] [columns]]` are lists of
/// (tile of A, its register) and so on: what is to be loaded, multiplied and stored.
macro_rules! panel {
    ($name:ident, $dot:literal,
     load: [$($load:literal),*], dots: [$(($sum:literal, $left:literal, $right:literal)),*],
     sums: [$(($place:literal, $lower:literal, $beside:literal)),*]) => {
        /// # Safety
        ///
        /// As [`PanelFn`] says, on a CPU with AMX.
        unsafe fn $name(panel: &Panel) {
            // SAFETY: the caller promises the instruction set, a configuration, and the memory that the tiles are
            // loaded from and stored to.
            unsafe {
                asm!(
                    "/* 16 rows below {kept} is {kept_lower} */",
                    "test {accumulate:e}, {accumulate:e}",
                    "jnz 3f",
                    $(concat!("tilezero tmm", $place),)*
                    "jmp 4f",
                    "3:",
                    $(concat!("tileloadd tmm", $place, ", [{kept", $lower, "} + {row}", $beside, "]"),)*
                    "4:",
                    "test {steps}, {steps}",
                    "jz 5f",
                    "2:",
                    $($load,)*
                    $(concat!($dot, " tmm", $sum, ", tmm", $left, ", tmm", $right),)*
                    "add {a}, 2048",
                    "add {b}, 2048",
                    "dec {steps}",
                    "jnz 2b",
                    "5:",
                    $(concat!("tilestored [{kept", $lower, "} + {row}", $beside, "], tmm", $place),)*
                    steps = inout(reg) panel.steps => _,
                    a = inout(reg) panel.a => _,
                    a_row = in(reg) ROW,
                    b = inout(reg) panel.b => _,
                    b_row = in(reg) PANEL * size_of::<u32>(),
                    kept = in(reg) panel.kept,
                    kept_lower = in(reg) panel.kept.wrapping_add(SIDE * KEPT_ROW * size_of::<u32>()),
                    row = in(reg) KEPT_ROW * size_of::<u32>(),
                    accumulate = in(reg) u32::from(panel.accumulate),
                    out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                    out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                    options(nostack),
                );
            }
        }
    };
}

/// The four panels of one instruction, and the function for a block.
macro_rules! instruction {
    ($module:ident, $sum:ty, $dot:literal) => {
        mod $module {
            use super::*;

            panel!(four, $dot,
                load: ["tileloadd tmm6, [{b} + {b_row}]", "tileloadd tmm4, [{a} + {a_row}]",
                       "tileloadd tmm7, [{b} + {b_row} + 64]", "tileloadd tmm5, [{a} + {a_row} + 1024]"],
                dots: [("0", "4", "6"), ("1", "4", "7"), ("2", "5", "6"), ("3", "5", "7")],
                sums: [("0", "", ""), ("1", "", " + 64"),
                       ("2", "_lower", ""), ("3", "_lower", " + 64")]);
            panel!(wide, $dot,
                load: ["tileloadd tmm6, [{b} + {b_row}]", "tileloadd tmm4, [{a} + {a_row}]",
                       "tileloadd tmm7, [{b} + {b_row} + 64]"],
                dots: [("0", "4", "6"), ("1", "4", "7")],
                sums: [("0", "", ""), ("1", "", " + 64")]);
            panel!(high, $dot,
                load: ["tileloadd tmm6, [{b} + {b_row}]", "tileloadd tmm4, [{a} + {a_row}]",
                       "tileloadd tmm5, [{a} + {a_row} + 1024]"],
                dots: [("0", "4", "6"), ("2", "5", "6")],
                sums: [("0", "", ""), ("2", "_lower", "")]);
            panel!(one, $dot,
                load: ["tileloadd tmm6, [{b} + {b_row}]", "tileloadd tmm4, [{a} + {a_row}]"],
                dots: [("0", "4", "6")],
                sums: [("0", "", "")]);

            pub(super) const PANELS: [[PanelFn; 2]; 2] = [[one, wide], [high, four]];

            /// # Safety
            ///
            /// As [`BlockFn`] says, on a CPU with AMX that this process may use.
            pub(super) unsafe fn block(block: &Block<$sum>) {
                // SAFETY: passed on from the caller, as below.
                let begin = |place: &Place, kept: &mut Kept| unsafe { fetch(block, place, kept) };
                // SAFETY: as above.
                let finish = |place: &Place, kept: &mut Kept| unsafe { deliver(block, place, kept) };
                // SAFETY: as above.
                unsafe { panels(&PANELS, block, begin, finish) };
            }
        }
    };
}

instruction!(bfloats, f32, "tdpbf16ps");
instruction!(signed, i32, "tdpbssd");
instruction!(unsigned_signed, i32, "tdpbusd");
instruction!(signed_unsigned, i32, "tdpbsud");

pub(super) const BFLOATS: BlockFn<f32> = bfloats::block;
pub(super) const SIGNED: BlockFn<i32> = signed::block;
pub(super) const UNSIGNED_SIGNED: BlockFn<i32> = unsigned_signed::block;
pub(super) const SIGNED_UNSIGNED: BlockFn<i32> = signed_unsigned::block;

/// Some panels beside one another.
struct Place {
    row: usize,
    column: usize,
    height: usize,
    columns: usize,
}

/// Whole panels of rows first, then what is left of them with smaller tiles. `begin` gives the sums that are added
/// to, if there are, and `finish` takes the results.
///
/// # Safety
///
/// As [`BlockFn`] says of A and B; `functions[tiles below another - 1][tiles beside one another - 1]` are those of a
/// CPU with AMX that this process may use.
#[inline(always)]
unsafe fn panels<S>(
    functions: &[[PanelFn; 2]; 2],
    block: &Block<S>,
    begin: impl Fn(&Place, &mut Kept),
    mut finish: impl FnMut(&Place, &mut Kept),
) {
    let (whole, steps) = (block.rows / PANEL * PANEL, block.groups / STEP);
    let mut near = Near(MaybeUninit::uninit());
    let mut kept = Kept(MaybeUninit::uninit());
    for (top, bottom, height) in [(0, whole, PANEL), (whole, block.rows, block.rows - whole)] {
        if top == bottom {
            continue;
        }
        // SAFETY: the caller promises AMX.
        unsafe { Configuration::new(height, PANEL).load() };
        for column in (0..block.columns).step_by(TOGETHER * PANEL) {
            let columns = (TOGETHER * PANEL).min(block.columns - column);
            for row in (top..bottom).step_by(height) {
                let place = Place { row, column, height, columns };
                if block.accumulate {
                    begin(&place, &mut kept);
                }
                // Nothing to sum is a pass that stores zeros.
                for step in (0..steps.max(1)).step_by(NEAR) {
                    let count = NEAR.min(steps - step);
                    // SAFETY: these rows and steps of A.
                    unsafe { copy(block, (row, height), (step, count), &mut near) };
                    for first in (0..columns).step_by(PANEL) {
                        let beside = PANEL.min(columns - first).div_ceil(SIDE);
                        let sliver = block.b.wrapping_add((column + first) * (block.groups + 1));
                        let panel = Panel {
                            steps: count,
                            a: near.0.as_ptr().cast(),
                            b: sliver.wrapping_add((1 + step * STEP) * PANEL),
                            kept: kept.0.as_mut_ptr().cast::<u32>().wrapping_add(first).cast(),
                            accumulate: block.accumulate || step > 0,
                        };
                        // SAFETY: the steps exist; whole tiles of columns in memory of our own.
                        unsafe { functions[height.div_ceil(SIDE) - 1][beside - 1](&panel) };
                    }
                }
                finish(&place, &mut kept);
            }
        }
    }
    // SAFETY: the caller promises AMX.
    unsafe { tiles::release() };
}

/// Copies some steps of up to 32 rows of A, tile after tile; zeros where its rows end before.
///
/// # Safety
///
/// These rows of A are readable, at most [`NEAR`] steps.
#[inline(always)]
unsafe fn copy<S>(
    block: &Block<S>,
    (start, height): (usize, usize),
    (step, count): (usize, usize),
    near: &mut Near,
) {
    let to = near.0.as_mut_ptr().cast::<u8>();
    let left = block.a_bytes.saturating_sub(step * ROW).min(count * ROW);
    let (whole, rest) = (left / ROW, left % ROW);
    for i in 0..height {
        let row = block.a.wrapping_offset((start + i) as isize * block.a_row);
        let (row, to) = (row.wrapping_add(step * ROW), to.wrapping_add(i * ROW));
        for p in 0..whole {
            let (from, to) = (row.wrapping_add(p * ROW), to.wrapping_add(p * STEP_BYTES));
            // SAFETY: 64 bytes of this row in this step; as many of our own.
            unsafe { to.copy_from_nonoverlapping(from, ROW) };
        }
        for p in whole..count {
            let to = to.wrapping_add(p * STEP_BYTES);
            // SAFETY: a row of a tile of our own.
            unsafe { to.write_bytes(0, ROW) };
            let here = if p == whole { rest } else { 0 };
            // SAFETY: what is left of this row; no more than fits.
            unsafe { to.copy_from_nonoverlapping(row.wrapping_add(p * ROW), here) };
        }
    }
}

/// Copies what is in C to the sums.
///
/// # Safety
///
/// The place lies within C, which is readable.
#[inline(always)]
unsafe fn fetch<S>(block: &Block<S>, place: &Place, kept: &mut Kept) {
    for i in 0..place.height {
        let c = block.c.wrapping_offset((place.row + i) as isize * block.c_row);
        let to = kept.0.as_mut_ptr().cast::<S>().wrapping_add(i * KEPT_ROW);
        // SAFETY: a row of the place; sums are as wide as units.
        unsafe { to.copy_from_nonoverlapping(c.wrapping_add(place.column), place.columns) };
    }
}

/// Copies the sums to C.
///
/// # Safety
///
/// The place lies within C, which is writable, and nothing else refers to it.
#[inline(always)]
unsafe fn deliver<S>(block: &Block<S>, place: &Place, kept: &Kept) {
    for i in 0..place.height {
        let c = block.c.wrapping_offset((place.row + i) as isize * block.c_row);
        let from = kept.0.as_ptr().cast::<S>().wrapping_add(i * KEPT_ROW);
        // SAFETY: a row of the place; sums are as wide as units.
        unsafe { c.wrapping_add(place.column).copy_from_nonoverlapping(from, place.columns) };
    }
}
