//! A chunk of tokens on its way through the layers: one region, each of whose phases is a step of a layer.

use std::ops::Range;

use ndarray::{Array2, ArrayViewMut2, Axis, Slice};
use threadwise_kernels::gate::Gate;
use threadwise_kernels::norm::AddRmsNorm;
use threadwise_runtime::with_scratch;

use super::CausalLm;
use super::forward::Reduce;
use super::inputs::{Inputs, Width};
use super::layer::{Layer, Linear};
use super::matrix::X;
use super::rows::Rows;
use crate::nn::attention::{Lent, Schedule};
use crate::phased::{Cut, Item, Phased, Shared};
use crate::{Error, Isa, Stored};

/// Tokens whose rows are normalized together.
pub(super) const TOGETHER: usize = 8;

/// What a chunk begins with.
#[derive(Clone, Copy)]
pub(super) enum Begin<'a> {
    /// Tokens.
    Ids(&'a [usize]),
    /// What the layers before gave.
    Hidden(&'a [f32]),
}

/// How steps are cut into items, by sizes only.
#[derive(Clone, Copy, Debug)]
pub(super) struct Blocks {
    /// Heads of queries.
    pub(super) heads: usize,
    /// Columns of what attention and feed-forward layers give.
    pub(super) hidden: usize,
    /// Columns within feed-forward layers.
    pub(super) ffn: usize,
    /// Tokens of the vocabulary.
    pub(super) vocabulary: usize,
}

/// The steps of a layer, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// What the layer before gave is added, and rows are normalized.
    Begin,
    /// Queries, keys and values; these are stored.
    Heads,
    /// Queries attend to keys.
    Attend,
    /// What they got of several chunks of keys is united.
    Unite,
    /// Where weights are quantized, that becomes what meets codes.
    Ready,
    /// Products over heads.
    Out,
    /// They are summed over ranks.
    OutSum,
    /// They are added, and rows are normalized.
    Middle,
    /// The gated columns of the feed-forward layer.
    Gate,
    /// Products over these.
    Down,
    /// They are summed over ranks.
    DownSum,
}

const STEPS: [Step; 11] = [
    Step::Begin,
    Step::Heads,
    Step::Attend,
    Step::Unite,
    Step::Ready,
    Step::Out,
    Step::OutSum,
    Step::Middle,
    Step::Gate,
    Step::Down,
    Step::DownSum,
];

/// A chunk, and the buffers between its phases.
pub(super) struct Chunk<'a, S> {
    pub(super) model: &'a CausalLm,
    pub(super) isa: Isa,
    pub(super) begin: Begin<'a>,
    /// Cosines, then sines, of each token's position.
    pub(super) angles: &'a Array2<f32>,
    pub(super) schedule: Schedule,
    pub(super) lent: Lent<'a, S>,
    /// For each span, its tokens.
    pub(super) spans: &'a [Range<usize>],
    pub(super) blocks: Blocks,
    /// What stands for tokens.
    pub(super) x: Rows<'a, f32>,
    /// What is to be added to it.
    pub(super) delta: Rows<'a, f32>,
    pub(super) normed: Inputs<'a>,
    pub(super) q: Rows<'a, f32>,
    pub(super) attended: Shared<'a, f32>,
    /// A token's heads of queries that share one of keys.
    pub(super) places: Cut,
    pub(super) partials: Shared<'a, f32>,
    pub(super) partial: Cut,
    /// The same, where weights are quantized.
    pub(super) ready: Option<Inputs<'a>>,
    pub(super) gated: Inputs<'a>,
    /// Of which tokens logits are wanted.
    pub(super) picked: &'a [usize],
    pub(super) last: Inputs<'a>,
    pub(super) out: Rows<'a, f32>,
    pub(super) reduce: Option<&'a dyn Reduce>,
}

impl<S: Stored> Phased for Chunk<'_, S> {
    fn phases(&self) -> usize {
        self.model.layers.len() * STEPS.len() + 2
    }

    fn items(&self, phase: usize) -> usize {
        let tokens = self.tokens();
        let (shape, heads) = (&self.model.shape, &self.model.heads);
        let sums = usize::from(self.reduce.is_some());
        let Some(step) = self.step(phase) else {
            return match (phase % STEPS.len(), self.model.is_last()) {
                (0, true) => self.picked.len().div_ceil(TOGETHER),
                (0, false) => tokens.div_ceil(TOGETHER),
                (_, true) if !self.picked.is_empty() => {
                    shape.vocab_size.div_ceil(self.blocks.vocabulary)
                }
                _ => 0,
            };
        };
        match step {
            Step::Begin | Step::Middle => tokens.div_ceil(TOGETHER),
            Step::Ready => self.ready.as_ref().map_or(0, |_| tokens.div_ceil(TOGETHER)),
            Step::Heads => heads.kv.len() + heads.heads.len().div_ceil(self.blocks.heads),
            Step::Attend => self.schedule.works(),
            Step::Unite => self.schedule.unions(),
            Step::Out | Step::Down => shape.hidden_size.div_ceil(self.blocks.hidden),
            Step::OutSum | Step::DownSum => sums,
            Step::Gate => self.gated.width().all.div_ceil(self.blocks.ffn),
        }
    }

    fn run(&self, item: &Item<'_>) -> Result<(), Error> {
        let (number, layer) = (item.number(), item.phase() / STEPS.len());
        let Some(step) = self.step(item.phase()) else {
            return match item.phase() % STEPS.len() {
                0 if self.model.is_last() => self.finish(item),
                0 => {
                    self.hand_on(item);
                    Ok(())
                }
                _ => self.logits(item),
            };
        };
        let weights = &self.model.layers[layer];
        match step {
            Step::Begin => {
                self.normalize(item, layer == 0, &weights.attention_norm);
                Ok(())
            }
            Step::Heads => {
                let keys = self.model.heads.kv.len();
                match number.checked_sub(keys) {
                    None => self.keys(item, layer, weights),
                    Some(block) => self.queries(item, block, weights),
                }
            }
            Step::Attend => self.attend(item, layer),
            Step::Unite => {
                let place = |span, query, head| self.place(item, span, query, head);
                self.schedule.unite(item, number, &self.partials, place)
            }
            Step::Ready => {
                self.make_ready(item);
                Ok(())
            }
            Step::Out => {
                let plain = || X { floats: self.attended.read(item), lead: 0, coded: None };
                let x = self.ready.as_ref().map_or_else(plain, |ready| ready.read(item));
                self.multiply(item, &weights.o, x)
            }
            Step::OutSum | Step::DownSum => self.sum(item),
            Step::Middle => {
                self.normalize(item, false, &weights.mlp_norm);
                Ok(())
            }
            Step::Gate => self.gate(item, weights),
            Step::Down => self.multiply(item, &weights.down, self.gated.read(item)),
        }
    }
}

impl<S: Stored> Chunk<'_, S> {
    pub(super) fn tokens(&self) -> usize {
        self.angles.nrows()
    }

    /// The step of a layer that a phase is; none, behind the last layer.
    fn step(&self, phase: usize) -> Option<Step> {
        (phase / STEPS.len() < self.model.layers.len()).then(|| STEPS[phase % STEPS.len()])
    }

    /// Some tokens' rows, with what is to be added to them, normalized.
    fn normalize(&self, item: &Item<'_>, is_begin: bool, weight: &[f32]) {
        let (norm, eps) = (AddRmsNorm::new(self.isa), self.model.shape.norm_eps);
        let first = item.number() * TOGETHER;
        let mut x = self.x.rows(item, item.number());
        let mut normed = self.normed.rows(item, item.number());
        let d = self.model.shape.hidden_size;
        let nothing = vec![0.0; if is_begin { weight.len() } else { 0 }];
        let rows = x.rows_mut().into_iter().zip(normed.floats.rows_mut());
        for (i, (mut x, mut y)) in rows.enumerate() {
            let (Some(x), Some(y)) = (x.as_slice_mut(), y.as_slice_mut()) else { continue };
            let (y, rest) = y.split_at_mut(d);
            rest.fill(0.0);
            let token = first + i;
            if !is_begin {
                let delta = self.delta.read(item);
                let delta = delta.row(token).to_slice().unwrap_or_default();
                norm.row(x, delta, weight, eps, y);
                continue;
            }
            match (self.begin, &self.model.embedding) {
                (Begin::Ids(ids), Some(embedding)) => embedding.row(ids[token], x),
                (Begin::Hidden(rows), _) => {
                    x.copy_from_slice(&rows[token * x.len()..][..x.len()]);
                }
                (Begin::Ids(_), None) => unreachable!("tokens are for the first layer"),
            }
            norm.row(x, &nothing, weight, eps, y);
        }
        normed.code();
    }

    /// What queries got, as quantized weights need it.
    fn make_ready(&self, item: &Item<'_>) {
        let Some(ready) = &self.ready else { return };
        let Width { lead, columns, .. } = ready.width();
        let from = self.attended.read(item);
        let mut to = ready.rows(item, item.number());
        for (i, mut row) in to.floats.rows_mut().into_iter().enumerate() {
            let from = from.row(item.number() * TOGETHER + i);
            let row = row.as_slice_mut().unwrap_or_default();
            row[..lead].fill(0.0);
            row[lead..lead + columns].copy_from_slice(from.to_slice().unwrap_or_default());
            row[lead + columns..].fill(0.0);
        }
        to.code();
    }

    /// Some columns of what is to be added.
    fn multiply(&self, item: &Item<'_>, linear: &Linear, x: X<'_>) -> Result<(), Error> {
        let delta = self.delta.columns(item, item.number());
        let first = item.number() * self.blocks.hidden;
        let rows = first..first + delta.ncols();
        self.linear(linear, x, rows, delta)
    }

    fn sum(&self, item: &Item<'_>) -> Result<(), Error> {
        let mut delta = self.delta.whole(item);
        let (Some(reduce), Some(numbers)) = (self.reduce, delta.as_slice_mut()) else {
            return Ok(());
        };
        reduce.sum(numbers, self.model.shape.hidden_size)
    }

    /// Some columns of the feed-forward layer.
    fn gate(&self, item: &Item<'_>, weights: &Layer) -> Result<(), Error> {
        let mut gated = self.gated.columns(item, item.number());
        let (tokens, wide) = gated.floats.dim();
        let Width { lead, columns, .. } = self.gated.width();
        // Columns of the buffer, and those of them that are not filled up.
        let first = item.number() * self.blocks.ffn;
        let rows = first.max(lead) - lead..(first + wide).min(lead + columns).max(lead) - lead;
        let (count, before) = (rows.len(), lead.saturating_sub(first).min(wide));
        let x = self.normed.read(item);
        with_scratch(2 * tokens * count, |room: &mut [f32]| {
            let (gates, ups) = room.split_at_mut(tokens * count);
            for (linear, to) in [(&weights.gate, &mut *gates), (&weights.up, &mut *ups)] {
                self.linear(linear, x, rows.clone(), matrix(tokens, count, to))?;
            }
            let kernel = Gate::new(self.isa);
            for (i, mut y) in gated.floats.rows_mut().into_iter().enumerate() {
                let y = y.as_slice_mut().unwrap_or_default();
                let place = i * count..(i + 1) * count;
                y[..before].fill(0.0);
                kernel.swiglu(&gates[place.clone()], &ups[place], &mut y[before..before + count]);
                y[before + count..].fill(0.0);
            }
            Ok::<_, Error>(())
        })??;
        gated.code();
        Ok(())
    }

    /// Rows whose logits are wanted, normalized.
    fn finish(&self, item: &Item<'_>) -> Result<(), Error> {
        let Some(head) = &self.model.head else { return Ok(()) };
        let (norm, eps) = (AddRmsNorm::new(self.isa), self.model.shape.norm_eps);
        let (x, delta) = (self.x.read(item), self.delta.read(item));
        let mut rows = self.last.rows(item, item.number());
        let picked = &self.picked[item.number() * TOGETHER..];
        with_scratch(x.ncols(), |sum: &mut [f32]| {
            for (mut y, &token) in rows.floats.rows_mut().into_iter().zip(picked) {
                sum.copy_from_slice(x.row(token).to_slice().unwrap_or_default());
                let delta = delta.row(token).to_slice().unwrap_or_default();
                let (y, rest) = y.as_slice_mut().unwrap_or_default().split_at_mut(sum.len());
                rest.fill(0.0);
                norm.row(sum, delta, &head.norm, eps, y);
            }
        })?;
        rows.code();
        Ok(())
    }

    /// Some tokens' rows, for the next layers.
    fn hand_on(&self, item: &Item<'_>) {
        let mut out = self.out.rows(item, item.number());
        let first = item.number() * TOGETHER;
        let tokens = Slice::from(first..first + out.nrows());
        out.assign(&self.x.read(item).slice_axis(Axis(0), tokens));
        out += &self.delta.read(item).slice_axis(Axis(0), tokens);
    }

    fn logits(&self, item: &Item<'_>) -> Result<(), Error> {
        let Some(head) = &self.model.head else { return Ok(()) };
        let out = self.out.columns(item, item.number());
        let first = item.number() * self.blocks.vocabulary;
        let rows = first..first + out.ncols();
        head.weight.multiply(self.isa, self.last.read(item), rows, out)
    }

    /// Products with some rows of a weight, and its bias.
    pub(super) fn linear(
        &self,
        linear: &Linear,
        x: X<'_>,
        rows: Range<usize>,
        mut y: ArrayViewMut2<'_, f32>,
    ) -> Result<(), Error> {
        linear.weight.multiply(self.isa, x, rows.clone(), y.view_mut())?;
        if let Some(bias) = &linear.bias {
            for mut y in y.rows_mut() {
                y.iter_mut().zip(&bias[rows.clone()]).for_each(|(y, bias)| *y += bias);
            }
        }
        Ok(())
    }
}

/// Memory as a matrix.
pub(super) fn matrix(rows: usize, columns: usize, memory: &mut [f32]) -> ArrayViewMut2<'_, f32> {
    let view = ArrayViewMut2::from_shape((rows, columns), memory);
    view.unwrap_or_else(|_| unreachable!("as long"))
}
