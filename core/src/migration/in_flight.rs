//! The commands in flight. Each kind has one slot: a new command of a kind retires the one before, so a late answer
//! is never matched to a newer command.

use crate::control::{Order, Timer};
use crate::listed::listed;
use crate::port::{Answer, CommandId, Side};

/// Kinds of commands that can be in flight at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Slot {
    Facts,
    Rules,
    Settings,
    Setting,
    Call,
    Job,
    Abort,
    Source,
    Destination,
    Act,
    Reaction,
}

/// How an answer matches the commands in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AnswerMatch {
    /// The answer to the command in this slot.
    Awaited(Slot),
    /// The command was given up, or answered already.
    Stale,
    /// The command expects another kind of answer.
    WrongKind,
    /// No command with this id was ever given.
    Unknown,
}

#[derive(Clone, Debug, Default)]
pub(super) struct InFlight {
    out: [Option<CommandId>; Slot::ALL.len()],
    given: u32,
}

impl InFlight {
    /// A fresh id for a command in this slot.
    pub(super) fn give(&mut self, slot: Slot) -> CommandId {
        let id = CommandId(self.given);
        self.given += 1;
        *self.get_mut(slot) = Some(id);
        id
    }

    /// Matches an answer to its command, which is not in flight any more then.
    pub(super) fn claim(&mut self, id: CommandId, answer: &Answer) -> AnswerMatch {
        if id.0 >= self.given {
            return AnswerMatch::Unknown;
        }
        let Some(slot) = Slot::ALL.into_iter().find(|&slot| self.get(slot) == Some(id)) else {
            return AnswerMatch::Stale;
        };
        if !slot.fits(answer) {
            return AnswerMatch::WrongKind;
        }
        *self.get_mut(slot) = None;
        AnswerMatch::Awaited(slot)
    }

    /// Gives up on the commands that this timer limits; those that may take long stay in flight.
    pub(super) fn give_up_overdue(&mut self, timer: Timer) {
        self.retire(|slot| slot.deadline() == Some(timer));
    }

    /// Gives up on everything: no answer comes after a restart of the driver.
    pub(super) fn give_up_all(&mut self) {
        self.retire(|_| true);
    }

    /// The migrate call, or the call that resumes a post-copy, whose answer is awaited.
    pub(super) fn call(&self) -> Option<CommandId> {
        self.get(Slot::Call)
    }

    /// Gives up on the migrate call.
    pub(super) fn give_up_call(&mut self) {
        self.retire(|slot| slot == Slot::Call);
    }

    fn retire(&mut self, which: impl Fn(Slot) -> bool) {
        for slot in Slot::ALL.into_iter().filter(|&slot| which(slot)) {
            *self.get_mut(slot) = None;
        }
    }

    #[expect(clippy::indexing_slicing, reason = "`listed!` proves that each slot is below the length")]
    const fn get(&self, slot: Slot) -> Option<CommandId> {
        self.out[slot as usize]
    }

    #[expect(clippy::indexing_slicing, reason = "`listed!` proves that each slot is below the length")]
    const fn get_mut(&mut self, slot: Slot) -> &mut Option<CommandId> {
        &mut self.out[slot as usize]
    }
}

listed! {
    /// Every slot.
    const ALL: Slot = [
        Facts, Rules, Settings, Setting, Call, Job, Abort, Source, Destination, Act, Reaction,
    ];
}

impl Slot {
    /// The slot of an order's command; `None` for orders that are not commands.
    pub(super) const fn of(order: Order) -> Option<Self> {
        match order {
            Order::CollectFacts => Some(Self::Facts),
            Order::EvaluateRules => Some(Self::Rules),
            Order::ReadSettings => Some(Self::Settings),
            Order::Apply(_) | Order::Restore(_) => Some(Self::Setting),
            Order::StartMigration | Order::ResumePostcopy => Some(Self::Call),
            Order::PollJob => Some(Self::Job),
            Order::AbortMigration => Some(Self::Abort),
            Order::Observe(Side::Source) => Some(Self::Source),
            Order::Observe(Side::Destination) => Some(Self::Destination),
            Order::Resume(_) | Order::Destroy(_) | Order::Undefine(_) | Order::RemoveDisks => Some(Self::Act),
            Order::Adjust(_) => Some(Self::Reaction),
            Order::GiveUpCall
            | Order::Arm(_)
            | Order::ReportRecovery(_)
            | Order::ReportAdjustment(..)
            | Order::ReportCancelAnswer
            | Order::ReportCancelInDoubt
            | Order::ReportCancelRefused => None,
        }
    }

    /// The timer that limits how long its answer is awaited.
    const fn deadline(self) -> Option<Timer> {
        match self {
            Self::Facts
            | Self::Rules
            | Self::Settings
            | Self::Setting
            | Self::Source
            | Self::Destination
            | Self::Job
            | Self::Act => Some(Timer::Reply),
            Self::Reaction => Some(Timer::Reaction),
            Self::Call | Self::Abort => None,
        }
    }

    const fn fits(self, answer: &Answer) -> bool {
        match self {
            Self::Facts => matches!(answer, Answer::Facts(_)),
            Self::Rules => matches!(answer, Answer::Verdict(_)),
            Self::Settings => matches!(answer, Answer::Settings(_)),
            Self::Setting => matches!(answer, Answer::Applied(_)),
            Self::Call => matches!(answer, Answer::CallReturned(_)),
            Self::Job => matches!(answer, Answer::Job(_)),
            Self::Abort => matches!(answer, Answer::Abort(_)),
            Self::Source | Self::Destination => matches!(answer, Answer::Copy(_)),
            Self::Act => matches!(answer, Answer::Acted(_)),
            Self::Reaction => matches!(answer, Answer::Applied(_) | Answer::Acted(_) | Answer::Postcopy(_)),
        }
    }
}
