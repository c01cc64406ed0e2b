//! Two panels times up to sixteen rows of inputs, in AMX's tiles.
//!
//! The codes of a run as bytes lie as a tile wants its right side: a row for each four inputs, sixteen words of four codes
//! beside one another. Rows of inputs are the rows of the left one. A tile has room for 64 inputs; shorter runs fill
//! a part of it, longer ones take two steps. The sums are exact, and go through memory to vectors, which add
//! them up as those of the other instances are: scaled, run by run, in the same chain, hence with the same bits.
//!
//! Meanwhile the tiles are at the next runs: there are two rooms for sums, which take turns.

use std::arch::asm;
use std::arch::x86_64::*;
use std::mem::MaybeUninit;

use super::layout::LANES;
use super::pairs::{PANELS, Pair, Sums};
use super::tile::{Factors, Task};
use crate::Vnni;
use crate::quant::dots::avx512::Words16;
use crate::simd::Lanes;

/// Inputs that fill a row of a tile, a byte each.
const STEP: usize = 64;

/// Bytes of a tile.
const TILE: usize = 1024;

/// Sums of a run, of one panel after the other. Two rooms have no more bytes than a page, so that stores to one do not
/// look to the CPU like what is read from the other.
#[repr(C, align(64))]
struct Room(MaybeUninit<[u8; PANELS * TILE]>);

/// The shapes of tiles, as `ldtilecfg` reads them.
#[repr(C, align(64))]
struct Configuration {
    palette: u8,
    start: u8,
    reserved: [u8; 14],
    row_bytes: [u16; 16],
    rows: [u8; 16],
}

impl Configuration {
    /// Tiles 0 to 3 for sums, 4 and 5 for rows of inputs, 6 and 7 for codes.
    #[expect(clippy::cast_possible_truncation, reason = "a tile has 16 rows of 64 bytes")]
    fn new(inputs: usize, run: usize) -> Self {
        let (all, inputs, step) = (STEP as u16, inputs as u8, run.min(STEP) as u16);
        let quads = (step / 4) as u8;
        let mut made =
            Self { palette: 1, start: 0, reserved: [0; 14], row_bytes: [0; 16], rows: [0; 16] };
        made.row_bytes[..8].copy_from_slice(&[all, all, all, all, step, step, all, all]);
        made.rows[..8]
            .copy_from_slice(&[inputs, inputs, inputs, inputs, inputs, inputs, quads, quads]);
        made
    }
}

/// A run of both panels and of some rows of inputs.
struct Run {
    steps: usize,
    /// The run in the first row of inputs, and bytes from a row to the next.
    inputs: *const u8,
    row: usize,
    codes: [*const u8; PANELS],
    /// Room for a tile of sums of each panel.
    to: *mut u8,
}

/// Sums of a run in tiles of their own, so that those of two runs need not wait for one another.
macro_rules! products {
    ($name:ident, $inputs:literal, $one:literal, $two:literal) => {
        /// # Safety
        ///
        /// The CPU has AMX, tiles are configured, and the run is readable, its room writable.
        #[inline(always)]
        unsafe fn $name(run: &Run) {
            // SAFETY: the caller's promise; a tile of sums has at most 16 rows of 64 bytes.
            unsafe {
                asm!(
                    concat!("tilezero tmm", $one),
                    concat!("tilezero tmm", $two),
                    "2:",
                    concat!("tileloadd tmm", $inputs, ", [{inputs} + {inputs_row}]"),
                    "tileloadd tmm6, [{one} + {row}]",
                    concat!("tdpbsud tmm", $one, ", tmm", $inputs, ", tmm6"),
                    "tileloadd tmm7, [{two} + {row}]",
                    concat!("tdpbsud tmm", $two, ", tmm", $inputs, ", tmm7"),
                    "add {inputs}, 64",
                    "add {one}, 1024",
                    "add {two}, 1024",
                    "dec {steps}",
                    "jnz 2b",
                    concat!("tilestored [{to} + {row}], tmm", $one),
                    concat!("tilestored [{to} + {row} + 1024], tmm", $two),
                    inputs = inout(reg) run.inputs => _,
                    inputs_row = in(reg) run.row,
                    one = inout(reg) run.codes[0] => _,
                    two = inout(reg) run.codes[1] => _,
                    row = in(reg) STEP,
                    steps = inout(reg) run.steps => _,
                    to = in(reg) run.to,
                    out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                    out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                    options(nostack),
                );
            }
        }
    };
}

products!(even, "4", "0", "1");
products!(odd, "5", "2", "3");

/// The sums of some rows of inputs with two panels.
///
/// # Safety
///
/// The CPU has AMX, which this process may use, and AVX-512 with VNNI.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
pub(super) unsafe fn pair(pair: &Pair<'_>, sums: &mut Sums) {
    pair.check();
    sums[..pair.rows].fill([0.0; PANELS * LANES]);
    let configuration = Configuration::new(pair.rows, pair.layout.run());
    // SAFETY: a palette that every CPU with AMX has, and shapes within it.
    unsafe { asm!("ldtilecfg [{}]", in(reg) &raw const configuration, options(nostack)) };
    let [mut one, mut two] = [const { Room(MaybeUninit::uninit()) }; 2];
    let (mut here, mut next) = (&mut one, &mut two);
    let runs = pair.layout.runs();
    // SAFETY: the caller's promise; tiles are configured.
    unsafe { multiply(pair, 0, here) };
    for number in 0..runs {
        if number + 1 < runs {
            // SAFETY: the caller's promise; tiles are configured.
            unsafe { multiply(pair, number + 1, next) };
        }
        // SAFETY: the sums of the run are there.
        unsafe { add(pair, number, here, sums) };
        std::mem::swap(&mut here, &mut next);
    }
    // SAFETY: tiles are configured.
    unsafe { asm!("tilerelease", options(nostack, nomem)) };
}

/// The sums of a run.
///
/// # Safety
///
/// The CPU has AMX, and tiles are configured for this pair. There is such a run.
#[inline(always)]
unsafe fn multiply(pair: &Pair<'_>, number: usize, room: &mut Room) {
    let (run, padded) = (pair.layout.run(), pair.layout.padded());
    let run = Run {
        steps: run.div_ceil(STEP),
        inputs: pair.inputs.codes.as_ptr().cast::<u8>().wrapping_add(number * run),
        row: padded,
        codes: pair.codes.map(|codes| codes.as_ptr().wrapping_add(number * run * LANES)),
        to: room.0.as_mut_ptr().cast(),
    };
    if number.is_multiple_of(2) {
        // SAFETY: `check` has seen that all runs are there.
        unsafe { even(&run) };
    } else {
        // SAFETY: likewise.
        unsafe { odd(&run) };
    }
}

/// Adds the sums of a run, scaled.
///
/// # Safety
///
/// The CPU has the instruction set, `room` the sums of this run.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
unsafe fn add(pair: &Pair<'_>, number: usize, room: &Room, sums: &mut Sums) {
    let runs = pair.layout.runs();
    let first = 2 * LANES * (number / pair.layout.runs_of_group());
    let factors = pair.factors.map(|all| {
        let (numbers, _) = all[first..][..2 * LANES].as_chunks::<LANES>();
        [load(&numbers[0]), load(&numbers[1])]
    });
    let products = room.0.as_ptr().cast::<u8>();
    let of_runs = pair.inputs.scales.chunks_exact(runs).zip(pair.inputs.sums.chunks_exact(runs));
    for ((i, sums), (scales, of_runs)) in sums[..pair.rows].iter_mut().enumerate().zip(of_runs) {
        let (scale, sum) = (_mm512_set1_ps(scales[number]), _mm512_set1_ps(of_runs[number]));
        let (sums, _) = sums.as_chunks_mut::<LANES>();
        for (p, (sums, [of_codes, zero])) in sums.iter_mut().zip(factors).enumerate() {
            let row = products.wrapping_add(p * TILE + i * STEP);
            // SAFETY: a row of sums of this run and panel, which the caller says is there.
            let dot = unsafe { _mm512_load_si512(row.cast()) };
            let dot = _mm512_mul_ps(_mm512_cvtepi32_ps(dot), scale);
            let total = _mm512_fmadd_ps(zero, sum, _mm512_fmadd_ps(dot, of_codes, load(sums)));
            // SAFETY: sixteen floats.
            unsafe { _mm512_storeu_ps(sums.as_mut_ptr(), total) };
        }
    }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn load(from: &[f32; LANES]) -> __m512 {
    // SAFETY: reads the sixteen floats `from` refers to; `loadu` asks for no alignment.
    unsafe { _mm512_loadu_ps(from.as_ptr()) }
}

/// For each group of a panel, sixteen scales, then what code 0 stands for in each row.
///
/// # Safety
///
/// The CPU has AVX-512 with VNNI.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
pub(super) unsafe fn factors(task: &Task<'_>, to: &mut [f32]) {
    // SAFETY: the caller's promise.
    let proof = unsafe { Vnni::assume() };
    for (group, to) in to.as_chunks_mut::<{ 2 * LANES }>().0.iter_mut().enumerate() {
        let Factors { scale, zero } = Factors::<Words16>::load(proof, task, group, 0);
        let (scales, zeros) = to.split_at_mut(LANES);
        // SAFETY: sixteen floats.
        unsafe { scale.store(scales.as_mut_ptr()) };
        // SAFETY: likewise.
        unsafe { zero.store(zeros.as_mut_ptr()) };
    }
}
