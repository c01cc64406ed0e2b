//! Weights in few bits: groups of numbers that share a scale and a zero point.
//!
//! | kind | value of a code | from the extremes |
//! | --- | --- | --- |
//! | symmetric | (code − 2^(b − 1))·scale | scale = 2·max|x|/(2^b − 1) |
//! | float | code·scale + minimum, rounded once | scale = (max − min)/(2^b − 1), minimum = min |
//! | integer | (code − zero)·scale | the same, of a range with 0 in it; zero = −min/scale, rounded |
//!
//! A code is the nearest to (x − minimum)/scale, or x/scale + zero, where scale and minimum are as they are stored:
//! the quotient is a product with the rounded inverse, halves go to even, and what is below the range or above
//! becomes its end. A scale below the smallest normal float32 counts as zero.
//!
//! **Least squares** ([`Method::Mse`]). A trial is a range; it gives codes, and these give the scale and the minimum
//! with the least Σw·(x − value)² in closed form, as in `make_qkx2_quants` of llama.cpp (MIT), whose trials
//! change the length of the range alone. Ours move both its ends: the first is shorter by 12 % at either,
//! then eight around the best are tried, four times, at half the distance each time; scale and minimum of the best are
//! tried twice more (one step of S. P. Lloyd, *Least Squares Quantization in PCM*, IEEE Trans. Inf. Theory 28,
//! 1982): 35 trials. Symmetric ranges have one length, of either sign, because −2^(b − 1) has no
//! counterpart: 26 trials; their scale is then made longer, until Σw·x·value is Σw·x². Least squares make the errors
//! orthogonal to the values, which are too small therefore, by the relative error: the products of a layer come out too small with
//! them. So the errors are made orthogonal to the numbers, as in EDEN (Vargaftik et al., ICML 2022), for less than that
//! part of the squares. At last the errors of the best and of the extremes, with codes and parameters as they are
//! stored, are compared, so that it is never worse than [`Method::MinMax`].
//!
//! **Bits.** Those of a group depend on its numbers and their importance alone: not on the instruction set, because all
//! do the same operations in the same order; sums are taken in chunks of 256 terms.
//!
//! `codes` has the streams of bits, [`scalar`] is the definition. Its twin on vector units is `lanes` (with `ranges`), with a
//! group in each lane; `rows` is what surrounds that, `coding` and `streams` do the rest for each row.

mod codes;
#[cfg(target_arch = "x86_64")]
mod coding;
pub mod dots;
#[cfg(target_arch = "x86_64")]
mod lanes;
mod loss;
mod number;
pub mod panels;
#[cfg(target_arch = "x86_64")]
mod ranges;
#[cfg(target_arch = "x86_64")]
mod rows;
mod scalar;
#[cfg(target_arch = "x86_64")]
mod streams;
#[cfg(test)]
mod tests;

pub use codes::{pack, unpack, words};
pub use loss::Loss;
pub use number::Number;

use ndarray::{ArrayView2, Axis};

use crate::Isa;

/// Bits of a code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Bits {
    /// Codes from 0 to 3.
    Two,
    /// Codes from 0 to 7.
    Three,
    /// Codes from 0 to 15.
    Four,
    /// Codes from 0 to 255.
    Eight,
}

impl Bits {
    /// Every width.
    pub const ALL: [Self; 4] = [Self::Two, Self::Three, Self::Four, Self::Eight];

    /// How many.
    #[must_use]
    pub const fn get(self) -> usize {
        match self {
            Self::Two => 2,
            Self::Three => 3,
            Self::Four => 4,
            Self::Eight => 8,
        }
    }

    /// The largest code.
    #[must_use]
    pub const fn largest(self) -> u32 {
        (1 << self.get()) - 1
    }
}

impl TryFrom<usize> for Bits {
    type Error = usize;

    /// The width of so many bits, or the number again.
    fn try_from(bits: usize) -> Result<Self, usize> {
        Self::ALL.into_iter().find(|known| known.get() == bits).ok_or(bits)
    }
}

/// What a code is counted from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ZeroPoint {
    /// The middle of the codes: value = (code − 2^(bits − 1))·scale.
    Symmetric,
    /// A number a group: value = code·scale + minimum, rounded once.
    Float,
    /// A code a group: value = (code − zero)·scale.
    Integer,
}

/// How scale and zero point of a group are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    /// From the least and the greatest number.
    MinMax,
    /// By the least squares of the errors, among some trials.
    Mse,
}

/// What the kernel is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Task {
    /// Bits of a code.
    pub bits: Bits,
    /// What codes are counted from.
    pub zero_point: ZeroPoint,
    /// How scales are found.
    pub method: Method,
    /// Whether scales and minima will be stored as float16, which they are rounded to; else as float32.
    pub is_half: bool,
}

impl Task {
    /// The steps of a range: the largest code.
    fn steps(self) -> f32 {
        self.bits.largest() as f32
    }
}

/// Adding it rounds a number of magnitude below 2²² to the nearest whole one, halves to even.
const MAGIC: f32 = 12_582_912.0; // 1.5·2²³

/// Terms that are summed before they are added to a total.
const CHUNK: usize = 256;

/// The part of its range by which the first trial of a group is shorter at either end, and to which others
/// around it are shorter, or longer.
const CUT: f32 = 0.12;

/// How often the best trial's neighbors are tried, each time at half the distance.
const LEVELS: usize = 4;

/// Trials around the best.
const NEIGHBORS: [[f32; 2]; 8] = [
    [-1.0, -1.0],
    [-1.0, 0.0],
    [-1.0, 1.0],
    [0.0, -1.0],
    [0.0, 1.0],
    [1.0, -1.0],
    [1.0, 0.0],
    [1.0, 1.0],
];

/// The parts of a symmetric range by which it is tried shorter, with either sign, and those around the best.
const SYMMETRIC_CUTS: [f32; 10] = [-0.1, -0.02, 0.06, 0.14, 0.22, 0.3, 0.38, 0.46, 0.54, 0.62];
const FINE_CUTS: [f32; 4] = [-0.04, -0.02, 0.02, 0.04];

/// How often the best trial's scale and minimum are taken for a trial.
const REFINEMENTS: usize = 2;

/// How often a symmetric scale is made one without bias.
const PROJECTIONS: usize = 2;

/// The kernel for one instruction set.
#[derive(Clone, Copy, Debug)]
pub struct Kernel {
    isa: Isa,
}

/// Calls the instance of a function for an instruction set, or the definition.
macro_rules! on {
    ($isa:expr, $scalar:expr, $name:ident($($argument:expr),*)) => {
        match $isa {
            Isa::Scalar => $scalar,
            // SAFETY: the token proves the instruction set.
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2(proof) => unsafe { rows::avx2::$name(proof, $($argument),*) },
            // SAFETY: the token proves the instruction set.
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512(proof) => unsafe { rows::avx512::$name(proof, $($argument),*) },
            // SAFETY: the token proves the instruction set.
            #[cfg(target_arch = "x86_64")]
            Isa::Amx(proof) => unsafe { rows::avx512::$name(proof.avx512(), $($argument),*) },
        }
    };
}

impl Kernel {
    /// The kernel on `isa`.
    #[must_use]
    pub fn new(isa: Isa) -> Self {
        Self { isa }
    }

    /// The largest magnitude of some numbers.
    ///
    /// # Errors
    ///
    /// The index of the first that is not finite.
    pub fn largest(&self, x: &[f32]) -> Result<f32, usize> {
        let largest = on!(self.isa, return scalar::largest(x), largest(x));
        if largest.is_finite() { Ok(largest) } else { scalar::largest(x) }
    }

    /// Elements of scratch memory that [`Kernel::fit`] needs for groups of so many numbers.
    #[must_use]
    pub fn scratch(&self, group: usize) -> usize {
        let lanes = match self.isa {
            Isa::Scalar => 0,
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2(_) => 8,
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512(_) | Isa::Amx(_) => 16,
        };
        3 * lanes * group.next_multiple_of(lanes.max(1))
    }

    /// Finds scales and zero points of the groups of `group` numbers in some rows, as they will be stored: row
    /// after row of groups. A zero point is a minimum, or a whole number.
    ///
    /// # Panics
    ///
    /// If the sizes do not fit, or the numbers of a row are not adjacent.
    #[expect(clippy::too_many_arguments, reason = "the operands and the results")]
    pub fn fit(
        &self,
        task: Task,
        group: usize,
        x: ArrayView2<'_, f32>,
        importance: Option<ArrayView2<'_, f32>>,
        scales: &mut [f32],
        zeros: &mut [f32],
        scratch: &mut [f32],
    ) {
        let groups = x.ncols().div_ceil(group) * x.nrows();
        assert_eq!([scales.len(), zeros.len()], [groups; 2], "parameters for each group");
        assert!(importance.is_none_or(|w| w.dim() == x.dim()), "importance of each number");
        assert!(scratch.len() >= self.scratch(group), "as much scratch memory as was said");
        on!(
            self.isa,
            each(task, group, x, importance, scales, zeros),
            fit(task, group, x, importance, scales, zeros, scratch)
        );
    }

    /// The codes of a row.
    ///
    /// # Panics
    ///
    /// If the lengths do not fit.
    pub fn encode(
        &self,
        task: Task,
        group: usize,
        x: &[f32],
        scales: &[f32],
        zeros: &[f32],
        codes: &mut [u8],
    ) {
        assert_eq!(x.len(), codes.len(), "a code for each number");
        assert_eq!([scales.len(), zeros.len()], [x.len().div_ceil(group); 2], "groups");
        on!(
            self.isa,
            scalar::encode(task, group, x, scales, zeros, codes),
            encode(task, group, x, scales, zeros, codes)
        );
    }

    /// The values of a row of codes.
    ///
    /// # Panics
    ///
    /// If the lengths do not fit.
    pub fn decode(
        &self,
        zero_point: ZeroPoint,
        group: usize,
        codes: &[u8],
        scales: &[f32],
        zeros: &[f32],
        values: &mut [f32],
    ) {
        assert_eq!(values.len(), codes.len(), "a value for each code");
        assert_eq!([scales.len(), zeros.len()], [codes.len().div_ceil(group); 2], "groups");
        on!(
            self.isa,
            scalar::decode(zero_point, group, codes, scales, zeros, values),
            decode(zero_point, group, codes, scales, zeros, values)
        );
    }

    /// What numbers lost of which these are the values.
    ///
    /// # Panics
    ///
    /// If the lengths differ.
    #[must_use]
    pub fn loss(&self, weights: &[f32], values: &[f32]) -> Loss {
        assert_eq!(weights.len(), values.len(), "a value for each number");
        on!(self.isa, loss::loss(weights, values), vectors(weights, values))
    }

    /// Writes codes as a stream.
    ///
    /// # Panics
    ///
    /// If `to` is not as long as the stream.
    pub fn pack(&self, bits: Bits, codes: &[u8], to: &mut [u32]) {
        assert_eq!(to.len(), words(codes.len(), bits), "as many words as the codes take");
        on!(self.isa, pack(bits, codes, to), pack(bits, codes, to));
    }

    /// Reads codes from a stream.
    ///
    /// # Panics
    ///
    /// If `from` is not as long as the stream of so many codes.
    pub fn unpack(&self, bits: Bits, from: &[u32], codes: &mut [u8]) {
        assert_eq!(from.len(), words(codes.len(), bits), "as many words as the codes take");
        on!(self.isa, unpack(bits, from, codes), unpack(bits, from, codes));
    }
}

/// The definition for each group of some rows.
fn each(
    task: Task,
    group: usize,
    x: ArrayView2<'_, f32>,
    importance: Option<ArrayView2<'_, f32>>,
    scales: &mut [f32],
    zeros: &mut [f32],
) {
    let groups = x.ncols().div_ceil(group);
    for (i, x) in x.outer_iter().enumerate() {
        let x = x.to_slice().expect("adjacent numbers");
        let weights = importance.map(|w| w.index_axis_move(Axis(0), i));
        let weights = weights.map(|w| w.to_slice().expect("adjacent numbers"));
        for (j, x) in x.chunks(group).enumerate() {
            let weights = weights.map(|w| &w[j * group..][..x.len()]);
            let at = i * groups + j;
            (scales[at], zeros[at]) = scalar::fit(task, x, weights);
        }
    }
}
