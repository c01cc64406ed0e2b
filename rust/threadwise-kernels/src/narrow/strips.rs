//! Products of few rows with a B in slivers: the sums of `few`'s dots, bit for bit.
//!
//! A dot sums each lane of a register by itself, every `COUNT`th group of k, and then the lanes. Columns lie beside one
//! another here, so a lane is a register: `COUNT` columns' sums of that lane's groups. They are kept in memory
//! until k has been passed over; turned, row to column, they are what a dot has at its end.

use super::units::{Fetch, Units, prefetch};

/// Registers of every lane that are worked on before the next ones, so that the part of a sliver stays near.
const NEAR: usize = 8;

/// Registers of columns that a unit of A is multiplied with at a time: what is in a cache line is used at once.
const TOGETHER: usize = 2;

/// Columns and units at most of what is turned.
const SQUARE: usize = 256;

/// How groups of `V` lie in a sliver of elements of `E`, row by row.
pub(super) trait Lie<V: Units, E> {
    /// Groups in a row.
    const GROUPS: usize;

    /// Group `q` of `COUNT` columns in the row at `row`.
    ///
    /// # Safety
    ///
    /// `row + i` is valid for reading, i < `COUNT · GROUP · GROUPS`.
    unsafe fn group(proof: V::Proof, row: *const E, q: usize) -> V;
}

/// A row is a group.
pub(super) enum Single {}

impl<V: Fetch<E>, E: Copy + Default> Lie<V, E> for Single {
    const GROUPS: usize = 1;

    #[inline(always)]
    unsafe fn group(proof: V::Proof, row: *const E, _: usize) -> V {
        // SAFETY: the caller's promise.
        unsafe { V::along(proof, row) }
    }
}

/// Part of a sliver, some rows of A, and the lanes' sums.
pub(super) struct Strip<E> {
    /// Groups of k.
    pub(super) groups: usize,
    /// The units of A: rows that zeros fill up to whole registers.
    pub(super) a: *const u32,
    /// From a row of A to the next.
    pub(super) a_row: usize,
    /// The first row of the sliver.
    pub(super) b: *const E,
    /// Columns of the sliver.
    pub(super) width: usize,
    /// For each row of A, for `COUNT` columns and the next ones, for each lane: `COUNT` sums.
    pub(super) lanes: *mut u32,
    /// Whether these are the first groups. Then what `lanes` holds is not read.
    pub(super) is_first: bool,
}

/// Adds part of a sliver to the lanes, for a number of rows that the function fixes.
///
/// # Safety
///
/// The CPU has the instruction set of the kernel that the function belongs to. The units of A for `groups`, filled up
/// to whole registers, and as many groups of `width` columns are readable; the lanes' sums are writable, and readable
/// unless they are the first; no other reference to them is in use.
pub(super) type StripFn<E> = unsafe fn(&Strip<E>);

/// Adds up the lanes of `columns` columns, whole registers of them: in `c`, or added to what is there.
///
/// # Safety
///
/// The CPU has the instruction set of the kernel that the function belongs to; the lanes' sums are readable, and
/// `columns` elements of C readable and writable.
pub(super) type TotalFn<S> = unsafe fn(lanes: *const u32, columns: usize, c: *mut S, add: bool);

/// # Safety
///
/// As [`StripFn`] says, with `M` rows; `LANES` divides `COUNT`, what `L` says lies in a row divides it, and `TOGETHER`
/// registers the width.
#[inline(always)]
pub(super) unsafe fn strip<V, E, L, const M: usize, const LANES: usize>(
    proof: V::Proof,
    strip: &Strip<E>,
) where
    V: Fetch<E>,
    E: Copy + Default,
    L: Lie<V, E>,
{
    let whole = strip.groups / V::COUNT;
    for first in (0..whole).step_by(NEAR) {
        let steps = first..whole.min(first + NEAR);
        for j in (0..strip.width).step_by(TOGETHER * V::COUNT) {
            for lane in (0..V::COUNT).step_by(LANES) {
                let is_first = strip.is_first && first == 0;
                // SAFETY: these steps and columns, and these lanes, exist.
                unsafe {
                    some::<V, E, L, M, LANES>(
                        proof,
                        strip,
                        (steps.start, steps.end),
                        j,
                        lane,
                        is_first,
                    );
                }
            }
        }
    }
    let done = whole * V::COUNT;
    if done == strip.groups && (whole > 0 || !strip.is_first) {
        return;
    }
    // What is left is filled up with zeros to a whole register, as in a dot.
    let row = strip.width * V::GROUP * L::GROUPS;
    for j in (0..strip.width).step_by(V::COUNT) {
        for lane in 0..V::COUNT {
            let group = done + lane;
            let mut right = V::splat(proof, 0);
            if group < strip.groups {
                let at = strip.b.wrapping_add(group / L::GROUPS * row + j * V::GROUP * L::GROUPS);
                // SAFETY: a group of these columns.
                right = unsafe { L::group(proof, at, group % L::GROUPS) };
            }
            for i in 0..M {
                let to = place::<V, E>(strip, i, j, lane);
                let mut sum = V::splat(proof, 0);
                if whole > 0 || !strip.is_first {
                    // SAFETY: a register of this row's lanes.
                    sum = unsafe { V::load(proof, to) };
                }
                let mut left = V::splat(proof, 0);
                if group < strip.groups {
                    // SAFETY: a unit of row i.
                    left =
                        V::splat(proof, unsafe { *strip.a.wrapping_add(i * strip.a_row + group) });
                }
                // SAFETY: as above.
                unsafe { left.dot(right, sum).store(to) };
            }
        }
    }
}

/// Where the sums of `COUNT` columns from `j` on are, of row `i` and this lane.
#[inline(always)]
fn place<V: Units, E>(strip: &Strip<E>, i: usize, j: usize, lane: usize) -> *mut u32 {
    strip.lanes.wrapping_add((i * strip.width + j + lane) * V::COUNT)
}

/// Some lanes of `TOGETHER` registers of columns from `j` on, over some steps of `COUNT` groups.
///
/// # Safety
///
/// As [`strip`]; these exist.
#[inline(always)]
unsafe fn some<V, E, L, const M: usize, const LANES: usize>(
    proof: V::Proof,
    strip: &Strip<E>,
    (start, end): (usize, usize),
    j: usize,
    lane: usize,
    is_first: bool,
) where
    V: Fetch<E>,
    E: Copy + Default,
    L: Lie<V, E>,
{
    let mut sums = [[[V::splat(proof, 0); TOGETHER]; LANES]; M];
    if !is_first {
        for (i, sums) in sums.iter_mut().enumerate() {
            for (l, sums) in sums.iter_mut().enumerate() {
                for (c, sum) in sums.iter_mut().enumerate() {
                    let from = place::<V, E>(strip, i, j + c * V::COUNT, lane + l);
                    // SAFETY: a register of this row's lanes.
                    *sum = unsafe { V::load(proof, from) };
                }
            }
        }
    }
    let unit = V::GROUP * L::GROUPS;
    let row = strip.width * unit;
    let b = strip.b.wrapping_add(j * unit);
    for step in start..end {
        let group = step * V::COUNT + lane;
        for l in 0..LANES {
            let at = b.wrapping_add((group + l) / L::GROUPS * row);
            let mut right = [V::splat(proof, 0); TOGETHER];
            for (c, right) in right.iter_mut().enumerate() {
                let at = at.wrapping_add(c * V::COUNT * unit);
                if l % L::GROUPS == 0 {
                    prefetch(at.wrapping_add(NEAR * V::COUNT / L::GROUPS * row));
                }
                // SAFETY: a group of these columns.
                *right = unsafe { L::group(proof, at, l % L::GROUPS) };
            }
            for (i, sums) in sums.iter_mut().enumerate() {
                // SAFETY: a unit of row i.
                let left = unsafe { *strip.a.wrapping_add(i * strip.a_row + group + l) };
                let left = V::splat(proof, left);
                for (sum, right) in sums[l].iter_mut().zip(right) {
                    *sum = left.dot(right, *sum);
                }
            }
        }
    }
    for (i, sums) in sums.iter().enumerate() {
        for (l, sums) in sums.iter().enumerate() {
            for (c, sum) in sums.iter().enumerate() {
                // SAFETY: a register of this row's lanes.
                unsafe { sum.store(place::<V, E>(strip, i, j + c * V::COUNT, lane + l)) };
            }
        }
    }
}

/// # Safety
///
/// As [`TotalFn`] says.
#[inline(always)]
pub(super) unsafe fn total<V: Units<Sum: super::Sum>>(
    proof: V::Proof,
    lanes: *const u32,
    columns: usize,
    c: *mut V::Sum,
    add: bool,
) {
    use super::Sum;
    let mut turned = [0; SQUARE];
    for j in (0..columns).step_by(V::COUNT) {
        let from = lanes.wrapping_add(j * V::COUNT);
        // SAFETY: the lanes of `COUNT` columns; `turned` is our own and large enough.
        unsafe { V::transpose(proof, from, V::COUNT, turned.as_mut_ptr(), V::COUNT) };
        for (i, lanes) in turned.chunks_exact(V::COUNT).enumerate().take(V::COUNT) {
            // SAFETY: the lanes of column j + i, a whole register.
            let mut total = unsafe { V::load(proof, lanes.as_ptr()) }.total();
            let c = c.wrapping_add(j + i);
            if add {
                // SAFETY: an element of C.
                total = unsafe { *c }.plus(total);
            }
            // SAFETY: as above.
            unsafe { c.write(total) };
        }
    }
}
