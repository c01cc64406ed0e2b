//! Rows of inputs as bytes, and their sums.
//!
//! Plain Rust, which the compiler vectorizes for the function that it is inlined into; no step depends on how.

/// The largest code of an input.
const LARGEST: f32 = 127.0;

/// A run whose numbers are all smaller, 2⁻¹⁰⁰, is taken for zeros.
const NOTHING: u32 = 27 << 23;

/// As bits of a float32: from here on numbers are infinite or none.
const INFINITE: u32 = 0x7f80_0000;

/// Added to a number of less than 2²², leaves the nearest integer, halves to even, in its last bits.
const TO_INTEGER: f32 = 12_582_912.0;

/// Inputs that are added side by side.
const PART: usize = 16;

/// Rows of inputs as the kernels read them.
#[derive(Clone, Copy, Debug)]
pub enum Inputs<'a> {
    /// As bytes, four to a word.
    Bytes {
        /// Words of a row, after one another.
        codes: &'a [u32],
        /// What each run's codes are multiples of.
        scales: &'a [f32],
        /// The sum of each run: of its codes, times the scale.
        sums: &'a [f32],
    },
    /// As they are.
    Floats {
        /// The numbers of a row, filled up to whole runs with zeros.
        numbers: &'a [f32],
        /// The sum of each run.
        sums: &'a [f32],
    },
}

/// Runs of a row as bytes: `(x, run, codes, scales, sums)`.
///
/// # Safety
///
/// The CPU has the instruction set of the function.
pub(super) type QuantizeFn = unsafe fn(&[f32], usize, &mut [u32], &mut [f32], &mut [f32]);

/// Each run's codes are the nearest multiples of max|x|/127, halves to even.
#[inline(always)]
pub(super) fn quantize(
    x: &[f32],
    run: usize,
    codes: &mut [u32],
    scales: &mut [f32],
    sums: &mut [f32],
) {
    let runs = x.chunks_exact(run).zip(codes.chunks_exact_mut(run / 4));
    for ((x, codes), (to_scale, to_sum)) in runs.zip(scales.iter_mut().zip(sums)) {
        let mut largest = [0; PART];
        for x in x.as_chunks::<PART>().0 {
            for (largest, x) in largest.iter_mut().zip(x) {
                *largest = (*largest).max(x.to_bits() & !(1 << 31));
            }
        }
        let largest = largest.into_iter().fold(0, u32::max);
        let (scale, inverse) = match largest {
            ..NOTHING => (0.0, 0.0),
            INFINITE.. => (f32::NAN, 0.0),
            bits => (f32::from_bits(bits) / LARGEST, LARGEST / f32::from_bits(bits)),
        };
        let mut sum = [0_i32; PART];
        for (x, codes) in x.as_chunks::<PART>().0.iter().zip(codes.as_chunks_mut::<4>().0) {
            let mut bytes = [0_i8; PART];
            for ((byte, sum), x) in bytes.iter_mut().zip(&mut sum).zip(x) {
                // The last byte is the code.
                #[expect(clippy::cast_possible_truncation, reason = "that is what it is for")]
                let code = ((x * inverse + TO_INTEGER).to_bits() as u8).cast_signed();
                *byte = code;
                *sum += i32::from(code);
            }
            for (word, four) in codes.iter_mut().zip(bytes.as_chunks::<4>().0) {
                *word = u32::from_le_bytes(four.map(i8::cast_unsigned));
            }
        }
        *to_scale = scale;
        *to_sum = scale * sum.into_iter().sum::<i32>() as f32;
    }
}

/// The sum of each run: its parts of sixteen, side by side, then halves.
pub(super) fn sums(x: &[f32], run: usize, sums: &mut [f32]) {
    for (x, to) in x.chunks_exact(run).zip(sums) {
        let mut all = [0.0_f32; PART];
        for part in x.as_chunks::<PART>().0 {
            all.iter_mut().zip(part).for_each(|(sum, x)| *sum += x);
        }
        let eight: [f32; 8] = std::array::from_fn(|i| all[i] + all[i + 8]);
        let four: [f32; 4] = std::array::from_fn(|i| eight[i] + eight[i + 4]);
        *to = (four[0] + four[2]) + (four[1] + four[3]);
    }
}
