//! A few rows of codes times a few rows of inputs.

use super::layout::{LANES, Layout, lane, planes};
use super::words::Words;
use crate::simd::{Arithmetic, Lanes};

/// Rows of codes that are taken together.
pub(super) const OUTPUTS: usize = 2;

/// Rows of inputs that are at most.
pub(super) const INPUTS: usize = 4;

/// Bytes by which codes are asked for before they are needed.
const AHEAD: usize = 4096;

/// What a strip is computed from.
pub(super) struct Strip<'a> {
    pub(super) layout: &'a Layout,
    /// Rows of codes, [`Layout::words`] each.
    pub(super) codes: [&'a [u32]; OUTPUTS],
    /// The factors of each.
    pub(super) factors: [&'a [f32]; OUTPUTS],
    /// Rows of inputs that were prepared.
    pub(super) x: &'a [u32],
}

/// The sums of each row of codes with each row of inputs.
pub(super) type Sums = [[f32; INPUTS]; OUTPUTS];

/// Computes the sums, for a number of inputs that the function fixes.
///
/// # Safety
///
/// The CPU has the instruction set of the function.
pub(super) type StripFn = unsafe fn(&Strip<'_>) -> Sums;

/// How a block's inputs meet its codes.
pub(super) trait Way {
    /// Words of prepared inputs in a block of codes of `bits`.
    fn block(bits: u32) -> usize;
    /// Whether inputs are floats.
    const FLOATS: bool;
}

/// Inputs as bytes, with a scale a lane.
pub(super) struct Bytes;

impl Way for Bytes {
    fn block(bits: u32) -> usize {
        (planes(bits) + 1) * LANES
    }
    const FLOATS: bool = false;
}

/// Inputs as floats.
pub(super) struct Floats;

impl Way for Floats {
    fn block(bits: u32) -> usize {
        lane(bits) * LANES
    }
    const FLOATS: bool = true;
}

/// Where a strip's operands are, for the loops.
struct At<const M: usize> {
    factors: [*const f32; OUTPUTS],
    x: [*const u32; M],
}

/// The sums in registers.
type Registers<V, const M: usize> = [[V; M]; OUTPUTS];

/// Twin of [`super::scalar::strip`].
#[inline(always)]
pub(super) fn strip<W: Words, I: Way, const BITS: u32, const M: usize>(
    proof: W::Proof,
    strip: &Strip<'_>,
) -> Sums {
    let layout = strip.layout;
    let (words, blocks) = (layout.words(), layout.blocks());
    let (bytes, block) = (4 * words, I::block(BITS));
    let row = blocks * block + layout.filled_groups();
    assert_eq!(strip.x.len(), M * row, "{M} rows of prepared inputs");
    for (codes, factors) in strip.codes.iter().zip(&strip.factors) {
        assert_eq!(codes.len(), words, "a row of codes");
        assert_eq!(factors.len(), 2 * layout.factors(), "a row's factors");
    }
    let at = At {
        factors: strip.factors.map(<[f32]>::as_ptr),
        x: std::array::from_fn(|i| strip.x.as_ptr().wrapping_add(i * row)),
    };
    let groups = layout.filled_groups();
    // SAFETY: the sums of inputs lie behind the blocks, as many as groups, filled up; factors are more.
    let mut sums = unsafe { zeros::<W, M>(proof, &at, layout.factors(), blocks * block, groups) };
    // SAFETY: there are sixteen numbers.
    let spread = unsafe { W::load(proof, layout.spread().as_ptr().cast()) };
    let table = W::table(proof, BITS);
    let block_bytes = LANES * lane(BITS) * BITS as usize / 8;
    let whole = bytes / block_bytes;
    for b in 0..whole.min(blocks) {
        let codes = [
            strip.codes[0].as_ptr().cast::<u8>().wrapping_add(b * block_bytes),
            strip.codes[1].as_ptr().cast::<u8>().wrapping_add(b * block_bytes),
        ];
        // SAFETY: block b of codes is whole, and so is that of inputs.
        sums = unsafe { add::<W, I, BITS, M>(proof, layout, codes, &at, b, spread, table, sums) };
    }
    if whole < blocks {
        let mut rest = [[0_u8; 4 * LANES]; OUTPUTS];
        let from = whole * block_bytes;
        for (rest, codes) in rest.iter_mut().zip(&strip.codes) {
            let codes = codes.as_ptr().cast::<u8>().wrapping_add(from);
            // SAFETY: what is left of the row, which is less than a block; `rest` is our own.
            unsafe { rest.as_mut_ptr().copy_from_nonoverlapping(codes, bytes - from) };
        }
        let codes = [rest[0].as_ptr(), rest[1].as_ptr()];
        // SAFETY: the codes fill a block up with zeros, as the inputs do.
        sums =
            unsafe { add::<W, I, BITS, M>(proof, layout, codes, &at, whole, spread, table, sums) };
    }
    let mut totals = [[0.0; INPUTS]; OUTPUTS];
    for (totals, sums) in totals.iter_mut().zip(&sums) {
        for (total, sum) in totals.iter_mut().zip(sums) {
            *total = sum.total();
        }
    }
    totals
}

/// What code 0 stands for, times the sums of inputs over groups.
///
/// # Safety
///
/// Behind the first `zeros` factors, and from `sums` on in a row of inputs, there are `groups` numbers: whole
/// registers.
#[inline(always)]
unsafe fn zeros<W: Words, const M: usize>(
    proof: W::Proof,
    at: &At<M>,
    zeros: usize,
    sums: usize,
    groups: usize,
) -> Registers<W::Floats, M> {
    let floats = W::floats(proof);
    let mut totals = [[W::Floats::splat(floats, 0.0); M]; OUTPUTS];
    for group in (0..groups).step_by(W::COUNT) {
        for (totals, factors) in totals.iter_mut().zip(at.factors) {
            // SAFETY: a register of the factors of this row.
            let zero = unsafe { W::Floats::load(floats, factors.wrapping_add(zeros + group)) };
            for (total, x) in totals.iter_mut().zip(at.x) {
                // SAFETY: a register of the sums of this row.
                let sum = unsafe { W::Floats::load(floats, x.wrapping_add(sums + group).cast()) };
                *total = zero.mul_add(sum, *total);
            }
        }
    }
    totals
}

/// `sums` and those of block `b`.
///
/// # Safety
///
/// `codes` are valid for reading a block each; `at` has the inputs of block `b`, and factors of all groups and
/// a register more.
#[inline(always)]
#[expect(clippy::too_many_arguments, reason = "what stays in registers from block to block")]
unsafe fn add<W: Words, I: Way, const BITS: u32, const M: usize>(
    proof: W::Proof,
    layout: &Layout,
    codes: [*const u8; OUTPUTS],
    at: &At<M>,
    b: usize,
    spread: W,
    table: W::Floats,
    mut sums: Registers<W::Floats, M>,
) -> Registers<W::Floats, M> {
    // A register is a whole block, or half of one.
    for part in 0..LANES / W::COUNT {
        let first = part * W::COUNT;
        let group = layout.group(b * LANES * lane(BITS) + first * lane(BITS));
        let from = b * I::block(BITS) + first;
        let mut scales = [W::Floats::splat(W::floats(proof), 0.0); OUTPUTS];
        let mut words = [W::splat(proof, 0); OUTPUTS];
        for r in 0..OUTPUTS {
            // SAFETY: factors of this group, and a register more.
            scales[r] = unsafe { spread.gather(at.factors[r].wrapping_add(group)) };
            let codes = codes[r].wrapping_add(first * lane(BITS) * BITS as usize / 8);
            W::Floats::prefetch(codes.wrapping_add(AHEAD).cast());
            words[r] = if BITS == 3 {
                // SAFETY: this part of the block.
                unsafe { W::load_24(proof, codes) }
            } else {
                // SAFETY: this part of the block.
                unsafe { W::load(proof, codes) }
            };
        }
        let x = at.x.map(|x| x.wrapping_add(from));
        sums = if I::FLOATS {
            // SAFETY: this part of the block.
            unsafe { add_floats::<W, BITS, M>(proof, words, scales, x, table, sums) }
        } else {
            // SAFETY: this part of the block.
            unsafe { add_bytes::<W, BITS, M>(proof, words, scales, x, sums) }
        };
    }
    sums
}

/// # Safety
///
/// `x` are valid for reading a register at each plane and behind them.
#[inline(always)]
unsafe fn add_bytes<W: Words, const BITS: u32, const M: usize>(
    proof: W::Proof,
    words: [W; OUTPUTS],
    scales: [W::Floats; OUTPUTS],
    x: [*const u32; M],
    mut sums: Registers<W::Floats, M>,
) -> Registers<W::Floats, M> {
    let mut codes = [[W::splat(proof, 0); 4]; OUTPUTS];
    for (codes, word) in codes.iter_mut().zip(words) {
        unpack::<W, BITS>(proof, word, codes);
    }
    for (i, x) in x.into_iter().enumerate() {
        let mut dots = [W::splat(proof, 0); OUTPUTS];
        for p in 0..planes(BITS) {
            // SAFETY: a register of plane p.
            let x = unsafe { W::load(proof, x.wrapping_add(p * LANES).cast()) };
            for (dot, codes) in dots.iter_mut().zip(&codes) {
                *dot = if BITS == 8 {
                    codes[p].dot(proof, x, *dot)
                } else {
                    codes[p].dot_small(proof, x, *dot)
                };
            }
        }
        let at = x.wrapping_add(planes(BITS) * LANES).cast();
        // SAFETY: the scales lie behind the planes.
        let scale = unsafe { W::Floats::load(W::floats(proof), at) };
        for (r, dot) in dots.into_iter().enumerate() {
            sums[r][i] = dot.to_floats().mul(scale).mul_add(scales[r], sums[r][i]);
        }
    }
    sums
}

/// Codes as bytes, in planes: the codes that lie at the same bits of their bytes; of 3 bits, the halves of a word.
#[inline(always)]
pub(in crate::quant) fn unpack<W: Words, const BITS: u32>(
    proof: W::Proof,
    word: W,
    codes: &mut [W; 4],
) {
    match BITS {
        8 => codes[0] = word,
        3 => {
            codes[0] = thirds(proof, word);
            codes[1] = thirds(proof, word.right(proof, 12));
        }
        _ => {
            let mask = W::splat(proof, if BITS == 4 { 0x0f0f_0f0f } else { 0x0303_0303 });
            #[expect(clippy::cast_possible_truncation, reason = "less than a word")]
            for (p, codes) in codes.iter_mut().enumerate().take(planes(BITS)) {
                *codes = word.right(proof, p as u32 * BITS).and(mask);
            }
        }
    }
}

/// The lowest four codes of 3 bits, a byte each: two to each half, then one to each byte.
#[inline(always)]
fn thirds<W: Words>(proof: W::Proof, word: W) -> W {
    let halves = word.select(word.left(proof, 10), W::splat(proof, 0x3f));
    let bytes = halves.select(halves.left(proof, 5), W::splat(proof, 0x0007_0007));
    bytes.and(W::splat(proof, 0x0707_0707))
}

/// # Safety
///
/// `x` are valid for reading a register for each code of a lane, sixteen words apart.
#[inline(always)]
unsafe fn add_floats<W: Words, const BITS: u32, const M: usize>(
    proof: W::Proof,
    mut words: [W; OUTPUTS],
    scales: [W::Floats; OUTPUTS],
    x: [*const u32; M],
    table: W::Floats,
    mut sums: Registers<W::Floats, M>,
) -> Registers<W::Floats, M> {
    let mut terms = [[W::Floats::splat(W::floats(proof), 0.0); M]; OUTPUTS];
    for code in 0..lane(BITS) {
        for r in 0..OUTPUTS {
            let value = words[r].low(proof, BITS, table);
            words[r] = words[r].right(proof, BITS);
            for i in 0..M {
                let at = x[i].wrapping_add(code * LANES).cast();
                // SAFETY: a register of the inputs that meet this code of each lane.
                let x = unsafe { W::Floats::load(W::floats(proof), at) };
                terms[r][i] = value.mul_add(x, terms[r][i]);
            }
        }
    }
    for r in 0..OUTPUTS {
        for i in 0..M {
            sums[r][i] = terms[r][i].mul_add(scales[r], sums[r][i]);
        }
    }
    sums
}
