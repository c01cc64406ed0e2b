//! What this machine does in a second, and what that makes of a piece of work: the model by which
//! operations decide whether threads are worth it.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use threadwise_kernels::Isa;
use threadwise_runtime::{Readiness, readiness, topology, worth_waking};

/// The number types whose products have rates of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// 32-bit floats.
    Float32,
    /// 64-bit floats.
    Float64,
    /// 16-bit floats of 8 bits of exponent.
    Bfloat16,
    /// 16-bit floats of 5 bits of exponent.
    Float16,
    /// Eight-bit integers.
    Int8,
}

/// Constants of a machine, for one thread. Rates are of multiply-adds a second, bandwidths of bytes a
/// second, times are seconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    /// Rate of products of `float32`.
    pub float32: f64,
    /// Rate of products of `float64`.
    pub float64: f64,
    /// Rate of products of `bfloat16`.
    pub bfloat16: f64,
    /// Rate of products of `float16`.
    pub float16: f64,
    /// Rate of products of `int8`.
    pub int8: f64,
    /// Bytes that a core's own caches hold.
    pub near_bytes: f64,
    /// Bytes that the cache which cores share holds for one call.
    pub shared_bytes: f64,
    /// Bandwidth from a thread's own caches.
    pub near: f64,
    /// Bandwidth from the cache that threads share.
    pub shared: f64,
    /// Bandwidth from memory.
    pub memory: f64,
    /// How much a second thread adds to the first where arithmetic is the limit: 1 for as much again.
    pub compute_gain: f64,
    /// The same where memory is the limit.
    pub memory_gain: f64,
    /// What it costs to share work with a worker that is awake.
    pub hot: f64,
    /// What it costs to share it with one that has to be woken: half of the time until it comes, in which the
    /// caller works alone.
    pub parked: f64,
}

/// What writing fresh memory costs beyond writing: the system clears each page when it is first touched.
const FRESH: f64 = 6e-11;
/// Bytes from which on a result is fresh memory as a rule: the C library keeps smaller blocks for the next
/// call.
const IS_FRESH: f64 = 32e6;

/// What a call takes besides its work.
const CALL: f64 = 0.3e-6;

/// The least part of its time that a call must gain by threads: less is within the error of the model.
const LEAST_GAIN: f64 = 0.1;

impl Machine {
    /// What is assumed where nothing was measured: rather too slow to share work than too fast.
    #[must_use]
    pub fn assumed(isa: Isa) -> Self {
        let float32 = match isa.name() {
            "scalar" => 4e9,
            "avx2" => 25e9,
            _ => 50e9,
        };
        Self {
            float32,
            float64: float32 / 2.0,
            bfloat16: float32,
            float16: float32,
            int8: 2.0 * float32,
            near_bytes: topology::cache(2).map_or(1e6, |bytes| bytes as f64),
            // Other programs use it too, and virtual machines see all of it.
            shared_bytes: topology::cache(3).map_or(16e6, |bytes| (bytes as f64 / 2.0).min(32e6)),
            near: 60e9,
            shared: 25e9,
            memory: 12e9,
            compute_gain: 0.9,
            memory_gain: 0.5,
            hot: 1.5e-6,
            parked: 40e-6,
        }
    }

    /// Whether all constants are numbers that a machine can have.
    #[must_use]
    pub fn is_plausible(&self) -> bool {
        let rates = [self.float32, self.float64, self.bfloat16, self.float16, self.int8];
        let bandwidths = [self.near, self.shared, self.memory];
        let is_rate = |rate: &f64| (1e8..1e14).contains(rate);
        let is_gain = |gain: f64| (0.0..=1.2).contains(&gain);
        let is_time = |time: f64| (1e-8..1e-1).contains(&time);
        let is_size = |bytes: f64| (1e4..1e11).contains(&bytes);
        rates.iter().chain(&bandwidths).all(is_rate)
            && is_size(self.near_bytes)
            && is_size(self.shared_bytes)
            && is_gain(self.compute_gain)
            && is_gain(self.memory_gain)
            && is_time(self.hot)
            && is_time(self.parked)
    }

    /// Multiply-adds a second.
    #[must_use]
    pub fn rate(&self, kind: Kind) -> f64 {
        match kind {
            Kind::Float32 => self.float32,
            Kind::Float64 => self.float64,
            Kind::Bfloat16 => self.bfloat16,
            Kind::Float16 => self.float16,
            Kind::Int8 => self.int8,
        }
    }

    fn bandwidth(&self, bytes: f64) -> f64 {
        if bytes <= self.near_bytes {
            self.near
        } else if bytes <= self.shared_bytes {
            self.shared
        } else {
            self.memory
        }
    }

    /// Seconds that `load` takes on one thread, and how much a second one adds.
    fn alone(&self, load: Load) -> (f64, f64) {
        let compute = load.multiply_adds / self.rate(load.kind);
        let fresh = if load.written > IS_FRESH { load.written * FRESH } else { 0.0 };
        let bytes = load.read + load.written;
        let moved = bytes / self.bandwidth(bytes) + fresh;
        let gain = if compute >= moved || bytes <= self.near_bytes {
            self.compute_gain
        } else if bytes <= self.shared_bytes {
            f64::midpoint(self.compute_gain, self.memory_gain)
        } else {
            self.memory_gain
        };
        (CALL + compute.max(moved), gain)
    }

    /// Seconds that `load` takes on so many threads if the part of each stays in its own caches, which do not
    /// hold all of it.
    fn nearby(&self, load: Load, threads: usize) -> Option<f64> {
        let (bytes, threads) = (load.read + load.written, threads as f64);
        let compute =
            load.multiply_adds / self.rate(load.kind) / (1.0 + (threads - 1.0) * self.compute_gain);
        let part = bytes / threads;
        let fits = bytes > self.near_bytes && part <= self.near_bytes;
        fits.then(|| CALL + compute.max(part / self.near))
    }

    /// How long `load` takes on one thread.
    #[must_use]
    pub fn serial(&self, load: Load) -> Duration {
        Duration::from_secs_f64(self.alone(load).0.clamp(0.0, 1e6))
    }

    /// How `load`, in at most `pieces` pieces, is best shared among at most `most` threads, of which so
    /// many are ready.
    #[must_use]
    pub fn choose(&self, load: Load, most: usize, pieces: usize, ready: Readiness) -> Choice {
        let (serial, gain) = self.alone(load);
        let at = |threads: usize, dispatch: f64| {
            let others = threads as f64 - 1.0;
            // The last pieces leave some threads without work.
            let rounds = pieces.div_ceil(threads) as f64 * threads as f64 / pieces.max(1) as f64;
            let shared = serial * rounds / (1.0 + others * gain);
            dispatch * others.sqrt()
                + self.nearby(load, threads).map_or(shared, |near| shared.min(near * rounds))
        };
        let most = most.min(pieces).max(1);
        let best = |available: usize, dispatch: f64| {
            (2..=most.min(available + 1))
                .map(|threads| (threads, at(threads, dispatch)))
                .min_by(|(_, one), (_, other)| one.total_cmp(other))
        };
        let pays = |time: f64, dispatch: f64| serial - time > (LEAST_GAIN * serial).max(dispatch);
        let awake = best(ready.ready, self.hot).map(|(t, time)| (t, time, self.hot));
        let woken = best(ready.ready + ready.parked, self.parked);
        let woken = woken.map(|(t, time)| (t, time, self.parked));
        let candidates = [awake, woken].into_iter().flatten();
        let chosen = candidates
            .filter(|&(_, time, dispatch)| pays(time, dispatch))
            .min_by(|one, other| one.1.total_cmp(&other.1));
        // What would be, if those who are parked were awake.
        let hot = best(ready.ready + ready.parked, self.hot);
        let (parallel, dispatch) = chosen
            .map(|(_, time, dispatch)| (time, dispatch))
            .or(awake.or(woken).map(|(_, time, dispatch)| (time, dispatch)))
            .unwrap_or((serial, self.parked));
        let threads = chosen.map_or(1, |(threads, ..)| threads);
        let hot = hot.filter(|&(_, time)| pays(time, self.hot));
        Choice { threads, most, serial, parallel, dispatch, ready, hot }
    }
}

/// What an operation does.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Load {
    /// The type of its operands.
    pub kind: Kind,
    /// Multiply-adds, those of padding included.
    pub multiply_adds: f64,
    /// Bytes read.
    pub read: f64,
    /// Bytes written.
    pub written: f64,
}

/// A decision about threads, and what it rests on. Times are seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Choice {
    /// Threads that will take part.
    pub threads: usize,
    /// Threads that could.
    pub most: usize,
    /// What one thread takes, as predicted.
    pub serial: f64,
    /// What the best number of more threads takes, as predicted; the same as `serial` if there are none.
    pub parallel: f64,
    /// What it costs to share the work.
    pub dispatch: f64,
    /// Who could help.
    pub ready: Readiness,
    /// The number of threads, and their time, that would pay if all were awake.
    hot: Option<(usize, f64)>,
}

impl Choice {
    /// The decision for a call that is about to be made. Where workers are parked, and a single call
    /// is not worth waking them, calls in quick succession are.
    #[must_use]
    pub fn for_call(machine: &Machine, load: Load, most: usize, pieces: usize) -> Self {
        if most <= 1 || pieces <= 1 {
            return machine.choose(load, 1, 1, Readiness { ready: 0, parked: 0 });
        }
        let ready = readiness(most, machine.serial(load));
        let choice = machine.choose(load, most, pieces, ready);
        if choice.threads == 1
            && let Some((threads, time)) = choice.hot
        {
            let [alone, gain, price] = [choice.serial, choice.serial - time, machine.parked]
                .map(|seconds| Duration::from_secs_f64(seconds.clamp(0.0, 1.0)));
            if worth_waking(alone, gain, price) {
                return Self { threads, parallel: time + machine.parked, ..choice };
            }
        }
        choice
    }

    /// The same for `count` loads that are computed one after the other.
    #[must_use]
    pub(crate) fn repeated(self, count: usize) -> Self {
        let [serial, parallel, dispatch] =
            [self.serial, self.parallel, self.dispatch].map(|seconds| seconds * count as f64);
        Self { serial, parallel, dispatch, ..self }
    }

    /// Why, in a sentence.
    #[must_use]
    pub fn reason(&self) -> String {
        let [serial, parallel, dispatch] =
            [self.serial, self.parallel, self.dispatch].map(|seconds| seconds * 1e6);
        let Readiness { ready, parked } = self.ready;
        let workers = if ready > 0 { "workers are awake" } else { "workers have to be woken" };
        if self.threads > 1 {
            return format!(
                "{} threads: {serial:.1} us of work on one thread become {parallel:.1} us, of which sharing \
                 it out costs {dispatch:.1} us ({workers})",
                self.threads
            );
        }
        if self.most <= 1 {
            return format!(
                "1 thread: {serial:.1} us of work, and no more threads are allowed or there is one piece of \
                 work only"
            );
        }
        if ready + parked == 0 {
            return format!(
                "1 thread: {serial:.1} us of work, and the workers are busy with another call or did not \
                 come to the last ones"
            );
        }
        let alone = format!(
            "1 thread: {serial:.1} us of work; more threads would take {parallel:.1} us, {dispatch:.1} of them to \
             share it out ({workers})"
        );
        match self.hot {
            Some((threads, time)) if ready == 0 => format!(
                "{alone}; calls in quick succession wake the workers, and take {:.1} us on {threads} threads",
                time * 1e6
            ),
            _ => alone,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AWAKE: Readiness = Readiness { ready: 7, parked: 0 };
    const ASLEEP: Readiness = Readiness { ready: 0, parked: 7 };
    const NOBODY: Readiness = Readiness { ready: 0, parked: 0 };

    fn machine() -> Machine {
        Machine::assumed(Isa::Scalar)
    }

    fn load(multiply_adds: f64) -> Load {
        Load { kind: Kind::Float32, multiply_adds, read: 1e3, written: 1e3 }
    }

    #[test]
    fn threads_are_used_where_they_pay_and_not_before() {
        let machine = machine();
        let threads = |work, ready| machine.choose(load(work), 8, 100, ready).threads;
        assert_eq!(threads(1e3, AWAKE), 1, "a quarter of a microsecond");
        assert_eq!(threads(1e5, ASLEEP), 1, "25 us are not worth a wake-up");
        assert!(threads(1e5, AWAKE) > 1, "but worth sharing with those who are awake");
        assert!(threads(1e8, ASLEEP) > 1, "25 ms are worth a wake-up");
        assert_eq!(threads(1e8, NOBODY), 1, "there is nobody");
        assert_eq!(machine.choose(load(1e8), 8, 1, AWAKE).threads, 1, "one piece cannot be shared");
    }

    #[test]
    fn more_work_never_gets_fewer_threads_and_no_more_than_allowed() {
        let machine = machine();
        for ready in [AWAKE, ASLEEP, Readiness { ready: 2, parked: 3 }] {
            let chosen: Vec<usize> = (0..30)
                .map(|i| machine.choose(load(f64::from(1 << i)), 6, 1000, ready).threads)
                .collect();
            assert!(chosen.is_sorted(), "{chosen:?} with {ready:?}");
            assert!(chosen.iter().all(|&threads| threads <= 6), "{chosen:?}");
        }
    }

    #[test]
    fn a_call_is_predicted_to_gain_what_the_rule_demands() {
        let machine = machine();
        for exponent in 0..30 {
            let choice = machine.choose(load(f64::from(1 << exponent)), 4, 64, AWAKE);
            if choice.threads > 1 {
                assert!(choice.parallel < 0.9 * choice.serial, "{choice:?}");
            }
        }
    }

    #[test]
    fn the_reason_says_what_was_compared() {
        let machine = machine();
        let reason = |work, ready| machine.choose(load(work), 8, 100, ready).reason();
        assert!(reason(1e8, ASLEEP).starts_with("8 threads: 25000.3 us of work"), "many");
        let asleep = "40.0 of them to share it out (workers have to be woken)";
        assert!(reason(1e4, ASLEEP).ends_with(asleep), "little: {}", reason(1e4, ASLEEP));
        let later = "; calls in quick succession wake the workers, and take ";
        assert!(reason(1e5, ASLEEP).contains(later), "in a loop: {}", reason(1e5, ASLEEP));
        assert!(reason(1e8, NOBODY).contains("did not come"), "nobody");
        assert!(machine.choose(load(1e8), 1, 1, AWAKE).reason().contains("no more threads"));
    }

    #[test]
    fn what_no_machine_can_have_is_not_plausible() {
        assert!(machine().is_plausible(), "what is assumed");
        for broken in [
            Machine { float32: 0.0, ..machine() },
            Machine { memory: f64::NAN, ..machine() },
            Machine { hot: -1.0, ..machine() },
            Machine { compute_gain: 7.0, ..machine() },
            Machine { int8: f64::INFINITY, ..machine() },
        ] {
            assert!(!broken.is_plausible(), "{broken:?}");
        }
    }
}
