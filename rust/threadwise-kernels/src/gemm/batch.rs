//! Small products that are alike in sizes and strides.

use ndarray::{ArrayView3, ArrayViewMut3};

use super::Kernel;
use super::few::{Each, Few};
use crate::element::Element;

impl<T: Element> Kernel<T> {
    /// C = A·B for each of some products, along the first axes: the sums of [`Kernel::multiply`], without its pains for
    /// large ones. `room` is as long as [`Kernel::turned`] says.
    ///
    /// # Panics
    ///
    /// If the sizes of the operands disagree, adjacent columns of C, or neither adjacent columns nor adjacent rows of
    /// B, are adjacent in memory, or `room` has another length.
    pub fn multiply_each(
        &self,
        a: ArrayView3<'_, T>,
        b: ArrayView3<'_, T>,
        mut c: ArrayViewMut3<'_, T>,
        room: &mut [T],
    ) {
        assert!(c.strides()[2] == 1 || c.dim().2 <= 1 || c.is_empty(), "columns of C are adjacent");
        assert_eq!(room.len(), self.turned(b), "room for a B");
        let is_turned = !has_rows(b);
        assert!(!is_turned || b.strides()[1] == 1, "columns or rows of B are adjacent");
        let turned = if is_turned { room.as_mut_ptr() } else { std::ptr::null_mut() };
        if let Some(each) = each(a, b, c.view_mut(), if is_turned { 2 } else { 1 }, turned) {
            // SAFETY: a kernel is only made with the proof of its instruction set. The views have these sizes and
            // strides, C is borrowed mutably, and there is room for a B if it needs to be turned.
            unsafe { (self.each)(&each) };
        }
    }

    /// [`Kernel::dots`] for each of some products, without an epilogue, which replace C.
    ///
    /// # Panics
    ///
    /// If the sizes of the operands disagree, or adjacent columns of A or rows of B are not adjacent in memory.
    pub fn dots_each(
        &self,
        a: ArrayView3<'_, T>,
        b: ArrayView3<'_, T>,
        mut c: ArrayViewMut3<'_, T>,
    ) {
        let k = a.dim().2;
        assert!(a.strides()[2] == 1 || k <= 1 || a.is_empty(), "columns of A are adjacent");
        assert!(b.strides()[1] == 1 || k <= 1 || b.is_empty(), "rows of B are adjacent");
        if let Some(each) = each(a, b, c.view_mut(), 2, std::ptr::null_mut()) {
            // SAFETY: a kernel is only made with the proof of its instruction set. The views have these sizes and
            // strides, and C is borrowed mutably.
            unsafe { (self.each_by_dots)(&each) };
        }
    }

    /// Elements of the room that [`Kernel::multiply_each`] needs for such Bs.
    #[must_use]
    pub fn turned(&self, b: ArrayView3<'_, T>) -> usize {
        let (_, depth, columns) = b.dim();
        let whole = |extent: usize| extent.next_multiple_of(self.lanes);
        if has_rows(b) { 0 } else { whole(depth) * whole(columns) }
    }
}

/// Whether rows of B are contiguous.
fn has_rows<T>(b: ArrayView3<'_, T>) -> bool {
    b.strides()[2] == 1 || b.dim().2 <= 1 || b.is_empty()
}

/// The products as the functions take them, with that stride of B; none if C is empty.
///
/// # Panics
///
/// If the sizes of the operands disagree.
fn each<T>(
    a: ArrayView3<'_, T>,
    b: ArrayView3<'_, T>,
    mut c: ArrayViewMut3<'_, T>,
    stride: usize,
    turned: *mut T,
) -> Option<Each<T>> {
    let (count, rows, columns) = c.dim();
    let depth = a.dim().2;
    assert_eq!(a.dim(), (count, rows, depth), "as many As, with as many rows as C");
    assert_eq!(b.dim(), (count, depth, columns), "as many Bs, with as many columns as C");
    let first = Few {
        depth,
        rows,
        columns,
        a: a.as_ptr(),
        a_row: a.strides()[1],
        a_step: a.strides()[2],
        b: b.as_ptr(),
        b_stride: b.strides()[stride],
        c_row: c.strides()[1],
        c_step: c.strides()[2],
        c: c.as_mut_ptr(),
        accumulate: false,
        bias: std::ptr::null(),
        activation: None,
    };
    let next = [a.strides()[0], b.strides()[0], c.strides()[0]];
    (!c.is_empty()).then_some(Each { first, count, next, turned })
}
