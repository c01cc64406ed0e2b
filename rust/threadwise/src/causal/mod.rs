//! Models of language: decoders of the Mistral family, as Llama and Qwen2 are, too.
//!
//! A layer is x += o(attention(rope(q), rope(k), v)) of the normalized x, then x += down(silu(gate)·up), likewise
//! (A. Jiang and others, *Mistral 7B*, 2023, arXiv:2310.06825). Keys and values of tokens that were seen are kept.
//!
//! One region does a chunk of tokens, through all layers, in phases (`program`); what threads share is cut by shapes
//! only, and every row of numbers is computed by itself, so that bits depend neither on threads, nor on which
//! tokens of which sequences are done together, nor on how layers are spread over stages.
//!
//! `shape` says what a model is made of, and which part of it somebody holds; `source` finds its tensors, `matrix` is a
//! weight of any type (`plain`, `panels`), `layer` has those of one; `cache` the keys and values; `inputs` what weights are
//! multiplied with; `forward` cuts what comes into chunks, whose steps are in `program` and `heads`.
//! `spread` is a model in parts, which ranks and stages hold.

mod cache;
mod forward;
mod heads;
mod inputs;
mod layer;
mod matrix;
mod panels;
mod plain;
mod program;
mod rows;
mod shape;
mod sizes;
mod source;
pub mod spread;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

pub use cache::{Cache, CacheType};
pub use forward::{Input, Reduce, Wanted};
use inputs::Coding;
use layer::{Layer, Loader};
use matrix::Matrix;
use shape::gcd;
pub use shape::{HeadShare, ModelShape, Part};
use source::Source;
pub use source::{Packing, ZeroKind};

use crate::dots::Inputs;
use crate::nn::rope::Frequencies;
use crate::{Context, Error};

/// A part of a model: some of its layers, or all, and a rank's share of each. The part with the first layer takes
/// tokens, others what the layers before gave; that with the last one gives logits, others what its layers did.
#[derive(Debug)]
pub struct CausalLm {
    shape: ModelShape,
    part: Part,
    heads: HeadShare,
    ffn: Range<usize>,
    coding: Option<Coding>,
    frequencies: Frequencies,
    embedding: Option<Arc<Matrix>>,
    layers: Vec<Layer>,
    head: Option<Head>,
}

/// What makes logits.
#[derive(Debug)]
struct Head {
    norm: Vec<f32>,
    weight: Arc<Matrix>,
}

impl CausalLm {
    /// Loads a part of the model in a directory, or in a file. Weights with a packing are quantized: they are copied
    /// into panels, and `inputs` says how inputs meet their codes. Others are read where the files are mapped.
    ///
    /// # Errors
    ///
    /// If shape or part make no sense; if a file cannot be read; if a tensor is missing, none of the model's, or
    /// has another shape or type than belongs to it; if memory runs out.
    pub fn load(
        path: &Path,
        shape: ModelShape,
        packings: &HashMap<String, Packing>,
        part: Part,
        inputs: Inputs,
        context: &Context<'_>,
    ) -> Result<Self, Error> {
        shape.check()?;
        part.check(&shape)?;
        let frequencies = Frequencies::new(shape.head_dim, shape.rope_theta, shape.rope_scaling)?;
        let coding = coding(packings, inputs)?;
        let source = Source::open(path, packings)?;
        source.refuse_others(&shape)?;
        let (heads, ffn) = (part.heads(&shape), part.share(shape.ffn));
        let loader = Loader {
            source: &source,
            shape: &shape,
            part: &part,
            heads: &heads,
            ffn: ffn.clone(),
            coding,
            context,
        };
        let tokens = "model.embed_tokens.weight";
        let is_first = part.layers.start == 0;
        let embedding = is_first.then(|| loader.vocabulary(tokens)).transpose()?;
        let mut layers = Vec::with_capacity(part.layers.len());
        for number in part.layers.clone() {
            layers.push(loader.layer(number)?);
            if context.interrupt.is_due() {
                return Err(Error::Interrupted(threadwise_runtime::Interrupted));
            }
        }
        let head = if part.layers.end == shape.layers {
            let norm = loader.vector("model.norm.weight", shape.hidden_size)?;
            let weight = match &embedding {
                Some(embedding) if shape.is_tied => Arc::clone(embedding),
                _ => loader.vocabulary(if shape.is_tied { tokens } else { "lm_head.weight" })?,
            };
            Some(Head { norm, weight })
        } else {
            None
        };
        Ok(Self { shape, part, heads, ffn, coding, frequencies, embedding, layers, head })
    }

    /// What the whole model is made of.
    #[must_use]
    pub fn shape(&self) -> &ModelShape {
        &self.shape
    }

    /// Which part of it this is.
    #[must_use]
    pub fn part(&self) -> &Part {
        &self.part
    }

    /// The heads of this part.
    #[must_use]
    pub fn heads(&self) -> &HeadShare {
        &self.heads
    }

    /// Whether it takes tokens.
    #[must_use]
    pub fn is_first(&self) -> bool {
        self.embedding.is_some()
    }

    /// Whether it gives logits.
    #[must_use]
    pub fn is_last(&self) -> bool {
        self.head.is_some()
    }

    /// Numbers of a row that it gives.
    #[must_use]
    pub fn outputs(&self) -> usize {
        if self.is_last() { self.shape.vocab_size } else { self.shape.hidden_size }
    }

    /// Bytes of weights, those that are read of mapped files among them.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let layers: usize = self.layers.iter().map(Layer::bytes).sum();
        let embedding = self.embedding.as_ref().map_or(0, |matrix| matrix.bytes());
        let head = self.head.as_ref().map_or(0, |head| {
            let is_shared = self.embedding.as_ref().is_some_and(|it| Arc::ptr_eq(it, &head.weight));
            4 * head.norm.len() + if is_shared { 0 } else { head.weight.bytes() }
        });
        layers + embedding + head
    }
}

/// How inputs meet the codes of weights that are packed so; none, if none are.
fn coding(packings: &HashMap<String, Packing>, inputs: Inputs) -> Result<Option<Coding>, Error> {
    /// Inputs that share a scale, if groups are as long.
    const RUN: usize = 128;
    let (mut run, mut unit) = (RUN, RUN);
    for packing in packings.values() {
        if !matches!(packing.bits, 2 | 3 | 4 | 8) {
            let expected = "2, 3, 4 or 8".to_owned();
            return Err(Error::Count { name: "bits", actual: packing.bits as usize, expected });
        }
        let Some(group) = packing.group else { continue };
        if group == 0 || !group.is_multiple_of(16) {
            let expected = "a multiple of 16, or -1 for whole rows".to_owned();
            return Err(Error::Count { name: "group_size", actual: group, expected });
        }
        run = gcd(run, group);
        unit = unit / gcd(unit, group) * group;
    }
    Ok((!packings.is_empty()).then_some(Coding { run, unit, inputs }))
}
