//! The formula as it reads, in double precision.

use crate::element::Element;

/// Above this, squares of finite numbers may overflow when many of them are summed.
const LARGE: f64 = 1e140;

/// The definition that [`super::lanes`] answers to.
pub(super) fn rms_norm<T: Element>(x: &[T], weight: &[T], eps: f64, y: &mut [T]) {
    let root = root_mean_square(x, eps);
    for ((y, x), w) in y.iter_mut().zip(x).zip(weight) {
        *y = T::from_f64(x.to_f64() / root * w.to_f64());
    }
}

/// √(Σₖ xₖ²/d + ε), in a unit in which no square of a finite number overflows.
pub(super) fn root_mean_square<T: Element>(x: &[T], eps: f64) -> f64 {
    let largest = x.iter().map(|x| x.to_f64().abs()).fold(0.0, f64::max);
    let unit = if largest > LARGE && largest.is_finite() { largest } else { 1.0 };
    let sum: f64 = x.iter().map(|x| x.to_f64() / unit).map(|x| x * x).sum();
    (sum / x.len() as f64 + eps / unit / unit).sqrt() * unit
}
