//! A weight of narrow numbers, packed once for many products.

use std::fmt;

use ndarray::{Array2, ArrayView2, ArrayViewMut2, Axis};
use threadwise_kernels::narrow::{self, Kernel, Pair};
use threadwise_runtime::Owned;

use super::super::load;
use super::plan::{SHORT, TINY, pass};
use super::{Narrow, Summed};
use crate::{Context, Error, Isa};

/// A weight of (outputs, inputs) narrow numbers, packed once for any number of products, which may run at the
/// same time. It is never changed, and takes no more memory than the weight, but for whole slivers.
///
/// It is a B of inputs × outputs, in passes over the inputs as products by tiles make them.
pub struct NarrowWeight<E: narrow::Narrow> {
    shape: [usize; 2],
    isa: Isa,
    lie: Lie<E>,
}

/// How it lies.
pub(super) enum Lie<E> {
    /// As it was, row by row: so small, or of so few outputs, that slivers gain nothing.
    Rows(Array2<E>),
    /// In slivers of the kernel for `isa`.
    Slivers(Owned<u32>),
}

impl<E: narrow::Narrow<Sum: Summed>> NarrowWeight<E> {
    /// Copies `weight`, on the threads of the context.
    ///
    /// # Errors
    ///
    /// If memory runs out, or the context's interrupt is due.
    pub fn new(weight: ArrayView2<'_, E>, context: &Context<'_>) -> Result<Self, Error> {
        let (n, k) = weight.dim();
        let (shape, isa) = ([n, k], context.isa);
        let kernel = E::Pair::kernel(isa);
        if k <= SHORT || n < kernel.worth_packing() || n * k <= TINY {
            let rows = weight.as_standard_layout().into_owned();
            return Ok(Self { shape, isa, lie: Lie::Rows(rows) });
        }
        let (b, pass, width) = (weight.reversed_axes(), pass(&kernel, k), kernel.columns());
        let whole = (k / pass).saturating_mul(kernel.kept(pass, n));
        let rest = if k.is_multiple_of(pass) { 0 } else { kernel.kept(k % pass, n) };
        let mut kept = Owned::zeros(whole.saturating_add(rest))?;
        let mut slivers = Vec::new();
        let passes = b.axis_chunks_iter(Axis(0), pass);
        for (rows, kept) in passes.zip(kept.chunks_mut(kernel.kept(pass, n))) {
            let places = kept.chunks_exact_mut(kernel.kept(rows.nrows(), width));
            for (i, place) in places.enumerate() {
                let columns = i * width..n.min((i + 1) * width);
                slivers.push((rows.slice_axis_move(Axis(1), columns.into()), place));
            }
        }
        let threads = load::threads::<Narrow<E::Pair, E::Sum>>((1, k, n), 1, context);
        context.share(&mut slivers, threads, |(b, place), _| kernel.keep(b.view(), place))?;
        Ok(Self { shape, isa, lie: Lie::Slivers(kept) })
    }
}

impl<E: narrow::Narrow> NarrowWeight<E> {
    /// (outputs, inputs), the shape of the weight.
    #[must_use]
    pub fn shape(&self) -> [usize; 2] {
        self.shape
    }

    /// Bytes that the copy takes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        match &self.lie {
            Lie::Rows(rows) => rows.len() * size_of::<E>(),
            Lie::Slivers(slivers) => slivers.len() * size_of::<u32>(),
        }
    }

    /// Writes the weight as it was, bit for bit.
    ///
    /// # Panics
    ///
    /// If `weight` has another shape.
    pub fn unpack(&self, mut weight: ArrayViewMut2<'_, E>) {
        assert_eq!(weight.shape(), self.shape, "as it was");
        let slivers = match &self.lie {
            Lie::Rows(rows) => return weight.assign(rows),
            Lie::Slivers(slivers) => slivers,
        };
        let ([n, k], kernel) = (self.shape, E::Pair::kernel(self.isa));
        let pass = pass(&kernel, k);
        let passes = slivers.chunks(kernel.kept(pass, n));
        for (mut part, kept) in weight.axis_chunks_iter_mut(Axis(1), pass).zip(passes) {
            kernel.unpack(kept, part.view_mut().reversed_axes());
        }
    }

    pub(super) fn lie(&self) -> &Lie<E> {
        &self.lie
    }

    /// The kernel of a pair with this weight as its B.
    pub(super) fn kernel<P: Pair<Right = E>>(&self) -> Kernel<P> {
        P::kernel(self.isa)
    }
}

impl<E: narrow::Narrow> PartialEq for NarrowWeight<E> {
    /// Whether the weights are equal, element by element.
    fn eq(&self, other: &Self) -> bool {
        if self.shape != other.shape {
            return false;
        }
        let [mut one, mut two] = [(); 2].map(|()| Array2::from_elem(self.shape, E::default()));
        self.unpack(one.view_mut());
        other.unpack(two.view_mut());
        one == two
    }
}

impl<E: narrow::Narrow> fmt::Debug for NarrowWeight<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NarrowWeight")
            .field("shape", &self.shape)
            .field("isa", &self.isa.name())
            .finish_non_exhaustive()
    }
}
