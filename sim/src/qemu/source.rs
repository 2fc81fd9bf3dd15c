//! A migration as its caller sees it: start it, step it through time, change its limits, ask how it stands.
//!
//! What happens in between is the loop's business (`turns`). Nothing here may decide
//! anything that depends on how the caller cuts time into steps.

use crate::random::Random;

use super::guest::{Guest, PAGE_BYTES};
use super::host::HostConstants;
use super::ram::Ram;
use super::statistics::{Event, MemoryStatistics, Statistics, Status};
use super::step::{Step, Turn};
use super::throttle::Throttle;
use super::transfer::{ByteCounts, Limits, Link, burst_end_not_before};
use super::turns::{Interrupt, Rates};

pub(super) const NS_PER_MS: u64 = 1_000_000;

/// What a migration is asked to do, and on which host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourceConfig {
    /// Costs of the host.
    pub host: HostConstants,
    /// Limit in bytes a second; zero means none. QEMU's own default is 128 MiB/s.
    pub max_bandwidth_bytes_per_second: u64,
    /// The hand-over starts once the rest would take less than this; QEMU's default is 300 ms.
    pub downtime_limit_ms: u64,
    /// Whether the guest is slowed down when it dirties more than half of what is sent; QEMU's default is no.
    pub auto_converge: bool,
}

impl Default for SourceConfig {
    fn default() -> Self {
        Self {
            host: HostConstants::default(),
            max_bandwidth_bytes_per_second: 128 << 20,
            downtime_limit_ms: 300,
            auto_converge: false,
        }
    }
}

/// A running migration as the source host sees it.
///
/// The caller owns time: it asks [`next_event_at`](Self::next_event_at), calls
/// [`advance_to`](Self::advance_to) until that returns nothing, and in between may change limits, cut the
/// link or cancel. Changes apply at the instant reached by the last call ([`now_ns`](Self::now_ns)).
#[derive(Clone, Debug)]
pub struct SourceMigration {
    pub(super) config: SourceConfig,
    pub(super) guest: Guest,
    pub(super) random: Random,
    pub(super) ram: Ram,
    pub(super) link: Link,
    pub(super) bytes: ByteCounts,
    pub(super) step: Step,
    pub(super) interrupt: Option<Interrupt>,
    pub(super) outcome: Option<Status>,
    /// Instant up to which the loop has run: the start of the page in flight, or of the state.
    pub(super) clock_ns: u64,
    /// Instant up to which the caller has advanced.
    pub(super) present_ns: u64,
    pub(super) started_ns: u64,
    pub(super) setup_ns: Option<u64>,
    pub(super) ended_ns: Option<u64>,
    pub(super) guest_runs: bool,
    /// Whether this migration stopped the guest, and so has to start it again if it fails.
    pub(super) stopped_guest: bool,
    pub(super) downtime_started_ns: Option<u64>,
    /// Writes up to here are in the log.
    pub(super) observed_ns: u64,
    pub(super) window_started_ns: u64,
    pub(super) threshold_bytes: u64,
    pub(super) bandwidth_bytes_per_second: u64,
    pub(super) expected_downtime_ms: u64,
    pub(super) rates: Rates,
    pub(super) throttle: Throttle,
}

impl SourceMigration {
    /// Starts to migrate `guest` at the instant `now_ns`. All chance comes from `random`.
    #[must_use]
    pub fn start(config: SourceConfig, guest: Guest, now_ns: u64, random: Random) -> Self {
        Self {
            ram: Ram::new(&guest),
            link: Link::new(config.host.link_bytes_per_second, config.host.zero_page_scan_ns),
            bytes: ByteCounts::default(),
            step: Step::Setup { until_ns: now_ns.saturating_add(config.host.setup_ns) },
            interrupt: None,
            outcome: None,
            clock_ns: now_ns,
            present_ns: now_ns,
            started_ns: now_ns,
            setup_ns: None,
            ended_ns: None,
            guest_runs: !guest.paused,
            stopped_guest: false,
            downtime_started_ns: None,
            observed_ns: now_ns,
            window_started_ns: now_ns,
            threshold_bytes: 0,
            bandwidth_bytes_per_second: 0,
            expected_downtime_ms: config.downtime_limit_ms,
            rates: Rates::default(),
            throttle: Throttle::default(),
            config,
            guest,
            random,
        }
    }

    /// The instant reached so far.
    #[must_use]
    pub fn now_ns(&self) -> u64 {
        self.present_ns
    }

    /// An instant before which nothing will happen, so that stepping from one to the next meets every event
    /// at its own time. None when it ended, or waits for a cut link. Often exact, never late; a call that
    /// brings no event still brings the next instant nearer.
    #[must_use]
    pub fn next_event_at(&self) -> Option<u64> {
        if self.step == Step::Ended {
            return None;
        }
        if self.interrupt.is_some() && (self.step.until_ns().is_none() || self.waits_for_link()) {
            return Some(self.present_ns);
        }
        if self.waits_for_link() {
            return None;
        }
        let limits = self.limits();
        match self.step {
            Step::Sending(burst) => {
                burst_end_not_before(&self.ram, &self.bytes, &self.link, (self.clock_ns, &burst, limits))
            }
            Step::LastPass(burst) => {
                let place = (self.clock_ns, &burst, Limits::NONE);
                burst_end_not_before(&self.ram, &self.bytes, &self.link, place)
            }
            step => Some(step.until_ns().unwrap_or(self.present_ns)),
        }
    }

    /// Runs to the next event, but not beyond `target_ns`, which must be an instant the caller means to
    /// reach: after nothing happened, that is the present. Call again until nothing is returned.
    pub fn advance_to(&mut self, target_ns: u64) -> Option<Event> {
        let target_ns = target_ns.max(self.present_ns);
        loop {
            match self.turn(target_ns) {
                Turn::Happened(kind) => {
                    self.present_ns = self.present_ns.max(self.clock_ns);
                    return Some(Event { at_ns: self.clock_ns, kind });
                }
                Turn::Moved => {}
                Turn::Waiting => {
                    self.present_ns = target_ns;
                    return None;
                }
            }
        }
    }

    /// Sets the bandwidth limit, zero for none. The budget changes at once; a loop that sleeps sleeps on.
    pub fn set_max_bandwidth(&mut self, bytes_per_second: u64) {
        if bytes_per_second != self.config.max_bandwidth_bytes_per_second {
            self.config.max_bandwidth_bytes_per_second = bytes_per_second;
            self.restart_page_in_flight();
        }
    }

    /// Sets the downtime limit; it enters the threshold at the end of the window.
    pub fn set_downtime_limit_ms(&mut self, limit_ms: u64) {
        self.config.downtime_limit_ms = limit_ms;
    }

    /// Changes the link's capacity. Zero cuts it: nothing arrives and nothing fails until it is restored, or
    /// until the caller decides that the connection is lost and calls [`fail`](Self::fail).
    pub fn set_link_bytes_per_second(&mut self, bytes_per_second: u64) {
        if bytes_per_second == self.link.bytes_per_second() {
            return;
        }
        let was_cut = self.link.is_cut();
        self.link = Link::new(bytes_per_second, self.config.host.zero_page_scan_ns);
        self.restart_page_in_flight();
        if let Step::DeviceState { until_ns } = &mut self.step
            && was_cut
        {
            *until_ns = self.present_ns.saturating_add(self.config.host.device_state_ns);
        }
    }

    /// Pauses or resumes the guest from outside. Without effect once the migration stopped it itself.
    pub fn set_guest_paused(&mut self, paused: bool) {
        if !self.stopped_guest && self.step != Step::Ended {
            self.observe_writes(self.present_ns);
            self.guest_runs = !paused;
        }
    }

    /// Asks for a cancel, which takes effect at the loop's next step. False if it comes too late.
    pub fn cancel(&mut self) -> bool {
        self.interrupt_by(Interrupt::Cancel)
    }

    /// Declares the connection lost: the migration fails at the loop's next step, unless it ended already or
    /// is being cancelled. False if it comes too late.
    pub fn fail(&mut self) -> bool {
        self.interrupt_by(Interrupt::Fail)
    }

    /// Whether the guest runs on this host.
    #[must_use]
    pub fn guest_runs(&self) -> bool {
        self.guest_runs
    }

    /// Where the migration stands.
    #[must_use]
    pub fn status(&self) -> Status {
        match (self.outcome, self.interrupt, self.step) {
            (Some(outcome), _, _) => outcome,
            (None, Some(Interrupt::Cancel), _) => Status::Cancelling,
            (None, _, Step::Setup { .. }) => Status::Setup,
            (None, _, _) => Status::Active,
        }
    }

    /// QEMU's statistics at this instant.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        let status = self.status();
        let end_ns = self.ended_ns.unwrap_or(self.present_ns);
        let downtime_ns = self.downtime_started_ns.map(|started_ns| end_ns - started_ns);
        Statistics {
            status,
            elapsed_ms: (end_ns - self.started_ns) / NS_PER_MS,
            setup_ms: self.setup_ns.map(|setup_ns| setup_ns / NS_PER_MS),
            downtime_ms: downtime_ns.filter(|_| status == Status::Completed).map(|ns| ns / NS_PER_MS),
            expected_downtime_ms: (status == Status::Active).then_some(self.expected_downtime_ms),
            throttle_percent: self.throttle.percent().filter(|_| status == Status::Active),
            memory: MemoryStatistics {
                total_bytes: self.ram.total_pages() * PAGE_BYTES,
                transferred_bytes: self.bytes.transferred,
                remaining_bytes: self.remaining_bytes(),
                normal_pages: self.ram.normal_sent,
                zero_pages: self.ram.zero_sent,
                page_size_bytes: PAGE_BYTES,
                dirty_rate_pages_per_second: self.rates.pages_per_second,
                dirty_sync_count: self.rates.sync_count,
                bandwidth_bytes_per_second: self.bandwidth_bytes_per_second,
            },
        }
    }

    /// What changes the price or the budget of pages applies from now on, so the page half sent starts
    /// again; at most one page of work is lost.
    fn restart_page_in_flight(&mut self) {
        if matches!(self.step, Step::Sending(_) | Step::LastPass(_)) {
            self.clock_ns = self.clock_ns.max(self.present_ns);
        }
    }

    fn interrupt_by(&mut self, interrupt: Interrupt) -> bool {
        let in_time = self.step != Step::Ended && self.interrupt.is_none_or(|earlier| earlier == interrupt);
        if in_time {
            self.interrupt = Some(interrupt);
        }
        in_time
    }
}
