//! Rotary position embedding: the angles by position, and their scaling for contexts longer than those of training.

use std::f64::consts::TAU;

use ndarray::{ArrayViewD, ArrayViewMutD, Axis, IxDyn};
use threadwise_kernels::rope::Rope;

use crate::error::{Error, Shape};
use crate::{Context, linalg};

/// How frequencies are changed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Scaling {
    /// All are divided by a factor: S. Chen and others, *Extending Context Window of Large Language Models via
    /// Positional Interpolation*, 2023, arXiv:2306.15595.
    Linear {
        /// The factor.
        factor: f64,
    },
    /// Those of waves longer than a part of the original context are divided, those of short waves are not, and
    /// between them it is interpolated, as Llama 3.1 does (`rope_type` `llama3` of transformers).
    Llama3 {
        /// The factor.
        factor: f64,
        /// Waves longer than the context divided by this are divided.
        low_freq_factor: f64,
        /// Waves shorter than the context divided by this are not.
        high_freq_factor: f64,
        /// Positions that the model was first trained with.
        original_context: f64,
    },
}

/// Radians by which each pair of numbers turns from one position to the next.
#[derive(Clone, Debug, PartialEq)]
pub struct Frequencies(Vec<f64>);

impl Frequencies {
    /// θ^(−2i/width), scaled.
    ///
    /// # Errors
    ///
    /// If the width is odd, or a number is not positive and finite.
    pub fn new(width: usize, theta: f64, scaling: Option<Scaling>) -> Result<Self, Error> {
        if !width.is_multiple_of(2) {
            let expected = "an even number, because numbers are turned in pairs".to_owned();
            return Err(Error::Count { name: "the length of a row", actual: width, expected });
        }
        let mut numbers = vec![("theta", theta)];
        match scaling {
            None => {}
            Some(Scaling::Linear { factor }) => numbers.push(("factor", factor)),
            Some(Scaling::Llama3 {
                factor,
                low_freq_factor,
                high_freq_factor,
                original_context,
            }) => {
                numbers.push(("factor", factor));
                numbers.push(("low_freq_factor", low_freq_factor));
                numbers.push(("high_freq_factor", high_freq_factor));
                numbers.push(("original_max_position_embeddings", original_context));
            }
        }
        for (name, actual) in numbers {
            if !(actual > 0.0 && actual.is_finite()) {
                let expected = "a positive and finite number";
                return Err(Error::Domain { name, actual, expected });
            }
        }
        let plain = (0..width / 2).map(|i| theta.powf(-2.0 * i as f64 / width as f64));
        Ok(Self(plain.map(|frequency| scaled(frequency, scaling)).collect()))
    }

    /// Pairs of numbers in a row.
    #[must_use]
    pub fn pairs(&self) -> usize {
        self.0.len()
    }

    /// The cosines and sines of a position: computed in double precision and rounded once.
    pub fn fill(&self, position: usize, cos: &mut [f32], sin: &mut [f32]) {
        for ((frequency, cos), sin) in self.0.iter().zip(cos).zip(sin) {
            let (s, c) = (position as f64 * frequency).sin_cos();
            #[expect(clippy::cast_possible_truncation, reason = "rounding is what it is for")]
            let rounded = (c as f32, s as f32);
            (*cos, *sin) = rounded;
        }
    }
}

fn scaled(frequency: f64, scaling: Option<Scaling>) -> f64 {
    match scaling {
        None => frequency,
        Some(Scaling::Linear { factor }) => frequency / factor,
        Some(Scaling::Llama3 { factor, low_freq_factor, high_freq_factor, original_context }) => {
            let waves = original_context * frequency / TAU;
            if waves > high_freq_factor {
                frequency
            } else if waves < low_freq_factor {
                frequency / factor
            } else {
                let share = (waves - low_freq_factor) / (high_freq_factor - low_freq_factor);
                frequency * ((1.0 - share) / factor + share)
            }
        }
    }
}

/// The shape of [`rope`]'s result, which is that of `x`.
///
/// # Errors
///
/// If `x` has no axes, or `positions` do not broadcast to its rows.
pub fn rope_shape(x: &[usize], positions: &[usize]) -> Result<Vec<usize>, Error> {
    let [rows @ .., _] = x else {
        let expected = "at least one axis, the row";
        return Err(Error::Axes { name: "x", shape: Shape::from(x), expected });
    };
    let pairs = positions.iter().rev().zip(rows.iter().rev());
    let fits = positions.len() <= rows.len() && pairs.into_iter().all(|(p, n)| p == n || *p == 1);
    if !fits {
        let expected = "one that broadcasts to the rows of x, the axes before its last";
        return Err(Error::Axes { name: "positions", shape: Shape::from(positions), expected });
    }
    Ok(x.to_vec())
}

/// Turns each row of `x` by the angles of its position.
///
/// # Errors
///
/// If shapes do not fit, or rows are not as long as there are frequencies (then `out` is untouched).
///
/// # Panics
///
/// If `frequencies` are of another width.
pub fn rope(
    x: ArrayViewD<'_, f32>,
    positions: ArrayViewD<'_, usize>,
    frequencies: &Frequencies,
    mut out: ArrayViewMutD<'_, f32>,
    context: &Context<'_>,
) -> Result<(), Error> {
    linalg::expect(&out, &rope_shape(x.shape(), positions.shape())?)?;
    assert_eq!(x.shape().last(), Some(&(2 * frequencies.pairs())), "frequencies of this width");
    if out.is_empty() {
        return Ok(());
    }
    let rows = IxDyn(&x.shape()[..x.ndim() - 1]);
    let Some(positions) = positions.broadcast(rows) else { unreachable!("the shape was checked") };
    out.assign(&x);
    let kernel = Rope::new(context.isa);
    let pairs = frequencies.pairs();
    let mut rows: Vec<_> =
        out.lanes_mut(Axis(x.ndim() - 1)).into_iter().zip(positions.iter().copied()).collect();
    // Rows of one position follow one another when they are turned, so that its angles are computed once.
    rows.sort_by_key(|(_, position)| *position);
    let mut pieces: Vec<_> = rows.chunk_by_mut(|one, other| one.1 == other.1).collect();
    let threads = if x.len() < AT_ONCE { 1 } else { context.threads };
    context.share(&mut pieces, threads, |rows, _| {
        let mut angles = vec![0.0; 2 * pairs];
        let (cos, sin) = angles.split_at_mut(pairs);
        let position = rows.first().map_or(0, |row| row.1);
        frequencies.fill(position, cos, sin);
        for (row, _) in &mut **rows {
            if let Some(row) = row.as_slice_mut() {
                kernel.rotate(row, cos, sin);
            } else {
                let mut made = row.to_vec();
                kernel.rotate(&mut made, cos, sin);
                row.iter_mut().zip(made).for_each(|(to, y)| *to = y);
            }
        }
    })
}

/// Elements for which no worker is called.
const AT_ONCE: usize = 1 << 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn llama3_divides_long_waves_keeps_short_ones_and_interpolates_between() {
        let plain = Frequencies::new(128, 500_000.0, None).unwrap().0;
        let scaling = Scaling::Llama3 {
            factor: 8.0,
            low_freq_factor: 1.0,
            high_freq_factor: 4.0,
            original_context: 8192.0,
        };
        let scaled = Frequencies::new(128, 500_000.0, Some(scaling)).unwrap().0;
        let mut between = 0;
        for (plain, scaled) in plain.iter().zip(&scaled) {
            let wave = TAU / plain;
            if wave < 8192.0 / 4.0 {
                assert!((scaled / plain - 1.0).abs() < 1e-15, "a wave of {wave} is short");
            } else if wave > 8192.0 {
                assert!((scaled * 8.0 / plain - 1.0).abs() < 1e-15, "a wave of {wave} is long");
            } else {
                let smooth = (8192.0 / wave - 1.0) / 3.0;
                let expected = (1.0 - smooth) * plain / 8.0 + smooth * plain;
                assert!((scaled / expected - 1.0).abs() < 1e-12, "a wave of {wave} is between");
                between += 1;
            }
        }
        assert!(between > 3, "some are");
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let sentence = |width, theta, scaling| {
            Frequencies::new(width, theta, scaling).unwrap_err().to_string()
        };
        let odd = sentence(7, 1e4, None);
        assert_eq!(
            odd,
            "the length of a row is 7, expected an even number, because numbers are turned in pairs"
        );
        let negative = sentence(8, -1.0, None);
        assert_eq!(negative, "theta is -1.0, expected a positive and finite number");
        let zero = sentence(8, 1e4, Some(Scaling::Linear { factor: 0.0 }));
        assert_eq!(zero, "factor is 0.0, expected a positive and finite number");
    }
}
