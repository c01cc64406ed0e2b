//! Products that are alike in shapes and strides, one after the other on the calling thread, planned once.

use ndarray::{ArrayView2, ArrayView3, ArrayViewMut3, Axis};
use threadwise_kernels::gemm::{Epilogue, Finish, Kernel, Right};
use threadwise_runtime::with_scratch;

use super::Real;
use super::batch::unfit;
use super::plan::{Form, Left, Plan};
use super::product::multiply;
use super::way::{Target, Way, layout};
use crate::{Context, Error};

/// Multiply-adds up to which all products are computed in one call.
const TINY: usize = 32768;

/// Elements of some Bs or Cs that are copied at a time, so that the copies stay in the nearest cache.
const NEAR: usize = 4096;

/// `c = f(a @ b + bias)` for each, the sums of [`multiply`].
pub(super) fn each<T: Real>(
    a: ArrayView3<'_, T>,
    b: ArrayView3<'_, T>,
    mut c: ArrayViewMut3<'_, T>,
    epilogue: Epilogue<'_, T>,
    context: &Context<'_>,
) -> Result<(), Error> {
    if c.is_empty() {
        return Ok(());
    }
    let kernel = T::gemm(context.isa);
    let is_plain = epilogue.bias.is_none() && epilogue.activation.is_none();
    if is_plain && tiny(&kernel, a, b, c.view_mut())? {
        return Ok(());
    }
    let (first, c_step) = (Axis(0), c.strides()[2]);
    let form = at_once(&kernel, a.index_axis(first, 0), b.index_axis(first, 0), c_step);
    let finish = Finish { accumulate: false, epilogue: Some(epilogue) };
    for ((a, b), c) in a.outer_iter().zip(b.outer_iter()).zip(c.outer_iter_mut()) {
        match form {
            Some(Form::Tiles) => kernel.multiply(a, Right::InPlace(b), c, finish),
            Some(Form::Dots) => kernel.dots(a, b, c, finish),
            Some(Form::Streams) => kernel.streams(a, b, c, finish),
            None => multiply(a, b, c, epilogue, context)?,
        }
    }
    Ok(())
}

/// All products, whose C is not empty, in one call, if they are so small that each by itself would be over before
/// its call has paid, or whether they were not.
fn tiny<'a, T: Real>(
    kernel: &Kernel<T>,
    mut a: ArrayView3<'a, T>,
    mut b: ArrayView3<'a, T>,
    mut c: ArrayViewMut3<'_, T>,
) -> Result<bool, Error> {
    let ((_, m, n), k) = (c.dim(), a.dim().2);
    if m.saturating_mul(n).saturating_mul(k) > TINY {
        return Ok(false);
    }
    let strides = [c.strides()[1], c.strides()[2]];
    let plain: Epilogue<'_, T> = Epilogue { bias: None, activation: None };
    let way = Way::of(
        a.index_axis(Axis(0), 0),
        b.index_axis(Axis(0), 0),
        Target::new((m, n), strides, plain),
    );
    match way {
        Way::Rows => (),
        Way::Narrow if b.strides()[1] != 1 => return narrow(kernel, a, b, c),
        Way::Columns | Way::Narrow => {
            (a, b) = (b.permuted_axes([0, 2, 1]), a.permuted_axes([0, 2, 1]));
            c = c.permuted_axes([0, 2, 1]);
        }
        Way::Copied => return copied(kernel, a, b, c),
        Way::Wide => return Ok(false),
    }
    let ((_, m, n), strides) = (c.dim(), [b.strides()[1], b.strides()[2]]);
    let layout = layout(a.index_axis(Axis(0), 0), b.index_axis(Axis(0), 0));
    let plan = match way {
        Way::Narrow => Plan::dots(kernel, (m, k, n), 1),
        _ => Plan::new(kernel, (m, k, n), layout, 1),
    };
    let is_whole = k <= plan.depth.min(plan.chunk);
    match plan.form {
        Form::Dots if is_whole => kernel.dots_each(a, b, c),
        Form::Tiles if is_whole && (strides.contains(&1) || n == 1) => {
            with_scratch(kernel.turned(b), |room: &mut [T]| kernel.multiply_each(a, b, c, room))?;
        }
        Form::Tiles if is_whole => spread(kernel, a, b, c)?,
        _ => return Ok(false),
    }
    Ok(true)
}

/// [`tiny`] for Cs of which neither rows nor columns are contiguous: they are computed elsewhere, some at a time.
fn copied<T: Real>(
    kernel: &Kernel<T>,
    a: ArrayView3<'_, T>,
    b: ArrayView3<'_, T>,
    mut c: ArrayViewMut3<'_, T>,
) -> Result<bool, Error> {
    let (count, m, n) = c.dim();
    let some = (NEAR / (m * n)).clamp(1, count);
    with_scratch(some * m * n, |room: &mut [T]| {
        let products = a.axis_chunks_iter(Axis(0), some).zip(b.axis_chunks_iter(Axis(0), some));
        for ((a, b), mut c) in products.zip(c.axis_chunks_iter_mut(Axis(0), some)) {
            let sums = ArrayViewMut3::from_shape(c.dim(), &mut room[..c.len()]);
            let mut sums = sums.map_err(|_| unfit(c.shape()))?;
            // They are alike, so that the first ones decide for all.
            if !tiny(kernel, a, b, sums.view_mut())? {
                return Ok(false);
            }
            c.assign(&sums);
        }
        Ok(true)
    })?
}

/// [`tiny`] for narrow Cs: the columns of Bs are copied, some at a time.
fn narrow<T: Real>(
    kernel: &Kernel<T>,
    a: ArrayView3<'_, T>,
    b: ArrayView3<'_, T>,
    mut c: ArrayViewMut3<'_, T>,
) -> Result<bool, Error> {
    let (count, k, n) = b.dim();
    let some = (NEAR / (k * n)).clamp(1, count);
    with_scratch(some * k * n, |room: &mut [T]| {
        let products = a.axis_chunks_iter(Axis(0), some).zip(b.axis_chunks_iter(Axis(0), some));
        for ((a, b), c) in products.zip(c.axis_chunks_iter_mut(Axis(0), some)) {
            let room = &mut room[..b.len()];
            for (b, room) in b.outer_iter().zip(room.chunks_exact_mut(k * n)) {
                kernel.copy_left(b.reversed_axes(), room);
            }
            let columns = ArrayView3::from_shape((b.dim().0, n, k), &*room);
            let columns = columns.map_err(|_| unfit(b.shape()))?.permuted_axes([0, 2, 1]);
            // They are alike, so that the first ones decide for all.
            if !tiny(kernel, a, columns, c)? {
                return Ok(false);
            }
        }
        Ok(true)
    })?
}

/// All products with Bs of which neither rows nor columns are contiguous: they are copied, some at a time.
fn spread<T: Real>(
    kernel: &Kernel<T>,
    a: ArrayView3<'_, T>,
    b: ArrayView3<'_, T>,
    mut c: ArrayViewMut3<'_, T>,
) -> Result<(), Error> {
    let (count, k, n) = b.dim();
    let some = (NEAR / (k * n).max(1)).clamp(1, count);
    with_scratch(some * k * n, |room: &mut [T]| {
        let products = a.axis_chunks_iter(Axis(0), some).zip(b.axis_chunks_iter(Axis(0), some));
        for ((a, b), c) in products.zip(c.axis_chunks_iter_mut(Axis(0), some)) {
            let room = &mut room[..b.len()];
            // Where the same elements of all Bs are beside one another, they are turned in registers.
            let mut flat = b.view();
            if b.strides()[0] == 1 && flat.merge_axes(Axis(1), Axis(2)) {
                kernel.copy_left(flat.index_axis_move(Axis(1), 0), room);
            } else {
                ArrayViewMut3::from_shape(b.dim(), &mut *room)
                    .map_err(|_| unfit(b.shape()))?
                    .assign(&b);
            }
            let copy = ArrayView3::from_shape(b.dim(), &*room).map_err(|_| unfit(b.shape()))?;
            kernel.multiply_each(a, copy, c, &mut []);
        }
        Ok(())
    })?
}

/// The form of a product, whose C is not empty, that is a single call of the kernel with the operands as they lie.
fn at_once<T: Real>(
    kernel: &Kernel<T>,
    a: ArrayView2<'_, T>,
    b: ArrayView2<'_, T>,
    c_step: isize,
) -> Option<Form> {
    let ((m, k), n) = (a.dim(), b.ncols());
    let layout = layout(a, b);
    if c_step != 1 || n == 1 || Plan::is_narrow::<T>((m, k, n), layout) {
        return None;
    }
    let plan = Plan::new(kernel, (m, k, n), layout, 1);
    let is_whole = m <= plan.rows.min(plan.block) && n <= plan.columns && k <= plan.depth;
    (is_whole && !plan.pack_right && plan.left == Left::InPlace).then_some(plan.form)
}
