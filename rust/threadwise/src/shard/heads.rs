//! Which heads of attention each rank has.

use std::ops::Range;

use super::TensorParallelConfig;
use crate::Error;

/// The query heads of one rank, and the heads of keys and values that these look at.
///
/// Query heads are split evenly. A rank holds every head of keys and values that one of its query heads
/// needs: where these divide by the ranks each is on one rank, where they do not, those at the borders are
/// on both sides, and where there are fewer of them than ranks, each is on several.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HeadPlan {
    /// Query heads to a head of keys and values.
    group: usize,
    query: Range<usize>,
    kv: Range<usize>,
}

/// Query heads of a rank that share one head of keys and values, counted within the rank.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Segment {
    /// The query heads.
    pub query: Range<usize>,
    /// The head of keys and values.
    pub kv: usize,
}

impl HeadPlan {
    /// For `heads` query heads, of which as many share each of the `kv_heads` heads of keys and values.
    ///
    /// # Errors
    ///
    /// If there are no heads of keys and values, or they do not divide the query heads.
    pub fn new(
        heads: usize,
        kv_heads: usize,
        config: &TensorParallelConfig,
    ) -> Result<Self, Error> {
        if heads == 0 {
            let expected = "at least 1".to_owned();
            return Err(Error::Count { name: "heads", actual: heads, expected });
        }
        if kv_heads == 0 || !heads.is_multiple_of(kv_heads) {
            let expected = format!("a divisor of heads, {heads}");
            return Err(Error::Count { name: "kv_heads", actual: kv_heads, expected });
        }
        let (group, query) = (heads / kv_heads, config.range(heads));
        let kv =
            if query.is_empty() { 0..0 } else { query.start / group..(query.end - 1) / group + 1 };
        Ok(Self { group, query, kv })
    }

    /// The rank's query heads.
    #[must_use]
    pub fn query(&self) -> Range<usize> {
        self.query.clone()
    }

    /// The heads of keys and values that these need.
    #[must_use]
    pub fn kv(&self) -> Range<usize> {
        self.kv.clone()
    }

    /// The rank's query heads by the head of keys and values that they share.
    pub fn segments(&self) -> impl Iterator<Item = Segment> + '_ {
        self.kv.clone().map(|kv| {
            let begin = (kv * self.group).max(self.query.start) - self.query.start;
            let end = ((kv + 1) * self.group).min(self.query.end) - self.query.start;
            Segment { query: begin..end, kv: kv - self.kv.start }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plans(heads: usize, kv_heads: usize, world: usize) -> Vec<HeadPlan> {
        let config = |rank| TensorParallelConfig::new(world, rank).unwrap();
        (0..world).map(|rank| HeadPlan::new(heads, kv_heads, &config(rank)).unwrap()).collect()
    }

    #[test]
    fn each_query_head_is_on_one_rank_beside_the_keys_that_it_needs() {
        for kv_heads in 1..=9 {
            for group in 1..=4 {
                for world in 1..=10 {
                    let plans = plans(kv_heads * group, kv_heads, world);
                    let mut seen = Vec::new();
                    for plan in &plans {
                        for segment in plan.segments() {
                            assert!(!segment.query.is_empty(), "keys that nobody needs");
                            for head in segment.query {
                                let head = head + plan.query.start;
                                assert_eq!(head / group, segment.kv + plan.kv.start, "its keys");
                                seen.push(head);
                            }
                        }
                    }
                    let all: Vec<usize> = (0..kv_heads * group).collect();
                    assert_eq!(seen, all, "{kv_heads} x {group} on {world}");
                }
            }
        }
    }

    #[test]
    fn keys_that_divide_are_split_and_others_are_repeated() {
        let kv = |heads, kv_heads, world| {
            plans(heads, kv_heads, world).iter().map(HeadPlan::kv).collect::<Vec<_>>()
        };
        assert_eq!(kv(8, 4, 2), [0..2, 2..4], "split");
        assert_eq!(kv(8, 2, 4), [0..1, 0..1, 1..2, 1..2], "repeated");
        assert_eq!(kv(6, 3, 2), [0..2, 1..3], "the one at the border is on both sides");
        assert_eq!(kv(2, 1, 3), [0..1, 0..1, 0..0], "a rank without heads needs none");
    }

    #[test]
    fn heads_that_cannot_be_shared_are_refused() {
        let config = TensorParallelConfig::new(1, 0).unwrap();
        let sentence = |heads, kv| HeadPlan::new(heads, kv, &config).unwrap_err().to_string();
        assert_eq!(sentence(8, 3), "kv_heads is 3, expected a divisor of heads, 8");
        assert_eq!(sentence(8, 0), "kv_heads is 0, expected a divisor of heads, 8");
        assert_eq!(sentence(0, 1), "heads is 0, expected at least 1");
    }
}
