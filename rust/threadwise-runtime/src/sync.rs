//! What `mailbox` and `phases` are built on. The model in `tests/model.rs` puts a model checker's versions in its place.

pub(crate) use std::hint::spin_loop;
pub(crate) use std::sync::Mutex;
pub(crate) use std::sync::atomic::{
    AtomicBool, AtomicPtr, AtomicU64, AtomicUsize, Ordering, fence,
};
pub(crate) use std::thread::{Thread, current, park, park_timeout};

use std::sync::atomic::compiler_fence;
use std::time::{Duration, Instant};

/// Longer by far than any CPU keeps what it wrote to itself.
const FOR_STORES: Duration = Duration::from_micros(2);

/// By a thread that is about to park, and has said so: waits until it sees what others wrote before they could
/// see that, or until `is_over`. So they need no [`fence`] between, which would cost each of them
/// a tenth of a microsecond; a model has no time, and the fence instead.
pub(crate) fn await_stores(is_over: impl Fn() -> bool) {
    let begin = Instant::now();
    while !is_over() && begin.elapsed() < FOR_STORES {
        spin_loop();
    }
}

/// By a thread that has written what one which is about to park should see, before it looks whether that is parked.
pub(crate) fn let_it_see() {
    compiler_fence(Ordering::SeqCst);
}
