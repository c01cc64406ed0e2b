//! Keys and values of the tokens that were seen, of one of three types.

use half::f16;

use super::CausalLm;
use super::forward::CHUNK;
use crate::Error;
use crate::nn::attention::{CacheShape, KvCache};

/// What keys and values are stored as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheType {
    /// As they are computed.
    F32,
    /// Half as large.
    F16,
    /// A quarter, with a scale for each token and head.
    I8,
}

/// The caches of each type.
#[derive(Debug)]
pub(super) enum Pages {
    F32(KvCache<f32>),
    F16(KvCache<f16>),
    I8(KvCache<i8>),
}

/// Keys and values of some sequences, each in a slot, of the layers and heads of one part of a model.
#[derive(Debug)]
pub struct Cache {
    pub(super) pages: Pages,
    max_context: usize,
}

/// Does the same with each type.
macro_rules! each {
    ($pages:expr, $cache:ident => $what:expr) => {
        match $pages {
            Pages::F32($cache) => $what,
            Pages::F16($cache) => $what,
            Pages::I8($cache) => $what,
        }
    };
}

pub(super) use each;

impl Cache {
    /// A cache for `model`, with `slots` for sequences of up to `max_context` tokens.
    ///
    /// # Errors
    ///
    /// If there is room for nothing, or the system has no memory left.
    pub fn new(
        model: &CausalLm,
        slots: usize,
        max_context: usize,
        kind: CacheType,
    ) -> Result<Self, Error> {
        for (name, actual) in [("sequences", slots), ("max_context", max_context)] {
            if actual == 0 {
                return Err(Error::Count { name, actual, expected: "at least 1".to_owned() });
            }
        }
        let shape = Self::shape_for(model);
        // With a window, what was seen is given back, a page at a time, when a chunk is done.
        let held = shape.window.map_or(max_context, |window| {
            max_context.min(window.saturating_add(CHUNK + 2 * KvCache::<f32>::LONGEST_PAGE))
        });
        let pages = match kind {
            CacheType::F32 => Pages::F32(KvCache::new(shape, held, slots)?),
            CacheType::F16 => Pages::F16(KvCache::new(shape, held, slots)?),
            CacheType::I8 => Pages::I8(KvCache::new(shape, held, slots)?),
        };
        Ok(Self { pages, max_context })
    }

    pub(super) fn shape_for(model: &CausalLm) -> CacheShape {
        let (shape, heads) = (&model.shape, &model.heads);
        CacheShape {
            layers: model.layers.len(),
            kv_heads: heads.kv.len(),
            width: shape.head_dim,
            window: shape.window,
        }
    }

    /// How many sequences there is room for.
    #[must_use]
    pub fn slots(&self) -> usize {
        each!(&self.pages, pages => pages.sequences())
    }

    /// Tokens that each may have.
    #[must_use]
    pub fn max_context(&self) -> usize {
        self.max_context
    }

    /// Tokens of the sequence in a slot.
    ///
    /// # Errors
    ///
    /// If there is no such slot.
    pub fn length(&self, slot: usize) -> Result<usize, Error> {
        self.expect(slot)?;
        Ok(each!(&self.pages, pages => pages.length(slot)))
    }

    /// Forgets the tokens of a sequence from `length` on.
    ///
    /// # Errors
    ///
    /// If there is no such slot, or it has fewer tokens, or, with a window, those before `length` were given back.
    pub fn truncate(&mut self, slot: usize, length: usize) -> Result<(), Error> {
        self.expect(slot)?;
        each!(&mut self.pages, pages => pages.truncate(slot, length))
    }

    /// Forgets a sequence.
    ///
    /// # Errors
    ///
    /// If there is no such slot.
    pub fn free(&mut self, slot: usize) -> Result<(), Error> {
        self.expect(slot)?;
        each!(&mut self.pages, pages => pages.clear(slot));
        Ok(())
    }

    /// Bytes of memory that it took so far.
    #[must_use]
    pub fn bytes(&self) -> usize {
        each!(&self.pages, pages => pages.bytes())
    }

    pub(super) fn shape(&self) -> CacheShape {
        each!(&self.pages, pages => pages.shape())
    }

    fn expect(&self, slot: usize) -> Result<(), Error> {
        let slots = self.slots();
        if slot < slots {
            return Ok(());
        }
        let expected = format!("less than {slots}, the sequences that the cache has room for");
        Err(Error::Count { name: "slot", actual: slot, expected })
    }
}
