//! B in slivers that are kept for many products: no wider than B itself.
//!
//! Where units are elements as they are, these are the slivers that tiles read. Else they are such slivers
//! before their elements are widened, without the row of what sums begin with, which is zeros there; tiles then
//! read a widened copy.

use ndarray::{ArrayView2, ArrayViewMut2};

use super::Pair;
use super::few;
use super::kernel::Kernel;
use super::strips::Strip;
use super::units::Fetch;

/// Widens `rows` rows of a sliver of `width` units.
///
/// # Safety
///
/// The CPU has the instruction set of the kernel that the function belongs to; the elements of the rows' units are
/// readable, and `rows · width` units writable, `width` whole registers.
pub(super) type WidenFn<E> = unsafe fn(from: *const E, to: *mut u32, rows: usize, width: usize);

/// # Safety
///
/// As [`WidenFn`] says.
#[inline(always)]
pub(super) unsafe fn widen<V: Fetch<E>, E: Copy + Default>(
    proof: V::Proof,
    from: *const E,
    to: *mut u32,
    rows: usize,
    width: usize,
) {
    for unit in (0..rows * width).step_by(V::COUNT) {
        // SAFETY: as many elements are left.
        let units = unsafe { V::along(proof, from.wrapping_add(unit * V::GROUP)) };
        // SAFETY: and as many units of their place.
        unsafe { units.store(to.wrapping_add(unit)) };
    }
}

impl<P: Pair> Kernel<P> {
    /// Whether kept slivers are what [`Kernel::multiply`] takes.
    #[must_use]
    pub fn keeps_units(&self) -> bool {
        self.tiles.group * size_of::<P::Right>() == size_of::<u32>()
    }

    /// Rows of a kept sliver before those of its units.
    fn kept_before(&self) -> usize {
        usize::from(self.keeps_units())
    }

    /// Words that `k` rows and `n` columns of B take when kept.
    #[must_use]
    pub fn kept(&self, k: usize, n: usize) -> usize {
        let elements = n.next_multiple_of(self.tiles.width).saturating_mul(self.tiles.group);
        let row = elements.saturating_mul(size_of::<P::Right>()) / size_of::<u32>();
        row.saturating_mul(self.groups(k) + self.kept_before())
    }

    /// Packs B to be kept, sliver after sliver.
    ///
    /// # Panics
    ///
    /// If `kept` has not [`Kernel::kept`] words.
    pub fn keep(&self, b: ArrayView2<'_, P::Right>, kept: &mut [u32]) {
        let (k, n) = b.dim();
        assert_eq!(kept.len(), self.kept(k, n), "room for kept slivers of {k}×{n}");
        if self.keeps_units() {
            return self.pack_right(b, kept);
        }
        kept.fill(0);
        let to = kept.as_mut_ptr().cast::<P::Right>();
        for (j, column) in b.columns().into_iter().enumerate() {
            for (p, element) in column.into_iter().enumerate() {
                // SAFETY: `place` stays within the room for k×n.
                unsafe { to.wrapping_add(self.place(k, p, j)).write(*element) };
            }
        }
    }

    /// Element (p, j) of kept slivers of k rows, counted in elements.
    #[inline]
    fn place(&self, k: usize, p: usize, j: usize) -> usize {
        let (width, group) = (self.tiles.width, self.tiles.group);
        let rows = self.groups(k) + self.kept_before();
        let row = j / width * rows + self.kept_before() + p / group;
        (row * width + j % width) * group + p % group
    }

    /// Writes what [`Kernel::keep`] was given, bit for bit.
    ///
    /// # Panics
    ///
    /// If `kept` has not [`Kernel::kept`] words.
    pub fn unpack(&self, kept: &[u32], mut b: ArrayViewMut2<'_, P::Right>) {
        let (k, n) = b.dim();
        assert_eq!(kept.len(), self.kept(k, n), "kept slivers of {k}×{n}");
        let from = kept.as_ptr().cast::<P::Right>();
        for (j, mut column) in b.columns_mut().into_iter().enumerate() {
            for (p, element) in column.iter_mut().enumerate() {
                // SAFETY: an element that `keep` wrote.
                *element = unsafe { from.wrapping_add(self.place(k, p, j)).read() };
            }
        }
    }

    /// Makes what [`Kernel::pack_right`] would have made of kept slivers, if they are no units.
    ///
    /// # Panics
    ///
    /// If they are, or `kept` has not [`Kernel::kept`] words, or `packed` not [`Kernel::packed_right`] units.
    pub fn widen(&self, kept: &[u32], (k, n): (usize, usize), packed: &mut [u32]) {
        assert!(!self.keeps_units(), "units are not widened");
        assert_eq!(kept.len(), self.kept(k, n), "kept slivers of {k}×{n}");
        assert_eq!(packed.len(), self.packed_right(k, n), "room for packed slivers of {k}×{n}");
        let (width, groups) = (self.tiles.width, self.groups(k));
        if packed.is_empty() {
            return;
        }
        let from = kept.as_ptr().cast::<P::Right>();
        for (i, sliver) in packed.chunks_exact_mut((groups + 1) * width).enumerate() {
            let (start, units) = sliver.split_at_mut(width);
            start.fill(0);
            let from = from.wrapping_add(i * groups * width * self.tiles.group);
            // SAFETY: a kernel is only made with the proof of its instruction set; the elements of this sliver, and
            // as many units.
            unsafe { (self.tiles.widen)(from, units.as_mut_ptr(), groups, width) };
        }
    }

    /// Whether [`Kernel::strip`] and [`Kernel::total`] can be called. Else sums are exact in any order, and tiles of
    /// few rows are as fast.
    #[must_use]
    pub fn has_strips(&self) -> bool {
        self.few.strips.is_some()
    }

    /// Sums that [`Kernel::strip`] needs for each row of A.
    #[must_use]
    pub fn lanes(&self) -> usize {
        self.tiles.width * self.few.lanes
    }

    /// Adds the products of at most [`Kernel::few`] rows of A, `a_row` apart, which [`Kernel::pack_few`] packed, with a
    /// kept sliver of `k` rows to the lanes' sums, or begins these. As many rows as there are [`Kernel::lanes`].
    ///
    /// # Panics
    ///
    /// If there are no strips, or the sizes of the operands disagree.
    pub fn strip(
        &self,
        (a, a_row): (&[u32], usize),
        (kept, k): (&[u32], usize),
        lanes: &mut [P::Sum],
        is_first: bool,
    ) {
        let Some((strips, _)) = self.few.strips else { unreachable!("there are no strips") };
        assert_eq!(kept.len(), self.kept(k, self.tiles.width), "a kept sliver of {k} rows");
        let m = lanes.len() / self.lanes();
        assert!(m > 0 && m <= few::ROWS && lanes.len() == m * self.lanes(), "lanes of {m} rows");
        assert!(a.len() >= (m - 1) * a_row + self.packed_few(1, k), "{m} rows of packed A");
        let strip = Strip {
            groups: k.div_ceil(self.few.group),
            a: a.as_ptr(),
            a_row,
            b: kept[self.kept_before() * self.tiles.width..].as_ptr().cast(),
            width: self.tiles.width,
            lanes: lanes.as_mut_ptr().cast(),
            is_first,
        };
        // SAFETY: a kernel is only made with the proof of its instruction set. The sizes agree as asserted above; the
        // lanes are borrowed mutably.
        unsafe { strips[m - 1](&strip) };
    }

    /// Adds up the lanes of one row: replaces, or adds to, the sums in C, as many as [`Kernel::columns`].
    ///
    /// # Panics
    ///
    /// If there are no strips, or the sizes of the operands disagree.
    pub fn total(&self, lanes: &[P::Sum], c: &mut [P::Sum], accumulate: bool) {
        let Some((_, total)) = self.few.strips else { unreachable!("there are no strips") };
        let width = self.tiles.width;
        assert_eq!((lanes.len(), c.len()), (self.lanes(), width), "a sliver's columns");
        // SAFETY: a kernel is only made with the proof of its instruction set. The sizes agree as asserted above.
        unsafe { total(lanes.as_ptr().cast(), width, c.as_mut_ptr(), accumulate) };
    }
}
