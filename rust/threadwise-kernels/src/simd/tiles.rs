//! The shapes of AMX's tiles.

use std::arch::asm;

/// Rows of a tile, and columns of 32 bits.
const SIDE: usize = 16;

/// The shapes of tiles, as `ldtilecfg` reads them.
#[repr(C, align(64))]
pub(crate) struct Configuration {
    palette: u8,
    start: u8,
    reserved: [u8; 14],
    row_bytes: [u16; 16],
    rows: [u8; 16],
}

impl Configuration {
    /// Tiles 0 to 3 for up to 32 by 32 sums, row by row; 4 and 5 for A; 6 and 7 for B, both with 16 units along k.
    /// Where there are no more than 16 rows or columns, the second tiles are not used.
    #[expect(clippy::cast_possible_truncation, reason = "a tile has 16 rows of 64 bytes")]
    pub(crate) fn new(rows: usize, columns: usize) -> Self {
        let pair = |extent: usize| (extent.min(SIDE), extent.saturating_sub(SIDE).max(1));
        let ((upper, lower), (left, right)) = (pair(rows), pair(columns));
        let shapes = [
            (upper, left),
            (upper, right),
            (lower, left),
            (lower, right),
            (upper, SIDE),
            (lower, SIDE),
            (SIDE, left),
            (SIDE, right),
        ];
        let (mut heights, mut row_bytes) = ([0; 16], [0; 16]);
        for (i, (rows, columns)) in shapes.into_iter().enumerate() {
            heights[i] = rows as u8;
            row_bytes[i] = (columns * size_of::<u32>()) as u16;
        }
        Self { palette: 1, start: 0, reserved: [0; 14], row_bytes, rows: heights }
    }

    /// Configures the tiles of this thread; what was in them is lost.
    ///
    /// # Safety
    ///
    /// The CPU has AMX, and this process may use it.
    pub(crate) unsafe fn load(&self) {
        // SAFETY: a palette that every CPU with AMX has, and shapes within it.
        unsafe { asm!("ldtilecfg [{}]", in(reg) &raw const *self, options(nostack)) };
    }
}

/// Gives the tiles of this thread back to the system.
///
/// # Safety
///
/// The CPU has AMX, and this process may use it.
pub(crate) unsafe fn release() {
    // SAFETY: tiles are configured, or not in use, which is as well.
    unsafe { asm!("tilerelease", options(nostack, nomem)) };
}
