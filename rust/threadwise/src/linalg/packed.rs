//! A layer's weight, copied once into the order in which tiles read it.

use std::fmt;

use ndarray::{Array2, ArrayView2, ArrayViewD, ArrayViewMut2, ArrayViewMutD, Axis};
use threadwise_kernels::Activation;
use threadwise_kernels::gemm::{Epilogue, Kernel};
use threadwise_runtime::Owned;

use super::pieces::Source;
use super::{Product, Real, batch, expect, linear_shape, load, plan, product};
use crate::{Context, Error};

/// A weight of (outputs, inputs) elements for [`linear`], packed once for any number of products, which may
/// run at the same time. It is never changed.
///
/// It is a B of inputs × outputs, in passes over the inputs as all products make them, each pass in the
/// slivers of the kernel that it was packed for.
pub struct PackedWeight<T: Real> {
    outputs: usize,
    inputs: usize,
    kernel: Kernel<T>,
    slivers: Owned<T>,
}

impl<T: Real> PackedWeight<T> {
    /// Copies `weight`, on the threads of the context.
    ///
    /// # Errors
    ///
    /// If memory runs out, or the context's interrupt is due.
    pub fn new(weight: ArrayView2<'_, T>, context: &Context<'_>) -> Result<Self, Error> {
        let (outputs, inputs) = weight.dim();
        let kernel = T::gemm(context.isa);
        let mut slivers = Owned::zeros(kernel.packed_right(inputs, outputs))?;
        let b = weight.reversed_axes();
        let threads = load::threads::<T>((1, inputs, outputs), 1, context);
        product::pack(&kernel, plan::depth(inputs), b, &mut slivers, threads, context)?;
        Ok(Self { outputs, inputs, kernel, slivers })
    }

    /// (outputs, inputs), the shape of the weight.
    #[must_use]
    pub fn shape(&self) -> [usize; 2] {
        [self.outputs, self.inputs]
    }

    /// NumPy's name of the type.
    #[must_use]
    pub fn dtype(&self) -> &'static str {
        T::NAME
    }

    /// Bytes that the copy takes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.slivers.len() * size_of::<T>()
    }

    /// Writes the weight as it was, bit for bit.
    ///
    /// # Panics
    ///
    /// If `weight` has another shape.
    pub fn unpack(&self, mut weight: ArrayViewMut2<'_, T>) {
        assert_eq!(weight.shape(), self.shape(), "as it was");
        let (width, padded) = (self.kernel.columns(), self.kernel.packed_right(1, self.outputs));
        let depth = plan::depth(self.inputs).max(1);
        for (j, mut row) in weight.rows_mut().into_iter().enumerate() {
            for (pass, mut part) in row.axis_chunks_iter_mut(Axis(0), depth).enumerate() {
                let first = pass * depth * padded + j / width * width * part.len() + j % width;
                let column = self.slivers[first..].iter().step_by(width);
                part.iter_mut().zip(column).for_each(|(to, from)| *to = *from);
            }
        }
    }

    pub(super) fn kernel(&self) -> &Kernel<T> {
        &self.kernel
    }

    pub(super) fn source(&self) -> Source<'_, T> {
        Source::Slivers { first: 0, packed: &self.slivers }
    }
}

impl<T: Real> PartialEq for PackedWeight<T> {
    /// Whether the weights are equal, element by element.
    fn eq(&self, other: &Self) -> bool {
        self.shape() == other.shape()
            && if self.kernel.columns() == other.kernel.columns() {
                self.slivers[..] == other.slivers[..]
            } else {
                let [mut one, mut two] =
                    [(); 2].map(|()| Array2::from_elem(self.shape(), T::default()));
                self.unpack(one.view_mut());
                other.unpack(two.view_mut());
                one == two
            }
    }
}

impl<T: Real> fmt::Debug for PackedWeight<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PackedWeight")
            .field("shape", &self.shape())
            .field("dtype", &T::NAME)
            .field("kernel", &self.kernel.name())
            .finish_non_exhaustive()
    }
}

/// `out = f(x @ weight.T + bias)`, with a weight that was packed before. The bits may differ from those of
/// [`super::linear`] with the weight as it lies: the sums are the same, in another order.
///
/// # Errors
///
/// As [`super::matmul`].
pub fn linear_packed<T: Real>(
    x: ArrayViewD<'_, T>,
    weight: &PackedWeight<T>,
    bias: Option<&[T]>,
    activation: Option<Activation>,
    out: ArrayViewMutD<'_, T>,
    context: &Context<'_>,
) -> Result<(), Error> {
    linear_packed_of::<T>(x, weight, bias, activation, out, context)
}

/// [`linear_packed`] for the number types of `P`. Of narrow numbers, the bits are those of
/// [`super::linear_of`] with a weight, an `x` and an `out` that are contiguous by rows.
///
/// # Errors
///
/// As [`super::matmul`].
pub fn linear_packed_of<P: Product>(
    x: ArrayViewD<'_, P::Left>,
    weight: &P::Weight,
    bias: Option<&[P::Bias]>,
    activation: Option<Activation>,
    out: ArrayViewMutD<'_, P::Out>,
    context: &Context<'_>,
) -> Result<(), Error> {
    let bias_shape = bias.map(|bias| [bias.len()]);
    let bias_shape = bias_shape.as_ref().map(<[usize; 1]>::as_slice);
    expect(&out, &linear_shape(x.shape(), &P::weight_shape(weight), bias_shape)?)?;
    let (mut x, mut out) = (x, out);
    if x.ndim() == 1 {
        x = x.insert_axis(Axis(0));
        out = out.insert_axis(Axis(0));
    }
    batch::packed::<P>(x, weight, out, Epilogue { bias, activation }, context)
}
