//! What a model is made of, and which part of it somebody holds.

use std::ops::Range;

use crate::Error;
use crate::nn::rope::Scaling;

/// The sizes of a model, by the names of its configuration.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "as many as configurations have")]
pub struct ModelShape {
    /// Tokens that there are.
    pub vocab_size: usize,
    /// Numbers that stand for a token between layers.
    pub hidden_size: usize,
    /// How many layers there are.
    pub layers: usize,
    /// Heads of queries.
    pub heads: usize,
    /// Heads of keys and values, which divide those of queries.
    pub kv_heads: usize,
    /// Numbers of a head.
    pub head_dim: usize,
    /// Columns of the feed-forward layers.
    pub ffn: usize,
    /// What is added to mean squares.
    pub norm_eps: f64,
    /// How many tokens one sees at most, the last of them itself.
    pub window: Option<usize>,
    /// Whether the matrix that the logits are products with is that of the embedding.
    pub is_tied: bool,
    /// Whether queries, keys and values have a bias.
    pub qkv_bias: bool,
    /// Whether what attention gives has one.
    pub o_bias: bool,
    /// Whether the matrices of the feed-forward layers have one.
    pub mlp_bias: bool,
    /// The base of the frequencies of positions.
    pub rope_theta: f64,
    /// How those are changed.
    pub rope_scaling: Option<Scaling>,
}

impl ModelShape {
    /// Refuses what makes no model.
    ///
    /// # Errors
    ///
    /// If a size is 0, heads do not fit, or a number makes no sense.
    pub fn check(&self) -> Result<(), Error> {
        let sizes = [
            ("vocab_size", self.vocab_size),
            ("hidden_size", self.hidden_size),
            ("layers", self.layers),
            ("heads", self.heads),
            ("kv_heads", self.kv_heads),
            ("head_dim", self.head_dim),
            ("ffn", self.ffn),
            ("window", self.window.unwrap_or(1)),
        ];
        for (name, actual) in sizes {
            if actual == 0 {
                return Err(Error::Count { name, actual, expected: "at least 1".to_owned() });
            }
        }
        if !self.heads.is_multiple_of(self.kv_heads) {
            let expected = format!("a number that divides the {} heads", self.heads);
            return Err(Error::Count { name: "kv_heads", actual: self.kv_heads, expected });
        }
        if !self.head_dim.is_multiple_of(2) {
            let expected = "an even number, because numbers are turned in pairs".to_owned();
            return Err(Error::Count { name: "head_dim", actual: self.head_dim, expected });
        }
        if !(self.norm_eps > 0.0 && self.norm_eps.is_finite()) {
            let expected = "a positive and finite number";
            return Err(Error::Domain { name: "norm_eps", actual: self.norm_eps, expected });
        }
        Ok(())
    }
}

/// Which layers of a model somebody holds, and which share of each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// The layers.
    pub layers: Range<usize>,
    /// Ranks that share each layer.
    pub world: usize,
    /// Which of them this one is.
    pub rank: usize,
}

impl Part {
    /// All of it.
    #[must_use]
    pub fn whole(shape: &ModelShape) -> Self {
        Self { layers: 0..shape.layers, world: 1, rank: 0 }
    }

    /// Refuses what is no part of the model.
    ///
    /// # Errors
    ///
    /// If there are no layers in it, more than the model has, or no such rank.
    pub fn check(&self, shape: &ModelShape) -> Result<(), Error> {
        let Range { start, end } = self.layers;
        if start >= end || end > shape.layers {
            let expected = format!("more than the first, {start}, and at most {}", shape.layers);
            return Err(Error::Count { name: "the end of layers", actual: end, expected });
        }
        if self.rank >= self.world {
            let expected = format!("less than the number of ranks, {}", self.world);
            return Err(Error::Count { name: "rank", actual: self.rank, expected });
        }
        Ok(())
    }

    /// Which of `count` things are the rank's: as evenly as can be, what is left over one each to the first ranks.
    #[must_use]
    pub fn share(&self, count: usize) -> Range<usize> {
        let (each, rest) = (count / self.world, count % self.world);
        let first = self.rank * each + self.rank.min(rest);
        first..first + each + usize::from(self.rank < rest)
    }

    /// The rank's heads.
    #[must_use]
    pub fn heads(&self, shape: &ModelShape) -> HeadShare {
        let heads = self.share(shape.heads);
        let together = shape.heads / shape.kv_heads;
        let all = heads.start / together..heads.end.div_ceil(together);
        let all = if heads.is_empty() { 0..0 } else { all };
        // Heads of queries that share a head of keys here must be as many for each of those, which they are
        // one by one at least: then a head of keys is there more than once.
        let of = |kv: usize| {
            let (first, end) = (kv * together, (kv + 1) * together);
            heads.end.min(end) - heads.start.max(first)
        };
        let group = all.clone().map(of).fold(0, gcd);
        let kv = heads.clone().step_by(group.max(1)).map(|head| head / together - all.start);
        HeadShare { kv: kv.collect(), kv_rows: all, heads, group }
    }
}

/// The heads of a rank.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeadShare {
    /// Heads of queries.
    pub heads: Range<usize>,
    /// Heads of keys and values that these need.
    pub kv_rows: Range<usize>,
    /// For each head of keys that is attended to, which of those it is.
    pub kv: Vec<usize>,
    /// Heads of queries for each of those.
    pub group: usize,
}

/// The largest number that divides both.
pub(super) fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn shape(heads: usize, kv_heads: usize) -> ModelShape {
        ModelShape {
            vocab_size: 10,
            hidden_size: 8,
            layers: 4,
            heads,
            kv_heads,
            head_dim: 4,
            ffn: 6,
            norm_eps: 1e-5,
            window: None,
            is_tied: false,
            qkv_bias: false,
            o_bias: false,
            mlp_bias: false,
            rope_theta: 1e4,
            rope_scaling: None,
        }
    }

    #[test]
    fn ranks_share_all_things_evenly_and_the_first_have_what_is_left_over() {
        let shares = |count, world| -> Vec<Range<usize>> {
            (0..world).map(|rank| Part { layers: 0..1, world, rank }.share(count)).collect()
        };
        assert_eq!(shares(5, 4), [0..2, 2..3, 3..4, 4..5]);
        assert_eq!(shares(2, 3), [0..1, 1..2, 2..2], "more ranks than things");
        assert_eq!(shares(6, 1).first(), Some(&(0..6)), "all of them");
    }

    #[test]
    fn every_head_of_queries_meets_its_own_head_of_keys() {
        for (heads, kv_heads) in [(6, 2), (8, 8), (5, 1), (8, 2), (12, 3)] {
            let shape = shape(heads, kv_heads);
            for world in 1..=9 {
                let mut seen = 0;
                for rank in 0..world {
                    let share = Part { layers: 0..1, world, rank }.heads(&shape);
                    assert_eq!(share.heads.len(), share.kv.len() * share.group, "{share:?}");
                    for (i, head) in share.heads.clone().enumerate() {
                        let kv = share.kv_rows.start + share.kv[i / share.group];
                        assert_eq!(kv, head / (heads / kv_heads), "{share:?}");
                    }
                    seen += share.heads.len();
                }
                assert_eq!(seen, heads, "all of them");
            }
        }
        let share = Part { layers: 0..1, world: 3, rank: 1 }.heads(&shape(6, 2));
        let expected = HeadShare { heads: 2..4, kv_rows: 0..2, kv: vec![0, 1], group: 1 };
        assert_eq!(share, expected, "one query of each group");
    }

    #[test]
    fn what_makes_no_model_is_refused_by_its_name() {
        let sentence = |shape: ModelShape| shape.check().unwrap_err().to_string();
        let none = sentence(ModelShape { vocab_size: 0, ..shape(4, 2) });
        assert_eq!(none, "vocab_size is 0, expected at least 1");
        let uneven = sentence(shape(4, 3));
        assert_eq!(uneven, "kv_heads is 3, expected a number that divides the 4 heads");
        let odd = sentence(ModelShape { head_dim: 5, ..shape(4, 2) });
        assert_eq!(
            odd,
            "head_dim is 5, expected an even number, because numbers are turned in pairs"
        );
        let eps = sentence(ModelShape { norm_eps: -1.0, ..shape(4, 2) });
        assert_eq!(eps, "norm_eps is -1.0, expected a positive and finite number");
        let part = Part { layers: 2..5, world: 1, rank: 0 }.check(&shape(4, 2)).unwrap_err();
        let expected = "the end of layers is 5, expected more than the first, 2, and at most 4";
        assert_eq!(part.to_string(), expected);
        let part = Part { layers: 0..4, world: 2, rank: 2 }.check(&shape(4, 2)).unwrap_err();
        assert_eq!(part.to_string(), "rank is 2, expected less than the number of ranks, 2");
    }
}
