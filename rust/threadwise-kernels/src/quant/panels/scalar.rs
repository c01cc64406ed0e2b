//! The definition: code by code.
#![expect(
    clippy::disallowed_methods,
    reason = "a product and a sum are rounded once, as the twins' instructions do, so that bits are the same"
)]

use super::layout::{LANES, Layout, in_word, planes, word_bytes};
use super::tile::{Sums, Task};

/// The code that stands for 0 where values are symmetric.
pub(super) fn middle(bits: u32) -> f32 {
    (1_u32 << (bits - 1)) as f32
}

/// Code `j` of a row of a panel.
pub(super) fn code(bits: u32, codes: &[u8], row: usize, j: usize) -> u32 {
    let bytes = word_bytes(bits) / LANES;
    let (word, k) = (j / in_word(bits), j % in_word(bits));
    let from = &codes[(word * LANES + row) * bytes..][..bytes];
    let word = from.iter().rev().fold(0_u32, |word, byte| word << 8 | u32::from(*byte));
    let bit = match bits {
        3 => 3 * k,
        _ => 8 * (k % 4) + bits as usize * (k / 4),
    };
    word >> bit & ((1 << bits) - 1)
}

/// What the codes of a row's group are multiplied with, and what code 0 stands for.
pub(super) fn factors(task: &Task<'_>, row: usize, group: usize) -> (f32, f32) {
    let at = group * LANES + row;
    let scale = task.scales.get(at);
    let zero = match task.zeros {
        super::Zeros::Symmetric => scale * -middle(task.layout.bits()),
        super::Zeros::Minima(minima) => minima.get(at),
        super::Zeros::Codes(codes) => -f32::from(codes[at]) * scale,
    };
    (scale, zero)
}

/// Σ over runs of scale · Σ code · input + zero · Σ input, run by run.
pub(super) fn tile<const BITS: u32, const M: usize>(task: &Task<'_>, to: &mut Sums) {
    let layout = task.layout;
    for (input, to) in task.inputs[..M].iter().zip(to) {
        for (row, to) in to.iter_mut().enumerate() {
            let mut total = 0.0_f32;
            for run in 0..layout.runs() {
                let (scale, zero) = factors(task, row, run / layout.runs_of_group());
                let mut sum = 0;
                for j in run * layout.run()..(run + 1) * layout.run() {
                    let x = input.codes[j / 4].to_le_bytes()[j % 4].cast_signed();
                    sum += code(BITS, task.codes, row, j).cast_signed() * i32::from(x);
                }
                total = (sum as f32 * input.scales[run]).mul_add(scale, total);
                total = zero.mul_add(input.sums[run], total);
            }
            *to = total;
        }
    }
}

/// Σ over runs of scale · Σ code · input + zero · Σ input, with inputs as they are.
pub(super) fn floats<const BITS: u32, const M: usize>(task: &Task<'_>, to: &mut Sums) {
    let layout = task.layout;
    for (input, to) in task.inputs[..M].iter().zip(to) {
        for (row, to) in to.iter_mut().enumerate() {
            let mut total = 0.0_f32;
            for run in 0..layout.runs() {
                let (scale, zero) = factors(task, row, run / layout.runs_of_group());
                let mut sum = 0.0_f32;
                for j in run * layout.run()..(run + 1) * layout.run() {
                    sum = (code(BITS, task.codes, row, j) as f32).mul_add(input.numbers[j], sum);
                }
                total = sum.mul_add(scale, total);
                total = zero.mul_add(input.sums[run], total);
            }
            *to = total;
        }
    }
}

/// Each code as a byte.
pub(super) fn widen<const BITS: u32>(layout: &Layout, codes: &[u8], to: &mut [u8]) {
    debug_assert_eq!(planes(8), 1, "words of four bytes");
    for j in 0..layout.padded() {
        for row in 0..LANES {
            #[expect(clippy::cast_possible_truncation, reason = "at most 8 bits")]
            let code = code(BITS, codes, row, j) as u8;
            to[(j / 4 * LANES + row) * 4 + j % 4] = code;
        }
    }
}
