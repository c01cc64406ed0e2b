//! The JSON of headers and indexes, read in one pass: what comes twice, or is of another kind, is found
//! where it stands, and nothing is kept that was not asked for.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashSet};
use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::dtype::Dtype;
use super::error::Flaw;
use super::header::{Header, MOST_AXES, Tensor};

/// What a header says, in the order in which it says it; the offsets are not checked.
pub(super) fn header(text: &[u8]) -> Result<Header, Flaw> {
    let flaw = RefCell::new(None);
    let mut json = serde_json::Deserializer::from_slice(text);
    let read = HeaderVisitor { flaw: &flaw }.deserialize(&mut json);
    let read = read.and_then(|header| json.end().map(|()| header));
    read.map_err(|error| flaw.into_inner().unwrap_or_else(|| Flaw::Json(error.to_string())))
}

/// Where the tensors are, as an index says: names of tensors, then of files.
pub(super) fn weight_map(text: &[u8]) -> Result<BTreeMap<String, String>, Flaw> {
    #[derive(Deserialize)]
    struct Index {
        weight_map: Unique,
    }
    serde_json::from_slice::<Index>(text)
        .map(|index| index.weight_map.0)
        .map_err(|error| Flaw::Problem(format!("the index is not that of a model: {error}")))
}

/// Keeps the reason beside serde's own error, which has only words.
struct HeaderVisitor<'a> {
    flaw: &'a RefCell<Option<Flaw>>,
}

impl HeaderVisitor<'_> {
    fn fail<E: Error>(&self, flaw: Flaw) -> E {
        let error = E::custom(&flaw);
        self.flaw.replace(Some(flaw));
        error
    }
}

impl<'de> DeserializeSeed<'de> for HeaderVisitor<'_> {
    type Value = Header;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Header, D::Error> {
        json.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for HeaderVisitor<'_> {
    type Value = Header;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of tensors")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Header, A::Error> {
        let (mut metadata, mut tensors, mut names) = (None, Vec::new(), HashSet::new());
        while let Some(name) = map.next_key::<String>()? {
            if name == "__metadata__" {
                if metadata.is_some() {
                    return Err(self.fail(Flaw::MetadataTwice));
                }
                let texts = map.next_value::<Option<Unique>>()?;
                metadata = Some(texts.map_or_else(BTreeMap::new, |texts| texts.0));
                continue;
            }
            let entry = map.next_value::<Entry>().map_err(|error| {
                // A text that ends in an entry is no flaw of that entry.
                let problem = error.to_string();
                self.fail(Flaw::Entry { name: name.clone(), problem })
            })?;
            if !names.insert(name.clone()) {
                return Err(self.fail(Flaw::Twice(name)));
            }
            let Some(dtype) = Dtype::named(&entry.dtype) else {
                return Err(self.fail(Flaw::Dtype { name, dtype: entry.dtype }));
            };
            let Axes(Some(shape)) = entry.shape else {
                return Err(self.fail(Flaw::Axes(name)));
            };
            let [begin, end] = entry.data_offsets;
            tensors.push(Tensor { name, dtype, shape, begin, end });
        }
        Ok(Header { metadata: metadata.unwrap_or_default(), tensors })
    }
}

#[derive(Deserialize)]
struct Entry {
    dtype: String,
    shape: Axes,
    data_offsets: [u64; 2],
}

/// A shape, or nothing if it has too many axes.
struct Axes(Option<Vec<usize>>);

impl<'de> Deserialize<'de> for Axes {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        struct Extents;

        impl<'de> Visitor<'de> for Extents {
            type Value = Axes;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of extents")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Axes, A::Error> {
                let mut shape = Vec::new();
                while shape.len() < MOST_AXES {
                    let Some(extent) = seq.next_element::<usize>()? else {
                        return Ok(Axes(Some(shape)));
                    };
                    shape.push(extent);
                }
                if seq.next_element::<IgnoredAny>()?.is_none() {
                    return Ok(Axes(Some(shape)));
                }
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Axes(None))
            }
        }
        json.deserialize_seq(Extents)
    }
}

/// An object of texts in which no key comes twice.
struct Unique(BTreeMap<String, String>);

impl<'de> Deserialize<'de> for Unique {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        struct Texts;

        impl<'de> Visitor<'de> for Texts {
            type Value = Unique;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of texts")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Unique, A::Error> {
                let mut texts = BTreeMap::new();
                while let Some((key, value)) = map.next_entry::<String, String>()? {
                    if texts.contains_key(&key) {
                        return Err(Error::custom(format_args!("{key:?} comes twice")));
                    }
                    texts.insert(key, value);
                }
                Ok(Unique(texts))
            }
        }
        json.deserialize_map(Texts)
    }
}
