//! How a migration ended. A migration that fails is an outcome, never an error.
//!
//! An outcome always says where the guest runs now, why it is there, which recovery steps were done, and what to do
//! next.

mod stored;
#[cfg(test)]
mod tests;
mod words;

use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::facts::GuestRun;
use crate::listed::listed;
use crate::port::{Failure, Fault, Side};

/// How a migration ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "stored::Written")]
pub struct Outcome {
    /// The result in one word.
    pub ending: Ending,
    /// Where the guest is.
    pub guest: GuestLocation,
    /// Why it did not complete; `None` when it did.
    pub cause: Option<Cause>,
    /// The hypervisor's own account of the failure, where it gave one.
    pub failure: Option<Failure>,
    /// A side that could not be queried, or on which a copy may be left.
    pub unsettled: Option<Side>,
    /// Recovery steps that were done, in order.
    pub recovered: Vec<Recovery>,
    /// Changes of the guest that could not be put back.
    pub not_undone: Vec<Leftover>,
    /// With [`Leftover::Disks`]: the files on the destination that may be left there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub disks_left: Vec<String>,
    /// From the beginning to the end, in ms.
    pub total_ms: u64,
    /// How long the guest was stopped in all, in ms, as this migration observed it: from when it was reported stopped,
    /// by a pause of ours or by the hypervisor, until it was seen running, on either host. `None` when it never
    /// stopped, is still stopped, was paused before the migration, a stop or a start of it was not observed, or it is
    /// in doubt where it runs.
    pub downtime_ms: Option<u64>,
    /// The downtime in ms as the hypervisor reports it, which begins with its own stop of the guest for the switchover;
    /// `None` when it does not report one.
    pub hypervisor_downtime_ms: Option<u64>,
    /// What to do next.
    pub advice: Advice,
}

/// The result in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// The guest is on the destination.
    Completed,
    /// The guest stays on the source because an operator cancelled.
    Cancelled,
    /// The migration did not work.
    Failed,
    /// The guest's location could not be determined.
    InDoubt,
    /// The guest ran before, was moved to the destination, and does not run there: it is paused, or it is gone.
    ArrivedStopped,
}

/// Where the guest is, as far as it was observed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GuestLocation {
    /// Nothing was done to it: it is on the source as it was.
    Untouched,
    /// It runs on the source.
    SourceRunning,
    /// It is on the source, paused.
    SourcePaused,
    /// It runs on the destination.
    DestinationRunning,
    /// It is on the destination, paused.
    DestinationPaused,
    /// It is off, and defined on the source.
    SourceOff,
    /// It is off, and defined on the destination.
    DestinationOff,
    /// It is on the destination, cut off from the part of its memory that is still on the source: it runs until it
    /// needs it. Both copies are needed.
    DestinationPostcopy,
    /// It is on the destination without a part of its memory, and that part is lost.
    DestinationIncomplete,
    /// Its copy on the destination is lost. What is left on the source is older than what it did since, and must not
    /// run.
    LeftBehind,
    /// Two copies were seen running. Nothing may be resumed; an operator must choose.
    BothRunning,
    /// Both hosts answered and neither has it in memory.
    Nowhere,
    /// It could not be determined.
    Unknown,
}

listed! {
    /// Every location.
    pub const ALL: GuestLocation = [
        Untouched, SourceRunning, SourcePaused, DestinationRunning, DestinationPaused, SourceOff,
        DestinationOff, DestinationPostcopy, DestinationIncomplete, LeftBehind, BothRunning, Nowhere, Unknown,
    ];
}

/// Why a migration did not complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// An operator cancelled.
    OperatorCancelled,
    /// Pre-copy lasted longer than allowed.
    TimedOut,
    /// A validation rule failed.
    RulesRefused,
    /// The guest or a host could not be queried.
    FactsMissing,
    /// The settings could not be read, so they could not have been put back.
    SettingsUnreadable,
    /// A setting could not be changed.
    SettingRefused,
    /// The copy failed.
    CopyFailed,
    /// The reply to the migrate call was lost.
    ReplyLost,
    /// A post-copy lost its connection, and could not be resumed.
    PostcopyLost,
    /// The guest stopped after it had been moved to the destination: an I/O error, a pause or a power-off there.
    GuestStopped,
    /// The driver stopped before the copy began. A migration that has not begun is never begun by a restart.
    DriverRestarted,
}

listed! {
    /// Every cause.
    pub const ALL: Cause = [
        OperatorCancelled, TimedOut, RulesRefused, FactsMissing, SettingsUnreadable, SettingRefused,
        CopyFailed, ReplyLost, PostcopyLost, GuestStopped, DriverRestarted,
    ];
}

listed! {
    /// Every ending.
    pub const ALL: Ending = [Completed, Cancelled, Failed, InDoubt, ArrivedStopped];
}

impl Ending {
    /// The causes that it may have, for counts of endings by cause.
    #[must_use]
    pub const fn causes(self) -> &'static [Option<Cause>] {
        match self {
            Self::Completed => &[None],
            Self::Cancelled => &[Some(Cause::OperatorCancelled)],
            Self::Failed => &[
                Some(Cause::TimedOut),
                Some(Cause::RulesRefused),
                Some(Cause::FactsMissing),
                Some(Cause::SettingsUnreadable),
                Some(Cause::SettingRefused),
                Some(Cause::CopyFailed),
                Some(Cause::ReplyLost),
                Some(Cause::PostcopyLost),
                Some(Cause::DriverRestarted),
            ],
            Self::InDoubt => &[Some(Cause::CopyFailed), Some(Cause::ReplyLost), Some(Cause::PostcopyLost)],
            Self::ArrivedStopped => &[Some(Cause::GuestStopped)],
        }
    }

    /// This ending, or [`ArrivedStopped`](Self::ArrivedStopped) where the guest was moved and does not run.
    ///
    /// `guest_was` is how the guest was before the migration; `has_arrived` whether the migrate call reported success.
    #[must_use]
    pub fn with_guest(self, guest: GuestLocation, guest_was: GuestRun, has_arrived: bool) -> Self {
        let is_paused = self == Self::Completed
            && guest == GuestLocation::DestinationPaused
            && guest_was == GuestRun::Running;
        let is_gone = self == Self::Failed
            && guest == GuestLocation::Nowhere
            && guest_was != GuestRun::NotRunning
            && has_arrived;
        if is_paused || is_gone { Self::ArrivedStopped } else { self }
    }
}

/// Something changed on the guest that could not be put back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Leftover {
    /// The downtime limit.
    DowntimeLimit,
    /// The bandwidth limit.
    BandwidthLimit,
    /// The guest's CPUs were stopped and could not be resumed.
    Paused,
    /// Disks were created on the destination and could not be removed.
    Disks,
    /// The guest's definition is left on this side, where it could be started a second time.
    Definition(Side),
}

/// A recovery step that was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Recovery {
    /// The downtime limit is again what it was.
    DowntimeLimitRestored,
    /// The bandwidth limit is again what it was.
    BandwidthLimitRestored,
    /// The guest, stopped by the migration, was resumed on this side.
    Resumed(Side),
    /// A copy that must not stay was destroyed on this side.
    Destroyed(Side),
    /// A definition that must not stay was removed on this side.
    Undefined(Side),
    /// The disks that the migration had created on the destination were removed.
    DisksRemoved,
    /// A post-copy that had lost its connection was resumed.
    PostcopyResumed,
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Advice {
    /// Nothing.
    Nothing,
    /// Fix the reported problems, then retry.
    MendThenRetry,
    /// Retry.
    Retry,
    /// The guest dirties memory faster than it can be copied: allow more bandwidth or downtime, or a quieter hour.
    AllowMore,
    /// Check the guest on both hosts first; start or remove nothing until one copy is known to be dead.
    LookAtBothHosts,
    /// Neither host has the guest in memory: it ended, or another operator moved it to a third host. Find out before
    /// starting it.
    FindOut,
    /// Destroy neither copy; resume the post-copy when the hosts can reach each other.
    ResumePostcopy,
    /// The guest's memory is lost: destroy what is left of it, then cold-boot it from its disks.
    StartAnew,
    /// The guest is paused and ran before: find out why, then resume it where it is.
    ResumeGuest,
}

impl GuestLocation {
    /// The side that has the guest, whole and alone; `None` where that is not so, or not known.
    #[must_use]
    pub const fn side(self) -> Option<Side> {
        match self {
            Self::Untouched | Self::SourceRunning | Self::SourcePaused | Self::SourceOff => {
                Some(Side::Source)
            }
            Self::DestinationRunning | Self::DestinationPaused | Self::DestinationOff => {
                Some(Side::Destination)
            }
            Self::DestinationPostcopy
            | Self::DestinationIncomplete
            | Self::LeftBehind
            | Self::BothRunning
            | Self::Nowhere
            | Self::Unknown => None,
        }
    }

    /// Whether the guest is lost for good, as far as the two hosts are concerned.
    #[must_use]
    pub const fn is_lost(self) -> bool {
        matches!(self, Self::DestinationIncomplete | Self::LeftBehind | Self::Nowhere)
    }
}

impl Advice {
    /// The advice that belongs to an outcome of this kind. `guest_was` is how the guest was before the migration.
    #[must_use]
    pub fn on(
        guest: GuestLocation,
        guest_was: GuestRun,
        unsettled: Option<Side>,
        cause: Option<Cause>,
        failure: Option<&Failure>,
    ) -> Self {
        if unsettled.is_some() && guest != GuestLocation::DestinationPostcopy {
            return Self::LookAtBothHosts;
        }
        match guest {
            GuestLocation::BothRunning | GuestLocation::Unknown => return Self::LookAtBothHosts,
            GuestLocation::Nowhere => return Self::FindOut,
            GuestLocation::DestinationPostcopy => return Self::ResumePostcopy,
            GuestLocation::DestinationIncomplete | GuestLocation::LeftBehind => return Self::StartAnew,
            GuestLocation::SourcePaused | GuestLocation::DestinationPaused
                if guest_was == GuestRun::Running =>
            {
                return Self::ResumeGuest;
            }
            GuestLocation::Untouched
            | GuestLocation::SourceRunning
            | GuestLocation::SourcePaused
            | GuestLocation::SourceOff
            | GuestLocation::DestinationRunning
            | GuestLocation::DestinationPaused
            | GuestLocation::DestinationOff => {}
        }
        match (cause, failure.map(|failure| failure.fault)) {
            (None | Some(Cause::OperatorCancelled), _) => Self::Nothing,
            (Some(Cause::TimedOut), _) => Self::AllowMore,
            (Some(Cause::ReplyLost | Cause::PostcopyLost | Cause::DriverRestarted), _)
            | (Some(Cause::CopyFailed), Some(Fault::ReplyLost | Fault::Aborted)) => Self::Retry,
            (
                Some(
                    Cause::RulesRefused
                    | Cause::FactsMissing
                    | Cause::SettingsUnreadable
                    | Cause::SettingRefused
                    | Cause::CopyFailed
                    | Cause::GuestStopped,
                ),
                _,
            ) => Self::MendThenRetry,
        }
    }
}
