//! What rows have seen so far.

use super::Layout;

/// For each row the largest exponent, the sum of weights and the weighted sum of values.
#[derive(Debug)]
pub struct State<'a> {
    pub(super) largest: &'a mut [f32],
    pub(super) sum: &'a mut [f32],
    pub(super) values: &'a mut [f32],
}

impl<'a> State<'a> {
    /// Numbers of memory that the state of `rows` rows takes.
    #[must_use]
    pub const fn len(rows: usize, layout: Layout) -> usize {
        rows * (layout.padded() + 2)
    }

    /// The state in this memory.
    ///
    /// # Panics
    ///
    /// If it is not as long as [`State::len`] says.
    #[must_use]
    pub fn of(memory: &'a mut [f32], rows: usize, layout: Layout) -> Self {
        assert_eq!(memory.len(), Self::len(rows, layout), "memory for the state");
        let (largest, rest) = memory.split_at_mut(rows);
        let (sum, values) = rest.split_at_mut(rows);
        Self { largest, sum, values }
    }

    /// The same state, for a while.
    #[must_use]
    pub fn reborrow(&mut self) -> State<'_> {
        State { largest: self.largest, sum: self.sum, values: self.values }
    }

    /// Nothing has been seen.
    pub fn clear(&mut self) {
        self.largest.fill(f32::NEG_INFINITY);
        self.sum.fill(0.0);
        self.values.fill(0.0);
    }

    pub(super) fn rows(&self) -> usize {
        self.largest.len()
    }

    pub(super) fn expect(&self, layout: Layout) {
        assert_eq!(self.values.len(), self.rows() * layout.padded(), "a value for each row");
    }

    /// Adds what `other` has seen, in the memory of a state of as many rows: first this, then the other one.
    ///
    /// # Panics
    ///
    /// If the memory is not as long as [`State::len`] says.
    pub fn unite(&mut self, other: &[f32], layout: Layout) {
        let rows = self.rows();
        assert_eq!(other.len(), State::len(rows, layout), "memory of a state");
        let (largest, rest) = other.split_at(rows);
        let (sum, values) = rest.split_at(rows);
        let width = layout.padded();
        for r in 0..rows {
            if largest[r] == f32::NEG_INFINITY && sum[r] == 0.0 {
                continue;
            }
            let new = if self.largest[r] > largest[r] { self.largest[r] } else { largest[r] };
            let (ours, theirs) = ((self.largest[r] - new).exp(), (largest[r] - new).exp());
            self.largest[r] = new;
            self.sum[r] = self.sum[r] * ours + sum[r] * theirs;
            let row = r * width..(r + 1) * width;
            for (x, y) in self.values[row.clone()].iter_mut().zip(&values[row]) {
                *x = *x * ours + *y * theirs;
            }
        }
    }

    /// The result of a row: zeros, if it has seen nothing.
    ///
    /// # Panics
    ///
    /// If there is no such row, or it is shorter than its place.
    pub fn finish(&self, row: usize, to: &mut [f32]) {
        let width = self.values.len() / self.rows();
        let (sum, values) = (self.sum[row], &self.values[row * width..(row + 1) * width]);
        let divisor = if sum == 0.0 { 1.0 } else { sum };
        for (to, x) in to.iter_mut().zip(values) {
            *to = x / divisor;
        }
    }
}
