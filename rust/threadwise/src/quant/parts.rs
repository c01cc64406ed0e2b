//! Where the parts of a quantized matrix lie.

use half::{bf16, f16};
use ndarray::{ArrayView1, ArrayView2, ArrayViewMut1, ArrayViewMut2, Axis};
use threadwise_kernels::Isa;
use threadwise_kernels::quant::{Number, ZeroPoint};

use super::Scheme;
use crate::Error;
use crate::error::Shape;

/// Scales or minima, one row of groups for each row of the weight.
#[derive(Clone, Copy, Debug)]
pub enum Numbers<'a> {
    /// As they are made where float16 can hold them.
    F16(ArrayView2<'a, f16>),
    /// As other programs make them.
    Bf16(ArrayView2<'a, bf16>),
    /// As they are made where float16 cannot.
    F32(ArrayView2<'a, f32>),
}

impl Numbers<'_> {
    /// Rows and groups.
    #[must_use]
    pub fn dim(&self) -> (usize, usize) {
        match self {
            Self::F16(numbers) => numbers.dim(),
            Self::Bf16(numbers) => numbers.dim(),
            Self::F32(numbers) => numbers.dim(),
        }
    }

    /// A row of them, as float32.
    ///
    /// # Panics
    ///
    /// If `to` is not as long as the row.
    pub fn row(&self, isa: Isa, row: usize, to: &mut [f32]) {
        match self {
            Self::F16(numbers) => widen(isa, numbers.row(row), to),
            Self::Bf16(numbers) => widen(isa, numbers.row(row), to),
            Self::F32(numbers) => widen(isa, numbers.row(row), to),
        }
    }
}

/// What codes are counted from.
#[derive(Clone, Copy, Debug)]
pub enum Zeros<'a> {
    /// The middle of the codes.
    Symmetric,
    /// A minimum a group, like the scales.
    Float(Numbers<'a>),
    /// A code a group, packed along the rows: words of rows by groups.
    Integer(ArrayView2<'a, u32>),
}

/// A quantized matrix.
#[derive(Clone, Copy, Debug)]
pub struct Quantized<'a> {
    /// A stream of codes for each row.
    pub codes: ArrayView2<'a, u32>,
    /// A scale for each group of each row.
    pub scales: Numbers<'a>,
    /// What the codes are counted from.
    pub zeros: Zeros<'a>,
}

/// Places for scales or minima.
#[derive(Debug)]
pub enum NumbersMut<'a> {
    /// Rounded to float16.
    F16(ArrayViewMut2<'a, f16>),
    /// As they are found.
    F32(ArrayViewMut2<'a, f32>),
}

impl NumbersMut<'_> {
    /// Rows and groups.
    #[must_use]
    pub fn dim(&self) -> (usize, usize) {
        match self {
            Self::F16(numbers) => numbers.dim(),
            Self::F32(numbers) => numbers.dim(),
        }
    }

    /// Whether they are float16.
    #[must_use]
    pub fn is_half(&self) -> bool {
        matches!(self, Self::F16(_))
    }

    /// Stores a row, whose numbers are used up.
    pub(super) fn set_row(&mut self, isa: Isa, row: usize, x: &mut [f32]) {
        match self {
            Self::F16(numbers) => narrow(isa, numbers.row_mut(row), x),
            Self::F32(numbers) => narrow(isa, numbers.row_mut(row), x),
        }
    }

    fn split_at(self, row: usize) -> (Self, Self) {
        match self {
            Self::F16(numbers) => {
                let (above, below) = numbers.split_at(Axis(0), row);
                (Self::F16(above), Self::F16(below))
            }
            Self::F32(numbers) => {
                let (above, below) = numbers.split_at(Axis(0), row);
                (Self::F32(above), Self::F32(below))
            }
        }
    }
}

/// Places for what codes are counted from.
#[derive(Debug)]
pub enum ZerosMut<'a> {
    /// None: it is the middle of the codes.
    Symmetric,
    /// For minima, of the type of the scales.
    Float(NumbersMut<'a>),
    /// For codes, packed along the rows.
    Integer(ArrayViewMut2<'a, u32>),
}

impl ZerosMut<'_> {
    /// Which kind it is.
    #[must_use]
    pub fn zero_point(&self) -> ZeroPoint {
        match self {
            Self::Symmetric => ZeroPoint::Symmetric,
            Self::Float(_) => ZeroPoint::Float,
            Self::Integer(_) => ZeroPoint::Integer,
        }
    }
}

/// Places for a quantized matrix, or for some rows of one.
#[derive(Debug)]
pub struct QuantizedMut<'a> {
    /// A stream of codes for each row.
    pub codes: ArrayViewMut2<'a, u32>,
    /// A scale for each group of each row.
    pub scales: NumbersMut<'a>,
    /// What the codes are counted from.
    pub zeros: ZerosMut<'a>,
}

impl Quantized<'_> {
    /// Refuses parts that are not what belongs to a matrix of `shape`.
    ///
    /// # Errors
    ///
    /// If a part has another shape.
    pub fn expect(&self, shape: (usize, usize), scheme: &Scheme) -> Result<(), Error> {
        let (minima, zeros) = match &self.zeros {
            Zeros::Symmetric => (None, None),
            Zeros::Float(minima) => (Some(minima.dim()), None),
            Zeros::Integer(zeros) => (None, Some(zeros.dim())),
        };
        expect(shape, scheme, [Some(self.codes.dim()), Some(self.scales.dim()), minima, zeros])
    }
}

impl QuantizedMut<'_> {
    /// The rows before `row`, a multiple of [`super::ROWS`] or the last, and those from it on.
    #[must_use]
    pub fn split_at(self, row: usize, scheme: &Scheme) -> (Self, Self) {
        let (codes, codes_below) = self.codes.split_at(Axis(0), row);
        let (scales, scales_below) = self.scales.split_at(row);
        let (zeros, zeros_below) = match self.zeros {
            ZerosMut::Symmetric => (ZerosMut::Symmetric, ZerosMut::Symmetric),
            ZerosMut::Float(minima) => {
                let (above, below) = minima.split_at(row);
                (ZerosMut::Float(above), ZerosMut::Float(below))
            }
            ZerosMut::Integer(zeros) => {
                let (above, below) = zeros.split_at(Axis(0), scheme.zero_words(row));
                (ZerosMut::Integer(above), ZerosMut::Integer(below))
            }
        };
        (
            Self { codes, scales, zeros },
            Self { codes: codes_below, scales: scales_below, zeros: zeros_below },
        )
    }

    /// Refuses places that are not what belongs to a matrix of `shape`.
    pub(super) fn expect(&self, shape: (usize, usize), scheme: &Scheme) -> Result<(), Error> {
        let (minima, zeros) = match &self.zeros {
            ZerosMut::Symmetric => (None, None),
            ZerosMut::Float(minima) => (Some(minima.dim()), None),
            ZerosMut::Integer(zeros) => (None, Some(zeros.dim())),
        };
        expect(shape, scheme, [Some(self.codes.dim()), Some(self.scales.dim()), minima, zeros])
    }
}

/// The shapes of codes, scales, minima and integer zero points.
fn expect(
    (rows, columns): (usize, usize),
    scheme: &Scheme,
    actual: [Option<(usize, usize)>; 4],
) -> Result<(), Error> {
    let groups = scheme.groups(columns);
    let is = |kind| (scheme.zero_point == kind).then_some(());
    let expected = [
        Some((rows, scheme.words(columns))),
        Some((rows, groups)),
        is(ZeroPoint::Float).map(|()| (rows, groups)),
        is(ZeroPoint::Integer).map(|()| (scheme.zero_words(rows), groups)),
    ];
    let names = ["codes", "scales", "zero_points", "zero_points"];
    for ((name, actual), expected) in names.into_iter().zip(actual).zip(expected) {
        if actual != expected {
            let shape = |dim: Option<(usize, usize)>| {
                Shape(dim.map_or_else(Vec::new, |(rows, columns)| vec![rows, columns]))
            };
            let (actual, expected) = (shape(actual), shape(expected));
            return Err(Error::Part { name, actual, expected });
        }
    }
    Ok(())
}

pub(super) fn widen<T: Number>(isa: Isa, from: ArrayView1<'_, T>, to: &mut [f32]) {
    if let Some(from) = from.as_slice() {
        return T::widen(isa, from, to);
    }
    for (from, to) in from.iter().zip(to) {
        T::widen(isa, &[*from], std::slice::from_mut(to));
    }
}

pub(super) fn narrow<T: Number>(isa: Isa, mut to: ArrayViewMut1<'_, T>, from: &mut [f32]) {
    if let Some(to) = to.as_slice_mut() {
        return T::narrow(isa, from, to);
    }
    for (from, to) in from.iter_mut().zip(to) {
        T::narrow(isa, std::slice::from_mut(from), std::slice::from_mut(to));
    }
}
