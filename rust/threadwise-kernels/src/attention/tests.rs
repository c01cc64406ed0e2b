//! The kernel of every instruction set this CPU has, against the definition.

use super::*;

/// Keys and values of so many tokens in a page, and what they are as stored.
struct Memory<S> {
    layout: Layout,
    numbers: Vec<S>,
    scales: Vec<f32>,
    keys: Vec<Vec<f64>>,
    values: Vec<Vec<f64>>,
}

fn row(width: usize, seed: f64, size: f64) -> Vec<f32> {
    #[expect(clippy::cast_possible_truncation, reason = "the inputs are of this type")]
    (0..width).map(|d| ((d as f64 * 1.7 + seed * 13.1).sin() * size) as f32).collect()
}

impl<S: Stored + Into<f64>> Memory<S> {
    fn new(width: usize, room: usize, tokens: usize) -> Self {
        let layout = Layout::new(width, room);
        let mut numbers = vec![S::default(); layout.numbers()];
        let mut scales = vec![f32::NAN; layout.scales::<S>()];
        let (mut keys, mut values) = (Vec::new(), Vec::new());
        let mut page = PageMut { numbers: &mut numbers, scales: &mut scales };
        let wide: Vec<_> = (0..tokens)
            .map(|token| token as f64)
            .map(|seed| (row(width, seed, 1.5), row(width, seed + 0.4, 3.0)))
            .collect();
        let mut scratch = vec![S::default(); TILE * width];
        let mut first = 0;
        // Tokens come one by one, in a tile that is begun, and by the tile.
        while first < tokens {
            let end = if first < 3 { first + 1 } else { (first / TILE + 1) * TILE }.min(tokens);
            let keys: Vec<&[f32]> = wide[first..end].iter().map(|it| &it.0[..]).collect();
            let values: Vec<&[f32]> = wide[first..end].iter().map(|it| &it.1[..]).collect();
            layout.store(&mut page, first, &keys, &values, &mut scratch);
            first = end;
        }
        let scratch = &mut scratch[..width];
        for (key, value) in wide {
            for (row, all) in [(key, &mut keys), (value, &mut values)] {
                let scale = f64::from(S::store(&row, scratch));
                all.push(scratch.iter().map(|&x| x.into() * scale).collect());
            }
        }
        Self { layout, numbers, scales, keys, values }
    }

    /// The results of rows that see these ranges of the page, for each instruction set.
    fn twins(&self, queries: &[f32], seen: &[Range<usize>]) -> Vec<(&'static str, Vec<f32>)> {
        let (rows, layout) = (seen.len(), self.layout);
        let page = Page { numbers: &self.numbers, scales: &self.scales };
        let run = |isa: Isa| {
            let mut memory = vec![f32::NAN; State::len(rows, layout)];
            let mut state = State::of(&mut memory, rows, layout);
            state.clear();
            let mut scores = vec![f32::NAN; Attention::<S>::scratch(rows)];
            let kernel = S::attention(isa);
            kernel.attend(layout, page, queries, seen, state.reborrow(), &mut scores);
            let mut results = vec![f32::NAN; rows * layout.width()];
            for (r, to) in results.chunks_mut(layout.width()).enumerate() {
                state.finish(r, to);
            }
            (isa.name(), results)
        };
        Isa::detected().into_iter().map(run).collect()
    }

    fn check(&self, seen: &[Range<usize>]) {
        let width = self.layout.width();
        let queries: Vec<f32> =
            (0..seen.len()).flat_map(|r| row(width, r as f64 + 0.2, 0.5)).collect();
        for (name, results) in self.twins(&queries, seen) {
            for (r, seen) in seen.iter().enumerate() {
                let query = &queries[r * width..(r + 1) * width];
                let (exact, sigma) = scalar::attend(query, &self.keys, &self.values, seen.clone());
                // The bound of the module's contract; scales are one rounding more in key and weight. No value is
                // larger than 3.
                let terms = (width as f64 + 6.0) * sigma + 1.1 * seen.len() as f64 + 13.0;
                let bound = 2.0 * terms * (f64::from(f32::EPSILON) / 2.0) * 3.0;
                for (d, exact) in exact.into_iter().enumerate() {
                    let y = f64::from(results[r * width + d]);
                    let what = format!("{name}, {}, width {width}, row {r}, {seen:?}", S::NAME);
                    assert!((y - exact).abs() <= bound, "{what}: {y}, not {exact} ± {bound:e}");
                }
            }
        }
    }
}

/// Rows that see what is before them, in a window, all of it, and nothing.
fn check<S: Stored + Into<f64>>(width: usize, room: usize, tokens: usize) {
    let memory = Memory::<S>::new(width, room, tokens);
    for rows in [1, 2, 3, 5, 6, 7, 13] {
        let causal = |r: usize| 0..(tokens + r + 1).saturating_sub(rows).min(tokens);
        memory.check(&(0..rows).map(causal).collect::<Vec<_>>());
        let window = |r: usize| causal(r).end.saturating_sub(20)..causal(r).end;
        memory.check(&(0..rows).map(window).collect::<Vec<_>>());
        let mixed = |r: usize| if r % 3 == 1 { 0..0 } else { tokens / 3 * (r % 2)..tokens };
        memory.check(&(0..rows).map(mixed).collect::<Vec<_>>());
    }
}

#[test]
fn every_twin_stays_within_the_rounding_bound_for_any_width() {
    for width in (1..=67).chain([96, 127, 128, 129, 256]) {
        check::<f32>(width, 32, 29);
    }
    for width in [1, 15, 16, 17, 63, 64, 65, 128] {
        check::<f16>(width, 32, 29);
        check::<i8>(width, 32, 29);
    }
}

#[test]
fn every_twin_stays_within_the_rounding_bound_for_any_number_of_keys() {
    for tokens in (1..=67).chain([127, 128, 129, 191, 192, 193, 255, 256]) {
        check::<f32>(24, 256, tokens);
        check::<f16>(17, 256, tokens);
        check::<i8>(17, 256, tokens);
    }
}

#[test]
fn the_bits_of_a_row_do_not_depend_on_those_beside_it() {
    let memory = Memory::<f32>::new(40, 256, 256);
    let seen: Vec<_> = (0..13).map(|r| r * 7..100 + r * 12).collect();
    let queries: Vec<f32> = (0..13).flat_map(|r| row(40, f64::from(r), 0.5)).collect();
    let together = memory.twins(&queries, &seen);
    for r in 0..13 {
        let alone = memory.twins(&queries[r * 40..(r + 1) * 40], &seen[r..=r]);
        for ((name, alone), (_, together)) in alone.iter().zip(&together) {
            assert_eq!(alone, &together[r * 40..(r + 1) * 40], "{name}, row {r}");
        }
    }
}

#[test]
fn pages_that_are_united_are_one_and_none_seen_is_zeros() {
    let (first, second) = (Memory::<f32>::new(8, 64, 64), Memory::<f32>::new(8, 64, 32));
    let layout = first.layout;
    let query = row(8, 0.7, 2.0);
    let keys: Vec<_> = first.keys.iter().chain(&second.keys).cloned().collect();
    let values: Vec<_> = first.values.iter().chain(&second.values).cloned().collect();
    let (exact, _) = scalar::attend(&query, &keys, &values, 0..96);
    let empty = {
        let mut memory = vec![0.0; State::len(1, layout)];
        State::of(&mut memory, 1, layout).clear();
        memory
    };
    for isa in Isa::detected() {
        let part = |page: &Memory<f32>, seen: Range<usize>| {
            let mut memory = empty.clone();
            let state = State::of(&mut memory, 1, layout);
            let numbers = Page { numbers: &page.numbers, scales: &[] };
            let (seen, kernel) = (std::slice::from_ref(&seen), f32::attention(isa));
            kernel.attend(layout, numbers, &query, seen, state, &mut [0.0; BLOCK]);
            memory
        };
        let (one, two) = (part(&first, 0..64), part(&second, 0..32));
        let mut memory = empty.clone();
        let mut all = State::of(&mut memory, 1, layout);
        let mut result = [f32::NAN; 8];
        all.finish(0, &mut result);
        assert_eq!(result.map(f32::to_bits), [0; 8], "{}: nothing was seen", isa.name());
        for part in [&empty, &one, &empty, &two, &empty] {
            all.unite(part, layout);
        }
        all.finish(0, &mut result);
        for (y, exact) in result.into_iter().zip(&exact) {
            assert!((f64::from(y) - exact).abs() < 1e-4, "{}: {y}, not {exact}", isa.name());
        }
    }
}

#[test]
fn eight_bits_are_off_by_half_a_step_and_what_is_not_finite_stays_so() {
    let numbers = row(300, 0.3, 5.0);
    let mut stored = vec![0_i8; 300];
    let scale = i8::store(&numbers, &mut stored);
    for (x, stored) in numbers.iter().zip(&stored) {
        let error = (x - f32::from(*stored) * scale).abs();
        assert!(error <= scale * 0.5001, "{x} is {stored} times {scale}");
    }
    assert_eq!(i8::store(&[0.0; 3], &mut stored[..3]).to_bits(), 0, "zeros");
    assert!(i8::store(&[f32::INFINITY, 1.0], &mut stored[..2]).is_nan(), "infinity");
    assert_eq!(stored[..2], [0, 0], "times NaN");
}
