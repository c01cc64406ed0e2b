//! Products of rows of numbers with rows of a matrix that is read where it lies, on one thread.
//!
//! yᵢᵣ = Σⱼ wᵣⱼ·xᵢⱼ for inputs x of float32 and weights w of float32, float16 or bfloat16, which float32 holds exactly.
//! Both are contiguous along j, so neither is packed: lanes run along j, a tile of four rows of weights by up to six
//! rows of inputs stays in registers, and lanes are added up once an element. Of few rows of inputs that is as
//! fast as memory gives the weights; of many it is a product of tiles.
//!
//! **Error.** At most γₙ·Σⱼ |wᵣⱼ·xᵢⱼ| with n = ⌈k/4⌉ + 6, barring overflow and underflow (Higham 2002, section 3.1): the
//! longest chain of a lane, on the narrowest vectors, and the sum of the lanes.
//!
//! **Bits.** An element depends on its row of inputs, its row of weights and the instruction set; not on the
//! rows beside them.
//!
//! `scalar` is the definition, in double precision; `tile` its twin on vector units.

#[cfg(test)]
mod scalar;
#[cfg(test)]
mod tests;
mod tile;

use std::ops::Range;

use half::{bf16, f16};
use ndarray::{ArrayView2, ArrayViewMut2};

use crate::Isa;
use crate::simd::portable::Portable;
#[cfg(target_arch = "x86_64")]
use crate::simd::{avx2::F32x8, avx512::F32x16};
use tile::{INPUTS, OUTPUTS, Strip, TileFn};

/// What weights are stored as.
pub trait Weight: Copy + Default + Send + Sync + 'static {
    /// NumPy's name of the type.
    const NAME: &'static str;

    /// The kernel for this type on `isa`.
    fn dense(isa: Isa) -> Dense<Self>;
}

/// The kernel for weights of one type on one instruction set.
#[derive(Clone, Copy, Debug)]
pub struct Dense<S: 'static> {
    /// `tiles[rows - 1]` takes so many rows of inputs.
    tiles: [TileFn<S>; INPUTS],
}

impl<S: Weight> Dense<S> {
    /// The products of all rows of inputs with some rows of weights: `y` has a row for each row of inputs, with an
    /// element for each row of weights.
    ///
    /// # Panics
    ///
    /// If sizes disagree, or the rows of an operand are not contiguous.
    pub fn multiply(
        &self,
        x: ArrayView2<'_, f32>,
        weights: ArrayView2<'_, S>,
        rows: Range<usize>,
        mut y: ArrayViewMut2<'_, f32>,
    ) {
        let (m, k) = x.dim();
        assert_eq!(weights.ncols(), k, "a weight for each number of a row of inputs");
        assert_eq!(y.dim(), (m, rows.len()), "a place for each element");
        if y.is_empty() {
            return;
        }
        // Many rows of inputs go past in tiles, as even as can be.
        let tiles = m.div_ceil(INPUTS);
        for tile in 0..tiles {
            let some = tile * m / tiles..(tile + 1) * m / tiles;
            // What of the inputs is not there is not taken, either.
            let inputs: [&[f32]; INPUTS] =
                std::array::from_fn(|i| contiguous(&x, (some.start + i).min(some.end - 1)));
            let compute = self.tiles[some.len() - 1];
            for first in (0..rows.len()).step_by(OUTPUTS) {
                // The last row of a number that is no multiple of four is taken more than once.
                let row = |r: usize| rows.start + (first + r).min(rows.len() - 1);
                let weights = std::array::from_fn(|r| contiguous(&weights, row(r)));
                // SAFETY: a kernel is only made with the proof of its instruction set.
                let sums = unsafe { compute(&Strip { inputs, weights }) };
                for (i, sums) in some.clone().zip(&sums) {
                    for (j, sum) in (first..rows.len()).zip(sums) {
                        y[[i, j]] = *sum;
                    }
                }
            }
        }
    }
}

/// A row of a matrix.
fn contiguous<'a, T>(matrix: &'a ArrayView2<'_, T>, row: usize) -> &'a [T] {
    let row = matrix.row(row).to_slice();
    row.unwrap_or_else(|| panic!("rows are contiguous"))
}

macro_rules! weights {
    ($($stored:ty: $name:literal),*) => {$(
        impl Weight for $stored {
            const NAME: &'static str = $name;

            fn dense(isa: Isa) -> Dense<$stored> {
                let tiles = match isa {
                    Isa::Scalar => tile::portable::<Portable<f32, 4>, $stored>(),
                    #[cfg(target_arch = "x86_64")]
                    Isa::Avx2(proof) => tile::avx2::<F32x8, $stored>(proof),
                    #[cfg(target_arch = "x86_64")]
                    Isa::Avx512(proof) => tile::avx512::<F32x16, $stored>(proof),
                    #[cfg(target_arch = "x86_64")]
                    Isa::Amx(proof) => tile::avx512::<F32x16, $stored>(proof.avx512()),
                };
                Dense { tiles }
            }
        }
    )*};
}

weights!(f32: "float32", f16: "float16", bf16: "bfloat16");
