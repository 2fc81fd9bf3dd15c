//! Post-copy: the guest goes on at the destination before its memory has arrived, and waits for the pages that it
//! misses.
//!
//! Where the source waits until the destination has loaded the device state (`postcopy-device`), the guest is the
//! source's until then: a failure lets it go on there.
//!
//! After the switch a page is sent once, requested or not, so the order in which requests are served changes
//! nothing about how long the rest takes. What it changes is how long the guest waits: that is counted here, from what
//! its writers hit of what is still missing. The source's copy must never run again once this has begun.

use std::ops::Deref;

use whimbrel_core::convergence::SyncKind;

use super::machine::{Machine, Plan};
use super::migration_loop::Interrupt;
use super::statistics::EventKind;
use super::step::{Step, Turn};
use super::wire::Mode;
use crate::guest::PAGE_BYTES;
use crate::memory::Memory;
use crate::sampling::Hits;

/// Post-copy so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Postcopy {
    asked: bool,
    began_ns: Option<u64>,
    /// Pages missing, and the instant, when what the guest waits for was last reckoned up.
    missing_then: u64,
    reckoned_ns: u64,
    pub(super) requests: u64,
    pub(super) waited_ns: u64,
}

impl Postcopy {
    #[inline]
    pub(super) fn began(&self) -> bool {
        self.began_ns.is_some()
    }

    pub(super) fn began_ns(&self) -> Option<u64> {
        self.began_ns
    }

    #[inline]
    pub(super) fn is_due(&self) -> bool {
        self.asked && self.began_ns.is_none()
    }
}

impl<P: Deref<Target = Plan>, M: Memory> Machine<P, M> {
    /// Requests the switch, which the loop makes at its next step. False where it cannot be made.
    pub(crate) fn start_postcopy(&mut self) -> bool {
        let can = self.plan.config.postcopy.is_some() && self.step != Step::Ended && self.interrupt.is_none();
        self.postcopy.asked |= can;
        can
    }

    /// Lets both sides of a paused post-copy find each other again, over a link that is there. False if none is paused.
    pub(crate) fn recover(&mut self) -> bool {
        let can = self.step == Step::PostcopyPaused && !self.wire.is_cut();
        if can {
            // The destination sends a bit for each page that it has, and the source compares.
            let bitmap_ns = self.wire.ns(self.plan.page_classes.total_pages.div_ceil(8));
            let round_trip_ns = self.plan.config.host.latency_ns.saturating_mul(2);
            let until_ns = self.present_ns.saturating_add(bitmap_ns).saturating_add(round_trip_ns);
            self.step = Step::PostcopyRecovering { until_ns };
        }
        can
    }

    pub(super) fn begin_stopping_for_postcopy(&mut self) -> Turn<EventKind> {
        self.downtime_started_ns = Some(self.clock_ns);
        let stop_ns = if self.guest_runs { self.plan.config.host.stop_guest_ns } else { 0 };
        self.move_to(Step::PostcopyStopping { until_ns: self.clock_ns.saturating_add(stop_ns) })
    }

    pub(super) fn stopped_for_postcopy(&mut self) -> Turn<EventKind> {
        self.let_pass(self.clock_ns);
        let state_ns = self.plan.sync_ns.saturating_add(self.plan.config.host.device_state_ns);
        self.step = Step::PostcopyPackage { until_ns: self.clock_ns.saturating_add(state_ns) };
        let ran = std::mem::take(&mut self.guest_runs);
        self.stopped_guest |= ran;
        if ran { Turn::Happened(EventKind::GuestStopped) } else { Turn::Moved }
    }

    /// The package was sent: the downtime is over for the source, and the last sync is done.
    pub(super) fn package_sent(&mut self) -> Turn<EventKind> {
        self.sync_dirty_pages(SyncKind::Within, false);
        self.package_sent_ns = Some(self.clock_ns);
        if self.plan.config.behaviour.postcopy_device {
            let load_ns = self.plan.config.host.load_device_state_ns;
            return self.move_to(Step::PostcopyDevice { until_ns: self.clock_ns.saturating_add(load_ns) });
        }
        self.begin_postcopy()
    }

    /// From here on the guest is the destination's.
    pub(super) fn begin_postcopy(&mut self) -> Turn<EventKind> {
        self.postcopy.began_ns = Some(self.clock_ns);
        self.postcopy.missing_then = self.memory.remaining();
        self.postcopy.reckoned_ns = self.clock_ns;
        self.set_prices(self.wire.link_bytes_per_second(), Mode { postcopy: true, ..self.mode });
        self.step = Step::Top;
        Turn::Happened(EventKind::PostcopyBegan)
    }

    /// The link is lost after the switch.
    pub(super) fn pause_postcopy(&mut self) -> EventKind {
        self.interrupt = None;
        self.reckon_up_requests();
        self.step = Step::PostcopyPaused;
        EventKind::PostcopyPaused
    }

    pub(super) fn recovered(&mut self) -> Turn<EventKind> {
        // While it was paused the guest waited, at the latest for the first page that it missed.
        self.postcopy.reckoned_ns = self.clock_ns;
        self.step = Step::Top;
        Turn::Happened(EventKind::PostcopyResumed)
    }

    /// Counts the pages that the guest requested since the last call, and how long it waited for them.
    ///
    /// A writer does a write in 1/r, and waits w more if it hits a missing page, which it does with the chance that a
    /// page of its own is missing: in so much time it does time / (1/r + chance · w) writes.
    pub(super) fn reckon_up_requests(&mut self) {
        let (then, now) = (self.postcopy.missing_then, self.memory.remaining());
        let spent_ns = self.clock_ns - self.postcopy.reckoned_ns;
        self.postcopy.missing_then = now;
        self.postcopy.reckoned_ns = self.clock_ns;
        let wait_ns = self.wait_for_page_ns();
        let mut left = then - now;
        for writer in &self.plan.guest.writers {
            let missing = u64::midpoint(then, now).min(writer.working_set_pages);
            let pages = u128::from(writer.working_set_pages.max(1));
            let rate = u128::from(writer.pace.most_writes_per_second());
            if rate == 0 {
                continue;
            }
            // In units of 10^-9 writes a nanosecond: time · rate / (1 + rate · chance · wait).
            let slowed = 1_000_000_000 + rate * u128::from(wait_ns) * u128::from(missing) / pages;
            let writes = u128::from(spent_ns) * rate / slowed;
            let chance = u64::try_from((u128::from(missing) << 64) / pages).unwrap_or(u64::MAX);
            let requests = self.chance.hits(u64::try_from(writes).unwrap_or(u64::MAX), chance).min(left);
            left -= requests;
            self.postcopy.requests += requests;
            self.postcopy.waited_ns =
                self.postcopy.waited_ns.saturating_add(requests.saturating_mul(wait_ns));
        }
    }

    /// How long a page takes that the guest waits for: there, through what is in the pipe, and back.
    fn wait_for_page_ns(&self) -> u64 {
        let config = &self.plan.config;
        let overtakes = config.postcopy.is_some_and(|postcopy| postcopy.preempt);
        let in_pipe = if overtakes { PAGE_BYTES } else { config.host.pipe_bytes };
        self.wire
            .ns(in_pipe)
            .saturating_add(config.host.latency_ns.saturating_mul(2))
            .saturating_add(config.host.place_page_ns)
    }

    /// What an interruption comes to: after the switch nothing but a pause.
    pub(super) fn interrupted(&mut self, interrupt: Interrupt) -> Turn<EventKind> {
        if self.postcopy.began() { Turn::Happened(self.pause_postcopy()) } else { self.end_early(interrupt) }
    }
}
