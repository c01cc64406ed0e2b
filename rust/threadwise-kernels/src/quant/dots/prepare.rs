//! Rows of inputs as the kernels read them: in the order of the codes' lanes, block by block, and their sums over
//! groups.
//!
//! Plain Rust, which the compiler vectorizes for the function that it is inlined into; no step depends on how.

use super::layout::{LANES, Layout, PLANE, lane, met, planes};

/// Inputs that share a scale.
pub(super) const RUN: usize = 32;

/// Inputs whose sum is taken at a time: no group begins between them.
const PART: usize = 16;

/// Codes of the longest block.
const LONGEST: usize = 256;

/// The largest code of an input.
const LARGEST: f32 = 127.0;

/// A run whose numbers are all smaller, 2⁻¹⁰⁰, is taken for zeros.
const NOTHING: u32 = 27 << 23;

/// As bits of a float32: from here on numbers are infinite or none.
const INFINITE: u32 = 0x7f80_0000;

/// Added to a number of less than 2²², leaves the nearest integer, halves to even, in its last bits.
const TO_INTEGER: f32 = 12_582_912.0;

/// Bytes of inputs in codes of their own, and each lane's scale: `planes + 1` registers a block, then the sums.
#[inline(always)]
pub(super) fn bytes<const BITS: u32>(layout: &Layout, x: &[f32], to: &mut [u32]) {
    let (planes, lane, block) = (planes(BITS), lane(BITS), LANES * lane(BITS));
    let stride = (planes + 1) * LANES;
    let (blocks, sums) = to.split_at_mut(layout.blocks() * stride);
    sums.fill(0);
    for (b, (x, to)) in x.chunks(block).zip(blocks.chunks_exact_mut(stride)).enumerate() {
        let (mut codes, mut scales) = ([0_i8; LONGEST], [0.0_f32; LONGEST / RUN]);
        for (run, (x, codes)) in x.chunks(RUN).zip(codes.as_chunks_mut::<RUN>().0).enumerate() {
            let mut full = [0.0; RUN];
            full[..x.len()].copy_from_slice(x);
            let scale = codes_of(&full, codes);
            scales[run] = scale;
            for (part, codes) in codes.as_chunks::<PART>().0.iter().enumerate() {
                let sum: i32 = codes.iter().map(|&code| i32::from(code)).sum();
                let first = b * block + run * RUN + part * PART;
                if first < layout.columns() {
                    add(&mut sums[layout.group(first)], scale * sum as f32);
                }
            }
        }
        let mut bytes = [0_u8; LONGEST];
        for (plane, bytes) in bytes.as_chunks_mut::<PLANE>().0.iter_mut().take(planes).enumerate() {
            for (at, byte) in bytes.iter_mut().enumerate() {
                *byte = codes[met(BITS, plane, at)].cast_unsigned();
            }
        }
        let (words, lanes) = to.split_at_mut(planes * LANES);
        for (word, bytes) in words.iter_mut().zip(bytes.as_chunks::<4>().0) {
            *word = u32::from_le_bytes(*bytes);
        }
        for (l, to) in lanes.iter_mut().enumerate() {
            *to = scales[l * lane / RUN].to_bits();
        }
    }
}

/// The codes of a run, and their scale: NaN if a number is not finite.
#[inline(always)]
fn codes_of(x: &[f32; RUN], codes: &mut [i8; RUN]) -> f32 {
    let mut largest = 0;
    for x in x {
        largest = largest.max(x.to_bits() & !(1 << 31));
    }
    let (scale, inverse) = match largest {
        ..NOTHING => (0.0, 0.0),
        INFINITE.. => (f32::NAN, 0.0),
        bits => (f32::from_bits(bits) / LARGEST, LARGEST / f32::from_bits(bits)),
    };
    for (x, code) in x.iter().zip(codes) {
        #[expect(clippy::cast_possible_truncation, reason = "the last byte is the code")]
        let last = (x * inverse + TO_INTEGER).to_bits() as u8;
        *code = last.cast_signed();
    }
    scale
}

#[inline(always)]
fn add(sum: &mut u32, part: f32) {
    *sum = (f32::from_bits(*sum) + part).to_bits();
}

/// Inputs as they are: the first of each lane of a block, the second of each, and so on; then the sums.
#[inline(always)]
pub(super) fn floats<const BITS: u32>(layout: &Layout, x: &[f32], to: &mut [u32]) {
    let (lane, block) = (lane(BITS), LANES * lane(BITS));
    let (blocks, sums) = to.split_at_mut(layout.blocks() * block);
    sums.fill(0);
    for (part, x) in x.chunks(PART).enumerate() {
        let mut full = [0.0; PART];
        full[..x.len()].copy_from_slice(x);
        add(&mut sums[layout.group(part * PART)], halves(full));
    }
    for (x, to) in x.chunks(block).zip(blocks.chunks_exact_mut(block)) {
        let mut full = [0.0; LONGEST];
        full[..x.len()].copy_from_slice(x);
        for (i, to) in to.chunks_exact_mut(LANES).enumerate() {
            for (l, to) in to.iter_mut().enumerate() {
                *to = full[l * lane + i].to_bits();
            }
        }
    }
}

/// The sum of sixteen numbers, halves first.
#[inline(always)]
fn halves(x: [f32; PART]) -> f32 {
    let eight: [f32; 8] = std::array::from_fn(|i| x[i] + x[i + 8]);
    let four: [f32; 4] = std::array::from_fn(|i| eight[i] + eight[i + 4]);
    (four[0] + four[2]) + (four[1] + four[3])
}
