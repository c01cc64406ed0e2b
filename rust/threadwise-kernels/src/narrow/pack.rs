//! Copies of operands as units, in the order in which tiles read them.
//!
//! An operand is a number of vectors along k: the rows of A, the columns of B. Packed rows follow one
//! another. Packed columns are in slivers: for each group of k a row of units, one for each column; before them
//! a row of what the sums begin with.

use super::units::{Fetch, MOST, prefetch};

/// Vectors of an operand. Strides count elements.
pub(super) struct Source<E> {
    /// The first element of the first vector.
    pub(super) at: *const E,
    /// From a vector to the next.
    pub(super) next: isize,
    /// From an element of a vector to the next.
    pub(super) step: isize,
    /// Number of vectors.
    pub(super) vectors: usize,
    /// Elements of each, k.
    pub(super) depth: usize,
}

/// Where units go.
pub(super) struct Place {
    /// The first one.
    pub(super) to: *mut u32,
    /// Units of a packed row, or in a row of a sliver.
    pub(super) width: usize,
    /// Groups of k with those that fill up; a packed row has as many units.
    pub(super) groups: usize,
}

/// Packs an operand; what is filled up is zero.
///
/// # Safety
///
/// The CPU has the instruction set of the kernel that the function belongs to. All elements of the
/// source are readable; its depth is at most `groups` whole groups. The place has room: for A
/// `vectors · groups` units; for B slivers of `(groups + 1) · width`, `width` a multiple of the register's.
pub(super) type PackFn<E> = unsafe fn(&Source<E>, &Place);

/// Units in the largest square.
const SQUARE: usize = 256;

/// Groups of rows of B between those in use and those asked for.
const AHEAD: usize = 4;

impl<E> Source<E> {
    /// Element `p` of vector `v`.
    #[inline(always)]
    fn element(&self, v: usize, p: usize) -> *const E {
        self.at.wrapping_offset(v as isize * self.next).wrapping_offset(p as isize * self.step)
    }
}

/// # Safety
///
/// As [`PackFn`] says, for A.
#[inline(always)]
pub(super) unsafe fn left<V: Fetch<E>, E: Copy + Default>(
    proof: V::Proof,
    source: &Source<E>,
    place: &Place,
) {
    let is_dense = source.step == 1 && source.next == source.depth.cast_signed();
    if is_dense && place.groups * V::GROUP == source.depth {
        // All rows are as one.
        let count = source.vectors * place.groups;
        // SAFETY: as many elements and units as all rows have.
        unsafe { row::<V, E>(proof, (source.at, count * V::GROUP), (place.to, count)) };
    } else if source.step == 1 {
        for i in 0..source.vectors {
            let to = place.to.wrapping_add(i * place.groups);
            // SAFETY: a row of the source and of the place.
            unsafe {
                row::<V, E>(proof, (source.element(i, 0), source.depth), (to, place.groups));
            }
        }
    } else {
        // SAFETY: the caller's promise.
        unsafe { turned::<V, E>(proof, source, place) };
    }
    if V::FLIP != 0 {
        for i in 0..source.vectors * place.groups {
            let unit = place.to.wrapping_add(i);
            // SAFETY: a unit that was written above.
            let flipped = unsafe { *unit } ^ V::FLIP;
            // SAFETY: as above.
            unsafe { unit.write(flipped) };
        }
    }
}

/// Packs a row whose elements follow one another.
///
/// # Safety
///
/// These elements are readable, and so many units writable.
#[inline(always)]
unsafe fn row<V: Fetch<E>, E: Copy + Default>(
    proof: V::Proof,
    (from, depth): (*const E, usize),
    (to, groups): (*mut u32, usize),
) {
    let whole = depth / (V::COUNT * V::GROUP) * V::COUNT;
    for group in (0..whole).step_by(V::COUNT) {
        // SAFETY: as many elements of this row are left.
        let units = unsafe { V::along(proof, from.wrapping_add(group * V::GROUP)) };
        // SAFETY: and as many units of its place.
        unsafe { units.store(to.wrapping_add(group)) };
    }
    for group in (whole..groups).step_by(V::COUNT) {
        let (left, from) =
            (depth.saturating_sub(group * V::GROUP), from.wrapping_add(group * V::GROUP));
        let units = if left == 0 {
            V::splat(proof, 0)
        } else {
            // SAFETY: what is left of this row.
            unsafe { V::along_first(proof, from, left) }
        };
        // SAFETY: what is left of its place.
        unsafe { units.store_first(to.wrapping_add(group), V::COUNT.min(groups - group)) };
    }
}

/// Packs rows whose elements do not follow one another: square by square.
///
/// # Safety
///
/// As [`left`].
#[inline(always)]
unsafe fn turned<V: Fetch<E>, E: Copy + Default>(
    proof: V::Proof,
    source: &Source<E>,
    place: &Place,
) {
    let mut square = [0; SQUARE];
    let mut rows = [0; SQUARE];
    for group in (0..place.groups).step_by(V::COUNT) {
        let groups = V::COUNT.min(place.groups - group);
        for first in (0..source.vectors).step_by(V::COUNT) {
            let count = V::COUNT.min(source.vectors - first);
            let to = place.to.wrapping_add(first * place.groups + group);
            if source.next == 1 {
                for (q, units) in square.chunks_exact_mut(V::COUNT).enumerate().take(groups) {
                    // SAFETY: the caller's promise about the source.
                    let turned =
                        unsafe { across::<V, E>(proof, source, (first, count), group + q) };
                    // SAFETY: a row of the square.
                    unsafe { turned.store(units.as_mut_ptr()) };
                }
                if count == V::COUNT && groups == V::COUNT {
                    // SAFETY: a whole square of our own, and one of the place.
                    unsafe { V::transpose(proof, square.as_ptr(), V::COUNT, to, place.groups) };
                    continue;
                }
                // SAFETY: both are whole squares of our own.
                unsafe {
                    V::transpose(proof, square.as_ptr(), V::COUNT, rows.as_mut_ptr(), V::COUNT);
                }
            } else {
                // SAFETY: the caller's promise about the source.
                unsafe { rows_of_square::<V, E>(proof, source, first, group, &mut rows) };
            }
            for (i, row) in rows.chunks_exact(V::COUNT).enumerate().take(count) {
                // SAFETY: a row of our own.
                let units = unsafe { V::load(proof, row.as_ptr()) };
                // SAFETY: `groups` units of row first + i.
                unsafe { units.store_first(to.wrapping_add(i * place.groups), groups) };
            }
        }
    }
}

/// A group of up to `COUNT` vectors from `first` on that are beside one another, zeros where the source ends.
///
/// # Safety
///
/// As [`PackFn`] says of the source; so many vectors exist.
#[inline(always)]
unsafe fn across<V: Fetch<E>, E: Copy + Default>(
    proof: V::Proof,
    source: &Source<E>,
    (first, count): (usize, usize),
    group: usize,
) -> V {
    let begin = group * V::GROUP;
    let from = source.element(first, begin);
    if count == V::COUNT && begin + V::GROUP <= source.depth {
        // SAFETY: a whole group of as many vectors.
        return unsafe { V::across(proof, from, source.step) };
    }
    let rows = V::GROUP.min(source.depth.saturating_sub(begin));
    if rows == 0 || count == 0 {
        return V::splat(proof, 0);
    }
    // SAFETY: what there is of it.
    unsafe { V::across_first(proof, from, source.step, (rows, count)) }
}

/// # Safety
///
/// As [`PackFn`] says, for B.
#[inline(always)]
pub(super) unsafe fn right<V: Fetch<E>, E: Copy + Default>(
    proof: V::Proof,
    source: &Source<E>,
    place: &Place,
) {
    if source.next == 1 {
        // SAFETY: passed on from the caller.
        unsafe { right_rows::<V, E>(proof, source, place) };
    } else {
        // SAFETY: passed on from the caller.
        unsafe { right_columns::<V, E>(proof, source, place) };
    }
    let (width, room) = (place.width, (place.groups + 1) * place.width);
    for first in (0..source.vectors).step_by(width) {
        let sliver = place.to.wrapping_add(first / width * room);
        for j in (0..width).step_by(V::COUNT) {
            let mut sums = V::splat(proof, 0);
            if V::FLIP != 0 {
                let offset = V::splat(proof, V::FLIP);
                for group in 1..=place.groups {
                    // SAFETY: units that were written above.
                    let units = unsafe { V::load(proof, sliver.wrapping_add(group * width + j)) };
                    sums = offset.dot(units, sums);
                }
            }
            // SAFETY: in the row before the units of the sliver.
            unsafe { sums.store(sliver.wrapping_add(j)) };
        }
        if V::FLIP != 0 {
            for j in 0..width {
                let start = sliver.wrapping_add(j);
                // SAFETY: written above.
                let negative = unsafe { *start }.wrapping_neg();
                // SAFETY: as above.
                unsafe { start.write(negative) };
            }
        }
    }
}

/// Packs columns that are beside one another: group by group, so that rows of B are read from end to end.
///
/// # Safety
///
/// As [`right`].
#[inline(always)]
unsafe fn right_rows<V: Fetch<E>, E: Copy + Default>(
    proof: V::Proof,
    source: &Source<E>,
    place: &Place,
) {
    let (width, room) = (place.width, (place.groups + 1) * place.width);
    let line = 64 / size_of::<E>();
    for group in 0..place.groups {
        let to = place.to.wrapping_add((group + 1) * width);
        for first in (0..source.vectors.next_multiple_of(width)).step_by(V::COUNT) {
            if first % line == 0 {
                for p in 0..V::GROUP {
                    prefetch(source.element(first, (group + AHEAD) * V::GROUP + p));
                }
            }
            let count = V::COUNT.min(source.vectors.saturating_sub(first));
            // SAFETY: the caller's promise about the source.
            let units = unsafe { across::<V, E>(proof, source, (first, count), group) };
            // SAFETY: a register of the row of this group in its sliver.
            unsafe { units.store(to.wrapping_add(first / width * room + first % width)) };
        }
    }
}

/// Packs columns in squares, some groups at a time, so that what is read and what is written stay near.
///
/// # Safety
///
/// As [`right`].
#[inline(always)]
unsafe fn right_columns<V: Fetch<E>, E: Copy + Default>(
    proof: V::Proof,
    source: &Source<E>,
    place: &Place,
) {
    let (width, room) = (place.width, (place.groups + 1) * place.width);
    let mut square = [0; SQUARE];
    let mut turned = [0; SQUARE];
    for group in (0..place.groups).step_by(V::COUNT) {
        let groups = V::COUNT.min(place.groups - group);
        for first in (0..source.vectors.next_multiple_of(width)).step_by(V::COUNT) {
            let sliver = place.to.wrapping_add(first / width * room);
            let to = sliver.wrapping_add((group + 1) * width + first % width);
            let end = ((group + V::COUNT) * V::GROUP, first + V::COUNT);
            if source.step == 1 && end.0 <= source.depth && end.1 <= source.vectors {
                for i in 0..V::COUNT {
                    let from = source.element(first + i, group * V::GROUP);
                    // SAFETY: as many elements of this column are left.
                    let units = unsafe { V::along(proof, from) };
                    // SAFETY: row i of the square.
                    unsafe { units.store(square[i * V::COUNT..].as_mut_ptr()) };
                }
            } else {
                // SAFETY: the caller's promise about the source.
                unsafe { rows_of_square::<V, E>(proof, source, first, group, &mut square) };
            }
            if groups == V::COUNT {
                // SAFETY: a whole square of our own, and one of the place.
                unsafe { V::transpose(proof, square.as_ptr(), V::COUNT, to, width) };
                continue;
            }
            // SAFETY: both are whole squares of our own.
            unsafe {
                V::transpose(proof, square.as_ptr(), V::COUNT, turned.as_mut_ptr(), V::COUNT);
            }
            for (i, row) in turned.chunks_exact(V::COUNT).enumerate().take(groups) {
                // SAFETY: a row of our own.
                let units = unsafe { V::load(proof, row.as_ptr()) };
                // SAFETY: the row of this group.
                unsafe { units.store(to.wrapping_add(i * width)) };
            }
        }
    }
}

/// Units of `COUNT` vectors from `first` on, `COUNT` groups from `group` on, zeros where the source ends.
///
/// # Safety
///
/// As [`PackFn`] says of the source.
#[inline(always)]
unsafe fn rows_of_square<V: Fetch<E>, E: Copy + Default>(
    proof: V::Proof,
    source: &Source<E>,
    first: usize,
    group: usize,
    square: &mut [u32; SQUARE],
) {
    let begin = group * V::GROUP;
    let depth = (V::COUNT * V::GROUP).min(source.depth.saturating_sub(begin));
    let vectors = V::COUNT.min(source.vectors.saturating_sub(first));
    for (i, units) in square.chunks_exact_mut(V::COUNT).enumerate().take(V::COUNT) {
        let from = source.element(first + i, begin);
        let row = if i >= vectors || depth == 0 {
            V::splat(proof, 0)
        } else if source.step != 1 {
            let mut elements = [E::default(); MOST];
            for (p, element) in elements.iter_mut().enumerate().take(depth) {
                // SAFETY: an element of the source.
                *element = unsafe { *from.wrapping_offset(p as isize * source.step) };
            }
            // SAFETY: more elements than a register takes.
            unsafe { V::along(proof, elements.as_ptr()) }
        } else if depth == V::COUNT * V::GROUP {
            // SAFETY: as many elements of this vector are left.
            unsafe { V::along(proof, from) }
        } else {
            // SAFETY: what is left of this vector.
            unsafe { V::along_first(proof, from, depth) }
        };
        // SAFETY: a row of the square.
        unsafe { row.store(units.as_mut_ptr()) };
    }
}
