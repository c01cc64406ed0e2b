//! Language models in parts: stages, whose layers ranks share.

use std::sync::MutexGuard;

use pyo3::prelude::*;
use threadwise::causal::spread::{self, Share, Stage};
use threadwise::causal::{Cache, Wanted};
use threadwise::shard::pipeline::{PipelineConfig, PipelineReport};

use crate::causal::{CausalModel, KvCache, tokens_of, wanted};
use crate::pipeline::{Report, report};
use crate::seam::{ShapeError, compute, place, raise};

type Object<'py> = Bound<'py, PyAny>;

/// For each stage, for each of its spans of layers, each rank's layers and what they have seen.
type Parts<'py> = Vec<Vec<Vec<(Bound<'py, CausalModel>, Bound<'py, KvCache>)>>>;

/// Logits of some tokens, taken through all stages; and what that took.
#[pyfunction]
#[pyo3(signature = (parts, ids, slots, rows, config, threads, /))]
pub(crate) fn forward_spread<'py>(
    py: Python<'py>,
    parts: Parts<'py>,
    ids: &Object<'py>,
    slots: Vec<usize>,
    rows: &str,
    config: (usize, bool, usize),
    threads: Option<&Object<'py>>,
) -> PyResult<(Object<'py>, Report)> {
    let (wanted, ids) = (wanted(rows)?, tokens_of(ids)?);
    let (micro_batches, is_async, memory_budget) = config;
    let config = PipelineConfig::new(micro_batches, is_async, memory_budget).map_err(raise)?;
    let mut held: Vec<MutexGuard<'_, Cache>> = Vec::new();
    for (_, cache) in parts.iter().flatten().flatten() {
        held.push(cache.get().held()?);
    }
    let mut caches = held.iter_mut().map(|held| &mut **held);
    let mut stages: Vec<Stage<'_>> = Vec::new();
    let (mut bytes, mut vocabulary) = (0_usize, 0);
    for spans in &parts {
        let mut stage = Vec::new();
        for ranks in spans {
            let models = ranks.iter().map(|(model, _)| &model.get().0);
            let span: Vec<Share<'_>> =
                models.zip(&mut caches).map(|(model, cache)| Share { model, cache }).collect();
            for share in &span {
                bytes = bytes.saturating_add(share.model.bytes());
                vocabulary = share.model.shape().vocab_size;
            }
            stage.push(span);
        }
        stages.push(stage);
    }
    let tokens: usize = ids.iter().map(Vec::len).sum();
    let count = if wanted == Wanted::Last { ids.len() } else { tokens };
    let (place, mut out) = place::<f32>(py, &[count, vocabulary], None, &[])?;
    let out = out.as_array_mut().into_dimensionality();
    let out = out.map_err(|_| ShapeError::new_err("the result is no matrix"))?;
    let ids: Vec<&[usize]> = ids.iter().map(Vec::as_slice).collect();
    let took: PipelineReport = compute(py, threads, tokens.saturating_mul(bytes), |context| {
        spread::forward(&mut stages, &ids, &slots, wanted, out, &config, context)
    })?;
    Ok((place, report(&took)))
}
