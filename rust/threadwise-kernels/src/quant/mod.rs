//! Weights in few bits: groups of numbers that share a scale and a zero point.
//!
//! [`scalar`] is the definition.

mod codes;
pub mod dots;
mod number;
mod scalar;

pub use codes::{pack, unpack, words};
pub use number::Number;

use half::f16;
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

/// The kernel for one instruction set.
#[derive(Clone, Copy, Debug)]
pub struct Kernel {
    _isa: Isa,
}

impl Kernel {
    /// The kernel on `isa`.
    #[must_use]
    pub fn new(isa: Isa) -> Self {
        Self { _isa: isa }
    }

    /// The largest magnitude of some numbers.
    ///
    /// # Errors
    ///
    /// The index of the first that is not finite.
    pub fn largest(&self, x: &[f32]) -> Result<f32, usize> {
        scalar::largest(x)
    }

    /// Elements of scratch memory that [`Kernel::fit`] needs for groups of so many numbers.
    #[must_use]
    pub fn scratch(&self, _group: usize) -> usize {
        0
    }

    /// Finds scales and zero points of the groups of `group` numbers in some rows, as they will be stored: row
    /// after row of groups. A zero point is a minimum, or a whole number.
    ///
    /// # Panics
    ///
    /// If the sizes do not fit, or the numbers of a row are not adjacent.
    pub fn fit(
        &self,
        task: Task,
        group: usize,
        x: ArrayView2<'_, f32>,
        importance: Option<ArrayView2<'_, f32>>,
        scales: &mut [f32],
        zeros: &mut [f32],
        _scratch: &mut [f32],
    ) {
        let groups = x.ncols().div_ceil(group);
        for (i, x) in x.outer_iter().enumerate() {
            let x = x.to_slice().expect("adjacent numbers");
            let weights =
                importance.map(|w| w.index_axis_move(Axis(0), i).to_slice().expect("adjacent"));
            for (j, x) in x.chunks(group).enumerate() {
                let weights = weights.map(|w| &w[j * group..][..x.len()]);
                let at = i * groups + j;
                (scales[at], zeros[at]) = scalar::fit(task, x, weights);
            }
        }
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
        for (i, (x, codes)) in x.chunks(group).zip(codes.chunks_mut(group)).enumerate() {
            scalar::encode(task, x, scales[i], zeros[i], codes);
        }
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
        for (i, (codes, values)) in codes.chunks(group).zip(values.chunks_mut(group)).enumerate() {
            scalar::decode(zero_point, codes, scales[i], zeros[i], values);
        }
    }
}

/// The nearest number that is stored: of float16 that is finite, or of float32.
fn stored(x: f32, is_half: bool) -> f32 {
    if !is_half {
        return x;
    }
    let most = f16::MAX.to_f32();
    f16::from_f32(x.clamp(-most, most)).to_f32()
}
