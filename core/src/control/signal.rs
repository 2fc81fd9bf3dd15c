//! The alphabet of control: what comes in, what goes out, without numbers or strings.
//!
//! Small on purpose: an explorer enumerates these, and the shell translates them from and to the port.

use crate::facts::GuestRun;
use crate::listed::listed;
use crate::outcome::Recovery;
use crate::port::{CopyState, Hint, Side};
use crate::vocabulary::{AdjustmentKind, AdjustmentResult, Change};

/// What happened, as far as safety is concerned. The answers to one kind of command are a group: a phase in which none
/// of them means anything refuses or ignores the whole group by name. There is no wildcard over signals anywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Signal {
    /// The operator requests the migration.
    Begin,
    /// The operator requests a cancel.
    Cancel,
    /// The operator requests an adjustment.
    React(AdjustmentKind),
    /// The driver was restarted: commands in flight will not be answered any more.
    Restarted,
    /// The answer to a query of facts, rules or settings, before anything is changed.
    Setup(SetupSignal),
    /// The answer to a change or restore of a setting.
    Setting(SettingSignal),
    /// The answer to an adjustment.
    Reacted(AdjustmentSignal),
    /// The migrate call returned, or the call that resumes a post-copy.
    Call(CallSignal),
    /// The answer to a query of the job.
    Job(JobSignal),
    /// The answer to an abort of the job.
    Abort(AbortSignal),
    /// The observed state of the copy on one host.
    Seen(Side, CopyState),
    /// The answer to a resume, destroy, undefine or removal.
    Act(ActSignal),
    /// The hypervisor reported an event, which may be lost, duplicated or late.
    Hint(Hint),
    /// A timer ran out.
    Elapsed(Timer),
}

/// Results of the queries that are made before anything is changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SetupSignal {
    /// The facts are there.
    FactsArrived(Found),
    /// The facts could not be collected.
    FactsMissing,
    /// The rules allow the migration.
    Allowed,
    /// A validation rule failed.
    Refused,
    /// The settings were read.
    SettingsRead,
    /// The settings could not be read.
    SettingsUnreadable,
}

/// The result of a change or restore of a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SettingSignal {
    /// It is changed.
    Applied,
    /// It may or may not be changed.
    Unknown,
}

/// The hypervisor's answer to an adjustment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AdjustmentSignal {
    /// It is done. For post-copy: the hypervisor will try.
    Done,
    /// The hypervisor refused it: nothing was changed.
    Refused,
    /// It may or may not have been done.
    Unknown,
}

/// How the migrate call returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CallSignal {
    /// It reported that the guest is on the destination.
    Succeeded,
    /// It reported that the migration failed.
    Failed,
    /// The reply was lost.
    Lost,
}

/// The result of a query of the job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum JobSignal {
    /// A job works on the source's copy.
    Active,
    /// No job works on the source's copy.
    Gone,
    /// The source could not be queried.
    Unknown,
}

/// The result of a request to abort the job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AbortSignal {
    /// The hypervisor will try.
    Accepted,
    /// The hypervisor refused, or could not be reached.
    Refused,
}

/// The result of a resume, destroy, undefine or removal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ActSignal {
    /// It was reported as done.
    Done,
    /// It may or may not have been done.
    Unknown,
}

/// An instruction of control to the shell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Order {
    /// Collect facts about the guest and both hosts.
    CollectFacts,
    /// Evaluate the validation rules.
    EvaluateRules,
    /// Read the settings that may be changed.
    ReadSettings,
    /// Change a setting to the requested value. Its undo is on record by now.
    Apply(Change),
    /// Put a setting back.
    Restore(Change),
    /// Make an adjustment. Its undo is on record by now.
    Adjust(AdjustmentKind),
    /// Make the migrate call.
    StartMigration,
    /// Make the call that resumes a post-copy.
    ResumePostcopy,
    /// Stop waiting for the migrate call: its return is ignored from now on.
    GiveUpCall,
    /// Query the job.
    PollJob,
    /// Request the abort of the job.
    AbortMigration,
    /// Query the copy on one host.
    Observe(Side),
    /// Resume the copy on one host.
    Resume(Side),
    /// Destroy the copy on one host.
    Destroy(Side),
    /// Undefine the guest on one host.
    Undefine(Side),
    /// Remove the disks that the migration created on the destination.
    RemoveDisks,
    /// Start a timer; a running one is restarted.
    Arm(Timer),
    /// Report a recovery step that was done.
    ReportRecovery(Recovery),
    /// Report the result of an adjustment.
    ReportAdjustment(AdjustmentKind, AdjustmentResult),
    /// Answer a cancel that came after the end.
    ReportCancelAnswer,
    /// Report that the answer to a cancel is not known yet.
    ReportCancelInDoubt,
    /// Report that a cancel is refused, and why the migration continues.
    ReportCancelRefused,
}

/// The part of the facts that control depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Found {
    /// Whether the guest runs.
    pub run: GuestRun,
    /// Whether its definition outlives its run, and so goes with it.
    pub is_persistent: bool,
    /// Whether the destination has a definition of it already.
    pub is_defined_there: bool,
    /// Whether the migration will create disks on the destination.
    pub makes_disks: bool,
}

/// The timers of a migration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Timer {
    /// An answer is overdue.
    Reply,
    /// An adjustment's answer is overdue.
    Reaction,
    /// Pre-copy has lasted long enough.
    GiveUp,
    /// A job goes on although its abort was requested or accepted: the abort is requested again.
    AskAgain,
    /// The guest's location has been unknown for too long, or a post-copy has been cut off for too long.
    Patience,
    /// The next query of both hosts, or the next attempt.
    LookAgain,
    /// The next query of the job.
    Poll,
}

listed! {
    /// All of them, in the order in which they fire when due together.
    pub const ALL: Timer = [Reply, Reaction, GiveUp, AskAgain, Patience, LookAgain, Poll];
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

    /// Adds an order.
    ///
    /// # Panics
    /// When there are [`MOST`](Self::MOST) already: no step gives more.
    pub fn give(&mut self, order: Order) {
        let place = self.list.get_mut(self.len);
        assert!(place.is_some(), "a step gave more than {} orders", Self::MOST);
        if let Some(place) = place {
            *place = Some(order);
            self.len += 1;
        }
    }

    /// Queries both hosts, with a deadline for the answers.
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
