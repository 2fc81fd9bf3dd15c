//! The migration loop over counts: the page-accurate engine's rules, with windows that bring nothing new jumped over.
//!
//! It must never skip a rule because the result would "usually" be the same; a jump is taken only over windows that are
//! equal to the nanosecond and contain no decision.

use crate::qemu::{PAGE_BYTES, SourceConfig};

use super::Outcome;
use super::SyncPoint;
use super::binomial::Hits;
use super::memory::{Memory, Run};
use super::wire::{Price, Progress, Wire, name_bytes, pages_to_limit};

const NS_PER_MS: u64 = 1_000_000;
/// Length of a rate window, and the part of the bandwidth limit that is its budget.
const WINDOW_NS: u64 = 100_000_000;
const WINDOWS_PER_S: u64 = 10;
/// Section header, end mark and footer around the pages of a burst; the statistics count the end mark alone.
const FRAME_BYTES: u64 = 18;
const END_MARK_BYTES: u64 = 8;
/// The budget of the last pass.
const NO_LIMIT: u64 = u64::MAX;
/// No real migration comes near so many turns; it stops one that gets nowhere in very much time.
const MAX_TURNS: u64 = 1 << 24;

/// What the loop needs to know and never changes.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    config: SourceConfig,
    wire: Wire,
    frame_ns: u64,
    budget_bytes: u64,
    sync_ns: u64,
    limit_ns: u64,
    guest_runs: bool,
    start_ns: u64,
    /// A whole window of normal pages and one of zero pages.
    windows: [Window; 2],
}

/// A window from its first instant, over pages that all cost the same and never run out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Window {
    pages: u64,
    bursts: u64,
    bytes: u64,
    ns: u64,
    threshold_bytes: u64,
}

impl Rules {
    pub(crate) fn new(config: SourceConfig, guest_runs: bool, total_pages: u64, start_ns: u64) -> Self {
        let host = config.host;
        let wire = Wire::new(host.link_bytes_per_second, host.zero_page_scan_ns);
        let mut rules = Self {
            wire,
            frame_ns: wire.ns(FRAME_BYTES),
            budget_bytes: match config.max_bandwidth_bytes_per_second {
                // One less than no limit at all: the clock still ends these bursts.
                0 => NO_LIMIT - 1,
                limit => limit / WINDOWS_PER_S,
            },
            sync_ns: host
                .sync_fixed_ns
                .saturating_add(total_pages.div_ceil(64).saturating_mul(host.sync_ns_per_word)),
            limit_ns: config.downtime_limit_ms.saturating_mul(NS_PER_MS),
            config,
            guest_runs,
            start_ns,
            windows: [Window::default(); 2],
        };
        rules.windows = [false, true].map(|zero| rules.window(rules.wire.price(zero)));
        rules
    }

    fn window(&self, price: Price) -> Window {
        let mut window = Window::default();
        let frame_ns = self.frame_ns;
        while window.bytes <= self.budget_bytes && window.ns < WINDOW_NS {
            let start = Progress {
                pages: 0,
                waited_ns: frame_ns,
                in_window: window.bytes.saturating_add(FRAME_BYTES),
            };
            // A budget smaller than a frame ends the burst after the page that carries it, like any page that crosses.
            let pages = if start.in_window <= self.budget_bytes {
                pages_to_limit(price, start, self.budget_bytes)
            } else {
                1
            };
            window.pages += pages;
            window.bursts += 1;
            window.bytes = window.bytes.saturating_add(FRAME_BYTES + pages.saturating_mul(price.bytes));
            window.ns = window.ns.saturating_add(frame_ns).saturating_add(pages.saturating_mul(price.ns));
        }
        if window.ns < WINDOW_NS {
            window.ns = WINDOW_NS.saturating_add(self.config.host.wake_up_ns);
        }
        window.threshold_bytes = self.threshold(window.bytes, window.ns);
        window
    }

    #[inline]
    fn threshold(&self, sent_bytes: u64, spent_ns: u64) -> u64 {
        if let Some(product) = sent_bytes.checked_mul(self.limit_ns) {
            return product / spent_ns.max(1);
        }
        let wide = u128::from(sent_bytes) * u128::from(self.limit_ns) / u128::from(spent_ns.max(1));
        u64::try_from(wide).unwrap_or(u64::MAX)
    }
}

/// A migration under way.
#[derive(Debug)]
pub(crate) struct Migration<'a, H, S> {
    rules: &'a Rules,
    memory: Memory<'a>,
    hits: H,
    on_sync: S,
    clock_ns: u64,
    deadline_ns: u64,
    observed_ns: u64,
    window_started_ns: u64,
    in_window: u64,
    threshold_bytes: u64,
    last_in_firmware: Option<bool>,
    outcome: Outcome,
}

impl<'a, H: Hits, S: FnMut(SyncPoint)> Migration<'a, H, S> {
    pub(crate) fn new(rules: &'a Rules, memory: Memory<'a>, hits: H, on_sync: S, patience_ms: u64) -> Self {
        Self {
            rules,
            memory,
            hits,
            on_sync,
            clock_ns: rules.start_ns,
            deadline_ns: rules.start_ns.saturating_add(patience_ms.saturating_mul(NS_PER_MS)),
            observed_ns: rules.start_ns,
            window_started_ns: rules.start_ns,
            in_window: 0,
            threshold_bytes: 0,
            last_in_firmware: None,
            outcome: Outcome::default(),
        }
    }

    /// Runs to the end, or until the time given is over.
    pub(crate) fn run(mut self) -> Outcome {
        let ended = self.set_up() && self.precopy() && self.hand_over();
        let end_ns = if ended { self.clock_ns } else { self.deadline_ns };
        self.outcome.converged = ended;
        self.outcome.total_ms = (end_ns - self.rules.start_ns) / NS_PER_MS;
        self.outcome.remaining_pages = self.memory.remaining();
        self.outcome
    }

    fn set_up(&mut self) -> bool {
        if !self.in_time(self.rules.config.host.setup_ns) {
            return false;
        }
        self.observed_ns = self.clock_ns;
        self.outcome.transferred_bytes += END_MARK_BYTES;
        self.sync(self.clock_ns);
        true
    }

    /// Sends and syncs until little enough is left; whether that came in time.
    fn precopy(&mut self) -> bool {
        while self.outcome.loop_turns < MAX_TURNS {
            self.outcome.loop_turns += 1;
            if self.in_window <= self.rules.budget_bytes {
                if self.remaining_bytes() < self.threshold_bytes {
                    if !self.in_time(self.rules.sync_ns) {
                        return false;
                    }
                    self.sync(self.clock_ns);
                }
                let remaining_bytes = self.remaining_bytes();
                if remaining_bytes == 0 || remaining_bytes < self.threshold_bytes {
                    return true;
                }
                if self.rules.wire.is_cut() {
                    return false;
                }
                if self.jump() {
                    continue;
                }
                if !self.burst(self.rules.budget_bytes) {
                    return false;
                }
            }
            if !self.limit() {
                return false;
            }
        }
        false
    }

    /// Passes over all whole windows that come now and are alike. Only from the first instant of a window, and only as
    /// long as each of its bursts finds more than a threshold left before and after.
    #[inline]
    fn jump(&mut self) -> bool {
        if self.in_window != 0 || self.clock_ns != self.window_started_ns {
            return false;
        }
        let Some(run) = self.memory.next_run() else { return false };
        let [normal, zero] = self.rules.windows;
        let window = if run.zero { zero } else { normal };
        if window.pages == 0 || run.pages < window.pages || name_bytes(run, self.last_in_firmware) > 0 {
            return false;
        }
        let threshold_pages = self.threshold_bytes.max(window.threshold_bytes).div_ceil(PAGE_BYTES);
        let to_spend = run.pages.min(self.memory.remaining().saturating_sub(threshold_pages));
        let time_left_ns = self.deadline_ns - self.clock_ns;
        let mut windows = to_spend / window.pages;
        if windows.saturating_mul(window.ns) > time_left_ns {
            windows = time_left_ns / window.ns;
        }
        if windows == 0 {
            return false;
        }
        let price = self.rules.wire.price(run.zero);
        self.count(run, windows * window.pages, price);
        self.outcome.transferred_bytes += windows * window.bursts * END_MARK_BYTES;
        self.clock_ns += windows * window.ns;
        self.window_started_ns = self.clock_ns;
        self.threshold_bytes = window.threshold_bytes;
        true
    }

    /// One uninterrupted call of "send what you can", up to a budget or, for the last pass, without any limit. False if
    /// the time given ends before it does.
    fn burst(&mut self, budget_bytes: u64) -> bool {
        let last_pass = budget_bytes == NO_LIMIT;
        self.outcome.transferred_bytes += END_MARK_BYTES;
        let started_ns = self.clock_ns;
        let (mut pages_sent, mut extra_bytes, mut extra_ns) = (0, FRAME_BYTES, self.rules.frame_ns);
        while self.in_window <= budget_bytes
            && let Some(run) = self.memory.next_run()
        {
            let price = self.rules.wire.price(run.zero);
            let name_bytes = name_bytes(run, self.last_in_firmware);
            if name_bytes > 0 {
                extra_bytes += name_bytes;
                extra_ns = self.rules.wire.ns(extra_bytes);
            }
            let time_left_ns = self.deadline_ns - self.clock_ns;
            if extra_ns.saturating_add(price.ns) > time_left_ns {
                return false;
            }
            self.clock_ns += extra_ns;
            self.in_window = self.in_window.saturating_add(extra_bytes);
            self.outcome.transferred_bytes += name_bytes;
            self.last_in_firmware = Some(run.firmware);
            let progress = Progress {
                pages: pages_sent,
                waited_ns: self.clock_ns - started_ns,
                in_window: self.in_window,
            };
            let limit = match self.in_window <= budget_bytes {
                _ if last_pass => u64::MAX,
                true => pages_to_limit(price, progress, budget_bytes),
                false => 1,
            };
            let mut pages = run.pages.min(limit);
            if pages.saturating_mul(price.ns) > self.deadline_ns - self.clock_ns {
                pages = (self.deadline_ns - self.clock_ns) / price.ns;
                self.count(run, pages, price);
                return false;
            }
            self.count(run, pages, price);
            self.clock_ns += pages * price.ns;
            self.in_window = self.in_window.saturating_add(pages.saturating_mul(price.bytes));
            if pages == limit {
                break;
            }
            pages_sent += pages;
            (extra_bytes, extra_ns) = (0, 0);
        }
        true
    }

    /// Closes the window if it is over, or sleeps to its end and then closes it if its budget is spent. False if the time
    /// given ends first.
    #[inline]
    fn limit(&mut self) -> bool {
        let window_end_ns = self.window_started_ns.saturating_add(WINDOW_NS);
        if self.clock_ns < window_end_ns {
            if self.in_window <= self.rules.budget_bytes {
                return true;
            }
            let sleep_ns = (window_end_ns - self.clock_ns).saturating_add(self.rules.config.host.wake_up_ns);
            if !self.in_time(sleep_ns) {
                return false;
            }
        }
        self.threshold_bytes = self.rules.threshold(self.in_window, self.clock_ns - self.window_started_ns);
        self.window_started_ns = self.clock_ns;
        self.in_window = 0;
        true
    }

    /// Stops the guest and sends the rest; whether that was done in time.
    fn hand_over(&mut self) -> bool {
        let stopping_ns = self.clock_ns;
        let host = self.rules.config.host;
        if self.rules.guest_runs && !self.in_time(host.stop_guest_ns) {
            return false;
        }
        let stopped_ns = self.clock_ns;
        if !self.in_time(self.rules.sync_ns) {
            return false;
        }
        self.sync(stopped_ns);
        if self.rules.wire.is_cut() || !self.burst(NO_LIMIT) || !self.in_time(host.device_state_ns) {
            return false;
        }
        self.outcome.downtime_ms = Some((self.clock_ns - stopping_ns) / NS_PER_MS);
        true
    }

    #[inline]
    fn count(&mut self, run: Run, pages: u64, price: Price) {
        self.memory.sent(run, pages);
        if run.zero {
            self.outcome.zero_pages += pages;
        } else {
            self.outcome.normal_pages += pages;
        }
        self.outcome.transferred_bytes += pages * price.bytes;
    }

    /// Reads the log now, with the writes up to an instant in it.
    fn sync(&mut self, written_ns: u64) {
        let newly_dirty_pages = if self.rules.guest_runs {
            self.memory.sync(self.observed_ns, written_ns, &mut self.hits)
        } else {
            0
        };
        self.observed_ns = self.clock_ns;
        self.outcome.syncs += 1;
        (self.on_sync)(SyncPoint {
            at_ns: self.clock_ns,
            newly_dirty_pages,
            remaining_pages: self.memory.remaining(),
        });
    }

    /// Lets time pass if there is so much left of the time given.
    #[inline]
    fn in_time(&mut self, ns: u64) -> bool {
        let in_time = ns <= self.deadline_ns - self.clock_ns;
        if in_time {
            self.clock_ns += ns;
        }
        in_time
    }

    #[inline]
    fn remaining_bytes(&self) -> u64 {
        self.memory.remaining().saturating_mul(PAGE_BYTES)
    }
}
