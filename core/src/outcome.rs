//! How a migration ended. A migration that fails is an outcome, never an error.
//!
//! An outcome always says where the guest runs now, why it is there, what was put right, and what to do next.

use alloc::vec::Vec;
use core::fmt;

use serde::{Deserialize, Serialize};

use crate::port::{Failure, Fault, Side};

/// How a migration ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// The result in one word.
    pub ending: Ending,
    /// Where the guest is.
    pub guest: Whereabouts,
    /// Why it did not complete; `None` when it did.
    pub cause: Option<Cause>,
    /// The hypervisor's own account of the failure, where it gave one.
    pub failure: Option<Failure>,
    /// A side that could not be looked at, or on which a copy may be left.
    pub unsettled: Option<Side>,
    /// What was put right, in order.
    pub recovered: Vec<Recovery>,
    /// What was changed on the guest and could not be put back.
    pub not_undone: Vec<Leftover>,
    /// From the beginning to the end, in ms.
    pub total_ms: u64,
    /// How long the guest stood still, as the hypervisor measured it, where it told.
    pub downtime_ms: Option<u64>,
    /// What to do next.
    pub advice: Advice,
}

/// The result in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// The guest is on the destination.
    Completed,
    /// The guest stays on the source because an operator asked for it.
    Cancelled,
    /// The migration did not work.
    Failed,
    /// Where the guest is could not be made sure.
    InDoubt,
}

/// Where the guest is, as far as it was observed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Whereabouts {
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
    /// It is on the destination, cut off from the part of its memory that is still on the source: it runs until it needs
    /// it. Both copies are needed.
    DestinationPostcopy,
    /// It is on the destination without a part of its memory, and that part is lost.
    DestinationIncomplete,
    /// Its copy on the destination is lost. What is left on the source is older than what it did since, and must not run.
    LeftBehind,
    /// Two copies were seen running. Nothing may be resumed; an operator must choose.
    BothRunning,
    /// Both hosts answered and neither has it in memory.
    Nowhere,
    /// It could not be found out.
    Unknown,
}

impl Whereabouts {
    /// Every place.
    pub const ALL: [Self; 13] = [
        Self::Untouched,
        Self::SourceRunning,
        Self::SourcePaused,
        Self::DestinationRunning,
        Self::DestinationPaused,
        Self::SourceOff,
        Self::DestinationOff,
        Self::DestinationPostcopy,
        Self::DestinationIncomplete,
        Self::LeftBehind,
        Self::BothRunning,
        Self::Nowhere,
        Self::Unknown,
    ];
}

/// Why a migration did not complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// An operator asked for the end.
    OperatorCancelled,
    /// Pre-copy lasted longer than allowed.
    TimedOut,
    /// A rule stood against it.
    RulesRefused,
    /// The guest or a host could not be asked.
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
}

/// Something changed on the guest that could not be put back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Leftover {
    /// The downtime limit.
    DowntimeLimit,
    /// The bandwidth limit.
    BandwidthLimit,
    /// The guest's CPUs were stopped and could not be let run again.
    Paused,
    /// Disks were made on the destination and could not be removed.
    Disks,
    /// The guest's definition is left on this side, where it could be started a second time.
    Definition(Side),
}

/// A step that put things right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Recovery {
    /// The downtime limit is again what it was.
    DowntimeLimitRestored,
    /// The bandwidth limit is again what it was.
    BandwidthLimitRestored,
    /// The guest, stopped by the migration, was let run on this side.
    Resumed(Side),
    /// A copy that must not stay was ended on this side.
    Destroyed(Side),
    /// A definition that must not stay was dropped on this side.
    Undefined(Side),
    /// The disks that the migration had made on the destination were removed.
    DisksRemoved,
    /// A post-copy that had lost its connection goes on.
    PostcopyResumed,
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Advice {
    /// Nothing.
    Nothing,
    /// Mend what is named, then ask again.
    MendThenRetry,
    /// Ask again.
    Retry,
    /// The guest dirties memory faster than it can be copied: allow more bandwidth or downtime, or a quieter hour.
    AllowMore,
    /// Look at both hosts before anything else; start or remove nothing until one copy is known to be dead.
    LookAtBothHosts,
    /// Neither host has the guest in memory: it ended, or somebody took it to a third host. Find out before starting it.
    FindOut,
    /// End neither copy; let the migration go on when the hosts can reach each other.
    ResumePostcopy,
    /// The guest's memory is lost: end what is left of it, then start it anew from its disks.
    StartAnew,
}

impl Whereabouts {
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
    /// The advice that belongs to an outcome of this kind.
    #[must_use]
    pub fn on(
        guest: Whereabouts,
        unsettled: Option<Side>,
        cause: Option<Cause>,
        failure: Option<&Failure>,
    ) -> Self {
        if unsettled.is_some() && guest != Whereabouts::DestinationPostcopy {
            return Self::LookAtBothHosts;
        }
        match guest {
            Whereabouts::BothRunning | Whereabouts::Unknown => return Self::LookAtBothHosts,
            Whereabouts::Nowhere => return Self::FindOut,
            Whereabouts::DestinationPostcopy => return Self::ResumePostcopy,
            Whereabouts::DestinationIncomplete | Whereabouts::LeftBehind => return Self::StartAnew,
            Whereabouts::Untouched
            | Whereabouts::SourceRunning
            | Whereabouts::SourcePaused
            | Whereabouts::SourceOff
            | Whereabouts::DestinationRunning
            | Whereabouts::DestinationPaused
            | Whereabouts::DestinationOff => {}
        }
        match (cause, failure.map(|failure| failure.fault)) {
            (None | Some(Cause::OperatorCancelled), _) => Self::Nothing,
            (Some(Cause::TimedOut), _) => Self::AllowMore,
            (Some(Cause::ReplyLost | Cause::PostcopyLost), _)
            | (Some(Cause::CopyFailed), Some(Fault::ReplyLost | Fault::Aborted)) => Self::Retry,
            (
                Some(
                    Cause::RulesRefused
                    | Cause::FactsMissing
                    | Cause::SettingsUnreadable
                    | Cause::SettingRefused
                    | Cause::CopyFailed,
                ),
                _,
            ) => Self::MendThenRetry,
        }
    }
}

impl fmt::Display for Whereabouts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Untouched => "on the source, untouched",
            Self::SourceRunning => "running on the source",
            Self::SourcePaused => "paused on the source",
            Self::DestinationRunning => "running on the destination",
            Self::SourceOff => "off, on the source",
            Self::DestinationOff => "off, on the destination",
            Self::DestinationPostcopy => {
                "on the destination, cut off from memory that is still on the source"
            }
            Self::DestinationIncomplete => "on the destination, with a part of its memory lost",
            Self::LeftBehind => "lost: what is left on the source is older than what it did since",
            Self::DestinationPaused => "paused on the destination",
            Self::BothRunning => "running on BOTH hosts",
            Self::Nowhere => "in neither host's memory",
            Self::Unknown => "not known to be on either host",
        })
    }
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Completed => "completed",
            Self::Cancelled => "cancelled",
            Self::Failed => "failed",
            Self::InDoubt => "in doubt",
        })
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OperatorCancelled => "an operator asked for the end",
            Self::TimedOut => "pre-copy lasted longer than the timeout allows",
            Self::RulesRefused => "a rule stands against it",
            Self::FactsMissing => "the guest or a host could not be asked",
            Self::SettingsUnreadable => "the guest's settings could not be read, so nothing was changed",
            Self::SettingRefused => "a setting could not be changed",
            Self::CopyFailed => "the hypervisor gave up the copy",
            Self::ReplyLost => "the reply to the migrate call was lost",
            Self::PostcopyLost => "post-copy lost its connection, and could not be resumed",
        })
    }
}

impl fmt::Display for Leftover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DowntimeLimit => f.write_str("the downtime limit"),
            Self::BandwidthLimit => f.write_str("the bandwidth limit"),
            Self::Paused => f.write_str("the guest, which was stopped"),
            Self::Disks => f.write_str("the disks that were made on the destination"),
            Self::Definition(side) => write!(f, "the guest's definition on the {side}"),
        }
    }
}

impl fmt::Display for Advice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nothing => "nothing needs to be done",
            Self::MendThenRetry => "mend what is named above, then migrate again",
            Self::Retry => "migrate again when the hosts can reach each other",
            Self::AllowMore => {
                "the guest dirties memory faster than the link carries it: allow more bandwidth or downtime, or try at a quieter hour"
            }
            Self::LookAtBothHosts => {
                "look at the guest on both hosts first; resume, start or destroy nothing until one copy is known to be dead"
            }
            Self::ResumePostcopy => {
                "end neither copy: the guest needs both; let the migration go on when the hosts can reach each other"
            }
            Self::StartAnew => {
                "end what is left of the guest, then start it anew from its disks: a part of its memory is lost"
            }
            Self::FindOut => {
                "find out whether the guest ended or somebody took it to a third host, and start it only when no host runs it"
            }
        })
    }
}

impl fmt::Display for Recovery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DowntimeLimitRestored => f.write_str("the downtime limit was put back"),
            Self::BandwidthLimitRestored => f.write_str("the bandwidth limit was put back"),
            Self::Resumed(side) => write!(f, "the guest was resumed on the {side}"),
            Self::Destroyed(side) => write!(f, "the copy left on the {side} was removed"),
            Self::Undefined(side) => write!(f, "the definition left on the {side} was dropped"),
            Self::DisksRemoved => f.write_str("the disks made on the destination were removed"),
            Self::PostcopyResumed => f.write_str("post-copy was resumed"),
        }
    }
}
