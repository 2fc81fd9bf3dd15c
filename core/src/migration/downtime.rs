//! How long the guest was stopped, as this migration observed it.
//!
//! A stop begins when it is reported: our own pause was answered, or the hypervisor hinted at its stop of the guest. It
//! ends when the guest is seen running, on either host. A stop whose beginning or end was missed, because a hint was
//! lost or the driver was down meanwhile, makes the whole figure unknown: a number must never be made of what was not
//! observed, and no decision depends on it.

use crate::facts::GuestRun;
use crate::port::{CopyState, Hint, Side};
use crate::time::Instant;
use crate::vocabulary::PhaseName;

const NS_PER_MS: u64 = 1_000_000;

/// The downtime of one migration.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Downtime {
    /// Whether the guest ran before the migration: only then is a stop of it downtime.
    counts: bool,
    /// The beginning of the current stop.
    since: Option<Instant>,
    /// All stops that have ended, in ns; `None` when there was none.
    ended_ns: Option<u64>,
    /// Whether a beginning or an end was missed.
    is_unknown: bool,
    /// The last input before the driver went down during a stop, until the guest has been observed since.
    gone_since: Option<Instant>,
    /// Whether the guest was seen running on the destination: what the source reports after that is late.
    has_moved: bool,
}

impl Downtime {
    /// Takes the guest's state before the migration.
    pub(super) fn begins_with(&mut self, run: GuestRun) {
        self.counts = run == GuestRun::Running;
    }

    /// The source's copy is reported stopped.
    fn stopped(&mut self, now: Instant) {
        if !self.has_moved {
            self.since.get_or_insert(now);
            self.gone_since = None;
        }
    }

    /// A pause of ours was answered in this phase. After the copy it comes too late to stop anything.
    pub(super) fn paused(&mut self, now: Instant, phase: PhaseName) {
        if may_be_copying(phase) {
            self.stopped(now);
        }
    }

    /// A hint that came in this phase. Outside of a copy it is late.
    pub(super) fn hinted(&mut self, now: Instant, hint: Hint, phase: PhaseName) {
        match hint {
            Hint::SourceSuspended | Hint::PostcopyBegan if may_be_copying(phase) => self.stopped(now),
            Hint::SourceResumed if may_be_copying(phase) && !self.has_moved => self.runs(now, 0),
            Hint::SourceSuspended
            | Hint::SourceResumed
            | Hint::PostcopyBegan
            | Hint::IterationBegan
            | Hint::JobEnded
            | Hint::PostcopyFailed => {}
        }
    }

    /// An observation. When the driver was down, `precision_ms` is how late it may be without making the figure
    /// unknown.
    pub(super) fn seen(&mut self, now: Instant, side: Side, state: CopyState, precision_ms: u64) {
        match (side, state) {
            (_, CopyState::Running)
            | (Side::Destination, CopyState::Migrating | CopyState::Postcopy | CopyState::PostcopyFailed) => {
                self.has_moved |= side == Side::Destination;
                self.runs(now, precision_ms);
            }
            // It has stopped; if its beginning was not reported, it was missed.
            (_, CopyState::Stopped | CopyState::Paused)
            | (Side::Source, CopyState::Postcopy | CopyState::PostcopyFailed) => {
                self.is_unknown |= self.since.is_none() && !self.has_moved;
                self.gone_since = None;
            }
            (Side::Destination, CopyState::Incoming) => self.gone_since = None,
            (Side::Source, CopyState::Migrating | CopyState::Incoming)
            | (_, CopyState::Defined | CopyState::Absent | CopyState::Unknown) => {}
        }
    }

    /// The driver was down from `last` on, and observed nothing meanwhile.
    pub(super) fn driver_was_gone(&mut self, last: Instant) {
        if self.since.is_some() {
            self.gone_since.get_or_insert(last);
        }
    }

    /// A stop may have begun or ended without having been observed here.
    pub(super) fn missed_something(&mut self) {
        self.is_unknown = true;
    }

    /// Since when the guest is stopped, if it is.
    pub(super) fn stopped_since(&self) -> Option<Instant> {
        self.since.filter(|_| self.counts)
    }

    /// The downtime in ms, rounded up; `None` where it is not known, or the guest never stopped or is still stopped.
    pub(super) fn total_ms(&self) -> Option<u64> {
        let is_known = self.counts && !self.is_unknown && self.since.is_none();
        self.ended_ns.filter(|_| is_known).map(|ns| ns.div_ceil(NS_PER_MS))
    }

    fn runs(&mut self, now: Instant, precision_ms: u64) {
        if let Some(gone_since) = self.gone_since.take() {
            self.is_unknown |= now.since_ms(gone_since) > precision_ms;
        }
        if let Some(since) = self.since.take() {
            let ns = now.as_ns().saturating_sub(since.as_ns());
            self.ended_ns = Some(self.ended_ns.unwrap_or(0).saturating_add(ns));
        }
    }
}

/// Whether the source's copy may still be copied in this phase, so that what it reports is not late.
const fn may_be_copying(phase: PhaseName) -> bool {
    matches!(phase, PhaseName::Precopy | PhaseName::SwitchingOver | PhaseName::Resolving)
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLL_MS: u64 = 250;

    fn at(ms: u64) -> Instant {
        Instant::BEGIN.plus_ms(ms)
    }

    fn running() -> Downtime {
        let mut downtime = Downtime::default();
        downtime.begins_with(GuestRun::Running);
        downtime
    }

    #[test]
    fn a_guest_that_never_stopped_has_no_downtime_and_not_one_of_zero() {
        let mut downtime = running();
        downtime.seen(at(10), Side::Source, CopyState::Running, POLL_MS);
        assert_eq!(downtime.total_ms(), None);
    }

    #[test]
    fn a_pause_of_ours_counts_from_its_answer_and_not_from_the_hand_over() {
        let mut downtime = running();
        downtime.stopped(at(4_000));
        downtime.hinted(at(41_000), Hint::SourceSuspended, PhaseName::Precopy);
        assert_eq!((downtime.stopped_since(), downtime.total_ms()), (Some(at(4_000)), None));
        downtime.seen(at(41_200), Side::Destination, CopyState::Running, POLL_MS);
        assert_eq!(downtime.total_ms(), Some(37_200));
        downtime.hinted(at(41_300), Hint::SourceSuspended, PhaseName::Resolving);
        assert_eq!(downtime.total_ms(), Some(37_200), "what the source reports now is late");
    }

    #[test]
    fn stops_add_up() {
        let mut downtime = running();
        downtime.hinted(at(100), Hint::SourceSuspended, PhaseName::Precopy);
        downtime.hinted(at(150), Hint::SourceResumed, PhaseName::SwitchingOver);
        downtime.hinted(at(900), Hint::SourceSuspended, PhaseName::Precopy);
        downtime.seen(at(1_000), Side::Destination, CopyState::Running, POLL_MS);
        assert_eq!(downtime.total_ms(), Some(150));
    }

    #[test]
    fn a_stop_whose_beginning_was_missed_is_unknown() {
        let mut downtime = running();
        downtime.seen(at(5_000), Side::Destination, CopyState::Paused, POLL_MS);
        downtime.seen(at(5_300), Side::Destination, CopyState::Running, POLL_MS);
        assert_eq!(downtime.total_ms(), None);
    }

    #[test]
    fn a_guest_that_was_paused_before_has_no_downtime_of_ours() {
        let mut downtime = Downtime::default();
        downtime.begins_with(GuestRun::Paused);
        downtime.hinted(at(5), Hint::SourceSuspended, PhaseName::Precopy);
        assert_eq!(downtime.stopped_since(), None);
        downtime.seen(at(9), Side::Destination, CopyState::Running, POLL_MS);
        assert_eq!(downtime.total_ms(), None);
    }

    #[test]
    fn what_ended_while_the_driver_was_gone_is_unknown_unless_that_was_short() {
        let gone = |back_ms, state| {
            let mut downtime = running();
            downtime.stopped(at(1_000));
            downtime.driver_was_gone(at(2_000));
            downtime.seen(at(back_ms), Side::Destination, state, POLL_MS);
            downtime.seen(at(9_000), Side::Destination, CopyState::Running, POLL_MS);
            downtime.total_ms()
        };
        assert_eq!(gone(2_200, CopyState::Running), Some(1_200));
        assert_eq!(gone(4_000, CopyState::Running), None);
        assert_eq!(gone(4_000, CopyState::Incoming), Some(8_000), "it had not run before");
    }
}
