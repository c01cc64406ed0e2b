//! The largest of some numbers.

use std::cmp::Ordering;

/// The position of the largest number: of the first one, where several are as large. NaN is larger than any
/// number, so that it shows. `None` of nothing.
#[must_use]
pub fn argmax(x: &[f32]) -> Option<usize> {
    (0..x.len()).min_by(|&i, &j| order(x, i, j))
}

/// The positions of the `count` largest numbers, or of all if there are fewer, the largest first; where several
/// are as large, the first ones.
#[must_use]
pub fn top_k(x: &[f32], count: usize) -> Vec<usize> {
    let mut positions: Vec<usize> = (0..x.len()).collect();
    let by_size = |&i: &usize, &j: &usize| order(x, i, j);
    if count == 0 {
        return Vec::new();
    }
    if count < positions.len() {
        positions.select_nth_unstable_by(count - 1, by_size);
        positions.truncate(count);
    }
    positions.sort_unstable_by(by_size);
    positions
}

/// Whether `x[i]` comes before `x[j]`: the larger one first, then the first one.
fn order(x: &[f32], i: usize, j: usize) -> Ordering {
    let larger = match (x[i].is_nan(), x[j].is_nan()) {
        (false, false) => x[j].partial_cmp(&x[i]).unwrap_or(Ordering::Equal),
        (i_is_nan, j_is_nan) => j_is_nan.cmp(&i_is_nan),
    };
    larger.then(i.cmp(&j))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_come_first_and_the_first_of_equals() {
        let x = [1.0, 5.0, -0.0, 5.0, f32::NEG_INFINITY, 0.0, 7.0];
        assert_eq!(argmax(&x), Some(6));
        assert_eq!(top_k(&x, 4), [6, 1, 3, 0]);
        assert_eq!(top_k(&x, 9), [6, 1, 3, 0, 2, 5, 4], "all, in order; zeros are equal");
        assert!(top_k(&x, 0).is_empty());
        assert_eq!((argmax(&[]), top_k(&[], 3)), (None, vec![]), "of nothing");
    }

    #[test]
    fn nan_shows() {
        let x = [1.0, f32::NAN, f32::INFINITY, f32::NAN];
        assert_eq!((argmax(&x), top_k(&x, 3)), (Some(1), vec![1, 3, 2]));
    }
}
