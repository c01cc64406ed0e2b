//! Streams: where the rows of B are contiguous, some rows of B at a time are multiplied with their elements
//! of A and added to the sums of a strip of C, which stay in a near cache.

use std::hint::black_box;
use std::mem::MaybeUninit;

use super::Few;
use crate::gemm::vectors::row;
use crate::simd::Lanes;

/// Rows of B that are added to C at a time: as many streams as memory serves best, more where the sums come from
/// further away or go to registers in several groups. Where fewer are left, ...
pub(super) const TOGETHER: usize = 8;
pub(super) const MANY: usize = 16;

/// ... so many, or one by one.
pub(super) const SOME: usize = 4;
pub(super) const ONE: usize = 1;

/// Adds as many rows of B as the function is for, times their elements of A, to the sums of as many rows.
pub(super) type AddFn<V> = unsafe fn(&Few<<V as Lanes>::Element>, Part, *mut V);

/// For [`MANY`], [`TOGETHER`], [`SOME`] and [`ONE`] of B, the functions for one row of A, for two, and so on.
pub(super) type Adds<V, const ROWS: usize> = [(usize, [AddFn<V>; ROWS]); 4];

/// Rows of A up to which there are registers for their elements.
const HELD: usize = 3;

/// Bytes of a row of B that are asked for ahead of those in use, at its end those of the rows that come next:
/// a row of another thread is left alone.
const AHEAD: usize = 1024;

/// Vectors of C, over all rows, that are worked on before the next ones: half the nearest cache, ...
const NEAR: usize = 512;

/// ... or some of the second-level one, for a B that comes from further away, in longer runs of each row, ...
const FAR: usize = 2048;

/// ... because it has more bytes than this.
const SECOND: usize = 2 << 20;

/// Rows of C at most.
const ROWS_AT_MOST: usize = 64;

/// Columns of such a strip are a multiple of this, so that whole cache lines are read.
const LINES: usize = 64;

/// Part of a product of few rows: rows of A and of the sums from `row` on, rows of B from `p` on, `columns`
/// columns from `first` on, whose sums are `apart` vectors from row to row.
#[derive(Clone, Copy)]
pub(super) struct Part {
    row: usize,
    p: usize,
    first: usize,
    columns: usize,
    /// Columns before the first at which lines of B begin: they have a vector of their own.
    head: usize,
    apart: usize,
}

impl Part {
    /// Where among the columns vector `v` begins, and how many of them it holds.
    #[inline(always)]
    fn lanes(&self, v: usize, count: usize) -> (usize, usize) {
        if self.head > 0 && v == 0 {
            return (0, self.head);
        }
        let at = if self.head > 0 { self.head + (v - 1) * count } else { v * count };
        (at, count.min(self.columns - at))
    }
}

/// Streams within some room.
pub(super) type WithinFn<V> = unsafe fn(&Few<<V as Lanes>::Element>, &mut [MaybeUninit<V>]);

/// Finds room for the sums: apart from C, whose rows may lie so that they drive each other, and those of B, out of
/// the cache.
///
/// # Safety
///
/// As [`super::FewFn`] says, with contiguous rows of B, and at most [`ROWS_AT_MOST`] rows.
#[inline(always)]
pub(super) unsafe fn streams<V: Lanes>(few: &Few<V::Element>, within: WithinFn<V>) {
    let is_far = few.depth * few.columns > SECOND / size_of::<V::Element>();
    let room =
        if is_far { room::<V, { FAR + ROWS_AT_MOST }> } else { room::<V, { NEAR + ROWS_AT_MOST }> };
    // SAFETY: passed on from the caller.
    unsafe { room(few, within) }
}

/// # Safety
///
/// As [`streams`] says.
// A function of its own: those that need little room had to touch every page of the most room.
#[inline(never)]
unsafe fn room<V: Lanes, const VECTORS: usize>(few: &Few<V::Element>, within: WithinFn<V>) {
    // Not cleared: that takes as long as the smallest products.
    let mut room = [const { MaybeUninit::<V>::uninit() }; VECTORS];
    // SAFETY: passed on from the caller.
    unsafe { within(few, &mut room) }
}

/// # Safety
///
/// As [`streams`] says.
#[inline(always)]
pub(super) unsafe fn streams_within<V: Lanes, const ROWS: usize>(
    proof: V::Proof,
    few: &Few<V::Element>,
    adds: &Adds<V, ROWS>,
    room: &mut [MaybeUninit<V>],
) {
    let zero = V::splat(proof, V::Element::default());
    // Each row of sums may be a vector longer.
    let most = (room.len() / few.rows - 1) * V::COUNT;
    // Strips are about as long as one another, the first with a vector that may hold but few columns.
    let padded = few.columns + V::COUNT - 1;
    let even = padded.div_ceil(padded.div_ceil(most)).next_multiple_of(LINES);
    let strip = if most < LINES { most } else { even.min(most / LINES * LINES) };
    let is_far = room.len() > NEAR + ROWS_AT_MOST;
    let at_once = if few.rows > ROWS || is_far { MANY } else { TOGETHER };
    let mut first = 0;
    while first < few.columns {
        let head = if first == 0 && strip > V::COUNT { head::<V>(few) } else { 0 };
        let strip = if head > 0 { strip - V::COUNT + head } else { strip };
        let columns = strip.min(few.columns - first);
        let head = if head < columns { head } else { 0 };
        let vectors = usize::from(head > 0) + (columns - head).div_ceil(V::COUNT);
        // Rows of sums that are whole pages apart would share the few places that one of them has in the cache.
        let apart = vectors | 1;
        let mut part = Part { row: 0, p: 0, first, columns, head, apart };
        let room = &mut room[..few.rows * apart];
        for (i, sums) in room.chunks_exact_mut(apart).enumerate() {
            for (v, sum) in sums.iter_mut().enumerate() {
                sum.write(zero);
                if few.accumulate && v < vectors {
                    let (at, lanes) = part.lanes(v, V::COUNT);
                    let mask = V::first(proof, lanes);
                    let c = few.c(i).wrapping_add(first + at);
                    // SAFETY: as many elements of row i of C as the mask has lanes.
                    sum.write(unsafe { V::load_first(proof, mask, c) });
                }
            }
        }
        let sums = room.as_mut_ptr().cast::<V>();
        while part.p < few.depth {
            let left = at_once.min(few.depth - part.p);
            // At least one row is left, and there are functions for one.
            let Some((together, adds)) = adds.iter().find(|it| it.0 <= left) else { break };
            let mut group = 0;
            part.row = 0;
            while part.row < few.rows {
                group += 1;
                let end = few.group(group, ROWS);
                // SAFETY: so many rows of B are left, and as many of A and of sums are in the group.
                unsafe { adds[end - part.row - 1](few, part, sums.wrapping_add(part.row * apart)) };
                part.row = end;
            }
            part.p += together;
        }
        for i in 0..few.rows {
            for v in 0..vectors {
                let (at, lanes) = part.lanes(v, V::COUNT);
                let mask = V::first(proof, lanes);
                // SAFETY: vector v of row i of the sums, which was written above.
                let mut sum = unsafe { sums.wrapping_add(i * apart + v).read() };
                if !few.bias.is_null() {
                    let bias = few.bias.wrapping_add(first + at);
                    // SAFETY: not null, so there is one summand a column.
                    sum = sum.add(unsafe { V::load_first(proof, mask, bias) });
                }
                if let Some(activation) = few.activation {
                    sum = sum.activate(proof, activation);
                }
                // SAFETY: as many elements of row i of C as the mask has lanes.
                unsafe { sum.store_first(mask, few.c(i).wrapping_add(first + at)) };
            }
        }
        first += columns;
    }
}

/// Columns before the first at which a vector of each row of B begins, fewer than a vector has; none if
/// rows differ in that.
#[inline(always)]
fn head<V: Lanes>(few: &Few<V::Element>) -> usize {
    let (size, line) = (size_of::<V::Element>(), V::COUNT * size_of::<V::Element>());
    let are_alike = (few.b_stride.unsigned_abs() * size).is_multiple_of(line);
    if are_alike { (line - few.b.addr() % line) % line / size } else { 0 }
}

/// Adds `N` rows of B, times their elements of A, to the sums of `M` rows.
///
/// # Safety
///
/// These rows and columns exist, and `M` rows of their sums.
#[inline(always)]
pub(super) unsafe fn add<V: Lanes, const WIDE: usize, const N: usize, const M: usize>(
    proof: V::Proof,
    few: &Few<V::Element>,
    Part { row, p, first, columns, head, apart }: Part,
    sums: *mut V,
) {
    let mut left = [[V::Element::default(); N]; M];
    for (i, left) in left.iter_mut().enumerate() {
        for (q, left) in left.iter_mut().enumerate() {
            let a = few.a(row + i).wrapping_offset((p + q) as isize * few.a_step);
            // SAFETY: element (row + i, p + q) of A.
            *left = unsafe { *a };
        }
    }
    let b = few.b(p).wrapping_add(first);
    let all = V::first(proof, V::COUNT);
    // The rows that come first bring what comes next near for all.
    let ahead = (AHEAD / size_of::<V::Element>()).min(columns);
    let behind = (N as isize * few.b_stride).wrapping_sub((columns - ahead) as isize);
    let next = |at: usize| {
        let along = if at + ahead < columns { ahead as isize } else { behind };
        (row == 0).then_some(along)
    };
    let mut v = 0;
    if head > 0 {
        let mask = V::first(proof, head);
        // SAFETY: as many columns of these rows as the mask has lanes, and their sums.
        unsafe { step::<V, M, N, 1>(proof, few.b_stride, &left, mask, b, sums, apart, next(0)) };
        v = 1;
    }
    let mut at = head;
    while M > HELD && at + WIDE * V::COUNT <= columns {
        let (b, sums) = (b.wrapping_add(at), sums.wrapping_add(v));
        // SAFETY: so many full vectors of these rows and sums.
        unsafe { step::<V, M, N, WIDE>(proof, few.b_stride, &left, all, b, sums, apart, next(at)) };
        (v, at) = (v + WIDE, at + WIDE * V::COUNT);
    }
    while at + 2 * V::COUNT <= columns {
        let (b, sums) = (b.wrapping_add(at), sums.wrapping_add(v));
        // SAFETY: two full vectors of these rows and sums.
        unsafe { step::<V, M, N, 2>(proof, few.b_stride, &left, all, b, sums, apart, next(at)) };
        (v, at) = (v + 2, at + 2 * V::COUNT);
    }
    while at < columns {
        let mask = V::first(proof, V::COUNT.min(columns - at));
        let (b, sums) = (b.wrapping_add(at), sums.wrapping_add(v));
        // SAFETY: a vector of these rows, as many lanes of it as the mask has, and of the sums.
        unsafe { step::<V, M, N, 1>(proof, few.b_stride, &left, mask, b, sums, apart, next(at)) };
        (v, at) = (v + 1, at + V::COUNT);
    }
}

/// Adds to `W` vectors of each row of sums what `b`, the last vector masked, and the rows of B after it hold,
/// and asks for what lies `next` elements further, if anything.
///
/// # Safety
///
/// `N` rows of B from `b` on have these lanes, and `M` rows of sums, `apart` vectors apart, these vectors.
#[inline(always)]
#[expect(clippy::too_many_arguments, reason = "it is the body of a loop")]
unsafe fn step<V: Lanes, const M: usize, const N: usize, const W: usize>(
    proof: V::Proof,
    b_stride: isize,
    left: &[[V::Element; N]; M],
    mask: V::Mask,
    b: *const V::Element,
    at: *mut V,
    apart: usize,
    next: Option<isize>,
) {
    // Else the compiler would make vectors of all elements beforehand, and have to move them to and fro.
    let left = if M > HELD { black_box(left) } else { left };
    let mut sums = [[V::splat(proof, V::Element::default()); W]; M];
    for (i, sums) in sums.iter_mut().enumerate() {
        for (w, sum) in sums.iter_mut().enumerate() {
            // SAFETY: vector w of row i of the sums.
            *sum = unsafe { at.wrapping_add(i * apart + w).read() };
        }
    }
    for q in 0..N {
        let b = b.wrapping_offset(q as isize * b_stride);
        if let Some(next) = next {
            for w in 0..W {
                V::prefetch(b.wrapping_offset(next).wrapping_add(w * V::COUNT));
            }
        }
        // SAFETY: `W` vectors of a row of B.
        let right = unsafe { row::<V, W>(proof, mask, b) };
        for (sums, left) in sums.iter_mut().zip(left) {
            let left = V::splat(proof, left[q]);
            for (sum, right) in sums.iter_mut().zip(right) {
                *sum = left.mul_add(right, *sum);
            }
        }
    }
    for (i, sums) in sums.iter().enumerate() {
        for (w, sum) in sums.iter().enumerate() {
            // SAFETY: vector w of row i of the sums.
            unsafe { at.wrapping_add(i * apart + w).write(*sum) };
        }
    }
}
