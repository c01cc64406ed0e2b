//! What passes through all stages together: micro-batches.

use std::ops::Range;

use crate::causal::Wanted;
use crate::causal::forward::{Piece, chunks};
use crate::nn::attention::Schedule;

/// Tokens that a part of a prompt has at least.
pub(super) const LEAST: usize = 64;

// Fewer queries would attend in another way than those of the whole prompt.
const _: () = assert!(LEAST > Schedule::FEW, "parts attend otherwise");

/// Some tokens of some sequences.
#[derive(Debug, Default)]
pub(super) struct Batch<'a> {
    /// The tokens of each sequence.
    pub(super) ids: Vec<&'a [usize]>,
    /// How many they are.
    pub(super) counts: Vec<usize>,
    /// The sequence of each.
    pub(super) slots: Vec<usize>,
    /// What the last layers gave, row by row.
    pub(super) numbers: Vec<f32>,
    /// Which row of the result each row is of what the last stage gives; none, if it is not wanted.
    pub(super) rows: Vec<Option<usize>>,
}

impl Batch<'_> {
    /// What is passed from stage to stage.
    pub(super) fn bytes(&self) -> usize {
        size_of_val(self.numbers.as_slice())
            + size_of::<usize>() * self.counts.iter().sum::<usize>()
    }
}

/// Cuts the tokens of sequences into `wish` micro-batches, if they can be; into more, if they are many.
pub(super) fn cut<'a>(
    ids: &[&'a [usize]],
    slots: &[usize],
    wanted: Wanted,
    wish: usize,
) -> Vec<Batch<'a>> {
    let counts: Vec<usize> = ids.iter().map(|ids| ids.len()).collect();
    let firsts: Vec<usize> =
        counts.iter().scan(0, |next, count| Some(std::mem::replace(next, *next + count))).collect();
    // The chunks in which one stage computes, or parts of them.
    let chunks = chunks(&counts, slots);
    let each = wish.div_ceil(chunks.len().max(1));
    let parts = chunks.into_iter().flat_map(|chunk| split(chunk, each));
    let batch = |part: Vec<Piece>| {
        let mut batch = Batch::default();
        for Piece { slot, sequence, tokens, is_end } in part {
            match wanted {
                Wanted::All => {
                    let rows = tokens.clone().map(|token| Some(firsts[sequence] + token));
                    batch.rows.extend(rows);
                }
                Wanted::Last => batch.rows.push(is_end.then_some(sequence)),
            }
            batch.ids.push(&ids[sequence][tokens.clone()]);
            batch.counts.push(tokens.len());
            batch.slots.push(slot);
        }
        batch
    };
    parts.map(batch).collect()
}

/// Cuts a chunk into `count` parts of about as many tokens, or fewer: sequences whose tokens are few stay whole.
fn split(chunk: Vec<Piece>, count: usize) -> Vec<Vec<Piece>> {
    let tokens: usize = chunk.iter().map(|piece| piece.tokens.len()).sum();
    let target = tokens.div_ceil(count.max(1)).max(1);
    let (mut parts, mut part, mut room) = (Vec::new(), Vec::new(), target);
    for Piece { slot, sequence, tokens, is_end } in chunk {
        let Range { mut start, end } = tokens;
        while start < end {
            let left = end - start;
            let take = if left <= room {
                left
            } else if room >= LEAST && left - room >= LEAST {
                room
            } else if part.is_empty() {
                // It has a part of its own, cut where both sides are long enough, if there is such a place.
                if left >= LEAST.max(target) + LEAST { LEAST.max(target) } else { left }
            } else {
                0
            };
            if take > 0 {
                let (tokens, is_end) = (start..start + take, is_end && take == left);
                part.push(Piece { slot, sequence, tokens, is_end });
                (start, room) = (start + take, room.saturating_sub(take));
            }
            if room == 0 || take == 0 {
                parts.push(std::mem::take(&mut part));
                room = target;
            }
        }
    }
    if !part.is_empty() {
        parts.push(part);
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers of tokens of each sequence in each micro-batch.
    fn counts(tokens: &[usize], wish: usize) -> Vec<Vec<usize>> {
        let ids: Vec<Vec<usize>> = tokens.iter().map(|&count| (0..count).collect()).collect();
        let ids: Vec<&[usize]> = ids.iter().map(Vec::as_slice).collect();
        let slots: Vec<usize> = (0..ids.len()).map(|i| 10 + i).collect();
        let batches = cut(&ids, &slots, Wanted::All, wish);
        // Every token once, in order.
        let rows: Vec<usize> =
            batches.iter().flat_map(|b| b.rows.iter().flatten().copied()).collect();
        assert!(rows.into_iter().eq(0..tokens.iter().sum()), "{tokens:?}");
        for (sequence, ids) in ids.iter().enumerate() {
            let of = |batch: &Batch<'_>| {
                let here = batch.slots.iter().position(|&slot| slot == 10 + sequence);
                here.map_or(Vec::new(), |at| batch.ids[at].to_vec())
            };
            let all: Vec<usize> = batches.iter().flat_map(of).collect();
            assert_eq!(all, *ids, "sequence {sequence} of {tokens:?}");
        }
        batches.into_iter().map(|batch| batch.counts).collect()
    }

    #[test]
    fn one_micro_batch_is_a_chunk() {
        assert_eq!(counts(&[3, 5], 1), [[3, 5]]);
        assert_eq!(counts(&[300], 1), [[256], [44]]);
    }

    #[test]
    fn sequences_go_to_micro_batches_as_evenly_as_they_can() {
        assert_eq!(counts(&[1; 8], 4), vec![[1; 2]; 4]);
        assert_eq!(counts(&[1; 5], 4), [vec![1; 2], vec![1; 2], vec![1]], "in twos");
        assert_eq!(counts(&[1], 4), [[1]]);
        assert_eq!(counts(&[], 4), Vec::<Vec<usize>>::new());
    }

    #[test]
    fn prompts_are_cut_where_both_parts_are_long() {
        assert_eq!(counts(&[256], 4), vec![[64]; 4]);
        assert_eq!(counts(&[256], 2), vec![[128]; 2]);
        assert_eq!(counts(&[100], 4), [[100]], "no parts of 25");
        assert_eq!(counts(&[130], 4), [[64], [66]]);
        assert_eq!(counts(&[300], 4), vec![vec![128], vec![128], vec![44]]);
        assert_eq!(counts(&[40, 200], 2), [vec![40, 80], vec![120]]);
        for tokens in 1..300 {
            for wish in 1..9 {
                for batch in counts(&[7, tokens, 3, 90], wish) {
                    assert!(!batch.is_empty(), "{tokens} tokens, {wish} micro-batches");
                }
            }
        }
    }

    #[test]
    fn only_the_last_token_of_a_sequence_is_its_end() {
        let ids: Vec<usize> = (0..200).collect();
        let batches = cut(&[&ids[..], &ids[..3]], &[0, 1], Wanted::Last, 3);
        let rows: Vec<_> = batches.iter().map(|batch| batch.rows.clone()).collect();
        assert_eq!(rows, [vec![None], vec![None], vec![Some(0), Some(1)]]);
    }
}
