//! Small models of random weights: their files, and what they compute, as the formulas read, in double precision.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use half::{bf16, f16};
use ndarray::{Array1, Array2, ArrayView1, Axis, Slice};
use threadwise_kernels::quant::{Bits, pack, words};

use super::super::{ModelShape, Packing, ZeroKind};
use crate::nn::rope::Frequencies;
use crate::store::{Dtype, Header, Tensor};

/// What matrices are stored as.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    Plain(Dtype),
    Packed(Packing),
}

/// A model in a directory of its own, which goes with it.
pub(super) struct Tiny {
    pub(super) shape: ModelShape,
    pub(super) packings: HashMap<String, Packing>,
    values: HashMap<String, Array2<f64>>,
    tensors: BTreeMap<String, (Dtype, Vec<usize>, Vec<u8>)>,
    folder: PathBuf,
    seed: u64,
}

impl Drop for Tiny {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

pub(super) fn shape(heads: usize, kv_heads: usize, head_dim: usize) -> ModelShape {
    ModelShape {
        vocab_size: 37,
        hidden_size: 48,
        layers: 3,
        heads,
        kv_heads,
        head_dim,
        ffn: 72,
        norm_eps: 1e-5,
        window: None,
        is_tied: false,
        qkv_bias: false,
        o_bias: false,
        mlp_bias: false,
        rope_theta: 1e4,
        rope_scaling: None,
    }
}

impl Tiny {
    pub(super) fn new(shape: ModelShape, kind: Kind) -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("threadwise-causal-{}-{number}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&folder).unwrap();
        let mut made = Self {
            packings: HashMap::new(),
            values: HashMap::new(),
            tensors: BTreeMap::new(),
            folder,
            seed: 1,
            shape: shape.clone(),
        };
        let (d, e) = (shape.hidden_size, shape.head_dim);
        let (q, kv, ffn) = (shape.heads * e, shape.kv_heads * e, shape.ffn);
        let plain = Kind::Plain(match kind {
            Kind::Plain(dtype) => dtype,
            Kind::Packed(_) => Dtype::F16,
        });
        made.matrix("model.embed_tokens.weight", [shape.vocab_size, d], plain, 1.0);
        if !shape.is_tied {
            made.matrix("lm_head.weight", [shape.vocab_size, d], plain, 0.3);
        }
        made.vector("model.norm.weight", d, 1.0);
        for layer in 0..shape.layers {
            let name = |rest: &str| format!("model.layers.{layer}.{rest}");
            for norm in ["input_layernorm", "post_attention_layernorm"] {
                made.vector(&name(&format!("{norm}.weight")), d, 1.0);
            }
            for (place, size, is_biased) in [
                ("self_attn.q_proj", [q, d], shape.qkv_bias),
                ("self_attn.k_proj", [kv, d], shape.qkv_bias),
                ("self_attn.v_proj", [kv, d], shape.qkv_bias),
                ("self_attn.o_proj", [d, q], shape.o_bias),
                ("mlp.gate_proj", [ffn, d], shape.mlp_bias),
                ("mlp.up_proj", [ffn, d], shape.mlp_bias),
                ("mlp.down_proj", [d, ffn], shape.mlp_bias),
            ] {
                made.matrix(&name(&format!("{place}.weight")), size, kind, 0.25);
                if is_biased {
                    made.vector(&name(&format!("{place}.bias")), size[0], 0.5);
                }
            }
        }
        made.save();
        made
    }

    pub(super) fn path(&self) -> &Path {
        &self.folder
    }

    /// From -1 to 1.
    fn random(&mut self) -> f64 {
        self.seed = self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.seed >> 33) as f64 / f64::from(1_u32 << 30) - 1.0
    }

    fn vector(&mut self, name: &str, length: usize, size: f64) {
        self.plain(name, [1, length], Dtype::F32, size);
        if let Some((_, shape, _)) = self.tensors.get_mut(name) {
            *shape = vec![length];
        }
    }

    fn matrix(&mut self, name: &str, shape: [usize; 2], kind: Kind, size: f64) {
        match kind {
            Kind::Plain(dtype) => self.plain(name, shape, dtype, size),
            Kind::Packed(packing) => self.packed(name, shape, packing, size),
        }
    }

    #[expect(clippy::cast_possible_truncation, reason = "rounding is what it is for")]
    fn plain(&mut self, name: &str, shape: [usize; 2], dtype: Dtype, size: f64) {
        let mut bytes = Vec::new();
        let values = Array2::from_shape_simple_fn(shape, || {
            let x = (self.random() * size) as f32;
            match dtype {
                Dtype::F16 => {
                    bytes.extend(f16::from_f32(x).to_le_bytes());
                    f64::from(f16::from_f32(x))
                }
                Dtype::Bf16 => {
                    bytes.extend(bf16::from_f32(x).to_le_bytes());
                    f64::from(bf16::from_f32(x))
                }
                _ => {
                    bytes.extend(x.to_le_bytes());
                    f64::from(x)
                }
            }
        });
        self.values.insert(name.to_owned(), values);
        self.tensors.insert(name.to_owned(), (dtype, shape.to_vec(), bytes));
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "numbers that are small, and not negative"
    )]
    fn packed(&mut self, name: &str, shape: [usize; 2], packing: Packing, size: f64) {
        let [rows, columns] = shape;
        let bits = Bits::try_from(packing.bits as usize).unwrap();
        let most = f64::from((1_u32 << packing.bits) - 1);
        let group = packing.group.unwrap_or(columns);
        let groups = columns.div_ceil(group);
        let mut codes = Array2::zeros(shape);
        codes.mapv_inplace(|_: u8| (f64::midpoint(self.random(), 1.0) * most).round() as u8);
        let mut scales = Array2::zeros((rows, groups));
        scales.mapv_inplace(|_: f32| {
            let scale = size * 2.0 / most * (1.2 + 0.3 * self.random());
            f16::from_f32(scale as f32).to_f32()
        });
        let half = |x: f32| f16::from_f32(x).to_f32();
        let minima = scales.mapv(|scale| half(scale * -0.5 * most as f32));
        // Around the middle; the lower bits of a float16 are zeros.
        let near = (1_u32 << (packing.bits - 1)) - 1;
        let zeros = scales.mapv(|scale: f32| (near + (scale.to_bits() >> 13) % 3) as u8);
        let middle = f64::from(1_u32 << (packing.bits - 1));
        let value = |(i, j): (usize, usize)| {
            let at = [i, j / group];
            let (code, scale) = (f64::from(codes[[i, j]]), f64::from(scales[at]));
            match packing.zeros {
                ZeroKind::Symmetric => (code - middle) * scale,
                ZeroKind::Minimum => code * scale + f64::from(minima[at]),
                ZeroKind::Code => (code - f64::from(zeros[at])) * scale,
            }
        };
        self.values.insert(name.to_owned(), Array2::from_shape_fn(shape, value));
        self.packings.insert(name.to_owned(), packing);
        let stream = |codes: ArrayView1<'_, u8>| {
            let mut stream = vec![0; words(codes.len(), bits)];
            pack(bits, &codes.to_vec(), &mut stream);
            stream
        };
        let bytes =
            |words: &[u32]| -> Vec<u8> { words.iter().flat_map(|w| w.to_le_bytes()).collect() };
        let all: Vec<u32> = codes.rows().into_iter().flat_map(stream).collect();
        let mut add = |end: &str, dtype, shape: [usize; 2], bytes| {
            self.tensors.insert(format!("{name}{end}"), (dtype, shape.to_vec(), bytes));
        };
        add("_packed", Dtype::I32, [rows, words(columns, bits)], bytes(&all));
        let halves = |numbers: &Array2<f32>| -> Vec<u8> {
            numbers.iter().flat_map(|x| f16::from_f32(*x).to_le_bytes()).collect()
        };
        add("_scale", Dtype::F16, [rows, groups], halves(&scales));
        match packing.zeros {
            ZeroKind::Symmetric => {}
            ZeroKind::Minimum => add("_minimum", Dtype::F16, [rows, groups], halves(&minima)),
            ZeroKind::Code => {
                let columns: Vec<Vec<u32>> = zeros.columns().into_iter().map(stream).collect();
                let height = words(rows, bits);
                let each = (0..height).flat_map(|row| columns.iter().map(move |words| words[row]));
                add("_zero_point", Dtype::I32, [height, groups], bytes(&each.collect::<Vec<_>>()));
            }
        }
        let shape: Vec<u8> =
            [rows, columns].iter().flat_map(|n| (*n as i64).to_le_bytes()).collect();
        self.tensors.insert(format!("{name}_shape"), (Dtype::I64, vec![2], shape));
    }

    /// Writes the file anew, after `change` to its tensors.
    pub(super) fn change(
        &mut self,
        change: impl FnOnce(&mut BTreeMap<String, (Dtype, Vec<usize>, Vec<u8>)>),
    ) {
        change(&mut self.tensors);
        self.save();
    }

    fn save(&self) {
        let (mut header, mut data) = (Header::default(), Vec::new());
        for (name, (dtype, shape, bytes)) in &self.tensors {
            let begin = data.len() as u64;
            data.extend_from_slice(bytes);
            let (name, shape) = (name.clone(), shape.clone());
            header.tensors.push(Tensor {
                name,
                dtype: *dtype,
                shape,
                begin,
                end: data.len() as u64,
            });
        }
        // Not at a multiple of anything: some numbers do not lie at multiples of their size.
        let mut file = header.bytes(header.room());
        file.extend(data);
        std::fs::write(self.folder.join("model.safetensors"), file).unwrap();
    }

    /// The logits of each token.
    pub(super) fn logits(&self, tokens: &[usize]) -> Array2<f64> {
        let shape = &self.shape;
        let table = &self.values["model.embed_tokens.weight"];
        let mut x = table.select(Axis(0), tokens);
        for layer in 0..shape.layers {
            let name = |rest: &str| format!("model.layers.{layer}.{rest}");
            let h = self.norm(&x, &name("input_layernorm.weight"));
            x += &self.attention(&h, layer);
            let h = self.norm(&x, &name("post_attention_layernorm.weight"));
            let gate = self.linear(&h, &name("mlp.gate_proj"));
            let gate = gate.mapv(|g| g / (1.0 + (-g).exp()));
            let wide = gate * self.linear(&h, &name("mlp.up_proj"));
            x += &self.linear(&wide, &name("mlp.down_proj"));
        }
        let head = if shape.is_tied { "model.embed_tokens.weight" } else { "lm_head.weight" };
        self.norm(&x, "model.norm.weight").dot(&self.values[head].t())
    }

    fn norm(&self, x: &Array2<f64>, name: &str) -> Array2<f64> {
        let mut y = x * &self.values[name].row(0);
        for (mut y, x) in y.rows_mut().into_iter().zip(x.rows()) {
            let square = x.mapv(|x| x * x).mean().unwrap();
            y /= (square + self.shape.norm_eps).sqrt();
        }
        y
    }

    fn linear(&self, x: &Array2<f64>, name: &str) -> Array2<f64> {
        let y = x.dot(&self.values[&format!("{name}.weight")].t());
        self.values.get(&format!("{name}.bias")).map_or(y.clone(), |bias| y + bias.row(0))
    }

    fn attention(&self, h: &Array2<f64>, layer: usize) -> Array2<f64> {
        let shape = &self.shape;
        let (e, together) = (shape.head_dim, shape.heads / shape.kv_heads);
        let name = |rest: &str| format!("model.layers.{layer}.self_attn.{rest}_proj");
        let [mut q, mut k, v] = ["q", "k", "v"].map(|rest| self.linear(h, &name(rest)));
        for x in [&mut q, &mut k] {
            self.turn(x);
        }
        let mut y = Array2::zeros(q.raw_dim());
        for (i, head) in ndarray::indices((h.nrows(), shape.heads)) {
            let columns = |head: usize| Slice::from(head * e..(head + 1) * e);
            let kv = head / together;
            let (k, v) = (k.slice_axis(Axis(1), columns(kv)), v.slice_axis(Axis(1), columns(kv)));
            let query = q.slice_axis(Axis(1), columns(head));
            let query = query.row(i);
            let first = shape.window.map_or(0, |window| (i + 1).saturating_sub(window));
            let scores =
                Array1::from_iter((first..=i).map(|j| k.row(j).dot(&query) / (e as f64).sqrt()));
            let largest = scores.fold(f64::NEG_INFINITY, |a, b| a.max(*b));
            let weights = scores.mapv(|score| (score - largest).exp());
            let weights = &weights / weights.sum();
            let seen = v.slice_axis(Axis(0), Slice::from(first..=i));
            y.slice_axis_mut(Axis(1), columns(head)).row_mut(i).assign(&weights.dot(&seen));
        }
        self.linear(&y, &name("o"))
    }

    fn turn(&self, x: &mut Array2<f64>) {
        let e = self.shape.head_dim;
        let theta = self.shape.rope_theta;
        let frequencies = Frequencies::new(e, theta, self.shape.rope_scaling).unwrap();
        for (position, mut row) in x.rows_mut().into_iter().enumerate() {
            let (mut cos, mut sin) = (vec![0.0; e / 2], vec![0.0; e / 2]);
            frequencies.fill(position, &mut cos, &mut sin);
            for head in 0..row.len() / e {
                for i in 0..e / 2 {
                    let (one, two) = (head * e + i, head * e + i + e / 2);
                    let (a, b) = (row[one], row[two]);
                    let (c, s) = (f64::from(cos[i]), f64::from(sin[i]));
                    (row[one], row[two]) = (a * c - b * s, b * c + a * s);
                }
            }
        }
    }
}
