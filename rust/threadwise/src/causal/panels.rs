//! A quantized weight, copied into panels once.

use std::ops::Range;

use bytemuck::Pod;
use half::{bf16, f16};
use ndarray::ArrayViewMut2;
use threadwise_kernels::quant::panels::{Inputs, Kernel, LANES, Layout, Scales, Weights, Zeros};
use threadwise_runtime::{Owned, with_scratch};

use super::source::{Found, Packing, Source, ZeroKind};
use crate::store::{Dtype, Flaw, Quoted, StoreError, Tensor, Weights as File};
use crate::{Context, Error, Isa};

/// Which parts of a weight are wanted, and how its inputs come.
pub(super) struct Cut {
    pub(super) shape: [usize; 2],
    pub(super) rows: Range<usize>,
    pub(super) columns: Range<usize>,
    /// Columns before the first one that are there too, so that groups are whole. Inputs are zeros there.
    pub(super) lead: usize,
    /// Inputs that share a scale.
    pub(super) run: usize,
}

/// Some rows and columns of a quantized weight.
#[derive(Debug)]
pub(super) struct Panels {
    layout: Layout,
    lead: usize,
    codes: Owned<u8>,
    scales: Numbers,
    zeros: HeldZeros,
}

/// Numbers of a type that files hold.
#[derive(Debug)]
enum Numbers {
    F16(Owned<f16>),
    Bf16(Owned<bf16>),
    F32(Owned<f32>),
}

#[derive(Debug)]
enum HeldZeros {
    Symmetric,
    Minima(Numbers),
    Codes(Owned<u8>),
}

/// Bytes of codes that are read at a time, about.
const READ: usize = 1 << 20;

impl Panels {
    /// Reads parts of the weight of this name.
    pub(super) fn load(
        source: &Source<'_>,
        name: &str,
        packing: Packing,
        cut: &Cut,
        context: &Context<'_>,
    ) -> Result<Self, Error> {
        let Cut { shape: [outputs, inputs], ref rows, ref columns, lead, run } = *cut;
        let group = packing.group.unwrap_or(inputs.max(1));
        let (groups, bits) = (inputs.div_ceil(group), packing.bits as usize);
        let part = |end: &str| format!("{name}{end}");
        expect_shape(source, &part("_shape"), cut.shape)?;
        let words = (inputs * bits).div_ceil(32);
        let codes = source.find(&part("_packed"), &[outputs, words], &WORDS)?;
        let scales = source.find(&part("_scale"), &[outputs, groups], &super::matrix::FLOATS)?;
        let layout =
            Layout::new(packing.bits, (rows.len(), lead + columns.len()), packing.group, run);
        let first = columns.start - lead;
        let place = Place { layout, rows: rows.clone(), groups, first_group: first / group };
        let zeros = match packing.zeros {
            ZeroKind::Symmetric => HeldZeros::Symmetric,
            ZeroKind::Minimum => {
                let shape = [outputs, groups];
                let minima = source.find(&part("_minimum"), &shape, &super::matrix::FLOATS)?;
                HeldZeros::Minima(place.numbers(&minima)?)
            }
            ZeroKind::Code => {
                let shape = [(outputs * bits).div_ceil(32), groups];
                let zeros = source.find(&part("_zero_point"), &shape, &WORDS)?;
                HeldZeros::Codes(place.zero_codes(&zeros, bits)?)
            }
        };
        let scales = place.numbers(&scales)?;
        let codes = place.codes(&codes, words, first, context)?;
        Ok(Self { layout, lead, codes, scales, zeros })
    }

    /// Rows and columns.
    pub(super) fn dim(&self) -> (usize, usize) {
        (self.layout.rows(), self.layout.columns() - self.lead)
    }

    /// Bytes that it takes.
    pub(super) fn bytes(&self) -> usize {
        let zeros = match &self.zeros {
            HeldZeros::Symmetric => 0,
            HeldZeros::Minima(minima) => minima.bytes(),
            HeldZeros::Codes(codes) => codes.len(),
        };
        self.codes.len() + self.scales.bytes() + zeros
    }

    fn weights(&self) -> Weights<'_> {
        Weights {
            codes: &self.codes,
            scales: self.scales.view(),
            zeros: match &self.zeros {
                HeldZeros::Symmetric => Zeros::Symmetric,
                HeldZeros::Minima(minima) => Zeros::Minima(minima.view()),
                HeldZeros::Codes(codes) => Zeros::Codes(codes),
            },
        }
    }

    /// Products of all inputs with some rows.
    pub(super) fn multiply(
        &self,
        isa: Isa,
        inputs: Inputs<'_>,
        rows: Range<usize>,
        y: ArrayViewMut2<'_, f32>,
    ) -> Result<(), Error> {
        let kernel = Kernel::new(isa, self.layout);
        with_scratch(kernel.scratch(), |scratch: &mut [u32]| {
            kernel.multiply(inputs, &self.weights(), rows, scratch, y);
        })?;
        Ok(())
    }

    /// A row as float32.
    pub(super) fn row(&self, row: usize, to: &mut [f32]) {
        // A row is only asked for of what has all columns.
        Kernel::new(Isa::Scalar, self.layout).row(&self.weights(), row, to);
    }
}

const WORDS: [Dtype; 2] = [Dtype::I32, Dtype::U32];

/// The shape that is stored beside codes must be that of the weight.
fn expect_shape(source: &Source<'_>, name: &str, expected: [usize; 2]) -> Result<(), Error> {
    let found = source.find(name, &[2], &[Dtype::I64, Dtype::I32])?;
    let bytes = read(found.file, found.tensor, 0, found.tensor.bytes())?;
    let size = bytes.len() / 2;
    let extent =
        |bytes: &[u8]| bytes.iter().rev().fold(0_u64, |all, byte| all << 8 | u64::from(*byte));
    let actual: Vec<u64> = bytes.chunks_exact(size).map(extent).collect();
    if actual == expected.map(|extent| extent as u64) {
        return Ok(());
    }
    let problem = format!(
        "tensor {} says ({}, {}), expected ({}, {})",
        Quoted(name),
        actual[0],
        actual[1],
        expected[0],
        expected[1]
    );
    Err(StoreError::format(found.file.path())(Flaw::Problem(problem)).into())
}

fn read(file: &File, tensor: &Tensor, skip: u64, bytes: u64) -> Result<Vec<u8>, Error> {
    #[expect(clippy::cast_possible_truncation, reason = "a part of a file that is mapped")]
    let mut room = vec![0; bytes as usize];
    file.read(tensor, skip, &mut room)?;
    Ok(room)
}

/// Which numbers of the weight's groups go where.
struct Place {
    layout: Layout,
    rows: Range<usize>,
    /// Groups of a row of the whole weight, and the first that is wanted.
    groups: usize,
    first_group: usize,
}

impl Place {
    /// Numbers of groups, in the order of panels.
    fn numbers(&self, found: &Found<'_>) -> Result<Numbers, Error> {
        let row = found.tensor.bytes() / (found.tensor.shape[0].max(1) as u64);
        let (skip, count) = (self.rows.start as u64 * row, self.rows.len() as u64 * row);
        let bytes = read(found.file, found.tensor, skip, count)?;
        Ok(match found.tensor.dtype {
            Dtype::F16 => Numbers::F16(self.ordered(|at| f16::from_le_bytes(two(&bytes, at)))?),
            Dtype::Bf16 => Numbers::Bf16(self.ordered(|at| bf16::from_le_bytes(two(&bytes, at)))?),
            _ => Numbers::F32(self.ordered(|at| {
                let [[a, b], [c, d]] = [two(&bytes, 2 * at), two(&bytes, 2 * at + 1)];
                f32::from_le_bytes([a, b, c, d])
            })?),
        })
    }

    /// Zero points, which are packed along the rows.
    fn zero_codes(&self, found: &Found<'_>, bits: usize) -> Result<Owned<u8>, Error> {
        let bytes = read(found.file, found.tensor, 0, found.tensor.bytes())?;
        let word = |row: usize, group: usize| {
            let at = 4 * (row * self.groups + group);
            bytes.get(at..at + 4).map_or(0, |four| {
                u64::from(u32::from_le_bytes([four[0], four[1], four[2], four[3]]))
            })
        };
        self.ordered(|at| {
            let (row, group) = (self.rows.start + at / self.groups, at % self.groups);
            let bit = row * bits;
            let both = word(bit / 32, group) | word(bit / 32 + 1, group) << 32;
            let code = both >> (bit % 32) & ((1 << bits) - 1);
            #[expect(clippy::cast_possible_truncation, reason = "at most 8 bits")]
            let code = code as u8;
            code
        })
    }

    /// What `number` says of each of these rows' groups, those of a row side by side.
    fn ordered<T: Pod>(&self, number: impl Fn(usize) -> T) -> Result<Owned<T>, Error> {
        let mut to = Owned::beside(self.layout.scales())?;
        let groups = self.layout.groups();
        for (panel, to) in to.chunks_exact_mut((groups * LANES).max(1)).enumerate() {
            for (i, to) in to.iter_mut().enumerate() {
                let (group, row) = (i / LANES, panel * LANES + i % LANES);
                if row < self.rows.len() {
                    *to = number(row * self.groups + self.first_group + group);
                }
            }
        }
        Ok(to)
    }

    /// The codes, in panels.
    fn codes(
        &self,
        found: &Found<'_>,
        words: usize,
        first: usize,
        context: &Context<'_>,
    ) -> Result<Owned<u8>, Error> {
        let panel = self.layout.panel_bytes();
        let mut codes = Owned::beside(self.layout.panels() * panel)?;
        if codes.is_empty() {
            return Ok(codes);
        }
        let together = (READ / (4 * words * LANES).max(1)).max(1);
        let pieces = codes.chunks_mut(together * panel).enumerate();
        let mut pieces: Vec<_> = pieces.map(|(i, to)| (i * together * LANES, to, Ok(()))).collect();
        context.share(&mut pieces, context.threads, |(row, to, outcome), _| {
            *outcome = self.piece(found, words, first, *row, to);
        })?;
        pieces.into_iter().try_for_each(|(_, _, outcome)| outcome)?;
        Ok(codes)
    }

    /// Some panels, from a row on.
    fn piece(
        &self,
        found: &Found<'_>,
        words: usize,
        first: usize,
        row: usize,
        to: &mut [u8],
    ) -> Result<(), Error> {
        let panel = self.layout.panel_bytes();
        let count = (to.len() / panel * LANES).min(self.rows.len() - row);
        with_scratch(count * words, |streams: &mut [u32]| {
            let skip = (self.rows.start + row) as u64 * 4 * words as u64;
            found.file.read(found.tensor, skip, bytemuck::cast_slice_mut(streams))?;
            for (streams, to) in streams.chunks(LANES * words).zip(to.chunks_exact_mut(panel)) {
                let rows: Vec<&[u32]> = streams.chunks_exact(words).collect();
                self.layout.pack(&rows, first, to);
            }
            Ok(())
        })?
    }
}

impl Numbers {
    fn view(&self) -> Scales<'_> {
        match self {
            Self::F16(numbers) => Scales::F16(numbers),
            Self::Bf16(numbers) => Scales::Bf16(numbers),
            Self::F32(numbers) => Scales::F32(numbers),
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::F16(numbers) => 2 * numbers.len(),
            Self::Bf16(numbers) => 2 * numbers.len(),
            Self::F32(numbers) => 4 * numbers.len(),
        }
    }
}

fn two(bytes: &[u8], at: usize) -> [u8; 2] {
    [bytes[2 * at], bytes[2 * at + 1]]
}
