//! Where a model's tensors are: each is asked for by its name, and all must be asked for.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use half::{bf16, f16};
use threadwise_runtime::Mapped;

use super::ModelShape;
use crate::error::Shape;
use crate::store::{Checkpoint, Dtype, Flaw, Quoted, StoreError, Tensor, Weights};

/// How a quantized weight is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packing {
    /// Bits of a code.
    pub bits: u32,
    /// Codes that share a scale; a row, if none is given.
    pub group: Option<usize>,
    /// What codes are counted from.
    pub zeros: ZeroKind,
}

/// What codes are counted from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ZeroKind {
    /// The middle of the codes.
    Symmetric,
    /// A minimum a group, like the scales.
    Minimum,
    /// A code a group.
    Code,
}

/// The files of a model.
pub(super) struct Source<'a> {
    checkpoint: Checkpoint,
    path: PathBuf,
    places: HashMap<String, (usize, usize)>,
    mapped: Vec<Arc<Mapped>>,
    packings: &'a HashMap<String, Packing>,
}

/// A tensor that is what was expected.
pub(super) struct Found<'s> {
    pub(super) file: &'s Weights,
    pub(super) tensor: &'s Tensor,
    mapped: &'s Arc<Mapped>,
}

impl<'a> Source<'a> {
    pub(super) fn open(
        path: &Path,
        packings: &'a HashMap<String, Packing>,
    ) -> Result<Self, StoreError> {
        let checkpoint = Checkpoint::open(path)?;
        let mut places = HashMap::new();
        let mut mapped = Vec::with_capacity(checkpoint.shards.len());
        for (shard, file) in checkpoint.shards.iter().enumerate() {
            let map = Mapped::new(file.file()).map_err(StoreError::io(file.path(), "be mapped"))?;
            mapped.push(Arc::new(map));
            for (number, tensor) in file.header().tensors.iter().enumerate() {
                places.insert(tensor.name.clone(), (shard, number));
            }
        }
        Ok(Self { checkpoint, path: path.to_owned(), places, mapped, packings })
    }

    /// How the weight of this name is packed, if it is.
    pub(super) fn packing(&self, name: &str) -> Option<Packing> {
        self.packings.get(name).copied()
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.places.contains_key(name)
    }

    /// The tensor of this name, whose elements are of one of the `dtypes`.
    pub(super) fn find(
        &self,
        name: &str,
        shape: &[usize],
        dtypes: &[Dtype],
    ) -> Result<Found<'_>, StoreError> {
        let wanted = || {
            let names: Vec<&str> = dtypes.iter().map(|dtype| dtype.name()).collect();
            format!("{} of shape {}", names.join(" or "), Shape::from(shape))
        };
        let Some(&(shard, number)) = self.places.get(name) else {
            let problem = format!("tensor {} is missing, expected {}", Quoted(name), wanted());
            return Err(StoreError::format(&self.path)(Flaw::Problem(problem)));
        };
        let file = &self.checkpoint.shards[shard];
        let tensor = &file.header().tensors[number];
        if tensor.shape != shape || !dtypes.contains(&tensor.dtype) {
            let actual = format!("{} of shape {}", tensor.dtype, Shape::from(&tensor.shape[..]));
            let problem = format!("tensor {} is {actual}, expected {}", Quoted(name), wanted());
            return Err(StoreError::format(file.path())(Flaw::Problem(problem)));
        }
        Ok(Found { file, tensor, mapped: &self.mapped[shard] })
    }

    /// Refuses tensors that are nothing of such a model: what reads them all would miss them.
    pub(super) fn refuse_others(&self, shape: &ModelShape) -> Result<(), StoreError> {
        for file in &self.checkpoint.shards {
            for tensor in &file.header().tensors {
                if self.belongs(&tensor.name, shape) {
                    continue;
                }
                let problem = format!(
                    "tensor {} is none of the model's, expected only those of {} layers {}",
                    Quoted(&tensor.name),
                    shape.layers,
                    "as the configuration says",
                );
                return Err(StoreError::format(file.path())(Flaw::Problem(problem)));
            }
        }
        for name in self.packings.keys() {
            if !self.belongs(&format!("{name}_packed"), shape)
                || !self.has(&format!("{name}_packed"))
            {
                let problem = format!(
                    "tensor {} is quantized, as the configuration says, but {} is missing",
                    Quoted(name),
                    Quoted(&format!("{name}_packed"))
                );
                return Err(StoreError::format(&self.path)(Flaw::Problem(problem)));
            }
        }
        Ok(())
    }

    fn belongs(&self, name: &str, shape: &ModelShape) -> bool {
        let parts = ["_packed", "_scale", "_shape", "_zero_point", "_minimum"];
        let whole = parts.iter().find_map(|part| {
            name.strip_suffix(part).filter(|whole| self.packings.contains_key(*whole))
        });
        let name = whole.unwrap_or(name);
        if ["model.embed_tokens.weight", "model.norm.weight", "lm_head.weight"].contains(&name) {
            return true;
        }
        let Some((layer, rest)) =
            name.strip_prefix("model.layers.").and_then(|rest| rest.split_once('.'))
        else {
            return false;
        };
        if layer.parse::<usize>().map_or(true, |layer| layer >= shape.layers) {
            return false;
        }
        let Some((place, kind)) = rest.rsplit_once('.') else { return false };
        let is_biased = match place {
            "self_attn.q_proj" | "self_attn.k_proj" | "self_attn.v_proj" => shape.qkv_bias,
            "self_attn.o_proj" => shape.o_bias,
            "mlp.gate_proj" | "mlp.up_proj" | "mlp.down_proj" => shape.mlp_bias,
            "input_layernorm" | "post_attention_layernorm" => false,
            // What older programs stored beside weights: it follows from the configuration.
            "self_attn.rotary_emb" => return kind == "inv_freq",
            _ => return false,
        };
        kind == "weight" || (kind == "bias" && is_biased)
    }
}

impl Found<'_> {
    /// The file's memory, and where in it the tensor is.
    pub(super) fn memory(&self) -> (Arc<Mapped>, std::ops::Range<usize>) {
        let begin = self.file.data() + self.tensor.begin;
        #[expect(clippy::cast_possible_truncation, reason = "the file is mapped, so it fits")]
        let place = begin as usize..(begin + self.tensor.bytes()) as usize;
        (Arc::clone(self.mapped), place)
    }

    /// The tensor's numbers as float32.
    pub(super) fn floats(&self) -> Vec<f32> {
        let (memory, place) = self.memory();
        let bytes = &memory[place];
        let halves = bytes.as_chunks::<2>().0.iter().map(|&bytes| u16::from_le_bytes(bytes));
        match self.tensor.dtype {
            Dtype::F16 => halves.map(|bits| f16::from_bits(bits).to_f32()).collect(),
            Dtype::Bf16 => halves.map(|bits| bf16::from_bits(bits).to_f32()).collect(),
            _ => bytes.as_chunks::<4>().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect(),
        }
    }
}
