//! What carries out a case: the recorder itself on two QEMU processes, or libvirt on two hosts.
//!
//! A driver starts the guest and passes on requests. It must never measure: that is done from outside, in one
//! way for both.

use std::path::PathBuf;

use super::RecordError;
use super::endpoint::Endpoint;

/// What is started on the source, and prepared for on the destination.
#[derive(Clone, Debug)]
pub(super) struct Machine {
    pub(super) kernel: PathBuf,
    pub(super) initrd: Option<PathBuf>,
    pub(super) append: String,
}

/// The guest on its source, before, while and after it is migrated.
pub(super) trait Driver {
    /// The source's QEMU.
    fn source(&mut self) -> &mut Endpoint;

    /// The destination's QEMU; waits for it when it is started with the migration.
    fn destination(&mut self) -> Result<&mut Endpoint, RecordError>;

    /// Requests the migration, and does not wait for it.
    fn begin(&mut self) -> Result<(), RecordError>;

    /// Fails when a migration that QEMU has not begun yet will never be.
    fn goes_on(&mut self) -> Result<(), RecordError>;

    /// Changes limits while it runs, each where one is given.
    fn limit(&mut self, bytes_per_second: Option<u64>, downtime_ms: Option<u64>) -> Result<(), RecordError>;

    /// Requests the switch to post-copy.
    fn post_copy(&mut self) -> Result<(), RecordError>;

    /// Requests the cancel of the migration.
    fn cancel(&mut self) -> Result<(), RecordError>;

    /// Waits until the one who drives is done with a migration that QEMU says is over.
    fn settle(&mut self) -> Result<(), RecordError>;

    /// The trace of the source so far.
    fn trace(&self) -> Result<String, RecordError>;

    /// The processes of ours that the migration costs, as far as they run.
    fn processes(&self) -> Vec<u32>;
}
