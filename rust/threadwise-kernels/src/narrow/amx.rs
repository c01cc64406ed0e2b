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
//! Compilers know the instructions by name only, so a tile's whole sum is one block of assembly; the
//! configuration is loaded and released around each block of C, so that no thread leaves tiles in use behind.

use std::arch::asm;
use std::mem::MaybeUninit;
use std::ptr::null;

use super::tile::{Block, BlockFn, Part};
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

/// Room for the sums of a panel, kept until all steps are done: rows of C may lie so far apart that they
/// drive one another out of the first-level cache.
#[repr(C, align(64))]
struct Kept(MaybeUninit<[u32; PANEL * PANEL]>);

/// Up to 32 by 32 sums.
struct Panel {
    steps: usize,
    /// Rows of a tile follow one another, then those of the tile below, then the next step.
    a: *const u8,
    b: *const u32,
    /// The sums so far, or null, and bytes from a row of them to the next.
    from: *const u8,
    from_row: isize,
    /// Where the sums go.
    to: *mut u8,
    to_row: isize,
}

/// # Safety
///
/// As [`BlockFn`] says of the operands, with whole tiles of columns; tiles are configured.
type PanelFn = unsafe fn(&Panel);

/// The loop over the steps of k, with a row and a column of tiles, or two of them. Of each step: the loads, and the
/// registers of each product, its sum's first; of the sums: the register of each tile, and where it lies from the first.
macro_rules! panel {
    ($name:ident, $dot:literal,
     load: [$($load:literal),*], dots: [$(($sum:literal, $left:literal, $right:literal)),*],
     sums: [$(($place:literal, $lower:literal, $beside:literal)),*]) => {
        /// # Safety
        ///
        /// As [`PanelFn`] says, on a CPU with AMX.
        unsafe fn $name(panel: &Panel) {
            let below = |row: isize| (SIDE as isize).wrapping_mul(row);
            // SAFETY: the caller promises the instruction set, a configuration, and the memory that the tiles are
            // loaded from and stored to.
            unsafe {
                asm!(
                    "/* 16 rows below {from} is {from_lower}, below {to} {to_lower} */",
                    "test {from}, {from}",
                    "jnz 3f",
                    $(concat!("tilezero tmm", $place),)*
                    "jmp 4f",
                    "3:",
                    $(concat!("tileloadd tmm", $place, ", [{from", $lower, "} + {from_row}", $beside, "]"),)*
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
                    $(concat!("tilestored [{to", $lower, "} + {to_row}", $beside, "], tmm", $place),)*
                    steps = inout(reg) panel.steps => _,
                    a = inout(reg) panel.a => _,
                    a_row = in(reg) ROW,
                    b = inout(reg) panel.b => _,
                    b_row = in(reg) PANEL * size_of::<u32>(),
                    from = in(reg) panel.from,
                    from_lower = in(reg) panel.from.wrapping_offset(below(panel.from_row)),
                    from_row = in(reg) panel.from_row,
                    to = in(reg) panel.to,
                    to_lower = in(reg) panel.to.wrapping_offset(below(panel.to_row)),
                    to_row = in(reg) panel.to_row,
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
        }

        /// # Safety
        ///
        /// As [`BlockFn`] says, on a CPU with AMX that this process may use.
        unsafe fn $name(block: &Block<'_, $sum>) {
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
#[expect(clippy::large_stack_arrays, reason = "48 KiB: threads have at least forty times as much")]
unsafe fn panels<S>(functions: &[[PanelFn; 2]; 2], block: &Block<'_, S>) {
    let (whole, steps) = (block.rows / PANEL * PANEL, block.groups / STEP);
    let mut near = Near(MaybeUninit::uninit());
    let mut kept = [const { Kept(MaybeUninit::uninit()) }; TOGETHER];
    for (begin, end, height) in [(0, whole, PANEL), (whole, block.rows, block.rows - whole)] {
        if begin == end {
            continue;
        }
        // SAFETY: the caller promises AMX.
        unsafe { Configuration::new(height, PANEL).load() };
        for left in (0..block.columns).step_by(TOGETHER * PANEL) {
            let right = block.columns.min(left + TOGETHER * PANEL);
            for start in (begin..end).step_by(height) {
                // Nothing to sum is a pass that stores zeros, or what was there.
                for step in (0..steps.max(1)).step_by(NEAR) {
                    let count = NEAR.min(steps - step);
                    // SAFETY: these rows and steps of A.
                    unsafe { copy(block, (start, height), (step, count), &mut near) };
                    let a = near.0.as_ptr().cast();
                    for (first, kept) in (left..right).step_by(PANEL).zip(&mut kept) {
                        let (rows, kept) = ((start, height), kept.0.as_mut_ptr().cast());
                        // SAFETY: these rows, columns and steps lie within the block.
                        unsafe { sums(functions, block, a, rows, (step, count), first, kept) };
                    }
                }
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
/// These rows of A are readable, at most [`NEAR`] steps. The CPU executes AVX-512 F and BW, as every one with AMX does.
#[target_feature(enable = "avx512f,avx512bw")]
unsafe fn copy<S>(
    block: &Block<'_, S>,
    (start, height): (usize, usize),
    (step, count): (usize, usize),
    near: &mut Near,
) {
    use std::arch::x86_64::{_mm512_loadu_si512, _mm512_maskz_loadu_epi8, _mm512_store_si512};
    let to = near.0.as_mut_ptr().cast::<u8>();
    let left = block.a_bytes.saturating_sub(step * ROW).min(count * ROW);
    let (whole, rest) = (left / ROW, left % ROW);
    for i in 0..height {
        let row = block.a.wrapping_offset((start + i) as isize * block.a_row);
        let (row, to) = (row.wrapping_add(step * ROW), to.wrapping_add(i * ROW));
        for p in 0..count {
            let from = row.wrapping_add(p * ROW);
            let elements = if p < whole {
                // SAFETY: 64 bytes of this row in this step.
                unsafe { _mm512_loadu_si512(from.cast()) }
            } else {
                // Of a row that has ended its first byte is looked at, not what is beyond it.
                let (from, rest) = if p == whole { (from, rest) } else { (block.a, 0) };
                // SAFETY: what is left of this row.
                unsafe { _mm512_maskz_loadu_epi8((1 << rest) - 1, from.cast()) }
            };
            // SAFETY: a row of a tile of our own.
            unsafe { _mm512_store_si512(to.wrapping_add(p * STEP_BYTES).cast(), elements) };
        }
    }
}

/// Sums of a panel, over some steps of k whose rows of A are at `a`. After the last of them they go to C, right from
/// the tiles where these are whole, or to what takes them.
///
/// # Safety
///
/// As [`panels`]; rows `start` to `start + height - 1` exist, and column `first`, and
/// `steps` from `step` on. `kept` is room for a panel, with the sums so far if `step` is not 0.
#[inline(always)]
unsafe fn sums<S>(
    functions: &[[PanelFn; 2]; 2],
    block: &Block<'_, S>,
    a: *const u8,
    (start, height): (usize, usize),
    (step, steps): (usize, usize),
    first: usize,
    kept: *mut u8,
) {
    let columns = PANEL.min(block.columns - first);
    let beside = columns.div_ceil(SIDE);
    let compute = functions[height.div_ceil(SIDE) - 1][beside - 1];
    let sliver = block.b.wrapping_add(first * (block.groups + 1));
    let c = block.c.wrapping_offset(start as isize * block.c_row).wrapping_add(first);
    let c = (c.cast::<u8>(), block.c_row * size_of::<S>().cast_signed());
    let mut room = Kept(MaybeUninit::uninit());
    let own = |sums: *mut u8| (sums, (PANEL * size_of::<u32>()).cast_signed());
    let is_ragged = !columns.is_multiple_of(SIDE);
    let is_last = (step + steps) * STEP >= block.groups;
    // One room for all panels: it stays in the first-level cache.
    let is_apart = is_ragged || block.results.is_some();
    let outside = if is_apart { own(room.0.as_mut_ptr().cast()) } else { c };
    let kept = own(kept);
    let begin = step == 0;
    if is_ragged && begin && block.accumulate {
        // SAFETY: as many elements as these rows of C have here.
        unsafe { rows(c, outside, (height, columns * size_of::<S>())) };
    }
    let from = if begin { outside } else { kept };
    let (to, to_row) = if is_last { outside } else { kept };
    let panel = Panel {
        steps,
        a,
        b: sliver.wrapping_add((1 + step * STEP) * PANEL),
        from: if begin && !block.accumulate { null() } else { from.0 },
        from_row: from.1,
        to,
        to_row,
    };
    // SAFETY: the steps exist; whole tiles of columns, ragged ones in memory of our own.
    unsafe { compute(&panel) };
    if is_last && let Some(results) = block.results {
        let (sums, row) = (room.0.as_mut_ptr().cast(), PANEL.cast_signed());
        let part = Part { sums, row, size: (height, columns), from: (start, first) };
        // SAFETY: sums that were computed, of these rows and columns.
        unsafe { results.take(&part) };
    } else if is_ragged && is_last {
        // SAFETY: as many elements as these rows of C have here.
        unsafe { rows(outside, c, (height, columns * size_of::<S>())) };
    }
}

/// Copies rows of some bytes, from and to places with the bytes from a row to the next.
///
/// # Safety
///
/// All these bytes are readable, and writable, respectively.
unsafe fn rows(from: (*mut u8, isize), to: (*mut u8, isize), (height, bytes): (usize, usize)) {
    for i in 0..height.cast_signed() {
        let (from, to) = (from.0.wrapping_offset(i * from.1), to.0.wrapping_offset(i * to.1));
        // SAFETY: a row.
        unsafe { to.copy_from_nonoverlapping(from, bytes) };
    }
}
