//! Migrations run to their end at once, with windows that bring nothing new passed over by multiplication.
//!
//! It must never skip a rule because the result would "usually" be the same; a jump is taken only over windows that
//! carry the same pages and contain no decision. How late each of them ends is chance, and is drawn for all together.

use std::ops::Deref;

use super::machine::{Machine, NS_PER_MS, Plan, WINDOW_MS, Window};
use super::statistics::EventKind;
use super::step::{Burst, Step, Turn};
use super::wakeup_jitter::WakeupJitter;
use super::wire::{END_MARK_BYTES, FRAME_BYTES, Limits, Mode, Price, Wire, name_bytes};
use crate::guest::PAGE_BYTES;
use crate::memory::Memory;

/// No real migration comes near this many turns; the limit stops one that makes no progress for very long.
const MAX_TURNS: u64 = 1 << 24;

/// A window from its first instant, over pages that all cost the same and never run out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct WholeWindow {
    pages: u64,
    bursts: u64,
    bytes: u64,
    /// Until its last burst ends.
    sending_ns: u64,
    /// Whether its budget is spent before its time is.
    sleeps: bool,
}

impl WholeWindow {
    /// The window of each price; one of no pages where windows of that price differ from one to the next.
    pub(super) fn of(wire: &Wire, limits: Limits) -> [Self; 3] {
        let [again, first, zero] = wire.prices();
        [(again, false), (first, false), (zero, true)].map(|(price, is_zero)| {
            Self::at(price, is_zero, wire, limits).filter(|_| !wire.is_cut()).unwrap_or_default()
        })
    }

    fn at(price: Price, zero: bool, wire: &Wire, limits: Limits) -> Option<Self> {
        let mut window = Self::default();
        let mut last_burst_ns = 0;
        while window.bytes <= limits.budget_bytes && window.sending_ns / NS_PER_MS < WINDOW_MS {
            let burst = Burst::new(window.sending_ns, 0);
            let begins_ns = window.sending_ns.checked_add(wire.frame_ns)?;
            let in_window = window.bytes.checked_add(FRAME_BYTES)?;
            let pages = wire.pages_to_limit(price, zero, &burst, (begins_ns, in_window), limits);
            let (page_bytes, open_pages) = wire.counted(price, zero, 0, pages);
            let end_bytes = wire.burst_end_bytes(open_pages);
            let end_ns = wire.ns(end_bytes.saturating_sub(open_pages.checked_mul(PAGE_BYTES)?));
            window.pages += pages;
            window.bursts += 1;
            window.bytes = in_window.checked_add(page_bytes)?.checked_add(end_bytes)?;
            window.sending_ns = begins_ns.checked_add(pages.checked_mul(price.ns)?)?.checked_add(end_ns)?;
            last_burst_ns = window.sending_ns - burst.started_ns;
        }
        window.sleeps = window.sending_ns / NS_PER_MS < WINDOW_MS;
        // One that does not sleep begins anywhere within a millisecond: only if that makes no difference to when its
        // bursts find it over are all of them alike.
        let before_last_ms = (window.sending_ns - last_burst_ns).div_ceil(NS_PER_MS) + 1;
        let alike = window.sleeps
            || before_last_ms < WINDOW_MS && window.sending_ns / NS_PER_MS > WINDOW_MS
            || window.bursts == 1 && window.sending_ns / NS_PER_MS > WINDOW_MS;
        alike.then_some(window)
    }
}

impl<P: Deref<Target = Plan>, M: Memory> Machine<P, M> {
    /// Runs to the end, or to the deadline if that comes first, and reports every sync.
    pub(crate) fn run_to_end(&mut self, deadline_ns: u64, mut on_sync: impl FnMut(u64, u64, u64)) -> u64 {
        let mut turns = 0;
        while turns < MAX_TURNS {
            turns += 1;
            if self.window.bytes == 0 && self.is_uneventful() {
                self.jump(deadline_ns.min(self.next_tick_ns()), u64::MAX);
            }
            match self.turn(deadline_ns) {
                Turn::Happened(EventKind::SyncDone { newly_dirty_pages, remaining_bytes, .. }) => {
                    on_sync(self.clock_ns, newly_dirty_pages, remaining_bytes / PAGE_BYTES);
                }
                Turn::Happened(_) | Turn::Moved => {}
                Turn::Waiting => break,
            }
        }
        if self.step != Step::Ended {
            self.present_ns = deadline_ns;
        }
        turns
    }

    /// Runs to the next event but the end of a window, and not beyond `target_ns`. One window at a time is passed over,
    /// so that chance is drawn in the same order however finely time is stepped.
    pub(crate) fn run_to(&mut self, target_ns: u64) -> Option<(u64, EventKind)> {
        let target_ns = target_ns.max(self.present_ns);
        loop {
            while self.window.bytes == 0 && self.is_as_planned() && self.is_uneventful() {
                if !self.jump(target_ns.min(self.next_tick_ns()), 1) {
                    break;
                }
            }
            match self.advance_to(target_ns) {
                Some((_, EventKind::WindowClosed { .. })) => {}
                event => return event,
            }
        }
    }

    /// Whether limits and link are those that whole windows were worked out for.
    #[inline]
    fn is_as_planned(&self) -> bool {
        self.max_bandwidth_bytes_per_second == self.plan.config.max_bandwidth_bytes_per_second
            && self.wire.link_bytes_per_second() == self.plan.wire.link_bytes_per_second()
    }

    /// When the throttle's timer looks for an overdue sync.
    #[inline]
    fn next_tick_ns(&self) -> u64 {
        self.periodic_sync.map_or(u64::MAX, |(due_ns, _)| due_ns)
    }

    /// Whether nothing but sending may come now, until the next tick of the timer: no switch is due, the bitmap is not
    /// read before each burst, and prices are as they were planned.
    #[inline]
    fn is_uneventful(&self) -> bool {
        matches!(self.step, Step::Top | Step::Judging)
            && self.interrupt.is_none()
            && self.mode == Mode::default()
            && self.limiter.is_none()
            && !self.syncs_before_each_burst()
            && !self.postcopy.is_due()
    }

    /// Passes over whole windows that come now and are alike, `most` of them: as long as every burst of theirs begins
    /// with more than a threshold left, and pages of one price last. False if there is none.
    #[inline]
    fn jump(&mut self, deadline_ns: u64, most: u64) -> bool {
        let Some(run) = self.memory.next_run(&self.plan.page_classes) else { return false };
        let [normal, first, zero] = self.plan.whole_windows;
        let window = match (run.zero, run.first) {
            (true, _) => zero,
            (false, true) => first,
            (false, false) => normal,
        };
        if window.pages == 0
            || run.pages < window.pages
            || !self.can_begin(window)
            || name_bytes(run, self.sent.last_in_firmware) > 0
        {
            return false;
        }
        let highest = self.threshold_after(window.bytes, WINDOW_MS);
        let threshold_pages = self.threshold_bytes.max(highest).div_ceil(PAGE_BYTES);
        let Some(above) = self.memory.remaining().checked_sub(threshold_pages) else { return false };
        // The last burst may end below the threshold: if it is the only one of its window, there is no check before the
        // end.
        let enough = above / window.pages + u64::from(window.bursts == 1);
        let windows =
            most.min(enough).min(run.pages / window.pages).min(self.windows_before(window, deadline_ns));
        if windows == 0 {
            return false;
        }
        let frame_bytes = window.bursts * FRAME_BYTES;
        self.count(run, windows * window.pages, windows.saturating_mul(window.bytes - frame_bytes));
        self.sent.transferred_bytes += windows * window.bursts * END_MARK_BYTES;
        self.sent.wire_bytes = self.sent.wire_bytes.saturating_add(windows * frame_bytes);
        self.pass_windows(window, windows);
        self.step = Step::Top;
        true
    }

    /// Whether what is left of this window's time is enough for the bursts of a whole one.
    #[inline]
    fn can_begin(&self, window: WholeWindow) -> bool {
        let began_ns = self.window.started_ms.saturating_mul(NS_PER_MS);
        let late_ns = self.clock_ns.saturating_sub(began_ns);
        if window.sleeps {
            window.sending_ns.saturating_add(late_ns) < WINDOW_MS * NS_PER_MS
        } else {
            late_ns < NS_PER_MS
        }
    }

    /// At least this many windows end before the deadline.
    #[inline]
    fn windows_before(&self, window: WholeWindow, deadline_ns: u64) -> u64 {
        let left_ns = deadline_ns.saturating_sub(self.clock_ns);
        if window.sleeps {
            WakeupJitter::windows_within(self.plan.lateness, left_ns / NS_PER_MS)
        } else {
            left_ns / window.sending_ns
        }
    }

    /// Moves the clock on, and closes the last of the windows.
    #[inline]
    fn pass_windows(&mut self, window: WholeWindow, windows: u64) {
        let spent_ms = if window.sleeps {
            let before_ms = (windows - 1) * WINDOW_MS + self.lateness_ms(windows - 1);
            let last_ms = WINDOW_MS + self.lateness_ms(1);
            self.clock_ns = (self.window.started_ms + before_ms + last_ms) * NS_PER_MS;
            last_ms
        } else {
            let last_began_ns = self.clock_ns + (windows - 1) * window.sending_ns;
            self.clock_ns = last_began_ns + window.sending_ns;
            super::machine::whole_ms(last_began_ns, self.clock_ns)
        };
        self.window = Window { started_ms: self.clock_ns / NS_PER_MS - spent_ms, bytes: window.bytes };
        self.close_window();
    }
}
