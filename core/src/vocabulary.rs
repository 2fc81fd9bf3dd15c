//! The types that a spec, control and the events have in common. This file uses none of theirs, so they need
//! not use each other's.

use core::fmt;

use serde::{Deserialize, Serialize};

use crate::listed::listed;

/// The part of a spec that safety depends on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ControlOptions {
    /// Whether the switch to post-copy is allowed.
    pub postcopy: bool,
    /// Whether only the definition of a guest that is off is moved.
    pub offline: bool,
    /// What happens when pre-copy has lasted too long.
    pub at_timeout: AtTimeout,
}

/// What happens when pre-copy has lasted too long.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AtTimeout {
    /// The migration is cancelled; the guest stays.
    #[default]
    Cancel,
    /// The guest is stopped until it has arrived.
    Pause,
    /// The guest is moved first, and its memory after it.
    Postcopy,
}

/// The phases by name, in the order in which a migration that works goes through them; then the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PhaseName {
    /// Facts are collected and judged. Nothing is changed.
    Validating,
    /// Settings are changed, each with its undo on record.
    Preparing,
    /// Memory is copied while the guest runs on the source.
    Precopy,
    /// The guest runs on the destination, and its memory follows.
    Postcopy,
    /// The guest is stopped while the rest is copied and the destination takes over.
    SwitchingOver,
    /// The call reports that the guest is on the destination; both hosts are queried.
    Completing,
    /// The guest stays on the source; changes are put back.
    RollingBack,
    /// The result is unknown: both hosts are queried before anything is resumed or destroyed.
    Resolving,
    /// A post-copy lost its connection: it is being resumed.
    Recovering,
    /// It is over.
    Done,
}

listed! {
    /// Every phase.
    pub const ALL: PhaseName = [
        Validating, Preparing, Precopy, Postcopy, SwitchingOver, Completing, RollingBack, Resolving,
        Recovering, Done,
    ];
}

/// What an operator may change in a running migration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AdjustmentKind {
    /// Change the downtime limit.
    DowntimeLimit,
    /// Change the bandwidth limit.
    BandwidthLimit,
    /// Stop the guest until it has arrived.
    Pause,
    /// Move the guest first, and its memory after it.
    Postcopy,
}

listed! {
    /// Every kind.
    pub const ALL: AdjustmentKind = [DowntimeLimit, BandwidthLimit, Pause, Postcopy];
}

/// The result of an adjustment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AdjustmentResult {
    /// It is done; for post-copy: the guest runs on the destination.
    Done,
    /// The hypervisor refused it.
    Refused,
    /// It may or may not be done.
    NotKnown,
    /// The migration was not begun with it allowed, or what it would change could not be put back.
    NotAllowed,
    /// The value is out of the hypervisor's bounds.
    OutOfBounds,
    /// Another one is in progress, or the migration is being ended.
    Busy,
    /// The copy has not begun.
    TooEarly,
    /// The copy is over.
    TooLate,
}

/// Something that a migration changes and has to put back when the guest stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Change {
    /// The downtime limit.
    DowntimeLimit,
    /// The bandwidth limit.
    BandwidthLimit,
    /// The guest's CPUs were stopped.
    Pause,
    /// Disks were created on the destination.
    Disks,
}

const _: () = assert!(Change::ALL.len() <= 8, "a change has no bit");

/// A set of changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Changes(u8);

listed! {
    /// All of them, in the order in which they are made and put back.
    pub const ALL: Change = [DowntimeLimit, BandwidthLimit, Pause, Disks];
}

impl Change {
    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

impl Changes {
    /// The set without members.
    pub const EMPTY: Self = Self(0);

    /// This set and `change`.
    #[must_use]
    pub const fn with(self, change: Change) -> Self {
        Self(self.0 | change.bit())
    }

    /// This set without `change`.
    #[must_use]
    pub const fn without(self, change: Change) -> Self {
        Self(self.0 & !change.bit())
    }

    /// Whether `change` is in it.
    #[must_use]
    pub const fn has(self, change: Change) -> bool {
        self.0 & change.bit() != 0
    }

    /// Its first member.
    #[must_use]
    pub fn first(self) -> Option<Change> {
        Change::ALL.into_iter().find(|&change| self.has(change))
    }

    /// Its members, in order.
    pub fn iter(self) -> impl Iterator<Item = Change> {
        Change::ALL.into_iter().filter(move |&change| self.has(change))
    }
}

impl fmt::Display for PhaseName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Validating => "validating",
            Self::Preparing => "preparing",
            Self::Precopy => "pre-copy",
            Self::Postcopy => "post-copy",
            Self::SwitchingOver => "switching over",
            Self::Completing => "completing",
            Self::RollingBack => "rolling back",
            Self::Resolving => "resolving",
            Self::Recovering => "recovering",
            Self::Done => "done",
        })
    }
}

impl fmt::Display for AdjustmentKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::DowntimeLimit => "another downtime limit",
            Self::BandwidthLimit => "another bandwidth limit",
            Self::Pause => "stopping the guest until it has arrived",
            Self::Postcopy => "post-copy",
        })
    }
}

impl fmt::Display for AdjustmentResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Done => "done",
            Self::Refused => "the hypervisor refused it",
            Self::NotKnown => "the hypervisor did not answer: it may or may not be done",
            Self::NotAllowed => "it was not allowed when the migration began",
            Self::OutOfBounds => "the value is out of its bounds",
            Self::Busy => "another adjustment is in progress, or the migration is being ended",
            Self::TooEarly => "the copy has not begun",
            Self::TooLate => "too late",
        })
    }
}
