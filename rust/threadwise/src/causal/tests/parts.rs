//! Parts of a model together are the model: layers that follow one another, ranks that share each.

use std::sync::{Barrier, Mutex};

use ndarray::Array2;

use super::super::{
    Cache, CacheType, CausalLm, Input, ModelShape, Packing, Part, Reduce, Wanted, ZeroKind,
};
use super::forward::{context, packings, tokens};
use super::model::{Kind, Tiny, shape};
use crate::Error;
use crate::dots::Inputs;
use crate::store::Dtype;

fn part(tiny: &Tiny, part: Part, inputs: Inputs) -> CausalLm {
    let shape = tiny.shape.clone();
    CausalLm::load(tiny.path(), shape, &tiny.packings, part, inputs, &context(1)).unwrap()
}

fn run(
    model: &CausalLm,
    input: Input<'_>,
    count: usize,
    reduce: Option<&dyn Reduce>,
) -> Array2<f32> {
    let mut cache = Cache::new(model, 1, count, CacheType::F32).unwrap();
    let mut out = Array2::from_elem((count, model.outputs()), f32::NAN);
    let view = out.view_mut();
    model.forward(input, &[0], &mut cache, Wanted::All, view, reduce, &context(2)).unwrap();
    out
}

#[test]
fn layers_one_after_the_other_give_the_bits_of_all_of_them() {
    let ids = tokens(20, 3);
    let packing = Packing { bits: 4, group: Some(16), zeros: ZeroKind::Code };
    for kind in [Kind::Plain(Dtype::F32), Kind::Packed(packing)] {
        let tiny = Tiny::new(ModelShape { layers: 4, ..shape(4, 2, 8) }, kind);
        let whole = part(&tiny, Part::whole(&tiny.shape), Inputs::Int8);
        let expected = run(&whole, Input::Ids(&[&ids]), 20, None);
        for ends in [&[1, 4][..], &[2, 3, 4], &[1, 2, 3, 4]] {
            let (mut first, mut hidden) = (0, Array2::zeros((0, 0)));
            let mut bytes = 0;
            for &end in ends {
                let stage = Part { layers: first..end, world: 1, rank: 0 };
                let stage = part(&tiny, stage, Inputs::Int8);
                assert_eq!((stage.is_first(), stage.is_last()), (first == 0, end == 4));
                hidden = if first == 0 {
                    run(&stage, Input::Ids(&[&ids]), 20, None)
                } else {
                    run(&stage, Input::Hidden(hidden.as_slice().unwrap(), &[20]), 20, None)
                };
                (first, bytes) = (end, bytes + stage.bytes());
            }
            assert_eq!(hidden, expected, "{ends:?}");
            assert_eq!(bytes, whole.bytes(), "each holds its layers only");
        }
    }
}

/// Ranks on threads, whose numbers are added in the order of ranks.
struct Ranks {
    barrier: Barrier,
    sums: Mutex<Vec<Option<Vec<f32>>>>,
}

struct Rank<'a>(&'a Ranks, usize);

impl Reduce for Rank<'_> {
    fn sum(&self, numbers: &mut [f32], columns: usize) -> Result<(), Error> {
        assert!(numbers.len().is_multiple_of(columns), "whole rows");
        let Self(ranks, rank) = self;
        ranks.sums.lock().unwrap()[*rank] = Some(numbers.to_vec());
        ranks.barrier.wait();
        let all: Vec<Vec<f32>> = ranks.sums.lock().unwrap().iter().flatten().cloned().collect();
        numbers.fill(0.0);
        for one in all {
            numbers.iter_mut().zip(one).for_each(|(sum, x)| *sum += x);
        }
        ranks.barrier.wait();
        Ok(())
    }
}

/// Logits of each rank.
fn shared(tiny: &Tiny, world: usize, ids: &[usize], inputs: Inputs) -> Vec<(usize, Array2<f32>)> {
    let ranks = Ranks { barrier: Barrier::new(world), sums: Mutex::new(vec![None; world]) };
    std::thread::scope(|scope| {
        let handles: Vec<_> = (0..world)
            .map(|rank| {
                let ranks = &ranks;
                scope.spawn(move || {
                    let layers = 0..tiny.shape.layers;
                    let model = part(tiny, Part { layers, world, rank }, inputs);
                    let hook = Rank(ranks, rank);
                    let y = run(&model, Input::Ids(&[ids]), ids.len(), Some(&hook));
                    (model.bytes(), y)
                })
            })
            .collect();
        handles.into_iter().map(|handle| handle.join().unwrap()).collect()
    })
}

#[test]
fn ranks_that_share_layers_give_the_logits_of_one_and_hold_their_shares() {
    let ids = tokens(9, 3);
    let models = [
        ModelShape { qkv_bias: true, o_bias: true, mlp_bias: true, ..shape(6, 2, 8) },
        ModelShape { window: Some(4), ..shape(5, 1, 6) },
    ];
    for shape in models {
        let tiny = Tiny::new(shape, Kind::Plain(Dtype::F32));
        let whole = part(&tiny, Part::whole(&tiny.shape), Inputs::Int8);
        let expected = run(&whole, Input::Ids(&[&ids]), 9, None);
        for world in [1, 2, 3, 4, 5, 8] {
            let all = shared(&tiny, world, &ids, Inputs::Int8);
            let again = shared(&tiny, world, &ids, Inputs::Int8);
            for ((bytes, y), (_, again)) in all.iter().zip(&again) {
                assert_eq!(y, again, "the same bits from run to run");
                let error = (y - &expected).mapv(f32::abs).fold(0.0_f32, |a, b| a.max(*b));
                assert!(error <= 1e-4, "{world} ranks: {error}");
                assert!(world == 1 || *bytes < whole.bytes(), "{world} ranks: {bytes} bytes");
            }
            let tables = 2 * 37 * 48 * 4;
            let shares: usize = all.iter().map(|(bytes, _)| bytes - tables).sum();
            assert!(world > 2 || shares < (whole.bytes() - tables) * 11 / 10, "{world}: {shares}");
        }
    }
}

#[test]
fn shares_of_quantized_layers_cut_through_groups() {
    let ids = tokens(5, 3);
    for packing in packings() {
        let tiny = Tiny::new(shape(6, 2, 8), Kind::Packed(packing));
        let whole = part(&tiny, Part::whole(&tiny.shape), Inputs::Float);
        let expected = run(&whole, Input::Ids(&[&ids]), 5, None);
        for world in [2, 3, 5] {
            for (_, y) in shared(&tiny, world, &ids, Inputs::Float) {
                let error = (y - &expected).mapv(f32::abs).fold(0.0_f32, |a, b| a.max(*b));
                assert!(error <= 1e-3, "{packing:?}, {world} ranks: {error}");
            }
        }
    }
}
