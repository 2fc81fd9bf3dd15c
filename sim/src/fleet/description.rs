//! A fleet as a file describes it: groups of hosts, groups of guests, and an evacuation. Only data; every value is
//! within the bounds that its documentation gives when it comes from a file.

use whimbrel_core::{AtTimeout, TransferOptions};
use whimbrel_schedule::Order;

use crate::world;

/// A fleet, and what is to be done with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fleet {
    /// What it is called.
    pub name: String,
    /// What it shows, for people; may be empty.
    pub description: String,
    /// Seed of all chance.
    pub seed: u64,
    /// One way between any two hosts, in microseconds.
    pub latency_us: u64,
    /// The hosts, group by group.
    pub hosts: Vec<HostGroup>,
    /// The guests, group by group.
    pub guests: Vec<GuestGroup>,
    /// Who is moved where, and how many at once.
    pub evacuation: Evacuation,
    /// What goes wrong on the way, in the order of the file.
    pub faults: Vec<FleetFault>,
    /// What must come out.
    pub expect: FleetExpectation,
}

/// Hosts that are alike, named after their group and counted from 1: `rack-1`, `rack-2` and so on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostGroup {
    /// The group's name.
    pub name: String,
    /// How many, 1 to 10,000.
    pub count: u64,
    /// Memory for guests in each, in MiB.
    pub memory_mib: u64,
    /// What each host's network card carries in each direction, in MiB a second.
    pub card_mib_per_second: u64,
    /// What the group's hosts share on the way to other groups, in MiB a second in each direction: the uplink of their
    /// switch. None is as much as the cards carry.
    pub uplink_mib_per_second: Option<u64>,
}

/// Guests that are alike, named after their group and counted from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GuestGroup {
    /// The group's name.
    pub name: String,
    /// How many, 1 to 100,000.
    pub count: u64,
    /// The group of hosts that they are on, by its place among the groups.
    pub on: usize,
    /// How they are spread over those hosts.
    pub spread: Spread,
    /// The memory of each, in MiB.
    pub memory_mib: u64,
    /// Memory in MiB that is not zero.
    pub filled_mib: u64,
    /// Memory in MiB that is written to, uniformly.
    pub working_set_mib: u64,
    /// Writes a second.
    pub writes_per_second: u64,
}

/// How guests are spread over hosts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Spread {
    /// `even`: each goes to the host that has the most memory left.
    #[default]
    Even,
    /// `packed`: one host after the other is filled.
    Packed,
}

/// Who is moved where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evacuation {
    /// The groups of hosts that are emptied, by their places among the groups.
    pub from: Vec<usize>,
    /// The groups of hosts that take the guests in.
    pub to: Vec<usize>,
    /// Most migrations at once, in all.
    pub at_once: u64,
    /// Most migrations at once that leave one host.
    pub at_once_per_source: u64,
    /// Most migrations at once that enter one host.
    pub at_once_per_destination: u64,
    /// Who goes first.
    pub order: Order,
    /// How often a guest is tried that stays where it was, 1 at least.
    pub attempts: u64,
    /// For how long nothing is sent from or to a host that made a migration fail, in milliseconds.
    pub rest_ms: u64,
    /// How each guest is migrated.
    pub migration: FleetMigration,
}

/// How each guest is migrated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FleetMigration {
    /// Limit of one migration, in MiB a second.
    pub bandwidth_limit_mib_per_second: Option<u64>,
    /// The downtime limit, in milliseconds.
    pub downtime_limit_ms: Option<u64>,
    /// When a migration has lasted too long, in milliseconds.
    pub timeout_ms: u64,
    /// What happens then.
    pub at_timeout: AtTimeout,
    /// The options of each transfer.
    pub transfer: TransferOptions,
    /// Time between two queries of the progress of one migration, in milliseconds.
    pub poll_interval_ms: u64,
}

/// Something that happens to a fleet on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FleetFault {
    /// When, in milliseconds since the evacuation began.
    pub at_ms: u64,
    /// What.
    pub what: HostFault,
    /// To which host: its group's place among the groups, and its own place in the group, from zero.
    pub host: HostPlace,
    /// For a link, the host at its other end.
    pub other: Option<HostPlace>,
}

/// A host by its group and its place in it, both from zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostPlace {
    /// The group's place among the groups.
    pub group: usize,
    /// The host's place in the group.
    pub index: usize,
}

/// What happens to a host, or to a link between two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HostFault {
    /// `kill-daemon`: its libvirt daemon dies; its guests live on.
    KillDaemon,
    /// `start-daemon`: it is started again.
    StartDaemon,
    /// `lose-host`: it loses its power.
    LoseHost,
    /// `start-host`: it comes up again, without guests.
    StartHost,
    /// `silence-host`: its daemon answers no client any more.
    SilenceHost,
    /// `cut-link`: nothing gets through between it and the other.
    CutLink,
    /// `restore-link`: it does again.
    RestoreLink,
}

/// What must come out of a fleet's evacuation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FleetExpectation {
    /// At least this many guests are moved; none is all of them.
    pub moved_at_least: Option<u64>,
    /// All migrations have ended within this many milliseconds.
    pub within_ms: Option<u64>,
}

impl HostFault {
    /// Every fault with its word in the files.
    pub const WORDS: [(&'static str, Self); 7] = [
        ("kill-daemon", Self::KillDaemon),
        ("start-daemon", Self::StartDaemon),
        ("lose-host", Self::LoseHost),
        ("start-host", Self::StartHost),
        ("silence-host", Self::SilenceHost),
        ("cut-link", Self::CutLink),
        ("restore-link", Self::RestoreLink),
    ];

    /// Whether it concerns a link, which has two ends.
    #[must_use]
    pub const fn has_two_ends(self) -> bool {
        matches!(self, Self::CutLink | Self::RestoreLink)
    }

    /// The world's fault; none for a link without another end.
    pub(super) fn of(self, host: world::HostId, other: Option<world::HostId>) -> Option<world::Fault> {
        let silent = world::ReplyBehavior { is_silent: true, ..world::ReplyBehavior::default() };
        Some(match self {
            Self::KillDaemon => world::Fault::KillDaemon(host),
            Self::StartDaemon => world::Fault::StartDaemon(host),
            Self::LoseHost => world::Fault::LoseHost(host),
            Self::StartHost => world::Fault::StartHost(host),
            Self::SilenceHost => world::Fault::SetReplyBehavior(host, silent),
            Self::CutLink => world::Fault::CutLink(host, other?),
            Self::RestoreLink => world::Fault::RestoreLink(host, other?),
        })
    }
}

impl Spread {
    /// Every spread with its word in the files.
    pub const WORDS: [(&'static str, Self); 2] = [("even", Self::Even), ("packed", Self::Packed)];
}

impl Default for FleetMigration {
    /// Ten minutes for each guest, then it is cancelled; a query every second.
    fn default() -> Self {
        Self {
            bandwidth_limit_mib_per_second: None,
            downtime_limit_ms: None,
            timeout_ms: 600_000,
            at_timeout: AtTimeout::Cancel,
            transfer: TransferOptions::default(),
            poll_interval_ms: 1_000,
        }
    }
}
