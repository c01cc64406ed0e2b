//! The worker threads: rayon pools of our own, never its global one, which cannot be resized and which
//! other libraries would share.
//!
//! Threads do not survive `fork`, but memory does. The pools are therefore kept under the process id
//! that made them: a child finds another id, forgets what it inherited (to drop it would be to wait
//! for threads that are not there) and makes its own when it first needs them.

use std::process;
use std::sync::atomic::{AtomicPtr, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::placement::{self, Seat};

/// The workers of one process, in pools that were added as larger numbers were asked for.
struct Workers {
    process: u32,
    pools: Mutex<Vec<ThreadPool>>,
    seats: Arc<Mutex<Vec<Arc<Seat>>>>,
}

static WORKERS: AtomicPtr<Workers> = AtomicPtr::new(std::ptr::null_mut());

impl Workers {
    /// Those of this process.
    fn current() -> &'static Self {
        let process = process::id();
        let mut seen = WORKERS.load(Ordering::Acquire);
        loop {
            // SAFETY: null or made by `Box::into_raw` below, complete before it was published, and
            // never freed once it was.
            if let Some(workers) = unsafe { seen.as_ref() }
                && workers.process == process
            {
                return workers;
            }
            let made = Box::into_raw(Box::new(Self {
                process,
                pools: Mutex::default(),
                seats: Arc::default(),
            }));
            match WORKERS.compare_exchange(seen, made, Ordering::AcqRel, Ordering::Acquire) {
                // SAFETY: made above and now published, so it is never freed.
                Ok(_) => return unsafe { &*made },
                Err(winner) => {
                    // SAFETY: made above and not published, so this is the only pointer to it.
                    drop(unsafe { Box::from_raw(made) });
                    seen = winner;
                }
            }
        }
    }
}

/// Hands `job` to `count` workers, starting threads as needed. Where the system refuses a thread, fewer
/// workers get it: jobs must not need each other.
pub(crate) fn spawn(count: usize, job: impl Fn() + Clone + Send + 'static) {
    let workers = Workers::current();
    let mut pools = workers.pools.lock().unwrap_or_else(PoisonError::into_inner);
    let present: usize = pools.iter().map(ThreadPool::current_num_threads).sum();
    if present < count {
        let pool = ThreadPoolBuilder::new()
            .num_threads(count - present)
            .thread_name(move |i| format!("threadwise-{}", present + i))
            .start_handler({
                let seats = Arc::clone(&workers.seats);
                move |_| seats.lock().unwrap_or_else(PoisonError::into_inner).push(Seat::take())
            })
            .build();
        pools.extend(pool.ok());
    }
    placement::call(&workers.seats.lock().unwrap_or_else(PoisonError::into_inner));
    let mut missing = count;
    for pool in pools.iter() {
        for _ in 0..missing.min(pool.current_num_threads()) {
            pool.spawn(job.clone());
            missing -= 1;
        }
    }
}
