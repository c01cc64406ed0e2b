//! The kernels for one layout on one instruction set, as safe functions.

use std::ops::Range;

use half::bf16;

use super::decode::DecodeFn;
use super::factors::{FactorsFn, Scales, Zeros};
use super::layout::Layout;
use super::strip::{Bytes, Floats, INPUTS, OUTPUTS, Strip, StripFn, Way};
use crate::Isa;
#[cfg(target_arch = "x86_64")]
use crate::{Avx2, Bf16, Vnni};

/// What products are computed of inputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inputs {
    /// Bytes, with a scale for each 32 of a row.
    Int8,
    /// The inputs themselves.
    Float,
}

/// A quantized matrix: all its rows, each as its layout says.
#[derive(Clone, Copy, Debug)]
pub struct Weights<'a> {
    /// Codes, [`Layout::words`] a row.
    pub codes: &'a [u32],
    /// Scales, [`Layout::groups`] a row.
    pub scales: Scales<'a>,
    /// Which values codes stand for.
    pub zeros: Zeros<'a>,
}

/// Rows of codes whose factors are computed at a time: their codes stay near while all inputs go past.
const NEAR: usize = 16;

/// Makes a row of inputs what the kernels read.
///
/// # Safety
///
/// The CPU has the instruction set of the function.
pub(super) type PrepareFn = unsafe fn(&Layout, &[f32], &mut [u32]);

/// What a kernel is made of, on one instruction set and for codes of one width.
#[derive(Clone, Copy, Debug)]
pub(super) struct Functions {
    pub(super) isa: &'static str,
    pub(super) prepare: PrepareFn,
    pub(super) factors: FactorsFn,
    pub(super) decode: DecodeFn<f32>,
    pub(super) decode_bf16: Option<DecodeFn<bf16>>,
    /// `strips[rows - 1]` takes so many rows of inputs.
    pub(super) strips: [StripFn; INPUTS],
}

/// The kernel for a layout on one instruction set.
#[derive(Clone, Copy, Debug)]
pub struct Kernel {
    layout: Layout,
    inputs: Inputs,
    functions: Functions,
}

impl Kernel {
    /// The kernel for matrices of this layout, and such inputs.
    #[must_use]
    pub fn new(isa: Isa, layout: Layout, inputs: Inputs) -> Self {
        let functions = match inputs {
            Inputs::Int8 => functions::<Bytes>(isa, layout.bits()),
            Inputs::Float => functions::<Floats>(isa, layout.bits()),
        };
        Self { layout, inputs, functions }
    }

    /// `{architecture}-q{bits}-{inputs}-{instruction set}-dots`, for people.
    #[must_use]
    pub fn name(&self) -> String {
        let inputs = match self.inputs {
            Inputs::Int8 => "i8",
            Inputs::Float => "f32",
        };
        let (architecture, bits) = (std::env::consts::ARCH, self.layout.bits());
        format!("{architecture}-q{bits}-{inputs}-{}-dots", self.functions.isa)
    }

    /// How the matrices lie.
    #[must_use]
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Words that a row of inputs takes when prepared.
    #[must_use]
    pub fn prepared(&self) -> usize {
        let block = match self.inputs {
            Inputs::Int8 => Bytes::block(self.layout.bits()),
            Inputs::Float => Floats::block(self.layout.bits()),
        };
        self.layout.blocks() * block + self.layout.filled_groups()
    }

    /// Makes a row of inputs what [`Kernel::multiply`] reads.
    ///
    /// # Panics
    ///
    /// If `x` is not as long as a row of codes, or `to` has not [`Kernel::prepared`] words.
    pub fn prepare(&self, x: &[f32], to: &mut [u32]) {
        assert_eq!(x.len(), self.layout.columns(), "an input for each code of a row");
        assert_eq!(to.len(), self.prepared(), "room for a row of inputs");
        // SAFETY: a kernel is only made with the proof of its instruction set.
        unsafe { (self.functions.prepare)(&self.layout, x, to) }
    }

    /// Numbers that [`Kernel::multiply`] needs room for.
    #[must_use]
    pub fn scratch(&self) -> usize {
        2 * NEAR * self.layout.factors()
    }

    /// The products of prepared rows of inputs with some rows of a matrix: `y` gets a row for each row of inputs,
    /// with an element for each row of the matrix.
    ///
    /// # Panics
    ///
    /// If sizes disagree, or `scratch` has not [`Kernel::scratch`] numbers.
    pub fn multiply(
        &self,
        x: &[u32],
        weights: &Weights<'_>,
        rows: Range<usize>,
        scratch: &mut [f32],
        y: &mut [f32],
    ) {
        let (n, prepared) = (rows.len(), self.prepared());
        if y.is_empty() || self.layout.columns() == 0 {
            y.fill(0.0);
            return;
        }
        let m = y.len() / n;
        assert_eq!((y.len(), x.len()), (m * n, m * prepared), "inputs, and room for {m}×{n}");
        assert_eq!(scratch.len(), self.scratch(), "room for factors");
        let both = 2 * self.layout.factors();
        for first in rows.clone().step_by(NEAR) {
            let near = first..rows.end.min(first + NEAR);
            for (row, factors) in near.clone().zip(scratch.chunks_exact_mut(both)) {
                self.factors_of(weights, row, factors);
            }
            let groups = m.div_ceil(INPUTS);
            for group in 0..groups {
                let some = group * m / groups..(group + 1) * m / groups;
                let x = &x[some.start * prepared..some.end * prepared];
                self.strips(
                    x,
                    weights.codes,
                    near.clone(),
                    scratch,
                    &mut y[some.start * n..some.end * n],
                    first - rows.start,
                    n,
                );
            }
        }
    }

    /// Columns of decoded rows, and of prepared inputs that are floats: whole blocks.
    #[must_use]
    pub fn wide(&self) -> usize {
        self.layout.blocks() * self.layout.block()
    }

    /// Numbers that the factors of a row take.
    #[must_use]
    pub fn row_factors(&self) -> usize {
        2 * self.layout.factors()
    }

    /// Computes the factors of some rows, [`Kernel::row_factors`] each, for [`Kernel::decode`].
    pub fn factors(&self, weights: &Weights<'_>, rows: Range<usize>, to: &mut [f32]) {
        for (row, to) in rows.zip(to.chunks_exact_mut(self.row_factors())) {
            self.factors_of(weights, row, to);
        }
    }

    /// Writes some rows of a matrix, whose factors are given, as floats, in the order of prepared inputs that are
    /// floats: their products are those of the rows. Of each, those of its [`Kernel::wide`] columns that are asked
    /// for. Behind the last code of a row, where inputs are zeros, values may be any that code 0 stands for.
    ///
    /// # Panics
    ///
    /// If sizes disagree, or the columns are no whole blocks.
    pub fn decode(
        &self,
        weights: &Weights<'_>,
        rows: Range<usize>,
        factors: &[f32],
        columns: Range<usize>,
        to: &mut [f32],
    ) {
        self.decode_as(self.functions.decode, weights, rows, factors, columns, to);
    }

    /// Whether the CPU has [`Kernel::decode_bf16`].
    #[must_use]
    pub fn decodes_bf16(&self) -> bool {
        self.functions.decode_bf16.is_some()
    }

    /// [`Kernel::decode`], rounded to nearest, halves to even, and subnormal numbers to zero.
    ///
    /// # Panics
    ///
    /// As [`Kernel::decode`], and where the CPU has no such instruction.
    pub fn decode_bf16(
        &self,
        weights: &Weights<'_>,
        rows: Range<usize>,
        factors: &[f32],
        columns: Range<usize>,
        to: &mut [bf16],
    ) {
        let Some(decode) = self.functions.decode_bf16 else { panic!("no rounding to bfloat16") };
        self.decode_as(decode, weights, rows, factors, columns, to);
    }

    fn decode_as<T>(
        &self,
        decode: DecodeFn<T>,
        weights: &Weights<'_>,
        rows: Range<usize>,
        factors: &[f32],
        columns: Range<usize>,
        to: &mut [T],
    ) {
        let block = self.layout.block();
        assert!(columns.start.is_multiple_of(block), "blocks from {}", columns.start);
        assert!(columns.len().is_multiple_of(block), "blocks of {block}, not {}", columns.len());
        assert_eq!(to.len(), rows.len() * columns.len(), "room for the rows");
        assert_eq!(factors.len(), rows.len() * self.row_factors(), "the factors of the rows");
        if to.is_empty() {
            return;
        }
        let (words, start) = (self.layout.words(), columns.start / block);
        let places =
            to.chunks_exact_mut(columns.len()).zip(factors.chunks_exact(self.row_factors()));
        for (row, (to, factors)) in rows.zip(places) {
            let codes = &weights.codes[row * words..(row + 1) * words];
            // SAFETY: a kernel is only made with the proof of its instruction set.
            unsafe { decode(&self.layout, codes, factors, start, to) };
        }
    }

    /// The factors of one row.
    fn factors_of(&self, weights: &Weights<'_>, row: usize, factors: &mut [f32]) {
        let scales = weights.scales.row(row, self.layout.groups());
        let zeros = weights.zeros.row(&self.layout, row);
        // SAFETY: a kernel is only made with the proof of its instruction set.
        unsafe { (self.functions.factors)(&self.layout, scales, zeros, factors) };
    }

    /// Some rows of inputs with some rows of codes, two at a time; their sums begin at column `at` of `y`.
    #[expect(clippy::too_many_arguments, reason = "a piece of a product, and where it is")]
    fn strips(
        &self,
        x: &[u32],
        codes: &[u32],
        rows: Range<usize>,
        factors: &[f32],
        y: &mut [f32],
        at: usize,
        n: usize,
    ) {
        let (words, both) = (self.layout.words(), 2 * self.layout.factors());
        let compute = self.functions.strips[y.len() / n - 1];
        for first in (0..rows.len()).step_by(OUTPUTS) {
            // The last row of an odd number is taken twice.
            let pair: [usize; OUTPUTS] = std::array::from_fn(|r| (first + r).min(rows.len() - 1));
            let strip = Strip {
                layout: &self.layout,
                codes: pair.map(|r| &codes[(rows.start + r) * words..][..words]),
                factors: pair.map(|r| &factors[r * both..][..both]),
                x,
            };
            // SAFETY: a kernel is only made with the proof of its instruction set.
            let sums = unsafe { compute(&strip) };
            for (r, sums) in pair.into_iter().zip(&sums) {
                for (y, sum) in y.chunks_exact_mut(n).zip(sums) {
                    y[at + r] = *sum;
                }
            }
        }
    }
}

fn functions<I: Way>(isa: Isa, bits: u32) -> Functions {
    #[cfg(target_arch = "x86_64")]
    {
        let wide = || {
            let proof = Vnni::detect()?;
            let decode_bf16 =
                Bf16::detect().map(|bf16| super::instances::decode_bf16(bf16, proof, bits));
            let functions = super::instances::avx512vnni::functions::<I>(proof, bits);
            Some(Functions { decode_bf16, ..functions })
        };
        let avx2 = |proof: Avx2| super::instances::avx2::functions::<I>(proof, bits);
        let found = match isa {
            Isa::Scalar => None,
            Isa::Avx2(proof) => Some(avx2(proof)),
            // Without VNNI, 256 bits do as well.
            Isa::Avx512(_) | Isa::Amx(_) => wide().or_else(|| Avx2::detect().map(avx2)),
        };
        if let Some(found) = found {
            return found;
        }
    }
    let _ = isa;
    super::instances::scalar::<I>(bits)
}
