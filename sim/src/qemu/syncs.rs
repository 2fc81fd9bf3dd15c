//! Reading the dirty bitmap: when, what is counted of it, and what auto-converge makes of the count.
//!
//! A sync of the loop may end a pass; others are made by the throttle's timer, at the switch to post-copy and with the
//! guest stopped. Which of them are iterations differs between versions ([`Behaviour`](super::Behaviour)).

use std::ops::Deref;

use whimbrel_core::convergence::SyncKind;

use super::behaviour::{Iterations, SyncRule};
use super::dirty_limit::Limiter;
use super::machine::{Machine, NS_PER_MS, Plan};
use super::statistics::EventKind;
use super::step::{Step, Turn};
use super::wire::Mode;
use crate::guest::PAGE_BYTES;
use crate::memory::Memory;

/// The dirty rate is computed again at a sync only after more than this.
const RATE_PERIOD_MS: u64 = 1000;

/// The dirty rate and what accumulates towards its next value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Rates {
    pub(super) sync_count: u64,
    /// The kind of the last sync.
    pub(super) sync_kind: SyncKind,
    period_pages: u64,
    period_started_ms: Option<u64>,
    pub(super) pages_per_second: u64,
    /// What remained after the last sync.
    pub(super) remaining_at_sync_bytes: u64,
}

impl<P: Deref<Target = Plan>, M: Memory> Machine<P, M> {
    #[inline]
    pub(super) fn sync_done(&mut self) -> Turn<EventKind> {
        // The step that this sync may bring begins with a sleep, but no CPU is asleep yet.
        let asleep_until_ns = self.asleep_until_ns();
        let kind = if self.ends_pass(self.remaining_bytes()) { SyncKind::End } else { SyncKind::Within };
        let newly_dirty_pages = self.sync_dirty_pages(kind, true);
        self.step = asleep_until_ns.map_or(Step::Judging, |until_ns| Step::AwaitingCpus { until_ns });
        Turn::Happened(self.sync_event(newly_dirty_pages, true))
    }

    /// Whether so little remains that a sync ends the pass.
    #[inline]
    pub(super) fn ends_pass(&self, remaining_bytes: u64) -> bool {
        match self.plan.config.behaviour.sync {
            SyncRule::BelowThreshold => remaining_bytes < self.threshold_bytes,
            SyncRule::AtThresholdOrAllPostcopiable => remaining_bytes <= self.threshold_bytes,
        }
    }

    /// Whether nothing must be sent before a switch to post-copy, for which the loop reads the bitmap each time.
    #[inline]
    pub(super) fn syncs_before_each_burst(&self) -> bool {
        let config = &self.plan.config;
        config.behaviour.sync == SyncRule::AtThresholdOrAllPostcopiable && config.postcopy.is_some()
    }

    /// Until when a sync that has read the bitmap waits for virtual CPUs, if it does.
    fn asleep_until_ns(&self) -> Option<u64> {
        let waits = self.plan.config.host.syncs_wait_for_cpus && self.guest_runs;
        self.throttle.asleep_until_ns(self.clock_ns).filter(|_| waits)
    }

    /// Reads the dirty bitmap now; returns how many pages were clean before and are dirty now. A sync of the loop is an
    /// iteration in every version.
    #[inline]
    pub(super) fn sync_dirty_pages(&mut self, kind: SyncKind, of_the_loop: bool) -> u64 {
        self.let_pass(self.clock_ns);
        let plan = &*self.plan;
        let written = self.clocks.collect(&plan.guest);
        let newly_dirty_pages = self.memory.sync(&plan.page_classes, &written, &mut self.chance);
        let is_iteration = self.is_iteration(of_the_loop);
        let period_pages = self.rates.sync(self.clock_ns / NS_PER_MS, newly_dirty_pages, kind);
        self.rates.sync_count += u64::from(is_iteration);
        if let Some(pages) = period_pages {
            self.slow_guest_down(pages);
        }
        let remaining_pages = self.memory.remaining();
        self.rates.remaining_at_sync_bytes = self.remaining_bytes();
        if self.cache.round_ended(newly_dirty_pages, remaining_pages, &mut self.host_chance) {
            let (hit_share, skip_share) = (self.cache.hit_share(), self.cache.skip_share());
            let mode = Mode { hit_share, skip_share, ..self.mode };
            self.set_prices(self.wire.link_bytes_per_second(), mode);
        }
        newly_dirty_pages
    }

    /// A period of more than a second ended at a sync, in which this many pages were dirtied.
    fn slow_guest_down(&mut self, dirtied_pages: u64) {
        let config = &self.plan.config;
        let (dirtied_bytes, sent_bytes) = (dirtied_pages * PAGE_BYTES, self.sent.transferred_bytes);
        if let Some(rules) = &config.auto_converge {
            let threshold_percent = rules.trigger_threshold_percent;
            if let Some(excess) = self.trigger.period_ended(threshold_percent, dirtied_bytes, sent_bytes) {
                self.throttle.step(rules, excess, self.clock_ns);
            }
        } else if let Some(rules) = &config.dirty_limit
            && let threshold_percent = rules.trigger_threshold_percent
            && self.trigger.period_ended(threshold_percent, dirtied_bytes, sent_bytes).is_some()
            && self.limiter.is_none()
        {
            self.limiter = Some(Limiter::new(rules, self.clock_ns, self.clocks.progress()));
        }
    }

    /// The timers of dirty-limit and auto-converge: each virtual CPU's sleep is adjusted, and a sync that is overdue made
    /// and returned.
    ///
    /// The sync is overdue if the timer finds the count of iterations as it was when it last looked, and not before the
    /// first pass has ended; at its first look it remembers none (QEMU's `cpu_throttle_dirty_sync_timer_tick`).
    pub(super) fn look_at_timers(&mut self) -> Option<EventKind> {
        let plan = &*self.plan;
        if let (Some(limiter), Some(rules)) = (&mut self.limiter, &plan.config.dirty_limit) {
            limiter.adjust(rules, self.clock_ns, self.clocks.progress());
        }
        let period_ns = plan.config.auto_converge.and_then(|rules| rules.periodic_sync_ns);
        if let (Some((due_ns, syncs_then)), Some(period_ns)) = (self.periodic_sync, period_ns)
            && self.clock_ns >= due_ns
        {
            // Another thread does it, so that it takes no time of this one.
            let is_overdue = self.rates.sync_count > 1 && self.rates.sync_count == syncs_then;
            let newly_dirty = is_overdue.then(|| self.sync_dirty_pages(SyncKind::Within, false));
            let next_ns = self.clock_ns.saturating_add(period_ns.get());
            self.periodic_sync = Some((next_ns, self.rates.sync_count));
            return newly_dirty.map(|pages| self.sync_event(pages, self.is_iteration(false)));
        }
        None
    }

    /// Whether a sync, of the loop or by another part of QEMU, is an iteration.
    fn is_iteration(&self, of_the_loop: bool) -> bool {
        of_the_loop || self.plan.config.behaviour.iterations == Iterations::EverySync
    }

    pub(super) fn last_sync_done(&mut self) -> Turn<EventKind> {
        let newly_dirty_pages = self.sync_dirty_pages(SyncKind::End, false);
        let event = self.sync_event(newly_dirty_pages, self.is_iteration(false));
        if self.plan.config.pause_before_switchover {
            self.step = Step::PreSwitchover { reported: false };
        } else {
            let burst = self.open_burst();
            self.step = Step::LastPass(burst);
        }
        Turn::Happened(event)
    }

    #[inline]
    pub(super) fn sync_event(&self, newly_dirty_pages: u64, announced: bool) -> EventKind {
        EventKind::SyncDone {
            iteration: self.rates.sync_count,
            announced,
            newly_dirty_pages,
            remaining_bytes: self.remaining_bytes(),
        }
    }
}

impl Rates {
    /// Takes the pages of a sync; returns those of the period if one ended with it.
    #[inline]
    pub(super) fn sync(&mut self, now_ms: u64, newly_dirty_pages: u64, kind: SyncKind) -> Option<u64> {
        self.sync_kind = kind;
        self.period_pages += newly_dirty_pages;
        let started_ms = *self.period_started_ms.get_or_insert(now_ms);
        let period_ms = now_ms - started_ms;
        if period_ms <= RATE_PERIOD_MS {
            return None;
        }
        self.pages_per_second = self.period_pages.saturating_mul(1000) / period_ms;
        self.period_started_ms = Some(now_ms);
        Some(std::mem::take(&mut self.period_pages))
    }
}
