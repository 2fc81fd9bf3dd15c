//! The deadlines of a migration's timers.

use crate::control::{Phase, Timer};
use crate::time::Instant;

#[derive(Clone, Debug, Default)]
pub(super) struct Timers {
    due: [Option<Instant>; Timer::ALL.len()],
}

impl Timers {
    pub(super) fn arm(&mut self, timer: Timer, at: Instant) {
        *self.slot(timer) = Some(at);
    }

    /// The first timer that is due; it does not run any more then.
    pub(super) fn take_due(&mut self, now: Instant) -> Option<Timer> {
        let timer = Timer::ALL.into_iter().find(|&timer| self.at(timer).is_some_and(|at| at <= now))?;
        *self.slot(timer) = None;
        Some(timer)
    }

    /// Drops the timers that mean nothing in this phase.
    pub(super) fn keep_wanted(&mut self, phase: Phase) {
        for timer in Timer::ALL {
            if !phase.wants(timer) {
                *self.slot(timer) = None;
            }
        }
    }

    /// The timers that run, each with its deadline.
    pub(super) fn running(&self) -> impl Iterator<Item = (Timer, Instant)> + '_ {
        Timer::ALL.into_iter().filter_map(|timer| self.at(timer).map(|at| (timer, at)))
    }

    pub(super) fn earliest(&self) -> Option<Instant> {
        self.due.iter().flatten().min().copied()
    }

    #[expect(clippy::indexing_slicing, reason = "`listed!` proves that each timer is below the length")]
    const fn at(&self, timer: Timer) -> Option<Instant> {
        self.due[timer as usize]
    }

    #[expect(clippy::indexing_slicing, reason = "`listed!` proves that each timer is below the length")]
    const fn slot(&mut self, timer: Timer) -> &mut Option<Instant> {
        &mut self.due[timer as usize]
    }
}
