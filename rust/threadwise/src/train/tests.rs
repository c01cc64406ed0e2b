//! Passes over networks: derivatives by differences, and bits over threads.

use ndarray::{Array2, ArrayViewMut2, Axis};

use super::*;
use crate::linalg::Real;
use crate::{Context, Isa};

/// A weight and a bias.
type Pair<T> = (Array2<T>, Array2<T>);

/// A network, its weights and biases, rows and targets that look like none in particular.
struct Case<T> {
    network: Network,
    layers: Vec<Pair<T>>,
    x: Array2<T>,
    values: Array2<T>,
    labels: Vec<i64>,
}

impl<T: Real> Case<T> {
    fn new(sizes: &[usize], curve: Option<Curve>, dropout: f64, batch: usize) -> Self {
        let wave = |rows: usize, columns: usize, seed: f64, size: f64| {
            Array2::from_shape_fn((rows, columns), |(i, j)| {
                T::from_f64(((i * columns + j) as f64 * 1.7 + seed).sin() * size)
            })
        };
        let layers = sizes
            .windows(2)
            .enumerate()
            .map(|(l, pair)| {
                let size = 1.5 / (pair[0] as f64).sqrt();
                (wave(pair[1], pair[0], l as f64, size), wave(pair[1], 1, 0.5, 0.3))
            })
            .collect();
        let outputs = sizes[sizes.len() - 1];
        let hidden = sizes.len() - 2;
        Self {
            network: Network {
                sizes: sizes.to_vec(),
                curve,
                dropout: vec![dropout; hidden],
                seed: 5,
            },
            layers,
            x: wave(batch, sizes[0], 0.1, 1.0),
            values: wave(batch, outputs, 0.7, 0.5).mapv(|t| T::from_f64(t.to_f64().abs())),
            labels: (0..batch).map(|i| (i * 7 % outputs) as i64).collect(),
        }
    }

    fn weights(&self) -> Vec<Weights<'_, T>> {
        self.layers
            .iter()
            .map(|(weight, bias)| Weights { weight: weight.view(), bias: bias.view() })
            .collect()
    }

    fn goal(&self, loss: Loss, by_label: bool) -> Goal<'_, T> {
        let target = if by_label {
            Target::Labels(&self.labels)
        } else {
            Target::Values(self.values.view())
        };
        Goal { target, loss }
    }

    /// The loss, and the derivatives by each layer's weights and biases.
    fn gradients(&self, goal: Goal<'_, T>, context: &Context<'_>) -> (f64, Vec<Pair<T>>) {
        let mut made: Vec<_> = self
            .layers
            .iter()
            .map(|(w, b)| {
                (Array2::zeros(w.dim()).mapv(T::from_f64), Array2::zeros(b.dim()).mapv(T::from_f64))
            })
            .collect();
        let places = made
            .iter_mut()
            .map(|(weight, bias)| WeightsMut { weight: weight.view_mut(), bias: bias.view_mut() })
            .collect();
        let loss =
            gradients(&self.network, self.weights(), self.x.view(), goal, places, context).unwrap();
        (loss, made)
    }
}

fn on(threads: usize) -> Context<'static> {
    Context { threads, ..Context::alone(Isa::current().unwrap()) }
}

const LOSSES: [Loss; 4] =
    [Loss::CrossEntropy, Loss::Squares, Loss::Huber(0.4), Loss::BinaryCrossEntropy];

/// Central differences of step h are off by h² and by u/h of a loss near 1: with h = 1e-5 by some 1e-10.
#[test]
fn derivatives_are_what_differences_say() {
    let curves = Curve::NAMED.into_iter().map(|(_, curve)| Some(curve)).chain([None]);
    for curve in curves {
        for (loss, by_label) in LOSSES.into_iter().flat_map(|loss| [(loss, true), (loss, false)]) {
            if by_label && loss != Loss::CrossEntropy {
                continue;
            }
            let mut case = Case::<f64>::new(&[5, 9, 4, 3], curve, 0.0, 7);
            let (_, exact) = case.gradients(case.goal(loss, by_label), &on(1));
            for (l, (weight, bias)) in exact.iter().enumerate() {
                for place in 0..2 {
                    let count =
                        if place == 0 { case.layers[l].0.len() } else { case.layers[l].1.len() };
                    for j in (0..count).step_by(3) {
                        let mut at = |change: f64| {
                            let (w, b) = &mut case.layers[l];
                            let it = if place == 0 { w } else { b };
                            it.as_slice_mut().unwrap()[j] += change;
                            let loss = case.gradients(case.goal(loss, by_label), &on(1)).0;
                            let (w, b) = &mut case.layers[l];
                            let it = if place == 0 { w } else { b };
                            it.as_slice_mut().unwrap()[j] -= change;
                            loss
                        };
                        let slope = (at(1e-5) - at(-1e-5)) / 2e-5;
                        let it = if place == 0 { weight } else { bias };
                        let error = (it.as_slice().unwrap()[j] - slope).abs();
                        assert!(error < 1e-7, "{curve:?} {loss:?} layer {l}, {j}: {error:e}");
                    }
                }
            }
        }
    }
}

fn bits<T: Real>(numbers: impl IntoIterator<Item = T>) -> Vec<u64> {
    numbers.into_iter().map(|x| x.to_f64().to_bits()).collect()
}

/// The weights after some steps, and the losses.
fn trained<T: Real>(threads: usize, clip: Option<f64>) -> Vec<u64> {
    let mut case = Case::<T>::new(&[140, 260, 100, 10], Some(Curve::Gelu), 0.25, 330);
    let optimizer = Optimizer::Adam {
        rate: 0.0,
        betas: [0.9, 0.999],
        eps: 1e-8,
        decay: 0.01,
        is_decoupled: true,
        time: 1,
    };
    let mut states: Vec<_> = case
        .layers
        .iter()
        .map(|(w, b)| [0; 2].map(|_| (w.mapv(|_| T::default()), b.mapv(|_| T::default()))))
        .collect();
    let rows: Vec<usize> = (0..330).map(|i| i * 77 % 330).collect();
    let (x, labels, network) = (case.x.clone(), case.labels.clone(), case.network.clone());
    let lend = |(weight, bias)| WeightsMut { weight, bias };
    let parameters = case
        .layers
        .iter_mut()
        .zip(&mut states)
        .map(|((w, b), states)| Trained {
            weights: lend((w.view_mut(), b.view_mut())),
            states: states.iter_mut().map(|(w, b)| lend((w.view_mut(), b.view_mut()))).collect(),
        })
        .collect();
    let goal = Goal { target: Target::Labels(&labels), loss: Loss::CrossEntropy };
    let course = Course { optimizer, rates: &[0.01, 0.01, 0.02], clip, time: 3 };
    let losses =
        train(&network, parameters, x.view(), Some(&rows), 150, goal, course, &on(threads))
            .unwrap();
    assert_eq!(losses.len(), 3, "two whole batches and a rest");
    let weights = case.layers.into_iter().flat_map(|(w, b)| w.into_iter().chain(b));
    let mut all = bits(weights);
    all.extend(losses.into_iter().map(f64::to_bits));
    all
}

#[test]
fn threads_do_not_change_a_bit_of_training() {
    for clip in [None, Some(0.1)] {
        let [one, single] = [trained::<f64>(1, clip), trained::<f32>(1, clip)];
        for threads in [2, 3, 4] {
            assert_eq!(trained::<f64>(threads, clip), one, "float64, {threads} threads");
            assert_eq!(trained::<f32>(threads, clip), single, "float32, {threads} threads");
        }
    }
    assert_ne!(trained::<f64>(1, None), trained::<f64>(1, Some(0.1)), "the norm was too large");
}

#[test]
fn each_rows_gradients_have_that_of_all_as_their_mean() {
    let case = Case::<f64>::new(&[6, 20, 4], Some(Curve::Tanh), 0.0, 11);
    let goal = case.goal(Loss::Huber(0.4), false);
    let (_, all) = case.gradients(goal, &on(1));
    let mut each: Vec<_> = case
        .layers
        .iter()
        .map(|(w, b)| (Array2::zeros((11, w.len())), Array2::zeros((11, b.len()))))
        .collect();
    let places = each
        .iter_mut()
        .map(|(weight, bias): &mut (Array2<f64>, Array2<f64>)| WeightsMut {
            weight: weight.view_mut(),
            bias: bias.view_mut(),
        })
        .collect();
    each_gradient(&case.network, case.weights(), case.x.view(), goal, places, &on(2)).unwrap();
    for ((w, b), (ws, bs)) in all.iter().zip(&each) {
        let means = [(w, ws), (b, bs)].map(|(all, each)| (all, each.mean_axis(Axis(0)).unwrap()));
        for (all, mean) in means {
            for (x, y) in all.iter().zip(&mean) {
                // Eleven terms below 1, in another order.
                assert!((x - y).abs() < 1e-14, "{x}, {y}");
            }
        }
    }
}

#[test]
fn samples_are_whole_passes_with_their_masks_bit_for_bit() {
    for (dropout, curve) in [(0.0, Curve::Relu), (0.3, Curve::Relu), (0.3, Curve::Silu)] {
        let mut case = Case::<f32>::new(&[20, 70, 30, 5], Some(curve), dropout, 9);
        case.network.dropout[0] = 0.0;
        let run = |threads| {
            let mut out = Array2::from_elem((40 * 9, 5), f32::NAN);
            let context = on(threads);
            let (weights, x) = (case.weights(), case.x.view());
            monte_carlo(&case.network, weights, x, (8, 2), out.view_mut(), &context).unwrap();
            out
        };
        let samples = run(1);
        assert_eq!(bits(run(3)), bits(samples.clone()), "threads");
        for number in 0..40 {
            let mut whole = Array2::from_elem((9, 5), f32::NAN);
            let sample = Sample { seed: 8, number, first_row: 2 };
            let (weights, x) = (case.weights(), case.x.view());
            let place: ArrayViewMut2<'_, f32> = whole.view_mut();
            forward(&case.network, weights, x, Some(sample), place, &on(2)).unwrap();
            let first = usize::try_from(number).unwrap() * 9;
            let ours = samples.slice_axis(Axis(0), (first..first + 9).into());
            assert_eq!(bits(whole), bits(ours.iter().copied()), "{dropout} {curve:?} {number}");
        }
    }
}

#[test]
fn a_rows_outputs_do_not_depend_on_the_batch() {
    let case = Case::<f32>::new(&[600, 140, 5], Some(Curve::Relu), 0.0, 70);
    let run = |rows: std::ops::Range<usize>| {
        let mut out = Array2::from_elem((rows.len(), 5), f32::NAN);
        let x = case.x.slice_axis(Axis(0), rows.into());
        forward(&case.network, case.weights(), x, None, out.view_mut(), &on(2)).unwrap();
        out
    };
    let whole = run(0..70);
    for (first, end) in [(0, 1), (3, 4), (10, 45), (60, 70)] {
        let part = whole.slice_axis(Axis(0), (first..end).into()).to_owned();
        assert_eq!(bits(run(first..end)), bits(part), "rows {first} to {end}");
    }
}

#[test]
fn sums_of_shards_do_not_depend_on_threads() {
    let sources: Vec<Vec<f32>> =
        (0..5).map(|i| (0..100_003).map(|j| ((i * 31 + j) as f32).sin()).collect()).collect();
    let sources: Vec<&[f32]> = sources.iter().map(Vec::as_slice).collect();
    let terms = Terms { sources: &sources, weights: &[1.0, 2.0, 0.5, 1.0, 3.0], factor: 0.2 };
    let run = |threads| {
        let mut out = vec![f32::NAN; 100_003];
        aggregate(&terms, &mut out, &on(threads)).unwrap();
        let norm = norm_of(&[(terms, 100_003)], &on(threads)).unwrap();
        let (mut w, mut v) = (out.clone(), vec![0.5; 100_003]);
        let states: [&mut [f32]; 2] = [&mut v, &mut []];
        let state = State { weights: &mut w, states };
        let mut parameters = [Parameter { state, gradients: sources.clone() }];
        let optimizer = Optimizer::Sgd { rate: 0.1, momentum: 0.9, is_nesterov: true, decay: 0.0 };
        let merge = Merge { weights: terms.weights, factor: 0.2, clip: Some(1.0) };
        let same = step(&mut parameters, merge, optimizer, &on(threads)).unwrap();
        assert_eq!(same.map(f64::to_bits), Some(norm.to_bits()), "the same norm");
        (bits(out), bits(w), bits(v), norm.to_bits())
    };
    let one = run(1);
    assert!([2, 3, 4].into_iter().all(|threads| run(threads) == one), "bits differ");
}
