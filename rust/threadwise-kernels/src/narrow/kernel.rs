//! The kernels of one pair of number types on one instruction set, as safe functions.

use std::ptr::null_mut;

use ndarray::{ArrayView2, ArrayViewMut2};

use super::Pair;
use super::few::{self, Few, FewFn};
use super::kept::WidenFn;
use super::pack::{PackFn, Place, Source};
use super::results::{Places, Rounded};
use super::strips::{StripFn, TotalFn};
use super::tile::{Block, BlockFn};
use crate::Isa;
use crate::gemm::Epilogue;

/// A block of A: m rows of k.
#[derive(Clone, Copy, Debug)]
pub enum Left<'a, E> {
    /// Read where it lies, if [`Kernel::takes_in_place`].
    InPlace(ArrayView2<'a, E>),
    /// Rows and columns, and the units that [`Kernel::pack_left`] made.
    Packed(usize, usize, &'a [u32]),
}

/// The kernels for a pair on one instruction set.
#[derive(Clone, Copy, Debug)]
pub struct Kernel<P: Pair> {
    pub(super) isa: &'static str,
    pub(super) tiles: Tiles<P>,
    pub(super) few: FewRows<P>,
    /// The instruction set and the tiles of [`Kernel::short`].
    pub(super) short: (&'static str, Tiles<P>),
}

/// How large products are computed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tiles<P: Pair> {
    /// Elements in a unit.
    pub(super) group: usize,
    /// Groups are filled up to a multiple of this.
    pub(super) step: usize,
    /// Rows of the largest tile.
    pub(super) height: usize,
    /// Units in a row of a sliver of B.
    pub(super) width: usize,
    /// Multiply-adds in the time of one of float32.
    pub(super) speed: usize,
    /// Units along k that are best summed on end.
    pub(super) units: usize,
    /// Rows from which on tiles are faster than dots, packing included.
    pub(super) worth_packing: usize,
    /// Whether the units of A are its elements as they are.
    pub(super) plain: bool,
    /// Whether A is copied on the way, so that its rows in place may have any length. What does so goes on from the
    /// sums that are there; others begin at zero, and add to those at their end.
    pub(super) fills_up: bool,
    pub(super) block: BlockFn<P::Sum>,
    pub(super) pack_left: PackFn<P::Left>,
    pub(super) pack_right: PackFn<P::Right>,
    pub(super) widen: WidenFn<P::Right>,
}

/// How products of few rows are: `dots[rows - 1]` and `streams[rows - 1]` take that many.
#[derive(Clone, Copy, Debug)]
pub(super) struct FewRows<P: Pair> {
    pub(super) group: usize,
    pub(super) lanes: usize,
    pub(super) pack_left: PackFn<P::Left>,
    pub(super) dots: &'static [FewFn<P::Right, P::Sum>; few::ROWS],
    pub(super) streams: &'static [FewFn<P::Right, P::Sum>; few::ROWS],
    /// The same for slivers, if they have what takes the lanes' order.
    pub(super) strips: Option<Strips<P>>,
}

/// A function for each number of rows, and the one that adds up lanes.
pub(super) type Strips<P> =
    (&'static [StripFn<<P as Pair>::Right>; few::ROWS], TotalFn<<P as Pair>::Sum>);

impl<P: Pair> Kernel<P> {
    /// `{architecture}-{types}-{instruction set}-gemm`, for people.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{}-{}-{}-gemm", std::env::consts::ARCH, P::NAME, self.isa)
    }

    /// The kernels of units that are widened, with which a sum of few terms is made from these alone: where numbers
    /// are multiplied as they are, others fill up what an instruction takes. Floating-point sums are those of the
    /// definition, term by term.
    #[must_use]
    pub fn short(self) -> Self {
        let (isa, tiles) = self.short;
        let few = FewRows { strips: None, ..self.few };
        Self { isa, tiles: Tiles { worth_packing: 0, ..tiles }, few, ..self }
    }

    /// Rows of the largest tile.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.tiles.height
    }

    /// Columns of the largest tile, which is the width of a packed sliver of B.
    #[must_use]
    pub fn columns(&self) -> usize {
        self.tiles.width
    }

    /// Multiply-adds that tiles do in the time of one of float32, about.
    #[must_use]
    pub fn speed(&self) -> usize {
        self.tiles.speed
    }

    /// Elements along k that tiles are best given at a time: a sliver of B and some rows of A then share the
    /// second-level cache.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.tiles.units * self.tiles.group
    }

    /// Rows from which on [`Kernel::multiply`] is faster than [`Kernel::dots`], packing included.
    #[must_use]
    pub fn worth_packing(&self) -> usize {
        self.tiles.worth_packing
    }

    /// Rows that [`Kernel::dots`] and [`Kernel::streams`] take.
    #[must_use]
    pub const fn few(&self) -> usize {
        few::ROWS
    }

    /// Whether rows of A whose elements are adjacent, `k` of them, need not be packed.
    #[must_use]
    pub fn takes_in_place(&self, k: usize) -> bool {
        self.tiles.plain && (self.tiles.fills_up || k.is_multiple_of(self.tiles.group))
    }

    pub(super) fn groups(&self, k: usize) -> usize {
        k.div_ceil(self.tiles.group).next_multiple_of(self.tiles.step)
    }

    /// Units that `m` rows of `k` columns of A take when packed.
    #[must_use]
    pub fn packed_left(&self, m: usize, k: usize) -> usize {
        m.saturating_mul(self.groups(k))
    }

    /// Packs rows of A into `packed`, one after the other.
    ///
    /// # Panics
    ///
    /// If `packed` has not [`Kernel::packed_left`] units.
    pub fn pack_left(&self, a: ArrayView2<'_, P::Left>, packed: &mut [u32]) {
        let (m, k) = a.dim();
        assert_eq!(packed.len(), self.packed_left(m, k), "room for packed rows of {m}×{k}");
        let groups = self.groups(k);
        let place = Place { to: packed.as_mut_ptr(), width: groups, groups };
        // SAFETY: a kernel is only made with the proof of its instruction set; the place has room.
        unsafe { (self.tiles.pack_left)(&rows(a), &place) };
    }

    /// Units that `k` rows and `n` columns of B take when packed.
    #[must_use]
    pub fn packed_right(&self, k: usize, n: usize) -> usize {
        n.next_multiple_of(self.tiles.width).saturating_mul(self.groups(k) + 1)
    }

    /// Packs B into `packed`, sliver after sliver.
    ///
    /// # Panics
    ///
    /// If `packed` has not [`Kernel::packed_right`] units.
    pub fn pack_right(&self, b: ArrayView2<'_, P::Right>, packed: &mut [u32]) {
        let (k, n) = b.dim();
        assert_eq!(packed.len(), self.packed_right(k, n), "room for packed slivers of {k}×{n}");
        let (to, groups) = (packed.as_mut_ptr(), self.groups(k));
        let place = Place { to, width: self.tiles.width, groups };
        // SAFETY: a kernel is only made with the proof of its instruction set; the place has room.
        unsafe { (self.tiles.pack_right)(&rows(b.reversed_axes()), &place) };
    }

    /// C = A·B, or C += A·B to `accumulate`, for a B of `k` rows that [`Kernel::pack_right`] packed.
    ///
    /// # Panics
    ///
    /// If the sizes of the operands disagree, an A in place is none that [`Kernel::takes_in_place`], or adjacent
    /// columns of it, or of C, are not adjacent in memory.
    pub fn multiply(
        &self,
        a: Left<'_, P::Left>,
        b: &[u32],
        mut c: ArrayViewMut2<'_, P::Sum>,
        accumulate: bool,
    ) {
        let (size, c_row) = (c.dim(), c.strides()[0]);
        assert!(c.strides()[1] == 1 || size.1 <= 1 || c.is_empty(), "columns of C are adjacent");
        let block = Block { c_row, c: c.as_mut_ptr(), accumulate, ..self.block(a, b, size) };
        // SAFETY: a kernel is only made with the proof of its instruction set. The sizes agree as was
        // asserted; C is borrowed mutably, so nothing else refers to it.
        unsafe { (self.tiles.block)(&block) };
    }

    /// The same with the epilogue, [rounded](Rounded::finish_rows).
    ///
    /// # Panics
    ///
    /// As [`Kernel::multiply`] and [`Rounded::finish_rows`] say.
    pub fn multiply_rounded<R: Rounded<P::Sum>>(
        &self,
        isa: Isa,
        a: Left<'_, P::Left>,
        b: &[u32],
        mut c: ArrayViewMut2<'_, R>,
        epilogue: Epilogue<'_, P::Sum>,
    ) {
        let (size, to_row) = (c.dim(), c.strides()[0]);
        assert!(c.strides()[1] == 1 || size.1 <= 1 || c.is_empty(), "columns of C are adjacent");
        assert!(epilogue.bias.is_none_or(|bias| bias.len() == size.1), "one summand a column");
        let results = Places { round: R::rounding(isa), to: c.as_mut_ptr(), to_row, epilogue };
        let block = Block { results: Some(&results), ..self.block(a, b, size) };
        // SAFETY: as for `multiply`; the results' places are C's, and a token proves the instruction set.
        unsafe { (self.tiles.block)(&block) };
    }

    /// A block of C of these rows and columns, which has no place yet.
    fn block(
        &self,
        a: Left<'_, P::Left>,
        b: &[u32],
        (m, n): (usize, usize),
    ) -> Block<'static, P::Sum> {
        let (a_rows, k, at, a_row, a_bytes) = match a {
            Left::InPlace(view) => {
                let (rows, k) = view.dim();
                assert!(self.takes_in_place(k), "rows of {k} are packed");
                let adjacent = view.strides()[1] == 1 || k <= 1 || view.is_empty();
                assert!(adjacent, "columns of an A in place are adjacent");
                let bytes = view.strides()[0] * size_of::<P::Left>().cast_signed();
                (rows, k, view.as_ptr().cast::<u8>(), bytes, k * size_of::<P::Left>())
            }
            Left::Packed(rows, k, packed) => {
                assert_eq!(packed.len(), self.packed_left(rows, k), "packed rows of {rows}×{k}");
                let bytes = self.groups(k) * size_of::<u32>();
                (rows, k, packed.as_ptr().cast::<u8>(), bytes.cast_signed(), bytes)
            }
        };
        assert_eq!(a_rows, m, "A has as many rows as C");
        assert_eq!(b.len(), self.packed_right(k, n), "packed slivers of {k}×{n}");
        Block {
            groups: self.groups(k),
            rows: m,
            columns: n,
            a: at,
            a_row,
            a_bytes,
            b: b.as_ptr(),
            c_row: 0,
            c: null_mut(),
            accumulate: false,
            results: None,
        }
    }

    /// Whether sums are the same bit for bit however k is cut, where it is cut between groups that an instruction sums.
    #[must_use]
    pub fn is_seamless(&self) -> bool {
        self.tiles.fills_up
    }

    /// Units that `m` rows of `k` columns of A take for [`Kernel::dots`] and [`Kernel::streams`].
    #[must_use]
    pub fn packed_few(&self, m: usize, k: usize) -> usize {
        m.saturating_mul(self.few_groups(k))
    }

    fn few_groups(&self, k: usize) -> usize {
        k.div_ceil(self.few.group).next_multiple_of(self.few.lanes)
    }

    /// Packs rows of A for [`Kernel::dots`] and [`Kernel::streams`].
    ///
    /// # Panics
    ///
    /// If `packed` has not [`Kernel::packed_few`] units.
    pub fn pack_few(&self, a: ArrayView2<'_, P::Left>, packed: &mut [u32]) {
        let (m, k) = a.dim();
        assert_eq!(packed.len(), self.packed_few(m, k), "room for packed rows of {m}×{k}");
        let groups = self.few_groups(k);
        let place = Place { to: packed.as_mut_ptr(), width: groups, groups };
        // SAFETY: a kernel is only made with the proof of its instruction set; the place has room.
        unsafe { (self.few.pack_left)(&rows(a), &place) };
    }

    /// Sums in a row of C for [`Kernel::dots`] and [`Kernel::streams`]: `n`, filled up to whole registers.
    #[must_use]
    pub fn few_columns(&self, n: usize) -> usize {
        n.next_multiple_of(self.few.lanes)
    }

    /// [`Kernel::multiply`] for at most [`Kernel::few`] rows, packed by [`Kernel::pack_few`], and a B of
    /// contiguous columns. Rows of C are `c_row` apart; each has [`Kernel::few_columns`], so C ends.
    ///
    /// # Panics
    ///
    /// If the sizes of the operands disagree, there are more rows, or adjacent rows of B are not adjacent in
    /// memory.
    pub fn dots(
        &self,
        a: &[u32],
        b: ArrayView2<'_, P::Right>,
        c: &mut [P::Sum],
        c_row: usize,
        accumulate: bool,
    ) {
        let adjacent = b.strides()[0] == 1 || b.nrows() <= 1 || b.is_empty();
        assert!(adjacent, "rows of B are adjacent");
        self.few_rows(self.few.dots, a, b, b.strides()[1], c, c_row, accumulate);
    }

    /// [`Kernel::dots`] for a B of contiguous rows.
    ///
    /// # Panics
    ///
    /// If the sizes of the operands disagree, there are more rows, or adjacent columns of B are not adjacent
    /// in memory.
    pub fn streams(
        &self,
        a: &[u32],
        b: ArrayView2<'_, P::Right>,
        c: &mut [P::Sum],
        c_row: usize,
        accumulate: bool,
    ) {
        let adjacent = b.strides()[1] == 1 || b.ncols() <= 1 || b.is_empty();
        assert!(adjacent, "columns of B are adjacent");
        self.few_rows(self.few.streams, a, b, b.strides()[0], c, c_row, accumulate);
    }

    #[expect(clippy::too_many_arguments, reason = "both ways pass on all they were given")]
    fn few_rows(
        &self,
        functions: &[FewFn<P::Right, P::Sum>; few::ROWS],
        a: &[u32],
        b: ArrayView2<'_, P::Right>,
        b_stride: isize,
        c: &mut [P::Sum],
        c_row: usize,
        accumulate: bool,
    ) {
        let (depth, columns) = b.dim();
        if columns == 0 {
            return;
        }
        let (a_row, wide) = (self.few_groups(depth), self.few_columns(columns));
        let m = (c.len() - wide) / c_row + 1;
        assert!(c_row >= wide && a.len() == m * a_row, "{m} rows of packed A, and of C");
        assert!(m <= functions.len(), "{m} rows, at most {} are few", functions.len());
        let (a, b, c) = (a.as_ptr(), b.as_ptr(), c.as_mut_ptr());
        let few = Few { depth, columns, a, a_row, b, b_stride, c, c_row, accumulate };
        // SAFETY: a kernel is only made with the proof of its instruction set. The sizes agree as asserted
        // above, and the strides are those the function needs, as its callers assert; C is borrowed mutably.
        unsafe { functions[m - 1](&few) };
    }
}

/// The rows of a matrix as vectors.
fn rows<E>(a: ArrayView2<'_, E>) -> Source<E> {
    let (vectors, depth) = a.dim();
    let &[next, step] = a.strides() else { unreachable!("a matrix has two strides") };
    // A vector of one element lies as any other does.
    let (next, step) = (if vectors == 1 { 1 } else { next }, if depth == 1 { 1 } else { step });
    Source { at: a.as_ptr(), next, step, vectors, depth }
}
