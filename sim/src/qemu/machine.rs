//! A migration's whole state, and what can be changed and seen from outside.
//!
//! It is generic over what remembers dirty pages, so that every engine runs this one loop. What happens in time is the
//! business of `migration_loop` and `burst`. Nothing here may decide anything that depends on how the caller cuts time
//! into steps.

use std::ops::Deref;

use super::config::SourceConfig;
use super::dirty_limit::Limiter;
use super::fast_forward::WholeWindow;
use super::migration_loop::Interrupt;
use super::postcopy::Postcopy;
use super::statistics::{GuestWork, Status};
use super::step::Step;
use super::syncs::Rates;
use super::throttle::{Throttle, Trigger};
use super::wakeup_jitter::WakeupJitter;
use super::wire::{Limits, Mode, Wire};
use super::xbzrle::Cache;
use crate::guest::{Clocks, Guest, PAGE_BYTES, PageClasses, Progress};
use crate::memory::Memory;

pub(super) const NS_PER_MS: u64 = 1_000_000;
/// Length of a rate window.
pub(super) const WINDOW_MS: u64 = 100;
const NS_PER_S: u64 = 1_000_000_000;
/// Steps to find out how long a first pass takes that meets more content the longer it takes: each brings it as much
/// nearer as the guest dirties more slowly than is sent.
const STEPS_TO_FIRST_PASS: u32 = 6;
/// The budget of a window is this part of the bandwidth limit.
const WINDOWS_PER_S: u64 = 10;

/// What is known before a migration starts, and the same for all that start alike.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(super) config: SourceConfig,
    pub(super) guest: Guest,
    pub(super) page_classes: PageClasses,
    pub(super) wire: Wire,
    pub(super) lateness: WakeupJitter,
    pub(super) sync_ns: u64,
    /// Windows of pages sent again, of pages sent for the first time, and of zero pages.
    pub(super) whole_windows: [WholeWindow; 3],
}

/// A rate window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Window {
    /// When it began, on QEMU's clock of whole milliseconds.
    pub(super) started_ms: u64,
    /// Bytes on the wire since.
    pub(super) bytes: u64,
}

/// What was sent, counted the ways in which QEMU counts it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sent {
    /// Everything on the wire since the first page.
    pub(super) wire_bytes: u64,
    /// The statistics' count: pages, headers, block names and end marks.
    pub(super) transferred_bytes: u64,
    /// Pages sent with their content, whole or as a difference.
    pub(super) content_pages: u64,
    pub(super) zero_pages: u64,
    /// Whether the last page was of the firmware's blocks.
    pub(super) last_in_firmware: Option<bool>,
}

/// A running migration as the source host sees it. `P` is the plan, owned or shared.
#[derive(Clone, Debug)]
pub(crate) struct Machine<P, M: Memory> {
    pub(super) plan: P,
    /// The limits as they are now.
    pub(super) max_bandwidth_bytes_per_second: u64,
    pub(super) downtime_limit_ms: u64,
    pub(super) mode: Mode,
    pub(super) wire: Wire,
    pub(super) memory: M,
    pub(super) chance: M::Chance,
    /// Chance in the host, apart from that in the guest.
    pub(super) host_chance: M::Chance,
    pub(super) clocks: Clocks,
    pub(super) step: Step,
    pub(super) interrupt: Option<Interrupt>,
    pub(super) outcome: Option<Status>,
    /// Instant up to which the loop has run: the start of the page in flight, or of the state.
    pub(super) clock_ns: u64,
    /// Instant up to which the caller has advanced.
    pub(super) present_ns: u64,
    pub(super) started_ns: u64,
    pub(super) setup_ended_ns: Option<u64>,
    pub(super) ended_ns: Option<u64>,
    pub(super) guest_runs: bool,
    /// Whether this migration stopped the guest, and so has to start it again if it fails.
    pub(super) stopped_guest: bool,
    pub(super) downtime_started_ns: Option<u64>,
    pub(super) window: Window,
    pub(super) sent: Sent,
    pub(super) threshold_bytes: u64,
    pub(super) bandwidth_bytes_per_second: u64,
    pub(super) expected_downtime_ms: u64,
    /// When the package of a switch to post-copy was sent, with which its downtime ends for the source.
    pub(super) package_sent_ns: Option<u64>,
    pub(super) rates: Rates,
    pub(super) trigger: Trigger,
    pub(super) throttle: Throttle,
    pub(super) limiter: Option<Limiter>,
    /// When the throttle's timer looks whether a sync is overdue, and the iterations when it last looked, zero before.
    pub(super) periodic_sync: Option<(u64, u64)>,
    pub(super) cache: Cache,
    pub(super) postcopy: Postcopy,
}

impl Plan {
    pub(crate) fn new(config: &SourceConfig, guest: Guest) -> Self {
        let page_classes = PageClasses::of(&guest);
        let sync_words = page_classes.total_pages.div_ceil(64);
        let wire = Wire::new(config.host.link_bytes_per_second, config, guest.content, Mode::default());
        Self {
            wire,
            whole_windows: WholeWindow::of(&wire, limits(config.max_bandwidth_bytes_per_second)),
            lateness: WakeupJitter::of(&config.host),
            sync_ns: config
                .host
                .sync_fixed_ns
                .saturating_add(sync_words.saturating_mul(config.host.sync_ns_per_word)),
            config: *config,
            guest,
            page_classes,
        }
    }
}

impl<P: Deref<Target = Plan>, M: Memory> Machine<P, M> {
    /// Starts at the instant `now_ns`. `chance` is the guest's, `host_chance` the host's.
    pub(crate) fn start(plan: P, now_ns: u64, chance: M::Chance, host_chance: M::Chance) -> Self {
        let config = &plan.config;
        let mut machine = Self {
            max_bandwidth_bytes_per_second: config.max_bandwidth_bytes_per_second,
            downtime_limit_ms: config.downtime_limit_ms,
            mode: Mode::default(),
            wire: plan.wire,
            memory: M::new(&plan.page_classes),
            chance,
            host_chance,
            clocks: Clocks::new(&plan.guest, now_ns),
            step: Step::Setup { until_ns: now_ns.saturating_add(config.host.setup_ns) },
            interrupt: None,
            outcome: None,
            clock_ns: now_ns,
            present_ns: now_ns,
            started_ns: now_ns,
            setup_ended_ns: None,
            ended_ns: None,
            guest_runs: !plan.guest.paused,
            stopped_guest: false,
            downtime_started_ns: None,
            window: Window { started_ms: now_ns / NS_PER_MS, bytes: 0 },
            sent: Sent::default(),
            threshold_bytes: 0,
            bandwidth_bytes_per_second: 0,
            expected_downtime_ms: config.downtime_limit_ms,
            package_sent_ns: None,
            rates: Rates::default(),
            trigger: Trigger::default(),
            throttle: Throttle::default(),
            limiter: None,
            periodic_sync: config
                .auto_converge
                .and_then(|rules| rules.periodic_sync_ns)
                .map(|period_ns| (now_ns.saturating_add(period_ns.get()), 0)),
            cache: Cache::new(config.xbzrle, &plan.page_classes),
            postcopy: Postcopy::default(),
            plan,
        };
        if machine.plan.guest.writes_beyond_filled() {
            machine.write_what_was_written_before();
        }
        machine
    }

    /// What the guest wrote before the migration is content where there was none, and so is what it writes before the
    /// first pass gets there: a page is sent with what it holds at that moment. The pass gets there half-way on
    /// average, and is the longer the more content it meets, so that its length is found step by step. All of it is to
    /// be sent anyway.
    fn write_what_was_written_before(&mut self) {
        let plan = &*self.plan;
        self.clocks = Clocks::since_beginning(&plan.guest, self.started_ns);
        let limited_ns = match self.max_bandwidth_bytes_per_second {
            0 => 0,
            limit => PAGE_BYTES.saturating_mul(NS_PER_S) / limit,
        };
        let [_, first, zero] = plan.wire.prices();
        let page_ns = first.ns.max(limited_ns);
        for _ in 0..STEPS_TO_FIRST_PASS {
            let written = self.clocks.collect(&plan.guest);
            self.memory.sync(&plan.page_classes, &written, &mut self.chance);
            let zero_pages = self.memory.remaining_zero();
            let content_pages = self.memory.remaining() - zero_pages;
            let pass_ns =
                content_pages.saturating_mul(page_ns).saturating_add(zero_pages.saturating_mul(zero.ns));
            // What a window may carry goes out at its beginning, and then nothing until its end.
            let window_ns = pass_ns.min(WINDOW_MS * NS_PER_MS);
            let asleep_ns = window_ns - window_ns.saturating_mul(first.ns) / page_ns.max(1);
            if self.guest_runs {
                let reached_ns = (pass_ns - asleep_ns) / 2;
                let to_ns = self.started_ns.saturating_add(reached_ns);
                self.clocks.run_freely(to_ns);
            }
        }
        self.clocks = Clocks::new(&plan.guest, self.started_ns);
    }

    pub(crate) fn present_ns(&self) -> u64 {
        self.present_ns
    }

    pub(crate) fn guest_runs(&self) -> bool {
        self.guest_runs
    }

    pub(crate) fn set_max_bandwidth(&mut self, bytes_per_second: u64) {
        if bytes_per_second != self.max_bandwidth_bytes_per_second {
            self.max_bandwidth_bytes_per_second = bytes_per_second;
            self.restart_page_in_flight();
        }
    }

    pub(crate) fn set_downtime_limit_ms(&mut self, limit_ms: u64) {
        self.downtime_limit_ms = limit_ms;
    }

    pub(crate) fn set_link_bytes_per_second(&mut self, bytes_per_second: u64) {
        if bytes_per_second == self.wire.link_bytes_per_second() {
            return;
        }
        let was_cut = self.wire.is_cut();
        self.set_prices(bytes_per_second, self.mode);
        self.restart_page_in_flight();
        let host = &self.plan.config.host;
        if let Step::DeviceState { until_ns } | Step::PostcopyPackage { until_ns } = &mut self.step
            && was_cut
        {
            *until_ns = self.present_ns.saturating_add(host.device_state_ns);
        }
    }

    pub(crate) fn set_guest_paused(&mut self, paused: bool) {
        if !self.stopped_guest && self.step != Step::Ended {
            self.let_pass(self.present_ns);
            self.guest_runs = !paused;
        }
    }

    /// Continues a switchover that waits for libvirt. False if none waits.
    pub(crate) fn continue_switchover(&mut self) -> bool {
        let waits = matches!(self.step, Step::PreSwitchover { .. });
        if waits {
            self.clock_ns = self.clock_ns.max(self.present_ns);
            let burst = self.open_burst();
            self.step = Step::LastPass(burst);
        }
        waits
    }

    /// Requests a cancel or declares the connection lost. False if it comes too late. After the switch to post-copy the
    /// guest cannot come back: a cancel is refused, and a lost connection only pauses.
    pub(crate) fn interrupt_by(&mut self, interrupt: Interrupt) -> bool {
        let is_late = self.postcopy.began() || matches!(self.step, Step::PostcopyDevice { .. });
        let refused = interrupt == Interrupt::Cancel && is_late;
        let in_time = !refused
            && !matches!(self.step, Step::Ended | Step::Failing { .. } | Step::PostcopyPaused)
            && self.interrupt.is_none_or(|earlier| earlier == interrupt);
        if in_time {
            self.interrupt = Some(interrupt);
        }
        in_time
    }

    /// What a window may carry.
    #[inline]
    pub(super) fn limits(&self) -> Limits {
        match self.plan.config.postcopy {
            Some(config) if self.postcopy.began() => limits(config.max_bandwidth_bytes_per_second),
            _ => limits(self.max_bandwidth_bytes_per_second),
        }
    }

    pub(super) fn waits_for_link(&self) -> bool {
        let sends = matches!(
            self.step,
            Step::Sending(_)
                | Step::LastPass(_)
                | Step::DeviceState { .. }
                | Step::PostcopyPackage { .. }
                | Step::PostcopyDevice { .. }
        );
        sends && self.wire.is_cut()
    }

    /// Lets the guest run, or stay stopped, until an instant.
    #[inline]
    pub(super) fn let_pass(&mut self, to_ns: u64) {
        let Self { plan, clocks, throttle, limiter, guest_runs, .. } = self;
        run_clocks(plan, clocks, throttle, limiter.as_ref(), *guest_runs, to_ns);
    }

    pub(crate) fn set_throttle_percent(&mut self, percent: u64) {
        self.let_pass(self.present_ns);
        self.throttle.set(percent, self.present_ns);
    }

    /// The guest's time since the start, and the part of it that was lost. After the switch to post-copy only waiting
    /// for pages is: what else slows the guest at the destination is not simulated.
    pub(crate) fn guest_work(&self) -> GuestWork {
        let end_ns = self.ended_ns.unwrap_or(self.present_ns);
        let to_ns = self.postcopy.began_ns().unwrap_or(end_ns);
        let mut clocks = self.clocks.clone();
        run_clocks(&self.plan, &mut clocks, &self.throttle, self.limiter.as_ref(), self.guest_runs, to_ns);
        let (all_ns, lost_ns) = clocks.work_ns();
        let after_ns = end_ns.saturating_sub(to_ns);
        let writers = u64::try_from(self.plan.guest.writers.len()).unwrap_or(u64::MAX);
        GuestWork {
            all_ns: all_ns.saturating_add(after_ns.saturating_mul(writers)),
            lost_ns: lost_ns.saturating_add(self.postcopy.waited_ns),
        }
    }

    /// Computes the prices again.
    pub(super) fn set_prices(&mut self, link_bytes_per_second: u64, mode: Mode) {
        self.mode = mode;
        self.wire = Wire::new(link_bytes_per_second, &self.plan.config, self.plan.guest.content, mode);
    }

    /// How late the sleeping thread wakes up, in whole milliseconds.
    #[inline]
    pub(super) fn lateness_ms(&mut self, windows: u64) -> u64 {
        self.plan.lateness.of_windows(windows, &mut self.host_chance)
    }

    /// What changes the price or the budget of pages applies from now on, so the page half sent starts
    /// again; at most one page of work is lost.
    fn restart_page_in_flight(&mut self) {
        if let Step::Sending(burst) | Step::LastPass(burst) = &mut self.step {
            self.clock_ns = self.clock_ns.max(self.present_ns);
            burst.goes_on_until_ns = 0;
        }
    }
}

/// Lets the guest run, or stay stopped, until an instant.
#[inline]
fn run_clocks(
    plan: &Plan,
    clocks: &mut Clocks,
    throttle: &Throttle,
    limiter: Option<&Limiter>,
    guest_runs: bool,
    to_ns: u64,
) {
    if !guest_runs {
        clocks.stand_until(to_ns);
        return;
    }
    match (throttle.percent(), limiter) {
        (None, None) => clocks.run_freely(to_ns),
        (_, Some(limiter)) => clocks
            .run_until(to_ns, |writer, stretch| Progress::of(limiter.progress_ns(writer, stretch.length_ns))),
        (Some(_), None) => clocks.run_until(to_ns, |writer, stretch| {
            let by_slices = plan.config.host.syncs_wait_for_cpus;
            plan.guest.writers.get(writer).map_or(Progress::of(0), |writer| {
                throttle.progress(stretch, writer.catches_up_ns, writer.top_speed(), by_slices)
            })
        }),
    }
}

/// What a window may carry under a limit in bytes a second, zero for none. One less than no limit at all stands for
/// none: the clock still ends such bursts.
#[inline]
fn limits(max_bandwidth_bytes_per_second: u64) -> Limits {
    let budget_bytes = match max_bandwidth_bytes_per_second {
        0 => u64::MAX - 1,
        limit => limit / WINDOWS_PER_S,
    };
    Limits { budget_bytes, gives_way: true }
}

/// From one instant to another on a clock of whole milliseconds.
pub(super) fn whole_ms(from_ns: u64, to_ns: u64) -> u64 {
    to_ns / NS_PER_MS - from_ns / NS_PER_MS
}

/// A count in this many nanoseconds, as a rate a second.
pub(super) fn per_second(amount: u64, ns: u64) -> u64 {
    let rate = u128::from(amount) * 1_000_000_000 / u128::from(ns.max(1));
    u64::try_from(rate).unwrap_or(u64::MAX)
}
