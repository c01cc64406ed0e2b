//! Pieces as the caller wants them.

use std::mem::size_of;

use threadwise_kernels::gemm::Kernel;

use super::{BLOCK, FEW_PIECE, Form, Plan, even};
use crate::linalg::Real;
use crate::work::WorkDistribution;

/// Bytes of a row of B that a stream reads on end at least. What is said of rows makes runs of columns that
/// are too short.
const RUN: usize = 32 << 10;

impl Plan {
    /// The same plan, with pieces as the caller wants them: so many rows of C, or where rows are few, columns.
    pub(in crate::linalg) fn cut_by<T: Real>(
        self,
        distribution: Option<WorkDistribution>,
        kernel: &Kernel<T>,
        (m, k, n): (usize, usize, usize),
    ) -> Self {
        let Some(distribution) = distribution else { return self };
        let (height, width) = (kernel.rows(), kernel.columns());
        if !self.is_few {
            let rows = distribution.extent(m, self.threads, height);
            // Nobody takes less than a piece.
            let cut = Self { rows, block: even(rows, BLOCK, height), band: None, ..self };
            return Self { pack_together: cut.is_worth_together::<T>((m, k, n), width), ..cut };
        }
        // A stream reads long runs, if there are as many for each thread.
        let fair = n.div_ceil(self.threads.div_ceil(k.div_ceil(self.chunk).max(1)));
        let run = if self.form == Form::Streams { fair.min(RUN / size_of::<T>()) } else { 0 };
        let most = (FEW_PIECE / self.depth.max(1)).next_multiple_of(width).max(width);
        let columns =
            distribution.extent(n, self.threads, width).max(run.next_multiple_of(width)).min(most);
        Self { columns, ..self }
    }
}
