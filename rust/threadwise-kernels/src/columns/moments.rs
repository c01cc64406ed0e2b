//! Columns: means and squares of deviations, least and largest numbers, other scales. Rows are gone along as they lie
//! in memory; what is known of columns stays in the first-level cache.

use crate::element::Element;

/// What is known of columns of some rows.
#[derive(Clone, Debug, PartialEq)]
pub struct Moments {
    /// How many rows.
    pub rows: usize,
    /// The mean of each column.
    pub mean: Vec<f64>,
    /// Σ(x − mean)² of each.
    pub squares: Vec<f64>,
    /// Bits in which a number of the column differs from the first one that it was compared with.
    pub differing: Vec<u64>,
}

impl Moments {
    /// Of no rows with so many columns.
    #[must_use]
    pub fn new(columns: usize) -> Self {
        let zeros = || vec![0.0; columns];
        Self { rows: 0, mean: zeros(), squares: zeros(), differing: vec![0; columns] }
    }

    /// Puts what is known of other rows with the same columns to it.
    ///
    /// # Panics
    ///
    /// If there are other columns.
    pub fn add(&mut self, other: &Self) {
        assert_eq!(self.mean.len(), other.mean.len(), "columns");
        let all = self.rows + other.rows;
        if other.rows == 0 {
            return;
        }
        let share = other.rows as f64 / all as f64;
        let weight = self.rows as f64 * share;
        let known = self.mean.iter_mut().zip(&mut self.squares);
        for ((mean, squares), (its, more)) in known.zip(other.mean.iter().zip(&other.squares)) {
            let delta = its - *mean;
            *mean += delta * share;
            *squares += more + delta * delta * weight;
        }
        self.differing.iter_mut().zip(&other.differing).for_each(|(to, from)| *to |= from);
        self.rows = all;
    }

    /// The same of rows of `width` columns, of which each of these had several side by side.
    ///
    /// # Panics
    ///
    /// If `width` is zero.
    #[must_use]
    pub fn join(&self, width: usize) -> Self {
        let mut all = Self::new(width);
        let parts = self.mean.chunks_exact(width).zip(self.squares.chunks_exact(width));
        for ((mean, squares), differing) in parts.zip(self.differing.chunks_exact(width)) {
            let (mean, squares, differing) = (mean.to_vec(), squares.to_vec(), differing.to_vec());
            all.add(&Self { rows: self.rows, mean, squares, differing });
        }
        all
    }
}

/// The least and the largest number of each column; NaN, if there is one.
#[derive(Clone, Debug, PartialEq)]
pub struct Extremes<T> {
    /// The least numbers.
    pub least: Vec<T>,
    /// The largest.
    pub most: Vec<T>,
}

impl<T: Element> Extremes<T> {
    /// Of one row.
    #[must_use]
    pub fn new(row: &[T]) -> Self {
        Self { least: row.to_vec(), most: row.to_vec() }
    }

    /// Puts those of other rows to it.
    ///
    /// # Panics
    ///
    /// If there are other columns.
    pub fn add(&mut self, other: &Self) {
        assert_eq!(self.least.len(), other.least.len(), "columns");
        self.least.iter_mut().zip(&other.least).for_each(|(to, &x)| *to = lesser(x, *to));
        self.most.iter_mut().zip(&other.most).for_each(|(to, &x)| *to = larger(x, *to));
    }

    /// The same of rows of `width` columns, of which each of these had several side by side.
    ///
    /// # Panics
    ///
    /// If `width` is zero.
    #[must_use]
    pub fn join(&self, width: usize) -> Self {
        let mut parts = self.least.chunks_exact(width).zip(self.most.chunks_exact(width));
        let part =
            |(least, most): (&[T], &[T])| Self { least: least.to_vec(), most: most.to_vec() };
        let mut all = parts.next().map_or_else(|| Self::new(&[]), part);
        parts.for_each(|it| all.add(&part(it)));
        all
    }
}

/// The lesser of two numbers, or NaN.
#[inline(always)]
pub(super) fn lesser<T: Element>(x: T, than: T) -> T {
    if x < than || x.to_f64().is_nan() { x } else { than }
}

/// The larger of two numbers, or NaN.
#[inline(always)]
pub(super) fn larger<T: Element>(x: T, than: T) -> T {
    if x > than || x.to_f64().is_nan() { x } else { than }
}

/// The moments of rows as long as `first`, whose numbers they are compared with.
#[inline(always)]
pub(super) fn moments<T: Element>(rows: &[T], first: &[T], found: &mut Moments) {
    let width = first.len();
    let (mean, squares, differing) =
        (&mut found.mean[..width], &mut found.squares[..width], &mut found.differing[..width]);
    mean.fill(0.0);
    squares.fill(0.0);
    differing.fill(0);
    for row in rows.chunks_exact(width) {
        for (sum, x) in mean.iter_mut().zip(row) {
            *sum += x.to_f64();
        }
    }
    found.rows = rows.len() / width;
    let count = found.rows as f64;
    for sum in &mut *mean {
        *sum /= count;
    }
    for row in rows.chunks_exact(width) {
        let known = squares.iter_mut().zip(&mut *differing).zip(mean.iter().zip(first));
        for (((squares, differing), (mean, first)), x) in known.zip(row) {
            let x = x.to_f64();
            *squares += (x - mean) * (x - mean);
            *differing |= x.to_bits() ^ first.to_f64().to_bits();
        }
    }
}

/// Puts the least and the largest numbers of rows to those that are known.
#[inline(always)]
pub(super) fn extremes<T: Element>(rows: &[T], found: &mut Extremes<T>) {
    let width = found.least.len();
    let (least, most) = (&mut found.least[..width], &mut found.most[..width]);
    for row in rows.chunks_exact(width) {
        for ((least, most), &x) in least.iter_mut().zip(&mut *most).zip(row) {
            *least = lesser(x, *least);
            *most = larger(x, *most);
        }
    }
}

/// (x − shift)/scale for each column of rows, in double precision.
#[inline(always)]
pub(super) fn scaled<T: Element>(rows: &[T], shift: &[f64], scale: &[f64], out: &mut [T]) {
    let width = shift.len();
    for (row, out) in rows.chunks_exact(width).zip(out.chunks_exact_mut(width)) {
        for ((x, out), (shift, scale)) in row.iter().zip(out).zip(shift.iter().zip(scale)) {
            *out = T::from_f64((x.to_f64() - shift) / scale);
        }
    }
}
