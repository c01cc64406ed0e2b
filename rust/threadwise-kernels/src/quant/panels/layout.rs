//! Where the codes of a matrix in panels lie.

/// Rows of a panel: lanes of the widest register.
pub const LANES: usize = 16;

/// A matrix of codes in panels, and how its inputs are cut into runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    bits: u32,
    rows: usize,
    columns: usize,
    run: usize,
    group: Option<usize>,
}

impl Layout {
    /// `rows` rows of `columns` codes of `bits`, in groups of `group`, or one for the whole row; inputs have a scale for
    /// each `run` of them.
    ///
    /// # Panics
    ///
    /// If codes are not of 2, 3, 4 or 8 bits; if runs are not of 16, 32, 64 or 128 codes, or groups not of whole runs.
    #[must_use]
    pub fn new(
        bits: u32,
        (rows, columns): (usize, usize),
        group: Option<usize>,
        run: usize,
    ) -> Self {
        assert!(matches!(bits, 2 | 3 | 4 | 8), "codes of {bits} bits");
        assert!(matches!(run, 16 | 32 | 64 | 128), "runs of {run}");
        let group = group.filter(|group| *group < columns);
        assert!(group.is_none_or(|group| group.is_multiple_of(run)), "groups of whole runs");
        Self { bits, rows, columns, run, group }
    }

    /// Bits of a code.
    #[must_use]
    pub fn bits(&self) -> u32 {
        self.bits
    }

    /// Rows of the matrix.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Codes of a row.
    #[must_use]
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Inputs that share a scale.
    #[must_use]
    pub fn run(&self) -> usize {
        self.run
    }

    /// Panels, the last of which may lack rows.
    #[must_use]
    pub fn panels(&self) -> usize {
        self.rows.div_ceil(LANES)
    }

    /// Runs of a row, the last of which may lack codes.
    #[must_use]
    pub fn runs(&self) -> usize {
        self.columns.div_ceil(self.run)
    }

    /// Inputs of a row, filled up to whole runs.
    #[must_use]
    pub fn padded(&self) -> usize {
        self.runs() * self.run
    }

    /// Groups of a row.
    #[must_use]
    pub fn groups(&self) -> usize {
        self.group.map_or(usize::from(self.columns > 0), |group| self.columns.div_ceil(group))
    }

    /// Scales of all panels.
    #[must_use]
    pub fn scales(&self) -> usize {
        self.panels() * self.groups() * LANES
    }

    /// Bytes of the codes of a panel.
    #[must_use]
    pub fn panel_bytes(&self) -> usize {
        self.runs() * self.words() * self.word_bytes()
    }

    /// Runs of a group.
    pub(super) fn runs_of_group(&self) -> usize {
        self.group.map_or(usize::MAX, |group| group / self.run)
    }

    /// Words of codes in a run of one row.
    pub(super) fn words(&self) -> usize {
        self.run / in_word(self.bits)
    }

    /// Bytes that a word of each row of a panel takes.
    pub(super) fn word_bytes(&self) -> usize {
        word_bytes(self.bits)
    }
}

/// Codes of a word.
pub(super) const fn in_word(bits: u32) -> usize {
    match bits {
        2 => 16,
        3 | 4 => 8,
        _ => 4,
    }
}

/// Times that four codes of a word, a byte each, are taken for all of them.
pub(super) const fn planes(bits: u32) -> usize {
    in_word(bits) / 4
}

/// Bytes that a word of each row of a panel takes: words of 3 bits have 24.
pub(super) const fn word_bytes(bits: u32) -> usize {
    if bits == 3 { 3 * LANES } else { 4 * LANES }
}
