//! The migration loop itself, turn by turn, as QEMU 7.2's migration thread runs it.
//!
//! It must never skip a rule because the result would "usually" be the same: convergence at the edge hangs
//! on exactly these rules.

use super::guest::PAGE_BYTES;
use super::source::{NS_PER_MS, SourceMigration};
use super::statistics::{EventKind, Status};
use super::step::{Burst, Step, Turn};
use super::transfer::{Limits, Transfer};

/// Length of a rate window.
const WINDOW_NS: u64 = 100_000_000;
/// The budget of a window is this part of the bandwidth limit.
const WINDOWS_PER_S: u64 = 10;
/// Section header, end mark and footer around the pages of a burst.
const FRAME_BYTES: u64 = 18;
/// The end mark alone: the part of the frame that the statistics count.
const END_MARK_BYTES: u64 = 8;
/// The dirty rate is worked out anew at a sync only after more than this.
const RATE_PERIOD_NS: u64 = 1_000_000_000;
/// A window of fewer bytes says nothing about the expected downtime.
const MIN_MEANINGFUL_BYTES: u64 = 10_000;

/// Why the loop is to end early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Interrupt {
    Cancel,
    Fail,
}

/// The dirty rate and what accumulates towards its next value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Rates {
    pub(super) sync_count: u64,
    period_pages: u64,
    period_started_ns: Option<u64>,
    pub(super) pages_per_second: u64,
}

impl SourceMigration {
    /// One state further.
    pub(super) fn turn(&mut self, target_ns: u64) -> Turn<EventKind> {
        let stuck = self.waits_for_link();
        match self.step.until_ns() {
            Some(_) if stuck && self.interrupt.is_none() => return Turn::Waiting,
            Some(until_ns) if !stuck && until_ns > target_ns => return Turn::Waiting,
            Some(until_ns) if !stuck => self.clock_ns = until_ns,
            _ => {}
        }
        if self.step != Step::Ended
            && let Some(interrupt) = self.interrupt
        {
            self.clock_ns = self.clock_ns.max(self.present_ns);
            return Turn::Happened(self.end_early(interrupt));
        }
        match self.step {
            Step::Setup { .. } => {
                self.setup_ns = Some(self.clock_ns - self.started_ns);
                self.observed_ns = self.clock_ns;
                self.bytes.transferred += END_MARK_BYTES;
                self.sync_done(Step::Top)
            }
            Step::Top => self.move_to(self.top()),
            Step::Syncing { .. } => self.sync_done(Step::Judging),
            Step::Judging => self.judge(),
            Step::Sending(burst) => self.send(burst, target_ns),
            Step::Limiting => self.limit(),
            Step::Sleeping { .. } => self.move_to(Step::Top),
            Step::Stopping { .. } => self.guest_stopped(),
            Step::LastSync { .. } => {
                let burst = self.open_burst();
                self.sync_done(Step::LastPass(burst))
            }
            Step::LastPass(burst) => self.send_last(burst, target_ns),
            Step::DeviceState { .. } => Turn::Happened(self.complete()),
            Step::Ended => Turn::Waiting,
        }
    }

    fn top(&self) -> Step {
        if self.bytes.in_window > self.limits().window_budget_bytes {
            Step::Limiting
        } else if self.remaining_bytes() < self.threshold_bytes {
            Step::Syncing { until_ns: self.clock_ns.saturating_add(self.sync_ns()) }
        } else {
            Step::Judging
        }
    }

    fn judge(&mut self) -> Turn<EventKind> {
        let remaining_bytes = self.remaining_bytes();
        if remaining_bytes > 0 && remaining_bytes >= self.threshold_bytes {
            let burst = self.open_burst();
            return self.move_to(Step::Sending(burst));
        }
        self.downtime_started_ns = Some(self.clock_ns);
        let stop_ns = if self.guest_runs { self.config.host.stop_guest_ns } else { 0 };
        self.move_to(Step::Stopping { until_ns: self.clock_ns.saturating_add(stop_ns) })
    }

    fn send(&mut self, mut burst: Burst, target_ns: u64) -> Turn<EventKind> {
        let limits = self.limits();
        let over = self.transfer().run(&mut burst, limits, target_ns);
        self.step = if over { Step::Limiting } else { Step::Sending(burst) };
        if over { Turn::Moved } else { Turn::Waiting }
    }

    fn limit(&mut self) -> Turn<EventKind> {
        let window_end_ns = self.window_started_ns.saturating_add(WINDOW_NS);
        if self.clock_ns >= window_end_ns {
            self.step = Step::Top;
            return Turn::Happened(self.close_window());
        }
        if self.bytes.in_window > self.limits().window_budget_bytes {
            let until_ns = window_end_ns.saturating_add(self.config.host.wake_up_ns);
            return self.move_to(Step::Sleeping { until_ns });
        }
        self.move_to(Step::Top)
    }

    fn close_window(&mut self) -> EventKind {
        let spent_ns = self.clock_ns - self.window_started_ns;
        let sent_bytes = self.bytes.in_window;
        self.bandwidth_bytes_per_second = per_second(sent_bytes, spent_ns);
        let limit_ns = self.config.downtime_limit_ms.saturating_mul(NS_PER_MS);
        let threshold = u128::from(sent_bytes) * u128::from(limit_ns) / u128::from(spent_ns.max(1));
        self.threshold_bytes = u64::try_from(threshold).unwrap_or(u64::MAX);
        if self.rates.pages_per_second > 0 && sent_bytes > MIN_MEANINGFUL_BYTES {
            let rest_ms = u128::from(self.remaining_bytes()) * 1000;
            let expected = rest_ms / u128::from(self.bandwidth_bytes_per_second.max(1));
            self.expected_downtime_ms = u64::try_from(expected).unwrap_or(u64::MAX);
        }
        self.window_started_ns = self.clock_ns;
        self.bytes.in_window = 0;
        EventKind::WindowClosed {
            sent_bytes,
            bandwidth_bytes_per_second: self.bandwidth_bytes_per_second,
            threshold_bytes: self.threshold_bytes,
        }
    }

    fn sync_done(&mut self, next: Step) -> Turn<EventKind> {
        self.observe_writes(self.clock_ns);
        let newly_dirty_pages = self.ram.sync();
        let period_pages = self.rates.sync(self.clock_ns, newly_dirty_pages);
        if let Some(pages) = period_pages.filter(|_| self.config.auto_converge) {
            self.throttle.period_ended(pages * PAGE_BYTES, self.bytes.transferred);
        }
        self.step = next;
        Turn::Happened(EventKind::SyncDone {
            iteration: self.rates.sync_count,
            newly_dirty_pages,
            remaining_bytes: self.remaining_bytes(),
        })
    }

    fn guest_stopped(&mut self) -> Turn<EventKind> {
        self.observe_writes(self.clock_ns);
        self.step = Step::LastSync { until_ns: self.clock_ns.saturating_add(self.sync_ns()) };
        if !self.guest_runs {
            return Turn::Moved;
        }
        self.guest_runs = false;
        self.stopped_guest = true;
        Turn::Happened(EventKind::GuestStopped)
    }

    fn send_last(&mut self, mut burst: Burst, target_ns: u64) -> Turn<EventKind> {
        if !self.transfer().run(&mut burst, Limits::NONE, target_ns) {
            self.step = Step::LastPass(burst);
            return Turn::Waiting;
        }
        // With no page to carry it, the frame still goes out.
        self.bytes.add(burst.frame_bytes, 0);
        let until_ns = self.clock_ns.saturating_add(self.config.host.device_state_ns);
        self.move_to(Step::DeviceState { until_ns })
    }

    fn complete(&mut self) -> EventKind {
        self.end(Status::Completed);
        let sending_ns = self.clock_ns - self.started_ns - self.setup_ns.unwrap_or(0);
        self.bandwidth_bytes_per_second = per_second(self.bytes.wire, sending_ns);
        EventKind::Completed
    }

    fn end_early(&mut self, interrupt: Interrupt) -> EventKind {
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

    fn move_to(&mut self, step: Step) -> Turn<EventKind> {
        self.step = step;
        Turn::Moved
    }

    fn open_burst(&mut self) -> Burst {
        self.bytes.transferred += END_MARK_BYTES;
        Burst { started_ns: self.clock_ns, pages: 0, frame_bytes: FRAME_BYTES }
    }

    pub(super) fn observe_writes(&mut self, to_ns: u64) {
        if self.guest_runs {
            let catches_up_ns = self.guest.writer.catches_up_ns();
            let (from, to) = self.throttle.writers_time((self.observed_ns, to_ns), catches_up_ns);
            self.ram.observe(&self.guest, from, to, &mut self.random);
        }
        self.observed_ns = to_ns;
    }

    fn transfer(&mut self) -> Transfer<'_> {
        let Self { ram, bytes, clock_ns, link, .. } = self;
        Transfer { ram, bytes, clock_ns, link: *link }
    }

    pub(super) fn limits(&self) -> Limits {
        let window_budget_bytes = match self.config.max_bandwidth_bytes_per_second {
            0 => u64::MAX,
            limit => limit / WINDOWS_PER_S,
        };
        Limits { window_budget_bytes, gives_way: true }
    }

    pub(super) fn waits_for_link(&self) -> bool {
        let sends = matches!(self.step, Step::Sending(_) | Step::LastPass(_) | Step::DeviceState { .. });
        sends && self.link.is_cut()
    }

    fn sync_ns(&self) -> u64 {
        self.config.host.sync_fixed_ns + self.ram.words() * self.config.host.sync_ns_per_word
    }

    pub(super) fn remaining_bytes(&self) -> u64 {
        self.ram.dirty_pages() * PAGE_BYTES
    }
}

impl Rates {
    /// Counts a sync; returns the pages of the period if one ended with it.
    fn sync(&mut self, now_ns: u64, newly_dirty_pages: u64) -> Option<u64> {
        self.sync_count += 1;
        self.period_pages += newly_dirty_pages;
        let started_ns = *self.period_started_ns.get_or_insert(now_ns);
        let period_ns = now_ns - started_ns;
        if period_ns <= RATE_PERIOD_NS {
            return None;
        }
        self.pages_per_second = per_second(self.period_pages, period_ns);
        self.period_started_ns = Some(now_ns);
        Some(std::mem::take(&mut self.period_pages))
    }
}

fn per_second(amount: u64, ns: u64) -> u64 {
    let rate = u128::from(amount) * 1_000_000_000 / u128::from(ns.max(1));
    u64::try_from(rate).unwrap_or(u64::MAX)
}
