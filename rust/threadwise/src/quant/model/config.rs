//! What `config.json` says of quantized weights.
//!
//! Where all tensors fit it, that is the `pack-quantized` format of compressed-tensors, which transformers
//! and vLLM load: 4 or 8 bits, the same for all, in whole groups, symmetric or with integer zero points.
//! Everything else is the same tensors under our own name, with bits, group size and kind of zero points
//! for each.

use serde_json::{Map, Value, json};

use super::super::{Scheme, ZeroPoint};
use super::journal::zero_point;
use super::layout::matrix;
use super::report::TensorReport;

/// The name of our own format.
pub const OWN: &str = "packed-groups";

/// The name of the format of compressed-tensors.
pub const SHARED: &str = "pack-quantized";

/// What there is to be called where no tensor is quantized.
pub const NONE: &str = "none";

/// Which format the tensors are in, and what the configuration says of it.
pub(super) fn quantization(tensors: &[TensorReport]) -> (&'static str, Option<Value>) {
    if tensors.iter().all(|tensor| tensor.scheme.is_none()) {
        return (NONE, None);
    }
    match shared(tensors) {
        Some(scheme) => (SHARED, Some(in_shared(scheme, tensors))),
        None => (OWN, Some(in_own(tensors))),
    }
}

/// The scheme of all quantized tensors, if there is one that compressed-tensors knows.
fn shared(tensors: &[TensorReport]) -> Option<Scheme> {
    let mut quantized = tensors.iter().filter_map(|tensor| Some((tensor.scheme?, tensor)));
    let (first, _) = quantized.clone().next()?;
    let is_known = matches!(first.bits.get(), 4 | 8) && first.zero_point != ZeroPoint::Float;
    let all_fit = quantized.all(|(scheme, TensorReport { tensor, .. })| {
        let [_, _, columns] = matrix(&tensor.shape);
        scheme == first
            && tensor.shape.len() == 2
            && tensor.name.ends_with(".weight")
            && scheme.group_size.is_none_or(|group| columns.is_multiple_of(group.get()))
    });
    (is_known && all_fit).then_some(first)
}

fn in_shared(scheme: Scheme, tensors: &[TensorReport]) -> Value {
    let ignored: Vec<&str> = tensors
        .iter()
        .filter(|report| report.scheme.is_none() && report.tensor.shape.len() == 2)
        .filter_map(|report| report.tensor.name.strip_suffix(".weight"))
        .collect();
    let strategy = if scheme.group_size.is_some() { "group" } else { "channel" };
    json!({
        "quant_method": "compressed-tensors",
        "format": SHARED,
        "quantization_status": "compressed",
        "config_groups": {
            "group_0": {
                "format": SHARED,
                "targets": ["Linear"],
                "input_activations": null,
                "output_activations": null,
                "weights": {
                    "num_bits": scheme.bits.get(),
                    "type": "int",
                    "symmetric": scheme.zero_point == ZeroPoint::Symmetric,
                    "strategy": strategy,
                    "group_size": scheme.group_size,
                    "dynamic": false,
                },
            },
        },
        "ignore": ignored,
        "kv_cache_scheme": null,
        "global_compression_ratio": null,
    })
}

fn in_own(tensors: &[TensorReport]) -> Value {
    let mut each = Map::new();
    for report in tensors {
        if let Some(scheme) = report.scheme {
            let about = json!({
                "bits": scheme.bits.get(),
                "group_size": scheme.group_size.map_or(-1, |group| group.get() as i64),
                "zero_point": zero_point(scheme.zero_point),
            });
            each.insert(report.tensor.name.clone(), about);
        }
    }
    json!({ "quant_method": "threadwise", "format": OWN, "version": 1, "tensors": each })
}
