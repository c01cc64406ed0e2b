//! Products of panels in AMX's tiles: 32 by 32 sums in four tiles of 16 by 16.
//!
//! A step is six products of pieces for each tile of sums, the small ones first. They go through the pieces so that
//! one side stays where it is from each to the next, which is fourteen loads for 24 products; these take
//! longer than the loads, also from the second-level cache.
//!
//! A tile that is stored when none was for 700 ns takes another 300 ns (measured on Sapphire Rapids, the same with and
//! without loads from other caches), as much as two steps. So each step stores a tile that nobody reads: that
//! takes no time beside products.
//!
//! Compilers know the instructions by name only, so a panel's whole sum is one block of assembly; the
//! configuration is loaded and released around each block of C, so that no thread leaves tiles in use behind.

use std::arch::asm;
use std::mem::MaybeUninit;

use super::{Block, Far, SIDE, STEP};
use crate::simd::tiles::{self, Configuration};

/// Bytes in a row of a tile.
const ROW: usize = 64;

/// Bytes that are asked for in a step, a quarter of those that it reads of each operand: four panels beside one
/// another ask for the next one of the other operand.
const AHEAD: usize = size_of::<u32>() * STEP / 4;

/// Room for a tile that nobody reads.
#[repr(C, align(64))]
struct Spare(MaybeUninit<[u8; SIDE / 2 * ROW]>);

/// Up to 32 by 32 sums.
struct Panel {
    steps: usize,
    a: *const u32,
    b: *const u32,
    c: *mut f32,
    /// Bytes from a row to the next.
    c_row: isize,
    accumulate: bool,
    /// What is asked for meanwhile: [`AHEAD`] bytes a step.
    ahead: *const u32,
    /// A [`Spare`].
    spare: *mut u8,
}

/// # Safety
///
/// As [`super::BlockFn`] says of the operands; tiles are configured for the rows and columns.
type PanelFn = unsafe fn(&Panel);

/// The loop over steps, with one or two tiles of rows and of columns. `left` and `right` are lists of (tile, bytes from the
/// first of its piece), `dots` of the products of one piece by another, `sums` of where they lie.
macro_rules! panel {
    ($name:ident, left: [$(($a:literal, $a_at:literal)),*], right: [$(($b:literal, $b_at:literal)),*],
     dots: [$(($sum:literal, $x:literal, $y:literal)),*],
     sums: [$(($place:literal, $lower:literal, $beside:literal)),*]) => {
        /// # Safety
        ///
        /// As [`PanelFn`] says, on a CPU with AMX.
        unsafe fn $name(panel: &Panel) {
            let lower = panel.c.wrapping_byte_offset((SIDE / 2) as isize * panel.c_row);
            // SAFETY: the caller promises the instruction set, a configuration, and the memory that the tiles are
            // loaded from and stored to.
            unsafe {
                asm!(
                    "/* 16 rows below {c} is {c_lower} */",
                    "test {accumulate}, {accumulate}",
                    "jnz 3f",
                    $(concat!("tilezero tmm", $place),)*
                    "jmp 4f",
                    "3:",
                    $(concat!("tileloadd tmm", $place, ", [{c", $lower, "} + {c_row}", $beside, "]"),)*
                    "4:",
                    "test {steps}, {steps}",
                    "jz 5f",
                    "2:",
                    $(concat!("tileloadd tmm", $b, ", [{b} + {row} + ", $b_at, "]"),)*
                    $(concat!("tileloadd tmm", $a, ", [{a} + {row} + 4096 + ", $a_at, "]"),)*
                    $(concat!("tdpbf16ps tmm", $sum, ", tmm", $x, ", tmm", $y),)*
                    "prefetcht1 [{ahead} + 0]",
                    "prefetcht1 [{ahead} + 64]",
                    "prefetcht1 [{ahead} + 128]",
                    "prefetcht1 [{ahead} + 192]",
                    $(concat!("tileloadd tmm", $a, ", [{a} + {row} + 2048 + ", $a_at, "]"),)*
                    $(concat!("tdpbf16ps tmm", $sum, ", tmm", $x, ", tmm", $y),)*
                    "prefetcht1 [{ahead} + 256]",
                    "prefetcht1 [{ahead} + 320]",
                    "prefetcht1 [{ahead} + 384]",
                    "prefetcht1 [{ahead} + 448]",
                    $(concat!("tileloadd tmm", $b, ", [{b} + {row} + 2048 + ", $b_at, "]"),)*
                    $(concat!("tdpbf16ps tmm", $sum, ", tmm", $x, ", tmm", $y),)*
                    "prefetcht1 [{ahead} + 512]",
                    "prefetcht1 [{ahead} + 576]",
                    "prefetcht1 [{ahead} + 640]",
                    "prefetcht1 [{ahead} + 704]",
                    $(concat!("tileloadd tmm", $a, ", [{a} + {row} + ", $a_at, "]"),)*
                    $(concat!("tdpbf16ps tmm", $sum, ", tmm", $x, ", tmm", $y),)*
                    "prefetcht1 [{ahead} + 768]",
                    "prefetcht1 [{ahead} + 832]",
                    "prefetcht1 [{ahead} + 896]",
                    "prefetcht1 [{ahead} + 960]",
                    $(concat!("tileloadd tmm", $b, ", [{b} + {row} + 4096 + ", $b_at, "]"),)*
                    $(concat!("tdpbf16ps tmm", $sum, ", tmm", $x, ", tmm", $y),)*
                    "prefetcht1 [{ahead} + 1024]",
                    "prefetcht1 [{ahead} + 1088]",
                    "prefetcht1 [{ahead} + 1152]",
                    "prefetcht1 [{ahead} + 1216]",
                    $(concat!("tileloadd tmm", $b, ", [{b} + {row} + ", $b_at, "]"),)*
                    $(concat!("tdpbf16ps tmm", $sum, ", tmm", $x, ", tmm", $y),)*
                    "prefetcht1 [{ahead} + 1280]",
                    "prefetcht1 [{ahead} + 1344]",
                    "prefetcht1 [{ahead} + 1408]",
                    "prefetcht1 [{ahead} + 1472]",
                    "tilestored [{spare} + {row}], tmm4",
                    "add {a}, 6144",
                    "add {ahead}, 1536",
                    "add {b}, 6144",
                    "dec {steps}",
                    "jnz 2b",
                    "5:",
                    $(concat!("tilestored [{c", $lower, "} + {c_row}", $beside, "], tmm", $place),)*
                    accumulate = in(reg) usize::from(panel.accumulate),
                    steps = inout(reg) panel.steps => _,
                    a = inout(reg) panel.a => _,
                    b = inout(reg) panel.b => _,
                    row = in(reg) ROW,
                    ahead = inout(reg) panel.ahead => _,
                    spare = in(reg) panel.spare,
                    c = in(reg) panel.c,
                    c_lower = in(reg) lower,
                    c_row = in(reg) panel.c_row,
                    out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                    out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                    options(nostack),
                );
            }
        }
    };
}

panel!(four, left: [("4", "0"), ("5", "1024")], right: [("6", "0"), ("7", "1024")],
    dots: [("0", "4", "6"), ("1", "4", "7"), ("2", "5", "6"), ("3", "5", "7")],
    sums: [("0", "", ""), ("1", "", " + 64"), ("2", "_lower", ""), ("3", "_lower", " + 64")]);
panel!(wide, left: [("4", "0")], right: [("6", "0"), ("7", "1024")],
    dots: [("0", "4", "6"), ("1", "4", "7")],
    sums: [("0", "", ""), ("1", "", " + 64")]);
panel!(high, left: [("4", "0"), ("5", "1024")], right: [("6", "0")],
    dots: [("0", "4", "6"), ("2", "5", "6")],
    sums: [("0", "", ""), ("2", "_lower", "")]);
panel!(one, left: [("4", "0")], right: [("6", "0")],
    dots: [("0", "4", "6")],
    sums: [("0", "", "")]);

/// By tiles of rows, then of columns, less one.
const PANELS: [[PanelFn; 2]; 2] = [[one, wide], [high, four]];

/// All panels of the near operand after one another, for each of the far one.
///
/// # Safety
///
/// As [`super::BlockFn`] says, on a CPU with AMX that this process may use.
pub(super) unsafe fn block(block: &Block<f32>) {
    let panels = (block.rows.div_ceil(SIDE), block.columns.div_ceil(SIDE));
    let is_left = block.far == Far::Left;
    let (far, outer, inner) =
        if is_left { (block.left, panels.0, panels.1) } else { (block.right, panels.1, panels.0) };
    let mut spare = Spare(MaybeUninit::uninit());
    let mut configured = (0, 0);
    for o in 0..outer {
        // Of the last there is none behind.
        let next = far.0.wrapping_offset((o + 1).min(outer - 1) as isize * far.1);
        for n in 0..inner {
            let (i, j) = if is_left { (o, n) } else { (n, o) };
            let (first, left) = (i * SIDE, j * SIDE);
            let (rows, columns) = (SIDE.min(block.rows - first), SIDE.min(block.columns - left));
            if configured != (rows, columns) {
                configured = (rows, columns);
                // SAFETY: the caller promises AMX.
                unsafe { Configuration::new(rows, columns).load() };
            }
            let c = block.c.wrapping_offset(first as isize * block.c_row).wrapping_add(left);
            let panel = Panel {
                steps: block.steps,
                a: block.left.0.wrapping_offset(i as isize * block.left.1),
                b: block.right.0.wrapping_offset(j as isize * block.right.1),
                c,
                c_row: block.c_row * size_of::<f32>().cast_signed(),
                accumulate: block.accumulate,
                ahead: next.wrapping_byte_add(n % 4 * block.steps * AHEAD),
                spare: spare.0.as_mut_ptr().cast(),
            };
            let tiles = |extent: usize| extent.div_ceil(SIDE / 2) - 1;
            // SAFETY: these panels exist, and these rows and columns of C; tiles are configured for them.
            unsafe { PANELS[tiles(rows)][tiles(columns)](&panel) };
        }
    }
    // SAFETY: the caller promises AMX.
    unsafe { tiles::release() };
}
