//! Pages onto the link: a burst as far as its limits and the caller's time allow.
//!
//! A page is sent at the instant its last byte leaves, whole or not at all; that makes the result independent of how
//! finely the caller steps time.

use std::ops::Deref;

use super::machine::{Machine, Plan};
use super::statistics::EventKind;
use super::step::{Burst, Step, Turn};
use super::wire::{BURST_NS, Limits, name_bytes};
use crate::memory::{Memory, Run};

impl<P: Deref<Target = Plan>, M: Memory> Machine<P, M> {
    #[inline]
    pub(super) fn send(&mut self, mut burst: Burst, target_ns: u64) -> Turn<EventKind> {
        let limits = self.limits();
        if self.run_burst(&mut burst, limits, target_ns) {
            self.end_burst(&burst);
            return self.limit();
        }
        self.step = Step::Sending(burst);
        Turn::Waiting
    }

    pub(super) fn send_last(&mut self, mut burst: Burst, target_ns: u64) -> Turn<EventKind> {
        if !self.run_burst(&mut burst, Limits::NONE, target_ns) {
            self.step = Step::LastPass(burst);
            return Turn::Waiting;
        }
        // With no page to carry it, the frame still goes out.
        self.sent.wire_bytes = self.sent.wire_bytes.saturating_add(burst.frame_bytes);
        self.end_burst(&burst);
        let until_ns = self.clock_ns.saturating_add(self.plan.config.host.device_state_ns);
        self.move_to(Step::DeviceState { until_ns })
    }

    /// An instant before which nothing will happen. None when it ended, or waits for a cut link.
    pub(crate) fn next_event_at(&self) -> Option<u64> {
        if self.step == Step::Ended {
            return None;
        }
        let stuck = self.waits_for_link();
        if self.interrupt.is_some() && (self.step.until_ns().is_none() || stuck) {
            return Some(self.present_ns);
        }
        if stuck {
            return None;
        }
        match self.step {
            Step::PreSwitchover { reported: true } | Step::PostcopyPaused => None,
            Step::Sending(burst) => Some(self.burst_end_not_before(&burst, self.limits())),
            Step::LastPass(burst) => Some(self.burst_end_not_before(&burst, Limits::NONE)),
            step => Some(step.until_ns().unwrap_or(self.present_ns)),
        }
    }

    /// Sends until `target_ns`, a limit, or the last dirty page. Returns whether the burst is over; if not,
    /// time has run out or the link is cut.
    #[inline]
    pub(super) fn run_burst(&mut self, burst: &mut Burst, limits: Limits, target_ns: u64) -> bool {
        while self.window.bytes <= limits.budget_bytes
            && let Some(run) = self.memory.next_run(&self.plan.page_classes)
        {
            if self.wire.is_cut() {
                return false;
            }
            let price = self.wire.price(run);
            let names = name_bytes(run, self.sent.last_in_firmware);
            let extra_bytes = burst.frame_bytes + names;
            let extra_ns = match (burst.frame_bytes, names) {
                (0, 0) => 0,
                (_, 0) => self.wire.frame_ns,
                _ => self.wire.ns(extra_bytes),
            };
            let begins_ns = self.clock_ns.saturating_add(extra_ns);
            let in_window = self.window.bytes.saturating_add(extra_bytes);
            let place = (begins_ns, in_window);
            let limit = self.wire.pages_to_limit(price, run.zero, burst, place, limits);
            let mut pages = run.pages.min(limit);
            let mut in_time = true;
            if begins_ns.saturating_add(pages.saturating_mul(price.ns)) > target_ns {
                in_time = false;
                burst.goes_on_until_ns = begins_ns.saturating_add(pages.saturating_mul(price.ns));
                pages = target_ns.saturating_sub(begins_ns) / price.ns;
                if pages == 0 {
                    return false;
                }
            }
            self.clock_ns = begins_ns.saturating_add(pages.saturating_mul(price.ns));
            let (bytes, open_pages) = self.wire.counted(price, run.zero, burst.open_pages, pages);
            self.window.bytes = in_window.saturating_add(bytes);
            self.sent.wire_bytes = self.sent.wire_bytes.saturating_add(extra_bytes);
            self.sent.transferred_bytes += names;
            self.count(run, pages, bytes);
            burst.pages += pages;
            burst.open_pages = open_pages;
            burst.frame_bytes = 0;
            if !in_time {
                return false;
            }
            if pages == limit {
                return true;
            }
        }
        true
    }

    /// Accounts pages that went out with this many bytes.
    #[inline]
    pub(super) fn count(&mut self, run: Run, pages: u64, bytes: u64) {
        self.memory.sent(&self.plan.page_classes, run, pages);
        if run.zero {
            self.sent.zero_pages += pages;
        } else {
            self.sent.content_pages += pages;
            if !run.first {
                self.cache.sent_again(pages);
            }
        }
        self.sent.last_in_firmware = Some(run.firmware);
        self.count_bytes(bytes);
    }

    /// What goes out at the end of a burst where pages go by packets.
    #[inline]
    fn end_burst(&mut self, burst: &Burst) {
        let bytes = self.wire.burst_end_bytes(burst.open_pages);
        if bytes > 0 {
            // The pages of the packet have taken their time already.
            let page_bytes = burst.open_pages * crate::guest::PAGE_BYTES;
            self.clock_ns = self.clock_ns.saturating_add(self.wire.ns(bytes - page_bytes));
            self.window.bytes = self.window.bytes.saturating_add(bytes);
            self.count_bytes(bytes);
        }
    }

    #[inline]
    fn count_bytes(&mut self, bytes: u64) {
        self.sent.transferred_bytes = self.sent.transferred_bytes.saturating_add(bytes);
        self.sent.wire_bytes = self.sent.wire_bytes.saturating_add(bytes);
    }

    /// An instant before which a burst cannot end, later than the caller's present. With nothing but pages of one kind
    /// ahead it is the end itself.
    fn burst_end_not_before(&self, burst: &Burst, limits: Limits) -> u64 {
        let [normal, _, zero] = self.wire.prices();
        let zero_pages = self.memory.remaining_zero();
        let normal_pages = self.memory.remaining() - zero_pages;
        let drained_ns =
            normal_pages.saturating_mul(normal.ns).saturating_add(zero_pages.saturating_mul(zero.ns));
        let budget_bytes = limits.budget_bytes.saturating_sub(self.window.bytes);
        let mut earliest_ns = drained_ns.min(self.wire.ns_at_least(budget_bytes));
        if limits.gives_way {
            let waited_ns = self.clock_ns.saturating_sub(burst.started_ns);
            earliest_ns = earliest_ns.min(BURST_NS.saturating_sub(waited_ns));
        }
        self.clock_ns
            .saturating_add(earliest_ns)
            .max(burst.goes_on_until_ns)
            .max(self.present_ns.saturating_add(1))
    }
}
