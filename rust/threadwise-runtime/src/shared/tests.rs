//! What buffers give out, and what they refuse to.

use std::panic::{AssertUnwindSafe, catch_unwind};

use ndarray::{Array2, s};

use super::*;
use crate::{Interrupt, Program, Region};

struct Once<F>(usize, F);

impl<F: Fn(&Item<'_>) + Sync> Program for Once<F> {
    fn phases(&self) -> usize {
        self.0
    }

    fn items(&self, _: usize) -> usize {
        1
    }

    fn run(&self, item: &Item<'_>) {
        (self.1)(item);
    }
}

fn run(region: Region, phases: usize, work: impl Fn(&Item<'_>) + Sync) {
    region.run(None, 1, &Interrupt::never(), &Once(phases, work)).unwrap();
}

/// What an item panics with that accesses a buffer of 4 by 6 elements so.
fn refusal(access: impl Fn(&Shared<'_, u8>, [Cut; 2], &Item<'_>) + Sync) -> String {
    let mut buffer = Array2::zeros((4, 6));
    let region = Region::new();
    let mut shared = region.share(buffer.view_mut());
    let cuts = [shared.cut(1, 6), shared.cut(4, 2)];
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        run(region, 1, |item| access(&shared, cuts, item));
    }));
    let panic = outcome.expect_err("it was not refused");
    panic
        .downcast_ref::<String>()
        .cloned()
        .or(panic.downcast_ref::<&str>().map(|s| (*s).into()))
        .unwrap()
}

#[test]
fn the_cells_of_a_cut_cover_the_buffer_once() {
    for (rows, columns) in [(1, 1), (1, 7), (2, 3), (4, 4), (5, 7), (9, 9)] {
        for slice in [s![.., ..], s![..;2, 1..]] {
            let mut all = Array2::<u32>::zeros((5, 7));
            let mut expected = all.clone();
            expected.slice_mut(slice).fill(1);
            let region = Region::new();
            let mut shared = region.share(all.slice_mut(slice));
            let cut = shared.cut(rows, columns);
            assert_eq!(shared.cut(rows, columns), cut, "the same cut again");
            run(region, 1, |item| {
                for cell in 0..cut.len() {
                    let mut piece = shared.piece(item, cut, cell);
                    assert!(piece.nrows() <= rows && piece.ncols() <= columns, "too large");
                    piece += 1;
                }
            });
            assert_eq!(all, expected, "cells of {rows} by {columns}");
        }
    }
    let mut none = Array2::<u8>::zeros((3, 0));
    assert!(Region::new().share(none.view_mut()).cut(1, 1).is_empty(), "nothing to cut");
}

#[test]
fn another_phase_may_use_the_buffer_otherwise() {
    let mut buffer = Array2::<u32>::zeros((4, 6));
    let region = Region::new();
    let mut shared = region.share(buffer.view_mut());
    let (rows, columns) = (shared.cut(1, 6), shared.cut(4, 2));
    run(region, 4, |item| match item.phase() {
        0 => shared.piece(item, rows, 1).fill(1),
        1 => shared.piece(item, columns, 2).fill(2),
        2 => assert_eq!(shared.read(item).sum() + shared.read(item).sum(), 40, "read twice"),
        _ => shared.piece(item, rows, 1).fill(0),
    });
    assert_eq!(buffer.sum(), 12, "three rows of two");
}

#[test]
fn what_would_alias_is_refused() {
    let twice = refusal(|shared, [rows, _], item| {
        let _first = shared.piece(item, rows, 1);
        let _second = shared.piece(item, rows, 1);
    });
    assert_eq!(twice, "cell 1 was given out before in phase 0");
    let read = refusal(|shared, [rows, _], item| {
        let _piece = shared.piece(item, rows, 1);
        let _all = shared.read(item);
    });
    assert_eq!(read, "written in pieces and read in phase 0");
    let written = refusal(|shared, [rows, _], item| {
        let _all = shared.read(item);
        let _piece = shared.piece(item, rows, 1);
    });
    assert_eq!(written, "read and written in pieces in phase 0");
    let cut = refusal(|shared, [rows, columns], item| {
        let _row = shared.piece(item, rows, 1);
        let _column = shared.piece(item, columns, 1);
    });
    assert_eq!(cut, "written in pieces and written in pieces in phase 0", "by two cuts");
    assert_eq!(refusal(|shared, [rows, _], item| _ = shared.piece(item, rows, 4)), "cell 4 of 4");
}

#[test]
fn what_belongs_to_another_region_or_buffer_is_refused() {
    let elsewhere = refusal(|shared, _, _| run(Region::new(), 1, |item| _ = shared.read(item)));
    assert_eq!(elsewhere, "the buffer is another region's");
    let foreign = refusal(|shared, _, item| {
        let mut other = Array2::<u8>::zeros((9, 9));
        let cut = Region::new().share(other.view_mut()).cut(2, 2);
        _ = shared.piece(item, cut, 0);
    });
    assert_eq!(foreign, "the cut is another buffer's");
}

#[test]
#[should_panic(expected = "rows and columns run forwards")]
fn a_buffer_that_runs_backwards_is_refused() {
    let mut buffer = Array2::<u8>::zeros((3, 3));
    _ = Region::new().share(buffer.slice_mut(s![..;-1, ..]));
}
