//! How the keys and values of one head and some tokens lie in memory.

use super::Stored;

/// Tokens of a tile of keys: as many as the widest vector has lanes.
pub(super) const TILE: usize = 16;

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

    /// Where number 0 of a token's key is; the next ones follow in steps of [`TILE`].
    const fn key(&self, token: usize) -> usize {
        token / TILE * TILE * self.width + token % TILE
    }

    pub(super) fn expect<S: Stored>(&self, page: &Page<'_, S>) {
        assert_eq!(page.numbers.len(), self.numbers(), "the page's numbers");
        assert_eq!(page.scales.len(), self.scales::<S>(), "the page's scales");
    }

    /// Stores the key and the value of a token. `scratch` is as long as they are.
    ///
    /// # Panics
    ///
    /// If the page has no such token, or lengths do not fit.
    pub fn store<S: Stored>(
        &self,
        page: &mut PageMut<'_, S>,
        token: usize,
        key: &[f32],
        value: &[f32],
        scratch: &mut [S],
    ) {
        assert!(token < self.tokens, "token {token} of {}", self.tokens);
        let numbers = &mut *page.numbers;
        assert_eq!(numbers.len(), self.numbers(), "the page's numbers");
        let scale = S::store(key, scratch);
        let places = numbers[self.key(token)..self.values()].iter_mut().step_by(TILE);
        scratch.iter().zip(places).for_each(|(key, place)| *place = *key);
        let first = self.values() + token * self.padded();
        let value_scale = S::store(value, &mut numbers[first..first + self.width]);
        if S::IS_SCALED {
            page.scales[token] = scale;
            page.scales[self.tokens + token] = value_scale;
        }
    }
}
