//! Documented in `threadwise.plan`.

use half::{bf16, f16};
use pyo3::prelude::*;
use threadwise::linalg::{Explanation, Narrow, Product, explain};
use threadwise::narrow::{Bfloats, Halves, Signed, UnsignedSigned};
use threadwise::work::calibration::{self, Origin};
use threadwise::work::{Choice, Machine, measure};
use threadwise::{Context, Isa, budget};

use crate::dtype::{Factor, Kind, Number};
use crate::linalg::unlike;
use crate::seam::{Operand, compute, raise, threads_argument};
use crate::work::distribution_argument;

type Object<'py> = Bound<'py, PyAny>;

/// A plan as Python takes it: kernel, threads, chunks, seconds on one thread and on the best number of
/// more, seconds that sharing costs, the reason, and whether the machine was measured.
type Found = (String, usize, usize, f64, f64, f64, String, bool);

/// What a product would do.
#[pyfunction]
#[pyo3(signature = (a, b, is_layer, threads, distribution, /))]
pub(crate) fn explain_product(
    a: &Object<'_>,
    b: &Object<'_>,
    is_layer: bool,
    threads: Option<&Object<'_>>,
    distribution: Option<&Object<'_>>,
) -> PyResult<Found> {
    let distribution = distribution_argument(distribution)?;
    let threads = match threads_argument(threads)? {
        Some(threads) => threads.get(),
        None => budget::threads().map_err(raise)?.0,
    };
    let alone = Context::alone(Isa::current().map_err(raise)?);
    let context = Context { threads, distribution, ..alone };
    let names = if is_layer { ["x", "weight"] } else { ["a", "b"] };
    let (a, b) = (Operand::factor(names[0], a)?, Operand::factor(names[1], b)?);
    match (a.kind, b.kind) {
        (Factor::Real(left), Factor::Real(right)) => match left.max(right) {
            Kind::F32 => of::<f32>(&a, &b, is_layer, &context),
            Kind::F64 => of::<f64>(&a, &b, is_layer, &context),
        },
        (Factor::Bf16, Factor::Bf16) => of::<Narrow<Bfloats, bf16>>(&a, &b, is_layer, &context),
        (Factor::F16, Factor::F16) => of::<Narrow<Halves, f16>>(&a, &b, is_layer, &context),
        (Factor::I8, Factor::I8) if !is_layer => {
            of::<Narrow<Signed, i32>>(&a, &b, is_layer, &context)
        }
        (Factor::U8, Factor::I8) if !is_layer => {
            of::<Narrow<UnsignedSigned, i32>>(&a, &b, is_layer, &context)
        }
        _ => Err(unlike(&[(names[0], &a), (names[1], &b)], "what the operation takes")),
    }
}

fn of<P>(
    a: &Operand<'_, Factor>,
    b: &Operand<'_, Factor>,
    is_layer: bool,
    context: &Context<'_>,
) -> PyResult<Found>
where
    P: Product<Left: Number, Right: Number>,
{
    let (a, b) = (a.borrow::<P::Left>()?, b.borrow::<P::Right>()?);
    let b = if is_layer { b.view().reversed_axes() } else { b.view() };
    Ok(found(explain::<P>(a.view(), b, context).map_err(raise)?))
}

fn found(Explanation { kernel, chunks, choice, origin }: Explanation) -> Found {
    let reason = choice.reason();
    let Choice { threads, serial, parallel, dispatch, .. } = choice;
    let is_measured = origin == Origin::Measured;
    (kernel, threads, chunks, serial, parallel, dispatch, reason, is_measured)
}

/// Constants of a machine by name, whether they were measured, the file in which they are kept, and what
/// went wrong when it was written.
type Constants = (Vec<(&'static str, f64)>, bool, Option<String>, Option<String>);

/// Measures the machine, unless that is switched off, and keeps the result.
#[pyfunction]
#[pyo3(signature = (threads, /))]
pub(crate) fn calibrate(py: Python<'_>, threads: Option<&Object<'_>>) -> PyResult<Constants> {
    let isa = Isa::current().map_err(raise)?;
    if calibration::is_off() {
        threads_argument(threads)?;
        return Ok((constants(calibration::current(isa).0), false, None, None));
    }
    let machine = compute(py, threads, usize::MAX, measure)?;
    let (file, problem) = match calibration::keep(isa, machine) {
        Ok(path) => (Some(path.display().to_string()), None),
        Err(error) => (None, Some(error.to_string())),
    };
    Ok((constants(machine), true, file, problem))
}

fn constants(machine: Machine) -> Vec<(&'static str, f64)> {
    let Machine {
        float32,
        float64,
        bfloat16,
        float16,
        int8,
        near,
        shared,
        memory,
        compute_gain,
        memory_gain,
        hot,
        parked,
    } = machine;
    vec![
        ("float32", float32),
        ("float64", float64),
        ("bfloat16", bfloat16),
        ("float16", float16),
        ("int8", int8),
        ("near", near),
        ("shared", shared),
        ("memory", memory),
        ("compute_gain", compute_gain),
        ("memory_gain", memory_gain),
        ("hot", hot),
        ("parked", parked),
    ]
}
