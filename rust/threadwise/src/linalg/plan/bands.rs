//! What a thread may take of a piece that another is at: see `help`.

use super::{Form, Plan};
use crate::linalg::load;

/// Multiply-adds from which on threads help one another, so that one CPU which is slow does not keep the others
/// waiting: what that takes is far less than such a product, some hundred microseconds.
pub(super) const WORTH_HELPING: usize = 1 << 24;

/// Rows of a band at least: who takes one packs columns of B for it, which takes as long as some tens of rows.
const ROWS: usize = 48;

/// Multiply-adds of a pass over a band at least: some tens of microseconds.
const WORK: usize = 1 << 22;

impl Plan {
    /// The same plan, with bands that threads may take if pieces have some.
    pub(super) fn with_bands(self, (m, k, n): (usize, usize, usize), height: usize) -> Self {
        let is_worth = self.threads > 1 && load::multiply_adds((m, k, n)) >= WORTH_HELPING;
        // Chunks of k are many pieces anyway.
        if !is_worth || self.chunk < k || self.form != Form::Tiles {
            return self;
        }
        let least = WORK / self.columns.saturating_mul(self.depth).max(1);
        let rows = ROWS.max(least).next_multiple_of(height);
        Self { band: (self.rows >= 2 * rows).then_some(rows), ..self }
    }
}
