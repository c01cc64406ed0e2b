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
//! column of B, which of the two ways is taken and where the caller cuts k, and on nothing else.
//!
//! `block` is the loop over tiles, `tile` the inner kernel, `pack` the copies that make B's columns
//! and A's rows contiguous, `few` the kernels for products of few rows.

mod block;
mod few;
pub(crate) mod pack;
mod tile;

#[cfg(test)]
mod tests;

use crate::Activation;
use crate::element::Element;
use crate::simd::Lanes;
#[cfg(target_arch = "x86_64")]
use crate::{Avx2, Avx512};
use few::FewFn;
use pack::SquareFn;
use tile::TileFn;

pub use block::{Finish, Left, Right};

/// The inner kernel for one element type on one instruction set: its tiles and how it is packed.
#[derive(Clone, Copy, Debug)]
pub struct Kernel<T: 'static> {
    isa: &'static str,
    lanes: usize,
    /// `tiles[rows - 1][vectors - 1]` computes a tile of that size; the more rows, the fewer vectors.
    tiles: &'static [&'static [TileFn<T>]],
    /// `dots[rows - 1]` and `streams[rows - 1]` compute a product of that many rows.
    dots: &'static [FewFn<T>; few::ROWS],
    streams: &'static [FewFn<T>; few::ROWS],
    /// Transposes a square of `lanes` by `lanes`.
    square: SquareFn<T>,
}

impl<T: Element> Kernel<T> {
    pub(crate) const fn portable<V: Lanes<Element = T, Proof = ()>>() -> Self {
        Self {
            isa: "scalar",
            lanes: V::COUNT,
            tiles: tile::Portable::<V>::TILES,
            dots: few::portable::Functions::<V>::DOTS,
            streams: few::portable::Functions::<V>::STREAMS,
            square: few::portable::Functions::<V>::SQUARE,
        }
    }

    #[cfg(target_arch = "x86_64")]
    pub(crate) const fn avx2<V: Lanes<Element = T, Proof = Avx2>>(_: Avx2) -> Self {
        Self {
            isa: "avx2",
            lanes: V::COUNT,
            tiles: tile::TilesAvx2::<V>::TILES,
            dots: few::avx2::Functions::<V>::DOTS,
            streams: few::avx2::Functions::<V>::STREAMS,
            square: few::avx2::Functions::<V>::SQUARE,
        }
    }

    #[cfg(target_arch = "x86_64")]
    pub(crate) const fn avx512<V: Lanes<Element = T, Proof = Avx512>>(_: Avx512) -> Self {
        Self {
            isa: "avx512",
            lanes: V::COUNT,
            tiles: tile::TilesAvx512::<V>::TILES,
            dots: few::avx512::Functions::<V>::DOTS,
            streams: few::avx512::Functions::<V>::STREAMS,
            square: few::avx512::Functions::<V>::SQUARE,
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
        self.tiles.partition_point(|widths| widths.len() >= vectors)
    }

    /// Rows that [`Kernel::dots`] and [`Kernel::streams`] take.
    #[must_use]
    pub const fn few(&self) -> usize {
        few::ROWS
    }

    /// Columns of the widest tile, which is the width of a packed sliver of B.
    #[must_use]
    pub fn columns(&self) -> usize {
        self.tiles[0].len() * self.lanes
    }
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
