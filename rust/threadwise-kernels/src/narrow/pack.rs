//! Copies of operands as units, in the order in which tiles read them.
//!
//! An operand is a number of vectors along k: the rows of A, the columns of B. Packed rows follow one
//! another. Packed columns are in slivers: for each group of k a row of units, one for each column; before them
//! a row of what the sums begin with.

use super::units::Fetch;

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

/// Units in the largest square, and elements in them.
const SQUARE: usize = 256;
const ELEMENTS: usize = 4 * SQUARE;

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
    // Where elements follow one another, row after row as far as there are whole registers.
    let whole = if source.step == 1 { source.depth / (V::COUNT * V::GROUP) * V::COUNT } else { 0 };
    for i in 0..source.vectors {
        for group in (0..whole).step_by(V::COUNT) {
            // SAFETY: as many elements of this row are left.
            let units = unsafe { V::along(proof, source.element(i, group * V::GROUP)) };
            // SAFETY: and as many units of its place.
            unsafe { units.store(place.to.wrapping_add(i * place.groups + group)) };
        }
    }
    let mut square = [0; SQUARE];
    for first in (0..source.vectors).step_by(V::COUNT) {
        let count = V::COUNT.min(source.vectors - first);
        for group in (whole..place.groups).step_by(V::COUNT) {
            let to = place.to.wrapping_add(first * place.groups + group);
            // SAFETY: the caller's promise about the source.
            unsafe { rows_of_square::<V, E>(proof, source, first, group, &mut square) };
            let units = V::COUNT.min(place.groups - group);
            for (i, row) in square.chunks_exact(V::COUNT).take(count).enumerate() {
                let to = to.wrapping_add(i * place.groups);
                // SAFETY: `units` units of row first + i are left; `square` is our own.
                unsafe { to.copy_from_nonoverlapping(row.as_ptr(), units) };
            }
        }
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

/// # Safety
///
/// As [`PackFn`] says, for B.
#[inline(always)]
pub(super) unsafe fn right<V: Fetch<E>, E: Copy + Default>(
    proof: V::Proof,
    source: &Source<E>,
    place: &Place,
) {
    let (width, room) = (place.width, (place.groups + 1) * place.width);
    // Some groups at a time, so that what is read and what is written stay near.
    for group in (0..place.groups).step_by(V::COUNT) {
        for first in (0..source.vectors.next_multiple_of(width)).step_by(V::COUNT) {
            let sliver = place.to.wrapping_add(first / width * room);
            let to = sliver.wrapping_add((group + 1) * width + first % width);
            let groups = V::COUNT.min(place.groups - group);
            // SAFETY: this square lies within the place; the caller's promise about the source.
            unsafe { right_square::<V, E>(proof, source, (first, group), groups, to, width) };
        }
    }
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

/// Packs up to `COUNT` columns from `first` on, up to `COUNT` groups of `groups` from `group` on.
///
/// # Safety
///
/// As [`PackFn`] says of the source; `to` has room for `groups` rows of `COUNT` units, `width` apart.
#[inline(always)]
unsafe fn right_square<V: Fetch<E>, E: Copy + Default>(
    proof: V::Proof,
    source: &Source<E>,
    (first, group): (usize, usize),
    groups: usize,
    to: *mut u32,
    width: usize,
) {
    let is_wide = first + V::COUNT <= source.vectors;
    let mut done = 0;
    if is_wide && source.next == 1 {
        let whole = groups.min((source.depth / V::GROUP).saturating_sub(group));
        while done < whole {
            let from = source.element(first, (group + done) * V::GROUP);
            // SAFETY: the rows of this group, and COUNT columns of each.
            let units = unsafe { V::across(proof, from, source.step) };
            // SAFETY: the row of this group.
            unsafe { units.store(to.wrapping_add(done * width)) };
            done += 1;
        }
        if done == groups {
            return;
        }
    }
    let mut square = [0; SQUARE];
    if is_wide && source.step == 1 && (group + V::COUNT) * V::GROUP <= source.depth {
        for i in 0..V::COUNT {
            // SAFETY: as many elements of this column are left.
            let units = unsafe { V::along(proof, source.element(first + i, group * V::GROUP)) };
            // SAFETY: row i of the square.
            unsafe { units.store(square[i * V::COUNT..].as_mut_ptr()) };
        }
        // SAFETY: a whole square: if as many elements are left, so are as many groups.
        unsafe { V::transpose(proof, square.as_ptr(), V::COUNT, to, width) };
        return;
    }
    // SAFETY: the caller's promise about the source.
    unsafe { rows_of_square::<V, E>(proof, source, first, group, &mut square) };
    let mut turned = [0; SQUARE];
    // SAFETY: both are whole squares of our own.
    unsafe { V::transpose(proof, square.as_ptr(), V::COUNT, turned.as_mut_ptr(), V::COUNT) };
    for (i, row) in turned.chunks_exact(V::COUNT).enumerate().take(groups).skip(done) {
        // SAFETY: the row of this group; `turned` is our own.
        unsafe { to.wrapping_add(i * width).copy_from_nonoverlapping(row.as_ptr(), V::COUNT) };
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
    let mut elements = [E::default(); ELEMENTS];
    let row = V::COUNT * V::GROUP;
    let begin = group * V::GROUP;
    let depth = row.min(source.depth.saturating_sub(begin));
    let vectors = V::COUNT.min(source.vectors.saturating_sub(first));
    if source.step == 1 {
        for i in 0..vectors {
            let from = source.element(first + i, begin);
            let to = elements[i * row..].as_mut_ptr();
            // SAFETY: `depth` elements of this vector are left; `elements` is our own.
            unsafe { to.copy_from_nonoverlapping(from, depth) };
        }
    } else {
        for p in 0..depth {
            for i in 0..vectors {
                // SAFETY: an element of the source.
                elements[i * row + p] = unsafe { *source.element(first + i, begin + p) };
            }
        }
    }
    for i in 0..V::COUNT {
        // SAFETY: a row of `elements`.
        let units = unsafe { V::along(proof, elements[i * row..].as_ptr()) };
        // SAFETY: a row of the square.
        unsafe { units.store(square[i * V::COUNT..].as_mut_ptr()) };
    }
}
