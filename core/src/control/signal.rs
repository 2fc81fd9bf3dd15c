//! The alphabet of control: what comes in, what goes out, without numbers or strings.
//!
//! Small on purpose: an explorer enumerates these, and the shell translates them from and to the port.

use crate::facts::GuestRun;
use crate::listed::listed;
use crate::outcome::Recovery;
use crate::port::{CopyState, Hint, Side};
use crate::vocabulary::{AdjustmentKind, AdjustmentResult, Change};

/// What happened, as far as safety is concerned. The answers to one kind of command are a group: a phase in which none of
/// them means anything refuses or ignores the whole group by name. There is no wildcard over signals anywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Signal {
    /// The operator asks for the migration.
    Begin,
    /// The operator asks for its end.
    Cancel,
    /// The operator reacts to the migration's course.
    React(AdjustmentKind),
    /// Whoever drives the migration was gone: what is out will not be answered any more.
    Restarted,
    /// Facts, rules or settings were asked for, before anything is changed.
    Setup(SetupSignal),
    /// A setting was to be changed or put back.
    Setting(SettingSignal),
    /// A reaction was to be carried out.
    Reacted(AdjustmentSignal),
    /// The migrate call returned, or the call that resumes a post-copy.
    Call(CallSignal),
    /// The source was asked about the job.
    Job(JobSignal),
    /// The job's end was asked for.
    Abort(AbortSignal),
    /// One host was looked at.
    Seen(Side, CopyState),
    /// A resume, destroy or removal was to be done.
    Act(ActSignal),
    /// The hypervisor told something unasked: lost, doubled or late as it may be.
    Hint(Hint),
    /// A timer ran out.
    Elapsed(Timer),
}

/// What came of the questions that are asked before anything is changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SetupSignal {
    /// The facts are there.
    FactsArrived(Found),
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
}

/// What became of a setting that was to be changed or put back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SettingSignal {
    /// It is changed.
    Applied,
    /// It may or may not be changed.
    Unknown,
}

/// What the hypervisor made of a reaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AdjustmentSignal {
    /// It is carried out. For post-copy: the hypervisor will try.
    Done,
    /// The hypervisor refused it: nothing was changed.
    Refused,
    /// It may or may not have been carried out.
    Unknown,
}

/// How the migrate call returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CallSignal {
    /// The guest is said to be on the destination.
    Succeeded,
    /// The migration is said to have failed.
    Failed,
    /// The reply was lost.
    Lost,
}

/// What a look at the job showed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum JobSignal {
    /// A job works on the source's copy.
    Active,
    /// No job works on the source's copy.
    Gone,
    /// The source could not be asked.
    Unknown,
}

/// What came of a request to end the job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AbortSignal {
    /// The hypervisor will try.
    Accepted,
    /// The hypervisor will not, or could not be asked.
    Refused,
}

/// What became of a resume, destroy or removal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ActSignal {
    /// It is said to have been done.
    Done,
    /// It may or may not have been done.
    Unknown,
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
    Apply(Change),
    /// Put a setting back.
    Restore(Change),
    /// Carry out a reaction. Its undo is on record by now.
    Adjust(AdjustmentKind),
    /// Make the migrate call.
    StartMigration,
    /// Make the call that lets a post-copy go on.
    ResumePostcopy,
    /// Wait for the migrate call no more: its return means nothing from now on.
    GiveUpCall,
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
    /// Drop the definition on one host.
    Undefine(Side),
    /// Remove the disks that the migration made on the destination.
    RemoveDisks,
    /// Start a timer; one that runs already starts anew.
    Arm(Timer),
    /// Tell that something was put right.
    ReportRecovery(Recovery),
    /// Tell what became of a reaction.
    ReportAdjustment(AdjustmentKind, AdjustmentResult),
    /// Tell what came of a cancel that was asked for after the end.
    ReportCancelAnswer,
    /// Tell that the answer to a cancel is not known yet.
    ReportCancelInDoubt,
    /// Tell that a cancel comes too late, and why the migration goes on.
    ReportCancelRefused,
}

/// What the facts say that control has to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Found {
    /// How the guest stands.
    pub run: GuestRun,
    /// Whether its definition outlives its run, and so goes with it.
    pub is_persistent: bool,
    /// Whether the destination has a definition of it already.
    pub is_defined_there: bool,
    /// Whether the migration will make disks on the destination.
    pub makes_disks: bool,
}

/// The timers of a migration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Timer {
    /// An answer is overdue.
    Reply,
    /// A reaction's answer is overdue.
    Reaction,
    /// Pre-copy has lasted long enough.
    GiveUp,
    /// A job goes on although its end was accepted: it is asked for once more.
    AskAgain,
    /// It is not known for too long where the guest is, or a post-copy has been cut off for too long.
    Patience,
    /// The next look at both ends, or the next try.
    LookAgain,
    /// The next look at the job.
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
