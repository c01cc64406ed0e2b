//! Ranks that are threads: what they say to one another, and layers that they share.

use std::time::{Duration, Instant};

use ndarray::{Array1, Array2, ArrayD, ArrayView2, Axis, Slice};

use super::*;
use crate::error::{Error, RankError};
use crate::linalg::{self, Real};
use crate::nn::attention::View;
use crate::{Activation, Context};
use threadwise_kernels::Element as _;

const WORLDS: std::ops::RangeInclusive<usize> = 1..=8;

/// Numbers whose sums round.
fn number(seed: usize) -> f64 {
    ((seed * 7919 + 13) as f64).sin() * 3.0
}

fn matrix<T: Real>(rows: usize, columns: usize, seed: usize) -> Array2<T> {
    Array2::from_shape_fn((rows, columns), |(i, j)| T::from_f64(number(seed + i * columns + j)))
}

fn each<R: Send>(size: usize, work: impl Fn(&ThreadComm) -> Result<R, Error> + Sync) -> Vec<R> {
    ThreadComm::run(size, work).unwrap()
}

#[test]
fn sums_are_added_in_the_order_of_ranks() {
    for size in WORLDS {
        // Both sides of the length above which ranks share the sum.
        for len in [0, 1, 67, 2048, 16_384, 16_385, 40_001] {
            let term = |rank: usize, i: usize| f32::from_f64(number(rank * 100_003 + i));
            let expected: Vec<u32> = (0..len)
                .map(|i| (1..size).fold(term(0, i), |sum, rank| sum + term(rank, i)).to_bits())
                .collect();
            let sums = each(size, |comm| {
                let mut x: Vec<f32> = (0..len).map(|i| term(comm.rank(), i)).collect();
                let mut sum = vec![f32::NAN; len];
                comm.all_reduce(&x, &mut sum)?;
                comm.all_reduce_in_place(&mut x)?;
                assert!(x.iter().zip(&sum).all(|(x, y)| x.to_bits() == y.to_bits()), "in place");
                Ok(sum)
            });
            for sum in sums {
                let bits: Vec<u32> = sum.iter().map(|x| x.to_bits()).collect();
                assert!(bits == expected, "{len} numbers of {size} ranks");
            }
        }
    }
}

#[test]
fn integers_wrap_around() {
    let sums = each(3, |comm| {
        let mut x = [i32::MAX, i32::try_from(comm.rank()).unwrap()];
        comm.all_reduce_in_place(&mut x)?;
        Ok(x)
    });
    assert_eq!(sums, [[i32::MAX.wrapping_mul(3), 3]; 3], "modulo 2³²");
}

#[test]
fn everybody_gets_what_the_others_have() {
    for size in WORLDS {
        each(size, |comm| {
            let mine = [u8::try_from(comm.rank()).unwrap(); 3];
            let mut all = vec![u8::MAX; 3 * size];
            comm.all_gather(&mine, &mut all)?;
            assert!(all.iter().enumerate().all(|(i, &x)| usize::from(x) == i / 3), "{all:?}");
            for root in 0..size {
                let mut x = [comm.rank() as i64, 5];
                comm.broadcast(&mut x, root)?;
                assert_eq!(x, [root as i64, 5], "of rank {root}");
            }
            comm.barrier()
        });
    }
}

#[test]
fn messages_arrive_in_order_by_sender_and_tag() {
    each(4, |comm| {
        let (rank, size) = (comm.rank(), comm.size());
        // All send before anybody receives, also to themselves.
        for to in 0..size {
            for k in 0..3 {
                comm.send(&[rank as f64, f64::from(k)], to, k % 2)?;
            }
        }
        for from in (0..size).rev() {
            for k in [1, 0, 2] {
                let mut x = [0.0; 2];
                comm.receive(&mut x, from, k % 2)?;
                assert_eq!((x[0], x[1]), (from as f64, f64::from(k)), "message {k} of rank {from}");
            }
        }
        Ok(())
    });
}

#[test]
fn a_split_makes_groups_by_color_in_the_order_of_keys() {
    each(5, |comm| {
        let half = comm.split((comm.rank() % 2) as u64, -(comm.rank() as i64))?;
        let members: Vec<u32> = if comm.rank() % 2 == 0 { vec![4, 2, 0] } else { vec![3, 1] };
        let mut all = vec![0; members.len()];
        half.all_gather(&[u32::try_from(comm.rank()).unwrap()], &mut all)?;
        assert_eq!((half.size(), all), (members.len(), members), "by falling rank");
        let mut sum = [1_i64];
        half.all_reduce_in_place(&mut sum)?;
        assert_eq!(sum, [half.size() as i64], "of the group alone");
        let alone = half.split(comm.rank() as u64, 0)?;
        assert_eq!((alone.rank(), alone.size()), (0, 1), "split again");
        alone.barrier()?;
        comm.barrier()
    });
}

/// The error of a run, which must come soon.
fn error(size: usize, work: impl Fn(&ThreadComm) -> Result<(), Error> + Sync) -> String {
    let begin = Instant::now();
    let error = ThreadComm::run(size, work).unwrap_err();
    assert!(begin.elapsed() < Duration::from_secs(1), "after {:?}", begin.elapsed());
    error.to_string()
}

#[test]
fn an_error_stops_those_who_wait() {
    let refuse = || Error::Count { name: "it", actual: 3, expected: "better".to_owned() };
    for waits in 0..3 {
        let sentence = error(4, |comm| match (comm.rank(), waits) {
            (2, _) => {
                std::thread::sleep(Duration::from_millis(20));
                Err(refuse())
            }
            (_, 0) => comm.barrier(),
            (_, 1) => comm.receive(&mut [0_u8], 2, 0),
            _ => comm.split(0, 0)?.barrier(),
        });
        assert_eq!(sentence, "it is 3, expected better", "in way {waits}");
    }
}

#[test]
fn a_panic_stops_those_who_wait_and_goes_on() {
    let run = || {
        ThreadComm::run(3, |comm| {
            assert_ne!(comm.rank(), 1, "on purpose");
            comm.barrier()
        })
    };
    let outcome = std::panic::catch_unwind(run);
    assert!(outcome.is_err(), "the panic is lost");
}

#[test]
fn ranks_that_wait_for_one_another_are_told_so() {
    let sentence = error(2, |comm| comm.receive(&mut [0_u8], 1 - comm.rank(), 7));
    assert_eq!(
        sentence,
        "no rank can go on: rank 0 waits for a message of rank 1 with tag 7, \
         rank 1 waits for a message of rank 0 with tag 7"
    );
    let sentence = error(3, |comm| match comm.rank() {
        0 => comm.barrier(),
        1 => comm.receive(&mut [0_u8], 2, 0),
        _ => Ok(()),
    });
    assert_eq!(
        sentence,
        "no rank can go on: rank 0 waits in Barrier, rank 1 waits for a message of rank 2 with tag 0, \
         rank 2 has ended"
    );
}

#[test]
fn calls_that_differ_are_refused_on_all_ranks_and_the_next_ones_work() {
    each(3, |comm| {
        let mut x = vec![1.0_f32; if comm.rank() == 1 { 3 } else { 2 }];
        let refused = comm.all_reduce_in_place(&mut x).unwrap_err().to_string();
        let expected = "rank 0 calls Allreduce of 2 float32, rank 1 calls Allreduce of 3 float32: \
                        they must be alike";
        assert_eq!(refused, expected, "on rank {}", comm.rank());
        assert!(x.iter().all(|&x| x.to_bits() == 1_f32.to_bits()), "touched");
        comm.barrier()
    });
}

#[test]
fn messages_that_do_not_fit_and_ranks_that_are_none_are_refused() {
    let comm = &ThreadComm::world(1)[0];
    comm.send(&[1.0_f32], 0, 4).unwrap();
    let refused = comm.receive(&mut [0.0_f64; 2], 0, 4).unwrap_err().to_string();
    let expected = "the message of rank 0 with tag 4 has 1 float32, buf has 2 float64: they must be \
                    equal";
    assert_eq!(refused, expected, "another length and type");
    let refused = comm.send(&[1.0_f32], 1, 0).unwrap_err().to_string();
    assert_eq!(refused, "dest is 1, expected a rank, from 0 to 0", "no rank");
    let refused = comm.all_gather(&[1_u8], &mut [0, 0]).unwrap_err().to_string();
    assert_eq!(refused, "the length of recvbuf is 2, expected 1", "another length");
}

#[test]
fn after_a_stop_nothing_is_waited_for() {
    let ranks = ThreadComm::world(2);
    ranks[0].stop();
    assert!(ranks[1].is_stopped(), "not heard of");
    let error = ranks[1].barrier().unwrap_err();
    assert!(matches!(error, Error::Ranks(RankError::Stopped)), "{error}");
}

#[test]
fn a_rank_alone_talks_to_itself() {
    let mut sum = [0.0_f64; 2];
    SelfComm.all_reduce(&[1.0, 2.0], &mut sum).unwrap();
    assert_eq!((sum[0], sum[1]), (1.0, 2.0), "a sum of one term");
    SelfComm.barrier().unwrap();
    SelfComm.broadcast(&mut sum, 0).unwrap();
    assert_eq!(SelfComm.split(3, 4).unwrap().size(), 1, "split");
    assert!(SelfComm.broadcast(&mut sum, 1).is_err(), "there is no rank 1");
    let refused = SelfComm.send(&sum, 0, 0).unwrap_err().to_string();
    assert_eq!(refused, "dest is 0, expected another rank, and there is none", "nobody receives");
}

/// Each element within the rounding of the dense result, for sums of so many terms of such size.
fn assert_near(actual: &ArrayD<f64>, expected: &ArrayD<f64>, what: &str) {
    assert_within(actual, expected, 1e-11, what);
}

/// Each element within a part of the largest.
fn assert_within(actual: &ArrayD<f64>, expected: &ArrayD<f64>, part: f64, what: &str) {
    assert_eq!(actual.shape(), expected.shape(), "{what}");
    let largest = expected.iter().fold(1.0, |m: f64, x| m.max(x.abs()));
    for (x, y) in actual.iter().zip(expected) {
        assert!((x - y).abs() <= part * largest, "{what}: {x}, not {y}");
    }
}

#[test]
fn a_shared_block_computes_what_the_whole_does() {
    let alone = || Context::new().map(|context| Context { threads: 1, ..context });
    for (world, width) in WORLDS.flat_map(|world| [1, 5, 8, 19].map(|width| (world, width))) {
        let x = matrix::<f64>(3, 6, 1).into_dyn();
        let (gate, up) = (matrix::<f64>(width, 6, 2), matrix::<f64>(width, 6, 3));
        let down = matrix::<f64>(6, width, 4);
        let compute = |comm: &ThreadComm| {
            let config = TensorParallelConfig::new(comm.size(), comm.rank())?;
            let part = |strategy: TensorParallelStrategy, weight: &Array2<f64>| {
                strategy.shard(weight.view(), &config).to_owned()
            };
            let (gate, up) = (
                part(TensorParallelStrategy::Column, &gate),
                part(TensorParallelStrategy::Column, &up),
            );
            let down = part(TensorParallelStrategy::Row, &down);
            assert_eq!(gate.len(), config.local_size(width) * 6, "more than its shard");
            let shard = MlpShard { gate: gate.view(), up: up.view(), down: down.view() };
            let mut y = linalg::zeros::<f64>(&[3, 6]);
            let context = alone()?;
            mlp_tensor_parallel(x.view(), &shard, Activation::Silu, y.view_mut(), comm, &context)?;
            Ok(y)
        };
        let dense = each(1, compute).remove(0);
        for y in each(world, compute) {
            assert_near(&y, &dense, &format!("{width} features on {world} ranks"));
        }
    }
}

#[test]
fn a_bias_is_added_once_and_any_layout_is_summed() {
    let (x, weight) = (matrix::<f64>(4, 5, 1), matrix::<f64>(3, 5, 2));
    let bias = [10.0, 20.0, 30.0];
    let dense = (x.dot(&weight.t()) + Array1::from(bias.to_vec())).into_dyn();
    for y in each(3, |comm| {
        let config = TensorParallelConfig::new(comm.size(), comm.rank())?;
        let columns = config.range(5);
        let columns = Slice::from(columns);
        let (x, weight) = (x.slice_axis(Axis(1), columns), weight.slice_axis(Axis(1), columns));
        // Columns are contiguous here, rows are not.
        let mut y = ArrayD::from_elem(vec![3, 4], f64::NAN);
        let context = Context::new()?;
        let (x, out) = (x.into_dyn(), y.view_mut().reversed_axes());
        row_parallel_linear(x, weight, Some(&bias), out, comm, &context)?;
        Ok(y.reversed_axes())
    }) {
        assert_near(&y, &dense, "by rows");
    }
}

/// The width of a head.
const WIDTH: usize = 4;

/// The part of a weight that belongs to some heads.
fn heads_of<T>(weight: &Array2<T>, axis: Axis, heads: std::ops::Range<usize>) -> ArrayView2<'_, T> {
    weight.slice_axis(axis, Slice::from(heads.start * WIDTH..heads.end * WIDTH))
}

/// What each rank of a world gets of attention with so many heads, in double precision.
fn attention_of<T: Head>(
    world: usize,
    (heads, kv_heads): (usize, usize),
    view: View,
) -> Vec<ArrayD<f64>> {
    let (t, d, e) = (5, 6, WIDTH);
    let x = matrix::<T>(t, d, 1);
    let query = matrix::<T>(heads * e, d, 2);
    let (key, value) = (matrix::<T>(kv_heads * e, d, 3), matrix::<T>(kv_heads * e, d, 4));
    let output = matrix::<T>(d, heads * e, 5);
    each(world, |comm| {
        let config = TensorParallelConfig::new(comm.size(), comm.rank())?;
        let plan = HeadPlan::new(heads, kv_heads, &config)?;
        let shard = AttentionShard {
            query: heads_of(&query, Axis(0), plan.query()),
            key: heads_of(&key, Axis(0), plan.kv()),
            value: heads_of(&value, Axis(0), plan.kv()),
            output: heads_of(&output, Axis(1), plan.query()),
        };
        let mut y = Array2::from_elem((t, d), T::from_f64(f64::NAN));
        let grow = |mut heads: ndarray::ArrayViewMut3<'_, T>| {
            heads.axis_iter_mut(Axis(0)).enumerate().for_each(|(position, mut row)| {
                row.mapv_inplace(|x| T::from_f64(x.to_f64() * (1.0 + position as f64 / 8.0)));
            });
        };
        let (x, out, context) = (x.view(), y.view_mut(), Context::new()?);
        attention_parallel(x, &shard, &plan, view, grow, out, comm, &context)?;
        Ok(y.mapv(T::to_f64).into_dyn())
    })
}

#[test]
fn shared_attention_computes_what_the_whole_does() {
    for sizes in [(4, 4), (6, 3), (6, 2), (5, 1)] {
        for (is_causal, window) in [(false, None), (true, None), (true, Some(2))] {
            let view = View { is_causal, window, scale: None };
            let dense = attention_of::<f64>(1, sizes, view).remove(0);
            let first = dense.index_axis(Axis(0), 0).to_owned();
            assert!(first.iter().all(|y| y.is_finite()), "the first row looks at itself");
            for world in WORLDS {
                let what = format!("{sizes:?} heads on {world}, {view:?}");
                for y in attention_of::<f64>(world, sizes, view) {
                    assert_near(&y, &dense, &what);
                }
                for y in attention_of::<f32>(world, sizes, view) {
                    assert_within(&y, &dense, 1e-4, &what);
                }
            }
        }
    }
}
