//! Which part of an extent each rank has.

use std::ops::Range;

use ndarray::{ArrayView2, Axis, Slice};

use crate::Error;

/// The most ranks there can be, as there can be of threads.
pub const MOST_RANKS: usize = threadwise_runtime::budget::MOST;

/// One rank among those that share the layers of a network.
///
/// Extents are split as evenly as whole numbers allow, the longer shares first: 5 over 4 ranks are 2, 1, 1
/// and 1, and of 2 over 4 the last two ranks have none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TensorParallelConfig {
    world_size: usize,
    rank: usize,
}

impl TensorParallelConfig {
    /// Rank `rank` of `world_size`.
    ///
    /// # Errors
    ///
    /// If there are no ranks or too many, or `rank` is not one of them.
    pub fn new(world_size: usize, rank: usize) -> Result<Self, Error> {
        if !(1..=MOST_RANKS).contains(&world_size) {
            let expected = format!("from 1 to {MOST_RANKS}");
            return Err(Error::Count { name: "world_size", actual: world_size, expected });
        }
        if rank >= world_size {
            let expected = format!("less than world_size, {world_size}");
            return Err(Error::Count { name: "rank", actual: rank, expected });
        }
        Ok(Self { world_size, rank })
    }

    /// How many ranks there are.
    #[must_use]
    pub fn world_size(&self) -> usize {
        self.world_size
    }

    /// Which one this is.
    #[must_use]
    pub fn rank(&self) -> usize {
        self.rank
    }

    /// How many of `n` things this rank has.
    #[must_use]
    pub fn local_size(&self, n: usize) -> usize {
        n / self.world_size + usize::from(self.rank < n % self.world_size)
    }

    /// How many of `n` things the ranks before this one have.
    #[must_use]
    pub fn local_offset(&self, n: usize) -> usize {
        self.rank * (n / self.world_size) + self.rank.min(n % self.world_size)
    }

    /// Which of `n` things this rank has.
    #[must_use]
    pub fn range(&self, n: usize) -> Range<usize> {
        let begin = self.local_offset(n);
        begin..begin + self.local_size(n)
    }
}

/// How the weight of a layer, of shape (`out_features`, `in_features`), is split.
///
/// Source: M. Shoeybi et al., *Megatron-LM*, 2019, arXiv:1909.08053, section 3. Its weights are
/// (`in_features`, `out_features`), from where the names come: a column there is a row here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TensorParallelStrategy {
    /// Along `out_features`: each rank computes some outputs from all inputs.
    Column,
    /// Along `in_features`: each rank computes, from some inputs, a part of the sum for all outputs.
    Row,
    /// Not at all: each rank has the whole.
    None,
}

impl TensorParallelStrategy {
    /// By the name that Python knows, and in its order.
    pub const NAMED: [(&'static str, Self); 3] =
        [("column", Self::Column), ("row", Self::Row), ("none", Self::None)];

    /// How the projection of this name is split in models of the Llama and Mistral families: what spreads
    /// heads or intermediate features by column, what gathers them by row, all else not.
    #[must_use]
    pub fn for_projection(name: &str) -> Self {
        match name {
            "q_proj" | "k_proj" | "v_proj" | "gate_proj" | "up_proj" => Self::Column,
            "o_proj" | "down_proj" => Self::Row,
            _ => Self::None,
        }
    }

    /// The rank's part of a weight, as it lies. A copy of it is all that the rank needs to hold.
    #[must_use]
    pub fn shard<'a, T>(
        self,
        weight: ArrayView2<'a, T>,
        config: &TensorParallelConfig,
    ) -> ArrayView2<'a, T> {
        let axis = match self {
            Self::Column => Axis(0),
            Self::Row => Axis(1),
            Self::None => return weight,
        };
        let range = config.range(weight.len_of(axis));
        weight.slice_axis_move(axis, Slice::from(range))
    }
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;

    use super::*;

    #[test]
    fn shares_follow_one_another_and_differ_by_one_at_most() {
        for world in 1..=9 {
            for n in 0..=40 {
                let ranks = (0..world).map(|rank| TensorParallelConfig::new(world, rank).unwrap());
                let mut end = 0;
                for config in ranks {
                    let range = config.range(n);
                    assert_eq!(range.start, end, "{n} over {world}: a gap or an overlap");
                    let even = [n / world, n.div_ceil(world)];
                    assert!(even.contains(&range.len()), "{n} over {world}: uneven");
                    end = range.end;
                }
                assert_eq!(end, n, "{n} over {world}: not all");
            }
        }
    }

    #[test]
    fn the_remainder_goes_to_the_first_ranks() {
        let sizes = |n, world| {
            let size = |rank| TensorParallelConfig::new(world, rank).unwrap().local_size(n);
            (0..world).map(size).collect::<Vec<_>>()
        };
        assert_eq!(sizes(5, 4), [2, 1, 1, 1], "the remainder");
        assert_eq!(sizes(2, 4), [1, 1, 0, 0], "more ranks than things");
    }

    #[test]
    fn ranks_that_are_none_are_refused() {
        let sentence =
            |world, rank| TensorParallelConfig::new(world, rank).unwrap_err().to_string();
        assert_eq!(sentence(0, 0), "world_size is 0, expected from 1 to 1024");
        assert_eq!(sentence(4, 4), "rank is 4, expected less than world_size, 4");
    }

    #[test]
    fn shards_are_rows_columns_or_all() {
        let weight = Array2::from_shape_fn((5, 3), |(o, i)| 10 * o + i);
        let config = TensorParallelConfig::new(2, 1).unwrap();
        let shard = |strategy: TensorParallelStrategy| {
            strategy.shard(weight.view(), &config).iter().copied().collect::<Vec<_>>()
        };
        assert_eq!(shard(TensorParallelStrategy::Column), [30, 31, 32, 40, 41, 42], "outputs");
        assert_eq!(shard(TensorParallelStrategy::Row), [2, 12, 22, 32, 42], "inputs");
        assert_eq!(shard(TensorParallelStrategy::None).len(), 15, "the whole");
    }

    #[test]
    fn each_projection_has_its_way() {
        for (name, strategy) in [
            ("k_proj", TensorParallelStrategy::Column),
            ("down_proj", TensorParallelStrategy::Row),
            ("lm_head", TensorParallelStrategy::None),
        ] {
            assert_eq!(TensorParallelStrategy::for_projection(name), strategy, "{name}");
        }
    }
}
