//! The inner kernel in AMX's tiles: 32 by 32 sums in four tiles of 16 by 16, two tiles of A and two of B.
//!
//! A tile has 16 rows of 64 bytes, so 16 units: those of A are 16 rows of 16 groups of k, those of B 16 groups of 16
//! columns, which is how slivers lie; A lies as tiles want it even unpacked. A step of 16 groups is four loads
//! and four products. Sums of bfloat16 are rounded to nearest after the even terms of a unit and after the odd ones,
//! and subnormal numbers are zero, as with `vdpbf16ps`; integers are exact.
//!
//! Compilers know the instructions by name only, so a tile's whole sum is one block of assembly; the
//! configuration is loaded and released around each block of C, so that no thread leaves tiles in use behind.

use std::arch::asm;

use super::tile::{Block, BlockFn};

/// Rows of a tile, and units in a row.
const SIDE: usize = 16;

/// Bytes in a row of a tile.
const ROW: usize = 64;

/// Rows and columns of the sums in four tiles, and units in a row of a sliver.
pub(super) const PANEL: usize = 2 * SIDE;

/// Groups of k in a step.
pub(super) const STEP: usize = SIDE;

/// The shapes of tiles, as `ldtilecfg` reads them.
#[repr(C, align(64))]
struct Configuration {
    palette: u8,
    start: u8,
    reserved: [u8; 14],
    row_bytes: [u16; 16],
    rows: [u8; 16],
}

impl Configuration {
    /// Tiles 0 to 3 for sums, row by row; 4 and 5 for A; 6 and 7 for B. The upper tiles of sums and of A have
    /// `upper` rows, the lower ones `lower`; where there are none, they are not used.
    #[expect(clippy::cast_possible_truncation, reason = "a tile has 16 rows of 64 bytes")]
    fn new(upper: usize, lower: usize) -> Self {
        let (upper, lower, all) = (upper as u8, lower.max(1) as u8, SIDE as u8);
        let mut rows = [0; 16];
        rows[..8].copy_from_slice(&[upper, upper, lower, lower, upper, lower, all, all]);
        let mut row_bytes = [0; 16];
        row_bytes[..8].fill(ROW as u16);
        Self { palette: 1, start: 0, reserved: [0; 14], row_bytes, rows }
    }
}

/// Up to 32 by 32 sums. Strides are bytes.
struct Panel {
    steps: usize,
    a: *const u8,
    a_row: isize,
    b: *const u32,
    c: *mut u8,
    c_row: isize,
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
     sums: [$(($place:literal, $at:literal)),*]) => {
        /// # Safety
        ///
        /// As [`PanelFn`] says, on a CPU with AMX.
        unsafe fn $name(panel: &Panel) {
            let lower = (SIDE as isize).wrapping_mul(panel.a_row);
            let c_lower = panel.c.wrapping_offset((SIDE as isize).wrapping_mul(panel.c_row));
            // SAFETY: the caller promises the instruction set, a configuration, and the memory that the tiles are
            // loaded from and stored to.
            unsafe {
                asm!(
                    "/* sums at {c} and, 16 rows below, {c_lower}; A likewise */",
                    "test {accumulate:e}, {accumulate:e}",
                    "jnz 3f",
                    $(concat!("tilezero tmm", $place),)*
                    "jmp 4f",
                    "3:",
                    $(concat!("tileloadd tmm", $place, ", ", $at),)*
                    "4:",
                    "test {steps}, {steps}",
                    "jz 5f",
                    "2:",
                    $($load,)*
                    $(concat!($dot, " tmm", $sum, ", tmm", $left, ", tmm", $right),)*
                    "add {a}, 64",
                    "add {a_lower}, 64",
                    "add {b}, 2048",
                    "dec {steps}",
                    "jnz 2b",
                    "5:",
                    $(concat!("tilestored ", $at, ", tmm", $place),)*
                    accumulate = in(reg) u32::from(panel.accumulate),
                    steps = inout(reg) panel.steps => _,
                    a = inout(reg) panel.a => _,
                    a_lower = inout(reg) panel.a.wrapping_offset(lower) => _,
                    a_row = in(reg) panel.a_row,
                    b = inout(reg) panel.b => _,
                    b_row = in(reg) PANEL * size_of::<u32>(),
                    c = in(reg) panel.c,
                    c_lower = in(reg) c_lower,
                    c_row = in(reg) panel.c_row,
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
    ($module:ident, $name:ident, $sum:ty, $dot:literal) => {
        mod $module {
            use super::*;

            panel!(four, $dot,
                load: ["tileloadd tmm6, [{b} + {b_row}]", "tileloadd tmm4, [{a} + {a_row}]",
                       "tileloadd tmm7, [{b} + {b_row} + 64]", "tileloadd tmm5, [{a_lower} + {a_row}]"],
                dots: [("0", "4", "6"), ("1", "4", "7"), ("2", "5", "6"), ("3", "5", "7")],
                sums: [("0", "[{c} + {c_row}]"), ("1", "[{c} + {c_row} + 64]"),
                       ("2", "[{c_lower} + {c_row}]"), ("3", "[{c_lower} + {c_row} + 64]")]);
            panel!(wide, $dot,
                load: ["tileloadd tmm6, [{b} + {b_row}]", "tileloadd tmm4, [{a} + {a_row}]",
                       "tileloadd tmm7, [{b} + {b_row} + 64]"],
                dots: [("0", "4", "6"), ("1", "4", "7")],
                sums: [("0", "[{c} + {c_row}]"), ("1", "[{c} + {c_row} + 64]")]);
            panel!(high, $dot,
                load: ["tileloadd tmm6, [{b} + {b_row}]", "tileloadd tmm4, [{a} + {a_row}]",
                       "tileloadd tmm5, [{a_lower} + {a_row}]"],
                dots: [("0", "4", "6"), ("2", "5", "6")],
                sums: [("0", "[{c} + {c_row}]"), ("2", "[{c_lower} + {c_row}]")]);
            panel!(one, $dot,
                load: ["tileloadd tmm6, [{b} + {b_row}]", "tileloadd tmm4, [{a} + {a_row}]"],
                dots: [("0", "4", "6")],
                sums: [("0", "[{c} + {c_row}]")]);

            pub(super) const PANELS: [[PanelFn; 2]; 2] = [[one, wide], [high, four]];
        }

        /// # Safety
        ///
        /// As [`BlockFn`] says, on a CPU with AMX that this process may use.
        unsafe fn $name(block: &Block<$sum>) {
            // SAFETY: passed on from the caller.
            unsafe { panels(&$module::PANELS, block) };
        }
    };
}

instruction!(bfloats, bf16, f32, "tdpbf16ps");
instruction!(signed, signed_by_signed, i32, "tdpbssd");
instruction!(unsigned_signed, unsigned_by_signed, i32, "tdpbusd");
instruction!(signed_unsigned, signed_by_unsigned, i32, "tdpbsud");

pub(super) const BFLOATS: BlockFn<f32> = bf16;
pub(super) const SIGNED: BlockFn<i32> = signed_by_signed;
pub(super) const UNSIGNED_SIGNED: BlockFn<i32> = unsigned_by_signed;
pub(super) const SIGNED_UNSIGNED: BlockFn<i32> = signed_by_unsigned;

/// Whole panels of rows first, then what is left of them with smaller tiles.
///
/// # Safety
///
/// As [`BlockFn`] says; `functions[tiles below another - 1][tiles beside one another - 1]` are those of a CPU
/// with AMX that this process may use.
unsafe fn panels<S>(functions: &[[PanelFn; 2]; 2], block: &Block<S>) {
    let whole = block.rows / PANEL * PANEL;
    for (begin, end, height) in [(0, whole, PANEL), (whole, block.rows, block.rows - whole)] {
        if begin == end {
            continue;
        }
        let configuration = Configuration::new(height.min(SIDE), height.saturating_sub(SIDE));
        // SAFETY: a palette that every CPU with AMX has, and shapes within it.
        unsafe { asm!("ldtilecfg [{}]", in(reg) &raw const configuration, options(nostack)) };
        for first in (0..block.columns).step_by(PANEL) {
            for start in (begin..end).step_by(height) {
                // SAFETY: these rows and columns lie within the block.
                unsafe { sums(functions, block, (start, height), first) };
            }
        }
    }
    // SAFETY: tiles are configured, or not in use, which is as well.
    unsafe { asm!("tilerelease", options(nostack, nomem)) };
}

/// # Safety
///
/// As [`panels`]; rows `start` to `start + height - 1` exist, and column `first`.
#[inline(always)]
unsafe fn sums<S>(
    functions: &[[PanelFn; 2]; 2],
    block: &Block<S>,
    (start, height): (usize, usize),
    first: usize,
) {
    let columns = PANEL.min(block.columns - first);
    let beside = columns.div_ceil(SIDE);
    let compute = functions[height.div_ceil(SIDE) - 1][beside - 1];
    let sliver = block.b.wrapping_add(first * (block.groups + 1));
    let c = block.c.wrapping_offset(start as isize * block.c_row).wrapping_add(first);
    let c_row = block.c_row * size_of::<S>().cast_signed();
    let mut panel = Panel {
        steps: block.groups / STEP,
        a: block.a.wrapping_offset(start as isize * block.a_row),
        a_row: block.a_row,
        b: sliver.wrapping_add(PANEL),
        c: c.cast(),
        c_row,
        accumulate: block.accumulate,
    };
    if columns.is_multiple_of(SIDE) {
        // SAFETY: whole tiles of columns.
        unsafe { compute(&panel) };
        return;
    }
    let mut room = [0_u32; PANEL * PANEL];
    let to = |i: usize| c.wrapping_offset(i as isize * block.c_row).cast::<u32>();
    for (i, room) in room.chunks_exact_mut(PANEL).enumerate().take(height) {
        if block.accumulate {
            // SAFETY: as many elements as this row of C has here.
            unsafe { room.as_mut_ptr().copy_from_nonoverlapping(to(i), columns) };
        }
    }
    (panel.c, panel.c_row) = (room.as_mut_ptr().cast(), (PANEL * size_of::<u32>()).cast_signed());
    // SAFETY: whole tiles of columns of our own.
    unsafe { compute(&panel) };
    for (i, room) in room.chunks_exact(PANEL).enumerate().take(height) {
        // SAFETY: as above.
        unsafe { to(i).copy_from_nonoverlapping(room.as_ptr(), columns) };
    }
}
