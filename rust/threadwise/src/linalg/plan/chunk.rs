//! Where k is cut: as sizes and layouts say, and nothing else.

use std::mem::size_of;

/// Multiply-adds above which Python's lock is released while they are done: about ten microseconds,
/// for which another thread's wait is longer than the cost of releasing and taking the lock.
pub const WORTH_DETACHING: usize = 500_000;

/// Where C is small and k is long, k is cut into chunks, which are summed apart: pieces that C alone
/// does not give. Chunks have at least this many terms, so that to add them up costs little, ...
pub(super) const CHUNK: usize = 2048;

/// ... and this many multiply-adds, so that they are worth sharing out; ...
const CHUNK_WORK: usize = 1 << 16;

/// ... and there are at most this many of them, and pieces with those that C gives.
pub(in crate::linalg) const CHUNKS: usize = 32;

/// Where rows of B are streamed, each thread should have rows that follow one another, and no others' lines in
/// between: k is cut for that too. Chunks then have at least this many terms a row of A, ...
const STREAMED_CHUNK: usize = 128;

/// ... and there are at most so many of them: two if caches may hold parts of B from call to call, because sums go
/// from one to another, or else four.
const STREAMED_CHUNKS: usize = 2;
const CACHED: usize = 32 << 20;

/// Multiply-adds up to which products are not cut at all: for vectors, and for others.
const SMALL_VECTOR: usize = 1 << 17;
const SMALL: usize = WORTH_DETACHING;

/// Terms of a chunk of k, if C gives this many pieces: a function of the sizes alone, and the same for a
/// product and its transpose.
pub(super) fn chunk((m, k, n): (usize, usize, usize), pieces: usize) -> usize {
    let terms = CHUNK.max(CHUNK_WORK / m.saturating_mul(n).max(1));
    let most = (k / terms).min(2 * CHUNKS / pieces.max(1)).clamp(1, CHUNKS);
    // A power of two, so that two, four, eight threads have equal shares.
    k.div_ceil(1 << most.ilog2()).max(1)
}

/// The same where the rows of B are streamed.
pub(super) fn streamed_chunk<T>((m, k, n): (usize, usize, usize), pieces: usize) -> usize {
    let chunk = chunk((m, k, n), pieces);
    if is_small(m, k, n) {
        return chunk;
    }
    let is_cached = k.saturating_mul(n).saturating_mul(size_of::<T>()) <= CACHED;
    let most = if is_cached { STREAMED_CHUNKS } else { 2 * STREAMED_CHUNKS };
    let most = (k / (STREAMED_CHUNK * m.max(1))).clamp(1, most);
    chunk.min(k.div_ceil(1 << most.ilog2()).max(1))
}

/// Whether a product is so small that one thread does it best.
pub(in crate::linalg) fn is_small(m: usize, k: usize, n: usize) -> bool {
    let most = if m == 1 || n == 1 { SMALL_VECTOR } else { SMALL };
    m.saturating_mul(n).saturating_mul(k) <= most
}
