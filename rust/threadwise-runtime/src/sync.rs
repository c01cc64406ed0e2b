//! What `mailbox` and `phases` are built on. The model in `tests/model.rs` puts a model checker's versions in its place.

pub(crate) use std::hint::spin_loop;
pub(crate) use std::sync::Mutex;
pub(crate) use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};
pub(crate) use std::thread::{Thread, current, park, park_timeout};
