//! Where subscribers wait for their events: by number.
//!
//! C is given a number instead of a pointer. Some drivers of libvirt accept a callback and forget it, freeing
//! function included, and others call once more while it is being taken back: a number can neither leak nor
//! dangle.

use crate::event::DomainEvent;
use std::collections::BTreeMap;
use std::ffi::c_void;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A subscriber's closure. Callbacks may come from any thread.
pub(super) type Sink = Arc<dyn Fn(DomainEvent) + Send + Sync>;

/// A place in the table, given up when dropped.
pub(super) struct Place(usize);

#[derive(Default)]
struct Table {
    last: usize,
    sinks: BTreeMap<usize, Sink>,
}

static TABLE: Mutex<Table> = Mutex::new(Table { last: 0, sinks: BTreeMap::new() });

/// No closure runs or is dropped under this lock, so a poisoned one is still whole.
fn table() -> MutexGuard<'static, Table> {
    TABLE.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Place {
    /// Keeps the closure until the place is dropped.
    pub(super) fn new(sink: Sink) -> Self {
        let mut table = table();
        table.last += 1;
        let number = table.last;
        table.sinks.insert(number, sink);
        Self(number)
    }

    /// The number as C passes it around. It points to nothing and is never followed.
    pub(super) fn opaque(&self) -> *mut c_void {
        ptr::without_provenance_mut(self.0)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // The closure itself is dropped after the lock has been released.
        let sink = table().sinks.remove(&self.0);
        drop(sink);
    }
}

/// The closure of that number, unless the subscription has ended meanwhile.
pub(super) fn find(opaque: *mut c_void) -> Option<Sink> {
    table().sinks.get(&opaque.addr()).cloned()
}

/// Runs foreign Rust code so that nothing unwinds into C. A closure that panics loses its event.
pub(super) fn contain(work: impl FnOnce()) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(work)) {
        // Dropping a payload may panic as well. Leaking the second one is the lesser harm.
        if let Err(payload) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
            mem::forget(payload);
        }
    }
}
