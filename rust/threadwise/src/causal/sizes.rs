//! How large the buffers of a chunk are, and how its steps are cut into items.

use super::CausalLm;
use super::inputs::{Coding, Inputs, Width};
use super::program::Blocks;

/// Rows and columns of the buffers of a chunk.
pub(super) struct Sizes {
    tokens: usize,
    picked: usize,
    coding: Option<Coding>,
    pub(super) x: (usize, usize),
    pub(super) q: (usize, usize),
    pub(super) normed: Width,
    pub(super) ready: Width,
    pub(super) gated: Width,
    pub(super) partials: (usize, usize),
}

impl Sizes {
    pub(super) fn new(
        model: &CausalLm,
        tokens: usize,
        picked: usize,
        partials: (usize, usize),
    ) -> Self {
        let (d, e, coding) = (model.shape.hidden_size, model.shape.head_dim, model.coding);
        let heads = &model.heads.heads;
        Self {
            tokens,
            picked,
            coding,
            x: (tokens, d),
            q: (tokens, heads.len() * e),
            normed: Width::new(0, d, coding),
            ready: Width::new(heads.start * e, heads.len() * e, coding),
            gated: Width::new(model.ffn.start, model.ffn.len(), coding),
            partials,
        }
    }

    /// Numbers and words.
    pub(super) fn all(&self) -> (usize, usize) {
        let Self { tokens, picked, coding, x, q, normed, ready, gated, partials } = *self;
        let plain = [x, x, q, q, partials].iter().map(|(rows, columns)| rows * columns).sum();
        let ready = (if coding.is_some() { tokens } else { 0 }, ready);
        [(tokens, normed), ready, (tokens, gated), (picked, normed)]
            .into_iter()
            .map(|(rows, width)| Inputs::size(rows, width, coding))
            .fold((plain, 0), |all, size| (all.0 + size.0, all.1 + size.1))
    }
}

impl Blocks {
    pub(super) fn new(model: &CausalLm, tokens: usize, picked: usize) -> Self {
        let shape = &model.shape;
        let heads = block(shape.hidden_size, tokens) / shape.head_dim;
        let ffn = block(2 * shape.hidden_size, tokens);
        Self {
            heads: heads.clamp(1, model.heads.heads.len().max(1)),
            hidden: block(model.ffn.len().max(model.heads.heads.len() * shape.head_dim), tokens),
            // Whole runs are one item's.
            ffn: model.coding.map_or(ffn, |coding| ffn.next_multiple_of(coding.run)),
            vocabulary: block(shape.hidden_size, picked),
        }
    }
}

/// Rows of a weight with so many columns that an item takes with so many tokens: enough to be worth it.
fn block(columns: usize, tokens: usize) -> usize {
    /// Elements that are read, and multiply-adds: some ten and a hundred microseconds.
    const WORTH: (usize, usize) = (1 << 18, 1 << 24);
    /// Two panels.
    const UNIT: usize = 32;
    let columns = columns.max(1);
    let rows = (WORTH.0 / columns).min(WORTH.1 / (columns * tokens.max(1)));
    (rows / UNIT * UNIT).clamp(UNIT, 8 * UNIT)
}
