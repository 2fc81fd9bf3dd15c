//! `[[fault]]`: faults and requests on the way, and when they come.

use std::ops::Range;

use toml::de::DeTable;
use whimbrel_core::Side;

use super::bounds::{
    MAX_BANDWIDTH_MIB_PER_SECOND, MAX_DOWNTIME_MS, MAX_ITERATION, MAX_ROOM_MIB, MAX_TIME_MS,
};
use super::reader::{Reader, Section};
use crate::world::Milestone;

/// Something that happens to a migration on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What sets it off.
    pub trigger: Trigger,
    /// How long after that it happens at the earliest, in milliseconds.
    pub after_ms: u64,
    /// So much later at most, in milliseconds: the seed draws when. For what races with something else.
    pub within_ms: u64,
    /// What happens.
    pub action: FaultAction,
}

/// What sets a fault off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// This many milliseconds since the copy began (in the simulator: since the migration was requested, which is
    /// before the destination is prepared).
    AtMs(u64),
    /// The source has done this many bitmap syncs; the first one belongs to the setup.
    AtIteration(u64),
    /// The migration has come so far.
    At(Milestone),
}

/// What happens. [`FaultAction::word`] is its name in the files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultAction {
    /// `cancel`: the operator cancels.
    Cancel,
    /// `postcopy`: the operator requests the switch to post-copy.
    Postcopy,
    /// `pause`: the operator pauses the guest until it has arrived.
    Pause,
    /// `downtime-limit` with `to_ms`: the operator changes it.
    DowntimeLimit {
        /// The new limit in milliseconds.
        ms: u64,
    },
    /// `bandwidth-limit` with `to_mib_per_second`: the operator changes it.
    BandwidthLimit {
        /// The new limit in MiB a second.
        mib_per_second: u64,
    },
    /// `restart-driver` with `gone_ms`: the driver is gone, and comes back with its journal.
    RestartDriver {
        /// For how long it is gone, in milliseconds.
        gone_ms: u64,
    },
    /// `cut-link`: nothing gets through between the hosts any more.
    CutLink,
    /// `restore-link`: it does again.
    RestoreLink,
    /// `break-stream`: the connections between the two QEMUs break.
    BreakStream,
    /// `kill-source-daemon`, `kill-destination-daemon`: a libvirt daemon dies; guests live on.
    KillDaemon(Side),
    /// `start-source-daemon`, `start-destination-daemon`: it is started again.
    StartDaemon(Side),
    /// `kill-source-guest`, `kill-destination-guest`: the guest's process on a host dies.
    KillGuest(Side),
    /// `lose-source-host`, `lose-destination-host`: a host loses its power.
    LoseHost(Side),
    /// `start-source-host`, `start-destination-host`: it comes up again, with its daemon and without guests.
    StartHost(Side),
    /// `drop-source-clients`, `drop-destination-clients`: connections between a daemon and its clients break.
    DropClients(Side),
    /// `silence-source`, `silence-destination`: nothing gets to or from a daemon's clients, and no error is reported.
    Silence(Side),
    /// `delay-source-replies`, `delay-destination-replies` with `by_ms`: answers and events come later.
    DelayReplies {
        /// Of which host.
        side: Side,
        /// By so much, in milliseconds.
        ms: u64,
    },
    /// `double-source-replies`, `double-destination-replies`: answers and events come twice.
    DoubleReplies(Side),
    /// `lose-source-events`, `lose-destination-events`: events do not arrive; answers do.
    LoseEvents(Side),
    /// `speak-source`, `speak-destination`: answers and events come as usual again.
    Speak(Side),
    /// `take-source-memory`, `take-destination-memory` with `mib`: something else has taken so much in all.
    TakeMemory {
        /// Of which host.
        side: Side,
        /// How much.
        mib: u64,
    },
    /// `leave-source-room`, `leave-destination-room` with `mib`: so much can still be written in each pool.
    LeaveRoom {
        /// Of which host.
        side: Side,
        /// How much.
        mib: u64,
    },
    /// `pause-source-guest`, `pause-destination-guest`: another client stops the guest's CPUs on a host.
    PauseGuest(Side),
    /// `unpause-source-guest`, `unpause-destination-guest`: another client resumes them.
    UnpauseGuest(Side),
    /// `fail-source-disk`, `fail-destination-disk`: a disk of the guest on a host fails, and QEMU stops its CPUs.
    FailDisk(Side),
}

const MILESTONES: [(&str, Milestone); 9] = [
    ("preparing", Milestone::Preparing),
    ("mirroring", Milestone::Mirroring),
    ("copying", Milestone::Copying),
    ("stopped", Milestone::Stopped),
    ("finishing", Milestone::Finishing),
    ("starting", Milestone::Starting),
    ("started", Milestone::Started),
    ("confirming", Milestone::Confirming),
    ("postcopy", Milestone::Postcopy),
];

const TRIGGERS: &str = "it must have exactly one of `at_ms`, `at_iteration` and `at`";
/// The keys of values that some actions have, with their bounds.
const VALUES: [(&str, u64, u64); 5] = [
    ("to_ms", 1, MAX_DOWNTIME_MS),
    ("to_mib_per_second", 1, MAX_BANDWIDTH_MIB_PER_SECOND),
    ("gone_ms", 0, MAX_TIME_MS),
    ("by_ms", 1, MAX_TIME_MS),
    ("mib", 0, MAX_ROOM_MIB),
];

impl FaultAction {
    /// Every action, each with the value of zero where it has one.
    const ALL: [Self; 41] = {
        use Side::{Destination, Source};
        [
            Self::Cancel,
            Self::Postcopy,
            Self::Pause,
            Self::DowntimeLimit { ms: 0 },
            Self::BandwidthLimit { mib_per_second: 0 },
            Self::RestartDriver { gone_ms: 0 },
            Self::CutLink,
            Self::RestoreLink,
            Self::BreakStream,
            Self::KillDaemon(Source),
            Self::StartDaemon(Source),
            Self::KillDaemon(Destination),
            Self::StartDaemon(Destination),
            Self::KillGuest(Source),
            Self::KillGuest(Destination),
            Self::LoseHost(Source),
            Self::StartHost(Source),
            Self::LoseHost(Destination),
            Self::StartHost(Destination),
            Self::DropClients(Source),
            Self::DropClients(Destination),
            Self::Silence(Source),
            Self::Silence(Destination),
            Self::DelayReplies { side: Source, ms: 0 },
            Self::DelayReplies { side: Destination, ms: 0 },
            Self::DoubleReplies(Source),
            Self::DoubleReplies(Destination),
            Self::LoseEvents(Source),
            Self::LoseEvents(Destination),
            Self::Speak(Source),
            Self::Speak(Destination),
            Self::TakeMemory { side: Source, mib: 0 },
            Self::TakeMemory { side: Destination, mib: 0 },
            Self::LeaveRoom { side: Source, mib: 0 },
            Self::LeaveRoom { side: Destination, mib: 0 },
            Self::PauseGuest(Source),
            Self::UnpauseGuest(Source),
            Self::PauseGuest(Destination),
            Self::UnpauseGuest(Destination),
            Self::FailDisk(Source),
            Self::FailDisk(Destination),
        ]
    };

    /// Its name in the files.
    #[must_use]
    pub const fn word(self) -> &'static str {
        let (of_source, of_destination, side) = match self {
            Self::Cancel => return "cancel",
            Self::Postcopy => return "postcopy",
            Self::Pause => return "pause",
            Self::DowntimeLimit { .. } => return "downtime-limit",
            Self::BandwidthLimit { .. } => return "bandwidth-limit",
            Self::RestartDriver { .. } => return "restart-driver",
            Self::CutLink => return "cut-link",
            Self::RestoreLink => return "restore-link",
            Self::BreakStream => return "break-stream",
            Self::KillDaemon(side) => ("kill-source-daemon", "kill-destination-daemon", side),
            Self::StartDaemon(side) => ("start-source-daemon", "start-destination-daemon", side),
            Self::KillGuest(side) => ("kill-source-guest", "kill-destination-guest", side),
            Self::LoseHost(side) => ("lose-source-host", "lose-destination-host", side),
            Self::StartHost(side) => ("start-source-host", "start-destination-host", side),
            Self::DropClients(side) => ("drop-source-clients", "drop-destination-clients", side),
            Self::Silence(side) => ("silence-source", "silence-destination", side),
            Self::DelayReplies { side, .. } => ("delay-source-replies", "delay-destination-replies", side),
            Self::DoubleReplies(side) => ("double-source-replies", "double-destination-replies", side),
            Self::LoseEvents(side) => ("lose-source-events", "lose-destination-events", side),
            Self::Speak(side) => ("speak-source", "speak-destination", side),
            Self::TakeMemory { side, .. } => ("take-source-memory", "take-destination-memory", side),
            Self::LeaveRoom { side, .. } => ("leave-source-room", "leave-destination-room", side),
            Self::PauseGuest(side) => ("pause-source-guest", "pause-destination-guest", side),
            Self::UnpauseGuest(side) => ("unpause-source-guest", "unpause-destination-guest", side),
            Self::FailDisk(side) => ("fail-source-disk", "fail-destination-disk", side),
        };
        match side {
            Side::Source => of_source,
            Side::Destination => of_destination,
        }
    }

    /// Whether a stalled migration is ended by it.
    pub(super) const fn ends_a_standstill(self) -> bool {
        matches!(
            self,
            Self::Cancel | Self::BreakStream | Self::KillDaemon(_) | Self::KillGuest(_) | Self::LoseHost(_)
        )
    }

    /// The key of its value, if it has one.
    const fn value_key(self) -> Option<&'static str> {
        match self {
            Self::DowntimeLimit { .. } => Some("to_ms"),
            Self::BandwidthLimit { .. } => Some("to_mib_per_second"),
            Self::RestartDriver { .. } => Some("gone_ms"),
            Self::DelayReplies { .. } => Some("by_ms"),
            Self::TakeMemory { .. } | Self::LeaveRoom { .. } => Some("mib"),
            Self::Cancel
            | Self::Postcopy
            | Self::Pause
            | Self::CutLink
            | Self::RestoreLink
            | Self::BreakStream
            | Self::KillDaemon(_)
            | Self::StartDaemon(_)
            | Self::KillGuest(_)
            | Self::LoseHost(_)
            | Self::StartHost(_)
            | Self::DropClients(_)
            | Self::Silence(_)
            | Self::DoubleReplies(_)
            | Self::LoseEvents(_)
            | Self::Speak(_)
            | Self::PauseGuest(_)
            | Self::UnpauseGuest(_)
            | Self::FailDisk(_) => None,
        }
    }

    /// The same action with this value.
    const fn with_value(self, value: u64) -> Self {
        match self {
            Self::DowntimeLimit { .. } => Self::DowntimeLimit { ms: value },
            Self::BandwidthLimit { .. } => Self::BandwidthLimit { mib_per_second: value },
            Self::RestartDriver { .. } => Self::RestartDriver { gone_ms: value },
            Self::DelayReplies { side, .. } => Self::DelayReplies { side, ms: value },
            Self::TakeMemory { side, .. } => Self::TakeMemory { side, mib: value },
            Self::LeaveRoom { side, .. } => Self::LeaveRoom { side, mib: value },
            other => other,
        }
    }
}

impl<'t> Reader<'t> {
    pub(super) fn fault(&mut self, table: &DeTable<'t>, span: Range<usize>) -> Option<Fault> {
        const KEYS: [&str; 11] = [
            "at_ms",
            "at_iteration",
            "at",
            "after_ms",
            "within_ms",
            "do",
            "to_ms",
            "to_mib_per_second",
            "gone_ms",
            "by_ms",
            "mib",
        ];
        let fault = self.section("fault.", table, span, &KEYS);
        let action = self.word(&fault, "do", &FaultAction::ALL.map(|action| (action.word(), action)));
        let action = action.and_then(|action| self.value(&fault, action));
        let after_ms = self.whole(&fault, "after_ms", 0..=MAX_TIME_MS).unwrap_or(0);
        let within_ms = self.whole(&fault, "within_ms", 0..=MAX_TIME_MS).unwrap_or(0);
        let trigger = self.trigger(&fault);
        Some(Fault { trigger: trigger?, after_ms, within_ms, action: action? })
    }

    fn trigger(&mut self, fault: &Section<'_, 't>) -> Option<Trigger> {
        let at_ms = self.whole(fault, "at_ms", 0..=MAX_TIME_MS).map(Trigger::AtMs);
        let at_iteration = self.whole(fault, "at_iteration", 1..=MAX_ITERATION).map(Trigger::AtIteration);
        let at = self.optional_word(fault, "at", &MILESTONES).map(Trigger::At);
        let given: Vec<&str> =
            ["at_ms", "at_iteration", "at"].into_iter().filter(|key| fault.has(key)).collect();
        match given.as_slice() {
            [_] => {}
            [] => self.report_at(fault, "do", "a fault without a trigger".to_owned(), TRIGGERS.to_owned()),
            [_, other, ..] => {
                self.report_at(fault, other, "a fault with two triggers".to_owned(), TRIGGERS.to_owned());
            }
        }
        at_ms.or(at_iteration).or(at)
    }

    /// An action with its value, if it has one.
    fn value(&mut self, fault: &Section<'_, 't>, action: FaultAction) -> Option<FaultAction> {
        let mut read = Some(action);
        for (key, least, most) in VALUES {
            if action.value_key() == Some(key) {
                read = self.required_whole(fault, key, least..=most).map(|value| action.with_value(value));
            } else {
                self.refuse(fault, &[key], &format!("`{}` does not take it", action.word()));
            }
        }
        read
    }
}
