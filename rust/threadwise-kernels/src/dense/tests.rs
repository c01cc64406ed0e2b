//! The tiles against the definition.

use ndarray::{Array2, s};

use super::*;

fn wave(shape: (usize, usize), seed: f32) -> Array2<f32> {
    let mut i = seed;
    Array2::from_shape_simple_fn(shape, || {
        i += 0.7;
        i.sin() * 3.0
    })
}

fn check<S: Weight + Into<f64>>(narrow: impl Fn(f32) -> S, m: usize, n: usize, k: usize) {
    let x = wave((m, k + 3), 0.3);
    let x = x.slice(s![.., ..k]);
    let weights = wave((n + 2, k), 1.1).mapv(narrow);
    let units = (k.div_ceil(4) + 6) as f64 * f64::from(f32::EPSILON) / 2.0;
    for isa in Isa::detected() {
        let mut room = Array2::from_elem((m, n + 2), f32::NAN);
        let y = room.slice_mut(s![.., 1..=n]);
        S::dense(isa).multiply(x, weights.view(), 1..n + 1, y);
        for (i, j) in ndarray::indices((m, n)) {
            let (row, inputs) = (weights.row(j + 1), x.row(i));
            let row = row.to_slice().unwrap();
            let (exact, size) = scalar::product(row, inputs.to_slice().unwrap());
            let (y, bound) = (f64::from(room[[i, j + 1]]), units / (1.0 - units) * size);
            let what = format!("{} on {}, {m}×{k}×{n}, ({i}, {j})", S::NAME, isa.name());
            assert!((y - exact).abs() <= bound, "{what}: {y}, not {exact}");
            let mut alone = Array2::from_elem((1, 1), f32::NAN);
            let x = x.slice(s![i..=i, ..]);
            S::dense(isa).multiply(x, weights.view(), j + 1..j + 2, alone.view_mut());
            assert_eq!(alone[[0, 0]].to_bits(), room[[i, j + 1]].to_bits(), "{what}: by itself");
        }
        let edges = room.column(0).iter().chain(room.column(n + 1)).all(|y| y.is_nan());
        assert!(edges, "{}: wrote beside", isa.name());
    }
}

fn check_each(m: usize, n: usize, k: usize) {
    check::<f32>(|x| x, m, n, k);
    check::<f16>(f16::from_f32, m, n, k);
    check::<bf16>(bf16::from_f32, m, n, k);
}

#[test]
fn tiles_stay_within_the_bound_and_do_not_depend_on_what_is_beside() {
    for k in (0..=67).chain([127, 128, 129, 1000]) {
        check_each(2, 5, k);
    }
    for m in 1..=14 {
        for n in 1..=9 {
            check_each(m, n, 35);
        }
    }
}

#[test]
fn nothing_is_asked_for() {
    check_each(0, 3, 5);
    check_each(3, 0, 5);
}
