//! Masks of units that are left out: functions of a seed and of the place, not of what was asked before.

use super::philox::philox;
use crate::simd::Element;

/// Units that share a counter: 32 bits of its four words each.
const TOGETHER: usize = 8;

/// N. Srivastava and others, *Dropout: A Simple Way to Prevent Neural Networks from Overfitting*, JMLR 15, 2014,
/// with what is kept scaled by 1/(1 − p), so that nothing is to be done without a mask.
///
/// Unit u of a row is left out where word u mod 8 of the counter (u div 8, row, layer, time) is below p·2³², the
/// words being the halves of the four that [`philox`] gives, lower halves first.
#[derive(Clone, Copy, Debug)]
pub struct Dropout {
    /// Seed, and what the masks are for.
    pub key: [u64; 2],
    /// Which layer's units they are.
    pub layer: u64,
    /// Which step or sample it is.
    pub time: u64,
    /// The share that is left out, from 0 to less than 1.
    pub rate: f64,
}

impl Dropout {
    /// Masks the units `first` and so on of a row.
    pub fn row<T: Element>(&self, row: usize, first: usize, x: &mut [T]) {
        #[expect(clippy::cast_possible_truncation, reason = "at most 2³² − 1")]
        #[expect(clippy::cast_sign_loss, reason = "it is not negative")]
        let below = (self.rate * 4_294_967_296.0).round() as u32;
        let scale = T::from_f64(1.0 / (1.0 - self.rate));
        let mut rest = x;
        let mut unit = first;
        while !rest.is_empty() {
            let skipped = unit % TOGETHER;
            let count = (TOGETHER - skipped).min(rest.len());
            let (now, after) = rest.split_at_mut(count);
            let words = self.words(unit / TOGETHER, row);
            for (x, word) in now.iter_mut().zip(&words[skipped..]) {
                *x = if *word < below { T::default() } else { *x * scale };
            }
            (rest, unit) = (after, unit + count);
        }
    }

    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "the halves")]
    fn words(&self, block: usize, row: usize) -> [u32; TOGETHER] {
        let words = philox(self.key, [block as u64, row as u64, self.layer, self.time]);
        let [a, b, c, d] = words.map(|word| [word as u32, (word >> 32) as u32]);
        [a[0], a[1], b[0], b[1], c[0], c[1], d[0], d[1]]
    }
}
