//! From the sums of a piece to its part of C, whatever the strides of that.

use ndarray::{ArrayViewMut2, Axis};
use threadwise_kernels::gemm::Epilogue;
use threadwise_kernels::narrow::Rounded;

use crate::Isa;

/// Results that are rounded at a time where they do not follow one another.
const SPREAD: usize = 256;

/// Rounds sums, of which rows may be longer than those of C, into their places.
pub(super) fn finish<S: Copy, R: Rounded<S>>(
    isa: Isa,
    mut sums: ArrayViewMut2<'_, S>,
    epilogue: Epilogue<'_, S>,
    mut c: ArrayViewMut2<'_, R>,
) {
    let n = c.ncols();
    sums.slice_axis_inplace(Axis(1), (..n).into());
    if epilogue.bias.is_none()
        && let (Some(sums), Some(c)) = (sums.as_slice_mut(), c.as_slice_mut())
    {
        return R::finish(isa, sums, epilogue, c);
    }
    if c.strides()[1] == 1 || n <= 1 {
        return R::finish_rows(isa, sums, epilogue, c);
    }
    for (mut sums, mut c) in sums.rows_mut().into_iter().zip(c.rows_mut()) {
        let Some(sums) = sums.as_slice_mut() else { continue };
        let mut room = [R::default(); SPREAD];
        for (i, mut c) in c.axis_chunks_iter_mut(Axis(0), SPREAD).enumerate() {
            let place = i * SPREAD..i * SPREAD + c.len();
            let bias = epilogue.bias.map(|bias| &bias[place.clone()]);
            let room = &mut room[..c.len()];
            R::finish(isa, &mut sums[place], Epilogue { bias, ..epilogue }, room);
            c.iter_mut().zip(room).for_each(|(to, from)| *to = *from);
        }
    }
}
