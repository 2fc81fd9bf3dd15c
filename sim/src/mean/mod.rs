//! The mean field: the same loop with every random count replaced by its expectation, in fixed point.
//!
//! It answers "about how long" fastest of all, and says nothing about the spread. Close to the edge between converging
//! and never it is one trajectory among very different ones, so it must never be used for a probability there.

use crate::lumped::{Lumped, Outcome, SyncPoint, Unsupported};
use crate::qemu::{Guest, SourceConfig};

/// One guest on one host under one configuration.
#[derive(Clone, Debug)]
pub struct Mean {
    lumped: Lumped,
}

impl Mean {
    /// Prepares as [`Lumped::new`] does.
    ///
    /// # Errors
    ///
    /// [`Unsupported`] as [`Lumped::new`].
    pub fn new(config: SourceConfig, guest: &Guest, start_ns: u64) -> Result<Self, Unsupported> {
        Ok(Self { lumped: Lumped::new(config, guest, start_ns)? })
    }

    /// The expected migration, given `patience_ms` of virtual time. Always the same for the same input.
    #[must_use]
    pub fn migrate(&self, patience_ms: u64) -> Outcome {
        self.migrate_observed(patience_ms, |_| ())
    }

    /// The same, telling each sync to `on_sync` as it happens.
    pub fn migrate_observed(&self, patience_ms: u64, on_sync: impl FnMut(SyncPoint)) -> Outcome {
        self.lumped.expect(patience_ms, on_sync)
    }
}
