//! How the keys and values of one head and some tokens lie in memory.

use super::Stored;

/// Tokens of a tile of keys: as many as the widest vector has lanes.
pub const TILE: usize = 16;

/// A page of `tokens` tokens whose keys and values are `width` numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    width: usize,
    tokens: usize,
}

/// A page to be read: its numbers, and a scale for each key, then one for each value, if the type has scales.
#[derive(Clone, Copy, Debug)]
pub struct Page<'a, S> {
    /// As many as [`Layout::numbers`].
    pub numbers: &'a [S],
    /// As many as [`Layout::scales`].
    pub scales: &'a [f32],
}

/// A page to be written.
#[derive(Debug)]
pub struct PageMut<'a, S> {
    /// As many as [`Layout::numbers`].
    pub numbers: &'a mut [S],
    /// As many as [`Layout::scales`].
    pub scales: &'a mut [f32],
}

impl Layout {
    /// # Panics
    ///
    /// If `tokens` is not a multiple of 16.
    #[must_use]
    pub const fn new(width: usize, tokens: usize) -> Self {
        assert!(tokens.is_multiple_of(TILE), "whole tiles");
        Self { width, tokens }
    }

    /// Numbers of a key, and of a value.
    #[must_use]
    pub const fn width(&self) -> usize {
        self.width
    }

    /// Numbers from one value to the next, and of a row's state.
    #[must_use]
    pub const fn padded(&self) -> usize {
        self.width.next_multiple_of(TILE)
    }

    /// Tokens of the page.
    #[must_use]
    pub const fn tokens(&self) -> usize {
        self.tokens
    }

    /// Numbers of a page.
    #[must_use]
    pub const fn numbers(&self) -> usize {
        self.tokens * (self.width + self.padded())
    }

    /// Scales of a page of `S`.
    #[must_use]
    pub const fn scales<S: Stored>(&self) -> usize {
        if S::IS_SCALED { 2 * self.tokens } else { 0 }
    }

    /// Numbers before those of the first value.
    pub(super) const fn values(&self) -> usize {
        self.tokens * self.width
    }

    pub(super) fn expect<S: Stored>(&self, page: &Page<'_, S>) {
        assert_eq!(page.numbers.len(), self.numbers(), "the page's numbers");
        assert_eq!(page.scales.len(), self.scales::<S>(), "the page's scales");
    }

    /// Stores the keys and values of some tokens, from `first` on: of a whole tile, or fewer. `scratch` has room for a
    /// tile of keys.
    ///
    /// # Panics
    ///
    /// If the tokens are not of one tile of the page, or lengths do not fit.
    pub fn store<S: Stored>(
        &self,
        page: &mut PageMut<'_, S>,
        first: usize,
        keys: &[&[f32]],
        values: &[&[f32]],
        scratch: &mut [S],
    ) {
        assert!(first % TILE + keys.len() <= TILE && first < self.tokens, "tokens of one tile");
        assert_eq!(keys.len(), values.len(), "a value for each key");
        assert_eq!(scratch.len(), TILE * self.width, "room for a tile of keys");
        let numbers = &mut *page.numbers;
        assert_eq!(numbers.len(), self.numbers(), "the page's numbers");
        if self.width == 0 {
            return;
        }
        let rows = keys.iter().zip(values).zip(scratch.chunks_exact_mut(self.width));
        for (token, ((key, value), narrow)) in (first..).zip(rows) {
            let key_scale = S::store(key, narrow);
            let at = self.values() + token * self.padded();
            let value_scale = S::store(value, &mut numbers[at..at + self.width]);
            if S::IS_SCALED {
                page.scales[token] = key_scale;
                page.scales[self.tokens + token] = value_scale;
            }
        }
        let at = first / TILE * TILE * self.width;
        let (columns, _) = numbers[at..at + TILE * self.width].as_chunks_mut::<TILE>();
        let place = first % TILE..first % TILE + keys.len();
        if place.len() == TILE {
            for (d, column) in columns.iter_mut().enumerate() {
                *column = std::array::from_fn(|token| scratch[token * self.width + d]);
            }
            return;
        }
        for (token, key) in place.zip(scratch.chunks_exact(self.width)) {
            columns.iter_mut().zip(key).for_each(|(column, number)| column[token] = *number);
        }
    }
}
