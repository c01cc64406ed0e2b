//! What products are as loads, for the choice of threads.

use threadwise_runtime::readiness;

use super::plan::Plan;
use super::{Product, plan};
use crate::Context;
use crate::work::{Choice, Load, calibration};

/// Multiply-adds and bytes below which one thread is the answer without asking: some two microseconds.
const AT_ONCE: usize = 100_000;

/// Elements of C that make a piece at least: a tile.
const TILE: usize = 384;

/// Terms of a piece at least, where k is cut.
const TERMS: usize = 2048;

/// Elements of B that make a piece at least, where rows are so few that they are what takes time.
const RIGHT: usize = 1 << 16;

/// Multiply-adds that take as long as to move a byte to or from memory.
const BYTE: usize = 2;

/// Terms in whose time a tile of C is begun and written.
const TILE_TERMS: f64 = 8.0;

/// Bytes of the vectors into which columns of C are padded, if B is not read along its columns, ...
const VECTOR: usize = 64;

/// ... as it is where there are so many terms, or columns are few.
const DOTTED: usize = 64;

/// Multiply-adds that take as long as to begin a product.
const BEGIN: f64 = 2000.0;

/// What a product takes, in multiply-adds: its own, and those in whose time its bytes are moved.
pub(super) fn cost<T>(sizes: (usize, usize, usize)) -> usize {
    multiply_adds(sizes).saturating_add(moving::<T>(sizes))
}

pub(super) fn multiply_adds((m, k, n): (usize, usize, usize)) -> usize {
    m.saturating_mul(n).saturating_mul(k)
}

/// Multiply-adds in whose time the bytes of a product are moved.
pub(super) fn moving<T>((m, k, n): (usize, usize, usize)) -> usize {
    let area = |x: usize, y: usize| x.saturating_mul(y).saturating_mul(size_of::<T>());
    area(m, k).saturating_add(area(k, n)).saturating_add(area(m, n)).saturating_mul(BYTE)
}

/// How many threads `count` products of these sizes are worth, all of them together.
pub(super) fn threads<P: Product>(
    sizes: (usize, usize, usize),
    count: usize,
    context: &Context<'_>,
) -> usize {
    if context.threads <= 1 || cost::<P::Right>(sizes).saturating_mul(count) < AT_ONCE {
        return 1;
    }
    let (machine, _) = calibration::current(context.isa);
    let pieces = pieces(sizes).saturating_mul(count);
    let load = load::<P>(sizes, count);
    Choice::for_call(&machine, load, context.threads, pieces).threads
}

/// The choice of a call that is not made now.
pub(super) fn prospect<P: Product>(
    sizes: (usize, usize, usize),
    count: usize,
    context: &Context<'_>,
) -> Choice {
    let (machine, _) = calibration::current(context.isa);
    let (most, pieces) = (context.threads, pieces(sizes).saturating_mul(count));
    let load = load::<P>(sizes, count);
    machine.choose(load, most, pieces, readiness(most, machine.serial(load)))
}

/// How many pieces there could be.
fn pieces((m, k, n): (usize, usize, usize)) -> usize {
    let tiles = m.saturating_mul(n).div_ceil(TILE);
    let pieces = tiles.saturating_mul((k / TERMS).clamp(1, plan::CHUNKS));
    if n > 1 && m <= plan::STREAMED { pieces.max(k.saturating_mul(n) / RIGHT) } else { pieces }
}

fn load<P: Product>((m, k, n): (usize, usize, usize), count: usize) -> Load {
    let is_dotted = k >= DOTTED || Plan::is_narrow_by_rows::<P::Out>((m, k, n));
    let is_padded = n > 1 && m > plan::STREAMED && !is_dotted;
    let padded = if is_padded { n.next_multiple_of(VECTOR / size_of::<P::Out>()) } else { n };
    let [m, k, n, padded, count] = [m, k, n, padded, count].map(|extent| extent as f64);
    let [left, right, out] = [size_of::<P::Left>(), size_of::<P::Right>(), size_of::<P::Out>()];
    let [left, right, out] = [left, right, out].map(|size| size as f64);
    Load {
        kind: P::rate(),
        multiply_adds: count * (m * (k + TILE_TERMS) * padded + BEGIN),
        read: count * (m * k * left + k * n * right),
        written: count * m * n * out,
    }
}

#[cfg(test)]
mod tests {
    use threadwise_kernels::Isa;

    use super::*;

    #[test]
    fn small_products_and_one_thread_are_answered_at_once() {
        let isa = Isa::Scalar;
        let four = Context { threads: 4, ..Context::alone(isa) };
        assert_eq!(threads::<f32>((16, 16, 16), 1, &four), 1, "a microsecond");
        assert_eq!(threads::<f32>((0, 5, 5), 1, &four), 1, "nothing to do");
        assert_eq!(
            threads::<f32>((4096, 4096, 4096), 1, &Context::alone(isa)),
            1,
            "one is allowed"
        );
        assert!(threads::<f32>((4096, 4096, 4096), 1, &four) <= 4, "no more than are allowed");
    }

    #[test]
    fn long_sums_of_a_small_result_can_be_shared() {
        assert_eq!(pieces((1, 1000, 1)), 1, "one sum");
        assert_eq!(pieces((1, 1_000_000, 1)), plan::CHUNKS, "in chunks");
        assert!(pieces((64, 64, 64)) > 1, "tiles");
    }
}
