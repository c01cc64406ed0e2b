//! The weights of a layer, and of what is before the first and behind the last.

use std::ops::Range;
use std::sync::Arc;

use super::inputs::{Coding, Width};
use super::matrix::{FLOATS, Matrix};
use super::panels::Cut;
use super::shape::{HeadShare, ModelShape, Part};
use super::source::Source;
use crate::{Context, Error};

/// A matrix, and what is added to its products.
#[derive(Debug)]
pub(super) struct Linear {
    pub(super) weight: Arc<Matrix>,
    pub(super) bias: Option<Vec<f32>>,
}

/// A layer, or a rank's share of it.
#[derive(Debug)]
pub(super) struct Layer {
    pub(super) attention_norm: Vec<f32>,
    pub(super) q: Linear,
    pub(super) k: Linear,
    pub(super) v: Linear,
    pub(super) o: Linear,
    pub(super) mlp_norm: Vec<f32>,
    pub(super) gate: Linear,
    pub(super) up: Linear,
    pub(super) down: Linear,
}

/// What reads tensors for one part of a model.
pub(super) struct Loader<'a> {
    pub(super) source: &'a Source<'a>,
    pub(super) shape: &'a ModelShape,
    pub(super) part: &'a Part,
    pub(super) heads: &'a HeadShare,
    pub(super) ffn: Range<usize>,
    pub(super) coding: Option<Coding>,
    pub(super) context: &'a Context<'a>,
}

impl Loader<'_> {
    /// Which layer, by its number in the model.
    pub(super) fn layer(&self, number: usize) -> Result<Layer, Error> {
        let &Self { shape, heads, ref ffn, .. } = self;
        let (d, e) = (shape.hidden_size, shape.head_dim);
        let rows = |heads: &Range<usize>| heads.start * e..heads.end * e;
        let (q, kv) = (rows(&heads.heads), rows(&heads.kv_rows));
        let [queries, keys] = [shape.heads * e, shape.kv_heads * e];
        let name = |rest: &str| format!("model.layers.{number}.{rest}");
        let attention = |rest: &str| name(&format!("self_attn.{rest}_proj"));
        let mlp = |rest: &str| name(&format!("mlp.{rest}_proj"));
        let (qkv, wide) = (shape.qkv_bias, shape.mlp_bias);
        Ok(Layer {
            attention_norm: self.vector(&name("input_layernorm.weight"), d)?,
            q: self.rows(&attention("q"), [queries, d], q.clone(), qkv)?,
            k: self.rows(&attention("k"), [keys, d], kv.clone(), qkv)?,
            v: self.rows(&attention("v"), [keys, d], kv, qkv)?,
            o: self.columns(&attention("o"), [d, queries], q, shape.o_bias)?,
            mlp_norm: self.vector(&name("post_attention_layernorm.weight"), d)?,
            gate: self.rows(&mlp("gate"), [shape.ffn, d], ffn.clone(), wide)?,
            up: self.rows(&mlp("up"), [shape.ffn, d], ffn.clone(), wide)?,
            down: self.columns(&mlp("down"), [d, shape.ffn], ffn.clone(), wide)?,
        })
    }

    /// A row of numbers.
    pub(super) fn vector(&self, name: &str, length: usize) -> Result<Vec<f32>, Error> {
        Ok(self.source.find(name, &[length], &FLOATS)?.floats())
    }

    /// A matrix that all have, with a row for each token.
    pub(super) fn vocabulary(&self, name: &str) -> Result<Arc<Matrix>, Error> {
        let shape = [self.shape.vocab_size, self.shape.hidden_size];
        self.matrix(name, shape, 0..shape[0], 0..shape[1])
    }

    /// Some outputs of a layer.
    fn rows(
        &self,
        name: &str,
        shape: [usize; 2],
        rows: Range<usize>,
        is_biased: bool,
    ) -> Result<Linear, Error> {
        let bias = self.bias(name, shape[0], is_biased)?.map(|bias| bias[rows.clone()].to_vec());
        let weight = self.matrix(&format!("{name}.weight"), shape, rows, 0..shape[1])?;
        Ok(Linear { weight, bias })
    }

    /// A layer's sums over some inputs. Its bias is added once, by the first rank.
    fn columns(
        &self,
        name: &str,
        shape: [usize; 2],
        columns: Range<usize>,
        is_biased: bool,
    ) -> Result<Linear, Error> {
        let bias = self.bias(name, shape[0], is_biased)?.filter(|_| self.part.rank == 0);
        let weight = self.matrix(&format!("{name}.weight"), shape, 0..shape[0], columns)?;
        Ok(Linear { weight, bias })
    }

    fn matrix(
        &self,
        name: &str,
        shape: [usize; 2],
        rows: Range<usize>,
        columns: Range<usize>,
    ) -> Result<Arc<Matrix>, Error> {
        let width = Width::new(columns.start, columns.len(), self.coding);
        let run = self.coding.map_or(0, |coding| coding.run);
        let cut = Cut { shape, rows, columns, lead: width.lead, run };
        Ok(Arc::new(Matrix::load(self.source, name, &cut, self.context)?))
    }

    fn bias(&self, name: &str, length: usize, is_biased: bool) -> Result<Option<Vec<f32>>, Error> {
        is_biased.then(|| self.vector(&format!("{name}.bias"), length)).transpose()
    }
}

impl Layer {
    /// Bytes that are read of it.
    pub(super) fn bytes(&self) -> usize {
        let linear =
            |linear: &Linear| linear.weight.bytes() + 4 * linear.bias.as_ref().map_or(0, Vec::len);
        let Self { attention_norm, q, k, v, o, mlp_norm, gate, up, down } = self;
        let matrices: usize = [q, k, v, o, gate, up, down].into_iter().map(linear).sum();
        matrices + 4 * (attention_norm.len() + mlp_norm.len())
    }

    /// Multiply-adds for a token.
    pub(super) fn multiply_adds(&self) -> usize {
        let Self { q, k, v, o, gate, up, down, .. } = self;
        [q, k, v, o, gate, up, down].into_iter().map(|linear| linear.weight.elements()).sum()
    }
}
