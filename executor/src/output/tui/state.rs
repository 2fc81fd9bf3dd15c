//! The data of the picture: collected from events, bounded in size, drawn elsewhere.

use whimbrel_core::convergence::{Statistics, SyncReport, SyncTotals};
use whimbrel_core::{Event, Instant, Outcome, PhaseName, View};

use whimbrel_policy::follow::Report;

use super::series::Series;
use whimbrel_observe::names::Names;
use whimbrel_observe::units::approx;

/// Most marks of regressions that are kept.
const MARKS_KEPT: usize = 2_048;

/// Syncs after which the first pass no longer rules the scale.
const SYNCS_TO_ZOOM: u64 = 3;

/// Part of the width that is left to the first pass once there is something else to see.
const FIRST_PASS_SHARE: f64 = 0.2;

/// Everything that is drawn, in bounded memory. Seconds and bytes.
#[derive(Clone, Debug, Default)]
pub struct PictureState {
    pub(super) names: Names,
    pub(super) phase: Option<PhaseName>,
    pub(super) now: Instant,
    pub(super) latest: Option<Statistics>,
    pub(super) remaining: Series,
    pub(super) dirty_rate: Series,
    pub(super) bandwidth: Series,
    pub(super) marks: Vec<Mark>,
    pub(super) totals: SyncTotals,
    pub(super) downtime_limit_ms: Option<u64>,
    pub(super) cancel_asked: bool,
    pub(super) stopped_since: Option<Instant>,
    pub(super) outcome: Option<Outcome>,
    /// The last forecast, while memory is copied.
    pub(super) forecast: Option<Report>,
    /// The end of the first pass, or the first sync that was seen after it.
    second_sync_s: Option<f64>,
}

/// A regression on the curve.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mark {
    pub(super) at_s: f64,
    pub(super) bytes: f64,
    /// Whether more remained than at the sync before.
    pub(super) gained: bool,
}

/// The part of the curves that is drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Window {
    pub(super) from_s: f64,
    pub(super) to_s: f64,
    /// The most that has to fit under the top.
    pub(super) most_bytes: f64,
}

impl PictureState {
    /// Takes one event, with the migration as it stands right after it. Constant time on average.
    pub fn take(&mut self, now: Instant, event: &Event, view: View<'_>) {
        if self.names.guest.is_empty() {
            self.names = Names::of(view.spec);
            self.downtime_limit_ms = view.spec.downtime_limit_ms;
        }
        self.now = now;
        self.cancel_asked = view.cancel_asked;
        self.stopped_since = view.stopped_since;
        self.totals = view.convergence.totals();
        match event {
            Event::Phase(phase) => {
                self.phase = Some(*phase);
                // A copy that has ended has no forecast.
                if *phase != PhaseName::Precopy {
                    self.forecast = None;
                }
            }
            Event::Progress(statistics) => self.look(now, statistics),
            Event::Sync(SyncReport { sync, .. }) => {
                if self.totals.syncs_seen > 1 {
                    self.second_sync_s.get_or_insert(at_s(now));
                }
                if sync.dirtied_bytes > 0 {
                    let bytes = approx(sync.memory_remaining_bytes);
                    self.mark(Mark { at_s: at_s(now), bytes, gained: sync.above_previous });
                }
            }
            Event::Ended(outcome) => self.outcome = Some((**outcome).clone()),
            Event::Judged(_)
            | Event::CancelAnswered(_)
            | Event::Reacted(..)
            | Event::Seen(..)
            | Event::Recovered(_) => {}
        }
    }

    /// Takes a forecast.
    pub fn forecast(&mut self, report: &Report) {
        self.forecast = Some(report.clone());
    }

    /// The range to draw: everything, until there are a few iterations; from then on the first pass, which is as long as
    /// the guest is large and shows no regression, gets a fifth of the width and may run off the top.
    pub(super) fn window(&self) -> Window {
        let points = self.remaining.points();
        let begin_s = points.first().map_or(0.0, |point| point.0);
        let last_s = points.last().map_or(0.0, |point| point.0);
        let whole = points.iter().map(|point| point.1).fold(0.0, f64::max);
        let mut window = Window { from_s: begin_s, to_s: last_s.max(begin_s + 1.0), most_bytes: whole };
        if let Some(second_sync_s) = self.second_sync_s
            && self.totals.syncs_seen >= SYNCS_TO_ZOOM
        {
            let lead_s = (last_s - second_sync_s) * FIRST_PASS_SHARE / (1.0 - FIRST_PASS_SHARE);
            window.from_s = begin_s.max(second_sync_s - lead_s);
            let high = approx(self.totals.high_water_bytes.unwrap_or(0)) * 1.15;
            window.most_bytes = whole.min(high);
        }
        window
    }

    fn look(&mut self, now: Instant, statistics: &Statistics) {
        let x = at_s(now);
        let remaining = approx(statistics.memory_remaining_bytes);
        let before = self.latest.replace(*statistics);
        if let (Some(before), Some(&(_, bottom))) = (before, self.remaining.points().last())
            && statistics.iteration > before.iteration
            && remaining > bottom
        {
            // The rise happens at once, when the dirty bitmap is read: without this point it would be drawn as a
            // slope from the previous query.
            self.remaining.push(x, bottom);
        }
        if statistics.knows_memory() {
            self.remaining.push(x, remaining);
        }
        if let Some(rate) = statistics.bandwidth_bytes_per_second {
            self.bandwidth.push(x, approx(rate));
        }
        if let Some(rate) = statistics.dirty_rate_bytes_per_second() {
            self.dirty_rate.push(x, approx(rate));
        }
    }

    fn mark(&mut self, mark: Mark) {
        if self.marks.len() == MARKS_KEPT {
            let pairs = self.marks.chunks(2).filter_map(|pair| {
                pair.iter().copied().max_by(|a, b| {
                    (a.gained, a.bytes).partial_cmp(&(b.gained, b.bytes)).unwrap_or(std::cmp::Ordering::Equal)
                })
            });
            self.marks = pairs.collect();
        }
        self.marks.push(mark);
    }
}

fn at_s(instant: Instant) -> f64 {
    approx(instant.as_ns()) / 1e9
}
