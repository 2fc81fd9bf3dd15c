//! Scenario files: one migration, its guest, its link and its faults, for the simulator and the real lab alike.
//!
//! ```toml
//! name = "converges"                    # required; letters, digits, `-`, `_` and `.`
//! description = "what it shows"
//! seed = 1                              # all chance in the simulator; default 1
//!
//! [guest]                               # required
//! name = "finch"                        # required; as `name`
//! memory_mib = 256                      # required; 32 to 1048576
//! working_set_mib = 64                  # required; 1 to memory_mib - 16; the region starts at 16 MiB
//! filled_mib = 64                       # not zero at the start; default: the largest working set
//! writes_per_second = 4000              # required; uniform over the working set; up to 10^9
//! paused = false
//!
//! [[guest.phase]]                       # the writes from then on; as many as needed, in order of time
//! at_ms = 8000                          # since the guest started to write
//! writes_per_second = 100
//! working_set_mib = 64                  # default: unchanged
//!
//! [link]                                # required
//! bandwidth_mib_per_second = 1000       # required; what the network carries; 1 to 100000
//! latency_us = 200                      # one way; default 0
//!
//! [migration]
//! bandwidth_limit_mib_per_second = 40   # default: none
//! downtime_limit_ms = 300               # default: QEMU's 300
//! timeout_ms = 120000                   # default: none
//!
//! [[fault]]                             # as many as needed
//! at_iteration = 4                      # either this: when that many bitmap syncs are done,
//! #at_ms = 5000                         # or this: since the migration started
//! after_ms = 20                         # a delay on top; default 0
//! do = "cancel"                         # or another word of `FaultAction`
//!
//! [expect]                              # required
//! result = "completed"                  # "completed", "cancelled" or "failed"
//! guest_on = "destination"              # "source", "destination" or "nowhere"
//! regressions_at_least = 0              # syncs that found more to send than the sync before
//! ```
//!
//! Numbers are whole numbers, units stand last in the names. A file that says something this reader does not
//! know is refused, never half understood.

mod builtin;
mod engine;
mod error;
mod fleet;
mod reader;
mod sections;
mod staging;

pub use error::{Problem, ScenarioError};
pub use staging::{Conditions, Staged};

/// One migration as a file describes it; every value within its documented bounds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scenario {
    /// What it is called.
    pub name: String,
    /// What it shows, for people; may be empty.
    pub description: String,
    /// Seed of all chance in the simulator.
    pub seed: u64,
    /// The guest to migrate.
    pub guest: ScenarioGuest,
    /// The network between the hosts.
    pub link: ScenarioLink,
    /// What the migration is asked for.
    pub migration: ScenarioMigration,
    /// What goes wrong or is asked for on the way, in the order of the file.
    pub faults: Vec<Fault>,
    /// What must come out.
    pub expect: Expectation,
}

/// The guest of a scenario.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScenarioGuest {
    /// Its name on both hosts.
    pub name: String,
    /// Its memory in MiB.
    pub memory_mib: u64,
    /// Memory in MiB, from 16 MiB on, that is not zero when the migration starts.
    pub filled_mib: u64,
    /// Whether it stands still when the migration starts.
    pub paused: bool,
    /// How it writes over time; the first phase is at 0 ms, each later one is later.
    pub phases: Vec<GuestPhase>,
}

/// A stretch of time with one write rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GuestPhase {
    /// Its beginning since the guest started to write, in milliseconds.
    pub at_ms: u64,
    /// Writes a second, each to a page drawn uniformly from the working set.
    pub writes_per_second: u64,
    /// The working set in MiB, from 16 MiB on.
    pub working_set_mib: u64,
}

/// The network of a scenario.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScenarioLink {
    /// What it carries, in MiB a second.
    pub bandwidth_mib_per_second: u64,
    /// One way, in microseconds.
    pub latency_us: u64,
}

/// The settings of a migration; what is not given is left to the hypervisor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ScenarioMigration {
    /// Limit on what the migration may take of the link, in MiB a second.
    pub bandwidth_limit_mib_per_second: Option<u64>,
    /// How long the guest may stand still, in milliseconds.
    pub downtime_limit_ms: Option<u64>,
    /// When to give up, in milliseconds since the start.
    pub timeout_ms: Option<u64>,
}

/// Something that happens to a migration on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What sets it off.
    pub trigger: Trigger,
    /// How long after that it happens, in milliseconds.
    pub after_ms: u64,
    /// What happens.
    pub action: FaultAction,
}

/// What sets a fault off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// So many milliseconds since the copy began (in the simulator it begins within a millisecond of the request).
    AtMs(u64),
    /// The source has done so many bitmap syncs; the first one belongs to the setup.
    AtIteration(u64),
}

/// What happens. The names in the files are these in lower case with hyphens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FaultAction {
    /// `cancel`: the operator cancels.
    Cancel,
    /// `cut-link`: nothing gets through between the hosts any more.
    CutLink,
    /// `restore-link`: it does again.
    RestoreLink,
    /// `kill-source-daemon`: the source's libvirt daemon dies; guests live on.
    KillSourceDaemon,
    /// `start-source-daemon`: it is started again.
    StartSourceDaemon,
    /// `kill-destination-daemon`: the destination's libvirt daemon dies; guests live on.
    KillDestinationDaemon,
    /// `start-destination-daemon`: it is started again.
    StartDestinationDaemon,
    /// `kill-source-guest`: the guest's process on the source dies.
    KillSourceGuest,
    /// `kill-destination-guest`: the guest's process on the destination dies.
    KillDestinationGuest,
}

impl FaultAction {
    /// Every action with its word in the files.
    pub const WORDS: [(&'static str, Self); 9] = [
        ("cancel", Self::Cancel),
        ("cut-link", Self::CutLink),
        ("restore-link", Self::RestoreLink),
        ("kill-source-daemon", Self::KillSourceDaemon),
        ("start-source-daemon", Self::StartSourceDaemon),
        ("kill-destination-daemon", Self::KillDestinationDaemon),
        ("start-destination-daemon", Self::StartDestinationDaemon),
        ("kill-source-guest", Self::KillSourceGuest),
        ("kill-destination-guest", Self::KillDestinationGuest),
    ];
}

/// What must come out of a scenario.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expectation {
    /// How the migration ends.
    pub result: ExpectedResult,
    /// Where the guest is then.
    pub guest_on: GuestPlace,
    /// At least so many syncs found more left to send than the sync before.
    pub regressions_at_least: u64,
}

/// How a migration ends: `completed`, `cancelled` or `failed`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ExpectedResult {
    /// The guest runs on the destination.
    Completed,
    /// It was cancelled in time.
    Cancelled,
    /// It could not be done.
    Failed,
}

/// Where a guest is: `source`, `destination` or `nowhere`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum GuestPlace {
    /// On the host it came from.
    Source,
    /// On the host it went to.
    Destination,
    /// A fault killed it.
    Nowhere,
}

impl Scenario {
    /// Reads a scenario file's text; `file_name` only serves the messages.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with the text at once, each with its place, what is allowed, and what was
    /// probably meant.
    pub fn parse(text: &str, file_name: &str) -> Result<Self, ScenarioError> {
        sections::read(text).map_err(|problems| ScenarioError::new(file_name, problems))
    }
}
