//! Products of float32 from pieces of bfloat16, C = A·B or C += A·B on one thread, where the CPU multiplies those so
//! much faster that six products of pieces take less time than one of the numbers.
//!
//! A number of 24 bits is the sum of three pieces of eight: x = x₁ + x₂ + x₃, each the nearest to what is left. Of the
//! nine products of pieces, a₁b₁, a₁b₂, a₂b₁, a₁b₃, a₂b₂ and a₃b₁ are summed; what is left out is below 2⁻²⁵·|a·b|.
//! The way is that of G. Henry, P. T. P. Tang, A. Heinecke, *Leveraging the bfloat16 Artificial Intelligence Datatype
//! For Higher-Precision Computations*, ARITH 2019.
//!
//! **Error.** Products of pieces are exact in float32. A tile instruction sums sixteen pairs of terms, the first
//! and the second ones by themselves, then both, then what was there; so a sum of k terms rounds each of its parts at most
//! 18 + 6·⌈k/32⌉ times, and is within (γ of that many, with 1 + 2⁻⁶ for the pieces' sizes, plus 2⁻²⁵)·Σ|aᵢ·bᵢ| of the
//! truth (Higham 2002, section 3.1). Subnormal pieces and sums are zero: an element may be off by
//! 2⁻¹²⁶·Σ(|aᵢ| + |bᵢ| + 8), too. A number that is not finite, or rounds up to 2¹²⁸ as bfloat16, makes NaN of all sums that it
//! is in.
//!
//! **Bits.** An element of C depends on its row of A, its column of B and where the caller cuts k into steps, and on
//! nothing else.
//!
//! Operands are packed: a *panel* is [`SIDE`] rows of A, or columns of B; a *step* is as many terms, for which a panel
//! has [`STEP`] units of two pieces each: six tiles, two for each piece. A packed matrix has a row for each panel and
//! its steps one after the other along it, so that some steps, or some panels, are a part of it.
//!
//! `scalar` has the definition, `pack` makes pieces, `amx` multiplies them.

#[cfg(target_arch = "x86_64")]
mod amx;
#[cfg(target_arch = "x86_64")]
mod pack;
#[cfg(test)]
mod scalar;
#[cfg(test)]
mod tests;

use ndarray::{ArrayView2, ArrayViewMut2, Axis};

use crate::{Element, Isa};

/// Rows of A or columns of B in a panel, and terms of a step.
pub const SIDE: usize = 32;

/// Units that a panel has for a step.
pub const STEP: usize = 3 * SIDE * SIDE / 2;

/// Packs a square of up to [`SIDE`] lines and terms, the rest of it zeros.
///
/// # Safety
///
/// The CPU has the instruction set of the function. Element p of line i is readable at `i·line + p·term` from the first,
/// for all lines and terms; `to` is writable for [`STEP`] units.
type PackFn<T> = unsafe fn(&Square<T>, *mut u32);

/// Computes a panel of C.
///
/// # Safety
///
/// The CPU has the instruction set of the function, and this process may use it. The units of all steps are readable;
/// the rows and columns of C are readable and writable, and no other reference to them is in use.
type BlockFn<T> = unsafe fn(&Block<T>);

/// Lines, along which terms run: rows of A, or columns of B.
struct Square<T> {
    first: *const T,
    lines: usize,
    terms: usize,
    /// From a line to the next, and from a term to the next.
    line: isize,
    term: isize,
}

/// Which operand lies farther away than the second-level cache: its panels are read once, one after the other, and the
/// next one is asked for meanwhile; those of the other are read again for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Far {
    /// A.
    Left,
    /// B.
    Right,
}

/// Rows and columns of C, in panels, and what they are computed from.
struct Block<T> {
    steps: usize,
    /// The first panel, and units from a panel to the next.
    left: (*const u32, isize),
    right: (*const u32, isize),
    c: *mut T,
    c_row: isize,
    rows: usize,
    columns: usize,
    accumulate: bool,
    far: Far,
}

/// The kernels for one number type.
#[derive(Clone, Copy, Debug)]
pub struct Kernel<T: 'static> {
    pack_left: PackFn<T>,
    pack_right: PackFn<T>,
    block: BlockFn<T>,
}

impl Kernel<f32> {
    /// Those of float32, where they are faster than products of float32.
    pub(crate) const fn float32(isa: Isa) -> Option<Self> {
        match isa {
            #[cfg(target_arch = "x86_64")]
            Isa::Amx(_) => {
                Some(Self { pack_left: pack::left, pack_right: pack::right, block: amx::block })
            }
            _ => None,
        }
    }
}

/// Panels of so many rows or columns, and units of so many terms in each.
#[must_use]
pub const fn packed(lines: usize, terms: usize) -> (usize, usize) {
    (lines.div_ceil(SIDE), terms.div_ceil(SIDE) * STEP)
}

impl<T: Element> Kernel<T> {
    /// Packs rows of A.
    ///
    /// # Panics
    ///
    /// If `to` has not the shape that [`packed`] says, or its rows have gaps.
    pub fn pack_left(&self, a: ArrayView2<'_, T>, to: ArrayViewMut2<'_, u32>) {
        pack(self.pack_left, a, to);
    }

    /// Packs columns of B.
    ///
    /// # Panics
    ///
    /// As [`Kernel::pack_left`].
    pub fn pack_right(&self, b: ArrayView2<'_, T>, to: ArrayViewMut2<'_, u32>) {
        pack(self.pack_right, b.reversed_axes(), to);
    }

    /// C = A·B, or C += A·B, of packed rows and columns. `far` changes no bit.
    ///
    /// # Panics
    ///
    /// If the operands have not as many panels as C has rows and columns, or not the same steps; if their rows or those of C
    /// have gaps.
    pub fn multiply(
        &self,
        left: ArrayView2<'_, u32>,
        right: ArrayView2<'_, u32>,
        mut c: ArrayViewMut2<'_, T>,
        accumulate: bool,
        far: Far,
    ) {
        let (rows, columns) = c.dim();
        let units = left.ncols();
        assert_eq!(left.dim(), (rows.div_ceil(SIDE), units), "panels of {rows} rows");
        assert_eq!(right.dim(), (columns.div_ceil(SIDE), units), "panels of {columns} columns");
        assert!(units.is_multiple_of(STEP), "{units} units are no whole steps");
        let dense = |operand: &ArrayView2<'_, u32>| operand.strides()[1] == 1 || operand.is_empty();
        assert!(dense(&left) && dense(&right), "packed rows without gaps");
        assert!(c.strides()[1] == 1 || columns <= 1 || c.is_empty(), "columns of C are adjacent");
        let block = Block {
            steps: units / STEP,
            left: (left.as_ptr(), left.strides()[0]),
            right: (right.as_ptr(), right.strides()[0]),
            c_row: c.strides()[0],
            c: c.as_mut_ptr(),
            rows,
            columns,
            accumulate,
            far,
        };
        // SAFETY: a kernel is only made with the proof of its instruction set. There are as many panels as rows
        // and columns need, each with these steps; C is borrowed mutably, and its columns are adjacent.
        unsafe { (self.block)(&block) };
    }
}

/// Packs lines, square by square, along the direction in which they lie in memory.
fn pack<T>(function: PackFn<T>, from: ArrayView2<'_, T>, mut to: ArrayViewMut2<'_, u32>) {
    let (lines, terms) = from.dim();
    assert_eq!(to.dim(), packed(lines, terms), "room for {lines} lines of {terms}");
    assert!(to.strides()[1] == 1 || to.is_empty(), "packed rows without gaps");
    let square = |panel: usize, step: usize, to: &mut ArrayViewMut2<'_, u32>| {
        let (line, term) = (panel * SIDE, step * SIDE);
        let strides = (from.strides()[0], from.strides()[1]);
        let first = from.as_ptr().wrapping_offset(line as isize * strides.0);
        let square = Square {
            first: first.wrapping_offset(term as isize * strides.1),
            lines: SIDE.min(lines - line),
            terms: SIDE.min(terms - term),
            line: strides.0,
            term: strides.1,
        };
        let mut row = to.index_axis_mut(Axis(0), panel);
        let units = row.as_slice_mut().unwrap_or_default();
        let place = units[step * STEP..][..STEP].as_mut_ptr();
        // SAFETY: a kernel is only made with the proof of its instruction set; these lines and terms lie in the view,
        // and the place has a step's units.
        unsafe { function(&square, place) };
    };
    let (panels, steps) = (lines.div_ceil(SIDE), terms.div_ceil(SIDE));
    if from.strides()[1] == 1 {
        for panel in 0..panels {
            (0..steps).for_each(|step| square(panel, step, &mut to));
        }
    } else {
        for step in 0..steps {
            (0..panels).for_each(|panel| square(panel, step, &mut to));
        }
    }
}
