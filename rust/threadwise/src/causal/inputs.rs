//! What weights are multiplied with: rows of numbers, and, for quantized weights, what meets their codes.

use ndarray::ArrayViewMut2;
use threadwise_kernels::quant::panels::{self, Kernel, Layout};

use super::matrix::X;
use super::rows::{Cuts, Room, Rows};
use crate::Isa;
use crate::dots;
use crate::phased::{Item, Region};

/// How inputs meet the codes of a model's quantized weights.
#[derive(Clone, Copy, Debug)]
pub(super) struct Coding {
    /// Inputs that share a scale, or a sum: they are of one group of every weight.
    pub(super) run: usize,
    /// Groups of every weight begin at multiples of it.
    pub(super) unit: usize,
    pub(super) inputs: dots::Inputs,
}

/// Rows of inputs of some weights.
#[derive(Clone, Copy, Debug)]
pub(super) struct Width {
    /// Columns before the first, which are zeros.
    pub(super) lead: usize,
    pub(super) columns: usize,
    /// All of them, filled up to whole runs.
    pub(super) all: usize,
}

impl Width {
    /// That of inputs which are some columns of a weight, from `first` on.
    pub(super) fn new(first: usize, columns: usize, coding: Option<Coding>) -> Self {
        let lead = coding.map_or(0, |coding| first % coding.unit);
        let all = lead + columns;
        Self { lead, columns, all: coding.map_or(all, |it| all.next_multiple_of(it.run)) }
    }
}

/// A buffer of inputs between phases.
pub(super) struct Inputs<'a> {
    width: Width,
    floats: Rows<'a, f32>,
    coded: Option<Coded<'a>>,
}

struct Coded<'a> {
    kernel: Kernel,
    /// Bytes and their scales, if inputs are those.
    bytes: Option<(Rows<'a, u32>, Rows<'a, f32>)>,
    sums: Rows<'a, f32>,
}

/// Memory for inputs.
pub(super) struct Memory<'a> {
    pub(super) floats: Room<'a, f32>,
    pub(super) words: Room<'a, u32>,
}

impl<'a> Inputs<'a> {
    /// How many numbers and words of memory a buffer takes.
    pub(super) fn size(rows: usize, width: Width, coding: Option<Coding>) -> (usize, usize) {
        let runs = coding.map_or(0, |coding| width.all / coding.run);
        (rows * (width.all + 2 * runs), rows * coding.map_or(0, |_| width.all / 4))
    }

    /// A buffer that is cut by some rows, or by some columns, which are whole runs.
    pub(super) fn new(
        region: &Region,
        memory: &mut Memory<'a>,
        rows: usize,
        width: Width,
        cuts: Cuts,
        (coding, isa): (Option<Coding>, Isa),
    ) -> Self {
        let all = width.all;
        let coded = coding.map(|Coding { run, inputs, .. }| {
            let mut of_runs = || {
                let cuts = Cuts { columns: cuts.columns.div_ceil(run), ..cuts };
                Rows::new(region, memory.floats.take((rows, all / run)), cuts)
            };
            let (scales, sums) = (of_runs(), of_runs());
            let cuts = Cuts { columns: cuts.columns.div_ceil(4), ..cuts };
            let codes = Rows::new(region, memory.words.take((rows, all / 4)), cuts);
            let layout = Layout::new(4, (1, run), None, run);
            let is_bytes = inputs == dots::Inputs::Int8;
            Coded {
                kernel: Kernel::new(isa, layout),
                bytes: is_bytes.then_some((codes, scales)),
                sums,
            }
        });
        Self { width, floats: Rows::new(region, memory.floats.take((rows, all)), cuts), coded }
    }

    /// Which columns are inputs.
    pub(super) fn width(&self) -> Width {
        self.width
    }

    /// Some rows, to be written.
    pub(super) fn rows<'i>(&'i self, item: &'i Item<'_>, piece: usize) -> Written<'i> {
        Written {
            floats: self.floats.rows(item, piece),
            coded: self.coded.as_ref().map(|coded| WrittenCodes {
                kernel: coded.kernel,
                bytes: coded
                    .bytes
                    .as_ref()
                    .map(|(codes, scales)| (codes.rows(item, piece), scales.rows(item, piece))),
                sums: coded.sums.rows(item, piece),
            }),
        }
    }

    /// Some columns of all rows, to be written.
    pub(super) fn columns<'i>(&'i self, item: &'i Item<'_>, piece: usize) -> Written<'i> {
        Written {
            floats: self.floats.columns(item, piece),
            coded: self.coded.as_ref().map(|coded| WrittenCodes {
                kernel: coded.kernel,
                bytes: coded.bytes.as_ref().map(|(codes, scales)| {
                    (codes.columns(item, piece), scales.columns(item, piece))
                }),
                sums: coded.sums.columns(item, piece),
            }),
        }
    }

    /// All of it, as weights read it.
    pub(super) fn read<'i>(&'i self, item: &'i Item<'_>) -> X<'i> {
        let floats = self.floats.read(item);
        let numbers = floats.to_slice().unwrap_or_default();
        let coded = self.coded.as_ref().map(|coded| {
            let sums = coded.sums.read(item).to_slice().unwrap_or_default();
            match &coded.bytes {
                Some((codes, scales)) => panels::Inputs::Bytes {
                    codes: codes.read(item).to_slice().unwrap_or_default(),
                    scales: scales.read(item).to_slice().unwrap_or_default(),
                    sums,
                },
                None => panels::Inputs::Floats { numbers, sums },
            }
        });
        X { floats, lead: self.width.lead, coded }
    }
}

/// A piece of inputs that is being written: first its numbers, then what follows from them.
pub(super) struct Written<'i> {
    pub(super) floats: ArrayViewMut2<'i, f32>,
    coded: Option<WrittenCodes<'i>>,
}

struct WrittenCodes<'i> {
    kernel: Kernel,
    bytes: Option<(ArrayViewMut2<'i, u32>, ArrayViewMut2<'i, f32>)>,
    sums: ArrayViewMut2<'i, f32>,
}

impl Written<'_> {
    /// Makes of the numbers what meets codes.
    pub(super) fn code(self) {
        let Some(WrittenCodes { kernel, bytes, mut sums }) = self.coded else { return };
        let rows = self.floats.rows().into_iter().zip(sums.rows_mut());
        let Some((mut codes, mut scales)) = bytes else {
            for (x, mut sums) in rows {
                kernel.sums(
                    x.to_slice().unwrap_or_default(),
                    sums.as_slice_mut().unwrap_or_default(),
                );
            }
            return;
        };
        let bytes = codes.rows_mut().into_iter().zip(scales.rows_mut());
        for ((x, mut sums), (mut codes, mut scales)) in rows.zip(bytes) {
            kernel.quantize(
                x.to_slice().unwrap_or_default(),
                codes.as_slice_mut().unwrap_or_default(),
                scales.as_slice_mut().unwrap_or_default(),
                sums.as_slice_mut().unwrap_or_default(),
            );
        }
    }
}
