//! The definitions.

use super::Statistic;

/// Mean and Σ(x − mean)² of a column.
pub(super) fn moments(column: &[f64]) -> (f64, f64) {
    let mean = column.iter().sum::<f64>() / column.len() as f64;
    (mean, column.iter().map(|x| (x - mean) * (x - mean)).sum())
}

/// The statistic of one window.
pub(super) fn statistic(statistic: Statistic, window: &[f64]) -> f64 {
    let either = |is_better: fn(&f64, &f64) -> bool| {
        let better = |known: f64, &x: &f64| {
            if known.is_nan() || is_better(&known, &x) { known } else { x }
        };
        window.iter().skip(1).fold(window[0], better)
    };
    let (mean, squares) = moments(window);
    match statistic {
        Statistic::Mean => mean,
        Statistic::Deviation(freedom) => (squares / freedom).sqrt(),
        Statistic::Least => either(f64::lt),
        Statistic::Largest => either(f64::gt),
        Statistic::Sum => window.iter().sum(),
    }
}
