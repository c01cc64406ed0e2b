//! Streams: where the rows of B are contiguous, some rows of B at a time are multiplied with their elements
//! of A and added to the sums of a strip of C, which stay in the nearest cache.

use super::Few;
use crate::gemm::vectors::row;
use crate::simd::Lanes;

/// Rows of B that are added to C at a time.
const TOGETHER: usize = 4;

/// Vectors of C, over all rows, that are worked on before the next ones: half the nearest cache. They are
/// kept apart from C, whose rows may lie so that they drive each other, and those of B, out of the cache.
const NEAR: usize = 512;

/// Columns of such a strip are a multiple of this, so that whole cache lines are read.
const LINES: usize = 64;

/// Part of a product of few rows: rows of A and of the sums from `row` on, rows of B from `p` on, `columns`
/// columns from `first` on, which take `vectors` vectors a row of sums.
#[derive(Clone, Copy)]
struct Part {
    row: usize,
    p: usize,
    first: usize,
    columns: usize,
    /// Columns before the first at which lines of B begin: they have a vector of their own.
    head: usize,
    vectors: usize,
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

/// # Safety
///
/// As [`super::FewFn`] says, with contiguous rows of B, and at most [`NEAR`] / 4 rows.
#[inline(always)]
pub(super) unsafe fn streams<V: Lanes, const ROWS: usize>(proof: V::Proof, few: &Few<V::Element>) {
    let zero = V::splat(proof, V::Element::default());
    let mut room = [zero; NEAR];
    let most = NEAR / few.rows * V::COUNT;
    let strip = if most < LINES { most } else { most / LINES * LINES };
    let mut first = 0;
    while first < few.columns {
        let head = if first == 0 && strip > V::COUNT { head::<V>(few) } else { 0 };
        let strip = if head > 0 { strip - V::COUNT + head } else { strip };
        let columns = strip.min(few.columns - first);
        let head = if head < columns { head } else { 0 };
        let vectors = usize::from(head > 0) + (columns - head).div_ceil(V::COUNT);
        let mut part = Part { row: 0, p: 0, first, columns, head, vectors };
        let sums = &mut room[..few.rows * vectors];
        if few.accumulate {
            for i in 0..few.rows {
                for v in 0..vectors {
                    let (at, lanes) = part.lanes(v, V::COUNT);
                    let mask = V::first(proof, lanes);
                    let c = few.c(i).wrapping_add(first + at);
                    // SAFETY: as many elements of row i of C as the mask has lanes.
                    sums[i * vectors + v] = unsafe { V::load_first(proof, mask, c) };
                }
            }
        } else {
            sums.fill(zero);
        }
        while part.p < few.depth {
            let together = if part.p + TOGETHER <= few.depth { TOGETHER } else { 1 };
            let mut group = 0;
            part.row = 0;
            while part.row < few.rows {
                group += 1;
                let end = few.group(group, ROWS);
                let (rows, sums) = (end - part.row, sums[part.row * vectors..].as_mut_ptr());
                if together == TOGETHER {
                    instance!(rows, ROWS, [1 2 3 4 5 6 7 8], many[V](proof, few, part, sums));
                } else {
                    instance!(rows, ROWS, [1 2 3 4 5 6 7 8], one[V](proof, few, part, sums));
                }
                part.row = end;
            }
            part.p += together;
        }
        for (i, sums) in sums.chunks_exact(vectors).enumerate() {
            for (v, &sum) in sums.iter().enumerate() {
                let (at, lanes) = part.lanes(v, V::COUNT);
                let mask = V::first(proof, lanes);
                let mut sum = sum;
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

/// Adds [`TOGETHER`] rows of B to the sums of `M` rows.
///
/// # Safety
///
/// As [`add`].
#[inline(always)]
unsafe fn many<V: Lanes, const M: usize>(
    proof: V::Proof,
    few: &Few<V::Element>,
    part: Part,
    sums: *mut V,
) {
    // SAFETY: passed on.
    unsafe { add::<V, M, TOGETHER>(proof, few, part, sums) }
}

/// Adds a row of B to the sums of `M` rows.
///
/// # Safety
///
/// As [`add`].
#[inline(always)]
unsafe fn one<V: Lanes, const M: usize>(
    proof: V::Proof,
    few: &Few<V::Element>,
    part: Part,
    sums: *mut V,
) {
    // SAFETY: passed on.
    unsafe { add::<V, M, 1>(proof, few, part, sums) }
}

/// Adds `N` rows of B, times their elements of A, to the sums of `M` rows.
///
/// # Safety
///
/// These rows and columns exist, and `M` times `part.vectors` sums.
#[inline(always)]
unsafe fn add<V: Lanes, const M: usize, const N: usize>(
    proof: V::Proof,
    few: &Few<V::Element>,
    Part { row, p, first, columns, head, vectors }: Part,
    sums: *mut V,
) {
    let mut left = [[V::splat(proof, V::Element::default()); N]; M];
    for (i, left) in left.iter_mut().enumerate() {
        for (q, left) in left.iter_mut().enumerate() {
            let a = few.a(row + i).wrapping_offset((p + q) as isize * few.a_step);
            // SAFETY: element (row + i, p + q) of A.
            *left = V::splat(proof, unsafe { *a });
        }
    }
    let b = few.b(p).wrapping_add(first);
    let all = V::first(proof, V::COUNT);
    // The rows that come first bring the next rows of B near for all.
    let ahead = row == 0;
    let mut v = 0;
    if head > 0 {
        let mask = V::first(proof, head);
        // SAFETY: as many columns of these rows as the mask has lanes, and their sums.
        unsafe { step::<V, M, N, 1>(proof, few.b_stride, &left, mask, b, sums, vectors, ahead) };
        v = 1;
    }
    let (b, columns) = (b.wrapping_add(head), columns - head);
    let mut at = 0;
    while at + 2 * V::COUNT <= columns {
        let (b, sums) = (b.wrapping_add(at), sums.wrapping_add(v));
        // SAFETY: two full vectors of these rows and sums.
        unsafe { step::<V, M, N, 2>(proof, few.b_stride, &left, all, b, sums, vectors, ahead) };
        (v, at) = (v + 2, at + 2 * V::COUNT);
    }
    while at < columns {
        let mask = V::first(proof, V::COUNT.min(columns - at));
        let (b, sums) = (b.wrapping_add(at), sums.wrapping_add(v));
        // SAFETY: a vector of these rows, as many lanes of it as the mask has, and of the sums.
        unsafe { step::<V, M, N, 1>(proof, few.b_stride, &left, mask, b, sums, vectors, ahead) };
        (v, at) = (v + 1, at + V::COUNT);
    }
}

/// Adds to `W` vectors of each row of sums what `b`, the last vector masked, and the rows of B after it hold.
///
/// # Safety
///
/// `N` rows of B from `b` on have these lanes, and `M` rows of sums, `vectors` apart, these vectors.
#[inline(always)]
#[expect(clippy::too_many_arguments, reason = "it is the body of a loop")]
unsafe fn step<V: Lanes, const M: usize, const N: usize, const W: usize>(
    proof: V::Proof,
    b_stride: isize,
    left: &[[V; N]; M],
    mask: V::Mask,
    b: *const V::Element,
    at: *mut V,
    vectors: usize,
    ahead: bool,
) {
    let mut sums = [[V::splat(proof, V::Element::default()); W]; M];
    for (i, sums) in sums.iter_mut().enumerate() {
        for (w, sum) in sums.iter_mut().enumerate() {
            // SAFETY: vector w of row i of the sums.
            *sum = unsafe { at.wrapping_add(i * vectors + w).read() };
        }
    }
    for q in 0..N {
        let b = b.wrapping_offset(q as isize * b_stride);
        if ahead {
            let next = b.wrapping_offset(N as isize * b_stride);
            for w in 0..W {
                V::prefetch(next.wrapping_add(w * V::COUNT));
            }
        }
        // SAFETY: `W` vectors of a row of B.
        let right = unsafe { row::<V, W>(proof, mask, b) };
        for (sums, left) in sums.iter_mut().zip(left) {
            for (sum, right) in sums.iter_mut().zip(right) {
                *sum = left[q].mul_add(right, *sum);
            }
        }
    }
    for (i, sums) in sums.iter().enumerate() {
        for (w, sum) in sums.iter().enumerate() {
            // SAFETY: vector w of row i of the sums.
            unsafe { at.wrapping_add(i * vectors + w).write(*sum) };
        }
    }
}
