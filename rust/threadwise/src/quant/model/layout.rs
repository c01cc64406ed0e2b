//! What a tensor becomes in a file: its parts, their shapes and sizes, and where they begin.
//!
//! A quantized tensor has codes, scales, zero points or minima, and its shape; others are one part, as it
//! was. Parts lie one after another without holes, as the format wants it, and so that each begins at a
//! multiple of its elements' size, because only then can it be mapped: shapes and other wide elements
//! first, then whatever comes in multiples of four bytes, then the rest ([`Class`]).

use super::super::{Bits, Scheme, ZeroPoint};
use crate::store::{Dtype, Tensor};

/// How a tensor is kept: these bits, with scales of float16, or of float32 where they must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Form {
    pub(super) scheme: Scheme,
    pub(super) wide: bool,
}

impl Form {
    pub(super) const fn of(scheme: Scheme) -> Self {
        Self { scheme, wide: false }
    }

    /// The same with more bits, if there are any.
    pub(super) const fn wider(self) -> Option<Self> {
        let bits = match self.scheme.bits {
            Bits::Two => Bits::Three,
            Bits::Three => Bits::Four,
            Bits::Four => Bits::Eight,
            Bits::Eight => return None,
        };
        Some(Self { scheme: Scheme { bits, ..self.scheme }, ..self })
    }

    /// The form with the most bytes that this one may be followed by.
    pub(super) fn widest(self) -> Self {
        let mut form = self;
        while let Some(wider) = form.wider() {
            form = wider;
        }
        Self { wide: true, ..form }
    }

    pub(super) const fn scale(self) -> Dtype {
        if self.wide { Dtype::F32 } else { Dtype::F16 }
    }
}

/// What a part is of its tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// The tensor as it was.
    Same,
    Codes,
    ZeroPoints,
    Scales,
    Minima,
}

impl Role {
    /// What is added to the tensor's name.
    pub(super) const fn ending(self) -> &'static str {
        match self {
            Self::Same => "",
            Self::Codes => "_packed",
            Self::ZeroPoints => "_zero_point",
            Self::Scales => "_scale",
            Self::Minima => "_minimum",
        }
    }
}

/// What is added to a tensor's name for its shape, which is kept apart from the other parts.
pub(super) const SHAPE: &str = "_shape";

/// A part of a tensor and where it lies, from the beginning of the data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) role: Role,
    pub(super) dtype: Dtype,
    pub(super) shape: Vec<usize>,
    pub(super) begin: u64,
    pub(super) bytes: u64,
}

/// In which order tensors lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Class {
    /// Elements of eight bytes.
    Eight,
    /// Parts in multiples of four bytes, whatever becomes of them.
    Four,
    /// Quantized, with an odd number of scales.
    Odd,
    /// An odd number of elements of two bytes.
    Two,
    /// Any number of bytes.
    One,
}

impl Class {
    pub(super) fn of(tensor: &Tensor, scheme: Option<&Scheme>) -> Self {
        let bytes = tensor.bytes();
        match (scheme, tensor.dtype.bits()) {
            (Some(scheme), _) => {
                let [matrices, rows, columns] = matrix(&tensor.shape);
                let scales = matrices * rows * scheme.groups(columns);
                let is_even = scheme.zero_point == ZeroPoint::Float || scales.is_multiple_of(2);
                if is_even { Self::Four } else { Self::Odd }
            }
            (None, 64) => Self::Eight,
            (None, _) if bytes.is_multiple_of(4) => Self::Four,
            (None, 16) => Self::Two,
            (None, _) => Self::One,
        }
    }
}

/// A shape as a number of matrices, their rows and their columns. A vector is a row.
pub(super) fn matrix(shape: &[usize]) -> [usize; 3] {
    match *shape {
        [] => [1, 1, 1],
        [columns] => [1, 1, columns],
        [ref matrices @ .., rows, columns] => [matrices.iter().product(), rows, columns],
    }
}

/// The parts of a tensor of this form, without one as it was, the first of which begins at `begin`.
pub(super) fn parts(tensor: &Tensor, form: Option<Form>, begin: u64) -> Vec<Part> {
    let Some(form @ Form { scheme, .. }) = form else {
        let Tensor { dtype, ref shape, .. } = *tensor;
        let (role, shape, bytes) = (Role::Same, shape.clone(), tensor.bytes());
        return vec![Part { role, dtype, shape, begin, bytes }];
    };
    let [_, rows, columns] = matrix(&tensor.shape);
    let (batch, own_rows) = match *tensor.shape.as_slice() {
        [] | [_] => (&[][..], &[][..]),
        [ref batch @ .., _, _] => (batch, &tensor.shape[batch.len()..=batch.len()]),
    };
    let shape_of = |rows: &[usize], columns: usize| [batch, rows, &[columns]].concat();
    let groups = scheme.groups(columns);
    let codes = (Role::Codes, Dtype::I32, shape_of(own_rows, scheme.words(columns)));
    let scales = (Role::Scales, form.scale(), shape_of(own_rows, groups));
    let mut all = match scheme.zero_point {
        ZeroPoint::Symmetric => vec![codes, scales],
        ZeroPoint::Float => {
            vec![codes, scales.clone(), (Role::Minima, scales.1, scales.2)]
        }
        ZeroPoint::Integer => {
            let zeros = shape_of(&[scheme.zero_words(rows)], groups);
            vec![codes, (Role::ZeroPoints, Dtype::I32, zeros), scales]
        }
    };
    if !begin.is_multiple_of(4) {
        // The odd scales of the tensor before: with those of this one the next is even again.
        all.sort_by_key(|(role, ..)| *role != Role::Scales);
    }
    let mut at = begin;
    let place = |(role, dtype, shape): (Role, Dtype, Vec<usize>)| {
        // Each is smaller than the tensor was with eight bytes an element, whose size was checked.
        let bytes = dtype.bytes(&shape).unwrap_or(u64::MAX);
        let begin = at;
        at += bytes;
        Part { role, dtype, shape, begin, bytes }
    };
    all.into_iter().map(place).collect()
}

/// Where the last of some parts ends.
pub(super) fn end(parts: &[Part]) -> u64 {
    parts.iter().map(|part| part.begin + part.bytes).max().unwrap_or(0)
}
