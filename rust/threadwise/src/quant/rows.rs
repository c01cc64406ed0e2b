//! Some rows of a weight, on one thread.

use ndarray::{ArrayView2, ArrayViewMut1, ArrayViewMut2, Axis, Slice};
use threadwise_kernels::Isa;
use threadwise_kernels::quant::{Kernel, Number, Task, words};
use threadwise_runtime::with_scratch;

use super::parts::widen;
use super::{ErrorSums, NumbersMut, QuantizedMut, ROWS, Scheme, ZerosMut};
use crate::Error;
use crate::error::Shape;

/// Groups that the widest vectors hold, one in each lane.
pub(super) const LANES: usize = 16;

/// What the numbers of a weight are like.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Survey {
    /// The largest magnitude.
    pub largest: f32,
}

impl Survey {
    /// Adds the rows that come next.
    pub fn merge(&mut self, next: &Self) {
        self.largest = self.largest.max(next.largest);
    }

    /// Whether scales and minima must be float32, because float16 would overflow or add to the errors.
    ///
    /// Scales of float16 are off by at most 2⁻²⁵ where they are small, values by (2^bits − 1)·2⁻²⁵. A group as
    /// large as the largest number has steps of at least `largest`/(2^bits − 1): half of such a step is 16 times
    /// what float16 adds to any error, as long as `largest` ≥ 2⁻²⁰·(2^bits − 1)². Above 2¹⁵ a scale or a minimum
    /// that is searched for might overflow.
    #[must_use]
    pub fn needs_single(&self, scheme: &Scheme) -> bool {
        let steps = f64::from(scheme.bits.largest());
        let largest = f64::from(self.largest);
        largest > 0.0 && !(steps * steps * 2.0_f64.powi(-20)..=32768.0).contains(&largest)
    }
}

/// What came out of some rows.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Outcome {
    /// What was lost, if that was asked for.
    pub sums: ErrorSums,
    /// What the numbers are like.
    pub survey: Survey,
}

impl Outcome {
    /// Adds the rows that come next.
    pub fn merge(&mut self, next: &Self) {
        self.sums.merge(&next.sums);
        self.survey.merge(&next.survey);
    }
}

/// Quantizes some rows of a weight, on the calling thread: all of it, or any that begin at a multiple of
/// [`ROWS`] and end at one or at its end. The codes, scales and zero points are those that
/// [`quantize`](super::quantize) of the whole would give.
///
/// `importance` has the shape of `weight` (of stride 0 along the rows, if it is per column): what is minimized
/// is Σ importance·error². Where [`Survey::needs_single`] of the whole weight turns out, scales and minima
/// should be made again as float32.
///
/// # Errors
///
/// If sizes do not fit (then nothing is written), a number is not finite (then some rows may be written; its index
/// is that within these rows), or memory runs out.
pub fn quantize_rows<T: Number>(
    weight: ArrayView2<'_, T>,
    importance: Option<ArrayView2<'_, f32>>,
    scheme: &Scheme,
    to: QuantizedMut<'_>,
    measure: bool,
    isa: Isa,
) -> Result<Outcome, Error> {
    to.expect(weight.dim(), scheme)?;
    expect_importance(weight.dim(), importance)?;
    let mut outcome = Outcome::default();
    let (rows, columns) = weight.dim();
    if rows == 0 || columns == 0 {
        return Ok(outcome);
    }
    let mut block = Block::new(scheme, columns, to.scales.is_half(), measure, isa);
    let QuantizedMut { mut codes, mut scales, mut zeros } = to;
    for first in (0..rows).step_by(ROWS) {
        let last = rows.min(first + ROWS);
        let some = Slice::from(first..last);
        let importance = importance.as_ref().map(|w| w.slice_axis(Axis(0), some));
        let to = codes.slice_axis_mut(Axis(0), some);
        let done = block.fit(weight.slice_axis(Axis(0), some), importance, to)?;
        let done = done.map_err(|index| not_finite(&weight, first + index.0, index.1))?;
        outcome.merge(&done);
        block.store(first, last - first, &mut scales, &mut zeros);
    }
    Ok(outcome)
}

/// The error about a number that is not finite.
fn not_finite<T: Number>(weight: &ArrayView2<'_, T>, row: usize, column: usize) -> Error {
    let mut actual = [0.0];
    T::widen(Isa::Scalar, &[weight[[row, column]]], &mut actual);
    let index = Shape(vec![row, column]);
    Error::NotFinite { name: "weight", index, actual: actual[0].into() }
}

/// Refuses importance that does not fit, or says that a number should count less than nothing.
pub(super) fn expect_importance(
    weight: (usize, usize),
    importance: Option<ArrayView2<'_, f32>>,
) -> Result<(), Error> {
    let Some(importance) = importance else { return Ok(()) };
    if importance.dim() != weight {
        let (actual, expected) = (importance.shape(), Shape(vec![weight.0, weight.1]));
        let actual = Shape::from(actual);
        return Err(Error::Part { name: "importance", actual, expected });
    }
    let is_bad = |w: &&f32| !(**w >= 0.0 && w.is_finite());
    // A row that is repeated is looked at once.
    let once = if importance.strides()[0] == 0 { 1 } else { weight.0 };
    let bad = importance.rows().into_iter().take(once).find_map(|row| row.into_iter().find(is_bad));
    bad.map_or(Ok(()), |&bad| {
        let expected = "finite numbers that are not negative";
        Err(Error::Domain { name: "importance", actual: bad.into(), expected })
    })
}

/// What is needed to quantize some rows at a time.
struct Block {
    kernel: Kernel,
    isa: Isa,
    task: Task,
    group: usize,
    groups: usize,
    measure: bool,
    /// Row after row of groups.
    scales: Vec<f32>,
    zeros: Vec<f32>,
    /// Of one row.
    codes: Vec<u8>,
    words: Vec<u32>,
}

impl Block {
    fn new(scheme: &Scheme, columns: usize, is_half: bool, measure: bool, isa: Isa) -> Self {
        let &Scheme { bits, zero_point, method, .. } = scheme;
        let (groups, group) = (scheme.groups(columns), scheme.group(columns));
        Self {
            kernel: Kernel::new(isa),
            isa,
            task: Task { bits, zero_point, method, is_half },
            group,
            groups,
            measure,
            scales: vec![0.0; ROWS * groups],
            zeros: vec![0.0; ROWS * groups],
            codes: vec![0; columns],
            words: vec![0; scheme.words(columns)],
        }
    }

    /// Finds the scales and zero points of at most [`ROWS`] rows and writes their codes; or says which number is
    /// not finite.
    fn fit<T: Number>(
        &mut self,
        weight: ArrayView2<'_, T>,
        importance: Option<ArrayView2<'_, f32>>,
        mut codes: ArrayViewMut2<'_, u32>,
    ) -> Result<Result<Outcome, (usize, usize)>, Error> {
        let (rows, columns) = weight.dim();
        // As few as fill the lanes, so that numbers are in the nearest cache when they are read again.
        let together = LANES.div_ceil(self.groups).min(rows);
        let plain = singles(weight);
        let copied = if plain.is_some() { 0 } else { together * columns };
        let gaps = importance.filter(|w| columns > 1 && w.strides()[1] != 1);
        let weights = if gaps.is_some() { together * columns } else { 0 };
        let values = if self.measure { columns } else { 0 };
        let length = copied + weights + values + self.kernel.scratch(self.group);
        Ok(with_scratch(length, |scratch: &mut [f32]| {
            let (copy, scratch) = scratch.split_at_mut(copied);
            let (weights, scratch) = scratch.split_at_mut(weights);
            let (values, scratch) = scratch.split_at_mut(values);
            let mut outcome = Outcome::default();
            for first in (0..rows).step_by(together) {
                let some = Slice::from(first..rows.min(first + together));
                let x = match plain {
                    Some(plain) => plain.slice_axis_move(Axis(0), some),
                    None => widened(self.isa, weight.slice_axis(Axis(0), some), copy),
                };
                for (i, x) in x.outer_iter().enumerate() {
                    let largest = self.kernel.largest(x.to_slice().unwrap_or_default());
                    let largest = largest.map_err(|column| (first + i, column))?;
                    outcome.survey.merge(&Survey { largest });
                }
                let importance = importance.map(|w| w.slice_axis_move(Axis(0), some));
                let importance = if gaps.is_some() {
                    importance.map(|w| widened(self.isa, w, weights))
                } else {
                    importance
                };
                let groups = first * self.groups..(first + x.nrows()) * self.groups;
                let (scales, zeros) = (&mut self.scales[groups.clone()], &mut self.zeros[groups]);
                self.kernel.fit(self.task, self.group, x, importance, scales, zeros, scratch);
                for (i, x) in x.outer_iter().enumerate() {
                    let x = x.to_slice().unwrap_or_default();
                    self.encode(first + i, x, codes.row_mut(first + i));
                    if self.measure {
                        self.decode(first + i, values);
                        outcome.sums.add(self.kernel, x, values);
                    }
                }
            }
            Ok(outcome)
        })?)
    }

    /// Writes the codes of a row.
    fn encode(&mut self, row: usize, x: &[f32], mut to: ArrayViewMut1<'_, u32>) {
        let groups = row * self.groups..(row + 1) * self.groups;
        let (scales, zeros) = (&self.scales[groups.clone()], &self.zeros[groups]);
        self.kernel.encode(self.task, self.group, x, scales, zeros, &mut self.codes);
        if let Some(to) = to.as_slice_mut() {
            self.kernel.pack(self.task.bits, &self.codes, to);
        } else {
            self.kernel.pack(self.task.bits, &self.codes, &mut self.words);
            to.iter_mut().zip(&self.words).for_each(|(to, word)| *to = *word);
        }
    }

    /// The values of the row whose codes were just written.
    fn decode(&self, row: usize, values: &mut [f32]) {
        let groups = row * self.groups..(row + 1) * self.groups;
        let (scales, zeros) = (&self.scales[groups.clone()], &self.zeros[groups]);
        let kind = self.task.zero_point;
        self.kernel.decode(kind, self.group, &self.codes, scales, zeros, values);
    }

    /// Writes the scales and zero points of `rows` rows from `first` on.
    fn store(
        &mut self,
        first: usize,
        rows: usize,
        scales: &mut NumbersMut<'_>,
        zeros: &mut ZerosMut<'_>,
    ) {
        for i in 0..rows {
            let groups = i * self.groups..(i + 1) * self.groups;
            scales.set_row(self.isa, first + i, &mut self.scales[groups.clone()]);
            if let ZerosMut::Float(minima) = zeros {
                minima.set_row(self.isa, first + i, &mut self.zeros[groups]);
            }
        }
        if let ZerosMut::Integer(packed) = zeros {
            let bits = self.task.bits;
            let words = words(first, bits)..words(first + rows, bits);
            packed.slice_axis_mut(Axis(0), Slice::from(words)).fill(0);
            for i in 0..rows {
                let codes = &self.zeros[i * self.groups..(i + 1) * self.groups];
                let at = (first + i) * bits.get();
                let (word, shift) = (at / 32, at % 32);
                for (to, code) in packed.row_mut(word).iter_mut().zip(codes) {
                    *to |= small(*code) << shift;
                }
                if shift + bits.get() > 32 {
                    for (to, code) in packed.row_mut(word + 1).iter_mut().zip(codes) {
                        *to |= small(*code) >> (32 - shift);
                    }
                }
            }
        }
    }
}

/// A code.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to 255")]
fn small(x: f32) -> u32 {
    x as u32
}

/// The numbers as they lie, if they are float32 and each row's are adjacent.
fn singles<T: Number>(weight: ArrayView2<'_, T>) -> Option<ArrayView2<'_, f32>> {
    let (_, columns) = weight.dim();
    let is_plain = columns <= 1 || weight.strides()[1] == 1;
    if is_plain { T::singles(weight) } else { None }
}

/// A copy of some rows.
fn widened<'a, T: Number>(
    isa: Isa,
    from: ArrayView2<'_, T>,
    to: &'a mut [f32],
) -> ArrayView2<'a, f32> {
    let (rows, columns) = from.dim();
    for (from, to) in from.outer_iter().zip(to.chunks_exact_mut(columns)) {
        widen(isa, from, to);
    }
    let copied = &to[..rows * columns];
    ArrayView2::from_shape((rows, columns), copied).expect("as many numbers as were copied")
}
