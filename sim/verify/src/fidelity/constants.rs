//! What the recording host costs, from the idle guests in the same file.
//!
//! An idle guest's migration is the host's doing alone, so that nothing can be fitted by way of its writes. A judged
//! case must never provide evidence about itself: an idle one is left out when it is judged, and one that writes gives
//! nothing at all, but for how fast a guest without a pace wrote *before* it was migrated.

use serde::Serialize;

use super::estimates::{mean_of_middle_half, median};
use super::recording::{Case, Repeat};
use super::row::{Driver, Transport};
use super::trace::{STALL_FROM_MS, WINDOW_MS};
use whimbrel_sim::guest::PAGE_BYTES;
use whimbrel_sim::qemu::HostConstants;

const PAGE_ON_WIRE_BYTES: f64 = 4104.0;
const NS_PER_MS: f64 = 1e6;
const NS_PER_S: f64 = 1e9;
/// What touching new memory costs for each page where no idle run shows it: the middle of idle guests of a quiet host
/// without a bandwidth limit, and the range that it had in recordings of this and another host.
const FIRST_TOUCH_NS: u64 = 8_000;
const FIRST_TOUCH_RANGE_NS: [f64; 2] = [0.0, 30_000.0];
/// A guest that writes as fast as it can, where no other case shows it: of an emulated processor.
const GUEST_WRITES_PER_SECOND: u64 = 1_400_000;
/// The range of a copy of a page where no idle run shows it: 1 to 3 GB/s.
const COPY_RANGE_NS: [f64; 2] = [1_400.0, 4_100.0];
/// How long a stopped guest waits for libvirt's reply, where no idle run shows it. QEMU's event goes to the daemon,
/// which answers: some ms.
const SWITCHOVER_WAIT_NS: u64 = 5_000_000;

/// A constant and where it is from.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct HostConstant {
    /// Its name, with its unit last.
    pub name: &'static str,
    /// Its value.
    pub value: u64,
    /// Idle runs that it is from; none for a default.
    pub idle_runs: usize,
}

/// A host as far as it is known.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Host {
    pub(super) constants: HostConstants,
    /// From the guest's stop until a libvirt that waits before the switchover continues it.
    pub(super) switchover_wait_ns: u64,
    /// Writes a second of a guest that writes as fast as it can, measured before the migrations of other cases.
    pub(super) guest_writes_per_second: u64,
    pub(super) sources: Vec<HostConstant>,
    /// The fastest and the slowest that idle runs have seen it copy, in ns a page: first to memory that was touched
    /// before, then what touching costs on top.
    copy_range_ns: [f64; 2],
    touch_range_ns: [f64; 2],
    /// And look through a page of zeros.
    zero_range_ns: Option<[f64; 2]>,
}

/// An idle run, and what it was asked.
#[derive(Clone, Copy)]
struct Idle<'a> {
    case: &'a Case,
    repeat: &'a Repeat,
}

impl Host {
    /// The host that `judged` is to be simulated on, from all other cases.
    pub(super) fn of(cases: &[Case], judged: Option<&Case>) -> Self {
        let left_out = judged.map(|case| case.name.as_str());
        let driver = judged.map_or(Driver::Qemu, |case| case.setup.driver);
        let transport = judged.map_or(Transport::Unix, |case| case.setup.transport);
        let others = || cases.iter().filter(|case| Some(case.name.as_str()) != left_out);
        let idle: Vec<Idle<'_>> = others()
            .filter(|case| case.is_idle() && case.not_simulated.is_none())
            .flat_map(|case| case.repeats.iter().map(move |repeat| Idle { case, repeat }))
            .filter(|idle| idle.repeat.run.completed && idle.repeat.run.total_ms.is_some())
            .collect();
        let quiet = quieter_half(&idle);
        let mut host = Self {
            constants: HostConstants::default(),
            switchover_wait_ns: SWITCHOVER_WAIT_NS,
            guest_writes_per_second: GUEST_WRITES_PER_SECOND,
            sources: Vec::new(),
            copy_range_ns: COPY_RANGE_NS,
            touch_range_ns: FIRST_TOUCH_RANGE_NS,
            zero_range_ns: None,
        };
        host.constants.first_touch_ns = FIRST_TOUCH_NS;
        // The recorder's guests are emulated.
        host.constants.syncs_wait_for_cpus = true;
        let unpaced: Vec<f64> = others()
            .filter(|case| case.setup.arguments.is_unpaced())
            .flat_map(|case| case.repeats.iter())
            .map(|repeat| float(repeat.before.speeds.measured_writes_per_second))
            .filter(|rate| *rate > 0.0)
            .collect();
        if let Some(rate) = median(unpaced) {
            host.guest_writes_per_second = whole(rate);
        }
        // The second time each of them knows the others.
        for _ in 0..2 {
            host.sources.clear();
            // The middle of a judged case's repeats knows loud minutes as well as quiet ones.
            host.measure_waking(&idle);
            host.measure_setup(&quiet, driver);
            host.measure_zero_pages(&quiet);
            host.measure_link(&idle, transport);
            host.measure_handover(&quiet, driver);
        }
        host
    }

    /// The same host as fast and as slow as idle runs have seen it copy.
    pub(super) fn fastest_and_slowest(&self) -> [Self; 2] {
        [0, 1].map(|end| {
            let of = |range: [f64; 2]| range.get(end).copied().unwrap_or_default();
            let mut host = self.clone();
            host.constants.link_bytes_per_second =
                whole(PAGE_ON_WIRE_BYTES * NS_PER_S / of(self.copy_range_ns));
            host.constants.channel_bytes_per_second = host.constants.link_bytes_per_second;
            host.constants.first_touch_ns = whole(of(self.touch_range_ns));
            if let Some(range) = self.zero_range_ns {
                host.constants.zero_page_scan_ns = whole(of(range));
            }
            host
        })
    }

    /// Sets a constant from the values of these runs, or keeps its default.
    fn set(
        &mut self,
        name: &'static str,
        field: impl Fn(&mut Self) -> &mut u64,
        (value, runs): (Option<f64>, usize),
    ) {
        if let Some(value) = value.filter(|value| value.is_finite()) {
            *field(self) = whole(value);
        }
        let idle_runs = if value.is_some() { runs } else { 0 };
        let value = *field(self);
        self.sources.push(HostConstant { name, value, idle_runs });
    }

    /// How late the host wakes up who sleeps, from windows whose budget was spent.
    fn measure_waking(&mut self, idle: &[Idle<'_>]) {
        let runs = idle.iter().filter(|idle| !idle.repeat.trace.slept_ms.is_empty()).count();
        let all: Vec<u64> = idle.iter().flat_map(|idle| idle.repeat.trace.slept_ms.iter().copied()).collect();
        let (prompt, stalled): (Vec<u64>, Vec<u64>) = all.iter().partition(|ms| **ms < STALL_FROM_MS);
        let late_ms = |lengths: &[u64]| {
            let sum: u64 = lengths.iter().map(|ms| ms - WINDOW_MS).sum();
            (!lengths.is_empty()).then(|| float(sum) / float(lengths.len() as u64))
        };
        let share = (!all.is_empty()).then(|| 1e6 * float(stalled.len() as u64) / float(all.len() as u64));
        let wake_up = late_ms(&prompt).map(|ms| ms * NS_PER_MS);
        self.set("wake_up_ns", |host| &mut host.constants.wake_up_ns, (wake_up, runs));
        let share = (share, runs);
        self.set("stalls_per_million_windows", |host| &mut host.constants.stalls_per_million_windows, share);
        let stall = all.first().map(|_| late_ms(&stalled).unwrap_or(0.0) * NS_PER_MS);
        self.set("stall_ns", |host| &mut host.constants.stall_ns, (stall, runs));
    }

    fn measure_setup(&mut self, idle: &[Idle<'_>], driver: Driver) {
        let of_driver = of(idle, driver);
        let setups: Vec<f64> = of_driver
            .iter()
            .filter_map(|idle| idle.repeat.trace.setup_ms)
            .map(|ms| float(ms) * NS_PER_MS)
            .collect();
        let runs = setups.len();
        self.set("setup_ns", |host| &mut host.constants.setup_ns, (mean_of_middle_half(setups), runs));
        let per_word = float(self.constants.sync_ns_per_word);
        let syncs: Vec<f64> = idle
            .iter()
            .flat_map(|idle| {
                let words = float(idle.case.setup.memory_mib) * 4.0;
                idle.repeat
                    .trace
                    .syncs
                    .iter()
                    .skip(1)
                    .map(move |sync| (sync.1 * NS_PER_S - words * per_word).max(0.0))
            })
            .collect();
        let value = (median(syncs), idle.len());
        self.set("sync_fixed_ns", |host| &mut host.constants.sync_fixed_ns, value);
    }

    /// The link from runs without a limit to memory that was touched before, and what touching costs from those
    /// without.
    fn measure_link(&mut self, idle: &[Idle<'_>], transport: Transport) {
        let unlimited = |prealloc: bool| {
            let of = |transport: Transport| -> Vec<f64> {
                let wanted = |idle: &&Idle<'_>| {
                    let setup = &idle.case.setup;
                    is_unlimited(idle) && setup.prealloc == prealloc && setup.transport == transport
                };
                idle.iter().filter(wanted).filter_map(|idle| self.page_ns(*idle)).collect()
            };
            let own = of(transport);
            if own.is_empty() { of(Transport::Unix) } else { own }
        };
        let (copies, untouched) = (unlimited(true), unlimited(false));
        let runs = (copies.len(), untouched.len());
        self.copy_range_ns = range(&copies).unwrap_or(COPY_RANGE_NS);
        let link = median(copies).map(|ns| PAGE_ON_WIRE_BYTES * NS_PER_S / ns);
        self.set("link_bytes_per_second", |host| &mut host.constants.link_bytes_per_second, (link, runs.0));
        let default = HostConstants::default();
        let ratio = float(self.constants.link_bytes_per_second) / float(default.link_bytes_per_second);
        // One connection on its own is what the link was measured with.
        self.constants.channel_bytes_per_second = self.constants.link_bytes_per_second;
        self.constants.zero_copy_bytes_per_second = whole(float(default.zero_copy_bytes_per_second) * ratio);
        let touches: Vec<f64> = untouched.iter().map(|ns| (ns - self.copy_ns()).max(0.0)).collect();
        self.touch_range_ns = range(&touches).unwrap_or(FIRST_TOUCH_RANGE_NS);
        let touch = (median(touches), runs.1);
        self.set("first_touch_ns", |host| &mut host.constants.first_touch_ns, touch);
    }

    fn copy_ns(&self) -> f64 {
        PAGE_ON_WIRE_BYTES * NS_PER_S / float(self.constants.link_bytes_per_second)
    }

    /// What a page with content took on average, in a run without a limit that had many of them.
    fn page_ns(&self, idle: Idle<'_>) -> Option<f64> {
        let run = &idle.repeat.run;
        let constants = &self.constants;
        let zero_ns = float(run.zero_pages?) * float(constants.zero_page_scan_ns);
        let other_ns = zero_ns + float(constants.setup_ns) + float(constants.device_state_ns);
        let pages_ns = float(run.total_ms?) * NS_PER_MS - other_ns;
        (run.normal_pages >= 16_384 && pages_ns > 0.0).then(|| pages_ns / float(run.normal_pages))
    }

    /// Looking through zero pages, from the tail of first passes after the last window with content.
    fn measure_zero_pages(&mut self, idle: &[Idle<'_>]) {
        let scans: Vec<f64> = idle.iter().filter_map(|idle| self.zero_page_ns(*idle)).collect();
        let runs = scans.len();
        self.zero_range_ns = range(&scans);
        let value = (median(scans), runs);
        self.set("zero_page_scan_ns", |host| &mut host.constants.zero_page_scan_ns, value);
    }

    fn zero_page_ns(&self, idle: Idle<'_>) -> Option<f64> {
        let (setup, run, trace) = (&idle.case.setup, &idle.repeat.run, &idle.repeat.trace);
        let (first, second) = (trace.syncs.first()?, trace.syncs.get(1)?);
        let sent_bytes: u64 = trace.windows.iter().map(|window| window.bytes).sum();
        let content_bytes = float(run.normal_pages) * PAGE_ON_WIRE_BYTES;
        if is_unlimited(&idle) || float(sent_bytes) > content_bytes {
            return None;
        }
        let begins_s = trace.windows.last().map_or(first.0 + first.1, |window| window.ends_s);
        let content_pages = (content_bytes - float(sent_bytes)) / PAGE_ON_WIRE_BYTES;
        let touch_ns = if setup.prealloc { 0.0 } else { float(self.constants.first_touch_ns) };
        let content_ns = content_pages * (self.copy_ns() + touch_ns);
        let scanned = float(run.zero_pages?) - threshold_pages(idle);
        let scan_ns = (second.0 - begins_s) * NS_PER_S - content_ns;
        (scanned >= 8192.0 && scan_ns > 0.0).then(|| scan_ns / scanned)
    }

    /// Stopping the guest, what comes after the last page, and for how long libvirt waits before.
    fn measure_handover(&mut self, idle: &[Idle<'_>], driver: Driver) {
        let of_driver = of(idle, driver);
        let handovers = |idle: &[Idle<'_>]| -> Vec<(f64, f64, f64)> {
            idle.iter().filter_map(|idle| self.handover(*idle)).collect()
        };
        let times = handovers(&of_driver);
        // libvirt's return path makes an idle guest's source wait until the destination has looked through all the zero
        // pages that came last; a guest that writes has none, so that libvirt's idle runs say nothing of the state.
        let states: Vec<f64> = handovers(&of(idle, Driver::Qemu)).iter().map(|times| times.2).collect();
        let runs = (times.len(), states.len());
        let stops = median(times.iter().map(|times| times.0).collect());
        self.set("stop_guest_ns", |host| &mut host.constants.stop_guest_ns, (stops, runs.0));
        let states = mean_of_middle_half(states);
        self.set("device_state_ns", |host| &mut host.constants.device_state_ns, (states, runs.1));
        if driver == Driver::Libvirt {
            let runs = runs.0;
            let waits = median(times.iter().map(|times| times.1).collect());
            self.set("switchover_wait_ns", |host| &mut host.switchover_wait_ns, (waits, runs));
        }
    }

    /// Of one run: from the decision to the stop, from there to the last sync, and from its end to the migration's,
    /// less the zero pages that the last pass had left, in ns.
    fn handover(&self, idle: Idle<'_>) -> Option<(f64, f64, f64)> {
        let trace = &idle.repeat.trace;
        let [.., decided, last] = trace.syncs.as_slice() else { return None };
        let (stopped_s, downtime_ms) = (trace.stopped_s?, idle.repeat.run.downtime_ms?);
        if is_unlimited(&idle) || trace.syncs.len() < 3 {
            return None;
        }
        let decided_s = decided.0 + decided.1;
        let stop_ns = ((stopped_s - decided_s) * NS_PER_S).max(0.0);
        let wait_ns = ((last.0 - stopped_s) * NS_PER_S).max(0.0);
        let until_synced_ns = (last.0 + last.1 - decided_s) * NS_PER_S;
        let left = threshold_pages(idle).min(float(idle.repeat.run.zero_pages.unwrap_or(0)));
        let last_pass_ns = left * float(self.constants.zero_page_scan_ns);
        let state_ns = float(downtime_ms) * NS_PER_MS - until_synced_ns - last_pass_ns;
        Some((stop_ns, wait_ns, state_ns.max(0.0)))
    }
}

/// The least and the most.
fn range(values: &[f64]) -> Option<[f64; 2]> {
    let least = values.iter().copied().reduce(f64::min)?;
    Some([least, values.iter().copied().reduce(f64::max)?])
}

/// Without a limit, and with nothing that changes what a page costs.
fn is_unlimited(idle: &Idle<'_>) -> bool {
    let config = &idle.case.setup.config;
    config.max_bandwidth_bytes_per_second == 0 && config.channels.is_none() && config.xbzrle.is_none()
}

/// Pages that may be left when the switchover is decided on.
fn threshold_pages(idle: Idle<'_>) -> f64 {
    let config = &idle.case.setup.config;
    let bytes =
        u128::from(config.max_bandwidth_bytes_per_second) * u128::from(config.downtime_limit_ms) / 1000;
    u64::try_from(bytes / u128::from(PAGE_BYTES)).map_or(f64::INFINITY, float)
}

/// The runs by one driver, or all if there are none.
fn of<'a>(idle: &[Idle<'a>], driver: Driver) -> Vec<Idle<'a>> {
    let own: Vec<Idle<'a>> = idle.iter().filter(|idle| idle.case.setup.driver == driver).copied().collect();
    if own.is_empty() { idle.to_vec() } else { own }
}

/// The half of the runs with the shorter windows; those that have none are no evidence for that and stay.
fn quieter_half<'a>(idle: &[Idle<'a>]) -> Vec<Idle<'a>> {
    let mean_ms = |idle: &Idle<'_>| idle.repeat.trace.mean_window_ms();
    let middle_ms = median(idle.iter().filter_map(mean_ms).collect());
    let quiet = |idle: &&Idle<'_>| match (mean_ms(idle), middle_ms) {
        (Some(own_ms), Some(middle_ms)) => own_ms <= middle_ms,
        _ => true,
    };
    idle.iter().filter(quiet).copied().collect()
}

#[expect(
    clippy::cast_precision_loss,
    reason = "what a recording counts stays far below 2^52, or is only estimated"
)]
fn float(value: u64) -> f64 {
    value as f64
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the conversion saturates, and constants are not negative"
)]
fn whole(value: f64) -> u64 {
    value.round() as u64
}
