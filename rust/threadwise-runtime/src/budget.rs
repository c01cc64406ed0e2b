//! How many threads a call may use, and who said so.
//!
//! In order: the call's own `threads`, the innermost context of the calling thread, the process's
//! setting, then the environment (`THREADWISE_NUM_THREADS`, `RAYON_NUM_THREADS`, `OMP_NUM_THREADS`),
//! then what the system allows: the CPUs of the affinity mask, or the control group's quota if that
//! is less. The environment and the quota are read once; the mask, which programs change for their
//! worker processes, each time.

use std::cell::Cell;
use std::env;
use std::fmt;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};

use once_cell::race::OnceBox;

use crate::topology;

/// The largest number of threads that can be asked for: beyond it lies a mistake.
pub const MOST: usize = 1024;

const OWN: &str = "THREADWISE_NUM_THREADS";
const OTHERS: [&str; 2] = ["RAYON_NUM_THREADS", "OMP_NUM_THREADS"];

/// Where a number of threads came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The innermost context of this thread.
    Context,
    /// The process's setting.
    Process,
    /// An environment variable, by name.
    Environment(&'static str),
    /// The affinity mask.
    Affinity,
    /// The control group's quota, rounded up.
    Quota,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Context => f.write_str("the threads() context"),
            Self::Process => f.write_str("set_num_threads()"),
            Self::Environment(name) => f.write_str(name),
            Self::Affinity => f.write_str("the CPU affinity mask"),
            Self::Quota => f.write_str("the control group's CPU quota"),
        }
    }
}

/// `THREADWISE_NUM_THREADS` does not hold a number of threads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadVariable(String);

impl fmt::Display for BadVariable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{OWN} is '{}', expected a whole number from 1 to {MOST}, or unset", self.0)
    }
}

impl std::error::Error for BadVariable {}

/// 0 means that none is set.
static PROCESS: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static CONTEXT: Cell<Option<NonZeroUsize>> = const { Cell::new(None) };
}

/// Sets the number for the whole process, or with `None` returns to the environment and the system.
pub fn set_process(threads: Option<NonZeroUsize>) {
    PROCESS.store(threads.map_or(0, NonZeroUsize::get), Ordering::Relaxed);
}

/// Sets the number for the calling thread, or with `None` unsets it, and returns what it was: the
/// caller puts that back when its context ends.
#[must_use = "what it was must be put back"]
pub fn swap_context(threads: Option<NonZeroUsize>) -> Option<NonZeroUsize> {
    CONTEXT.replace(threads)
}

/// The number of threads that a call from the calling thread may use, and who said so.
///
/// # Errors
///
/// If the answer is up to the environment and `THREADWISE_NUM_THREADS` holds no number of threads.
pub fn threads() -> Result<(usize, Source), BadVariable> {
    if let Some(threads) = CONTEXT.get() {
        return Ok((threads.get(), Source::Context));
    }
    match PROCESS.load(Ordering::Relaxed) {
        0 => default_threads(),
        threads => Ok((threads, Source::Process)),
    }
}

/// What [`threads`] answers where neither context nor process has a setting.
///
/// # Errors
///
/// If `THREADWISE_NUM_THREADS` holds no number of threads.
pub fn default_threads() -> Result<(usize, Source), BadVariable> {
    static QUOTA: OnceBox<Option<f64>> = OnceBox::new();
    if let Some(setting) = environment().clone()? {
        return Ok(setting);
    }
    Ok(within_quota(topology::affinity(), *QUOTA.get_or_init(|| Box::new(topology::quota()))))
}

/// Whether `THREADWISE_NUM_THREADS` makes sense, for calls too small to ask what it says.
///
/// # Errors
///
/// If it does not.
pub fn check_environment() -> Result<(), BadVariable> {
    match environment() {
        Ok(_) => Ok(()),
        Err(error) => Err(error.clone()),
    }
}

fn environment() -> &'static Result<Option<(usize, Source)>, BadVariable> {
    static ENVIRONMENT: OnceBox<Result<Option<(usize, Source)>, BadVariable>> = OnceBox::new();
    ENVIRONMENT.get_or_init(|| {
        let variable = |name: &str| env::var_os(name).map(|v| v.to_string_lossy().into_owned());
        Box::new(from_environment(variable))
    })
}

/// The first variable that names a number. Ours must; the others' are other libraries' business, and
/// what we cannot read in them we pass over.
fn from_environment(
    variable: impl Fn(&str) -> Option<String>,
) -> Result<Option<(usize, Source)>, BadVariable> {
    if let Some(value) = variable(OWN).filter(|value| !value.trim().is_empty()) {
        return match value.trim().parse() {
            Ok(threads @ 1..=MOST) => Ok(Some((threads, Source::Environment(OWN)))),
            _ => Err(BadVariable(value)),
        };
    }
    Ok(OTHERS.into_iter().find_map(|name| {
        // OpenMP allows a list, "4,2": the first number is that of the outermost level.
        let value = variable(name)?;
        let first = value.split(',').next()?.trim().parse().ok()?;
        (1..=MOST).contains(&first).then_some((first, Source::Environment(name)))
    }))
}

fn within_quota(cpus: usize, quota: Option<f64>) -> (usize, Source) {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "quotas are positive, and a float becomes an integer by saturation"
    )]
    let allowed = quota.map(|quota| (quota.ceil() as usize).max(1));
    match allowed {
        Some(allowed) if allowed < cpus => (allowed, Source::Quota),
        _ => (cpus.min(MOST), Source::Affinity),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(pairs: &[(&str, &str)]) -> Result<Option<(usize, Source)>, BadVariable> {
        from_environment(|name| {
            pairs.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn our_variable_comes_first_then_rayons_then_openmps() {
        let all = [(OWN, "3"), (OTHERS[0], "4"), (OTHERS[1], "5")];
        assert_eq!(environment(&all), Ok(Some((3, Source::Environment(OWN)))), "ours");
        assert_eq!(environment(&all[1..]), Ok(Some((4, Source::Environment(OTHERS[0])))), "rayon");
        assert_eq!(environment(&all[2..]), Ok(Some((5, Source::Environment(OTHERS[1])))), "OpenMP");
        assert_eq!(environment(&[]), Ok(None), "none");
        assert_eq!(environment(&[(OWN, " "), (OTHERS[1], "2,1")]).unwrap().unwrap().0, 2, "a list");
    }

    #[test]
    fn nonsense_of_ours_is_refused_and_others_is_passed_over() {
        for value in ["0", "-1", "many", "2.5", "1025"] {
            let message = environment(&[(OWN, value)]).unwrap_err().to_string();
            assert!(message.contains(value), "names what it got: {message}");
        }
        assert_eq!(environment(&[(OTHERS[0], "0"), (OTHERS[1], "all")]), Ok(None), "passed over");
    }

    #[test]
    fn a_quota_below_the_mask_is_the_limit_and_is_rounded_up() {
        assert_eq!(within_quota(8, Some(1.5)), (2, Source::Quota), "one and a half CPUs");
        assert_eq!(within_quota(8, Some(0.2)), (1, Source::Quota), "never zero");
        assert_eq!(within_quota(2, Some(4.0)), (2, Source::Affinity), "the mask is smaller");
        assert_eq!(within_quota(2, None), (2, Source::Affinity), "no quota");
    }

    #[test]
    fn contexts_nest_and_belong_to_their_thread() {
        let outer = swap_context(NonZeroUsize::new(3));
        let inner = swap_context(NonZeroUsize::new(2));
        assert_eq!(threads(), Ok((2, Source::Context)), "the innermost counts");
        let elsewhere = std::thread::spawn(|| CONTEXT.get()).join().unwrap();
        assert_eq!(elsewhere, None, "another thread has its own");
        let _ = swap_context(inner);
        assert_eq!(threads(), Ok((3, Source::Context)), "the outer one is back");
        let _ = swap_context(outer);
    }
}
