//! What is done with a network: outputs, gradients, steps.

use ndarray::{ArrayView2, ArrayViewMut2};

use super::buffers::{Parameters, Task, run};
use super::network::{Network, Purpose};
use super::pass::End;
use super::task::{Course, Goal, Masks, Trained, Weights, WeightsMut};
use crate::linalg::Real;
use crate::{Context, Error};

/// The sample whose masks a pass has.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// What masks are functions of.
    pub seed: u64,
    /// The number of the sample.
    pub number: u64,
    /// The number of the first row.
    pub first_row: usize,
}

impl Sample {
    pub(super) fn masks(self) -> Masks {
        let key = [self.seed, Purpose::Sampling as u64];
        Masks { key, time: self.number, row: self.first_row }
    }
}

/// `out = network(x)`, without masks, or with those of a sample. With the weights of the first layers only, what the
/// last of these gives.
///
/// # Errors
///
/// If memory runs out, or the context's interrupt is due.
pub fn forward<T: Real>(
    network: &Network,
    weights: Vec<Weights<'_, T>>,
    x: ArrayView2<'_, T>,
    sample: Option<Sample>,
    out: ArrayViewMut2<'_, T>,
    context: &Context<'_>,
) -> Result<(), Error> {
    let batch = x.nrows();
    let parameters = weights.into_iter().map(Parameters::Lent).collect();
    let masks = sample.map(Sample::masks);
    let task = Task { x, rows: None, batch, steps: 1, goal: None, masks, end: End::Outputs };
    run(network, parameters, task, Some(out), Vec::new(), context).map(drop)
}

/// The mean loss of some rows, and its derivatives by all weights, without masks.
///
/// # Errors
///
/// As [`forward`].
pub fn gradients<T: Real>(
    network: &Network,
    weights: Vec<Weights<'_, T>>,
    x: ArrayView2<'_, T>,
    goal: Goal<'_, T>,
    gradients: Vec<WeightsMut<'_, T>>,
    context: &Context<'_>,
) -> Result<f64, Error> {
    let batch = x.nrows();
    let parameters = weights.into_iter().map(Parameters::Lent).collect();
    let end = End::Gradients;
    let task = Task {
        x: x.view(),
        rows: None,
        batch,
        steps: 1,
        goal: Some(goal.lend()),
        masks: None,
        end,
    };
    let losses = run(network, parameters, task, None, gradients, context)?;
    Ok(losses.iter().sum())
}

/// The derivatives of each row's loss by all weights: a row of the gradients for each row.
///
/// # Errors
///
/// As [`forward`].
pub fn each_gradient<T: Real>(
    network: &Network,
    weights: Vec<Weights<'_, T>>,
    x: ArrayView2<'_, T>,
    goal: Goal<'_, T>,
    gradients: Vec<WeightsMut<'_, T>>,
    context: &Context<'_>,
) -> Result<(), Error> {
    let batch = x.nrows();
    let parameters = weights.into_iter().map(Parameters::Lent).collect();
    let end = End::EachGradient;
    let task = Task {
        x: x.view(),
        rows: None,
        batch,
        steps: 1,
        goal: Some(goal.lend()),
        masks: None,
        end,
    };
    run(network, parameters, task, None, gradients, context).map(drop)
}

/// Steps with rows of `x`: as many steps as rates, each with the next `batch` of `rows`, the last with those that are
/// left. Returns the loss of each, before it was made.
///
/// # Errors
///
/// As [`forward`]: then some weights have made a step that others have not.
#[expect(clippy::too_many_arguments, reason = "operands, each of them another kind")]
pub fn train<T: Real>(
    network: &Network,
    mut trained: Vec<Trained<'_, T>>,
    x: ArrayView2<'_, T>,
    rows: Option<&[usize]>,
    batch: usize,
    goal: Goal<'_, T>,
    course: Course<'_>,
    context: &Context<'_>,
) -> Result<Vec<f64>, Error> {
    let count = rows.map_or(x.nrows(), <[usize]>::len);
    let mut losses = Vec::with_capacity(course.rates.len());
    let whole = count / batch;
    let masks = |time| {
        let masked = network.dropout.iter().any(|&rate| rate > 0.0);
        let key = [network.seed, Purpose::Training as u64];
        masked.then_some(Masks { key, time, row: 0 })
    };
    for (first, steps, batch) in [(0, whole, batch), (whole, 1, count - whole * batch)] {
        if steps == 0 || batch == 0 {
            continue;
        }
        let parameters = trained.iter_mut().map(|it| Parameters::Trained(it.lend())).collect();
        let rows = rows
            .map(|rows| if first == 0 { &rows[..steps * batch] } else { &rows[count - batch..] });
        let (time, rates) = (course.time + first as u64, &course.rates[first..first + steps]);
        let optimizer = course.optimizer.at(first as u64, rates[0]);
        let end = End::Step(Course { optimizer, rates, time, ..course });
        let (x, goal) = (x.view(), Some(goal.lend()));
        let task = Task { x, rows, batch, steps, goal, masks: masks(time), end };
        losses.extend(run(network, parameters, task, None, Vec::new(), context)?);
    }
    Ok(losses)
}
