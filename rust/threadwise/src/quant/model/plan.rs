//! What is to be done, known from headers alone: which tensors in which order, how each is cut, how much
//! memory that takes.

use std::collections::BTreeMap;
use std::ops::Range;

use super::super::{ROWS, Scheme};
use super::layout::{Class, Form, Part, Role, SHAPE, end, matrix, parts};
use crate::store::{Checkpoint, Dtype, Header, Tensor};

/// Bytes of a tensor that a worker takes at once, where memory allows.
const BLOCK: u64 = 8 << 20;

/// Elements of a unit: the smallest piece that is cut, a share of a second-level cache. What is measured
/// is summed within a unit and then over units, so the sums do not depend on how many a block has.
const UNIT: usize = 128 << 10;

/// A tensor and what becomes of it.
#[derive(Debug)]
pub(super) struct Task {
    /// Its file's number.
    pub(super) shard: usize,
    /// Itself.
    pub(super) tensor: Tensor,
    /// How it shall be quantized, if it shall.
    pub(super) scheme: Option<Scheme>,
    /// Rows of a unit, or bytes of one if the tensor stays as it is.
    pub(super) unit: usize,
    /// How many units there are.
    pub(super) units: usize,
    /// How many of them are a block.
    pub(super) of_block: usize,
}

impl Task {
    pub(super) fn new(shard: usize, tensor: &Tensor, scheme: Option<Scheme>, block: u64) -> Self {
        let tensor = tensor.clone();
        let bytes = tensor.bytes();
        let [matrices, rows, columns] = matrix(&tensor.shape);
        let (unit, units, unit_bytes) = match scheme {
            Some(_) if bytes > 0 => {
                let unit = (UNIT / columns).max(1).next_multiple_of(ROWS);
                let row = bytes / (matrices as u64 * rows as u64);
                (unit, matrices * rows.div_ceil(unit), unit.min(rows) as u64 * row)
            }
            _ => {
                let unit = usize::try_from(block.min(BLOCK)).unwrap_or(usize::MAX);
                let units = bytes.div_ceil(unit as u64);
                (unit, usize::try_from(units).unwrap_or(usize::MAX), unit as u64)
            }
        };
        let of_block = usize::try_from((block / unit_bytes).max(1)).unwrap_or(usize::MAX);
        Self { shard, tensor, scheme, unit, units, of_block }
    }

    /// How many blocks there are: one at least, so that empty tensors are done too.
    pub(super) fn blocks(&self) -> usize {
        self.units.div_ceil(self.of_block).max(1)
    }

    /// The units of a block.
    pub(super) fn units_of(&self, block: usize) -> Range<usize> {
        let begin = block * self.of_block;
        begin..(begin + self.of_block).min(self.units)
    }

    /// The matrix that a unit is of, and its first row there. What is after the last unit is the first of
    /// the matrix after the last.
    pub(super) fn place(&self, unit: usize) -> (usize, usize) {
        let [_, rows, _] = matrix(&self.tensor.shape);
        let of_matrix = rows.div_ceil(self.unit).max(1);
        (unit / of_matrix, unit % of_matrix * self.unit)
    }

    /// The bytes of the tensor that some units are.
    pub(super) fn bytes_of(&self, units: &Range<usize>) -> Range<u64> {
        if self.scheme.is_none() {
            let at = |unit: usize| (unit as u64 * self.unit as u64).min(self.tensor.bytes());
            return at(units.start)..at(units.end);
        }
        let [matrices, rows, _] = matrix(&self.tensor.shape);
        let row = self.tensor.bytes() / (matrices as u64 * rows as u64).max(1);
        let at = |unit: usize| {
            let (matrix, first) = self.place(unit);
            (matrix as u64 * rows as u64 + first as u64) * row
        };
        at(units.start)..at(units.end)
    }

    /// Bytes of the largest block: as it is read, and each part of it as `form` has it.
    fn memory(&self, form: Option<Form>) -> Memory {
        // No block has more than the first.
        let units = self.units_of(0);
        let mut memory = Memory { read: span(&self.bytes_of(&units)), parts: [0; 4] };
        if let Some(form) = form {
            for part in parts(&self.tensor, Some(form), 0) {
                memory.parts[place(part.role)] = span(&of_part(self, form, part.role, &units));
            }
        }
        memory
    }
}

/// Bytes that a block takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Memory {
    pub(super) read: u64,
    /// Codes, zero points, scales and minima.
    pub(super) parts: [u64; 4],
}

impl Memory {
    fn max(self, other: Self) -> Self {
        let pairs = std::array::from_fn(|i| self.parts[i].max(other.parts[i]));
        Self { read: self.read.max(other.read), parts: pairs }
    }

    /// All of it.
    pub(super) fn total(&self) -> u64 {
        self.read + self.parts.iter().sum::<u64>()
    }
}

/// Which of the places of a block is for a part.
pub(super) const fn place(role: Role) -> usize {
    match role {
        Role::Same | Role::Codes => 0,
        Role::ZeroPoints => 1,
        Role::Scales => 2,
        Role::Minima => 3,
    }
}

fn span(range: &Range<u64>) -> u64 {
    range.end - range.start
}

/// Bytes that some units of a task are in a part that begins at 0.
pub(super) fn of_part(task: &Task, form: Form, role: Role, units: &Range<usize>) -> Range<u64> {
    let scheme = form.scheme;
    let [_, rows, columns] = matrix(&task.tensor.shape);
    let groups = scheme.groups(columns) as u64;
    let at = |unit: usize| {
        let (matrix, first) = task.place(unit);
        let row = (matrix * rows + first) as u64;
        match role {
            Role::Same => 0,
            Role::Codes => row * scheme.words(columns) as u64 * 4,
            Role::Scales | Role::Minima => row * groups * (form.scale().bits() / 8),
            Role::ZeroPoints => {
                let before = matrix * scheme.zero_words(rows) + scheme.zero_words(first);
                before as u64 * groups * 4
            }
        }
    };
    if units.is_empty() { 0..0 } else { at(units.start)..at(units.end) }
}

/// A file that is written.
#[derive(Debug)]
pub(super) struct Shard {
    /// Its name in the directory.
    pub(super) name: String,
    /// Texts that are kept.
    pub(super) metadata: BTreeMap<String, String>,
    /// Bytes of its header, known before what it says.
    pub(super) room: usize,
}

/// All that is to be done.
#[derive(Debug)]
pub(super) struct Plan {
    /// In the order in which they lie, file by file.
    pub(super) tasks: Vec<Task>,
    /// The files.
    pub(super) shards: Vec<Shard>,
    /// Bytes of all tensors as they are.
    pub(super) bytes: u64,
}

impl Plan {
    /// Plans blocks of `block` bytes at most, or of one unit where that is more.
    pub(super) fn new(
        checkpoint: &Checkpoint,
        wishes: &dyn Fn(&Tensor) -> Option<Scheme>,
        block: u64,
    ) -> Self {
        let (mut tasks, mut shards, mut bytes) = (Vec::new(), Vec::new(), 0);
        for (number, weights) in checkpoint.shards.iter().enumerate() {
            let begin = tasks.len();
            for tensor in &weights.header().tensors {
                bytes += tensor.bytes();
                tasks.push(Task::new(number, tensor, wishes(tensor), block));
            }
            // Stable: within a class as in the file that is read.
            tasks[begin..].sort_by_key(|task| Class::of(&task.tensor, task.scheme.as_ref()));
            let name = weights.path().file_name().unwrap_or_default();
            shards.push(Shard {
                name: name.to_string_lossy().into_owned(),
                metadata: weights.header().metadata.clone(),
                room: room(&weights.header().metadata, &tasks[begin..]),
            });
        }
        Self { tasks, shards, bytes }
    }

    /// What the largest blocks of all take, if all goes well and if as much as possible goes wrong.
    pub(super) fn memory(&self) -> [Memory; 2] {
        self.tasks.iter().fold([Memory::default(); 2], |[usual, most], task| {
            let form = task.scheme.map(Form::of);
            let widest = form.map(Form::widest);
            [usual.max(task.memory(form)), most.max(task.memory(widest))]
        })
    }
}

/// The largest size of a block so that `blocks` of them, with what is made of them, fit into a budget.
pub(super) fn block_within(budget: Option<u64>, blocks: usize) -> u64 {
    // What is written has the size of what is read, at most: eight bits of 16 and scales of 32.
    budget.map_or(BLOCK, |budget| (budget / (2 * blocks.max(1) as u64)).clamp(64 << 10, BLOCK))
}

/// Bytes of the shape of a tensor, which has eight for an axis, if it is quantized.
pub(super) fn shape_bytes(task: &Task) -> u64 {
    if task.scheme.is_some() { 8 * task.tensor.shape.len() as u64 } else { 0 }
}

/// The tensors of a file, one for each part: shapes first, then the parts of each task as `form` has it.
pub(super) fn listed<'a>(tasks: impl Iterator<Item = (&'a Task, Vec<Part>)>) -> Vec<Tensor> {
    let (mut shapes, mut others, mut at) = (Vec::new(), Vec::new(), 0);
    for (task, parts) in tasks {
        if task.scheme.is_some() {
            let (begin, name) = (at, format!("{}{SHAPE}", task.tensor.name));
            at += shape_bytes(task);
            let shape = vec![task.tensor.shape.len()];
            shapes.push(Tensor { name, dtype: Dtype::I64, shape, begin, end: at });
        }
        others.extend(parts.into_iter().map(|part| Tensor {
            name: format!("{}{}", task.tensor.name, part.role.ending()),
            dtype: part.dtype,
            shape: part.shape,
            begin: part.begin,
            end: part.begin + part.bytes,
        }));
    }
    shapes.append(&mut others);
    shapes
}

/// Bytes that the header of a file has at most, whatever becomes of its tensors.
pub(super) fn room(metadata: &BTreeMap<String, String>, tasks: &[Task]) -> usize {
    let mut at = tasks.iter().map(shape_bytes).sum();
    let widest = tasks.iter().map(|task| {
        let form = task.scheme.map(|scheme| Form::of(scheme).widest());
        let parts = parts(&task.tensor, form, at);
        at = end(&parts);
        (task, parts)
    });
    Header { metadata: metadata.clone(), tensors: listed(widest) }.room()
}
