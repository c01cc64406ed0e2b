//! Where the codes of a row lie, and what of the inputs meets them.

/// Codes of one width in groups of one size, along rows of one length.
///
/// A row is one stream of bits. Its words are 32 bits, or, for codes of 3 bits, 24: a word of codes is a *lane*, which
/// holds all of its codes. Sixteen lanes make a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    bits: u32,
    columns: usize,
    /// The group of code j is `j >> shift`.
    shift: u32,
}

/// Lanes in a block, on every instruction set.
pub(super) const LANES: usize = 16;

/// Groups are as long at least as a lane of codes.
const SHORTEST: usize = 16;

impl Layout {
    /// Rows of `columns` codes of `bits`, in groups of `group`, or one for the whole row.
    ///
    /// # Panics
    ///
    /// If codes are not of 2, 3, 4 or 8 bits, or groups not of a power of two, 16 or more.
    #[must_use]
    pub fn new(bits: u32, columns: usize, group: Option<usize>) -> Self {
        assert!(matches!(bits, 2 | 3 | 4 | 8), "codes of {bits} bits");
        let shift = match group {
            Some(group) if group < columns => {
                assert!(group.is_power_of_two() && group >= SHORTEST, "groups of {group}");
                group.ilog2()
            }
            // One group, whatever the length.
            _ => usize::BITS - 1,
        };
        Self { bits, columns, shift }
    }

    /// Bits of a code.
    #[must_use]
    pub fn bits(&self) -> u32 {
        self.bits
    }

    /// Codes of a row.
    #[must_use]
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Groups of a row.
    #[must_use]
    pub fn groups(&self) -> usize {
        self.columns.checked_sub(1).map_or(0, |last| self.group(last) + 1)
    }

    /// Words of 32 bits in which a row of codes is packed.
    #[must_use]
    pub fn words(&self) -> usize {
        (self.columns * self.bits as usize).div_ceil(32)
    }

    /// The group of a code.
    pub(super) fn group(&self, code: usize) -> usize {
        code >> self.shift
    }

    /// Codes of a lane.
    pub(super) const fn lane(&self) -> usize {
        lane(self.bits)
    }

    /// Codes of a block.
    pub(super) const fn block(&self) -> usize {
        LANES * self.lane()
    }

    /// Blocks of a row, the last of which may lack codes.
    pub(super) fn blocks(&self) -> usize {
        self.columns.div_ceil(self.block())
    }

    /// Groups, filled up to whole registers of floats.
    pub(super) fn filled_groups(&self) -> usize {
        self.groups().next_multiple_of(LANES)
    }

    /// Factors of one kind that a row has: its groups, filled up, and zeros that a register read from the last one on
    /// reaches.
    pub(super) fn factors(&self) -> usize {
        self.filled_groups() + LANES
    }

    /// Which of the groups that begin at or behind a lane's own the lanes after it belong to.
    pub(super) fn spread(&self) -> [u32; LANES] {
        // At most sixteen groups begin in a block.
        #[expect(clippy::cast_possible_truncation, reason = "less than sixteen")]
        std::array::from_fn(|lane| self.group(lane * self.lane()) as u32)
    }
}

/// Codes of a lane.
pub(super) const fn lane(bits: u32) -> usize {
    match bits {
        2 => 16,
        3 | 4 => 8,
        _ => 4,
    }
}

/// Times that four codes of a lane, a byte each, are taken for all of them.
pub(super) const fn planes(bits: u32) -> usize {
    lane(bits) / 4
}

/// Bytes of a plane of a block.
pub(super) const PLANE: usize = 4 * LANES;

/// Which code of a block the input at byte `at` of a plane meets.
#[inline(always)]
pub(super) const fn met(bits: u32, plane: usize, at: usize) -> usize {
    if bits == 3 {
        // The halves of a lane, four codes each.
        8 * (at / 4) + 4 * plane + at % 4
    } else {
        // A plane has the codes that lie at the same bits of their bytes.
        planes(bits) * at + plane
    }
}
