//! The libraries, behind one call.

use gemm::Parallelism;
use ndarray::{ArrayD, ArrayViewMutD};
use threadwise::{Context, linalg};

/// Who races.
#[derive(Clone, Copy)]
pub(crate) enum Library {
    Threadwise,
    Gemm,
    Matrixmultiply,
}

impl Library {
    pub(crate) const ALL: [Self; 3] = [Self::Threadwise, Self::Gemm, Self::Matrixmultiply];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Threadwise => "threadwise",
            Self::Gemm => "gemm",
            Self::Matrixmultiply => "matrixmultiply",
        }
    }
}

/// A product of two row-major matrices.
pub(crate) struct Product<'a> {
    pub(crate) a: &'a ArrayD<f32>,
    pub(crate) b: &'a ArrayD<f32>,
    pub(crate) context: &'a Context<'a>,
}

impl Product<'_> {
    /// Computes it into `c`.
    pub(crate) fn by(&self, library: Library, c: ArrayViewMutD<'_, f32>) {
        match library {
            Library::Threadwise => {
                linalg::matmul(self.a.view(), self.b.view(), c, self.context)
                    .expect("the shapes fit");
            }
            Library::Gemm => self.by_gemm(c),
            Library::Matrixmultiply => self.by_matrixmultiply(c),
        }
    }

    fn by_gemm(&self, mut c: ArrayViewMutD<'_, f32>) {
        let [m, k, n] = self.extents(&c);
        let threads = self.context.threads;
        let parallelism =
            if threads == 1 { Parallelism::None } else { Parallelism::Rayon(threads) };
        let (c, a, b) = (c.as_mut_ptr(), self.a.as_ptr(), self.b.as_ptr());
        let [ka, na] = [k.cast_signed(), n.cast_signed()]; // strides of rows, in elements
        // SAFETY: each pointer is that of a row-major array of initialized elements, as `extents`
        // asserts, whose strides these are; `c` is borrowed mutably, so it overlaps neither operand.
        unsafe {
            gemm::gemm(
                m,
                n,
                k,
                c,
                1,
                na,
                false, // overwrite
                a,
                1,
                ka,
                b,
                1,
                na, //
                0.0,
                1.0, // what was there times 0, the product times 1
                false,
                false,
                false,
                parallelism,
            );
        }
    }

    fn by_matrixmultiply(&self, mut c: ArrayViewMutD<'_, f32>) {
        let [m, k, n] = self.extents(&c);
        let (c, a, b) = (c.as_mut_ptr(), self.a.as_ptr(), self.b.as_ptr());
        let [ka, na] = [k.cast_signed(), n.cast_signed()];
        // SAFETY: as in `by_gemm`.
        unsafe { matrixmultiply::sgemm(m, k, n, 1.0, a, ka, 1, b, na, 1, 0.0, c, na, 1) }
    }

    /// m, k, n; panics unless all three are row-major matrices that fit one another.
    fn extents(&self, c: &ArrayViewMutD<'_, f32>) -> [usize; 3] {
        let (&[m, k], &[_, n]) = (self.a.shape(), self.b.shape()) else {
            unreachable!("operands are matrices")
        };
        assert!([self.b.shape(), c.shape()] == [[k, n], [m, n]], "the shapes fit");
        assert!(
            self.a.is_standard_layout() && self.b.is_standard_layout() && c.is_standard_layout(),
            "row-major"
        );
        [m, k, n]
    }
}

/// It reads the environment once, at its first product.
pub(crate) fn set_threads_of_matrixmultiply(threads: usize) {
    // SAFETY: `main` calls this first: there is no other thread that could read the environment.
    unsafe { std::env::set_var("MATMUL_NUM_THREADS", threads.to_string()) }
}
