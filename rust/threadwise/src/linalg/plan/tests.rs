//! What plans promise, for sizes on both sides of each threshold.

use threadwise_kernels::{Element, Isa};

use super::chunk::CHUNK;
use super::few::FEW_DEPTH;
use super::right::{
    ONE_TILE, SHORT, SOME_TILES, STREAMED_HALVES, STREAMED_NEAR, STREAMED_SHORT, WORTH_ALIGNING,
    WORTH_ALIGNING_TINY, WORTH_GATHERING, WORTH_PACKING,
};
use super::*;
use crate::work::WorkDistribution;

const ROW_MAJOR: Layout = Layout {
    right_is_row_major: true,
    right_is_column_major: false,
    right_stride: 4096,
    right_is_aligned: true,
    left_is_row_major: true,
    left_is_column_major: false,
    left_stride: 4,
};

fn plan(m: usize, k: usize, n: usize, threads: usize) -> Plan {
    Plan::new(&f32::gemm(Isa::Scalar), (m, k, n), ROW_MAJOR, threads)
}

#[test]
fn where_k_is_cut_depends_on_the_sizes_alone() {
    for (m, k, n) in [(20, 0, 1), (2000, 1000, 2000), (64, 65_536, 64), (16, 100_000, 20)] {
        let cuts = |plan: Plan| (plan.chunk, plan.depth);
        let expected = cuts(plan(m, k, n, 1));
        for threads in [2, 3, 16] {
            assert_eq!(cuts(plan(m, k, n, threads)), expected, "{threads} threads");
        }
        assert!(expected.1 <= DEPTH, "{} terms at once", expected.1);
    }
}

#[test]
fn long_sums_of_a_small_result_are_cut_into_chunks_for_all_threads() {
    for (m, k, n) in [(64, 65_536, 64), (16, 100_000, 17), (1, 4_000_000, 1), (3, 100_000, 200)] {
        let plan = plan(m, k, n, 8);
        assert!(k.div_ceil(plan.chunk) >= 16, "{plan:?}");
        assert!(plan.chunk >= CHUNK, "{plan:?}");
    }
    assert_eq!(plan(1024, 4096, 1024, 8).chunk, 4096, "C alone gives enough pieces");
    assert_eq!(plan(64, 1024, 64, 8).chunk, 1024, "too short");
}

#[test]
fn streams_of_a_large_b_are_cut_along_k_for_any_number_of_threads() {
    let kernel = f32::gemm(Isa::Scalar);
    for threads in [1, 2, 3, 64] {
        let chunk = |sizes| Plan::new(&kernel, sizes, ROW_MAJOR, threads).chunk;
        assert_eq!(chunk((1, 1000, 1000)), 500, "halves of a B that caches hold");
        assert_eq!(chunk((1, 4096, 4096)), 1024, "quarters of one that they do not");
        assert_eq!(chunk((8, 1000, 1000)), 1000, "with more rows, there would be more sums to add");
        assert_eq!(chunk((1, 256, 512)), 256, "small products are whole");
        assert_eq!(chunk((1, 200, 10_000)), 200, "and those of few terms");
    }
}

#[test]
fn long_sums_of_few_rows_are_cut_so_that_a_wish_to_stop_is_heard() {
    let layout = Layout { right_is_column_major: true, ..ROW_MAJOR };
    for (m, k, n) in [(1, 100_000_000, 1), (1, 5_000_000, 300), (8, 3_000_000, 64)] {
        for layout in [layout, ROW_MAJOR] {
            let plan = Plan::new(&f32::gemm(Isa::Scalar), (m, k, n), layout, 2);
            assert!(plan.depth <= FEW_DEPTH, "{} terms at once: {plan:?}", plan.depth);
        }
    }
}

#[test]
fn pieces_are_whole_tiles_not_too_large_and_enough_for_all_threads() {
    let kernel = f32::gemm(Isa::Scalar);
    for (m, k, n) in
        [(1, 1, 1), (1024, 1024, 1024), (2, 4096, 4096), (8, 4096, 4096), (10_000, 16, 16)]
    {
        for threads in [1, 2, 16] {
            let plan = plan(m, k, n, threads);
            assert_eq!(plan.columns % kernel.columns(), 0, "{plan:?}");
            if plan.form == Form::Tiles {
                assert_eq!(plan.rows % kernel.rows(), 0, "{plan:?}");
                assert_eq!(plan.block % kernel.rows(), 0, "{plan:?}");
                let is_sliver = plan.columns <= kernel.columns();
                let most = if is_sliver || k <= FLAT { BLOCKS * BLOCK } else { BLOCK };
                assert!(plan.block <= most, "{plan:?}");
                assert!(plan.columns <= COLUMNS || k <= FLAT, "{plan:?}");
            }
            let pieces = m.div_ceil(plan.rows) * n.div_ceil(plan.columns);
            let pieces = pieces * k.div_ceil(plan.chunk);
            let tiles = m.div_ceil(kernel.rows()) * n.div_ceil(kernel.columns());
            assert!(pieces >= threads.min(tiles), "{pieces}: {plan:?}");
        }
    }
}

#[test]
fn b_is_read_where_it_lies_until_enough_rows_pay_for_packing() {
    let kernel = f32::gemm(Isa::Scalar);
    let form = |(m, k, n), right_is_aligned| {
        let layout = Layout { right_stride: 4 * n, right_is_aligned, ..ROW_MAJOR };
        let plan = Plan::new(&kernel, (m, k, n), layout, 1);
        (plan.form, plan.pack_right)
    };
    assert_eq!(form((STREAMED_NEAR, 200, 300), false), (Form::Streams, false), "few rows");
    assert_eq!(form((STREAMED_NEAR + 1, 200, 300), false), (Form::Tiles, false), "a near B");
    assert_eq!(form((STREAMED, 2000, 3000), false), (Form::Streams, false), "one that is not");
    assert_eq!(form((STREAMED + 1, 2000, 3000), true), (Form::Tiles, true), "then packed");
    assert_eq!(form((STREAMED_SHORT, SHORT, 4000), true), (Form::Streams, false), "few terms");
    assert_eq!(form((STREAMED_SHORT + 1, SHORT, 4000), true), (Form::Tiles, true), "sooner");
    assert_eq!(form((STREAMED_SHORT + 1, SHORT, 9000), true), (Form::Streams, false), "a large B");
    assert_eq!(form((STREAMED_HALVES, 100, 512), true), (Form::Streams, false), "half pages");
    assert_eq!(form((STREAMED_HALVES + 1, 100, 512), true), (Form::Tiles, false), "not yet");
    assert_eq!(form((WORTH_PACKING - 1, 50, 1024), true), (Form::Tiles, false), "whole pages");
    assert_eq!(form((WORTH_PACKING, 50, 1024), true), (Form::Tiles, true), "by more rows");
    assert_eq!(form((WORTH_ALIGNING - 1, 200, 300), false), (Form::Tiles, false), "across lines");
    assert_eq!(form((WORTH_ALIGNING, 200, 300), false), (Form::Tiles, true), "by many rows");
    assert_eq!(form((WORTH_ALIGNING, 200, 304), true), (Form::Tiles, false), "at lines");
    assert_eq!(form((WORTH_GATHERING, 200, 304), true), (Form::Tiles, true), "by very many");
    assert_eq!(form((WORTH_ALIGNING_TINY - 1, 20, 100), false), (Form::Tiles, false), "a tiny one");
    assert_eq!(form((WORTH_ALIGNING_TINY, 20, 100), false), (Form::Tiles, true), "by very many");
}

#[test]
fn of_a_b_in_large_caches_tiles_of_all_terms_are_computed() {
    let layout = Layout { right_stride: 3600, right_is_aligned: false, ..ROW_MAJOR };
    let tiled = |k, threads| {
        let right = Right::of(layout, (k, 900), (64, 4));
        let is_tiled = |&m: &usize| right.is_streamed(m, 900) && right.is_tiled(m, threads);
        (1..=STREAMED + 1).filter(is_tiled).collect::<Vec<_>>()
    };
    let some = SOME_TILES..=STREAMED;
    assert!(tiled(500, 2).is_empty(), "1.8 MB are not streamed");
    assert_eq!(tiled(700, 1), some.clone().collect::<Vec<_>>(), "2.5 MB for one thread");
    assert_eq!(tiled(700, 2), ONE_TILE.chain(some).collect::<Vec<_>>(), "for two");
    assert!(tiled(1200, 2).is_empty(), "4.3 MB are too much");
}

#[test]
fn dots_are_for_rows_that_are_too_few_to_pack_the_columns_for_tiles() {
    let columns = Layout { right_is_row_major: false, right_is_column_major: true, ..ROW_MAJOR };
    let dotted = |m, k, n| Plan::is_dotted::<f32>((m, k, n), columns);
    assert!(dotted(1, 3, 400) && dotted(400, 3, 1), "a vector, whatever it is multiplied with");
    assert!(!dotted(2, 7, 400) && dotted(2, 8, 400) && !dotted(4, 8, 400), "few terms");
    assert!(dotted(7, 64, 400) && !dotted(8, 64, 400), "the more terms, the more rows");
    assert!(dotted(12, 64, 17) && !dotted(12, 64, 160), "tiles leave lanes empty");
    assert!(dotted(20, 4096, 1000) && !dotted(21, 4096, 1000), "and no more than stay near");
    assert!(dotted(24, 512, 24) && !dotted(25, 512, 24), "as these do");
    let double = |m, k, n| Plan::is_dotted::<f64>((m, k, n), columns);
    assert!(double(12, 64, 400) && !dotted(12, 64, 400), "squares of doubles are small");
    assert!(!Plan::is_dotted::<f32>((2, 64, 400), ROW_MAJOR), "rows of B");
    let across = Layout { left_is_row_major: false, ..columns };
    assert!(!Plan::is_dotted::<f32>((2, 64, 400), across), "columns of A");
}

#[test]
fn narrow_results_are_transposed_where_columns_are_few_and_long() {
    let by_rows = |m, k, n| Plan::is_narrow::<f32>((m, k, n), ROW_MAJOR);
    assert!(by_rows(64, 12, 2) && !by_rows(64, 11, 2), "terms for each column");
    assert!(by_rows(32, 60, 3) && !by_rows(31, 60, 3), "rows for a copy");
    assert!(by_rows(16, 64, 5) && !by_rows(15, 64, 5) && !by_rows(31, 64, 6), "of long columns");
    assert!(by_rows(64, 256, 12) && !by_rows(64, 255, 12), "more columns need longer ones");
    assert!(!by_rows(64, 300, 13) && !by_rows(64, 300, 16), "tiles with hardly an empty lane");
    assert!(by_rows(64, 300, 17) && by_rows(64, 300, 20), "tiles of two vectors with many");
    assert!(!by_rows(64, 300, 21), "too many columns for dots");
    let columns = Layout { right_is_row_major: false, right_is_column_major: true, ..ROW_MAJOR };
    let by_columns = |m, k, n| Plan::is_narrow::<f32>((m, k, n), columns);
    assert!(by_columns(12, 12, 2), "no copy");
    assert!(!by_columns(11, 12, 2), "few rows are dots as they are");
    let across = Layout { left_is_row_major: false, ..columns };
    assert!(!Plan::is_narrow::<f32>((64, 300, 4), across), "dots read rows of A");
    assert!(Plan::is_narrow::<f64>((64, 60, 6), ROW_MAJOR), "six of eight lanes");
    assert!(!Plan::is_narrow::<f64>((64, 60, 7), ROW_MAJOR), "seven of them");
}

#[test]
fn threads_write_rows_of_their_own_where_sums_are_short() {
    let rows = |m, k| plan(m, k, 1000, 2).rows;
    assert_eq!(rows(2 * WORTH_COPYING, SHALLOW), WORTH_COPYING, "half of the rows each");
    assert_eq!(
        rows(2 * WORTH_COPYING - 2, SHALLOW),
        2 * WORTH_COPYING,
        "too few: half of the columns"
    );
    assert_eq!(rows(2 * WORTH_COPYING, SHALLOW + 1), 2 * WORTH_COPYING, "long sums: the same");
}

#[test]
fn pieces_that_pack_b_have_many_rows_if_each_thread_has_one() {
    let rows = |m, n, right_is_row_major, threads| {
        let right_stride = if right_is_row_major { 4 * n } else { 4 };
        let layout =
            Layout { right_stride, right_is_row_major, right_is_aligned: false, ..ROW_MAJOR };
        let plan = Plan::new(&f32::gemm(Isa::Scalar), (m, 1000, n), layout, threads);
        assert!(plan.pack_right, "{plan:?}");
        plan.rows
    };
    let width = f32::gemm(Isa::Scalar).columns();
    assert_eq!(rows(100, 2 * width, true, 2), 100, "each thread has a sliver");
    assert!(rows(100, width, true, 2) < 100, "there is but one");
    assert!(rows(1000, 2 * width, true, 2) < 1000, "to copy B again is little work");
    assert_eq!(rows(1000, 2 * width, false, 2), 1000, "to transpose it again is not");
    assert!(rows(100, width + 1, true, 2) <= 60, "a sliver of one column is no equal share");
}

#[test]
fn halves_are_even() {
    assert_eq!(half(258, 6), 132, "43 tiles: 22 and 21");
    assert_eq!(half(320, 64), 128, "five slivers: two, two and one");
    assert_eq!(half(128, 64), 64, "two slivers: one each");
}

#[test]
fn there_are_as_many_pieces_as_the_caller_wants() {
    let kernel = f32::gemm(Isa::Scalar);
    let (height, width) = (kernel.rows(), kernel.columns());
    let (m, n) = (96 * height, 64 * width);
    for (min, max, tasks, pieces) in
        [(1, m, 1, 2), (1, m, 4, 8), (1, m, 24, 48), (1, 2 * height, 1, 48), (m / 3, m, 9, 3)]
    {
        let wanted = WorkDistribution::new(min, max, tasks, None, 64).unwrap();
        let plan = plan(m, 512, n, 2).cut_by(Some(wanted), &kernel, (m, 512, n));
        assert_eq!(m.div_ceil(plan.rows), pieces, "rows: {wanted:?}");
        assert_eq!(wanted.ranges(m, 2, height).len(), pieces, "as they are counted there");
        assert_eq!(plan.block % height, 0, "{plan:?}");
        assert!(plan.block <= plan.rows, "{plan:?}");
    }
    assert_eq!(plan(m, 512, n, 2).cut_by(None, &kernel, (m, 512, n)), plan(m, 512, n, 2), "none");
}

#[test]
fn of_few_rows_columns_are_cut_and_streams_keep_long_runs() {
    let kernel = f32::gemm(Isa::Scalar);
    let pieces = |layout, n: usize, threads, max, tasks| {
        let wanted = WorkDistribution::new(1, max, tasks, None, 64).unwrap();
        let sizes = (2, 250, n);
        let plan = Plan::new(&kernel, sizes, layout, threads).cut_by(Some(wanted), &kernel, sizes);
        assert_eq!((plan.threads, plan.rows), (threads, 2), "{plan:?}");
        assert_eq!(plan.columns % kernel.columns(), 0, "{plan:?}");
        n.div_ceil(plan.columns)
    };
    let columns = Layout { right_is_column_major: true, ..ROW_MAJOR };
    assert_eq!(pieces(columns, 4096, 2, 4096, 4), 8, "dots: four for each of two threads");
    assert_eq!(pieces(columns, 4096, 2, 64, 4), 64, "dots: at most 64 columns");
    assert_eq!(pieces(ROW_MAJOR, 65_536, 2, 65_536, 4), 8, "streams: four for each");
    assert_eq!(pieces(ROW_MAJOR, 65_536, 2, 65_536, 2), 4, "streams: two for each");
    assert_eq!(pieces(ROW_MAJOR, 65_536, 2, 64, 16), 8, "streams: runs of 32 KiB");
    assert_eq!(pieces(ROW_MAJOR, 4096, 4, 64, 4), 4, "streams: shorter, so that each has one");
    let sizes = (1, 4096, 4096);
    let alone = Plan::new(&kernel, sizes, ROW_MAJOR, 2);
    let wanted = WorkDistribution::for_matmul(1, 4096, 2);
    assert_eq!(alone.cut_by(Some(wanted), &kernel, sizes), alone, "k is cut already");
}

#[test]
fn rows_of_pieces_that_the_caller_cuts_share_what_is_packed() {
    let kernel = f32::gemm(Isa::Scalar);
    let sizes = (1000, 1000, 1000);
    let wanted = |rows| WorkDistribution::new(rows, rows, 1, None, 64).ok();
    let whole = Plan::new(&kernel, sizes, ROW_MAJOR, 1);
    assert!(whole.pack_right && !whole.pack_together, "{whole:?}");
    let cut = whole.cut_by(wanted(8 * kernel.rows()), &kernel, sizes);
    assert!(cut.pack_together, "each row of pieces would pack B: {cut:?}");
    let many = Plan::new(&kernel, (4000, 1000, 1000), ROW_MAJOR, 64);
    assert!(many.pack_together, "{many:?}");
    let one = many.cut_by(wanted(4096), &kernel, (4000, 1000, 1000));
    assert!(!one.pack_together, "there is but one row of pieces: {one:?}");
    for plan in [cut, one] {
        assert!(plan.block <= plan.rows.min(BLOCK), "{plan:?}");
    }
}

#[test]
fn threads_help_one_another_with_large_products_that_nobody_else_cut() {
    let kernel = f32::gemm(Isa::Scalar);
    for (m, k, n) in [(1000, 1000, 1000), (300, 2000, 300), (4000, 64, 4000), (333, 777, 555)] {
        let plan = plan(m, k, n, 2);
        let band = plan.band.unwrap_or_else(|| panic!("no bands: {plan:?}"));
        assert_eq!(band % kernel.rows(), 0, "whole tiles: {plan:?}");
        assert!(2 * band <= plan.rows, "there is something to take: {plan:?}");
        let wanted = WorkDistribution::new(64, 4096, 4, None, 64).unwrap();
        let wanted = plan.cut_by(Some(wanted), &kernel, (m, k, n));
        assert_eq!(wanted.band, None, "pieces are as the caller wants them");
    }
    assert_eq!(plan(1000, 1000, 1000, 1).band, None, "nobody else is there");
    assert_eq!(plan(200, 200, 200, 2).band, None, "too little");
    assert_eq!(plan(64, 100_000, 64, 2).band, None, "chunks of k");
    assert_eq!(plan(1, 4096, 40_960, 2).band, None, "a row");
    let low = plan(64, 1024, 1024, 2);
    assert_eq!(low.band, None, "too few rows");
    assert!(low.pieces((64, 1024, 1024)) >= LOW_PIECES * 2, "more pieces instead: {low:?}");
}
