//! A panel of codes times a few rows of inputs.

use super::layout::{LANES, Layout, planes, word_bytes};
use super::{Scales, Zeros};
use crate::quant::dots::strip::unpack;
use crate::quant::dots::words::Words;
use crate::simd::{Arithmetic, Lanes};

/// Rows of inputs that are at most.
pub(super) const INPUTS: usize = 8;

/// Bytes by which codes are asked for before they are needed.
const AHEAD: usize = 1024;

/// Rows of inputs, at most, that meet bytes as they come from memory: what more rows meet is mostly nearer.
const FEW: usize = 4;

/// A row of inputs: bytes with scales, or numbers.
#[derive(Clone, Copy)]
pub(super) struct Row<'a> {
    /// Bytes, four to a word.
    pub(super) codes: &'a [u32],
    /// Scales of runs.
    pub(super) scales: &'a [f32],
    pub(super) numbers: &'a [f32],
    /// Sums of runs.
    pub(super) sums: &'a [f32],
}

/// What a tile is computed from.
pub(super) struct Task<'a> {
    pub(super) layout: &'a Layout,
    /// The codes of the panel.
    pub(super) codes: &'a [u8],
    /// Its scales, sixteen a group.
    pub(super) scales: Scales<'a>,
    pub(super) zeros: Zeros<'a>,
    /// The first ones are taken, as many as the function takes.
    pub(super) inputs: [Row<'a>; INPUTS],
}

/// The sums of each row of inputs with each row of the panel.
pub(super) type Sums = [[f32; LANES]; INPUTS];

/// Computes the sums, for a number of inputs that the function fixes.
///
/// # Safety
///
/// The CPU has the instruction set of the function.
pub(super) type TileFn = unsafe fn(&Task<'_>, &mut Sums);

/// Writes the codes of a panel as bytes, in the order in which they are met.
///
/// # Safety
///
/// The CPU has the instruction set of the function.
pub(super) type WidenFn = unsafe fn(&Layout, &[u8], &mut [u8]);

/// Twin of [`super::scalar::tile`]: the same bits.
#[inline(always)]
pub(super) fn tile<W: Words, const BITS: u32, const M: usize>(
    proof: W::Proof,
    task: &Task<'_>,
    to: &mut Sums,
) {
    let layout = task.layout;
    let (runs, quads) = (layout.runs(), layout.run() / 4);
    let words = quads / planes(BITS);
    let bytes = word_bytes(BITS);
    assert_eq!(task.codes.len(), runs * words * bytes, "the codes of a panel");
    for row in &task.inputs[..M] {
        assert_eq!(row.codes.len(), runs * quads, "a row of inputs");
        assert_eq!([row.scales.len(), row.sums.len()], [runs; 2], "a scale and a sum for each run");
    }
    let floats = W::floats(proof);
    let codes: [*const u32; M] = std::array::from_fn(|i| task.inputs[i].codes.as_ptr());
    let scales: [*const f32; M] = std::array::from_fn(|i| task.inputs[i].scales.as_ptr());
    let sums: [*const f32; M] = std::array::from_fn(|i| task.inputs[i].sums.as_ptr());
    for first in (0..LANES).step_by(W::COUNT) {
        let mut totals = [W::Floats::splat(floats, 0.0); M];
        let mut from = task.codes.as_ptr().wrapping_add(first * bytes / LANES);
        let mut group = 0;
        let mut left = layout.runs_of_group();
        let mut factors = Factors::<W>::load(proof, task, group, first);
        for run in 0..runs {
            if left == 0 {
                group += 1;
                left = layout.runs_of_group();
                factors = Factors::<W>::load(proof, task, group, first);
            }
            left -= 1;
            let mut dots = [W::splat(proof, 0); M];
            let mut at = run * quads;
            for _ in 0..words {
                let word = if BITS == 3 {
                    // SAFETY: this part of the word of each row of the panel.
                    unsafe { W::load_24(proof, from) }
                } else {
                    // SAFETY: this part of the word of each row of the panel.
                    unsafe { W::load(proof, from) }
                };
                if BITS < 8 || M <= FEW {
                    W::Floats::prefetch(from.wrapping_add(AHEAD).cast());
                }
                from = from.wrapping_add(bytes);
                for plane in planes_of::<W, BITS>(proof, word).into_iter().take(planes(BITS)) {
                    for (dot, codes) in dots.iter_mut().zip(codes) {
                        // SAFETY: four inputs of this run.
                        let x = W::splat(proof, unsafe { *codes.wrapping_add(at) });
                        *dot = if BITS == 8 {
                            plane.dot(proof, x, *dot)
                        } else {
                            plane.dot_small(proof, x, *dot)
                        };
                    }
                    at += 1;
                }
            }
            for (i, dot) in dots.into_iter().enumerate() {
                // SAFETY: there is a scale for each run.
                let scale = unsafe { *scales[i].wrapping_add(run) };
                // SAFETY: there is a sum for each run.
                let sum = unsafe { *sums[i].wrapping_add(run) };
                let dot = dot.to_floats().mul(W::Floats::splat(floats, scale));
                totals[i] = dot.mul_add(factors.scale, totals[i]);
                totals[i] = factors.zero.mul_add(W::Floats::splat(floats, sum), totals[i]);
            }
        }
        for (total, to) in totals.into_iter().zip(to.iter_mut()) {
            let to = &mut to[first..first + W::COUNT];
            // SAFETY: as many numbers as the register has.
            unsafe { total.store(to.as_mut_ptr()) };
        }
    }
}

/// Twin of [`super::scalar::floats`]: the same bits.
#[inline(always)]
pub(super) fn floats<W: Words, const BITS: u32, const M: usize>(
    proof: W::Proof,
    task: &Task<'_>,
    to: &mut Sums,
) {
    let layout = task.layout;
    let (runs, words, bytes) = (layout.runs(), layout.words(), word_bytes(BITS));
    assert_eq!(task.codes.len(), runs * words * bytes, "the codes of a panel");
    for row in &task.inputs[..M] {
        assert_eq!(row.numbers.len(), layout.padded(), "a row of inputs");
        assert_eq!(row.sums.len(), runs, "a sum for each run");
    }
    let floats = W::floats(proof);
    let inputs: [*const f32; M] = std::array::from_fn(|i| task.inputs[i].numbers.as_ptr());
    for first in (0..LANES).step_by(W::COUNT) {
        let mut totals = [W::Floats::splat(floats, 0.0); M];
        let mut from = task.codes.as_ptr().wrapping_add(first * bytes / LANES);
        let mut at = 0;
        for run in 0..runs {
            let factors = Factors::<W>::load(proof, task, run / layout.runs_of_group(), first);
            let mut sums = [W::Floats::splat(floats, 0.0); M];
            for _ in 0..words {
                let word = if BITS == 3 {
                    // SAFETY: this part of the word of each row of the panel.
                    unsafe { W::load_24(proof, from) }
                } else {
                    // SAFETY: this part of the word of each row of the panel.
                    unsafe { W::load(proof, from) }
                };
                from = from.wrapping_add(bytes);
                for plane in planes_of::<W, BITS>(proof, word).into_iter().take(planes(BITS)) {
                    let mut rest = plane;
                    for _ in 0..4 {
                        let value = rest.and(W::splat(proof, 0xff)).to_floats();
                        rest = rest.right(proof, 8);
                        for (sum, inputs) in sums.iter_mut().zip(inputs) {
                            // SAFETY: an input of this run.
                            let x = unsafe { *inputs.wrapping_add(at) };
                            *sum = value.mul_add(W::Floats::splat(floats, x), *sum);
                        }
                        at += 1;
                    }
                }
            }
            for (i, sum) in sums.into_iter().enumerate() {
                totals[i] = sum.mul_add(factors.scale, totals[i]);
                let sum = W::Floats::splat(floats, task.inputs[i].sums[run]);
                totals[i] = factors.zero.mul_add(sum, totals[i]);
            }
        }
        for (total, to) in totals.into_iter().zip(to.iter_mut()) {
            let to = &mut to[first..first + W::COUNT];
            // SAFETY: as many numbers as the register has.
            unsafe { total.store(to.as_mut_ptr()) };
        }
    }
}

/// What the codes of a group are multiplied with, and what code 0 stands for, for each row of a part of the panel.
pub(super) struct Factors<W: Words> {
    pub(super) scale: W::Floats,
    pub(super) zero: W::Floats,
}

impl<W: Words> Factors<W> {
    #[inline(always)]
    pub(super) fn load(proof: W::Proof, task: &Task<'_>, group: usize, first: usize) -> Self {
        let floats = W::floats(proof);
        let at = group * LANES + first;
        let scale = numbers::<W>(proof, task.scales, at);
        let zero = match task.zeros {
            Zeros::Symmetric => {
                scale.mul(W::Floats::splat(floats, -super::scalar::middle(task.layout.bits())))
            }
            Zeros::Minima(minima) => numbers::<W>(proof, minima, at),
            Zeros::Codes(codes) => {
                let codes = &codes[at..at + W::COUNT];
                // SAFETY: a register of codes.
                let codes = unsafe { W::widen_u8(proof, codes.as_ptr()) }.to_floats();
                codes.mul(W::Floats::splat(floats, -1.0)).mul(scale)
            }
        };
        Self { scale, zero }
    }
}

/// A register of numbers, from number `at` on.
#[inline(always)]
fn numbers<W: Words>(proof: W::Proof, numbers: Scales<'_>, at: usize) -> W::Floats {
    match numbers {
        Scales::F16(numbers) => {
            let numbers = &numbers[at..at + W::COUNT];
            // SAFETY: a register of numbers.
            unsafe { W::widen_f16(proof, numbers.as_ptr()) }
        }
        Scales::Bf16(numbers) => {
            let numbers = &numbers[at..at + W::COUNT];
            // SAFETY: a register of numbers.
            unsafe { W::widen_bf16(proof, numbers.as_ptr()) }
        }
        Scales::F32(numbers) => {
            let numbers = &numbers[at..at + W::COUNT];
            // SAFETY: a register of numbers.
            unsafe { W::Floats::load(W::floats(proof), numbers.as_ptr()) }
        }
    }
}

/// Codes as bytes: the planes of a word, as many as there are.
#[inline(always)]
fn planes_of<W: Words, const BITS: u32>(proof: W::Proof, word: W) -> [W; 4] {
    let mut codes = [word; 4];
    unpack::<W, BITS>(proof, word, &mut codes);
    codes
}

/// Twin of [`super::scalar::widen`].
#[inline(always)]
pub(super) fn widen<W: Words, const BITS: u32>(
    proof: W::Proof,
    layout: &Layout,
    codes: &[u8],
    to: &mut [u8],
) {
    let (bytes, planes) = (word_bytes(BITS), planes(BITS));
    let words = layout.runs() * layout.words();
    assert_eq!(codes.len(), words * bytes, "the codes of a panel");
    assert_eq!(to.len(), words * planes * 4 * LANES, "room for a byte each");
    let (codes, to) = (codes.as_ptr(), to.as_mut_ptr());
    for w in 0..words {
        for first in (0..LANES).step_by(W::COUNT) {
            let from = codes.wrapping_add(w * bytes + first * bytes / LANES);
            let word = if BITS == 3 {
                // SAFETY: this part of the word of each row of the panel.
                unsafe { W::load_24(proof, from) }
            } else {
                // SAFETY: this part of the word of each row of the panel.
                unsafe { W::load(proof, from) }
            };
            for (p, plane) in planes_of::<W, BITS>(proof, word).into_iter().take(planes).enumerate()
            {
                let to = to.wrapping_add(((w * planes + p) * LANES + first) * 4);
                // SAFETY: the place of this plane's part.
                unsafe { plane.store(to) };
            }
        }
    }
}
