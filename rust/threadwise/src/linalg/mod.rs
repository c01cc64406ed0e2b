//! Products of matrices: [`matmul`] and [`linear`] for arrays of any number of axes.
//!
//! `shapes` says what fits together, `batch` cuts operands of more axes into pairs of matrices, `plan`
//! chooses how one product is computed, `way` whether it is transposed, `product` computes it, in `pieces`, and
//! `narrow` those of narrower numbers; `small` ones are computed without a plan; `packed` is a weight that is
//! copied once for many products. `load` is what a product is to the model of the machine, `explain` tells people.

mod batch;
mod each;
mod explain;
mod help;
mod load;
mod narrow;
mod packed;
mod pieces;
mod plan;
mod product;
mod quantized;
mod shapes;
mod small;
#[cfg(test)]
mod tests;
mod way;

use bytemuck::Pod;
use ndarray::{
    ArrayBase, ArrayD, ArrayView2, ArrayView3, ArrayViewD, ArrayViewMut2, ArrayViewMut3,
    ArrayViewMutD, Axis, IxDyn, RawData,
};
use threadwise_kernels::gemm::Epilogue;
use threadwise_kernels::{Activation, Element, Isa};

use self::way::Target;
use crate::Context;
use crate::error::{Error, Shape};
use crate::work::Kind;

pub use explain::{Explanation, explain, explain_packed};
pub use narrow::{Narrow, NarrowWeight, Summed, smallest};
pub use packed::{PackedWeight, linear_packed, linear_packed_of};
pub use plan::WORTH_DETACHING;
pub use quantized::{QuantizedWeight, Single, linear_quantized};
pub use shapes::{linear_shape, matmul_shape, weight_axes};
pub use small::{is_small, is_tiny, small, tiny};

/// A number type that the engine computes in: `f32` or `f64`.
pub trait Real: Element + Pod {
    /// Which rate its products have.
    const RATE: Kind;
}

impl Real for f32 {
    const RATE: Kind = Kind::Float32;
}

impl Real for f64 {
    const RATE: Kind = Kind::Float64;
}

/// The number types of a product, and how one of two matrices is computed: a [`Real`] type by itself, or
/// [`Narrow`] numbers.
pub trait Product: 'static {
    /// What A holds.
    type Left: Copy + Send + Sync;
    /// What B holds.
    type Right: Copy + Send + Sync;
    /// What C holds.
    type Out: Send;
    /// What is added to C.
    type Bias: Copy + Sync;
    /// A transposed B that was packed once for many products.
    type Weight: Sync;

    /// `c = f(a @ b + bias)` for matrices whose sizes fit, whatever their strides.
    ///
    /// # Errors
    ///
    /// If memory runs out, or the context's interrupt is due.
    fn multiply(
        a: ArrayView2<'_, Self::Left>,
        b: ArrayView2<'_, Self::Right>,
        c: ArrayViewMut2<'_, Self::Out>,
        epilogue: Epilogue<'_, Self::Bias>,
        context: &Context<'_>,
    ) -> Result<(), Error>;

    /// [`Product::multiply`] for each of some products that are alike in shapes and strides.
    ///
    /// # Errors
    ///
    /// As [`Product::multiply`].
    fn each(
        a: ArrayView3<'_, Self::Left>,
        b: ArrayView3<'_, Self::Right>,
        mut c: ArrayViewMut3<'_, Self::Out>,
        epilogue: Epilogue<'_, Self::Bias>,
        context: &Context<'_>,
    ) -> Result<(), Error> {
        for ((a, b), c) in a.outer_iter().zip(b.outer_iter()).zip(c.outer_iter_mut()) {
            Self::multiply(a, b, c, epilogue, context)?;
        }
        Ok(())
    }

    /// `c = f(a @ weight.T + bias)`, likewise.
    ///
    /// # Errors
    ///
    /// As [`Product::multiply`].
    fn multiply_packed(
        a: ArrayView2<'_, Self::Left>,
        weight: &Self::Weight,
        c: ArrayViewMut2<'_, Self::Out>,
        epilogue: Epilogue<'_, Self::Bias>,
        context: &Context<'_>,
    ) -> Result<(), Error>;

    /// (outputs, inputs) of a weight.
    fn weight_shape(weight: &Self::Weight) -> [usize; 2];

    /// Which of the machine's rates is theirs.
    fn rate() -> Kind;

    /// The kernel by name, in its form for many rows.
    fn kernel(isa: Isa) -> String;

    /// The kernel by which [`Product::multiply`] would do a product with a C of such strides on so many threads,
    /// and its number of pieces.
    fn outline(
        a: ArrayView2<'_, Self::Left>,
        b: ArrayView2<'_, Self::Right>,
        strides: [isize; 2],
        epilogue: Epilogue<'_, Self::Bias>,
        threads: usize,
        context: &Context<'_>,
    ) -> (String, usize);

    /// The same for [`Product::multiply_packed`] with so many rows of A.
    fn outline_packed(
        rows: usize,
        weight: &Self::Weight,
        threads: usize,
        context: &Context<'_>,
    ) -> (String, usize);
}

impl<T: Real> Product for T {
    type Left = T;
    type Right = T;
    type Out = T;
    type Bias = T;
    type Weight = PackedWeight<T>;

    fn multiply(
        a: ArrayView2<'_, T>,
        b: ArrayView2<'_, T>,
        c: ArrayViewMut2<'_, T>,
        epilogue: Epilogue<'_, T>,
        context: &Context<'_>,
    ) -> Result<(), Error> {
        product::multiply(a, b, c, epilogue, context)
    }

    fn each(
        a: ArrayView3<'_, T>,
        b: ArrayView3<'_, T>,
        c: ArrayViewMut3<'_, T>,
        epilogue: Epilogue<'_, T>,
        context: &Context<'_>,
    ) -> Result<(), Error> {
        each::each(a, b, c, epilogue, context)
    }

    fn multiply_packed(
        a: ArrayView2<'_, T>,
        weight: &PackedWeight<T>,
        c: ArrayViewMut2<'_, T>,
        epilogue: Epilogue<'_, T>,
        context: &Context<'_>,
    ) -> Result<(), Error> {
        product::multiply_packed(a, weight, c, epilogue, context)
    }

    fn weight_shape(weight: &PackedWeight<T>) -> [usize; 2] {
        weight.shape()
    }

    fn rate() -> Kind {
        T::RATE
    }

    fn kernel(isa: Isa) -> String {
        T::gemm(isa).name()
    }

    fn outline(
        a: ArrayView2<'_, T>,
        b: ArrayView2<'_, T>,
        strides: [isize; 2],
        epilogue: Epilogue<'_, T>,
        threads: usize,
        context: &Context<'_>,
    ) -> (String, usize) {
        product::outline(
            a,
            b,
            Target::new((a.nrows(), b.ncols()), strides, epilogue),
            threads,
            context,
        )
    }

    fn outline_packed(
        rows: usize,
        weight: &PackedWeight<T>,
        threads: usize,
        context: &Context<'_>,
    ) -> (String, usize) {
        product::outline_packed(rows, weight, threads, context)
    }
}

/// `out = a @ b`, as NumPy defines it: operands of one axis are a row and a column, whose axis the
/// result has not; axes before the last two are broadcast.
///
/// Each element is a sum in an order that depends on shapes and layouts alone: the bits do not depend on
/// the number of threads.
///
/// # Errors
///
/// If shapes do not fit (then `out` is untouched), memory runs out, or the context's interrupt is due.
pub fn matmul<T: Real>(
    a: ArrayViewD<'_, T>,
    b: ArrayViewD<'_, T>,
    out: ArrayViewMutD<'_, T>,
    context: &Context<'_>,
) -> Result<(), Error> {
    matmul_of::<T>(a, b, out, context)
}

/// [`matmul`] for the number types of `P`.
///
/// # Errors
///
/// As [`matmul`].
pub fn matmul_of<P: Product>(
    a: ArrayViewD<'_, P::Left>,
    b: ArrayViewD<'_, P::Right>,
    out: ArrayViewMutD<'_, P::Out>,
    context: &Context<'_>,
) -> Result<(), Error> {
    expect(&out, &matmul_shape(a.shape(), b.shape())?)?;
    let (mut a, mut b, mut out) = (a, b, out);
    // A lone axis is the shared one. The result gets the axis that it lacks, for the time being.
    if b.ndim() == 1 {
        b = b.insert_axis(Axis(1));
        out = append_axis(out);
    }
    if a.ndim() == 1 {
        a = a.insert_axis(Axis(0));
        let before_last = out.ndim() - 1;
        out = out.insert_axis(Axis(before_last));
    }
    let none = Epilogue { bias: None, activation: None };
    batch::run::<P>(a, b, out, none, context)
}

/// `out = f(x @ weight.T + bias)`: a layer of a network. The last axis of `x` holds the features,
/// `weight` one row an output feature.
///
/// # Errors
///
/// As [`matmul`].
pub fn linear<T: Real>(
    x: ArrayViewD<'_, T>,
    weight: ArrayViewD<'_, T>,
    bias: Option<&[T]>,
    activation: Option<Activation>,
    out: ArrayViewMutD<'_, T>,
    context: &Context<'_>,
) -> Result<(), Error> {
    linear_of::<T>(x, weight, bias, activation, out, context)
}

/// [`linear`] for the number types of `P`.
///
/// # Errors
///
/// As [`matmul`].
pub fn linear_of<P: Product>(
    x: ArrayViewD<'_, P::Left>,
    weight: ArrayViewD<'_, P::Right>,
    bias: Option<&[P::Bias]>,
    activation: Option<Activation>,
    out: ArrayViewMutD<'_, P::Out>,
    context: &Context<'_>,
) -> Result<(), Error> {
    let bias_shape = bias.map(|bias| [bias.len()]);
    let bias_shape = bias_shape.as_ref().map(<[usize; 1]>::as_slice);
    expect(&out, &linear_shape(x.shape(), weight.shape(), bias_shape)?)?;
    let (mut x, mut out) = (x, out);
    if x.ndim() == 1 {
        x = x.insert_axis(Axis(0));
        out = out.insert_axis(Axis(0));
    }
    batch::run::<P>(x, weight.reversed_axes(), out, Epilogue { bias, activation }, context)
}

/// `c = a @ b` for matrices whose sizes fit, with the bits of [`matmul`].
///
/// # Errors
///
/// If memory runs out, or the context's interrupt is due.
///
/// # Panics
///
/// If the sizes do not fit.
pub fn multiply<T: Real>(
    a: ArrayView2<'_, T>,
    b: ArrayView2<'_, T>,
    c: ArrayViewMut2<'_, T>,
    context: &Context<'_>,
) -> Result<(), Error> {
    product::multiply(a, b, c, Epilogue { bias: None, activation: None }, context)
}

/// The kernels that products use on `isa`, by name.
#[must_use]
pub fn kernel_names(isa: Isa) -> Vec<String> {
    let mut names = vec![f32::gemm(isa).name(), f64::gemm(isa).name()];
    names.extend(threadwise_kernels::narrow::kernel_names(isa));
    names
}

/// An array of zeros of this shape.
#[must_use]
pub fn zeros<T: Real>(shape: &[usize]) -> ArrayD<T> {
    ArrayD::from_elem(IxDyn(shape), T::default())
}

pub(crate) fn expect<S: RawData>(out: &ArrayBase<S, IxDyn>, shape: &[usize]) -> Result<(), Error> {
    if out.shape() == shape {
        return Ok(());
    }
    Err(Error::Out { actual: Shape::from(out.shape()), expected: Shape::from(shape) })
}

fn append_axis<S: RawData>(out: ArrayBase<S, IxDyn>) -> ArrayBase<S, IxDyn> {
    let end = out.ndim();
    out.insert_axis(Axis(end))
}
