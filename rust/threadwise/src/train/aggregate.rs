//! Gradients of several shards: their sum, and a step with it.
//!
//! Sources are read where they lie, strip by strip, each strip by one thread that adds up all sources in their order:
//! so bits depend neither on threads nor on strips.

use threadwise_kernels::train::{State, Summand, Terms};

use super::Optimizer;
use crate::linalg::Real;
use crate::work::{Choice, Load, calibration};
use crate::{Context, Error};

/// Elements of a strip.
const STRIP: usize = 1 << 14;

/// Elements that take a few microseconds, for which nobody is asked.
const AT_ONCE: usize = 1 << 13;

/// Multiply-adds in whose time an element is added and stored, where memory is no limit: so that the length of
/// work can be told without asking for a machine.
pub const ELEMENT: usize = 8;

/// out = factor · Σᵢ weightᵢ·sourceᵢ.
///
/// # Errors
///
/// If the context's interrupt is due.
///
/// # Panics
///
/// If a source is shorter than `out`, or there is not one weight for each.
pub fn aggregate<S: Summand<Sum: Real>>(
    terms: &Terms<'_, S, S::Sum>,
    out: &mut [S],
    context: &Context<'_>,
) -> Result<(), Error> {
    let threads = threads::<S, S::Sum>(out.len(), [terms.sources.len(), 1], context);
    let kernel = S::reduce(context.isa);
    let mut strips: Vec<_> = out.chunks_mut(STRIP).enumerate().collect();
    context.share(&mut strips, threads, |(i, strip), _| kernel.run(terms, *i * STRIP, strip))
}

/// A parameter, what the optimizer remembers of it, and its gradients.
#[derive(Debug)]
pub struct Parameter<'a, T> {
    /// The weights and their states.
    pub state: State<'a, T>,
    /// Its gradient from each shard, as long as it.
    pub gradients: Vec<&'a [T]>,
}

/// How gradients of shards become one.
#[derive(Clone, Copy, Debug)]
pub struct Merge<'a, T> {
    /// What each shard's is multiplied by.
    pub weights: &'a [T],
    /// What the sum is multiplied by.
    pub factor: T,
    /// The norm that all gradients together may have; if it is larger, they are scaled down to it.
    pub clip: Option<f64>,
}

/// A step with the sum of the shards' gradients. Returns their norm, if it had to be known.
///
/// # Errors
///
/// If the context's interrupt is due: some parameters have then made the step.
///
/// # Panics
///
/// If there are not as many gradients as weights, or they are shorter than the parameter.
pub fn step<T: Real + Summand<Sum = T>>(
    parameters: &mut [Parameter<'_, T>],
    merge: Merge<'_, T>,
    optimizer: Optimizer,
    context: &Context<'_>,
) -> Result<Option<f64>, Error> {
    let Merge { weights, mut factor, clip } = merge;
    let norm = clip.map(|_| norm(parameters, weights, factor, context)).transpose()?;
    if let (Some(most), Some(norm)) = (clip, norm)
        && norm > most
    {
        factor = T::from_f64(factor.to_f64() * most / norm);
    }
    let kernels = T::train(context.isa);
    let mut strips = Vec::new();
    let mut elements = 0;
    for Parameter { state, gradients } in parameters {
        elements += state.weights.len();
        let [one, two] = &mut state.states;
        let (mut one, mut two) = (one.chunks_mut(STRIP), two.chunks_mut(STRIP));
        for (i, weights) in state.weights.chunks_mut(STRIP).enumerate() {
            let states = [one.next().unwrap_or_default(), two.next().unwrap_or_default()];
            strips.push((i * STRIP, &gradients[..], State { weights, states }));
        }
    }
    let states = optimizer.states();
    let sizes = [weights.len() + 1 + states, 1 + states];
    let threads = threads::<T, T>(elements, sizes, context);
    context.share(&mut strips, threads, |(first, sources, state), _| {
        let terms = Terms { sources, weights, factor };
        let State { weights, states: [one, two] } = state;
        optimizer.step(&kernels, &terms, *first, State { weights, states: [one, two] });
    })?;
    Ok(norm)
}

/// The root of the sum of all squares of all summed gradients.
fn norm<T: Real>(
    parameters: &[Parameter<'_, T>],
    weights: &[T],
    factor: T,
    context: &Context<'_>,
) -> Result<f64, Error> {
    let all: Vec<_> = parameters
        .iter()
        .map(|it| (Terms { sources: &it.gradients, weights, factor }, it.state.weights.len()))
        .collect();
    norm_of(&all, context)
}

/// The root of the sum of all squares of these sums, of so many elements each: strips in order, in float64.
///
/// # Errors
///
/// If the context's interrupt is due.
///
/// # Panics
///
/// If a source is shorter than that, or there is not one weight for each.
pub fn norm_of<T: Real>(
    all: &[(Terms<'_, T, T>, usize)],
    context: &Context<'_>,
) -> Result<f64, Error> {
    let kernels = T::train(context.isa);
    let mut strips = Vec::new();
    for (terms, len) in all {
        for first in (0..*len).step_by(STRIP) {
            strips.push((terms, first, STRIP.min(len - first), 0.0));
        }
    }
    let elements = all.iter().map(|(_, len)| len).sum();
    let sources = all.first().map_or(0, |(terms, _)| terms.sources.len());
    let threads = threads::<T, T>(elements, [sources, 0], context);
    context.share(&mut strips, threads, |(terms, first, count, squares), _| {
        *squares = kernels.squares(terms, *first, *count);
    })?;
    Ok(strips.iter().map(|strip| strip.3).sum::<f64>().sqrt())
}

/// Threads that it is worth to go over so many elements, each of which is read and written so many times.
fn threads<S, T: Real>(
    elements: usize,
    [read, written]: [usize; 2],
    context: &Context<'_>,
) -> usize {
    if context.threads <= 1 || elements.saturating_mul(read) < AT_ONCE {
        return 1;
    }
    let bytes = elements as f64 * size_of::<S>() as f64;
    let load = Load {
        kind: T::RATE,
        multiply_adds: elements as f64 * (read + written) as f64,
        read: bytes * read as f64,
        written: bytes * written as f64,
    };
    let (machine, _) = calibration::current(context.isa);
    Choice::for_call(&machine, load, context.threads, elements.div_ceil(STRIP)).threads
}
