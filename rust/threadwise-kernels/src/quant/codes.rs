//! Codes as a dense stream of bits.
//!
//! Code j of a row lies in bits [j·b, (j + 1)·b) of the row's stream, least significant bit first, in words of 32
//! bits; the bits after the last code are zero.

use super::Bits;

/// Words that so many codes take.
#[must_use]
pub const fn words(count: usize, bits: Bits) -> usize {
    // 32 codes take `bits` words: in this order nothing overflows.
    count / 32 * bits.get() + (count % 32 * bits.get()).div_ceil(32)
}

/// Writes codes as a stream.
///
/// # Panics
///
/// If `to` is not as long as the stream.
pub fn pack(bits: Bits, codes: &[u8], to: &mut [u32]) {
    assert_eq!(to.len(), words(codes.len(), bits), "as many words as the codes take");
    let b = bits.get();
    to.fill(0);
    for (j, &code) in codes.iter().enumerate() {
        let (word, shift) = (j * b / 32, j * b % 32);
        to[word] |= u32::from(code) << shift;
        if shift + b > 32 {
            to[word + 1] |= u32::from(code) >> (32 - shift);
        }
    }
}

/// Reads codes from a stream.
///
/// # Panics
///
/// If `from` is not as long as the stream of so many codes.
#[expect(clippy::cast_possible_truncation, reason = "the low bits are the code")]
pub fn unpack(bits: Bits, from: &[u32], codes: &mut [u8]) {
    assert_eq!(from.len(), words(codes.len(), bits), "as many words as the codes take");
    let b = bits.get();
    for (j, code) in codes.iter_mut().enumerate() {
        let (word, shift) = (j * b / 32, j * b % 32);
        let low = u64::from(from[word]);
        let high = from.get(word + 1).map_or(0, |&next| u64::from(next) << 32);
        *code = ((low | high) >> shift) as u8 & bits.largest() as u8;
    }
}
