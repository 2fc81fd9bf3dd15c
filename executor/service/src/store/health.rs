//! Whether the store accepts writes, and how many wait: for starting migrations, and for metrics.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Written by the writer alone.
#[derive(Debug, Default)]
pub(crate) struct Health {
    refuses: AtomicBool,
    pending: AtomicU64,
}

impl Health {
    /// Whether the last write succeeded, and none hangs.
    pub(crate) fn accepts(&self) -> bool {
        !self.refuses.load(Ordering::SeqCst)
    }

    /// Writes that wait.
    pub(crate) fn pending(&self) -> u64 {
        self.pending.load(Ordering::SeqCst)
    }

    /// Whether it was otherwise before.
    pub(super) fn set_accepts(&self, accepts: bool) -> bool {
        self.refuses.swap(!accepts, Ordering::SeqCst) == accepts
    }

    pub(super) fn set_pending(&self, pending: usize) {
        self.pending.store(u64::try_from(pending).unwrap_or(u64::MAX), Ordering::SeqCst);
    }
}
