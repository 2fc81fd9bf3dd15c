//! Between the port's words and control's alphabet.

use super::{Claim, Migration, Misuse, Place};
use crate::control::{Order, SettingKind, Signal};
use crate::event::{Event, PhaseName};
use crate::outcome::Leftover;
use crate::port::{
    Action, Answer, CopyState, Failure, Fault, Hint, JobReport, JobState, Observation, Setting, Side,
};
use crate::time::Instant;

impl Migration {
    /// What an observation means to control; `None` when it is an answer that nobody waits for any more.
    pub(super) fn translate(
        &mut self,
        now: Instant,
        observation: Observation,
    ) -> Result<Option<Signal>, Misuse> {
        let (to, answer) = match observation {
            Observation::Hint(hint) => {
                self.now = now;
                return Ok(Some(hint_signal(hint)));
            }
            Observation::Answer { to, answer } => (to, answer),
        };
        match self.desk.claim(to, &answer) {
            Claim::Never => Err(Misuse::UnknownCommand(to)),
            Claim::WrongKind => Err(Misuse::WrongAnswer(to)),
            Claim::Stale => {
                self.now = now;
                Ok(None)
            }
            Claim::Asked(place) => {
                self.now = now;
                Ok(Some(self.answer_signal(place, answer)))
            }
        }
    }

    /// The action of an order that is a command.
    pub(super) fn action(&self, order: Order) -> Option<Action> {
        match order {
            Order::CollectFacts => Some(Action::CollectFacts),
            Order::EvaluateRules => self.facts.clone().map(Action::EvaluateRules),
            Order::ReadSettings => Some(Action::ReadSettings),
            Order::Apply(kind) => self.wanted(kind).map(Action::ApplySetting),
            Order::Restore(kind) => self.original(kind).map(Action::ApplySetting),
            Order::StartMigration => Some(Action::StartMigration),
            Order::PollJob => Some(Action::PollJob),
            Order::AbortMigration => Some(Action::AbortMigration),
            Order::Observe(side) => Some(Action::Observe(side)),
            Order::Resume(side) => Some(Action::Resume(side)),
            Order::Destroy(side) => Some(Action::Destroy(side)),
            Order::Arm(_)
            | Order::ArmLookAgain(_)
            | Order::Tell(_)
            | Order::TellCancelAnswer
            | Order::TellCancelInDoubt => None,
        }
    }

    fn wanted(&self, kind: SettingKind) -> Option<Setting> {
        match kind {
            SettingKind::DowntimeLimit => self.spec.downtime_limit_ms.map(Setting::DowntimeLimitMs),
            SettingKind::BandwidthLimit => {
                self.spec.bandwidth_limit_bytes_per_second.map(Setting::BandwidthLimitBytesPerSecond)
            }
        }
    }

    fn original(&self, kind: SettingKind) -> Option<Setting> {
        let originals = self.originals?;
        Some(match kind {
            SettingKind::DowntimeLimit => Setting::DowntimeLimitMs(originals.downtime_limit_ms),
            SettingKind::BandwidthLimit => {
                Setting::BandwidthLimitBytesPerSecond(originals.bandwidth_limit_bytes_per_second)
            }
        })
    }

    fn answer_signal(&mut self, place: Place, answer: Answer) -> Signal {
        match answer {
            Answer::Facts(Ok(facts)) => {
                let run = facts.guest.run;
                self.facts = Some(facts);
                Signal::FactsArrived(run)
            }
            Answer::Facts(Err(failure)) => self.failed(failure, Signal::FactsMissing),
            Answer::Verdict(verdict) => {
                let allows = verdict.allows();
                self.tell(Event::Judged(verdict));
                if allows { Signal::Allowed } else { Signal::Refused }
            }
            Answer::Settings(Ok(settings)) => {
                self.originals = Some(settings);
                Signal::SettingsRead
            }
            Answer::Settings(Err(failure)) => self.failed(failure, Signal::SettingsUnreadable),
            Answer::Applied(Ok(())) => Signal::Applied,
            Answer::Applied(Err(failure)) => self.failed(failure, Signal::NotApplied),
            Answer::CallReturned(Ok(())) => Signal::CallSucceeded,
            Answer::CallReturned(Err(failure)) => {
                let lost = failure.fault == Fault::ReplyLost;
                self.failed(failure, if lost { Signal::CallLost } else { Signal::CallFailed })
            }
            Answer::Job(Ok(report)) => self.measure(report),
            // Nobody asks for a switch to post-copy yet.
            Answer::Job(Err(_)) | Answer::Postcopy(_) => Signal::JobUnknown,
            Answer::Abort(Ok(())) => Signal::AbortAccepted,
            Answer::Abort(Err(_)) => Signal::AbortRefused,
            Answer::Copy(state) => {
                let side = if place == Place::Source { Side::Source } else { Side::Destination };
                // On the way only an arrival is worth telling; at the end everything is.
                if self.control.phase().name() >= PhaseName::Completing || state == CopyState::Incoming {
                    self.tell(Event::Seen(side, state));
                }
                Signal::Seen(side, state)
            }
            Answer::Acted(Ok(())) => Signal::Acted,
            Answer::Acted(Err(failure)) => self.failed(failure, Signal::NotActed),
        }
    }

    /// Keeps the first failure: what comes after it is mostly its consequence.
    fn failed(&mut self, failure: Failure, signal: Signal) -> Signal {
        self.failure.get_or_insert(failure);
        signal
    }

    fn measure(&mut self, report: JobReport) -> Signal {
        let statistics = report.statistics;
        match report.state {
            JobState::None => Signal::JobGone,
            JobState::Completed => {
                self.convergence.conclude(self.now, &statistics);
                self.tell(Event::Progress(statistics));
                Signal::JobGone
            }
            JobState::Active => {
                let sync = self.convergence.observe(self.now, &statistics);
                self.tell(Event::Progress(statistics));
                if let Some(sync) = sync {
                    self.tell(Event::Sync(sync));
                }
                Signal::JobActive
            }
        }
    }
}

pub(super) const fn leftover(kind: SettingKind) -> Leftover {
    match kind {
        SettingKind::DowntimeLimit => Leftover::DowntimeLimit,
        SettingKind::BandwidthLimit => Leftover::BandwidthLimit,
    }
}

const fn hint_signal(hint: Hint) -> Signal {
    match hint {
        Hint::IterationBegan => Signal::IterationBegan,
        Hint::SourceSuspended => Signal::SourceSuspended,
        Hint::SourceResumed => Signal::SourceResumed,
        Hint::JobEnded => Signal::JobEnded,
    }
}
