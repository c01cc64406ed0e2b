//! Two panels at a time, for many rows of inputs, where the CPU multiplies matrices.

use std::ops::Range;

use ndarray::ArrayViewMut2;

use super::inputs::Inputs;
use super::kernel::{Kernel, Weights};
use super::layout::{LANES, Layout};
use super::tile::{Row, Task};

/// Panels of a pair.
pub(super) const PANELS: usize = 2;

/// Rows of inputs that are at most.
pub(super) const ROWS: usize = 16;

/// Rows of inputs from which on pairs are faster than tiles of one panel, which eight fit.
const WORTH: usize = 9;

/// Two panels, or twice the same, and some rows of inputs.
pub(super) struct Pair<'a> {
    pub(super) layout: &'a Layout,
    /// The codes of each panel, as bytes.
    pub(super) codes: [&'a [u8]; PANELS],
    /// What they are multiplied with: for each group, sixteen scales, then what code 0 stands for in each row.
    pub(super) factors: [&'a [f32]; PANELS],
    /// All rows of inputs, after one another.
    pub(super) inputs: Row<'a>,
    pub(super) rows: usize,
}

impl Pair<'_> {
    /// Panics if sizes disagree.
    pub(super) fn check(&self) {
        let Self { layout, rows, inputs, .. } = self;
        let (runs, padded) = (layout.runs(), layout.padded());
        assert!((1..=ROWS).contains(rows) && runs > 0, "{rows} rows of {runs} runs");
        assert_eq!(self.codes.map(<[u8]>::len), [padded * LANES; PANELS], "a byte for each code");
        assert_eq!(
            self.factors.map(<[f32]>::len),
            [2 * layout.groups() * LANES; PANELS],
            "two factors for each row of each group"
        );
        assert_eq!(inputs.codes.len(), rows * padded / 4, "rows of inputs");
        assert_eq!(
            [inputs.scales.len(), inputs.sums.len()],
            [rows * runs; 2],
            "a scale and a sum for each run"
        );
    }
}

/// The sums of each row of inputs with each row of both panels.
pub(super) type Sums = [[f32; PANELS * LANES]; ROWS];

/// What multiplies pairs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pairs {
    /// Computes the sums.
    ///
    /// # Safety
    ///
    /// The CPU has the instruction set of the function.
    pub(super) multiply: unsafe fn(&Pair<'_>, &mut Sums),
    /// Writes the factors of a panel.
    ///
    /// # Safety
    ///
    /// The CPU has the instruction set of the function.
    pub(super) factors: unsafe fn(&Task<'_>, &mut [f32]),
}

impl Layout {
    /// Words for the codes of a panel as bytes, and for its factors.
    fn of_pair(&self) -> (usize, usize) {
        (self.padded() * LANES / 4, 2 * self.groups() * LANES)
    }
}

impl Kernel {
    /// Words of scratch memory for pairs.
    pub(super) fn pair_scratch(&self) -> usize {
        let (codes, factors) = self.layout().of_pair();
        PANELS * (codes + factors)
    }

    /// Multiplies pairs if that is possible, and worth it.
    pub(super) fn pairs_for(&self, inputs: Inputs<'_>, m: usize) -> Option<Pairs> {
        let is_bytes = matches!(inputs, Inputs::Bytes { .. });
        self.functions().pairs.filter(|_| is_bytes && m >= WORTH)
    }

    /// [`Kernel::multiply`], pair by pair.
    pub(super) fn multiply_pairs(
        &self,
        pairs: Pairs,
        inputs: Inputs<'_>,
        weights: &Weights<'_>,
        rows: Range<usize>,
        scratch: &mut [u32],
        mut y: ArrayViewMut2<'_, f32>,
    ) {
        let (m, layout) = (y.nrows(), self.layout());
        let (codes, factors) = layout.of_pair();
        let (bytes, room) = scratch.split_at_mut(PANELS * codes);
        let (bytes, room) =
            (bytemuck::cast_slice_mut::<_, u8>(bytes), bytemuck::cast_slice_mut(room));
        let (count, end) = (m.div_ceil(ROWS), rows.end.div_ceil(LANES));
        for panel in (rows.start / LANES..end).step_by(PANELS) {
            let both = bytes.chunks_exact_mut(4 * codes).zip(room.chunks_exact_mut(factors));
            let mut held = [(&[][..], &[][..]); PANELS];
            for ((number, (bytes, room)), held) in (panel..end).zip(both).zip(&mut held) {
                let task = self.task(weights, number);
                // SAFETY: a kernel is only made with the proof of its instruction set.
                unsafe { (pairs.factors)(&task, room) };
                *held = (self.widened(&task, bytes), room);
            }
            let [one, two] = held;
            // A panel alone is taken twice.
            let two = if panel + 1 < end { two } else { one };
            let here = rows.start.max(panel * LANES)..rows.end.min((panel + PANELS) * LANES);
            let to = here.start - rows.start..here.end - rows.start;
            let from = here.start - panel * LANES..here.end - panel * LANES;
            for tile in 0..count {
                let some = tile * m / count..(tile + 1) * m / count;
                let pair = Pair {
                    layout,
                    codes: [one.0, two.0],
                    factors: [one.1, two.1],
                    inputs: self.rows_of(inputs, some.clone()),
                    rows: some.len(),
                };
                let mut sums = [[0.0; PANELS * LANES]; ROWS];
                // SAFETY: a kernel is only made with the proof of its instruction set.
                unsafe { (pairs.multiply)(&pair, &mut sums) };
                for (i, sums) in some.zip(&sums) {
                    write(&mut y, i, to.clone(), &sums[from.clone()]);
                }
            }
        }
    }
}

/// Some elements of a row of `y`.
pub(super) fn write(y: &mut ArrayViewMut2<'_, f32>, row: usize, to: Range<usize>, sums: &[f32]) {
    let mut y = y.row_mut(row);
    match y.as_slice_mut() {
        Some(y) => y[to].copy_from_slice(sums),
        None => y.iter_mut().skip(to.start).zip(sums).for_each(|(y, sum)| *y = *sum),
    }
}
