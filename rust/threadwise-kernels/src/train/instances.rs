//! The kernels of training for one number type on one instruction set.

use super::curve::{self, Curve};
use super::loss::{self, Loss};
use super::reduce;
use super::rules::{Adam, Momentum, Plain};
use super::step::{State, step};
use super::terms::{SIDE, Terms};
use crate::Isa;
use crate::simd::portable::Portable;
use crate::simd::slices::{load, load_first};
use crate::simd::{Arithmetic, Element, Widen};
#[cfg(target_arch = "x86_64")]
use crate::simd::{
    avx2::{F32x8, F64x4},
    avx512::{F32x16, F64x8},
};

/// Terms, the first of their elements, a rule and what is stepped.
///
/// # Safety
///
/// The CPU has the instruction set of the function, and operands were checked.
type StepFn<T, R> = unsafe fn(&Terms<'_, T, T>, usize, R, State<'_, T>);
type SquaresFn<T> = unsafe fn(&Terms<'_, T, T>, usize, usize) -> f64;
type TotalFn<T> = unsafe fn(&[T]) -> T;
type CurveFn<T> = unsafe fn(Curve, &[T], &mut [T]);
type ValuesFn<T> = unsafe fn(Loss, &mut [T], &[T], T) -> f64;
type LabelFn<T> = unsafe fn(&mut [T], usize, T) -> f64;

/// The kernels for one number type on one instruction set.
#[derive(Clone, Copy, Debug)]
pub struct Kernels<T: 'static> {
    squares: SquaresFn<T>,
    plain: StepFn<T, Plain<T>>,
    momentum: StepFn<T, Momentum<T>>,
    adam: StepFn<T, Adam<T>>,
    total: TotalFn<T>,
    apply: CurveFn<T>,
    derive: CurveFn<T>,
    values: ValuesFn<T>,
    label: LabelFn<T>,
}

impl<T: Element> Kernels<T> {
    /// Σⱼ of the squares of the sums of elements `first..first + count`.
    ///
    /// # Panics
    ///
    /// If a source ends before, or there is not one weight for each.
    #[must_use]
    pub fn squares(&self, terms: &Terms<'_, T, T>, first: usize, count: usize) -> f64 {
        terms.check(first, count);
        // SAFETY: a kernel is only made with the proof of its instruction set; the terms were checked.
        let sum = unsafe { (self.squares)(terms, first, count) };
        if sum.is_finite() {
            return sum;
        }
        // Squares may overflow where their numbers do not.
        let total = |j: usize| {
            let sources = terms.sources.iter().zip(terms.weights);
            let sum: f64 = sources.map(|(source, w)| source[j].to_f64() * w.to_f64()).sum();
            sum * terms.factor.to_f64()
        };
        (first..first + count).map(total).map(|x| x * x).sum()
    }

    /// A step of gradient descent, with the sums of elements `first` and so on as gradients.
    ///
    /// # Panics
    ///
    /// If a source ends before, there is not one weight for each, or there are not the states of the rule.
    pub fn plain(&self, terms: &Terms<'_, T, T>, first: usize, rule: Plain<T>, to: State<'_, T>) {
        terms.check(first, to.weights.len());
        to.check(0);
        // SAFETY: a kernel is only made with the proof of its instruction set; operands were checked.
        unsafe { (self.plain)(terms, first, rule, to) }
    }

    /// The same with momentum.
    ///
    /// # Panics
    ///
    /// As [`Kernels::plain`].
    pub fn momentum(
        &self,
        terms: &Terms<'_, T, T>,
        first: usize,
        rule: Momentum<T>,
        to: State<'_, T>,
    ) {
        terms.check(first, to.weights.len());
        to.check(1);
        // SAFETY: as for `plain`.
        unsafe { (self.momentum)(terms, first, rule, to) }
    }

    /// The same by Adam's rule; m comes first.
    ///
    /// # Panics
    ///
    /// As [`Kernels::plain`].
    pub fn adam(&self, terms: &Terms<'_, T, T>, first: usize, rule: Adam<T>, to: State<'_, T>) {
        terms.check(first, to.weights.len());
        to.check(2);
        // SAFETY: as for `plain`.
        unsafe { (self.adam)(terms, first, rule, to) }
    }

    /// Σⱼ xⱼ.
    #[must_use]
    pub fn total(&self, x: &[T]) -> T {
        // SAFETY: a kernel is only made with the proof of its instruction set.
        unsafe { (self.total)(x) }
    }

    /// yⱼ = f(xⱼ).
    ///
    /// # Panics
    ///
    /// If the slices differ in length.
    pub fn apply(&self, curve: Curve, x: &[T], y: &mut [T]) {
        assert_eq!(x.len(), y.len(), "one result a number");
        // SAFETY: a kernel is only made with the proof of its instruction set.
        unsafe { (self.apply)(curve, x, y) }
    }

    /// dⱼ ·= f'(xⱼ). For relu, x may also be what the function gave.
    ///
    /// # Panics
    ///
    /// If the slices differ in length.
    pub fn derive(&self, curve: Curve, x: &[T], d: &mut [T]) {
        assert_eq!(x.len(), d.len(), "one derivative a number");
        // SAFETY: a kernel is only made with the proof of its instruction set.
        unsafe { (self.derive)(curve, x, d) }
    }

    /// The loss of a row of outputs, which become its derivatives times `factor`.
    ///
    /// # Panics
    ///
    /// If there is not one target for each output, or there are no outputs.
    pub fn values(&self, loss: Loss, z: &mut [T], target: &[T], factor: T) -> f64 {
        assert!(z.len() == target.len() && !z.is_empty(), "a target for each output");
        // SAFETY: a kernel is only made with the proof of its instruction set.
        unsafe { (self.values)(loss, z, target, factor) }
    }

    /// The cross entropy of a row of outputs, of which number `right` is the right one; they become its derivatives
    /// times `factor`.
    ///
    /// # Panics
    ///
    /// If there is no such output.
    pub fn label(&self, z: &mut [T], right: usize, factor: T) -> f64 {
        assert!(right < z.len(), "output {right} of {}", z.len());
        // SAFETY: a kernel is only made with the proof of its instruction set.
        unsafe { (self.label)(z, right, factor) }
    }
}

/// Σⱼ xⱼ: lanes of some vectors side by side, then these.
#[inline(always)]
fn total_of<V: Arithmetic>(proof: V::Proof, x: &[V::Element]) -> V::Element {
    let mut sums = [V::splat(proof, V::Element::default()); SIDE];
    let blocks = x.chunks_exact(SIDE * V::COUNT);
    let rest = blocks.remainder();
    for block in blocks {
        for (sum, x) in sums.iter_mut().zip(block.chunks_exact(V::COUNT)) {
            *sum = sum.add(load::<V>(proof, x));
        }
    }
    for (sum, x) in sums.iter_mut().zip(rest.chunks(V::COUNT)) {
        *sum = sum.add(load_first::<V>(proof, x));
    }
    reduce::united(sums)
}

/// The functions of one instruction set.
macro_rules! instantiate {
    ($module:ident, $proof:ty, $assume:expr, $(#[$attribute:meta])*) => {
        mod $module {
            use super::{
                Adam, Arithmetic, Curve, Element, Kernels, Loss, Momentum, Plain, State, Terms, Widen, curve, loss,
                reduce, step, total_of,
            };

            pub(super) const fn kernels<T, V>() -> Kernels<T>
            where
                T: Element,
                V: Arithmetic<Element = T, Proof = $proof> + Widen<T>,
            {
                Kernels {
                    squares: squares::<T, V>,
                    plain: plain::<T, V>,
                    momentum: momentum::<T, V>,
                    adam: adam::<T, V>,
                    total: total::<T, V>,
                    apply: apply::<T, V>,
                    derive: derive::<T, V>,
                    values: values::<T, V>,
                    label: label::<T, V>,
                }
            }

            instantiate!(@ $proof, $assume, [$(#[$attribute])*], squares,
                (terms: &Terms<'_, T, T>, first: usize, count: usize), f64, reduce::squares::<T, V>);
            instantiate!(@ $proof, $assume, [$(#[$attribute])*], plain,
                (terms: &Terms<'_, T, T>, first: usize, rule: Plain<T>, to: State<'_, T>), (), step::<T, V, _>);
            instantiate!(@ $proof, $assume, [$(#[$attribute])*], momentum,
                (terms: &Terms<'_, T, T>, first: usize, rule: Momentum<T>, to: State<'_, T>), (), step::<T, V, _>);
            instantiate!(@ $proof, $assume, [$(#[$attribute])*], adam,
                (terms: &Terms<'_, T, T>, first: usize, rule: Adam<T>, to: State<'_, T>), (), step::<T, V, _>);
            instantiate!(@ $proof, $assume, [$(#[$attribute])*], total, (x: &[T]), T, total_of::<V>);
            instantiate!(@ $proof, $assume, [$(#[$attribute])*], apply,
                (curve: Curve, x: &[T], y: &mut [T]), (), curve::apply::<V>);
            instantiate!(@ $proof, $assume, [$(#[$attribute])*], derive,
                (curve: Curve, x: &[T], d: &mut [T]), (), curve::derive::<V>);
            instantiate!(@ $proof, $assume, [$(#[$attribute])*], values,
                (loss: Loss, z: &mut [T], target: &[T], factor: T), f64, loss::values::<V>);
            instantiate!(@ $proof, $assume, [$(#[$attribute])*], label,
                (z: &mut [T], right: usize, factor: T), f64, loss::label::<V>);
        }
    };
    (@ $proof:ty, $assume:expr, [$(#[$attribute:meta])*], $name:ident, ($($x:ident: $type:ty),*), $result:ty,
     $function:expr) => {
        /// # Safety
        ///
        /// The CPU has this instruction set, and operands were checked.
        $(#[$attribute])*
        unsafe fn $name<T, V>($($x: $type),*) -> $result
        where
            T: Element,
            V: Arithmetic<Element = T, Proof = $proof> + Widen<T>,
        {
            // SAFETY: the caller promises the instruction set.
            let proof = unsafe { $assume };
            $function(proof, $($x),*)
        }
    };
}

/// What any CPU has.
const unsafe fn nothing() {}

instantiate!(portable, (), super::nothing(),);
#[cfg(target_arch = "x86_64")]
instantiate!(avx2, crate::Avx2, crate::Avx2::assume(), #[target_feature(enable = "avx2,fma")]);
#[cfg(target_arch = "x86_64")]
instantiate!(
    avx512,
    crate::Avx512,
    crate::Avx512::assume(),
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
);

impl Kernels<f32> {
    /// Those of float32.
    pub(crate) const fn float32(isa: Isa) -> Self {
        match isa {
            Isa::Scalar => portable::kernels::<f32, Portable<f32, 4>>(),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2(_) => avx2::kernels::<f32, F32x8>(),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512(_) | Isa::Amx(_) => avx512::kernels::<f32, F32x16>(),
        }
    }
}

impl Kernels<f64> {
    /// Those of float64.
    pub(crate) const fn float64(isa: Isa) -> Self {
        match isa {
            Isa::Scalar => portable::kernels::<f64, Portable<f64, 2>>(),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2(_) => avx2::kernels::<f64, F64x4>(),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512(_) | Isa::Amx(_) => avx512::kernels::<f64, F64x8>(),
        }
    }
}
