//! The definition: code by code.

use super::layout::{LANES, Layout, lane, met};
use super::strip::{INPUTS, OUTPUTS, Strip, Sums, Way};

/// The code at place `j` of a row.
fn code(bits: u32, row: &[u32], j: usize) -> u32 {
    let bit = j * bits as usize;
    let (word, at) = (bit / 32, bit % 32);
    let next = row.get(word + 1).copied().unwrap_or(0);
    let both = u64::from(row[word]) | u64::from(next) << 32;
    #[expect(clippy::cast_possible_truncation, reason = "at most 8 bits")]
    let code = (both >> at & ((1 << bits) - 1)) as u32;
    code
}

/// Σ over groups of zero · Σ x, and over lanes of scale · Σ code · x, for each row of codes and of inputs.
pub(super) fn strip<I: Way, const BITS: u32, const M: usize>(strip: &Strip<'_>) -> Sums {
    let layout = strip.layout;
    let (block, lane) = (I::block(BITS), lane(BITS));
    let row = layout.blocks() * block + layout.filled_groups();
    assert_eq!(strip.x.len(), M * row, "{M} rows of prepared inputs");
    let mut totals = [[0.0; INPUTS]; OUTPUTS];
    for (r, totals) in totals.iter_mut().enumerate() {
        let (scales, zeros) = strip.factors[r].split_at(layout.factors());
        for (i, x) in strip.x.chunks_exact(row).enumerate() {
            let (blocks, sums) = x.split_at(layout.blocks() * block);
            let mut total = 0.0;
            for (zero, sum) in zeros.iter().zip(sums) {
                total += zero * f32::from_bits(*sum);
            }
            for first in (0..layout.columns()).step_by(lane) {
                let codes = first..layout.columns().min(first + lane);
                let inputs = &blocks[first / (LANES * lane) * block..][..block];
                let codes = codes.map(|j| (j % (LANES * lane), code(BITS, strip.codes[r], j)));
                let scale = scales[layout.group(first)];
                total += scale
                    * if I::FLOATS {
                        floats(lane, inputs, codes)
                    } else {
                        bytes(BITS, inputs, codes)
                    };
            }
            totals[i] = total;
        }
    }
    totals
}

/// Σ code · x for codes of a lane, with their places in the block, and inputs as floats.
fn floats(lane: usize, inputs: &[u32], codes: impl Iterator<Item = (usize, u32)>) -> f32 {
    codes.fold(0.0, |sum, (j, code)| {
        sum + code as f32 * f32::from_bits(inputs[j % lane * LANES + j / lane])
    })
}

/// Σ code · x for codes of a lane, with their places in the block, and inputs as bytes.
fn bytes(bits: u32, inputs: &[u32], codes: impl Iterator<Item = (usize, u32)>) -> f32 {
    let (planes, scales) = inputs.split_at(inputs.len() - LANES);
    let (mut sum, mut scale) = (0, 0.0);
    for (j, code) in codes {
        let l = j / lane(bits);
        for (plane, bytes) in
            planes.chunks_exact(LANES).map(|plane| plane[l].to_le_bytes()).enumerate()
        {
            for (at, byte) in bytes.into_iter().enumerate() {
                if met(bits, plane, 4 * l + at) == j {
                    sum += code.cast_signed() * i32::from(byte.cast_signed());
                }
            }
        }
        scale = f32::from_bits(scales[l]);
    }
    sum as f32 * scale
}

/// Code · scale + zero, for codes of a row from a block on; whatever it is behind the last.
pub(super) fn decode<const BITS: u32>(
    layout: &Layout,
    codes: &[u32],
    factors: &[f32],
    start: usize,
    to: &mut [f32],
) {
    let (scales, zeros) = factors.split_at(layout.factors());
    let block = LANES * lane(BITS);
    let begin = start * block;
    to.fill(0.0);
    for j in begin..layout.columns().min(begin + to.len()) {
        let (within, group) = (j % block, layout.group(j));
        let place = j - within + within % lane(BITS) * LANES + within / lane(BITS);
        to[place - begin] = code(BITS, codes, j) as f32 * scales[group] + zeros[group];
    }
}
