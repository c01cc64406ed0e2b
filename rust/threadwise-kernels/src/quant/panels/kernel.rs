//! The kernels for one layout on one instruction set, as safe functions.

use std::ops::Range;

use ndarray::ArrayViewMut2;

use super::inputs::{Inputs, QuantizeFn, sums};
use super::layout::{LANES, Layout};
use super::pairs::{Pairs, write};
use super::tile::{INPUTS, Row, Task, TileFn, WidenFn};
use super::{Scales, Zeros, instances, scalar};
use crate::{Element, Isa};

/// A quantized matrix in panels.
#[derive(Clone, Copy, Debug)]
pub struct Weights<'a> {
    /// Codes, [`Layout::panel_bytes`] a panel.
    pub codes: &'a [u8],
    /// For each panel, for each group, for each of sixteen rows, one: [`Layout::scales`].
    pub scales: Scales<'a>,
    /// Which values codes stand for.
    pub zeros: Zeros<'a>,
}

/// Tiles for each number of rows of inputs: `[rows - 1]`.
pub(super) type Tiles = [TileFn; INPUTS];

/// What a kernel is made of, on one instruction set and for codes of one width.
#[derive(Clone, Copy, Debug)]
pub(super) struct Functions {
    pub(super) isa: &'static str,
    /// Rows of inputs that registers have room for.
    pub(super) most: usize,
    pub(super) quantize: QuantizeFn,
    pub(super) widen: WidenFn,
    pub(super) tiles: Tiles,
    /// For codes that were made bytes.
    pub(super) wide: Tiles,
    /// For inputs as they are.
    pub(super) floats: Tiles,
    /// For many rows of inputs as bytes.
    pub(super) pairs: Option<Pairs>,
}

/// Tiles of one panel for which its codes are made bytes first.
const WORTH_WIDENING: usize = 3;

/// The kernel for a layout on one instruction set.
#[derive(Clone, Copy, Debug)]
pub struct Kernel {
    layout: Layout,
    functions: Functions,
}

impl Kernel {
    /// The kernel for matrices of this layout.
    #[must_use]
    pub fn new(isa: Isa, layout: Layout) -> Self {
        Self { layout, functions: instances::functions(isa, layout.bits()) }
    }

    /// `{architecture}-q{bits}-{instruction set}-panels`, for people.
    #[must_use]
    pub fn name(&self) -> String {
        let (architecture, bits) = (std::env::consts::ARCH, self.layout.bits());
        format!("{architecture}-q{bits}-{}-panels", self.functions.isa)
    }

    /// Makes whole runs of inputs bytes.
    ///
    /// # Panics
    ///
    /// If sizes disagree: a word for four inputs, a scale and a sum for each run.
    pub fn quantize(&self, x: &[f32], codes: &mut [u32], scales: &mut [f32], sums: &mut [f32]) {
        let (run, runs) = (self.layout.run(), x.len() / self.layout.run());
        assert!(x.len().is_multiple_of(run), "whole runs of {run}, not {}", x.len());
        let sizes = [codes.len(), scales.len(), sums.len()];
        assert_eq!(sizes, [x.len() / 4, runs, runs], "room for {runs} runs");
        // SAFETY: a kernel is only made with the proof of its instruction set.
        unsafe { (self.functions.quantize)(x, run, codes, scales, sums) }
    }

    /// The sum of each run of inputs.
    ///
    /// # Panics
    ///
    /// If there is not a place for each of them.
    pub fn sums(&self, x: &[f32], to: &mut [f32]) {
        assert_eq!(x.len(), to.len() * self.layout.run(), "whole runs, and a sum for each");
        sums(x, self.layout.run(), to);
    }

    /// Words that [`Kernel::multiply`] needs room for.
    #[must_use]
    pub fn scratch(&self) -> usize {
        if self.functions.pairs.is_some() {
            return self.pair_scratch();
        }
        self.layout.padded() * LANES / 4
    }

    pub(super) fn layout(&self) -> &Layout {
        &self.layout
    }

    pub(super) fn functions(&self) -> &Functions {
        &self.functions
    }

    /// The products of all rows of inputs with some rows of a matrix: `y` has a row for each row of inputs, with an
    /// element for each row of the matrix.
    ///
    /// # Panics
    ///
    /// If sizes disagree, or `scratch` has not [`Kernel::scratch`] words.
    pub fn multiply(
        &self,
        inputs: Inputs<'_>,
        weights: &Weights<'_>,
        rows: Range<usize>,
        scratch: &mut [u32],
        mut y: ArrayViewMut2<'_, f32>,
    ) {
        let m = y.nrows();
        assert_eq!(y.ncols(), rows.len(), "a place for each row of the matrix");
        assert!(rows.end <= self.layout.rows(), "rows of the matrix");
        assert_eq!(scratch.len(), self.scratch(), "room for panels");
        if y.is_empty() || self.layout.columns() == 0 {
            y.fill(0.0);
            return;
        }
        if let Some(pairs) = self.pairs_for(inputs, m) {
            return self.multiply_pairs(pairs, inputs, weights, rows, scratch, y);
        }
        let scratch = &mut bytemuck::cast_slice_mut(scratch)[..self.layout.padded() * LANES];
        let count = m.div_ceil(self.functions.most);
        let is_bytes = matches!(inputs, Inputs::Bytes { .. });
        for panel in rows.start / LANES..rows.end.div_ceil(LANES) {
            let mut task = self.task(weights, panel);
            let mut tiles = if is_bytes { &self.functions.tiles } else { &self.functions.floats };
            if is_bytes && count >= WORTH_WIDENING {
                task.codes = self.widened(&task, scratch);
                tiles = &self.functions.wide;
            }
            let here = rows.start.max(panel * LANES)..rows.end.min((panel + 1) * LANES);
            let to = here.start - rows.start..here.end - rows.start;
            let from = here.start - panel * LANES..here.end - panel * LANES;
            for tile in 0..count {
                let some = tile * m / count..(tile + 1) * m / count;
                for (input, row) in task.inputs.iter_mut().zip(some.clone()) {
                    *input = self.rows_of(inputs, row..row + 1);
                }
                let mut sums = [[0.0; LANES]; INPUTS];
                // SAFETY: a kernel is only made with the proof of its instruction set.
                unsafe { (tiles[some.len() - 1])(&task, &mut sums) };
                for (i, sums) in some.zip(&sums) {
                    write(&mut y, i, to.clone(), &sums[from.clone()]);
                }
            }
        }
    }

    /// A row of the matrix, as numbers.
    ///
    /// # Panics
    ///
    /// If there is no such row, or there are more places than columns.
    pub fn row(&self, weights: &Weights<'_>, row: usize, to: &mut [f32]) {
        assert!(row < self.layout.rows() && to.len() <= self.layout.columns(), "such a row");
        let task = self.task(weights, row / LANES);
        for (j, to) in to.iter_mut().enumerate() {
            let group = j / self.layout.run() / self.layout.runs_of_group();
            let (scale, zero) = scalar::factors(&task, row % LANES, group);
            let code = scalar::code(self.layout.bits(), task.codes, row % LANES, j);
            *to = f32::from_f64(f64::from(code) * f64::from(scale) + f64::from(zero));
        }
    }

    /// The codes of a panel as bytes, for which there is room.
    pub(super) fn widened<'a>(&self, task: &Task<'a>, room: &'a mut [u8]) -> &'a [u8] {
        if self.layout.bits() == 8 {
            return task.codes;
        }
        // SAFETY: a kernel is only made with the proof of its instruction set.
        unsafe { (self.functions.widen)(&self.layout, task.codes, room) };
        room
    }

    /// What is the same for all inputs that meet a panel.
    pub(super) fn task<'a>(&'a self, weights: &Weights<'a>, panel: usize) -> Task<'a> {
        let (bytes, numbers) = (self.layout.panel_bytes(), self.layout.groups() * LANES);
        let place = panel * numbers..(panel + 1) * numbers;
        let none = Row { codes: &[], scales: &[], numbers: &[], sums: &[] };
        Task {
            layout: &self.layout,
            codes: &weights.codes[panel * bytes..(panel + 1) * bytes],
            scales: weights.scales.part(place.clone()),
            zeros: match weights.zeros {
                Zeros::Symmetric => Zeros::Symmetric,
                Zeros::Minima(minima) => Zeros::Minima(minima.part(place)),
                Zeros::Codes(codes) => Zeros::Codes(&codes[place]),
            },
            inputs: [none; INPUTS],
        }
    }

    /// Some rows of inputs.
    pub(super) fn rows_of<'a>(&self, inputs: Inputs<'a>, rows: Range<usize>) -> Row<'a> {
        let (runs, padded) = (self.layout.runs(), self.layout.padded());
        let of_runs = rows.start * runs..rows.end * runs;
        match inputs {
            Inputs::Bytes { codes, scales, sums } => Row {
                codes: &codes[rows.start * padded / 4..rows.end * padded / 4],
                scales: &scales[of_runs.clone()],
                numbers: &[],
                sums: &sums[of_runs],
            },
            Inputs::Floats { numbers, sums } => Row {
                codes: &[],
                scales: &[],
                numbers: &numbers[rows.start * padded..rows.end * padded],
                sums: &sums[of_runs],
            },
        }
    }
}
