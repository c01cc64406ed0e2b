//! The kernels of one pair of number types on one instruction set, as safe functions.

use ndarray::{ArrayView2, ArrayViewMut2};

#[cfg(target_arch = "x86_64")]
use super::amx;
use super::few::{self, Few, FewFn};
use super::functions;
use super::pack::{PackFn, Place, Source};
use super::tile::{Block, BlockFn};
use super::units::Fetch;
use super::{Pair, scalar};

/// Units along k that tiles in registers sum on end: those of a sliver of B fill an eighth of a second-level cache
/// of one megabyte.
const UNITS: usize = 512;

/// Rows from which on tiles in registers are faster than dots.
const WORTH_PACKING: usize = 9;

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
    isa: &'static str,
    tiles: Tiles<P>,
    few: FewRows<P>,
}

/// How large products are computed.
#[derive(Clone, Copy, Debug)]
struct Tiles<P: Pair> {
    /// Elements in a unit.
    group: usize,
    /// Groups are filled up to a multiple of this.
    step: usize,
    /// Rows of the largest tile.
    height: usize,
    /// Units in a row of a sliver of B.
    width: usize,
    /// Multiply-adds in the time of one of float32.
    speed: usize,
    /// Units along k that are best summed on end.
    units: usize,
    /// Rows from which on tiles are faster than dots, packing included.
    worth_packing: usize,
    /// Whether the units of A are its elements as they are.
    plain: bool,
    block: BlockFn<P::Sum>,
    pack_left: PackFn<P::Left>,
    pack_right: PackFn<P::Right>,
}

/// How products of few rows are: `dots[rows - 1]` and `streams[rows - 1]` take that many.
#[derive(Clone, Copy, Debug)]
struct FewRows<P: Pair> {
    group: usize,
    lanes: usize,
    pack_left: PackFn<P::Left>,
    dots: &'static [FewFn<P::Right, P::Sum>; few::ROWS],
    streams: &'static [FewFn<P::Right, P::Sum>; few::ROWS],
}

/// The constructors, which differ in the module of their functions. Each takes the proof of what its functions
/// need.
macro_rules! parts {
    ($tiles:ident, $few:ident, $module:ident, $proof:ty, $height:literal) => {
        fn $tiles<V>() -> Tiles<P>
        where
            V: Fetch<P::Left, Proof = $proof, Sum = P::Sum> + Fetch<P::Right>,
        {
            Tiles {
                group: V::GROUP,
                step: 1,
                height: $height,
                speed: V::GROUP,
                units: UNITS,
                worth_packing: WORTH_PACKING,
                width: functions::$module::WIDTH * V::COUNT,
                plain: V::FLIP == 0 && V::GROUP * size_of::<P::Left>() == size_of::<u32>(),
                block: functions::$module::Functions::<V>::BLOCK,
                pack_left: functions::$module::Packs::<V, P::Left>::LEFT,
                pack_right: functions::$module::Packs::<V, P::Right>::RIGHT,
            }
        }

        fn $few<V>() -> FewRows<P>
        where
            V: Fetch<P::Left, Proof = $proof, Sum = P::Sum> + Fetch<P::Right>,
        {
            FewRows {
                group: V::GROUP,
                lanes: V::COUNT,
                pack_left: functions::$module::Packs::<V, P::Left>::LEFT,
                dots: functions::$module::Packs::<V, P::Right>::DOTS,
                streams: functions::$module::Packs::<V, P::Right>::STREAMS,
            }
        }
    };
}

#[allow(
    dead_code,
    reason = "few rows are widened on every instruction set, so some have tiles only"
)]
impl<P: Pair> Kernel<P> {
    parts!(tiles_portable, few_portable, portable, (), 4);

    pub(super) fn portable<V>() -> Self
    where
        V: Fetch<P::Left, Proof = (), Sum = P::Sum> + Fetch<P::Right>,
    {
        let (tiles, few) = (Self::tiles_portable::<V>(), Self::few_portable::<V>());
        Self { isa: "scalar", tiles, few }
    }
}

#[cfg(target_arch = "x86_64")]
#[allow(
    dead_code,
    reason = "few rows are widened on every instruction set, so some have tiles only"
)]
impl<P: Pair> Kernel<P> {
    parts!(tiles_avx2, few_avx2, avx2, crate::Avx2, 6);
    parts!(tiles_avx512, few_avx512, avx512, crate::Avx512, 6);
    parts!(tiles_bf16, few_bf16, bf16, crate::Bf16, 6);
    parts!(tiles_vnni, few_vnni, vnni, crate::Vnni, 6);

    pub(super) fn avx2<V>(_: crate::Avx2) -> Self
    where
        V: Fetch<P::Left, Proof = crate::Avx2, Sum = P::Sum> + Fetch<P::Right>,
    {
        Self { isa: "avx2", tiles: Self::tiles_avx2::<V>(), few: Self::few_avx2::<V>() }
    }

    pub(super) fn avx512<V>(_: crate::Avx512) -> Self
    where
        V: Fetch<P::Left, Proof = crate::Avx512, Sum = P::Sum> + Fetch<P::Right>,
    {
        Self { isa: "avx512", tiles: Self::tiles_avx512::<V>(), few: Self::few_avx512::<V>() }
    }

    /// Tiles of `T`, few rows of `V`.
    pub(super) fn bf16<T, V>(_: crate::Bf16) -> Self
    where
        T: Fetch<P::Left, Proof = crate::Bf16, Sum = P::Sum> + Fetch<P::Right>,
        V: Fetch<P::Left, Proof = crate::Avx512, Sum = P::Sum> + Fetch<P::Right>,
    {
        Self { isa: "avx512bf16", tiles: Self::tiles_bf16::<T>(), few: Self::few_avx512::<V>() }
    }

    /// Tiles of `T`, few rows of `V`.
    pub(super) fn vnni<T, V>(_: crate::Vnni) -> Self
    where
        T: Fetch<P::Left, Proof = crate::Vnni, Sum = P::Sum> + Fetch<P::Right>,
        V: Fetch<P::Left, Proof = crate::Avx512, Sum = P::Sum> + Fetch<P::Right>,
    {
        Self { isa: "avx512vnni", tiles: Self::tiles_vnni::<T>(), few: Self::few_avx512::<V>() }
    }
}

#[cfg(target_arch = "x86_64")]
impl<P: Pair> Kernel<P> {
    /// AMX's `block` of units that `T` packs, few rows of `V`.
    pub(super) fn amx_bf16<T, V>(_: crate::Amx, block: BlockFn<P::Sum>) -> Self
    where
        T: Fetch<P::Left, Proof = crate::Bf16, Sum = P::Sum> + Fetch<P::Right>,
        V: Fetch<P::Left, Proof = crate::Avx512, Sum = P::Sum> + Fetch<P::Right>,
    {
        let tiles = Self::tiles_bf16::<T>().in_amx(block);
        Self { isa: "amx", tiles, few: Self::few_avx512::<V>() }
    }

    /// As [`Kernel::amx_bf16`], of integers.
    pub(super) fn amx_bytes<T, V>(_: crate::Amx, block: BlockFn<P::Sum>) -> Self
    where
        T: Fetch<P::Left, Proof = crate::Vnni, Sum = P::Sum> + Fetch<P::Right>,
        V: Fetch<P::Left, Proof = crate::Avx512, Sum = P::Sum> + Fetch<P::Right>,
    {
        let tiles = Self::tiles_vnni::<T>().in_amx(block);
        Self { isa: "amx", tiles, few: Self::few_avx512::<V>() }
    }
}

#[cfg(target_arch = "x86_64")]
impl<P: Pair> Tiles<P> {
    /// The same units for AMX, which every CPU with it has the instructions to pack.
    fn in_amx(self, block: BlockFn<P::Sum>) -> Self {
        Self {
            step: amx::STEP,
            height: amx::PANEL,
            width: amx::PANEL,
            speed: 4 * self.speed,
            units: 4 * UNITS, // what is near at a time is the kernel's own care
            worth_packing: WORTH_PACKING / 2,
            block,
            ..self
        }
    }
}

impl<P: Pair> Kernel<P> {
    /// `{architecture}-{types}-{instruction set}-gemm`, for people.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{}-{}-{}-gemm", std::env::consts::ARCH, P::NAME, self.isa)
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
        self.tiles.plain && k.is_multiple_of(self.tiles.group * self.tiles.step)
    }

    fn groups(&self, k: usize) -> usize {
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
        let (m, n) = c.dim();
        let (a_rows, k, at, a_row) = match a {
            Left::InPlace(view) => {
                let (rows, k) = view.dim();
                assert!(self.takes_in_place(k), "rows of {k} are packed");
                let adjacent = view.strides()[1] == 1 || k <= 1 || view.is_empty();
                assert!(adjacent, "columns of an A in place are adjacent");
                let bytes = view.strides()[0] * size_of::<P::Left>().cast_signed();
                (rows, k, view.as_ptr().cast::<u8>(), bytes)
            }
            Left::Packed(rows, k, packed) => {
                assert_eq!(packed.len(), self.packed_left(rows, k), "packed rows of {rows}×{k}");
                let bytes = self.groups(k) * size_of::<u32>();
                (rows, k, packed.as_ptr().cast::<u8>(), bytes.cast_signed())
            }
        };
        assert_eq!(a_rows, m, "A has as many rows as C");
        assert_eq!(b.len(), self.packed_right(k, n), "packed slivers of {k}×{n}");
        assert!(c.strides()[1] == 1 || n <= 1 || c.is_empty(), "columns of C are adjacent");
        let block = Block {
            groups: self.groups(k),
            rows: m,
            columns: n,
            a: at,
            a_row,
            b: b.as_ptr(),
            c_row: c.strides()[0],
            c: c.as_mut_ptr(),
            accumulate,
        };
        // SAFETY: a kernel is only made with the proof of its instruction set. The sizes agree as asserted
        // above; C is borrowed mutably, so nothing else refers to it.
        unsafe { (self.tiles.block)(&block) };
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

    /// C = A·B by the definition, for operands that are too small to be worth packing.
    ///
    /// # Panics
    ///
    /// If the sizes of the operands disagree.
    pub fn tiny(
        a: ArrayView2<'_, P::Left>,
        b: ArrayView2<'_, P::Right>,
        c: ArrayViewMut2<'_, P::Sum>,
    ) {
        assert_eq!((a.nrows(), a.ncols(), b.ncols()), (c.nrows(), b.nrows(), c.ncols()), "A·B");
        scalar::product::<P>(a, b, c);
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
