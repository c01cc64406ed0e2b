//! What was lost: sums from which errors are computed.

use threadwise_kernels::quant::{Kernel, Loss};

/// Sums over the numbers w of a weight and the values v that its codes stand for.
///
/// Those of parts of a weight are merged in the order of the parts: in floating point, another order gives
/// other bits.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ErrorSums {
    /// How many numbers.
    pub count: usize,
    /// Σw²
    pub weights: f64,
    /// Σv²
    pub values: f64,
    /// Σw·v
    pub products: f64,
    /// Σ(w − v)²
    pub errors: f64,
    /// The largest |w − v|.
    pub largest: f64,
}

impl ErrorSums {
    /// Adds the sums of the part that comes next.
    pub fn merge(&mut self, next: &Self) {
        self.count += next.count;
        self.weights += next.weights;
        self.values += next.values;
        self.products += next.products;
        self.errors += next.errors;
        self.largest = self.largest.max(next.largest);
    }

    /// Adds numbers and what became of them.
    pub fn add(&mut self, kernel: Kernel, weights: &[f32], values: &[f32]) {
        let Loss { weights: squares, values: of_values, products, errors, largest } =
            kernel.loss(weights, values);
        let count = weights.len();
        self.merge(&Self { count, weights: squares, values: of_values, products, errors, largest });
    }

    /// The cosine of the angle between weight and values; 1 where both are zero.
    #[must_use]
    pub fn cosine(&self) -> f64 {
        let norms = (self.weights * self.values).sqrt();
        if norms > 0.0 {
            self.products / norms
        } else if self.errors > 0.0 {
            0.0
        } else {
            1.0
        }
    }

    /// Σ(w − v)²/Σw²; 0 where there is no error.
    #[must_use]
    pub fn relative(&self) -> f64 {
        if self.errors > 0.0 { self.errors / self.weights } else { 0.0 }
    }

    /// The ratio of signal to quantization noise in decibels; infinite where there is no error.
    #[must_use]
    pub fn sqnr(&self) -> f64 {
        -10.0 * self.relative().log10()
    }
}
