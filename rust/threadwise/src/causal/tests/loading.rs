//! Files that are not the model's, and calls that do not fit.

use ndarray::Array2;

use super::super::{
    Cache, CacheType, CausalLm, Input, ModelShape, Packing, Part, Wanted, ZeroKind,
};
use super::forward::context;
use super::model::{Kind, Tiny, shape};
use crate::Error;
use crate::dots::Inputs;
use crate::store::Dtype;

fn load(tiny: &Tiny) -> Result<CausalLm, Error> {
    let part = Part::whole(&tiny.shape);
    let shape = tiny.shape.clone();
    CausalLm::load(tiny.path(), shape, &tiny.packings, part, Inputs::Int8, &context(1))
}

/// The sentence, without the name of the file.
fn sentence(tiny: &Tiny) -> String {
    let sentence = load(tiny).unwrap_err().to_string();
    let folder = tiny.path().display().to_string();
    let rest = sentence.strip_prefix(&folder).unwrap_or(&sentence).to_owned();
    assert!(rest.len() < sentence.len(), "names the file: {sentence}");
    rest
}

#[test]
fn what_is_wrong_with_tensors_is_one_sentence_with_file_and_tensor() {
    let mut tiny = Tiny::new(shape(4, 2, 8), Kind::Plain(Dtype::F32));
    load(&tiny).unwrap();
    let up = "model.layers.1.mlp.up_proj.weight".to_owned();
    let mut kept = None;
    tiny.change(|tensors| kept = tensors.remove(&up));
    assert_eq!(
        sentence(&tiny),
        ": tensor 'model.layers.1.mlp.up_proj.weight' is missing, expected F32 or F16 or BF16 of shape (72, 48)"
    );
    let (_, _, bytes) = kept.unwrap();
    tiny.change(|tensors| {
        drop(tensors.insert(up.clone(), (Dtype::F32, vec![48, 72], bytes.clone())));
    });
    assert_eq!(
        sentence(&tiny),
        "/model.safetensors: tensor 'model.layers.1.mlp.up_proj.weight' is F32 of shape (48, 72), expected F32 or F16 \
         or BF16 of shape (72, 48)"
    );
    tiny.change(|tensors| {
        drop(tensors.insert(up.clone(), (Dtype::I32, vec![72, 48], bytes.clone())));
    });
    assert!(
        sentence(&tiny).contains("is I32 of shape (72, 48), expected F32"),
        "{}",
        sentence(&tiny)
    );
    tiny.change(|tensors| drop(tensors.insert(up, (Dtype::F32, vec![72, 48], bytes))));
    load(&tiny).unwrap();
    for name in ["model.layers.3.mlp.up_proj.weight", "model.layers.0.mlp.up_proj.bias", "other"] {
        let extra = (Dtype::F32, vec![1], vec![0; 4]);
        tiny.change(|tensors| drop(tensors.insert(name.to_owned(), extra)));
        let expected = format!(
            "/model.safetensors: tensor '{name}' is none of the model's, expected only those of 3 layers as the \
             configuration says"
        );
        assert_eq!(sentence(&tiny), expected);
        tiny.change(|tensors| drop(tensors.remove(name)));
    }
    let buffer = "model.layers.0.self_attn.rotary_emb.inv_freq".to_owned();
    tiny.change(|tensors| drop(tensors.insert(buffer, (Dtype::F32, vec![4], vec![0; 16]))));
    load(&tiny).unwrap();
}

#[test]
fn quantized_tensors_must_have_all_their_parts() {
    let packing = Packing { bits: 4, group: Some(16), zeros: ZeroKind::Code };
    let mut tiny = Tiny::new(shape(4, 2, 8), Kind::Packed(packing));
    let name = "model.layers.0.self_attn.q_proj.weight";
    for end in ["_packed", "_scale", "_shape", "_zero_point"] {
        let part = format!("{name}{end}");
        let mut kept = None;
        tiny.change(|tensors| kept = tensors.remove(&part));
        let sentence = sentence(&tiny);
        assert!(sentence.contains(&part) && sentence.contains("is missing"), "{sentence}");
        tiny.change(|tensors| drop(tensors.insert(part, kept.unwrap())));
    }
    let part = format!("{name}_shape");
    tiny.change(|tensors| {
        let bytes = [48_i64, 32].iter().flat_map(|n| n.to_le_bytes()).collect();
        tensors.insert(part, (Dtype::I64, vec![2], bytes));
    });
    assert!(sentence(&tiny).ends_with("says (48, 32), expected (32, 48)"), "{}", sentence(&tiny));
    for (packing, expected) in [
        (Packing { bits: 5, ..packing }, "bits is 5, expected 2, 3, 4 or 8"),
        (
            Packing { group: Some(24), ..packing },
            "group_size is 24, expected a multiple of 16, or -1 for whole rows",
        ),
    ] {
        tiny.packings.insert(name.to_owned(), packing);
        assert_eq!(load(&tiny).unwrap_err().to_string(), expected);
    }
}

#[test]
fn calls_that_do_not_fit_are_refused_and_change_nothing() {
    let tiny = Tiny::new(shape(4, 2, 8), Kind::Plain(Dtype::F32));
    let model = load(&tiny).unwrap();
    let mut cache = Cache::new(&model, 2, 10, CacheType::F32).unwrap();
    let mut refused = |ids: &[&[usize]], slots: &[usize], rows: usize| {
        let mut out = Array2::from_elem((rows, 37), f32::NAN);
        let view = out.view_mut();
        let outcome =
            model.forward(Input::Ids(ids), slots, &mut cache, Wanted::All, view, None, &context(1));
        assert!(out.iter().all(|y| y.is_nan()), "untouched");
        assert_eq!([0, 1].map(|slot| cache.length(slot).unwrap()), [0, 0], "unchanged");
        outcome.unwrap_err().to_string()
    };
    assert_eq!(
        refused(&[&[1, 2], &[3, 37]], &[0, 1], 4),
        "the token is 37, expected less than 37, the size of the vocabulary, at 1 of sequence 1"
    );
    assert_eq!(
        refused(&[&[1], &[2]], &[1, 1], 2),
        "slot is 1, expected one that no other sequence has"
    );
    assert_eq!(
        refused(&[&[1]], &[2], 1),
        "slot is 2, expected less than 2, the sequences that the cache has room for"
    );
    assert_eq!(
        refused(&[&[1; 11]], &[0], 11),
        "the number of tokens is 11, expected at most 10, the max_context of the cache, for sequence 0: 0 tokens before \
         and 11 more"
    );
    assert_eq!(
        refused(&[&[]], &[0], 0),
        "the number of tokens is 0, expected at least 1 for sequence 0"
    );
    assert_eq!(
        refused(&[&[1]], &[], 1),
        "the number of slots is 0, expected 1, one for each sequence"
    );
    assert_eq!(refused(&[&[1]], &[0], 2), "out has shape (2, 37), expected (1, 37)");
    let other = Tiny::new(ModelShape { layers: 2, ..shape(4, 2, 8) }, Kind::Plain(Dtype::F32));
    let other = load(&other).unwrap();
    let mut out = Array2::zeros((1, 37));
    let view = out.view_mut();
    let ids: &[&[usize]] = &[&[1]];
    let outcome =
        other.forward(Input::Ids(ids), &[0], &mut cache, Wanted::All, view, None, &context(1));
    assert!(outcome.unwrap_err().to_string().contains("that of a cache of this model"));
}
