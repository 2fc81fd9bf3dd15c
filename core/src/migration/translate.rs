//! Translation between the port's types and control's signals and orders.

use super::{AnswerMatch, Migration, Misuse, Slot};
use crate::control::{
    AbortSignal, ActSignal, AdjustmentSignal, CallSignal, Found, JobSignal, Order, SettingSignal,
    SetupSignal, Signal,
};
use crate::convergence::SyncReport;
use crate::event::Event;
use crate::facts::{Facts, Verdict};
use crate::outcome::Leftover;
use crate::port::{
    Action, Answer, CopyState, Failure, Fault, JobReport, JobState, Observation, Setting, Side,
};
use crate::spec::Spec;
use crate::time::Instant;
use crate::vocabulary::{AdjustmentKind, Change, PhaseName};

impl Migration {
    /// The signal of an observation; `None` for an answer that is not awaited any more.
    pub(super) fn translate(
        &mut self,
        now: Instant,
        observation: Observation,
    ) -> Result<Option<Signal>, Misuse> {
        let (to, answer) = match observation {
            Observation::Hint(hint) => {
                self.now = now;
                self.downtime.hinted(now, hint, self.control.phase().name());
                return Ok(Some(Signal::Hint(hint)));
            }
            Observation::Answer { to, answer } => (to, answer),
        };
        match self.in_flight.claim(to, &answer) {
            AnswerMatch::Unknown => Err(Misuse::UnknownCommand(to)),
            AnswerMatch::WrongKind => Err(Misuse::WrongAnswer(to)),
            AnswerMatch::Stale => {
                self.now = now;
                Ok(None)
            }
            AnswerMatch::Awaited(slot) => {
                self.now = now;
                Ok(Some(self.answer_signal(slot, answer)))
            }
        }
    }

    /// The action of an order that is a command; `None` for other orders.
    pub(super) fn action(&self, order: Order) -> Option<Action> {
        match order {
            Order::CollectFacts => Some(Action::CollectFacts),
            Order::EvaluateRules => self.facts.clone().map(Action::EvaluateRules),
            Order::ReadSettings => Some(Action::ReadSettings),
            Order::Apply(change) => self.wanted(change).map(Action::ApplySetting),
            Order::Restore(change) => self.original(change).map(Action::ApplySetting),
            Order::Adjust(kind) => self.adjustment_action(kind),
            Order::StartMigration => Some(Action::StartMigration),
            Order::ResumePostcopy => Some(Action::ResumePostcopy),
            Order::PollJob => Some(Action::PollJob),
            Order::AbortMigration => Some(Action::AbortMigration),
            Order::Observe(side) => Some(Action::Observe(side)),
            Order::Resume(side) => Some(Action::Resume(side)),
            Order::Destroy(side) => Some(Action::Destroy(side)),
            Order::Undefine(side) => Some(Action::Undefine(side)),
            Order::RemoveDisks => {
                let disks = self.facts.as_ref().map(|facts| facts.disks_to_make.clone());
                Some(Action::RemoveDisks(disks.unwrap_or_default()))
            }
            Order::GiveUpCall
            | Order::Arm(_)
            | Order::ReportRecovery(_)
            | Order::ReportAdjustment(..)
            | Order::ReportCancelAnswer
            | Order::ReportCancelInDoubt
            | Order::ReportCancelRefused => None,
        }
    }

    fn wanted(&self, change: Change) -> Option<Setting> {
        match change {
            Change::DowntimeLimit => self.spec.downtime_limit_ms.map(Setting::DowntimeLimitMs),
            Change::BandwidthLimit => {
                self.spec.bandwidth_limit_bytes_per_second.map(Setting::BandwidthLimitBytesPerSecond)
            }
            Change::Pause | Change::Disks => None,
        }
    }

    fn original(&self, change: Change) -> Option<Setting> {
        let originals = self.originals?;
        match change {
            Change::DowntimeLimit => Some(Setting::DowntimeLimitMs(originals.downtime_limit_ms)),
            Change::BandwidthLimit => {
                Some(Setting::BandwidthLimitBytesPerSecond(originals.bandwidth_limit_bytes_per_second))
            }
            Change::Pause | Change::Disks => None,
        }
    }

    fn adjustment_action(&self, kind: AdjustmentKind) -> Option<Action> {
        match kind {
            AdjustmentKind::DowntimeLimit | AdjustmentKind::BandwidthLimit => {
                self.requested_setting.map(Action::ApplySetting)
            }
            AdjustmentKind::Pause => Some(Action::Suspend),
            AdjustmentKind::Postcopy => Some(Action::StartPostcopy),
        }
    }

    fn answer_signal(&mut self, slot: Slot, answer: Answer) -> Signal {
        self.note_downtime(slot, &answer);
        match answer {
            Answer::Applied(result) | Answer::Acted(result) | Answer::Postcopy(result)
                if slot == Slot::Reaction =>
            {
                Signal::Reacted(match result {
                    Ok(()) => AdjustmentSignal::Done,
                    Err(failure) if failure.fault == Fault::Refused => AdjustmentSignal::Refused,
                    Err(_) => AdjustmentSignal::Unknown,
                })
            }
            Answer::Facts(Ok(facts)) => {
                let found = Found::of(&facts, &self.spec);
                self.facts = Some(facts);
                Signal::Setup(SetupSignal::FactsArrived(found))
            }
            Answer::Facts(Err(failure)) => self.failed(failure, Signal::Setup(SetupSignal::FactsMissing)),
            Answer::Verdict(verdict) => {
                let allows = verdict.allows();
                // The journal's record keeps the basis; an event needs only the findings.
                self.report(Event::Judged(Verdict { basis: None, ..verdict }));
                Signal::Setup(if allows { SetupSignal::Allowed } else { SetupSignal::Refused })
            }
            Answer::Settings(Ok(settings)) => {
                self.originals = Some(settings);
                self.limits.read(settings.into());
                Signal::Setup(SetupSignal::SettingsRead)
            }
            Answer::Settings(Err(failure)) => {
                self.failed(failure, Signal::Setup(SetupSignal::SettingsUnreadable))
            }
            Answer::Applied(Ok(())) => Signal::Setting(SettingSignal::Applied),
            Answer::Applied(Err(failure)) => self.failed(failure, Signal::Setting(SettingSignal::Unknown)),
            Answer::CallReturned(Ok(())) => Signal::Call(CallSignal::Succeeded),
            Answer::CallReturned(Err(failure)) => {
                let lost = failure.fault == Fault::ReplyLost;
                self.failed(failure, Signal::Call(if lost { CallSignal::Lost } else { CallSignal::Failed }))
            }
            Answer::Job(Ok(report)) => self.measure(report),
            Answer::Job(Err(_)) => Signal::Job(JobSignal::Unknown),
            Answer::Abort(Ok(())) => Signal::Abort(AbortSignal::Accepted),
            Answer::Abort(Err(_)) => Signal::Abort(AbortSignal::Refused),
            Answer::Copy(state) => {
                let side = if slot == Slot::Source { Side::Source } else { Side::Destination };
                self.report_seen(side, state);
                Signal::Seen(side, state)
            }
            Answer::Acted(Ok(())) | Answer::Postcopy(Ok(())) => Signal::Act(ActSignal::Done),
            Answer::Acted(Err(failure)) | Answer::Postcopy(Err(failure)) => {
                self.failed(failure, Signal::Act(ActSignal::Unknown))
            }
        }
    }

    /// Updates the downtime from an answer that shows whether the guest runs.
    fn note_downtime(&mut self, slot: Slot, answer: &Answer) {
        match (slot, answer) {
            (_, Answer::Facts(Ok(facts))) => self.downtime.begins_with(facts.guest.run),
            // The only adjustment with this answer is a pause.
            (Slot::Reaction, Answer::Acted(Ok(()))) => {
                self.downtime.paused(self.now, self.control.phase().name());
            }
            (_, Answer::Copy(state)) => {
                let side = if slot == Slot::Source { Side::Source } else { Side::Destination };
                self.downtime.seen(self.now, side, *state, self.spec.poll_interval_ms);
            }
            _ => {}
        }
    }

    /// Reports an observed copy: while memory is copied only an arrival and halves in post-copy, at the end everything
    /// that is new in its phase.
    fn report_seen(&mut self, side: Side, state: CopyState) {
        let at_the_end = self.control.phase().name() >= PhaseName::Completing;
        if !at_the_end && state != CopyState::Incoming && !state.is_half() {
            return;
        }
        let place = match side {
            Side::Source => &mut self.seen.0,
            Side::Destination => &mut self.seen.1,
        };
        if place.replace(state) != Some(state) {
            // A state that has just changed is queried again soon: a result that must be confirmed several times in a
            // row would otherwise come after the timeout.
            self.tries = 0;
            self.report(Event::Seen(side, state));
        }
    }

    /// Keeps the first failure: later ones are mostly its consequences.
    fn failed(&mut self, failure: Failure, signal: Signal) -> Signal {
        self.failure.get_or_insert(failure);
        signal
    }

    fn measure(&mut self, report: JobReport) -> Signal {
        let statistics = report.statistics.measured(report.state != JobState::Active);
        match report.state {
            JobState::None => Signal::Job(JobSignal::Gone),
            JobState::Completed => {
                self.convergence.conclude(self.now, &statistics);
                self.report(Event::Progress(statistics));
                Signal::Job(JobSignal::Gone)
            }
            JobState::Active => {
                // XBZRLE sends pages that no count shows: by it no kind of a sync can be derived.
                let limit_ms = self.limits.downtime_ms_now().filter(|_| !self.spec.transfer.xbzrle);
                let sync = self.convergence.observe(self.now, &statistics, limit_ms);
                self.report(Event::Progress(statistics));
                if let Some(sync) = sync {
                    let totals = Some(self.convergence.totals());
                    self.report(Event::Sync(SyncReport { sync, totals }));
                }
                Signal::Job(JobSignal::Active)
            }
        }
    }
}

impl Found {
    /// The part of the facts that control depends on.
    pub(crate) fn of(facts: &Facts, spec: &Spec) -> Self {
        Self {
            run: facts.guest.run,
            is_persistent: facts.guest.persistent,
            is_defined_there: facts.destination.has_guest.is_some(),
            makes_disks: spec.transfer.copy_disks && !facts.disks_to_make.is_empty(),
        }
    }
}

pub(super) const fn leftover(change: Change) -> Leftover {
    match change {
        Change::DowntimeLimit => Leftover::DowntimeLimit,
        Change::BandwidthLimit => Leftover::BandwidthLimit,
        Change::Pause => Leftover::Paused,
        Change::Disks => Leftover::Disks,
    }
}
