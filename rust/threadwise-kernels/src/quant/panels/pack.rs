//! Codes as files hold them, row by row, become panels.

use super::layout::{LANES, Layout, in_word, planes};

impl Layout {
    /// Writes the codes of a panel: of up to sixteen rows, each a stream of codes, those from code `first` on. What lacks
    /// is zeros.
    ///
    /// # Panics
    ///
    /// If `to` has not [`Layout::panel_bytes`], or there are more rows.
    pub fn pack(&self, rows: &[&[u32]], first: usize, to: &mut [u8]) {
        assert!(rows.len() <= LANES, "rows of a panel");
        assert_eq!(to.len(), self.panel_bytes(), "room for a panel");
        let bytes = self.word_bytes() / LANES;
        for (w, to) in to.chunks_exact_mut(self.word_bytes()).enumerate() {
            let bit = (first + w * in_word(self.bits())) * self.bits() as usize;
            for (r, to) in to.chunks_exact_mut(bytes).enumerate() {
                let word = rows.get(r).map_or(0, |row| arranged(self.bits(), bits_at(row, bit)));
                to.copy_from_slice(&word.to_le_bytes()[..bytes]);
            }
        }
    }
}

/// 32 bits of a stream; zeros behind its end.
#[expect(clippy::cast_possible_truncation, reason = "the lower half is what is asked for")]
fn bits_at(stream: &[u32], bit: usize) -> u32 {
    let word = |i: usize| u64::from(stream.get(i).copied().unwrap_or(0));
    let both = word(bit / 32) | word(bit / 32 + 1) << 32;
    (both >> (bit % 32)) as u32
}

/// A word whose planes have codes that follow one another: code 4p + b at bit 8b + p·bits. Words of 3 bits are as they
/// were.
fn arranged(bits: u32, word: u32) -> u32 {
    let mut made = 0;
    for plane in 0..planes(bits) {
        match bits {
            4 => {
                let four = word >> (16 * plane) & 0xffff;
                let pairs = (four | four << 8) & 0x00ff_00ff;
                made |= ((pairs | pairs << 4) & 0x0f0f_0f0f) << (4 * plane);
            }
            2 => {
                let four = word >> (8 * plane) & 0xff;
                let pairs = (four | four << 12) & 0x000f_000f;
                made |= ((pairs | pairs << 6) & 0x0303_0303) << (2 * plane);
            }
            _ => return word,
        }
    }
    made
}
