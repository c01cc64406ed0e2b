//! Streams of codes on vector units: in plain Rust, which the compiler vectorizes for the functions it is inlined into.

use super::Bits;

/// Twin of [`super::codes::pack`]: eight codes in a word of 64 bits are moved together in three steps.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "words are cut from a stream")]
pub(super) fn pack(bits: Bits, codes: &[u8], to: &mut [u32]) {
    let b = bits.get();
    let (blocks, rest) = codes.as_chunks::<32>();
    let (words, tail) = to.split_at_mut(blocks.len() * b);
    match bits {
        Bits::Eight => {
            for (four, word) in blocks.as_flattened().as_chunks::<4>().0.iter().zip(words) {
                *word = u32::from_le_bytes(*four);
            }
        }
        Bits::Four => {
            for (eight, word) in blocks.as_flattened().as_chunks::<8>().0.iter().zip(words) {
                *word = gathered(b, u64::from_le_bytes(*eight)) as u32;
            }
        }
        Bits::Two => {
            let pairs = blocks.as_flattened().as_chunks::<8>().0.as_chunks::<2>().0;
            for ([low, high], word) in pairs.iter().zip(words) {
                let low = gathered(b, u64::from_le_bytes(*low));
                *word = (low | gathered(b, u64::from_le_bytes(*high)) << 16) as u32;
            }
        }
        Bits::Three => {
            for (codes, words) in blocks.iter().zip(words.as_chunks_mut::<3>().0) {
                let mut stream = 0_u128;
                for (i, eight) in codes.as_chunks::<8>().0.iter().enumerate() {
                    let eight = gathered(b, u64::from_le_bytes(*eight));
                    stream |= u128::from(eight) << (24 * i);
                }
                *words = [stream as u32, (stream >> 32) as u32, (stream >> 64) as u32];
            }
        }
    }
    if !rest.is_empty() {
        super::codes::pack(bits, rest, tail);
    }
}

/// The low `b` bits of eight bytes, one after the other; `b` is less than 8.
#[inline(always)]
fn gathered(b: usize, x: u64) -> u64 {
    let twos = (x | x >> (8 - b)) & (0x0001_0001_0001_0001 * ((1 << (2 * b)) - 1));
    let fours = (twos | twos >> (16 - 2 * b)) & (0x0000_0001_0000_0001 * ((1 << (4 * b)) - 1));
    (fours | fours >> (32 - 4 * b)) & ((1 << (8 * b)) - 1)
}

/// Twin of [`super::codes::unpack`], by the same steps back.
#[inline(always)]
pub(super) fn unpack(bits: Bits, from: &[u32], codes: &mut [u8]) {
    let b = bits.get();
    let (blocks, rest) = codes.as_chunks_mut::<32>();
    let (words, tail) = from.split_at(blocks.len() * b);
    for (codes, words) in blocks.iter_mut().zip(words.chunks_exact(b)) {
        if b == 8 {
            for (four, word) in codes.as_chunks_mut::<4>().0.iter_mut().zip(words) {
                *four = word.to_le_bytes();
            }
            continue;
        }
        for (i, eight) in codes.as_chunks_mut::<8>().0.iter_mut().enumerate() {
            let (word, shift) = (8 * b * i / 32, 8 * b * i % 32);
            let high = words.get(word + 1).map_or(0, |&next| u64::from(next) << 32);
            *eight = scattered(b, (u64::from(words[word]) | high) >> shift).to_le_bytes();
        }
    }
    if !rest.is_empty() {
        super::codes::unpack(bits, tail, rest);
    }
}

/// Eight numbers of `b` bits, each in a byte: what [`gathered`] undoes.
#[inline(always)]
fn scattered(b: usize, x: u64) -> u64 {
    let x = x & ((1 << (8 * b)) - 1);
    let fours = (x | x << (32 - 4 * b)) & (0x0000_0001_0000_0001 * ((1 << (4 * b)) - 1));
    let twos = (fours | fours << (16 - 2 * b)) & (0x0001_0001_0001_0001 * ((1 << (2 * b)) - 1));
    (twos | twos << (8 - b)) & (0x0101_0101_0101_0101 * ((1 << b) - 1))
}
