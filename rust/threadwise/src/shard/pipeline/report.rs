//! What a run of a pipeline took.

use std::time::Duration;

/// How long the stages worked, and how long the run was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PipelineReport {
    /// How many micro-batches went through.
    pub micro_batches: usize,
    /// From the first one's beginning to the last one's end.
    pub elapsed: Duration,
    /// How long each stage worked.
    pub busy: Vec<Duration>,
    /// The most bytes of micro-batches that were on their way at the same time.
    pub peak_bytes: usize,
}

impl PipelineReport {
    /// The part of the stages' time that went by without work, from 0 to 1.
    #[must_use]
    pub fn bubble(&self) -> f64 {
        let busy: Duration = self.busy.iter().sum();
        let all = self.elapsed.as_secs_f64() * self.busy.len() as f64;
        if all > 0.0 { (1.0 - busy.as_secs_f64() / all).clamp(0.0, 1.0) } else { 0.0 }
    }

    /// What that is at least where all stages take equal time: (S - 1) / (M + S - 1).
    #[must_use]
    pub fn ideal_bubble(&self) -> f64 {
        let others = self.busy.len().saturating_sub(1) as f64;
        if others > 0.0 { others / (self.micro_batches as f64 + others) } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bubble_is_what_was_not_worked() {
        let report = |micro_batches, elapsed, busy: &[u64]| PipelineReport {
            micro_batches,
            elapsed: Duration::from_secs(elapsed),
            busy: busy.iter().copied().map(Duration::from_secs).collect(),
            peak_bytes: 0,
        };
        let even = report(3, 4, &[3, 3]);
        assert_eq!((even.bubble(), even.ideal_bubble()), (0.25, 0.25), "two even stages");
        let uneven = (report(2, 10, &[4, 1]).bubble(), report(0, 0, &[0, 0]).bubble());
        assert_eq!(uneven, (0.75, 0.0), "uneven ones, and nothing at all");
        let alone = report(2, 2, &[2]);
        assert_eq!((alone.bubble(), alone.ideal_bubble()), (0.0, 0.0), "it waits for none");
    }
}
