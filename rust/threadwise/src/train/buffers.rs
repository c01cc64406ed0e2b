//! A pass from its operands: buffers, threads, and what comes of it.

use ndarray::{ArrayView2, ArrayViewMut2};
use threadwise_kernels::split;
use threadwise_runtime::with_scratch;

use super::cuts::{Cells, slivers};
use super::network::Network;
use super::pass::{End, Input, Layer, Pass};
use super::pieces::{self, Pieces};
use super::plane::{Carver, Grid, Plane};
use super::product::depth;
use super::task::{Course, Goal, Masks, Trained, Weights, WeightsMut};
use crate::error::Shape;
use crate::linalg::Real;
use crate::phased::Region;
use crate::work::{Choice, Load, calibration};
use crate::{Context, Error};

/// Multiply-adds of a pass up to which nobody is asked for help.
const AT_ONCE: usize = 300_000;

/// Multiply-adds in whose time threads go from one phase to the next.
const PHASE: usize = 300_000;

/// The parameters of a layer.
pub(super) enum Parameters<'b, T> {
    Lent(Weights<'b, T>),
    Trained(Trained<'b, T>),
}

impl<T> Parameters<'_, T> {
    /// The same for a shorter time.
    fn lend(&mut self) -> Parameters<'_, T> {
        match self {
            Self::Lent(Weights { weight, bias }) => {
                Parameters::Lent(Weights { weight: weight.view(), bias: bias.view() })
            }
            Self::Trained(trained) => Parameters::Trained(trained.lend()),
        }
    }
}

/// What is done with them.
pub(super) struct Task<'b, T> {
    pub(super) x: ArrayView2<'b, T>,
    pub(super) rows: Option<&'b [usize]>,
    pub(super) batch: usize,
    pub(super) steps: usize,
    pub(super) goal: Option<Goal<'b, T>>,
    pub(super) masks: Option<Masks>,
    pub(super) end: End<'b>,
}

/// Runs a pass. Returns the loss of each step.
pub(super) fn run<T: Real>(
    network: &Network,
    parameters: Vec<Parameters<'_, T>>,
    task: Task<'_, T>,
    out: Option<ArrayViewMut2<'_, T>>,
    mut gradients: Vec<WeightsMut<'_, T>>,
    context: &Context<'_>,
) -> Result<Vec<f64>, Error> {
    let sizes = Sizes::<T>::new(network, &task, context);
    let clips = matches!(task.end, End::Step(Course { clip: Some(_), .. }));
    let room = if clips { sizes.gradients } else { 0 };
    with_scratch(sizes.values, |values: &mut [T]| {
        with_scratch(sizes.units, |units: &mut [u32]| {
            with_scratch(room, |scratch: &mut [T]| {
                let mut carver = Carver(scratch);
                let mut gradients: Vec<_> = gradients.iter_mut().map(WeightsMut::lend).collect();
                if clips {
                    for l in 0..network.layers() {
                        let [inputs, outputs] = network.extents(l);
                        let weight = carver.matrix((outputs, inputs))?;
                        gradients.push(WeightsMut { weight, bias: carver.matrix((outputs, 1))? });
                    }
                }
                compute(network, parameters, task, out, gradients, (&sizes, values, units), context)
            })?
        })?
    })?
}

/// What a pass needs room for.
struct Sizes<T: 'static> {
    /// What makes products from pieces, if they are made so.
    split: Option<split::Kernel<T>>,
    /// Units of their operands.
    units: usize,
    /// Columns of a sliver, and rows of a tile.
    tile: (usize, usize),
    /// Elements of all buffers but those of gradients.
    values: usize,
    /// Elements of gradients.
    gradients: usize,
    keeps_inputs: bool,
    goes_back: bool,
    /// Whether inputs are packed, for the gradients of weights.
    packs: bool,
}

impl<T: Real> Sizes<T> {
    fn new(network: &Network, task: &Task<'_, T>, context: &Context<'_>) -> Self {
        let kernel = T::gemm(context.isa);
        let goes_back = task.goal.is_some();
        let packs = goes_back && !matches!(task.end, End::EachGradient);
        let split = pieces::kernel(context.isa, task.batch).filter(|_| packs);
        let mut sizes = Self {
            split,
            units: split.map_or(0, |_| pieces::units(network, task.batch)),
            tile: match split {
                Some(_) => (split::SIDE, split::SIDE),
                None => (kernel.columns(), kernel.rows()),
            },
            values: if task.rows.is_some() { task.batch * network.sizes[0] } else { 0 },
            gradients: 0,
            keeps_inputs: network.keeps_inputs(),
            goes_back,
            packs,
        };
        for l in 0..network.layers() {
            let [inputs, outputs] = network.extents(l);
            let is_hidden = l + 1 < network.layers();
            let copies = 1
                + usize::from(is_hidden && sizes.keeps_inputs)
                + usize::from(is_hidden && goes_back);
            sizes.values += copies * task.batch * outputs;
            if sizes.packs && sizes.split.is_none() {
                let (rows, columns) = sizes.packed(task.batch, inputs);
                sizes.values += rows * columns;
            }
            sizes.gradients += outputs * (inputs + 1);
        }
        sizes
    }

    /// How a layer's outputs are cut, and the gradient of its weight.
    fn cells(&self, batch: usize, [inputs, outputs]: [usize; 2]) -> (Cells, Cells) {
        let ((width, height), product, weight) = (self.tile, (batch, outputs), (outputs, inputs));
        match self.split {
            Some(_) => {
                (Cells::of_panels(product, width), Cells::of_gradient_panels(weight, height))
            }
            None => (Cells::of_product(product, width), Cells::of_gradient(weight, height)),
        }
    }

    /// Slivers of a layer's inputs, and elements of each.
    fn packed(&self, batch: usize, inputs: usize) -> (usize, usize) {
        let (depth, width) = (depth(batch), self.tile.0);
        (batch.div_ceil(depth) * inputs.div_ceil(width), depth * width)
    }
}

fn compute<T: Real>(
    network: &Network,
    mut parameters: Vec<Parameters<'_, T>>,
    task: Task<'_, T>,
    mut out: Option<ArrayViewMut2<'_, T>>,
    mut gradients: Vec<WeightsMut<'_, T>>,
    (sizes, values, units): (&Sizes<T>, &mut [T], &mut [u32]),
    context: &Context<'_>,
) -> Result<Vec<f64>, Error> {
    let Task { ref x, rows, batch, steps, ref goal, masks, end } = task;
    let (x, goal) = (x.view(), goal.as_ref().map(Goal::lend));
    let parameters: Vec<_> = parameters.iter_mut().map(Parameters::lend).collect();
    let region = Region::new();
    let mut carver = Carver(values);
    let gathered = match rows {
        Some(rows) => {
            let room = carver.matrix((batch, network.sizes[0]))?;
            Some((rows, Grid::new(&region, room, Cells::of_rows(network.sizes[0]))))
        }
        None => None,
    };
    let (count, given_layers) = (network.layers(), parameters.len());
    let mut layers = Vec::with_capacity(given_layers);
    let mut gradients = gradients.iter_mut().map(WeightsMut::lend);
    for (l, parameters) in parameters.into_iter().enumerate() {
        let [inputs, outputs] = network.extents(l);
        let is_hidden = l + 1 < count;
        let (cells, of_weight) = sizes.cells(batch, [inputs, outputs]);
        let of_bias = Cells { rows: of_weight.rows, columns: 1 };
        let (weight, bias, states) = planes(&region, parameters, [of_weight, of_bias]);
        let mut buffer = |is_needed: bool| -> Result<_, Error> {
            let room = is_needed.then(|| carver.matrix((batch, outputs))).transpose()?;
            Ok(room.map(|room| Grid::new(&region, room, cells)))
        };
        let given =
            out.take_if(|_| l + 1 == given_layers).map(|out| Grid::new(&region, out, cells));
        let y = match given {
            Some(y) => Some(y),
            None => buffer(true)?,
        };
        let z = buffer(is_hidden && sizes.keeps_inputs)?;
        let delta = buffer(is_hidden && sizes.goes_back)?;
        let Some(y) = y else { continue };
        let packed = if sizes.packs && sizes.split.is_none() {
            let (rows, columns) = sizes.packed(batch, inputs);
            let together = Cells { rows: slivers(columns), columns };
            Some(Grid::new(&region, carver.matrix((rows, columns))?, together))
        } else {
            None
        };
        let cells = match end {
            End::EachGradient => Cells::of_each_row([outputs * inputs, outputs]),
            _ => [of_weight, of_bias],
        };
        let gradient = gradients.next().map(|it| grids(&region, it, cells));
        let items = if sizes.packs { outputs.div_ceil(of_weight.rows) } else { 0 };
        let rows = of_weight.rows;
        layers.push(Layer { weight, bias, y, z, delta, packed, gradient, states, items, rows });
    }
    let loss_cut = layers.last_mut().filter(|_| sizes.goes_back).map(|layer| {
        let cells = Cells::of_rows(network.sizes[count]);
        (layer.y.cut(cells), cells.rows)
    });
    let shards = loss_cut.map_or(0, |(cut, _)| cut.len());
    let items: usize = layers.iter().map(|layer| layer.items).sum();
    let (mut losses, mut squares) = (vec![0.0; steps * shards], vec![0.0; items]);
    let pieces = sizes.split.map(|kernel| Pieces::new(&region, kernel, network, batch, units));
    let one = Cells { rows: 1, columns: 1 };
    let losses_view = ArrayViewMut2::from_shape((steps * shards, 1), &mut losses[..]);
    let losses_view = losses_view.map_err(|_| too_large(steps * shards))?;
    let squares_view = ArrayViewMut2::from_shape((items, 1), &mut squares[..]);
    let squares_view = squares_view.map_err(|_| too_large(items))?;
    let clips = matches!(end, End::Step(Course { clip: Some(_), .. }));
    let mut pass = Pass {
        network,
        kernel: T::gemm(context.isa),
        kernels: T::train(context.isa),
        batch,
        steps,
        input: Input { x, gathered },
        goal,
        masks,
        end,
        layers,
        pieces: pieces.transpose()?,
        loss_cut,
        losses: Some(Grid::new(&region, losses_view, one)),
        squares: clips.then(|| Grid::new(&region, squares_view, one)),
        phases: Vec::new(),
    };
    pass.plan();
    let threads = threads::<T>(network, &pass, context);
    context.run(region, threads, &pass)?;
    drop(pass);
    let share = goal.map_or(1.0, |goal| goal.share(batch, network.sizes[count]));
    Ok(losses.chunks(shards.max(1)).map(|losses| losses.iter().sum::<f64>() * share).collect())
}

/// The parameters of a layer as its items reach them.
type Planes<'b, T> = (Plane<'b, T>, Plane<'b, T>, Vec<(Grid<'b, T>, Grid<'b, T>)>);

/// Weight, bias and what the optimizer remembers of them, to be read or to be written by cells.
fn planes<'b, T: Real>(
    region: &Region,
    parameters: Parameters<'b, T>,
    cells: [Cells; 2],
) -> Planes<'b, T> {
    match parameters {
        Parameters::Lent(Weights { weight, bias }) => {
            (Plane::Lent(weight), Plane::Lent(bias), Vec::new())
        }
        Parameters::Trained(Trained { weights, states }) => {
            let (weight, bias) = grids(region, weights, cells);
            let states = states.into_iter().map(|it| grids(region, it, cells)).collect();
            (Plane::Shared(weight), Plane::Shared(bias), states)
        }
    }
}

/// A weight and a bias, to be written by cells.
fn grids<'b, T: Real>(
    region: &Region,
    it: WeightsMut<'b, T>,
    [of_weight, of_bias]: [Cells; 2],
) -> (Grid<'b, T>, Grid<'b, T>) {
    (Grid::new(region, it.weight, of_weight), Grid::new(region, it.bias, of_bias))
}

fn too_large(numbers: usize) -> Error {
    Error::TooLarge(Shape(vec![numbers, 1]))
}

/// Threads that a pass is worth.
fn threads<T: Real>(network: &Network, pass: &Pass<'_, T>, context: &Context<'_>) -> usize {
    let forward = network.multiply_adds().saturating_mul(pass.batch).saturating_mul(pass.steps);
    let all = if pass.goal.is_some() { forward.saturating_mul(3) } else { forward };
    if context.threads <= 1 || all < AT_ONCE {
        return 1;
    }
    // A second thread takes half of each step at best, and each phase has to wait for it.
    if all / pass.steps.max(1) / 2 < pass.phases.len() * PHASE {
        return 1;
    }
    let widest = pass.phases.iter().map(|phase| phase.1).max().unwrap_or(1);
    let elements = network.multiply_adds() as f64 * pass.steps as f64;
    let bytes = elements * size_of::<T>() as f64;
    let load = Load { kind: T::RATE, multiply_adds: all as f64, read: bytes, written: 0.0 };
    let (machine, _) = calibration::current(context.isa);
    Choice::for_call(&machine, load, context.threads, widest).threads
}
