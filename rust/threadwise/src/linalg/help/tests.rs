//! Whoever takes what from whom, each element has each of its terms, in order.

use ndarray::Array2;
use proptest::prelude::*;
use threadwise_kernels::Isa;

use super::*;
use crate::Context;
use crate::linalg::pieces::cut;

/// Does a part as products do. Elements of C hold how many terms they have; after some bands, as `choices`
/// say, another thread takes of what is left, and does it before this one goes on.
fn run(
    board: &Board<'_, usize>,
    mut mine: Mine<'_, '_, usize>,
    checkpoint: Checkpoint<'_>,
    choices: &mut impl Iterator<Item = bool>,
    taken: &mut usize,
) {
    for first in mine.terms().step_by(board.depth) {
        if mine.is_over() {
            break;
        }
        let end = board.terms.end.min(first + board.depth);
        mine.each(|_, mut c| {
            assert!(c.iter().all(|&terms| terms == first), "the passes before this");
            c.fill(end);
            if choices.next() == Some(true)
                && let Some(other) = board.take(checkpoint)
            {
                *taken += 1;
                run(board, other, checkpoint, choices, taken);
            }
            Ok(())
        })
        .unwrap();
    }
}

fn with_board(
    (m, n): (usize, usize),
    pieces: (usize, usize),
    (terms, depth): (usize, usize),
    band: usize,
    work: impl Fn(&Board<'_, usize>, Checkpoint<'_>) + Sync,
) -> Array2<usize> {
    let mut c = Array2::zeros((m, n));
    let mut parts = Vec::new();
    cut(pieces, 0..terms, c.view_mut(), &mut parts);
    let board = Board::new(&mut parts, &(0..terms), depth, band);
    Context::alone(Isa::Scalar)
        .share(&mut [()], 1, |(), checkpoint| work(&board, checkpoint))
        .unwrap();
    c
}

proptest! {
    #[test]
    fn all_passes_of_all_bands_are_done_once_and_in_order(
        size in (1_usize..40, 1_usize..6),
        pieces in (1_usize..40, 1_usize..6),
        passes in (1_usize..30, 1_usize..12),
        band in 1_usize..8,
        choices in prop::collection::vec(any::<bool>(), 200),
    ) {
        let (m, n) = size;
        let c = with_board(size, pieces, passes, band, |board, checkpoint| {
            let mut choices = choices.iter().copied();
            for id in 0..m.div_ceil(pieces.0) * n.div_ceil(pieces.1) {
                run(board, board.begin(id, checkpoint), checkpoint, &mut choices, &mut 0);
            }
            assert!(board.take(checkpoint).is_none(), "nothing is left");
        });
        prop_assert!(c.iter().all(|&terms| terms == passes.0), "{c}");
    }
}

#[test]
fn half_of_what_is_left_is_taken_once_all_pieces_are_begun() {
    let c = with_board((16, 2), (16, 1), (10, 5), 2, |board, checkpoint| {
        let mut first = board.begin(0, checkpoint);
        assert!(board.take(checkpoint).is_none(), "there is a piece");
        let mut bands = 0;
        first
            .each(|_, mut c| {
                bands += 1;
                c.fill(5);
                Ok(())
            })
            .unwrap();
        assert_eq!(bands, 8, "all of the first pass");
        let second = board.begin(1, checkpoint);
        let taken = board.take(checkpoint).unwrap();
        assert_eq!(taken.columns(), 1..2, "of the piece of which more is left");
        assert_eq!(
            board.parts().all.iter().map(|part| part.ahead.len()).collect::<Vec<_>>(),
            [7, 3, 3]
        );
        let mut count = 0;
        for part in [first, second, taken] {
            run(board, part, checkpoint, &mut std::iter::repeat(true), &mut count);
        }
        assert!(count > 2, "taken {count} times: of what was taken, too");
    });
    assert!(c.iter().all(|&terms| terms == 10), "{c}");
}

#[test]
fn a_band_that_a_thread_begins_next_is_not_taken() {
    let c = with_board((4, 1), (4, 1), (5, 5), 2, |board, checkpoint| {
        let first = board.begin(0, checkpoint);
        let second = board.take(checkpoint).unwrap();
        assert!(board.take(checkpoint).is_none(), "each has one, which it packs for");
        for part in [second, first] {
            assert!(!part.is_over(), "its own");
            run(board, part, checkpoint, &mut std::iter::repeat(true), &mut 0);
        }
    });
    assert!(c.iter().all(|&terms| terms == 5), "{c}");
}
