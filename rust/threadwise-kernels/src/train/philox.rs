//! Random numbers that are functions of a key and a counter: `Philox4x64-10`, J. Salmon, M. Moraes, R. Dror,
//! D. Shaw, *Parallel Random Numbers: As Easy as 1, 2, 3*, SC 2011. It is `numpy.random.Philox`, whose counter is
//! one more than the one given to it.

const MULTIPLIERS: [u64; 2] = [0xd2e7_470e_e14c_6c93, 0xca5a_8263_9512_1157];
/// The golden ratio and √3 − 1, in 64 bits.
const WEYL: [u64; 2] = [0x9e37_79b9_7f4a_7c15, 0xbb67_ae85_84ca_a73b];
const ROUNDS: usize = 10;

/// Four words for a counter.
#[inline(always)]
#[must_use]
pub fn philox(mut key: [u64; 2], mut counter: [u64; 4]) -> [u64; 4] {
    for _ in 0..ROUNDS {
        let (high_0, low_0) = product(MULTIPLIERS[0], counter[0]);
        let (high_1, low_1) = product(MULTIPLIERS[1], counter[2]);
        counter = [high_1 ^ counter[1] ^ key[0], low_1, high_0 ^ counter[3] ^ key[1], low_0];
        key = [key[0].wrapping_add(WEYL[0]), key[1].wrapping_add(WEYL[1])];
    }
    counter
}

/// The upper and the lower half of a product.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "the two halves")]
fn product(x: u64, y: u64) -> (u64, u64) {
    let product = u128::from(x) * u128::from(y);
    ((product >> 64) as u64, product as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vectors that come with Random123 (`kat_vectors`).
    #[test]
    fn it_is_the_published_function() {
        let all = u64::MAX;
        let known = [
            (
                [0; 2],
                [0; 4],
                [
                    0x1655_4d9e_ca36_314c,
                    0xdb20_fe9d_672d_0fdc,
                    0xd7e7_72ce_e186_176b,
                    0x7e68_b68a_ec7b_a23b,
                ],
            ),
            (
                [all; 2],
                [all; 4],
                [
                    0x87b0_92c3_013f_e90b,
                    0x438c_3c67_be8d_0224,
                    0x9cc7_d7c6_9cd7_77b6,
                    0xa09c_aebf_594f_0ba0,
                ],
            ),
        ];
        for (key, counter, expected) in known {
            assert_eq!(philox(key, counter), expected, "key {key:?}");
        }
    }
}
