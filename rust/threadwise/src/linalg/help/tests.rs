//! Whoever takes what from whom, each element has each of its terms, in order.

use ndarray::Array2;
use proptest::prelude::*;
use threadwise_kernels::Isa;

use super::*;
use crate::linalg::pieces::cut;

/// One pass over a part, as products do it. Elements of C hold how many terms they have. After each band, as `choices`
/// say, another thread takes of what is left, or goes on with a part of those that are under way.
fn pass<'a, 'b>(
    board: &'b Board<'a, usize>,
    mut mine: Mine<'a, 'b, usize>,
    live: &mut Vec<Mine<'a, 'b, usize>>,
    choices: &mut impl Iterator<Item = u8>,
) {
    let (first, checkpoint) = (mine.terms().start, mine.checkpoint);
    let end = board.terms.end.min(first + board.depth);
    mine.each(|_, mut c| {
        assert!(c.iter().all(|&terms| terms == first), "the passes before this");
        c.fill(end);
        match choices.next() {
            Some(0) => live.extend(board.take(checkpoint)),
            Some(i) if !live.is_empty() => {
                let other = live.swap_remove(usize::from(i) % live.len());
                if !other.is_over() {
                    pass(board, other, live, choices);
                }
            }
            _ => (),
        }
        Ok(())
    })
    .unwrap();
    if !mine.is_over() {
        live.push(mine);
    }
}

fn with_board(
    (m, n): (usize, usize),
    pieces: (usize, usize),
    (terms, depth): (usize, usize),
    band: usize,
    work: impl Fn(&Board<'_, usize>, Checkpoint<'_>) + Sync,
) {
    let mut c = Array2::zeros((m, n));
    let mut parts = Vec::new();
    cut(pieces, 0..terms, c.view_mut(), &mut parts);
    let board = Board::new(&mut parts, &(0..terms), depth, band);
    let alone = Context::alone(Isa::Scalar);
    alone.share(&mut [()], 1, |(), checkpoint| work(&board, checkpoint)).unwrap();
    assert!(c.iter().all(|&has| has == terms), "{c}");
}

/// Does what is left.
fn end<'a, 'b>(
    board: &'b Board<'a, usize>,
    mut live: Vec<Mine<'a, 'b, usize>>,
    checkpoint: Checkpoint<'b>,
    choices: &mut impl Iterator<Item = u8>,
) {
    while let Some(mine) = live.pop().or_else(|| board.take(checkpoint)) {
        if !mine.is_over() {
            pass(board, mine, &mut live, choices);
        }
    }
}

proptest! {
    #[test]
    fn all_passes_of_all_bands_are_done_once_and_in_order(
        size in (1_usize..40, 1_usize..6),
        pieces in (1_usize..40, 1_usize..6),
        passes in (1_usize..30, 1_usize..12),
        band in 1_usize..8,
        choices in prop::collection::vec(0_u8..5, 300),
    ) {
        let (m, n) = size;
        with_board(size, pieces, passes, band, |board, checkpoint| {
            let (mut choices, mut live) = (choices.iter().copied(), Vec::new());
            for id in 0..m.div_ceil(pieces.0) * n.div_ceil(pieces.1) {
                let mine = board.begin(id, checkpoint);
                if !mine.is_over() {
                    pass(board, mine, &mut live, &mut choices);
                }
            }
            end(board, live, checkpoint, &mut choices);
        });
    }
}

#[test]
fn half_is_taken_of_the_part_of_which_most_is_left() {
    with_board((16, 2), (16, 1), (10, 5), 2, |board, checkpoint| {
        let mut live = Vec::new();
        pass(board, board.begin(0, checkpoint), &mut live, &mut std::iter::empty());
        live.push(board.begin(1, checkpoint));
        let taken = board.take(checkpoint).unwrap();
        assert_eq!(taken.columns(), 1..2, "two passes are left of it");
        let ahead: Vec<_> = board.parts().iter().map(|part| part.ahead.len()).collect();
        assert_eq!(ahead, [7, 3, 3], "beside the band that each begins next");
        live.push(taken);
        end(board, live, checkpoint, &mut std::iter::empty());
    });
}

#[test]
fn later_passes_are_taken_where_they_are_most_of_what_is_left() {
    with_board((20, 1), (20, 1), (16, 1), 1, |board, checkpoint| {
        let (mut mine, mut bands, mut live) = (board.begin(0, checkpoint), 0, Vec::new());
        mine.each(|_, mut c| {
            c.fill(1);
            bands += 1;
            if bands == 18 {
                let taken = board.take(checkpoint).unwrap();
                assert_eq!(taken.terms(), 1..16, "of the passes after the first");
                live.push(taken);
            }
            Ok(())
        })
        .unwrap();
        assert_eq!(board.parts()[1].ahead.len(), 8, "9 of the 17 that were done");
        live.push(mine);
        end(board, live, checkpoint, &mut std::iter::empty());
    });
}

#[test]
fn a_band_that_a_thread_begins_next_is_not_taken() {
    with_board((4, 1), (4, 1), (5, 5), 2, |board, checkpoint| {
        let live = vec![board.begin(0, checkpoint), board.take(checkpoint).unwrap()];
        assert!(board.take(checkpoint).is_none(), "each has one, for which it packs");
        assert!(live.iter().all(|mine| !mine.is_over()), "its own");
        end(board, live, checkpoint, &mut std::iter::empty());
    });
}

#[test]
fn a_piece_may_be_taken_before_its_thread_begins_it() {
    with_board((2, 1), (2, 1), (5, 5), 2, |board, checkpoint| {
        let live = vec![board.take(checkpoint).unwrap()];
        assert!(board.begin(0, checkpoint).is_over(), "another is at it");
        end(board, live, checkpoint, &mut std::iter::empty());
    });
}

#[test]
fn after_an_error_nobody_takes_more() {
    let mut c = Array2::<usize>::zeros((64, 2));
    let mut parts = Vec::new();
    cut((64, 1), 0..4, c.view_mut(), &mut parts);
    let board = Board::new(&mut parts, &(0..4), 4, 1);
    let context = Context { threads: 2, ..Context::alone(Isa::Scalar) };
    let failed = board.share(2, &context, |mine, _| {
        mine.each(|_, _| Err(Error::TooLarge(crate::error::Shape(vec![1]))))
    });
    assert!(failed.is_err(), "it is told");
    assert!(board.parts().len() <= 4, "{} parts", board.parts().len());
}
