//! From the events of a migration to its forecast.
//!
//! A [`Follower`] is given every event of a migration, in order, and keeps a [`Model`]; now and then it returns a
//! [`Report`]. The machine of `whimbrel-core` does not know of it: a program that shows events passes them here too. It depends on
//! its inputs only, so a journal that is replayed gives the same reports at the same instants.
//!
//! A report costs up to a millisecond of CPU time, so it is made at most once a second, and once for each pass unless its
//! premises change: another limit, another bandwidth, a pause, or a copy that takes longer than was forecast.

mod before;
mod report;
mod request;
mod syncs;

pub use before::Before;
pub use report::{Action, ActionName, Expected, Interval, Missing, Report};

use whimbrel_core::convergence::{Statistics, SyncReport};
use whimbrel_core::{AdjustmentKind, AdjustmentResult, Event, Instant, Outcome, PhaseName, View};

use self::request::{intent, start};
use self::syncs::Syncs;
use crate::action::{Action as Request, ActionResult};
use crate::fixed_downtime::FixedDowntime;
use crate::forecast::Model;
use crate::observation::{Beforehand, DirtyRate, Seen};
use crate::throttle_response::ThrottleResponse;

/// The least time between two reports.
const LEAST_MS: u64 = 1_000;
/// Another report is made when the bandwidth has changed by more than this, in percent. A starting value.
const MOVED_PERCENT: u64 = 20;

/// Knowledge before a migration begins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// Dirty rates that were measured on the guest.
    pub dirty_rates: alloc::vec::Vec<DirtyRate>,
    /// The fixed part of the downtime between these hosts.
    pub fixed: FixedDowntime,
    /// How the guest responds to a throttle.
    pub response: ThrottleResponse,
}

/// A completed migration's evidence of the fixed part of the downtime: see [`FixedDowntime::learn`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Lesson {
    /// The downtime, as the hypervisor measured it.
    pub downtime_ms: u64,
    /// Memory that was left when the guest stopped.
    pub last_pass_bytes: u64,
    /// The bandwidth.
    pub bytes_per_second: u64,
}

/// Follows one migration.
#[derive(Clone, Debug, Default)]
pub struct Follower {
    known: Known,
    model: Option<Model>,
    syncs: Syncs,
    phase: Option<PhaseName>,
    /// When the copy began: instants of the model are relative to it, as the time limit is.
    began: Option<Instant>,
    /// When the hypervisor reported the guest stopped at the end of the copy.
    stopped: Option<Instant>,
    /// Whether the guest was stopped before that, or ran on the destination first: then its downtime is no usual one.
    was_paused: bool,
    was_postcopy: bool,
    /// Whether an observation came that the last report does not have.
    is_due: bool,
    made: Option<Made>,
    lesson: Option<Lesson>,
}

/// The premises of the last report.
#[derive(Clone, Copy, Debug)]
struct Made {
    at: Instant,
    bandwidth: Option<u64>,
    has_collapsed: bool,
    /// Later than this, the forecast has turned out to be wrong.
    until: Option<Instant>,
}

impl Follower {
    /// Before the migration begins.
    #[must_use]
    pub fn new(known: Known) -> Self {
        Self { known, ..Self::default() }
    }

    /// Takes the next event, with the migration as it stands right after it. A report, if one is due.
    pub fn take(&mut self, now: Instant, event: &Event, view: View<'_>) -> Option<Report> {
        self.observe(now, event, view);
        let is_copied = self.phase == Some(PhaseName::Precopy) && view.outcome.is_none();
        if is_copied { self.report(now, view) } else { None }
    }

    /// The same without a report, for events of the past: one that was due stays due.
    pub fn observe(&mut self, now: Instant, event: &Event, view: View<'_>) {
        match event {
            Event::Phase(phase) => self.enter(now, *phase),
            Event::Progress(statistics) => self.poll(now, statistics, view),
            Event::Sync(seen) => self.sync(now, seen, view),
            Event::Reacted(kind, AdjustmentResult::Done) => self.adjusted(now, *kind, view),
            Event::Ended(outcome) => self.end(outcome),
            Event::Judged(_)
            | Event::CancelAnswered(_)
            | Event::Reacted(..)
            | Event::Seen(..)
            | Event::Recovered(_) => {}
        }
        // By a request, at the time limit, or by a third party: a guest that is stopped dirties nothing.
        let is_stopped = view.stopped_since.is_some();
        if let Some(model) = self.model.as_mut().filter(|model| model.is_paused() != is_stopped) {
            model.set_paused(is_stopped);
            self.was_paused |= is_stopped && self.phase == Some(PhaseName::Precopy);
            self.is_due = true;
        }
    }

    /// The migration's evidence, once it has completed; `None` where something of it was not observed.
    #[must_use]
    pub fn lesson(&self) -> Option<Lesson> {
        self.lesson
    }

    /// The model of the guest; `None` before its memory was measured.
    #[must_use]
    pub fn model(&self) -> Option<&Model> {
        self.model.as_ref()
    }

    fn enter(&mut self, now: Instant, phase: PhaseName) {
        self.phase = Some(phase);
        match phase {
            PhaseName::Precopy => {
                self.began.get_or_insert(now);
            }
            PhaseName::SwitchingOver => {
                self.stopped.get_or_insert(now);
            }
            PhaseName::Postcopy | PhaseName::Recovering => self.was_postcopy = true,
            _ => {}
        }
    }

    /// The model's time.
    fn since_began(&mut self, now: Instant, statistics: &Statistics) -> Instant {
        // A migration that was taken over began before its first event.
        let began = *self
            .began
            .get_or_insert_with(|| Instant::from_ms(now.as_ms().saturating_sub(statistics.elapsed_ms)));
        Instant::from_ms(now.since_ms(began))
    }

    fn poll(&mut self, now: Instant, statistics: &Statistics, view: View<'_>) {
        let at = self.since_began(now, statistics);
        // The numbers of a job that has ended say nothing about the guest.
        if !statistics.knows_memory() || view.convergence.concluded().is_some() {
            return;
        }
        let known = &self.known;
        let model = self.model.get_or_insert_with(|| {
            let before = Beforehand {
                memory_bytes: statistics.memory_total_bytes,
                dirty_rates: known.dirty_rates.clone(),
                ..Beforehand::default()
            };
            self.is_due = true;
            Model::new(&before, start(view.spec, view.limits), known.fixed.clone(), known.response)
        });
        // An event of the sync follows, and has the same statistics.
        if self.syncs.poll(now, statistics) {
            return;
        }
        model.on(at, Seen::Poll(statistics));
    }

    fn sync(&mut self, now: Instant, seen: &SyncReport, view: View<'_>) {
        let Some(sync) = self.syncs.sync(now, &seen.sync) else { return };
        let at = self.since_began(now, &sync.statistics);
        let Some(model) = &mut self.model else { return };
        model.on(at, Seen::Sync(&sync));
        // That of the setup shows nothing.
        self.is_due |= sync.iteration > 1 || view.convergence.totals().syncs_seen > 1;
    }

    fn adjusted(&mut self, now: Instant, kind: AdjustmentKind, view: View<'_>) {
        let Some(model) = &mut self.model else { return };
        let done = match kind {
            AdjustmentKind::DowntimeLimit => view.limits.downtime_ms.map(|ms| Request::DowntimeLimit { ms }),
            AdjustmentKind::BandwidthLimit => view
                .limits
                .bandwidth_bytes_per_second
                .map(|bytes_per_second| Request::Bandwidth { bytes_per_second }),
            // The one shows in the guest, the other in the phase.
            AdjustmentKind::Pause | AdjustmentKind::Postcopy => None,
        };
        if let Some(action) = done {
            model.on(now, Seen::Answered(action, ActionResult::Done));
            self.is_due = true;
        }
    }

    /// Only the hypervisor's own figure has no delay of events in it.
    fn end(&mut self, outcome: &Outcome) {
        let taught = || {
            let (stopped, (at, last)) = (self.stopped?, self.syncs.latest()?);
            let bytes_per_second = self.model.as_ref()?.bandwidth().median()?;
            let meanwhile = u128::from(bytes_per_second) * u128::from(stopped.since_ms(at)) / 1000;
            let meanwhile = u64::try_from(meanwhile).unwrap_or(u64::MAX);
            Some(Lesson {
                downtime_ms: outcome.hypervisor_downtime_ms?,
                last_pass_bytes: last.memory_remaining_bytes.saturating_sub(meanwhile),
                bytes_per_second,
            })
        };
        let is_usual = !self.was_paused && !self.was_postcopy;
        self.lesson = if is_usual { taught() } else { None };
    }

    fn report(&mut self, now: Instant, view: View<'_>) -> Option<Report> {
        let model = self.model.as_ref()?;
        if !self.is_due_at(now, model) {
            return None;
        }
        let report = Report::make(now, model, &intent(view.spec, view.limits), view);
        let until = report.as_is.as_ref().and_then(|as_is| as_is.left_ms.map(|left| now.plus_ms(left.p90)));
        self.made = Some(Made {
            at: now,
            bandwidth: model.bandwidth().median(),
            has_collapsed: model.bandwidth().has_collapsed(),
            until,
        });
        self.is_due = false;
        Some(report)
    }

    fn is_due_at(&self, now: Instant, model: &Model) -> bool {
        let Some(bandwidth) = model.bandwidth().median() else { return false };
        // A sync that an event follows has to be in it.
        if self.syncs.is_pending() {
            return false;
        }
        let Some(made) = &self.made else { return self.is_due };
        if now.since_ms(made.at) < LEAST_MS {
            return false;
        }
        let moved = made.bandwidth.is_none_or(|before| {
            before.abs_diff(bandwidth) > before / 100 * MOVED_PERCENT
                || made.has_collapsed != model.bandwidth().has_collapsed()
        });
        self.is_due || moved || made.until.is_some_and(|until| now > until)
    }
}
