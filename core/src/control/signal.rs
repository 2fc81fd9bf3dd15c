//! The alphabet of control: what comes in, what goes out, without numbers or strings.
//!
//! Small on purpose: an explorer enumerates these, and the shell translates them from and to the port.

use crate::facts::GuestRun;
use crate::outcome::Recovery;
use crate::port::{CopyState, Side};

/// What happened, as far as safety is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Signal {
    /// The operator asks for the migration.
    Begin,
    /// The operator asks for its end.
    Cancel,
    /// The facts are there, and this is how the guest stands.
    FactsArrived(GuestRun),
    /// The facts could not be collected.
    FactsMissing,
    /// The rules let it through.
    Allowed,
    /// A rule stands against it.
    Refused,
    /// The settings were read.
    SettingsRead,
    /// The settings could not be read.
    SettingsUnreadable,
    /// The setting that was to be changed is changed.
    Applied,
    /// The setting may or may not be changed.
    NotApplied,
    /// The migrate call returned: the guest is said to be on the destination.
    CallSucceeded,
    /// The migrate call returned: it is said to have failed.
    CallFailed,
    /// The migrate call's reply was lost.
    CallLost,
    /// A job works on the source's copy.
    JobActive,
    /// No job works on the source's copy.
    JobGone,
    /// The source could not be asked about the job.
    JobUnknown,
    /// The hypervisor will try to end the job.
    AbortAccepted,
    /// The hypervisor will not, or could not be asked.
    AbortRefused,
    /// One host was looked at.
    Seen(Side, CopyState),
    /// A resume or destroy is said to have been done.
    Acted,
    /// A resume or destroy may or may not have been done.
    NotActed,
    /// Hint: a dirty-bitmap sync.
    IterationBegan,
    /// Hint: the source's copy was stopped for the switchover.
    SourceSuspended,
    /// Hint: the source's copy runs again.
    SourceResumed,
    /// Hint: the job ended.
    JobEnded,
    /// A timer ran out.
    Elapsed(Timer),
}

/// What control wants done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Order {
    /// Find out about the guest and both hosts.
    CollectFacts,
    /// Let the rules judge.
    EvaluateRules,
    /// Read the settings that may be changed.
    ReadSettings,
    /// Change a setting to what was asked for. Its undo is on record by now.
    Apply(SettingKind),
    /// Put a setting back.
    Restore(SettingKind),
    /// Make the migrate call.
    StartMigration,
    /// Look at the job.
    PollJob,
    /// Ask for the job's end.
    AbortMigration,
    /// Look at the copy on one host.
    Observe(Side),
    /// Let the copy on one host run.
    Resume(Side),
    /// End the copy on one host.
    Destroy(Side),
    /// Start a timer; one that runs already starts anew.
    Arm(Timer),
    /// Start [`Timer::LookAgain`] with the back-off of this attempt.
    ArmLookAgain(u8),
    /// Tell that something was put right.
    Tell(Recovery),
    /// Tell what came of a cancel that was asked for after the end.
    TellCancelAnswer,
    /// Tell that the answer to a cancel is not known yet.
    TellCancelInDoubt,
}

/// The timers of a migration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Timer {
    /// The next look at the job.
    Poll,
    /// Pre-copy has lasted long enough.
    GiveUp,
    /// An answer is overdue.
    Reply,
    /// The next look at both ends.
    LookAgain,
}

impl Timer {
    /// All of them, in the order in which they fire when due together.
    pub const ALL: [Self; 4] = [Self::Reply, Self::GiveUp, Self::LookAgain, Self::Poll];
}

/// A setting, without its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SettingKind {
    /// The downtime limit.
    DowntimeLimit,
    /// The bandwidth limit.
    BandwidthLimit,
}

/// A set of settings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct SettingSet(u8);

impl SettingKind {
    /// All of them, in the order in which they are applied.
    pub const ALL: [Self; 2] = [Self::DowntimeLimit, Self::BandwidthLimit];

    const fn bit(self) -> u8 {
        match self {
            Self::DowntimeLimit => 1,
            Self::BandwidthLimit => 2,
        }
    }

    pub(crate) const fn restored(self) -> Recovery {
        match self {
            Self::DowntimeLimit => Recovery::DowntimeLimitRestored,
            Self::BandwidthLimit => Recovery::BandwidthLimitRestored,
        }
    }
}

impl SettingSet {
    /// The set without members.
    pub const EMPTY: Self = Self(0);

    /// This set and `kind`.
    #[must_use]
    pub const fn with(self, kind: SettingKind) -> Self {
        Self(self.0 | kind.bit())
    }

    /// This set without `kind`.
    #[must_use]
    pub const fn without(self, kind: SettingKind) -> Self {
        Self(self.0 & !kind.bit())
    }

    /// Whether `kind` is in it.
    #[must_use]
    pub const fn has(self, kind: SettingKind) -> bool {
        self.0 & kind.bit() != 0
    }

    /// Its first member.
    #[must_use]
    pub fn first(self) -> Option<SettingKind> {
        SettingKind::ALL.into_iter().find(|&kind| self.has(kind))
    }

    /// Its members, in order.
    pub fn iter(self) -> impl Iterator<Item = SettingKind> {
        SettingKind::ALL.into_iter().filter(move |&kind| self.has(kind))
    }
}

/// The orders of one step, in the order in which they are to be given. No step gives more than [`Orders::MOST`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Orders {
    list: [Option<Order>; Self::MOST],
    len: usize,
}

impl Orders {
    /// The most orders that a step gives.
    pub const MOST: usize = 8;

    pub(crate) fn give(&mut self, order: Order) {
        let place = self.list.get_mut(self.len);
        assert!(place.is_some(), "a step gave more than {} orders", Self::MOST);
        if let Some(place) = place {
            *place = Some(order);
            self.len += 1;
        }
    }

    /// Looks at both hosts, with an end to the waiting.
    pub(crate) fn look(&mut self) {
        self.give(Order::Observe(Side::Source));
        self.give(Order::Observe(Side::Destination));
        self.give(Order::Arm(Timer::Reply));
    }

    /// The orders.
    pub fn iter(&self) -> impl Iterator<Item = Order> + '_ {
        self.list.iter().filter_map(|order| *order)
    }
}
