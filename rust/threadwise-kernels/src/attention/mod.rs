//! Attention of some queries to a page of keys and values.
//!
//! o = Σⱼ wⱼ·vⱼ/Σⱼ wⱼ with wⱼ = exp(q·kⱼ), over the keys that the query sees: A. Vaswani and others, *Attention Is
//! All You Need*, 2017, arXiv:1706.03762; the query comes multiplied by its scale. Pages follow one another, and
//! what a row has seen of them is a [`State`]: the largest exponent m, the sum of the weights exp(q·kⱼ − m),
//! and their sum of values, which are rescaled when m grows (M. Milakov, N. Gimelshein, *Online normalizer
//! calculation for softmax*, 2018, arXiv:1805.02867; in tiles, T. Dao and others, `FlashAttention`, 2022,
//! arXiv:2205.14135). States of distinct pages are united by [`State::unite`].
//!
//! **Layout.** A [`Layout`] says how a page lies in memory. Keys are in tiles of 16 tokens, transposed: number
//! d of all of them, then number d + 1, so that lanes are tokens and a query's number is broadcast. Values
//! are rows, padded to 16. Both may be float32, float16 or int8, the last with one scale for each token.
//! Several rows that see the same keys, as all query heads of a group do, are computed together: each
//! key is read once for up to six of them.
//!
//! **Error.** Let σ bound Σ|qᵢ·kᵢ| over the keys that a row sees, n their number, e the width, u the unit
//! roundoff. An exponent is off by at most γₑ₊₁σ, its difference to m by 2σu more, exp by two units in
//! the last place; m grows at most once in 128 keys, and each time costs as much. So a weight is off by
//! (e + 5)·σu + 4u·(1 + n/128 + 1), and the quotient of two sums of n of them by twice that and 2n roundings:
//! |error| ≤ 2·((e + 5)·σ + 1.1·n + 12)·u·maxⱼ|vⱼ| to first order. Numbers that are read from narrower types
//! are exact; what their rounding costs is the cache's affair, not this kernel's.
//!
//! **Bits.** Those of a row depend on its query, on the keys and values it sees and where they lie in their
//! pages, on the order of pages, and on the instruction set; not on the rows beside it.
//!
//! [`scalar`] is the definition, computed in double precision; [`lanes`] its twin on vector units.

mod lanes;
mod layout;
mod product;
#[cfg(test)]
mod scalar;
mod state;

#[cfg(test)]
mod tests;

use std::fmt::Debug;
use std::ops::Range;

use bytemuck::Pod;
use half::f16;

use crate::Isa;
use crate::simd::portable::Portable;

pub use layout::{Layout, Page, PageMut, TILE};
pub use state::State;

/// Keys that are weighted at a time: their weights and, of one head, they themselves stay in the first- or
/// second-level cache.
const BLOCK: usize = 128;

/// What keys and values are stored as.
pub trait Stored: Pod + Default + Debug + Send + Sync {
    /// NumPy's name of the type.
    const NAME: &'static str;
    /// Whether each token has a scale of its own.
    const IS_SCALED: bool;

    /// Stores a row as `stored · scale`, and says what the scale is: 1, unless there are scales.
    ///
    /// # Panics
    ///
    /// If the rows differ in length.
    fn store(row: &[f32], stored: &mut [Self]) -> f32;

    /// The kernel for this type on `isa`.
    fn attention(isa: Isa) -> Attention<Self>;
}

impl Stored for f32 {
    const NAME: &'static str = "float32";
    const IS_SCALED: bool = false;

    fn store(row: &[f32], stored: &mut [f32]) -> f32 {
        stored.copy_from_slice(row);
        1.0
    }

    fn attention(isa: Isa) -> Attention<f32> {
        Attention::<f32>::new(isa)
    }
}

impl Stored for f16 {
    const NAME: &'static str = "float16";
    const IS_SCALED: bool = false;

    fn store(row: &[f32], stored: &mut [f16]) -> f32 {
        use half::slice::HalfFloatSliceExt;
        stored.convert_from_f32_slice(row);
        1.0
    }

    fn attention(isa: Isa) -> Attention<f16> {
        Attention::<f16>::new(isa)
    }
}

impl Stored for i8 {
    const NAME: &'static str = "int8";
    const IS_SCALED: bool = true;

    /// The scale is max|x|/127, each number to the nearest multiple, so off by half of it at most.
    fn store(row: &[f32], stored: &mut [i8]) -> f32 {
        assert_eq!(row.len(), stored.len(), "a place for each number");
        let largest = row.iter().fold(0.0_f32, |largest, x| largest.max(x.abs()));
        let scale = largest / 127.0;
        let inverse = if scale > 0.0 { 1.0 / scale } else { 0.0 };
        for (x, stored) in row.iter().zip(stored) {
            #[expect(clippy::cast_possible_truncation, reason = "at most 127 in magnitude")]
            let nearest = (x * inverse).round_ties_even() as i8;
            *stored = nearest;
        }
        // Not finite is not a number to multiply with: attention to it is not a number either.
        if largest.is_finite() { scale } else { f32::NAN }
    }

    fn attention(isa: Isa) -> Attention<i8> {
        Attention::<i8>::new(isa)
    }
}

/// Attends: see [`Attention::attend`].
///
/// # Safety
///
/// The CPU has the instruction set of the function.
type AttendFn<S> = unsafe fn(Task<'_, S>);

/// What one call attends to, checked.
struct Task<'a, S> {
    layout: Layout,
    page: Page<'a, S>,
    queries: &'a [f32],
    seen: &'a [Range<usize>],
    state: State<'a>,
    scores: &'a mut [f32],
}

/// The kernel for keys and values of one type on one instruction set.
#[derive(Clone, Copy, Debug)]
pub struct Attention<S: 'static> {
    attend: AttendFn<S>,
}

impl<S: Stored> Attention<S> {
    /// Adds to the state of each row what it sees of the page. `queries` has a row of `layout.width()` numbers for
    /// each, multiplied by their scale; row r sees the tokens `seen[r]` of the page. `scores` is scratch memory.
    ///
    /// # Panics
    ///
    /// If the lengths do not fit, or a range goes beyond the page.
    pub fn attend(
        &self,
        layout: Layout,
        page: Page<'_, S>,
        queries: &[f32],
        seen: &[Range<usize>],
        state: State<'_>,
        scores: &mut [f32],
    ) {
        assert_eq!(queries.len(), seen.len() * layout.width(), "a row of queries for each range");
        assert_eq!(state.rows(), seen.len(), "a state for each row");
        assert!(seen.iter().all(|seen| seen.end <= layout.tokens()), "tokens of the page");
        assert!(scores.len() >= Self::scratch(seen.len()), "scratch memory");
        layout.expect(&page);
        state.expect(layout);
        // SAFETY: a kernel is only made with the proof of its instruction set.
        unsafe { (self.attend)(Task { layout, page, queries, seen, state, scores }) }
    }

    /// Numbers of scratch memory that so many rows need.
    #[must_use]
    pub const fn scratch(rows: usize) -> usize {
        rows * BLOCK
    }
}

macro_rules! kernels {
    ($($stored:ty),*) => {$(
        impl Attention<$stored> {
            fn new(isa: Isa) -> Self {
                let attend: AttendFn<$stored> = match isa {
                    Isa::Scalar => lanes::portable::<Portable<f32, 4>, $stored>,
                    #[cfg(target_arch = "x86_64")]
                    Isa::Avx2(_) => lanes::avx2::<$stored>,
                    #[cfg(target_arch = "x86_64")]
                    Isa::Avx512(_) | Isa::Amx(_) => lanes::avx512::<$stored>,
                };
                Self { attend }
            }
        }
    )*};
}

kernels!(f32, f16, i8);
