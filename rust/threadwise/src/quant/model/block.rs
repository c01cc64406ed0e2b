//! One block of a tensor: read, quantized on the calling thread, written where it belongs.

use std::io;

use bytemuck::{Pod, cast_slice, cast_slice_mut};
use crc32fast::Hasher;
use half::{bf16, f16};
use ndarray::{ArrayView2, ArrayViewMut2};
use threadwise_kernels::Isa;
use threadwise_runtime::Owned;

use super::super::{Number, NumbersMut, Outcome, QuantizedMut, ZeroPoint, ZerosMut, quantize_rows};
use super::course::{Course, Ticket};
use super::layout::{Form, Role, matrix};
use super::output::Output;
use super::plan::{Memory, Plan, Task, of_part, place};
use crate::Error;
use crate::error::Shape;
use crate::store::{Checkpoint, Dtype, StoreError};

/// The places of a block, as large as the largest one needs them.
#[derive(Debug)]
pub(super) struct Buffers {
    /// As it is read.
    read: Owned<u8>,
    /// As it is written: codes, zero points, scales and minima.
    made: [Owned<u8>; 4],
}

/// What is known of a block that was done.
#[derive(Debug)]
pub(super) struct Done {
    /// Of each unit.
    pub(super) outcomes: Vec<Outcome>,
    /// Of each part, in the order of the parts.
    pub(super) checksums: Vec<Hasher>,
    /// How long it was quantized, without reading and writing.
    pub(super) seconds: f64,
}

/// What every worker needs.
#[derive(Clone, Copy)]
pub(super) struct Shop<'a> {
    pub(super) checkpoint: &'a Checkpoint,
    pub(super) plan: &'a Plan,
    pub(super) course: &'a Course<'a>,
    pub(super) output: &'a Output,
    pub(super) isa: Isa,
}

impl Buffers {
    /// Places for blocks of this size. What is not written to takes no memory.
    pub(super) fn new(memory: &Memory) -> io::Result<Self> {
        let room = |bytes: u64| {
            let bytes = usize::try_from(bytes).map_err(|_| io::ErrorKind::OutOfMemory)?;
            // Whole words, so that it can be seen as words.
            Owned::zeros(bytes.next_multiple_of(8))
        };
        let [codes, zeros, scales, minima] = memory.parts;
        let made = [room(codes)?, room(zeros)?, room(scales)?, room(minima)?];
        Ok(Self { read: room(memory.read)?, made })
    }
}

impl Shop<'_> {
    /// Reads what a ticket is for.
    pub(super) fn read(&self, ticket: &Ticket, buffers: &mut Buffers) -> Result<(), Error> {
        let task = &self.plan.tasks[ticket.task];
        let bytes = task.bytes_of(&task.units_of(ticket.block));
        let length = span(&bytes);
        if length > 0 {
            let weights = &self.checkpoint.shards[task.shard];
            weights.read(&task.tensor, bytes.start, &mut buffers.read[..length])?;
            self.output.was_read(weights, task.tensor.begin + bytes.start, length as u64);
        }
        Ok(())
    }

    /// Quantizes what was read, if it shall be; `None` if it was stopped.
    pub(super) fn quantize(
        &self,
        ticket: &Ticket,
        buffers: &mut Buffers,
    ) -> Result<Option<Vec<Outcome>>, Error> {
        let task = &self.plan.tasks[ticket.task];
        let Some(form) = ticket.form else { return Ok(Some(Vec::new())) };
        let made = match task.tensor.dtype {
            Dtype::F32 => self.rows::<f32>(ticket, task, form, buffers),
            Dtype::F16 => self.rows::<f16>(ticket, task, form, buffers),
            _ => self.rows::<bf16>(ticket, task, form, buffers),
        };
        made.map_err(|error| self.named(task, error))
    }

    fn rows<T: Number + Pod>(
        &self,
        ticket: &Ticket,
        task: &Task,
        form: Form,
        buffers: &mut Buffers,
    ) -> Result<Option<Vec<Outcome>>, Error> {
        let scheme = form.scheme;
        let [_, rows, columns] = matrix(&task.tensor.shape);
        let (words, groups) = (scheme.words(columns), scheme.groups(columns));
        let units = task.units_of(ticket.block);
        let Buffers { read, made: [codes, zeros, scales, minima] } = buffers;
        let weights: &[T] = cast_slice(&read[..span(&task.bytes_of(&units))]);
        let (mut row, mut zero) = (0, 0);
        let mut outcomes = Vec::with_capacity(units.len());
        for unit in units {
            if self.course.is_stopped() {
                return Ok(None);
            }
            let (_, first) = task.place(unit);
            let count = task.unit.min(rows - first);
            let zero_count = scheme.zero_words(count);
            let weight = &weights[row * columns..][..count * columns];
            let codes = &mut cast_slice_mut::<u8, u32>(codes)[row * words..][..count * words];
            let (to, places) = (row * groups..(row + count) * groups, (count, groups));
            let to = QuantizedMut {
                codes: view_mut(codes, (count, words))?,
                scales: numbers(scales, to.clone(), places, form.wide)?,
                zeros: match scheme.zero_point {
                    ZeroPoint::Symmetric => ZerosMut::Symmetric,
                    ZeroPoint::Float => ZerosMut::Float(numbers(minima, to, places, form.wide)?),
                    ZeroPoint::Integer => {
                        let zeros = cast_slice_mut::<u8, u32>(zeros);
                        let zeros = &mut zeros[zero * groups..][..zero_count * groups];
                        ZerosMut::Integer(view_mut(zeros, (zero_count, groups))?)
                    }
                },
            };
            let weight = ArrayView2::from_shape((count, columns), weight).map_err(misfit)?;
            let outcome = quantize_rows(weight, None, &scheme, to, true, self.isa);
            outcomes.push(outcome.map_err(|error| within(error, task, unit))?);
            row += count;
            zero += zero_count;
        }
        Ok(Some(outcomes))
    }

    /// Writes what was made to its places.
    pub(super) fn write(&self, ticket: &Ticket, buffers: &Buffers) -> Result<Vec<Hasher>, Error> {
        let task = &self.plan.tasks[ticket.task];
        let units = task.units_of(ticket.block);
        let bytes = task.bytes_of(&units);
        let mut checksums = Vec::with_capacity(ticket.parts.len());
        for part in &ticket.parts {
            let (from, range) = match (part.role, ticket.form) {
                (Role::Same, _) | (_, None) => (&buffers.read, bytes.clone()),
                (role, Some(form)) => {
                    (&buffers.made[place(role)], of_part(task, form, role, &units))
                }
            };
            let written = &from[..span(&range)];
            let mut checksum = Hasher::new();
            checksum.update(written);
            checksums.push(checksum);
            self.output
                .write(task.shard, part.begin + range.start, written)
                .map_err(|error| self.output.complaint(task.shard, &task.tensor.name, error))?;
        }
        Ok(checksums)
    }

    /// The error with the file and the tensor that it is about.
    fn named(&self, task: &Task, error: Error) -> Error {
        if matches!(error, Error::Store(_) | Error::Interrupted(_)) {
            return error;
        }
        let file = self.checkpoint.shards[task.shard].path().to_owned();
        Error::Tensor { file, name: task.tensor.name.clone(), error: Box::new(error) }
    }
}

fn span(range: &std::ops::Range<u64>) -> usize {
    // Parts of a buffer, so they fit.
    usize::try_from(range.end - range.start).unwrap_or(usize::MAX)
}

fn view_mut<T>(slice: &mut [T], shape: (usize, usize)) -> Result<ArrayViewMut2<'_, T>, Error> {
    ArrayViewMut2::from_shape(shape, slice).map_err(misfit)
}

fn numbers(
    bytes: &mut [u8],
    range: std::ops::Range<usize>,
    shape: (usize, usize),
    wide: bool,
) -> Result<NumbersMut<'_>, Error> {
    Ok(if wide {
        NumbersMut::F32(view_mut(&mut cast_slice_mut(bytes)[range], shape)?)
    } else {
        NumbersMut::F16(view_mut(&mut cast_slice_mut(bytes)[range], shape)?)
    })
}

/// An error about a number of a unit with the number's index in the tensor.
fn within(error: Error, task: &Task, unit: usize) -> Error {
    let Error::NotFinite { name, index, actual } = error else { return error };
    let (matrix, first) = task.place(unit);
    let [.., row, column] = index.0[..] else {
        return Error::NotFinite { name, index, actual };
    };
    let index = match *task.tensor.shape.as_slice() {
        [_] => vec![column],
        [ref batch @ .., _, _] => {
            let mut left = matrix;
            let digits = batch.iter().rev().map(|&extent| {
                let digit = left % extent.max(1);
                left /= extent.max(1);
                digit
            });
            let mut index: Vec<usize> = digits.collect();
            index.reverse();
            index.extend([first + row, column]);
            index
        }
        [] => vec![],
    };
    Error::NotFinite { name, index: Shape(index), actual }
}

/// Views of slices that are as long as their shapes say always fit.
fn misfit(error: ndarray::ShapeError) -> Error {
    StoreError::io(std::path::Path::new(""), "be seen as a matrix")(io::Error::other(error)).into()
}
