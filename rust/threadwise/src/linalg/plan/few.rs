//! Plans of products of few rows.

use std::mem::size_of;

use threadwise_kernels::gemm::Kernel;

use super::chunk::{chunk, streamed_chunk};
use super::{FEW_PIECE, Form, Plan, even_depth};
use crate::linalg::Real;

/// Terms a pass over k of a product of few rows, so that a wish to stop is heard between passes.
pub(super) const FEW_DEPTH: usize = 1 << 20;

/// Bytes of a row of B that a stream reads on end at least, if there are as many for each thread.
const RUN: usize = 8 << 10;

/// Columns of C that make a piece, in products by dots.
const DOTS_PIECE: usize = 16;

/// Rows that dots hold in registers: those of A need not stay in the nearest cache beside B's columns.
const DOTS_AT_ONCE: usize = 6;

/// Bytes of a row of A that, times the rows and columns which dots hold in registers, do stay there.
const DOTS_NEAR: usize = 4096;

impl Plan {
    /// Few rows of A, and columns of B that are contiguous, by dots.
    pub(in crate::linalg) fn dots<T: Real>(
        kernel: &Kernel<T>,
        sizes: (usize, usize, usize),
        threads: usize,
    ) -> Self {
        Self::few(Form::Dots, kernel, sizes, threads)
    }

    /// Few rows: each piece has all of them and reads its columns of B, in whole cache lines, from memory once.
    pub(super) fn few<T: Real>(
        form: Form,
        kernel: &Kernel<T>,
        (m, k, n): (usize, usize, usize),
        threads: usize,
    ) -> Self {
        let is_dots = form == Form::Dots;
        let pieces = if is_dots { n.div_ceil(DOTS_PIECE) } else { n * size_of::<T>() / RUN };
        let chunk =
            if is_dots { chunk((m, k, n), pieces) } else { streamed_chunk::<T>((m, k, n), pieces) };
        let chunks = k.div_ceil(chunk).max(1);
        // Streams want long runs of each row.
        let each = super::pieces::<T>((m, k, n));
        let (least, most) = (threads.div_ceil(chunks), (each * threads).div_ceil(chunks));
        let share = n.div_ceil(if threads > 1 { pieces.clamp(least, most) } else { 1 });
        let near = if is_dots && m > DOTS_AT_ONCE { DOTS_NEAR / size_of::<T>() } else { FEW_DEPTH };
        let depth = even_depth(chunk, near);
        let line = kernel.columns();
        let columns = share.min(FEW_PIECE / depth.max(1)).next_multiple_of(line).max(line);
        let in_place = Self::in_place(form, threads, (chunk, depth), (m.max(1), columns));
        Self { is_few: true, ..in_place }
    }
}
