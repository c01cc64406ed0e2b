//! Rows on vector units: the functions for each instruction set, and groups as `lanes` wants them.

use ndarray::ArrayView2;

use super::ranges::{load, range, store, write};
use super::{Bits, Method, Task, ZeroPoint, coding, lanes, loss, streams};
use crate::simd::Coding;
use crate::simd::{avx2::F32x8, avx512::F32x16};
use crate::{Avx2, Avx512};

/// The instances for one instruction set, with how many trials are made together, and how many vectors of float64
/// are a strip.
macro_rules! instances {
    ($name:ident, $proof:ty, $lanes:ty, $features:literal, $trials:literal, $wide:literal) => {
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
                proof: $proof,
                task: Task,
                group: usize,
                x: &[f32],
                scales: &[f32],
                zeros: &[f32],
                codes: &mut [u8],
            ) {
                coding::encode::<$lanes>(proof, task, group, x, scales, zeros, codes);
            }

            /// # Safety
            ///
            /// The CPU has the instruction set.
            #[target_feature(enable = $features)]
            pub(in crate::quant) unsafe fn decode(
                _: $proof,
                zero_point: ZeroPoint,
                group: usize,
                codes: &[u8],
                scales: &[f32],
                zeros: &[f32],
                values: &mut [f32],
            ) {
                coding::decode(zero_point, group, codes, scales, zeros, values);
            }

            /// # Safety
            ///
            /// The CPU has the instruction set.
            #[target_feature(enable = $features)]
            pub(in crate::quant) unsafe fn largest(proof: $proof, x: &[f32]) -> f32 {
                coding::largest::<$lanes>(proof, x)
            }

            /// # Safety
            ///
            /// The CPU has the instruction set.
            #[target_feature(enable = $features)]
            pub(in crate::quant) unsafe fn vectors(
                proof: $proof,
                weights: &[f32],
                values: &[f32],
            ) -> loss::Loss {
                loss::vectors::<$lanes, $wide>(proof, weights, values)
            }

            /// # Safety
            ///
            /// The CPU has the instruction set.
            #[target_feature(enable = $features)]
            pub(in crate::quant) unsafe fn pack(
                _: $proof,
                bits: Bits,
                codes: &[u8],
                to: &mut [u32],
            ) {
                match bits {
                    Bits::Two => streams::pack(Bits::Two, codes, to),
                    Bits::Three => streams::pack(Bits::Three, codes, to),
                    Bits::Four => streams::pack(Bits::Four, codes, to),
                    Bits::Eight => streams::pack(Bits::Eight, codes, to),
                }
            }

            /// # Safety
            ///
            /// The CPU has the instruction set.
            #[target_feature(enable = $features)]
            pub(in crate::quant) unsafe fn unpack(
                _: $proof,
                bits: Bits,
                from: &[u32],
                codes: &mut [u8],
            ) {
                match bits {
                    Bits::Two => streams::unpack(Bits::Two, from, codes),
                    Bits::Three => streams::unpack(Bits::Three, from, codes),
                    Bits::Four => streams::unpack(Bits::Four, from, codes),
                    Bits::Eight => streams::unpack(Bits::Eight, from, codes),
                }
            }
        }
    };
}

instances!(avx2, Avx2, F32x8, "avx2,fma,f16c", 2, 4);
instances!(avx512, Avx512, F32x16, "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c", 4, 2);

/// Lanes of the widest vector.
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
    /// Whether groups `first..last` are of one row, and as many as lanes.
    #[inline(always)]
    fn fill<V: Coding>(&self, first: usize, last: usize) -> bool {
        last - first == V::COUNT && first % self.many + V::COUNT <= self.many
    }

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
fn fit<V: Coding, const W: bool, const K: usize>(
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
fn fit_each<V: Coding, const W: bool, const K: usize>(
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
        let [scale, zero] =
            if task.method == Method::MinMax && groups.length.is_multiple_of(V::COUNT) {
                let [least, greatest] = extremes::<V>(proof, groups, first, last, stage, tile);
                store(proof, task, range(proof, task, least, greatest))
            } else {
                if W {
                    transposed::<V>(proof, groups, w, first, last, stage, &mut scratch[..size]);
                }
                transposed::<V>(proof, groups, groups.x, first, last, stage, tile);
                let (x, u) = (&tile[..used], &mut stage[..used]);
                let w = if W { &scratch[..used] } else { x };
                lanes::fit::<V, W, K>(proof, task, x, u, w)
            };
        if groups.fill::<V>(first, last) {
            let at = first / groups.many * to.row + to.first + first % groups.many;
            write(scale, &mut scales[at..at + V::COUNT]);
            write(zero, &mut zeros[at..at + V::COUNT]);
            continue;
        }
        let mut found = [[0.0; STRIP]; 2];
        write(scale, &mut found[0][..V::COUNT]);
        write(zero, &mut found[1][..V::COUNT]);
        for i in first..last {
            let at = i / groups.many * to.row + to.first + i % groups.many;
            (scales[at], zeros[at]) = (found[0][i - first], found[1][i - first]);
        }
    }
}

/// The least and the greatest numbers of groups `first..last`, which are whole vectors. Lanes without a group of
/// their own get those of the last one.
#[inline(always)]
fn extremes<V: Coding>(
    proof: V::Proof,
    groups: Groups<'_>,
    first: usize,
    last: usize,
    below: &mut [f32],
    above: &mut [f32],
) -> [V; 2] {
    let square = V::COUNT * V::COUNT;
    let (below, above) = (&mut below[..square], &mut above[..square]);
    let places = below.chunks_exact_mut(V::COUNT).zip(above.chunks_exact_mut(V::COUNT));
    if groups.fill::<V>(first, last) {
        let run = groups.run(groups.x, first, V::COUNT);
        for (x, (below, above)) in run.chunks_exact(groups.length).zip(places) {
            ends::<V>(proof, x, below, above);
        }
    } else {
        for (lane, (below, above)) in places.enumerate() {
            let x = groups.run(groups.x, (first + lane).min(last - 1), 1);
            ends::<V>(proof, x, below, above);
        }
    }
    // SAFETY: a whole square, as above.
    let least = unsafe { V::least(proof, below.as_ptr()) };
    // SAFETY: a whole square, as above.
    let greatest = unsafe { V::least(proof, above.as_ptr()) };
    [least, V::splat(proof, 0.0).sub(greatest)]
}

/// The least numbers of the lanes of a group, and the least of what they are below zero.
#[inline(always)]
fn ends<V: Coding>(proof: V::Proof, x: &[f32], below: &mut [f32], above: &mut [f32]) {
    let mut vectors = x.chunks_exact(V::COUNT);
    let first = load::<V>(proof, vectors.next().unwrap_or_default());
    let (mut least, mut greatest) = (first, first);
    for x in vectors {
        let x = load::<V>(proof, x);
        (least, greatest) = (x.min(least), x.max(greatest));
    }
    write(least, below);
    write(V::splat(proof, 0.0).sub(greatest), above);
}

/// Groups `first..last` as a tile. Lanes without a group of their own get the last one.
#[inline(always)]
fn transposed<V: Coding>(
    proof: V::Proof,
    groups: Groups<'_>,
    x: ArrayView2<'_, f32>,
    first: usize,
    last: usize,
    stage: &mut [f32],
    tile: &mut [f32],
) {
    let length = groups.length;
    // In whole squares they are read where they are.
    if groups.fill::<V>(first, last) && length.is_multiple_of(V::COUNT) {
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
fn squares<V: Coding>(proof: V::Proof, from: &[f32], width: usize, tile: &mut [f32]) {
    let step = V::COUNT.cast_signed();
    for (j, to) in tile.chunks_exact_mut(V::COUNT * V::COUNT).enumerate() {
        let from = &from[j * V::COUNT..];
        assert!(from.len() >= (V::COUNT - 1) * width + V::COUNT, "a square of these rows");
        // SAFETY: both squares are within their slices, as asserted, and by the chunk's length.
        unsafe { V::transpose(proof, from.as_ptr(), width.cast_signed(), to.as_mut_ptr(), step) };
    }
}
