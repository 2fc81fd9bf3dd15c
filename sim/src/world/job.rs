//! A migration as the two daemons have it: the request, its progress, and the messages under way. Only data, and how it
//! is found: what happens to it stands in `call` and `peer_loss`.

use whimbrel_core::{Command, CommandId, Failure, TransferOptions};

use super::disks::DiskSet;
use super::mirror::{DiskCopy, Mirror};
use super::{GuestId, HostId, JobId, PortId, World};
use crate::network::FlowId;
use crate::qemu::{AutoConverge, Channels, DirtyLimit, Postcopy, SourceMigration, Xbzrle};

/// How a guest is to be migrated: libvirt's flags and parameters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "libvirt's flags, each of its own")]
pub struct MigrateOptions {
    /// `VIR_MIGRATE_AUTO_CONVERGE`, with its parameters.
    pub auto_converge: Option<AutoConverge>,
    /// QEMU's `dirty-limit`; libvirt has no flag for it.
    pub dirty_limit: Option<DirtyLimit>,
    /// `VIR_MIGRATE_COMPRESSED` by `xbzrle`.
    pub xbzrle: Option<Xbzrle>,
    /// `VIR_MIGRATE_PARALLEL`.
    pub channels: Option<Channels>,
    /// `VIR_MIGRATE_POSTCOPY`: whether the switch to post-copy is allowed.
    pub postcopy: Option<Postcopy>,
    /// `VIR_MIGRATE_NON_SHARED_DISK`: whether disks are copied along.
    pub copy_disks: Option<DiskCopy>,
    /// `VIR_MIGRATE_PARAM_MIGRATE_DISKS`: the disks to copy; empty: those that the hosts do not share.
    pub named_disks: DiskSet,
    /// Disks of which the copy may overwrite what lies at their path on the destination.
    pub overwritten_disks: DiskSet,
    /// `VIR_MIGRATE_PERSIST_DEST`.
    pub persist_destination: bool,
    /// `VIR_MIGRATE_UNDEFINE_SOURCE`.
    pub undefine_source: bool,
    /// `VIR_MIGRATE_UNSAFE`: skips the check whether storage is shared.
    pub is_unsafe: bool,
    /// `VIR_MIGRATE_OFFLINE`: only the definition of a guest that is off is moved.
    pub is_offline: bool,
}

/// What a spec allows, in libvirt's flags with the hypervisor's own parameters. The definition goes with the guest: one
/// that stayed behind could be started there by mistake. Which disks are copied or overwritten, and whether storage may
/// be unsafe, no spec says: the caller, which knows, sets it in the result.
impl From<TransferOptions> for MigrateOptions {
    fn from(options: TransferOptions) -> Self {
        let channels = |count: u8| Channels { count: u64::from(count), ..Channels::default() };
        Self {
            auto_converge: options.auto_converge.then(AutoConverge::default),
            xbzrle: options.xbzrle.then(Xbzrle::default),
            channels: options.parallel_connections.map(channels),
            postcopy: options.postcopy.then(Postcopy::default),
            copy_disks: options.copy_disks.then_some(DiskCopy::Background),
            is_offline: options.offline,
            persist_destination: true,
            undefine_source: true,
            ..Self::default()
        }
    }
}

/// A word from one daemon to the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Message {
    /// To the destination: prepare.
    Prepare,
    /// To the source: prepared, or why not.
    Prepared(Result<(), Failure>),
    /// To the destination: let the guest run.
    Finish,
    /// To the source: it runs, or why not.
    Finished(Result<(), Failure>),
}

/// How far a step that the other side takes part in has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Leg {
    /// The word is on its way there.
    Asked,
    /// The other side is at it.
    AtWork,
    /// The answer is on its way back.
    Answered,
}

/// How far the migrate call has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// The destination starts its QEMU.
    Preparing(Leg),
    /// Disks are copied until both sides hold the same.
    Mirroring,
    /// Memory is copied.
    Copying,
    /// Everything is copied; the destination is to run the guest.
    Finishing(Leg),
    /// The guest runs at the destination, and its memory follows. The destination is requested to report when all has
    /// arrived.
    Postcopy(Leg),
    /// The destination runs the guest; the source ends its copy.
    Confirming,
}

/// What the source's daemon is to a migration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SourceEnd {
    /// It drives it.
    Drives,
    /// It died, and will find it when it is started again.
    Died,
    /// Its own part has ended, whatever the destination still does.
    Through,
}

/// A migration as the two daemons have it.
#[derive(Clone, Debug)]
pub(super) struct Job {
    pub(super) guest: GuestId,
    pub(super) source: HostId,
    pub(super) destination: HostId,
    pub(super) options: MigrateOptions,
    pub(super) stage: Stage,
    /// The caller that waits for the migrate call's return; none when no caller does any more.
    pub(super) caller: Option<(PortId, CommandId)>,
    pub(super) source_end: SourceEnd,
    /// Whether the destination's daemon knows the source's; one that was started again does not.
    pub(super) destination_takes_part: bool,
    /// Whether the guest's CPUs ran when it began.
    pub(super) guest_ran: bool,
    pub(super) engine: Option<SourceMigration>,
    /// The instant of the engine's next turn; scheduled turns of other instants are void.
    pub(super) turn_at: Option<u64>,
    pub(super) mirror: Option<Mirror>,
    pub(super) flow: Option<FlowId>,
    /// What the engine would send if it could.
    pub(super) demand_bytes_per_second: u64,
    /// Words that a cut link holds.
    pub(super) held: Vec<Message>,
    /// Since when the link is cut.
    pub(super) silent_since: Option<u64>,
    /// The disks that are copied.
    pub(super) copied: DiskSet,
    /// What stood behind the disks at the source.
    pub(super) backings: Vec<Option<String>>,
    /// From when on the source's QEMU monitor is blocked: see `monitor_blocked`.
    pub(super) blocked_from_ns: Option<u64>,
    /// What it has not heard.
    pub(super) deferred: Vec<(PortId, Command)>,
    /// Why the source's daemon wants the end, which QEMU has not heard.
    pub(super) end_wanted: Option<Failure>,
    /// Whether the daemons have parted in post-copy: QEMU alone brings it to its end.
    pub(super) is_unattended: bool,
    /// A call to resume a post-copy that the source's daemon works on.
    pub(super) resuming: Option<Resuming>,
}

/// A call to resume a post-copy, which fails unless something changes.
#[derive(Clone, Debug)]
pub(super) struct Resuming {
    pub(super) caller: (PortId, CommandId),
    pub(super) until_ns: u64,
    pub(super) failure: Failure,
}

impl Job {
    pub(super) fn is_driven(&self) -> bool {
        self.source_end == SourceEnd::Drives
    }
}

/// Two lookups of a migration, because there are two situations. The event queue holds names of migrations that have
/// ended meanwhile, and any step that advances an engine, shares the network again or ends a copy may end a migration,
/// this one or another: after that, use [`live_job`](World::live_job). Everything else is only done with
/// a migration that is there, and its absence is a mistake of this module's.
impl World {
    /// The migration, unless it has ended.
    pub(super) fn live_job(&self, id: JobId) -> Option<&Job> {
        self.jobs.get(id.0)
    }

    /// As [`live_job`](Self::live_job).
    pub(super) fn live_job_mut(&mut self, id: JobId) -> Option<&mut Job> {
        self.jobs.get_mut(id.0)
    }

    /// The migration, which has not ended.
    #[track_caller]
    pub(super) fn expect_job(&self, id: JobId) -> &Job {
        let Some(job) = self.jobs.get(id.0) else { has_ended(id) };
        job
    }

    /// As [`expect_job`](Self::expect_job).
    #[track_caller]
    pub(super) fn expect_job_mut(&mut self, id: JobId) -> &mut Job {
        let Some(job) = self.jobs.get_mut(id.0) else { has_ended(id) };
        job
    }
}

#[cold]
#[track_caller]
#[expect(
    clippy::panic,
    reason = "a simulation that goes on without its migration would show what no hypervisor does"
)]
fn has_ended(id: JobId) -> ! {
    panic!("the simulated world goes on with {id:?}, a migration that has ended")
}
