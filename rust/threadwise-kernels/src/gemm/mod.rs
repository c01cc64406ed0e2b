//! The matrix product C = f(A·B + bias), or C += A·B, on one thread.
//!
//! A is m×k, B is k×n, C is m×n with unit stride along its rows. A tile of C, `ROWS` rows of
//! `VECTORS` vectors, stays in registers while the tile's rows of A and columns of B stream past: one
//! vector of B times one broadcast element of A is one fused multiply-add. That is the inner kernel
//! of K. Goto, R. van de Geijn, *Anatomy of High-Performance Matrix Multiplication*, ACM TOMS 34(3),
//! 2008, with the roles of the operands exchanged, because NumPy's C runs along n.
//!
//! **Bits.** Each element of C is Σₖ aₖ·bₖ in the order of k, from zero, one rounding a term where
//! the CPU fuses: whatever the tile, the packing or the partition of C. (Dots, for few rows, sum each
//! lane of a vector by itself and then the lanes.) An element therefore depends on its row of A, its
//! column of B, which of the two ways is taken and where the caller cuts k, and on nothing else. (A dot
//! product alone in its tile, the last column of one row, is four such sums, added at the end.)
//!
//! `block` is the loop over tiles, the first of which may copy B for the others, `batch` what small products have
//! instead, `tile` the inner kernel, `pack` the copies that make B's columns and A's rows contiguous, `places` what is
//! to know of a B that is not copied, `few` the kernels for products of few rows or few terms, `vectors` what they and
//! the tiles read rows with.

mod batch;
mod block;
mod few;
mod left;
pub(crate) mod pack;
mod places;
mod tile;
mod vectors;

#[cfg(test)]
mod tests;

use crate::Activation;
use crate::element::Element;
use crate::simd::Lanes;
#[cfg(target_arch = "x86_64")]
use crate::{Avx2, Avx512};
use few::{EachFn, FewFn, ShortFn};
use pack::{CopyFn, SquaresFn};
use tile::TileFn;

pub use block::{Finish, Right};

/// The inner kernel for one element type on one instruction set: its tiles and how it is packed.
#[derive(Clone, Copy, Debug)]
pub struct Kernel<T: 'static> {
    isa: &'static str,
    lanes: usize,
    /// `tiles[rows - 1][vectors - 1]` computes a tile of that size; the more rows, the fewer vectors.
    tiles: &'static [&'static [TileFn<T>]],
    /// `heights[vectors - 1]` is the number of rows of the largest of that width.
    heights: [usize; WIDEST],
    /// Compute products of few rows.
    dots: FewFn<T>,
    streams: FewFn<T>,
    /// Computes products of many rows and few terms.
    short: ShortFn<T>,
    /// Computes small products that are alike.
    each: EachFn<T>,
    each_by_dots: EachFn<T>,
    /// Copies at most `lanes` rows, rows to columns.
    squares: SquaresFn<T>,
    /// Copies rows.
    copy: CopyFn<T>,
}

impl<T: Element> Kernel<T> {
    pub(crate) const fn portable<V: Lanes<Element = T, Proof = ()>>() -> Self {
        Self {
            isa: "scalar",
            lanes: V::COUNT,
            tiles: tile::Portable::<V>::TILES,
            heights: heights(tile::Portable::<V>::TILES),
            dots: few::portable::Functions::<V>::DOTS,
            streams: few::portable::Functions::<V>::STREAMS,
            short: few::portable::Functions::<V>::SHORT,
            each: few::portable::Functions::<V>::EACH,
            each_by_dots: few::portable::Functions::<V>::EACH_BY_DOTS,
            squares: few::portable::Functions::<V>::SQUARES,
            copy: few::portable::Functions::<V>::COPY,
        }
    }

    #[cfg(target_arch = "x86_64")]
    pub(crate) const fn avx2<V: Lanes<Element = T, Proof = Avx2>>(_: Avx2) -> Self {
        Self {
            isa: "avx2",
            lanes: V::COUNT,
            tiles: tile::TilesAvx2::<V>::TILES,
            heights: heights(tile::TilesAvx2::<V>::TILES),
            dots: few::avx2::Functions::<V>::DOTS,
            streams: few::avx2::Functions::<V>::STREAMS,
            short: few::avx2::Functions::<V>::SHORT,
            each: few::avx2::Functions::<V>::EACH,
            each_by_dots: few::avx2::Functions::<V>::EACH_BY_DOTS,
            squares: few::avx2::Functions::<V>::SQUARES,
            copy: few::avx2::Functions::<V>::COPY,
        }
    }

    #[cfg(target_arch = "x86_64")]
    pub(crate) const fn avx512<V: Lanes<Element = T, Proof = Avx512>>(_: Avx512) -> Self {
        Self {
            isa: "avx512",
            lanes: V::COUNT,
            tiles: tile::TilesAvx512::<V>::TILES,
            heights: heights(tile::TilesAvx512::<V>::TILES),
            dots: few::avx512::Functions::<V>::DOTS,
            streams: few::avx512::Functions::<V>::STREAMS,
            short: few::avx512::Functions::<V>::SHORT,
            each: few::avx512::Functions::<V>::EACH,
            each_by_dots: few::avx512::Functions::<V>::EACH_BY_DOTS,
            squares: few::avx512::Functions::<V>::SQUARES,
            copy: few::avx512::Functions::<V>::COPY,
        }
    }

    /// `{architecture}-{type}-{instruction set}-gemm`, for people.
    #[must_use]
    pub fn name(&self) -> String {
        let architecture = std::env::consts::ARCH;
        let bits = 8 * size_of::<T>();
        format!("{architecture}-f{bits}-{}-gemm", self.isa)
    }

    /// Rows of the tiles of full width.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.height(self.tiles[0].len())
    }

    /// Rows of the largest tile of this many vectors a row: narrow tiles may be higher.
    fn height(&self, vectors: usize) -> usize {
        self.heights[vectors - 1]
    }

    /// Columns of the widest tile, which is the width of a packed sliver of B.
    #[must_use]
    pub fn columns(&self) -> usize {
        self.tiles[0].len() * self.lanes
    }
}

/// Vectors in a row of the widest tile of all instruction sets.
const WIDEST: usize = 4;

const fn heights<T: 'static>(tiles: &[&[TileFn<T>]]) -> [usize; WIDEST] {
    let mut heights = [0; WIDEST];
    let mut rows = 0;
    while rows < tiles.len() {
        let mut vectors = 0;
        while vectors < tiles[rows].len() {
            heights[vectors] = rows + 1;
            vectors += 1;
        }
        rows += 1;
    }
    heights
}

/// What happens to an element of C after its last term: `bias` of its column is added, then the
/// activation applied.
#[derive(Clone, Copy, Debug)]
pub struct Epilogue<'a, T> {
    /// One summand a column, or none.
    pub bias: Option<&'a [T]>,
    /// Applied last, if any.
    pub activation: Option<Activation>,
}
