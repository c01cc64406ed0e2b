//! Rows on vector units: in plain Rust, which the compiler vectorizes for the functions it is inlined into, and the
//! tiles for `lanes`.

use ndarray::ArrayView2;

use super::{Bits, MAGIC, Task, ZeroPoint, lanes, scalar};
use crate::simd::Half;
use crate::simd::{avx2::F32x8, avx512::F32x16};
use crate::{Avx2, Avx512};

/// The instances for one instruction set.
macro_rules! instances {
    ($name:ident, $proof:ty, $lanes:ty, $features:literal, $trials:literal) => {
        pub(super) mod $name {
            use super::*;

            /// # Safety
            ///
            /// The CPU has the instruction set.
            #[target_feature(enable = $features)]
            #[expect(clippy::too_many_arguments, reason = "the operands and the results")]
            pub(in crate::quant) unsafe fn fit(
                proof: $proof,
                task: Task,
                group: usize,
                x: ArrayView2<'_, f32>,
                w: Option<ArrayView2<'_, f32>>,
                scales: &mut [f32],
                zeros: &mut [f32],
                scratch: &mut [f32],
            ) {
                if let Some(w) = w {
                    super::fit::<$lanes, true, $trials>(
                        proof, task, group, x, w, scales, zeros, scratch,
                    );
                } else {
                    super::fit::<$lanes, false, $trials>(
                        proof, task, group, x, x, scales, zeros, scratch,
                    );
                }
            }

            /// # Safety
            ///
            /// The CPU has the instruction set.
            #[target_feature(enable = $features)]
            pub(in crate::quant) unsafe fn encode(
                task: Task,
                group: usize,
                x: &[f32],
                scales: &[f32],
                zeros: &[f32],
                codes: &mut [u8],
            ) {
                super::encode(task, group, x, scales, zeros, codes);
            }

            /// # Safety
            ///
            /// The CPU has the instruction set.
            #[target_feature(enable = $features)]
            pub(in crate::quant) unsafe fn decode(
                zero_point: ZeroPoint,
                group: usize,
                codes: &[u8],
                scales: &[f32],
                zeros: &[f32],
                values: &mut [f32],
            ) {
                super::decode(zero_point, group, codes, scales, zeros, values);
            }

            /// # Safety
            ///
            /// The CPU has the instruction set.
            #[target_feature(enable = $features)]
            pub(in crate::quant) unsafe fn largest(x: &[f32]) -> u32 {
                super::largest(x)
            }

            /// # Safety
            ///
            /// The CPU has the instruction set.
            #[target_feature(enable = $features)]
            pub(in crate::quant) unsafe fn pack(bits: Bits, codes: &[u8], to: &mut [u32]) {
                match bits {
                    Bits::Two => super::pack(Bits::Two, codes, to),
                    Bits::Three => super::pack(Bits::Three, codes, to),
                    Bits::Four => super::pack(Bits::Four, codes, to),
                    Bits::Eight => super::pack(Bits::Eight, codes, to),
                }
            }

            /// # Safety
            ///
            /// The CPU has the instruction set.
            #[target_feature(enable = $features)]
            pub(in crate::quant) unsafe fn unpack(bits: Bits, from: &[u32], codes: &mut [u8]) {
                match bits {
                    Bits::Two => super::unpack(Bits::Two, from, codes),
                    Bits::Three => super::unpack(Bits::Three, from, codes),
                    Bits::Four => super::unpack(Bits::Four, from, codes),
                    Bits::Eight => super::unpack(Bits::Eight, from, codes),
                }
            }
        }
    };
}

instances!(avx2, Avx2, F32x8, "avx2,fma,f16c", 2);
instances!(avx512, Avx512, F32x16, "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c", 4);

/// Numbers that are worked on at once.
const STRIP: usize = 16;

/// Groups of one length, by the rows that they are in and where they begin there.
#[derive(Clone, Copy)]
struct Groups<'a> {
    x: ArrayView2<'a, f32>,
    /// In each row.
    many: usize,
    /// Where the first begins.
    first: usize,
    /// From one to the next.
    length: usize,
}

impl Groups<'_> {
    /// Groups of one row in `x`, `count` from `i` on.
    #[inline(always)]
    fn run<'a>(&self, x: ArrayView2<'a, f32>, i: usize, count: usize) -> &'a [f32] {
        let begin = self.first + i % self.many * self.length;
        let row = x.index_axis_move(ndarray::Axis(0), i / self.many).to_slice();
        &row.expect("adjacent numbers")[begin..begin + count * self.length]
    }
}

/// Where the results of a row's groups begin, and from one row to the next.
#[derive(Clone, Copy)]
struct Place {
    first: usize,
    row: usize,
}

/// Twin of [`scalar::fit`], for all groups of some rows.
#[inline(always)]
#[expect(clippy::too_many_arguments, reason = "the operands and the results")]
fn fit<V: Half, const W: bool, const K: usize>(
    proof: V::Proof,
    task: Task,
    group: usize,
    x: ArrayView2<'_, f32>,
    w: ArrayView2<'_, f32>,
    scales: &mut [f32],
    zeros: &mut [f32],
    scratch: &mut [f32],
) {
    let columns = x.ncols();
    let (whole, rest) = (columns / group, columns % group);
    let row = columns.div_ceil(group);
    if whole > 0 {
        let groups = Groups { x, many: whole, first: 0, length: group };
        let to = Place { first: 0, row };
        fit_each::<V, W, K>(proof, task, groups, w, to, scales, zeros, scratch);
    }
    if rest > 0 {
        let groups = Groups { x, many: 1, first: whole * group, length: rest };
        let to = Place { first: whole, row };
        fit_each::<V, W, K>(proof, task, groups, w, to, scales, zeros, scratch);
    }
}

/// The same for groups of one length, a tile at a time.
#[inline(always)]
#[expect(clippy::too_many_arguments, reason = "the operands and the results")]
fn fit_each<V: Half, const W: bool, const K: usize>(
    proof: V::Proof,
    task: Task,
    groups: Groups<'_>,
    w: ArrayView2<'_, f32>,
    to: Place,
    scales: &mut [f32],
    zeros: &mut [f32],
    scratch: &mut [f32],
) {
    let size = groups.length.next_multiple_of(V::COUNT) * V::COUNT;
    let (stage, scratch) = scratch.split_at_mut(size);
    let (tile, scratch) = scratch.split_at_mut(size);
    let used = groups.length * V::COUNT;
    let count = groups.x.nrows() * groups.many;
    for first in (0..count).step_by(V::COUNT) {
        let last = count.min(first + V::COUNT);
        if W {
            transposed::<V>(proof, groups, w, first, last, stage, &mut scratch[..size]);
        }
        transposed::<V>(proof, groups, groups.x, first, last, stage, tile);
        let (x, u) = (&tile[..used], &mut stage[..used]);
        let w = if W { &scratch[..used] } else { x };
        let [scale, zero] = lanes::fit::<V, W, K>(proof, task, x, u, w);
        let mut found = [[0.0; STRIP]; 2];
        // SAFETY: no vector has more lanes than a strip has numbers.
        unsafe { scale.store(found[0].as_mut_ptr()) };
        // SAFETY: as above.
        unsafe { zero.store(found[1].as_mut_ptr()) };
        for i in first..last {
            let at = i / groups.many * to.row + to.first + i % groups.many;
            (scales[at], zeros[at]) = (found[0][i - first], found[1][i - first]);
        }
    }
}

/// Groups `first..last` as a tile. Lanes without a group of their own get the last one.
#[inline(always)]
fn transposed<V: Half>(
    proof: V::Proof,
    groups: Groups<'_>,
    x: ArrayView2<'_, f32>,
    first: usize,
    last: usize,
    stage: &mut [f32],
    tile: &mut [f32],
) {
    let (length, many) = (groups.length, groups.many);
    // Groups of a row that fill the lanes, in whole squares, are read where they are.
    if last - first == V::COUNT
        && first % many + V::COUNT <= many
        && length.is_multiple_of(V::COUNT)
    {
        return squares::<V>(proof, groups.run(x, first, V::COUNT), length, tile);
    }
    let width = stage.len() / V::COUNT;
    for (lane, stage) in stage.chunks_exact_mut(width).enumerate() {
        let from = groups.run(x, (first + lane).min(last - 1), 1);
        stage[..from.len()].copy_from_slice(from);
    }
    squares::<V>(proof, stage, width, tile);
}

/// Rows of `width` numbers, as many as lanes, to columns.
#[inline(always)]
fn squares<V: Half>(proof: V::Proof, from: &[f32], width: usize, tile: &mut [f32]) {
    let step = V::COUNT.cast_signed();
    for (j, to) in tile.chunks_exact_mut(V::COUNT * V::COUNT).enumerate() {
        let from = &from[j * V::COUNT..];
        assert!(from.len() >= (V::COUNT - 1) * width + V::COUNT, "a square of these rows");
        // SAFETY: both squares are within their slices, as asserted, and by the chunk's length.
        unsafe { V::transpose(proof, from.as_ptr(), width.cast_signed(), to.as_mut_ptr(), step) };
    }
}

/// Twin of [`scalar::encode`], for a row.
#[inline(always)]
#[expect(clippy::disallowed_methods, reason = "the functions that this is inlined into have FMA")]
#[expect(clippy::cast_possible_truncation, reason = "the low bits are the code")]
fn encode(task: Task, group: usize, x: &[f32], scales: &[f32], zeros: &[f32], codes: &mut [u8]) {
    let most = MAGIC + task.steps();
    for (i, (x, codes)) in x.chunks(group).zip(codes.chunks_mut(group)).enumerate() {
        let inverse = scalar::inverse(scales[i]);
        let is_float = task.zero_point == ZeroPoint::Float;
        let (minimum, zero) = if is_float { (zeros[i], 0.0) } else { (0.0, zeros[i]) };
        let shift = MAGIC + zero;
        let (strips, rest) = x.as_chunks::<STRIP>();
        let (strips_to, rest_to) = codes.as_chunks_mut::<STRIP>();
        for (x, to) in strips.iter().zip(strips_to) {
            for (x, code) in x.iter().zip(to) {
                let shifted = (x - minimum).mul_add(inverse, shift);
                let shifted = if shifted > MAGIC { shifted } else { MAGIC };
                *code = (if shifted < most { shifted } else { most }).to_bits() as u8;
            }
        }
        for (x, code) in rest.iter().zip(rest_to) {
            let shifted = (x - minimum).mul_add(inverse, shift);
            let shifted = if shifted > MAGIC { shifted } else { MAGIC };
            *code = (if shifted < most { shifted } else { most }).to_bits() as u8;
        }
    }
}

/// Twin of [`scalar::decode`], for a row.
#[inline(always)]
fn decode(
    zero_point: ZeroPoint,
    group: usize,
    codes: &[u8],
    scales: &[f32],
    zeros: &[f32],
    values: &mut [f32],
) {
    for (i, (codes, values)) in codes.chunks(group).zip(values.chunks_mut(group)).enumerate() {
        let (scale, zero) = (scales[i], zeros[i]);
        let (strips, rest) = codes.as_chunks::<STRIP>();
        let (strips_to, rest_to) = values.as_chunks_mut::<STRIP>();
        for (codes, values) in strips.iter().zip(strips_to) {
            for (code, value) in codes.iter().zip(values) {
                *value = scalar::value_of(zero_point, f32::from(*code), scale, zero);
            }
        }
        for (code, value) in rest.iter().zip(rest_to) {
            *value = scalar::value_of(zero_point, f32::from(*code), scale, zero);
        }
    }
}

/// The bits of the largest magnitude: those of numbers that are not finite are larger than all others.
#[inline(always)]
fn largest(x: &[f32]) -> u32 {
    let mut most = [0; STRIP];
    let (strips, rest) = x.as_chunks::<STRIP>();
    for x in strips {
        for (most, x) in most.iter_mut().zip(x) {
            *most = (*most).max(x.to_bits() & 0x7fff_ffff);
        }
    }
    for (most, x) in most.iter_mut().zip(rest) {
        *most = (*most).max(x.to_bits() & 0x7fff_ffff);
    }
    most.into_iter().fold(0, u32::max)
}

/// Twin of [`super::codes::pack`]: eight codes in a word of 64 bits are moved together in three steps.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "words are cut from a stream")]
fn pack(bits: Bits, codes: &[u8], to: &mut [u32]) {
    let b = bits.get();
    let (blocks, rest) = codes.as_chunks::<32>();
    let (words, tail) = to.split_at_mut(blocks.len() * b);
    match bits {
        Bits::Eight => {
            for (four, word) in blocks.as_flattened().as_chunks::<4>().0.iter().zip(words) {
                *word = u32::from_le_bytes(*four);
            }
        }
        Bits::Four => {
            for (eight, word) in blocks.as_flattened().as_chunks::<8>().0.iter().zip(words) {
                *word = gathered(b, u64::from_le_bytes(*eight)) as u32;
            }
        }
        Bits::Two => {
            let pairs = blocks.as_flattened().as_chunks::<8>().0.as_chunks::<2>().0;
            for ([low, high], word) in pairs.iter().zip(words) {
                let low = gathered(b, u64::from_le_bytes(*low));
                *word = (low | gathered(b, u64::from_le_bytes(*high)) << 16) as u32;
            }
        }
        Bits::Three => {
            for (codes, words) in blocks.iter().zip(words.as_chunks_mut::<3>().0) {
                let mut stream = 0_u128;
                for (i, eight) in codes.as_chunks::<8>().0.iter().enumerate() {
                    let eight = gathered(b, u64::from_le_bytes(*eight));
                    stream |= u128::from(eight) << (24 * i);
                }
                *words = [stream as u32, (stream >> 32) as u32, (stream >> 64) as u32];
            }
        }
    }
    if !rest.is_empty() {
        super::codes::pack(bits, rest, tail);
    }
}

/// The low `b` bits of eight bytes, one after the other; `b` is less than 8.
#[inline(always)]
fn gathered(b: usize, x: u64) -> u64 {
    let twos = (x | x >> (8 - b)) & (0x0001_0001_0001_0001 * ((1 << (2 * b)) - 1));
    let fours = (twos | twos >> (16 - 2 * b)) & (0x0000_0001_0000_0001 * ((1 << (4 * b)) - 1));
    (fours | fours >> (32 - 4 * b)) & ((1 << (8 * b)) - 1)
}

/// Twin of [`super::codes::unpack`], by the same steps back.
#[inline(always)]
fn unpack(bits: Bits, from: &[u32], codes: &mut [u8]) {
    let b = bits.get();
    let (blocks, rest) = codes.as_chunks_mut::<32>();
    let (words, tail) = from.split_at(blocks.len() * b);
    for (codes, words) in blocks.iter_mut().zip(words.chunks_exact(b)) {
        if b == 8 {
            for (four, word) in codes.as_chunks_mut::<4>().0.iter_mut().zip(words) {
                *four = word.to_le_bytes();
            }
            continue;
        }
        for (i, eight) in codes.as_chunks_mut::<8>().0.iter_mut().enumerate() {
            let (word, shift) = (8 * b * i / 32, 8 * b * i % 32);
            let high = words.get(word + 1).map_or(0, |&next| u64::from(next) << 32);
            *eight = scattered(b, (u64::from(words[word]) | high) >> shift).to_le_bytes();
        }
    }
    if !rest.is_empty() {
        super::codes::unpack(bits, tail, rest);
    }
}

/// Eight numbers of `b` bits, each in a byte: what [`gathered`] undoes.
#[inline(always)]
fn scattered(b: usize, x: u64) -> u64 {
    let x = x & ((1 << (8 * b)) - 1);
    let fours = (x | x << (32 - 4 * b)) & (0x0000_0001_0000_0001 * ((1 << (4 * b)) - 1));
    let twos = (fours | fours << (16 - 2 * b)) & (0x0001_0001_0001_0001 * ((1 << (2 * b)) - 1));
    (twos | twos << (8 - b)) & (0x0101_0101_0101_0101 * ((1 << b) - 1))
}
