//! The migration loop itself, turn by turn, as QEMU's migration thread runs it.
//!
//! It must never skip a rule because the result would "usually" be the same: convergence at the edge hangs
//! on exactly these rules. The clock that decides counts whole milliseconds, as QEMU's does.

use std::ops::Deref;

use whimbrel_core::convergence::SyncKind;

use super::behaviour::{Completion, Iterations};
use super::machine::{Machine, NS_PER_MS, Plan, WINDOW_MS, Window, per_second};
use super::statistics::{EventKind, Status};
use super::step::{Burst, Step, Turn};
use super::wire::{END_MARK_BYTES, FRAME_BYTES};
use crate::memory::Memory;

/// A window of fewer bytes says nothing about the expected downtime.
const MIN_MEANINGFUL_BYTES: u64 = 10_000;

/// Why the loop is to end early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Interrupt {
    Cancel,
    Fail,
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
            && !matches!(self.step, Step::Ended | Step::Failing { .. })
        {
            self.clock_ns = self.clock_ns.max(self.present_ns);
            return self.interrupted(interrupt);
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
            Step::PostcopyPackage { .. } => self.package_sent(),
            Step::PostcopyDevice { .. } => self.begin_postcopy(),
            Step::Failing { .. } => Turn::Happened(self.failed()),
            Step::PostcopyRecovering { .. } => self.recovered(),
            Step::PreSwitchover { reported: false } => {
                self.step = Step::PreSwitchover { reported: true };
                Turn::Happened(EventKind::PreSwitchover)
            }
            Step::PreSwitchover { reported: true } | Step::PostcopyPaused | Step::Ended => Turn::Waiting,
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
        self.rates.sync_count = 1;
        self.rates.remaining_at_sync_bytes = self.remaining_bytes();
        let announced = self.plan.config.behaviour.iterations == Iterations::EverySync;
        Turn::Happened(self.sync_event(0, announced))
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
        let throttles = self.plan.config.auto_converge.is_some() || self.plan.config.dirty_limit.is_some();
        if throttles && let Some(event) = self.look_at_timers() {
            return Turn::Happened(event);
        }
        if self.ends_pass(self.remaining_bytes()) || self.syncs_before_each_burst() {
            return self.move_to(Step::Syncing { until_ns: self.clock_ns.saturating_add(self.plan.sync_ns) });
        }
        self.judge(target_ns)
    }

    /// Sends, or hands over if what is left is little enough by an exact count.
    #[inline]
    fn judge(&mut self, target_ns: u64) -> Turn<EventKind> {
        let remaining_bytes = self.remaining_bytes();
        let completion = self.plan.config.behaviour.completion;
        let completes = match completion {
            Completion::BelowThreshold => remaining_bytes == 0 || remaining_bytes < self.threshold_bytes,
            Completion::AtThreshold => remaining_bytes <= self.threshold_bytes,
        };
        if self.postcopy.is_due() && (!completes || completion == Completion::AtThreshold) {
            return self.begin_stopping_for_postcopy();
        }
        if !completes {
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
            self.expected_downtime_ms = self.downtime_of_last_sync_ms();
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

    pub(super) fn end_early(&mut self, interrupt: Interrupt) -> Turn<EventKind> {
        match interrupt {
            Interrupt::Cancel => {
                let guest_resumed = self.resume_guest();
                self.end(Status::Cancelled);
                Turn::Happened(EventKind::Cancelled { guest_resumed })
            }
            Interrupt::Fail if self.plan.config.behaviour.failing => {
                self.interrupt = None;
                // Starting the virtual CPUs again takes as long as stopping them did; not measured.
                let start_ns = if self.stopped_guest { self.plan.config.host.stop_guest_ns } else { 0 };
                self.move_to(Step::Failing { until_ns: self.clock_ns.saturating_add(start_ns) })
            }
            Interrupt::Fail => Turn::Happened(self.failed()),
        }
    }

    fn failed(&mut self) -> EventKind {
        let guest_resumed = self.resume_guest();
        self.end(Status::Failed);
        EventKind::Failed { guest_resumed }
    }

    /// The guest goes on here if this migration stopped it; whether it did.
    fn resume_guest(&mut self) -> bool {
        self.guest_runs |= self.stopped_guest;
        self.stopped_guest
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

/// `amount` · `times` / `parts`, in wide arithmetic only where it must be.
#[inline]
pub(super) fn scaled(amount: u64, times: u64, parts: u64) -> u64 {
    if let Some(product) = amount.checked_mul(times) {
        return product / parts.max(1);
    }
    let wide = u128::from(amount) * u128::from(times) / u128::from(parts.max(1));
    u64::try_from(wide).unwrap_or(u64::MAX)
}
