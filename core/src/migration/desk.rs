//! The commands that are out. Each kind has one place: a new command of a kind retires the one before, so that an
//! answer which comes late can never be taken for the answer to what was asked last.

use crate::control::{Order, Timer};
use crate::listed::listed;
use crate::port::{Answer, CommandId, Side};

/// Kinds of commands that can be out at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
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

/// What an answer is to a migration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Claim {
    /// The answer to the command that is out at this place.
    Asked(Place),
    /// An answer to a command that was given up or answered already.
    Stale,
    /// The command that is out asks for another kind of answer.
    WrongKind,
    /// No such command was ever given.
    Never,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Desk {
    out: [Option<CommandId>; Place::ALL.len()],
    given: u32,
}

impl Desk {
    /// A fresh id for a command at this place.
    pub(super) fn give(&mut self, place: Place) -> CommandId {
        let id = CommandId(self.given);
        self.given += 1;
        *self.slot(place) = Some(id);
        id
    }

    /// Takes the command that an answer belongs to off the desk.
    pub(super) fn claim(&mut self, id: CommandId, answer: &Answer) -> Claim {
        if id.0 >= self.given {
            return Claim::Never;
        }
        let Some(place) = Place::ALL.into_iter().find(|&place| self.at(place) == Some(id)) else {
            return Claim::Stale;
        };
        if !place.fits(answer) {
            return Claim::WrongKind;
        }
        *self.slot(place) = None;
        Claim::Asked(place)
    }

    /// Gives up on what this timer is to end the waiting for; what may take long stays out.
    pub(super) fn give_up_overdue(&mut self, timer: Timer) {
        self.retire(|place| place.deadline() == Some(timer));
    }

    /// Gives up on everything: whoever was to answer is gone.
    pub(super) fn give_up_all(&mut self) {
        self.retire(|_| true);
    }

    /// The migrate call, or the call that resumes a post-copy, whose answer is awaited.
    pub(super) fn call(&self) -> Option<CommandId> {
        self.at(Place::Call)
    }

    /// Gives up on the migrate call.
    pub(super) fn give_up_call(&mut self) {
        self.retire(|place| place == Place::Call);
    }

    fn retire(&mut self, which: impl Fn(Place) -> bool) {
        for place in Place::ALL.into_iter().filter(|&place| which(place)) {
            *self.slot(place) = None;
        }
    }

    #[expect(clippy::indexing_slicing, reason = "`listed!` proves that each place is below the length")]
    const fn at(&self, place: Place) -> Option<CommandId> {
        self.out[place as usize]
    }

    #[expect(clippy::indexing_slicing, reason = "`listed!` proves that each place is below the length")]
    const fn slot(&mut self, place: Place) -> &mut Option<CommandId> {
        &mut self.out[place as usize]
    }
}

listed! {
    /// Every place.
    const ALL: Place = [
        Facts, Rules, Settings, Setting, Call, Job, Abort, Source, Destination, Act, Reaction,
    ];
}

impl Place {
    /// The place of an order's command; `None` for orders that are no commands.
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
            Order::React(_) => Some(Self::Reaction),
            Order::GiveUpCall
            | Order::Arm(_)
            | Order::Tell(_)
            | Order::TellReaction(..)
            | Order::TellCancelAnswer
            | Order::TellCancelInDoubt
            | Order::TellCancelRefused => None,
        }
    }

    /// The timer that ends the waiting for its answer.
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
