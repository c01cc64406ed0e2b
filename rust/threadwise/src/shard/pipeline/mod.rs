//! Stages that work at the same time, each on another micro-batch.
//!
//! Source: Y. Huang et al., *GPipe: Efficient Training of Giant Neural Networks using Pipeline Parallelism*, 2019,
//! arXiv:1811.06965: with S stages of equal length, M micro-batches take M + S - 1 ticks in place of M S, and the
//! part (S - 1) / (M + S - 1) of the stages' time, the bubble, goes by without work.
//!
//! Micro-batches must be independent of one another: sequences of a batch, or the chunks of a prompt whose
//! later layers come after its earlier ones. The next token of one sequence is not.

mod config;
mod line;
mod report;
mod run;
mod state;
#[cfg(test)]
mod tests;

pub use config::PipelineConfig;
pub use line::Line;
pub use report::PipelineReport;
pub use run::{Stage, run};
pub use state::PipelineState;
