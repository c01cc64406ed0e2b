//! How a pipeline is run.

use super::state::expect_some;
use crate::Error;

/// How many micro-batches, at the same time or not, and how much of them at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PipelineConfig {
    num_micro_batches: usize,
    /// Whether each stage has a thread. If not, the caller's thread does all stages' work, in the same order
    /// of ticks.
    pub async_execution: bool,
    memory_budget: usize,
}

impl Default for PipelineConfig {
    /// Four micro-batches, a thread for each stage, 512 MiB.
    fn default() -> Self {
        Self { num_micro_batches: 4, async_execution: true, memory_budget: 512 << 20 }
    }
}

impl PipelineConfig {
    /// Bytes of a number.
    const NUMBER: usize = 4;

    /// `memory_budget` is how many bytes of micro-batches may be on their way at the same time; one may, whatever
    /// its size.
    ///
    /// # Errors
    ///
    /// If a number is 0.
    pub fn new(
        num_micro_batches: usize,
        async_execution: bool,
        memory_budget: usize,
    ) -> Result<Self, Error> {
        expect_some("num_micro_batches", num_micro_batches)?;
        expect_some("memory_budget", memory_budget)?;
        Ok(Self { num_micro_batches, async_execution, memory_budget })
    }

    /// As many micro-batches as the budget holds activations of all layers for, but from 2, so that stages can
    /// overlap, to 8. A model without layers or width has no activations, and gets 8.
    ///
    /// # Errors
    ///
    /// If `memory_budget` is 0.
    pub fn for_model(layers: usize, hidden: usize, memory_budget: usize) -> Result<Self, Error> {
        let bytes = layers.saturating_mul(hidden).saturating_mul(Self::NUMBER);
        let fit = memory_budget.checked_div(bytes).unwrap_or(usize::MAX);
        Self::new(fit.clamp(2, 8), true, memory_budget)
    }

    /// Into how many pieces a batch is cut.
    #[must_use]
    pub fn num_micro_batches(&self) -> usize {
        self.num_micro_batches
    }

    /// Bytes that may be on their way.
    #[must_use]
    pub fn memory_budget(&self) -> usize {
        self.memory_budget
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_gets_as_many_micro_batches_as_fit() {
        let number = |layers, hidden, budget| {
            PipelineConfig::for_model(layers, hidden, budget).unwrap().num_micro_batches
        };
        assert_eq!(number(32, 4096, 5 * 32 * 4096 * 4), 5, "what fits");
        assert_eq!(number(32, 4096, 1), 2, "so that stages can overlap");
        assert_eq!(number(1, 1, 1 << 40), 8, "no more than help");
        assert_eq!([number(0, 4096, 1), number(32, 0, 1)], [8, 8], "no division by zero");
        assert_eq!(number(usize::MAX, usize::MAX, 1), 2, "no overflow");
    }

    #[test]
    fn nothing_is_refused() {
        let sentence = |m, budget| PipelineConfig::new(m, true, budget).unwrap_err().to_string();
        assert_eq!(sentence(0, 1), "num_micro_batches is 0, expected at least 1");
        assert_eq!(sentence(1, 0), "memory_budget is 0, expected at least 1");
    }
}
