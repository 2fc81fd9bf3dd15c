//! The migration loop itself, turn by turn, as QEMU's migration thread runs it.
//!
//! It must never skip a rule because the result would "usually" be the same: convergence at the edge hangs
//! on exactly these rules. The clock that decides counts whole milliseconds, as QEMU's does.

use std::ops::Deref;

use whimbrel_core::convergence::SyncKind;

use super::dirty_limit::Limiter;
use super::machine::{Machine, NS_PER_MS, Plan, WINDOW_MS, Window, per_second};
use super::statistics::{EventKind, Status};
use super::step::{Burst, Step, Turn};
use super::wire::{END_MARK_BYTES, FRAME_BYTES, Mode};
use crate::guest::PAGE_BYTES;
use crate::memory::Memory;

/// The dirty rate is computed again at a sync only after more than this.
const RATE_PERIOD_MS: u64 = 1000;
/// A window of fewer bytes says nothing about the expected downtime.
const MIN_MEANINGFUL_BYTES: u64 = 10_000;

/// Why the loop is to end early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Interrupt {
    Cancel,
    Fail,
}

/// The dirty rate and what accumulates towards its next value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Rates {
    pub(super) sync_count: u64,
    /// The kind of the last sync.
    pub(super) sync_kind: SyncKind,
    period_pages: u64,
    period_started_ms: Option<u64>,
    pub(super) pages_per_second: u64,
}

impl<P: Deref<Target = Plan>, M: Memory> Machine<P, M> {
    /// Runs to the next event, but not beyond `target_ns`. Call again until nothing is returned.
    pub(crate) fn advance_to(&mut self, target_ns: u64) -> Option<(u64, EventKind)> {
        let target_ns = target_ns.max(self.present_ns);
        loop {
            match self.turn(target_ns) {
                Turn::Happened(kind) => {
                    self.present_ns = self.present_ns.max(self.clock_ns);
                    return Some((self.clock_ns, kind));
                }
                Turn::Moved => {}
                Turn::Waiting => {
                    self.present_ns = target_ns;
                    return None;
                }
            }
        }
    }

    /// One state further.
    #[inline]
    pub(super) fn turn(&mut self, target_ns: u64) -> Turn<EventKind> {
        if let Some(until_ns) = self.step.until_ns() {
            let stuck = self.waits_for_link();
            match self.interrupt {
                None if stuck => return Turn::Waiting,
                _ if !stuck && until_ns > target_ns => return Turn::Waiting,
                _ if !stuck => self.clock_ns = until_ns,
                _ => {}
            }
        }
        if let Some(interrupt) = self.interrupt
            && self.step != Step::Ended
        {
            self.clock_ns = self.clock_ns.max(self.present_ns);
            return Turn::Happened(self.interrupted(interrupt));
        }
        match self.step {
            Step::Setup { .. } => self.set_up(),
            Step::Top => self.top(target_ns),
            Step::Syncing { .. } => self.sync_done(),
            Step::AwaitingCpus { .. } => self.move_to(Step::Judging),
            Step::Judging => self.judge(target_ns),
            Step::Sending(burst) => self.send(burst, target_ns),
            Step::Sleeping { .. } => Turn::Happened(self.close_window()),
            Step::Stopping { .. } => self.guest_stopped(),
            Step::LastSync { .. } => self.last_sync_done(),
            Step::LastPass(burst) => self.send_last(burst, target_ns),
            Step::DeviceState { .. } => Turn::Happened(self.complete()),
            Step::PostcopyStopping { .. } => self.stopped_for_postcopy(),
            Step::PostcopyPackage { .. } => self.begin_postcopy(),
            Step::PostcopyRecovering { .. } => self.recovered(),
            Step::PreSwitchover { told: false } => {
                self.step = Step::PreSwitchover { told: true };
                Turn::Happened(EventKind::PreSwitchover)
            }
            Step::PreSwitchover { told: true } | Step::PostcopyPaused | Step::Ended => Turn::Waiting,
        }
    }

    fn set_up(&mut self) -> Turn<EventKind> {
        self.setup_ended_ns = Some(self.clock_ns);
        self.sent.transferred_bytes += END_MARK_BYTES;
        // What the guest wrote before is in the pages, all of which are still to be sent.
        self.let_pass(self.clock_ns);
        self.clocks.collect(&self.plan.guest);
        self.step = Step::Top;
        self.rates.sync(self.clock_ns / NS_PER_MS, 0, SyncKind::Unknown);
        Turn::Happened(self.sync_event(0))
    }

    /// The loop's top: too little is left, or it is sent.
    #[inline]
    fn top(&mut self, target_ns: u64) -> Turn<EventKind> {
        if self.window.bytes > self.limits().budget_bytes {
            return self.limit();
        }
        if self.postcopy.began() {
            return self.send_after_switch(target_ns);
        }
        if self.plan.config.auto_converge.is_some() || self.plan.config.dirty_limit.is_some() {
            self.look_at_timers();
        }
        if self.remaining_bytes() < self.threshold_bytes {
            return self.move_to(Step::Syncing { until_ns: self.clock_ns.saturating_add(self.plan.sync_ns) });
        }
        self.judge(target_ns)
    }

    /// Sends, or hands over if what is left is little enough by an exact count.
    #[inline]
    fn judge(&mut self, target_ns: u64) -> Turn<EventKind> {
        let remaining_bytes = self.remaining_bytes();
        if remaining_bytes > 0 && remaining_bytes >= self.threshold_bytes {
            if self.postcopy.is_due() {
                return self.begin_stopping_for_postcopy();
            }
            let burst = self.open_burst();
            return self.send(burst, target_ns);
        }
        self.downtime_started_ns = Some(self.clock_ns);
        let stop_ns = if self.guest_runs { self.plan.config.host.stop_guest_ns } else { 0 };
        self.move_to(Step::Stopping { until_ns: self.clock_ns.saturating_add(stop_ns) })
    }

    /// After the switch everything that is left is sent, and then it is over.
    fn send_after_switch(&mut self, target_ns: u64) -> Turn<EventKind> {
        self.reckon_up_requests();
        if self.memory.remaining() == 0 {
            return Turn::Happened(self.complete());
        }
        let burst = self.open_burst();
        self.send(burst, target_ns)
    }

    /// Closes the window if it is over, or goes to sleep if its budget is spent.
    #[inline]
    pub(super) fn limit(&mut self) -> Turn<EventKind> {
        let end_ms = self.window.started_ms + WINDOW_MS;
        if self.clock_ns / NS_PER_MS >= end_ms {
            return Turn::Happened(self.close_window());
        }
        if self.window.bytes > self.limits().budget_bytes {
            let until_ms = end_ms.saturating_add(self.lateness_ms(1));
            return self.move_to(Step::Sleeping { until_ns: until_ms.saturating_mul(NS_PER_MS) });
        }
        self.move_to(Step::Top)
    }

    #[inline]
    pub(super) fn close_window(&mut self) -> EventKind {
        let now_ms = self.clock_ns / NS_PER_MS;
        let spent_ms = now_ms - self.window.started_ms;
        let sent_bytes = self.window.bytes;
        self.step = Step::Top;
        self.bandwidth_bytes_per_second = scaled(sent_bytes, 1000, spent_ms);
        self.threshold_bytes = self.threshold_after(sent_bytes, spent_ms);
        if self.rates.pages_per_second > 0 && sent_bytes > MIN_MEANINGFUL_BYTES {
            self.expected_downtime_ms = scaled(self.remaining_bytes(), 1000, self.bandwidth_bytes_per_second);
        }
        self.window = Window { started_ms: now_ms, bytes: 0 };
        EventKind::WindowClosed {
            sent_bytes,
            bandwidth_bytes_per_second: self.bandwidth_bytes_per_second,
            threshold_bytes: self.threshold_bytes,
        }
    }

    /// The bytes that may remain for the switchover to start, after a window of this many bytes.
    #[inline]
    pub(super) fn threshold_after(&self, sent_bytes: u64, spent_ms: u64) -> u64 {
        match self.plan.config.switchover_bandwidth_bytes_per_second {
            Some(bandwidth) => scaled(bandwidth.get(), self.downtime_limit_ms, 1000),
            None => scaled(sent_bytes, self.downtime_limit_ms, spent_ms),
        }
    }

    #[inline]
    fn sync_done(&mut self) -> Turn<EventKind> {
        // The step that this sync may bring begins with a sleep, but no CPU is asleep yet.
        let asleep_until_ns = self.asleep_until_ns();
        let newly_dirty_pages = self.sync_dirty_pages(SyncKind::End);
        self.step = asleep_until_ns.map_or(Step::Judging, |until_ns| Step::AwaitingCpus { until_ns });
        Turn::Happened(self.sync_event(newly_dirty_pages))
    }

    /// Until when a sync that has read the bitmap waits for virtual CPUs, if it does.
    fn asleep_until_ns(&self) -> Option<u64> {
        let waits = self.plan.config.host.syncs_wait_for_cpus && self.guest_runs;
        self.throttle.asleep_until_ns(self.clock_ns).filter(|_| waits)
    }

    /// Reads the dirty bitmap now; returns how many pages were clean before and are dirty now.
    #[inline]
    pub(super) fn sync_dirty_pages(&mut self, kind: SyncKind) -> u64 {
        self.let_pass(self.clock_ns);
        let plan = &*self.plan;
        let written = self.clocks.collect(&plan.guest);
        let newly_dirty_pages = self.memory.sync(&plan.page_classes, &written, &mut self.chance);
        if let Some(pages) = self.rates.sync(self.clock_ns / NS_PER_MS, newly_dirty_pages, kind) {
            self.slow_guest_down(pages);
        }
        let remaining_pages = self.memory.remaining();
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
                if let Some(period_ns) = rules.periodic_sync_ns {
                    let next_ns = self.clock_ns.saturating_add(period_ns.get());
                    self.periodic_sync.get_or_insert((next_ns, self.rates.sync_count));
                }
            }
        } else if let Some(rules) = &config.dirty_limit
            && let threshold_percent = rules.trigger_threshold_percent
            && self.trigger.period_ended(threshold_percent, dirtied_bytes, sent_bytes).is_some()
            && self.limiter.is_none()
        {
            self.limiter = Some(Limiter::new(rules, self.clock_ns, self.clocks.progress()));
        }
    }

    /// The timers of a guest that is slowed down: each virtual CPU's sleep is adjusted, and a sync that is overdue
    /// made.
    fn look_at_timers(&mut self) {
        let plan = &*self.plan;
        if let (Some(limiter), Some(rules)) = (&mut self.limiter, &plan.config.dirty_limit) {
            limiter.adjust(rules, self.clock_ns, self.clocks.progress());
        }
        let period_ns = plan.config.auto_converge.and_then(|rules| rules.periodic_sync_ns);
        if let (Some((due_ns, syncs_then)), Some(period_ns)) = (self.periodic_sync, period_ns)
            && self.clock_ns >= due_ns
        {
            // Another thread does it, so that it takes no time of this one.
            if self.rates.sync_count == syncs_then {
                self.sync_dirty_pages(SyncKind::Within);
            }
            let next_ns = self.clock_ns.saturating_add(period_ns.get());
            self.periodic_sync = Some((next_ns, self.rates.sync_count));
        }
    }

    fn last_sync_done(&mut self) -> Turn<EventKind> {
        let newly_dirty_pages = self.sync_dirty_pages(SyncKind::End);
        let event = self.sync_event(newly_dirty_pages);
        if self.plan.config.pause_before_switchover {
            self.step = Step::PreSwitchover { told: false };
        } else {
            let burst = self.open_burst();
            self.step = Step::LastPass(burst);
        }
        Turn::Happened(event)
    }

    #[inline]
    fn sync_event(&self, newly_dirty_pages: u64) -> EventKind {
        EventKind::SyncDone {
            iteration: self.rates.sync_count,
            newly_dirty_pages,
            remaining_bytes: self.remaining_bytes(),
        }
    }

    fn guest_stopped(&mut self) -> Turn<EventKind> {
        self.let_pass(self.clock_ns);
        self.step = Step::LastSync { until_ns: self.clock_ns.saturating_add(self.plan.sync_ns) };
        if !self.guest_runs {
            return Turn::Moved;
        }
        self.guest_runs = false;
        self.stopped_guest = true;
        Turn::Happened(EventKind::GuestStopped)
    }

    fn complete(&mut self) -> EventKind {
        self.end(Status::Completed);
        let sending_ns = self.clock_ns - self.setup_ended_ns.unwrap_or(self.started_ns);
        self.bandwidth_bytes_per_second = per_second(self.sent.wire_bytes, sending_ns);
        EventKind::Completed
    }

    pub(super) fn end_early(&mut self, interrupt: Interrupt) -> EventKind {
        let guest_resumed = self.stopped_guest;
        self.guest_runs |= guest_resumed;
        match interrupt {
            Interrupt::Cancel => {
                self.end(Status::Cancelled);
                EventKind::Cancelled { guest_resumed }
            }
            Interrupt::Fail => {
                self.end(Status::Failed);
                EventKind::Failed { guest_resumed }
            }
        }
    }

    fn end(&mut self, outcome: Status) {
        self.outcome = Some(outcome);
        self.ended_ns = Some(self.clock_ns);
        self.step = Step::Ended;
    }

    #[inline]
    pub(super) fn move_to(&mut self, step: Step) -> Turn<EventKind> {
        self.step = step;
        Turn::Moved
    }

    #[inline]
    pub(super) fn open_burst(&mut self) -> Burst {
        self.sent.transferred_bytes += END_MARK_BYTES;
        Burst::new(self.clock_ns, FRAME_BYTES)
    }
}

impl Rates {
    /// Counts a sync; returns the pages of the period if one ended with it.
    #[inline]
    fn sync(&mut self, now_ms: u64, newly_dirty_pages: u64, kind: SyncKind) -> Option<u64> {
        self.sync_count += 1;
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

/// `amount` · `times` / `parts`, in wide arithmetic only where it must be.
#[inline]
pub(super) fn scaled(amount: u64, times: u64, parts: u64) -> u64 {
    if let Some(product) = amount.checked_mul(times) {
        return product / parts.max(1);
    }
    let wide = u128::from(amount) * u128::from(times) / u128::from(parts.max(1));
    u64::try_from(wide).unwrap_or(u64::MAX)
}
