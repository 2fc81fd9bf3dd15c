//! Commands in flight, and their answers: the shell around control, without ids and numbers.
//!
//! A command travels, is executed, and its answer travels back; either direction may take any time, so answers overtake
//! each other and are about the past. A command whose answer is not awaited any more is still executed some time, or
//! never. Only settings keep their order, which the port promises.

use whimbrel_core::control::{AdjustmentKind, Change, Order, Orders, Phase, Timer};
use whimbrel_core::{CopyState, Side};

use super::model::Returned;
use super::moves::LateCommand;

/// A command and its answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) enum Exchange<A> {
    /// None is awaited.
    #[default]
    Idle,
    /// The command is in flight.
    Sent,
    /// The answer is in flight.
    Answered(A),
}

/// The migrate call, from the caller's side.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) enum CallOut {
    #[default]
    Idle,
    /// On its way to the daemon.
    Start,
    /// The one that resumes a post-copy, on its way to the daemon.
    Resume,
    /// The daemon has it.
    Taken,
    /// It has returned, and the result is in flight.
    Returned(Returned),
}

/// An action on a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Act {
    /// It is resumed.
    Resume(Side),
    /// It is destroyed.
    Destroy(Side),
    /// Its definition is removed.
    Undefine(Side),
    /// The disks that the migration created are removed.
    RemoveDisks,
}

/// A setting that is being changed or put back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct SettingOrder {
    pub(crate) change: Change,
    /// Whether it gets the value that it had before.
    pub(crate) restores: bool,
}

/// A hypervisor's answer to an adjustment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Reacted {
    Done,
    Refused,
    Unknown,
}

/// The result of a query of the job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum JobSeen {
    Active,
    Gone,
    Unknown,
}

/// All commands in flight.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct InFlight {
    pub(crate) facts: Exchange<bool>,
    pub(crate) rules: Exchange<()>,
    pub(crate) settings: Exchange<bool>,
    pub(crate) setting: Option<(SettingOrder, Exchange<bool>)>,
    /// Changes of settings whose answers are not awaited any more, oldest first; no other overtakes them.
    pub(crate) late_settings: [Option<SettingOrder>; 6],
    pub(crate) call: CallOut,
    pub(crate) job: Exchange<JobSeen>,
    pub(crate) abort: Exchange<bool>,
    pub(crate) source: Exchange<CopyState>,
    pub(crate) destination: Exchange<CopyState>,
    pub(crate) act: Option<(Act, Exchange<bool>)>,
    pub(crate) reaction: Option<(AdjustmentKind, Exchange<Reacted>)>,
    /// Acts and requests whose answers are not awaited any more.
    pub(crate) late: LateSet,
    /// Timers that run, by their place in [`Timer::ALL`].
    pub(crate) armed: u8,
}

/// Commands that may still be executed although their answers are not awaited: a bit for each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct LateSet(u16);

impl LateSet {
    pub(crate) fn keep(&mut self, command: LateCommand) {
        self.0 |= Self::bit(command);
    }

    /// Takes it off; false if it is not there.
    pub(crate) fn take(&mut self, command: LateCommand) -> bool {
        let before = *self;
        self.0 &= !Self::bit(command);
        *self != before
    }

    pub(crate) fn iter(self) -> impl Iterator<Item = LateCommand> {
        LateCommand::UNORDERED
            .into_iter()
            .enumerate()
            .filter(move |(place, _)| self.0 & (1 << place) != 0)
            .map(|(_, command)| command)
    }

    fn bit(command: LateCommand) -> u16 {
        let place = LateCommand::UNORDERED.into_iter().position(|other| other == command);
        assert!(place.is_some(), "{command:?} is not one of those that are carried out in any order");
        place.map_or(0, |place| 1 << place)
    }
}

impl InFlight {
    /// Whether a timer runs.
    pub(crate) fn is_armed(&self, timer: Timer) -> bool {
        self.armed & bit(timer) != 0
    }

    /// The migrate call returns, if it does, to its waiting caller.
    pub(crate) fn return_call(&mut self, returned: Option<Returned>) {
        if let Some(returned) = returned
            && self.call == CallOut::Taken
        {
            self.call = CallOut::Returned(returned);
        }
    }

    /// A timer runs out.
    pub(crate) fn elapse(&mut self, timer: Timer) {
        self.armed &= !bit(timer);
        self.give_up(timer);
    }

    /// Timers that a phase has no use for are stopped.
    pub(crate) fn keep_wanted(&mut self, phase: Phase) {
        for timer in Timer::ALL {
            if !phase.wants(timer) {
                self.armed &= !bit(timer);
            }
        }
    }

    /// Gives orders; a new one of a kind retires the one before.
    pub(crate) fn give(&mut self, orders: &Orders) {
        for order in orders.iter() {
            match order {
                Order::Arm(timer) => self.armed |= bit(timer),
                Order::CollectFacts => self.facts = Exchange::Sent,
                Order::EvaluateRules => self.rules = Exchange::Sent,
                Order::ReadSettings => self.settings = Exchange::Sent,
                Order::Apply(change) => self.give_setting(SettingOrder { change, restores: false }),
                Order::Restore(change) => self.give_setting(SettingOrder { change, restores: true }),
                Order::StartMigration => self.call = CallOut::Start,
                Order::ResumePostcopy => self.call = CallOut::Resume,
                Order::PollJob => self.job = Exchange::Sent,
                Order::AbortMigration => {
                    if self.abort == Exchange::Sent {
                        self.late.keep(LateCommand::Abort);
                    }
                    self.abort = Exchange::Sent;
                }
                Order::Observe(Side::Source) => self.source = Exchange::Sent,
                Order::Observe(Side::Destination) => self.destination = Exchange::Sent,
                Order::Resume(side) => self.give_act(Act::Resume(side)),
                Order::Destroy(side) => self.give_act(Act::Destroy(side)),
                Order::Undefine(side) => self.give_act(Act::Undefine(side)),
                Order::RemoveDisks => self.give_act(Act::RemoveDisks),
                Order::Adjust(reaction) => {
                    self.retire_reaction();
                    self.reaction = Some((reaction, Exchange::Sent));
                }
                Order::GiveUpCall => self.call = CallOut::Idle,
                Order::ReportRecovery(_)
                | Order::ReportAdjustment(..)
                | Order::ReportCancelAnswer
                | Order::ReportCancelInDoubt
                | Order::ReportCancelRefused => {}
            }
        }
    }

    /// A timer retires the commands that it limits.
    fn give_up(&mut self, timer: Timer) {
        match timer {
            Timer::Reply => {
                self.facts = Exchange::Idle;
                self.rules = Exchange::Idle;
                self.settings = Exchange::Idle;
                self.job = Exchange::Idle;
                self.source = Exchange::Idle;
                self.destination = Exchange::Idle;
                self.retire_setting();
                self.retire_act();
            }
            Timer::Reaction => self.retire_reaction(),
            Timer::GiveUp | Timer::AskAgain | Timer::Patience | Timer::LookAgain | Timer::Poll => {}
        }
    }

    /// The driver is gone. A migrate call that was in flight has arrived or not by the time another driver continues:
    /// the caller of this says which.
    pub(crate) fn give_up_all(&mut self) {
        self.give_up(Timer::Reply);
        self.retire_reaction();
        if self.abort == Exchange::Sent {
            self.late.keep(LateCommand::Abort);
        }
        self.abort = Exchange::Idle;
        self.call = CallOut::Idle;
    }

    fn give_setting(&mut self, order: SettingOrder) {
        self.retire_setting();
        self.setting = Some((order, Exchange::Sent));
    }

    fn give_act(&mut self, act: Act) {
        self.retire_act();
        self.act = Some((act, Exchange::Sent));
    }

    fn retire_setting(&mut self) {
        if let Some((order, Exchange::Sent)) = self.setting.take() {
            self.keep_setting(order);
        }
    }

    /// The oldest change that is late, taken off.
    pub(crate) fn take_late_setting(&mut self) -> Option<SettingOrder> {
        let [first, rest @ ..] = self.late_settings;
        let [second, third, fourth, fifth, sixth] = rest;
        self.late_settings = [second, third, fourth, fifth, sixth, None];
        first
    }

    pub(crate) fn has_late_setting(&self) -> bool {
        self.late_settings.iter().any(Option::is_some)
    }

    fn keep_setting(&mut self, order: SettingOrder) {
        // Twice in a row is as once.
        if self.late_settings.iter().flatten().last() == Some(&order) {
            return;
        }
        let place = self.late_settings.iter_mut().find(|place| place.is_none());
        assert!(place.is_some(), "more settings are late than there are places");
        if let Some(place) = place {
            *place = Some(order);
        }
    }

    fn retire_act(&mut self) {
        if let Some((act, Exchange::Sent)) = self.act.take() {
            self.late.keep(LateCommand::Act(act));
        }
    }

    fn retire_reaction(&mut self) {
        match self.reaction.take() {
            Some((AdjustmentKind::DowntimeLimit, Exchange::Sent)) => {
                self.keep_setting(SettingOrder { change: Change::DowntimeLimit, restores: false });
            }
            Some((AdjustmentKind::BandwidthLimit, Exchange::Sent)) => {
                self.keep_setting(SettingOrder { change: Change::BandwidthLimit, restores: false });
            }
            Some((AdjustmentKind::Pause, Exchange::Sent)) => self.late.keep(LateCommand::Pause),
            Some((AdjustmentKind::Postcopy, Exchange::Sent)) => self.late.keep(LateCommand::Postcopy),
            Some((_, Exchange::Idle | Exchange::Answered(_))) | None => {}
        }
    }
}

const _: () = assert!(Timer::ALL.len() <= 8, "a timer has no bit");

const fn bit(timer: Timer) -> u8 {
    1 << timer as u8
}
