//! The port: all commands to a hypervisor, and all its answers.
//!
//! A simulated hypervisor and the libvirt driver both implement these types, and neither learns which policy runs.
//! Every command has an id and its answer repeats it, so a late answer is never taken for a new one. Settings are
//! applied in the order of their commands, even when answers are lost: a change that is overdue must never overtake its
//! undo. Hints are unsolicited and may be lost, duplicated or late: they cause queries and may change the phase, but
//! they never resume, destroy or end anything.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use serde::{Deserialize, Serialize};

use crate::convergence::Statistics;
use crate::facts::Facts;
use crate::listed::listed;

/// Names one command of one migration. Ids grow by one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CommandId(pub u32);

/// A command to the driver; it answers once, with [`Observation::Answer`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Command {
    /// To be repeated in the answer.
    pub id: CommandId,
    /// The action to execute.
    pub action: Action,
}

/// The verbs of the port. Beside each stands the [`Answer`] that belongs to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Collect facts about the guest and both hosts; change nothing. → [`Answer::Facts`]
    CollectFacts,
    /// Evaluate the rules on these facts. → [`Answer::Verdict`]
    EvaluateRules(Box<Facts>),
    /// Read the settings that a migration may change. → [`Answer::Settings`]
    ReadSettings,
    /// Change one setting of the guest on the source, after all earlier changes. → [`Answer::Applied`]
    ApplySetting(Setting),
    /// Make the call that migrates the guest. It may take hours. → [`Answer::CallReturned`]
    StartMigration,
    /// Read the job's statistics. → [`Answer::Job`]
    PollJob,
    /// Request the abort of the job. Accepted does not mean ended. → [`Answer::Abort`]
    AbortMigration,
    /// Request the switch to post-copy. Accepted does not mean switched. → [`Answer::Postcopy`]
    StartPostcopy,
    /// Make the call that resumes a post-copy which lost its connection. It lasts as long as the rest of the
    /// migration. → [`Answer::CallReturned`]
    ResumePostcopy,
    /// Query the guest's copy on one host. → [`Answer::Copy`]
    Observe(Side),
    /// Resume the copy on one host. → [`Answer::Acted`]
    Resume(Side),
    /// Destroy the copy on one host. → [`Answer::Acted`]
    Destroy(Side),
    /// Stop the guest's CPUs on the source, so the copy catches up. → [`Answer::Acted`]
    Suspend,
    /// Undefine the guest on one host, where it is not in memory. → [`Answer::Acted`]
    Undefine(Side),
    /// Remove these disk files on the destination: the migration created them, and no guest uses them.
    /// → [`Answer::Acted`]
    RemoveDisks(Vec<String>),
}

/// An input from the driver to the core.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Observation {
    /// The answer to a command.
    Answer {
        /// The command's id.
        to: CommandId,
        /// The result.
        answer: Answer,
    },
    /// An unsolicited report of the hypervisor.
    Hint(Hint),
}

/// The result of a command. `Err` never means that nothing happened: it means that the driver received a failure.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// To [`Action::CollectFacts`].
    Facts(Result<Box<Facts>, Failure>),
    /// To [`Action::EvaluateRules`].
    Verdict(crate::facts::Verdict),
    /// To [`Action::ReadSettings`].
    Settings(Result<Settings, Failure>),
    /// To [`Action::ApplySetting`].
    Applied(Result<(), Failure>),
    /// To [`Action::StartMigration`] and [`Action::ResumePostcopy`]: the call came back.
    CallReturned(Result<(), Failure>),
    /// To [`Action::PollJob`].
    Job(Result<JobReport, Failure>),
    /// To [`Action::AbortMigration`].
    Abort(Result<(), Failure>),
    /// To [`Action::StartPostcopy`].
    Postcopy(Result<(), Failure>),
    /// To [`Action::Observe`].
    Copy(CopyState),
    /// To [`Action::Resume`], [`Action::Destroy`], [`Action::Suspend`], [`Action::Undefine`] and
    /// [`Action::RemoveDisks`].
    Acted(Result<(), Failure>),
}

/// An unsolicited report of the hypervisor. It may be lost, duplicated or late.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Hint {
    /// A dirty-bitmap sync happened: a new iteration began.
    IterationBegan,
    /// The source's copy was stopped for the switchover.
    SourceSuspended,
    /// The source's copy runs again.
    SourceResumed,
    /// The job ended, one way or the other.
    JobEnded,
    /// The source's copy was left for post-copy.
    PostcopyBegan,
    /// A post-copy lost its connection.
    PostcopyFailed,
}

/// One of the two hosts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// The host that the guest leaves.
    Source,
    /// The host that it goes to.
    Destination,
}

/// What is seen of the guest on one host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CopyState {
    /// Its CPUs run and no outgoing migration works on it.
    Running,
    /// An outgoing migration works on it: its CPUs run, or are stopped for the switchover.
    Migrating,
    /// A migration stopped its CPUs, and no job works on it any more. Half of a guest in post-copy is this only when
    /// its statistics prove that no memory remains in it.
    Stopped,
    /// Its CPUs are stopped for another reason: an operator, an I/O error.
    Paused,
    /// It receives a migration and has never run.
    Incoming,
    /// Half of a guest in post-copy. On the source: its CPUs are stopped for good, and its memory is fetched from it.
    /// On the destination: it runs, and fetches what it misses.
    Postcopy,
    /// The same after the two halves have lost each other.
    PostcopyFailed,
    /// The host answers, and has the guest's definition only.
    Defined,
    /// The host answers and has no such guest, in memory or defined.
    Absent,
    /// The host did not answer.
    Unknown,
}

/// A setting that a migration changes on the source's guest, and puts back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Setting {
    /// The downtime limit in ms.
    DowntimeLimitMs(u64),
    /// The bandwidth limit in bytes a second.
    BandwidthLimitBytesPerSecond(u64),
}

/// The settings as they were before the migration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Settings {
    /// The downtime limit in ms.
    pub downtime_limit_ms: u64,
    /// The bandwidth limit in bytes a second.
    pub bandwidth_limit_bytes_per_second: u64,
}

/// The result of a query of the job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobReport {
    /// Whether it is there.
    pub state: JobState,
    /// Its numbers; zeros when there is no job.
    pub statistics: Statistics,
}

/// Whether a migration job is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    /// No job works on the guest.
    None,
    /// A job works on the guest.
    Active,
    /// The job ended well, and its last numbers are these.
    Completed,
}

/// A failure that a driver received.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Failure {
    /// Its class, by which the core and its users decide.
    pub fault: Fault,
    /// The hypervisor's own message.
    pub message: String,
}

/// Classes of failures, named for who or what is at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// The source has no guest of that name.
    GuestNotFound,
    /// The guest is not in memory.
    GuestNotRunning,
    /// The source cannot be reached.
    SourceUnreachable,
    /// The destination cannot be reached.
    DestinationUnreachable,
    /// A host rejected our credentials.
    AuthenticationFailed,
    /// The destination is the source.
    SameHost,
    /// A guest of that name or UUID is already on the destination.
    GuestExists,
    /// A host's name or address does not resolve.
    AddressNotResolved,
    /// The destination has no free migration port.
    PortUnavailable,
    /// The destination cannot run this guest (CPU, machine, device).
    Incompatible,
    /// The guest's storage is not known to be shared.
    UnsafeStorage,
    /// The job was aborted by a request: ours or another client's.
    Aborted,
    /// The reply was lost: what happened is not known.
    ReplyLost,
    /// The hypervisor refused the request in its present state.
    Refused,
    /// Any other failure; see the message.
    Other,
}

impl Fault {
    /// The host on this side does not answer, or does not report what it has to.
    #[must_use]
    pub const fn unreachable(side: Side) -> Self {
        match side {
            Side::Source => Self::SourceUnreachable,
            Side::Destination => Self::DestinationUnreachable,
        }
    }
}

listed! {
    /// Every hint.
    pub const ALL: Hint =
        [IterationBegan, SourceSuspended, SourceResumed, JobEnded, PostcopyBegan, PostcopyFailed];
}

listed! {
    /// Every state.
    pub const ALL: CopyState = [
        Running, Migrating, Stopped, Paused, Incoming, Postcopy, PostcopyFailed, Defined, Absent, Unknown,
    ];
}

impl CopyState {
    /// Whether the host was seen without the guest in its memory.
    #[must_use]
    pub const fn is_gone(self) -> bool {
        matches!(self, Self::Defined | Self::Absent)
    }

    /// Whether it is one half of a guest in post-copy.
    #[must_use]
    pub const fn is_half(self) -> bool {
        matches!(self, Self::Postcopy | Self::PostcopyFailed)
    }
}

impl Side {
    /// The host across.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Source => Self::Destination,
            Self::Destination => Self::Source,
        }
    }
}

impl Failure {
    /// A failure of this class with the hypervisor's own message.
    pub fn new(fault: Fault, message: impl Into<String>) -> Self {
        Self { fault, message: message.into() }
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Source => "source",
            Self::Destination => "destination",
        })
    }
}

impl fmt::Display for CopyState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Running => "running",
            Self::Migrating => "migrating",
            Self::Stopped => "stopped by a migration",
            Self::Paused => "paused",
            Self::Incoming => "incoming",
            Self::Postcopy => "in post-copy",
            Self::PostcopyFailed => "in post-copy, cut off",
            Self::Defined => "defined, not in memory",
            Self::Absent => "absent",
            Self::Unknown => "unknown",
        })
    }
}
