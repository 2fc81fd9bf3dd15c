//! One migration of a case under one policy.
//!
//! The policy sees what libvirt would show: a sync soon after it happened, statistics at its polls. Syncs that QEMU makes
//! within a pass raise no event in the simulator; they are seen at the next step of 100 ms by their count.

use std::num::NonZeroU64;

use serde::Serialize;
use whimbrel_core::Instant;
use whimbrel_core::convergence::Statistics;
use whimbrel_policy::{Action, ActionResult, Beforehand, DirtyRate, Policy, Seen, Start, SyncSeen};
use whimbrel_sim::qemu::{
    AutoConverge, DirtyLimit, EventKind, HostConstants, Postcopy, SourceConfig, SourceMigration, Status,
    Xbzrle, dirty_rate_mib_per_second,
};
use whimbrel_sim::random::Random;

use crate::grid::Case;
use crate::kinds::PHASE_NS;
use crate::link::LinkPath;

const NS_PER_MS: u64 = 1_000_000;
const STEP_MS: u64 = 100;
const LINK_STEP_MS: u64 = 1_000;
/// QEMU 9.2 and later sync this often while the guest is throttled.
const PERIODIC_SYNC_NS: u64 = 5_000_000_000;

/// How a migration ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Ended {
    /// The guest has moved.
    Completed,
    /// The policy cancelled it.
    Cancelled,
    /// It was still under way at the cap.
    Capped,
}

/// What became of one migration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Run {
    /// Its end.
    pub ended: Ended,
    /// Whether it completed within downtime and deadline of the intent.
    pub meets_intent: bool,
    /// From the start to the end.
    pub total_ms: u64,
    /// How long the guest ran nowhere: its downtime, and a pause before it. `None` unless completed.
    pub downtime_ms: Option<u64>,
    /// Bytes on the wire, those before a restart included.
    pub sent_bytes: u64,
    /// Time that each writer lost, on average.
    pub lost_ms: u64,
    /// Syncs.
    pub syncs: u64,
    /// Actions that the policy took.
    pub actions: u64,
}

/// Is shown what the policy sees, and which actions succeeded.
pub trait Observer {
    /// Before the first byte.
    fn starts(&mut self, before: &Beforehand, start: &Start);
    /// One observation.
    fn on(&mut self, now: Instant, seen: Seen<'_>);
}

/// Takes no notice.
impl Observer for () {
    fn starts(&mut self, _: &Beforehand, _: &Start) {}
    fn on(&mut self, _: Instant, _: Seen<'_>) {}
}

/// Runs one case under a policy.
#[must_use]
pub fn run(case: &Case, policy: &mut dyn Policy) -> Run {
    run_observed(case, policy, &mut ())
}

/// The same with an observer beside the policy.
#[must_use]
pub fn run_observed(case: &Case, policy: &mut dyn Policy, observer: &mut dyn Observer) -> Run {
    run_measured(case, policy, observer, &[])
}

/// The same after the guest's dirty rate was measured over these intervals, one after the other: the migration begins that
/// much later.
#[must_use]
pub fn run_measured(
    case: &Case,
    policy: &mut dyn Policy,
    observer: &mut dyn Observer,
    intervals_ms: &[NonZeroU64],
) -> Run {
    let mut course = Course::of(case);
    let dirty_rates = course.measure(intervals_ms);
    let before = Beforehand { dirty_rates, ..course.beforehand(case) };
    let start = policy.start(&before, &case.intent);
    observer.starts(&before, &start);
    let mut migration = Migration::new(&course, policy, observer, start);
    migration.run(case.cap_ms);
    migration.result(case)
}

/// Guest and link of a case: the same for every policy.
#[derive(Clone, Debug)]
pub(crate) struct Course {
    pub(crate) guest: whimbrel_sim::guest::Guest,
    pub(crate) link: LinkPath,
    pub(crate) bandwidth: u64,
    /// The guest's own time at the start.
    pub(crate) phase_ns: u64,
    pub(crate) seed: u64,
}

impl Course {
    pub(crate) fn of(case: &Case) -> Self {
        // Kinds and sizes of one seed are different guests.
        let place = [case.memory_gib, case.link_gbps].into_iter().chain([case.kind as u64]);
        let mut random =
            Random::from_seed(place.fold(case.seed, |key, part| {
                (key ^ part).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29)
            }));
        let bandwidth = case.link_gbps * 125_000_000;
        let guest = case.kind.guest(case.memory_gib, bandwidth, &mut random);
        let phase_ns = random.below(PHASE_NS);
        let seed = random.next_u64();
        let link = LinkPath::new(bandwidth, case.cap_ms / 1000, &mut random);
        Self { guest, link, bandwidth, phase_ns, seed }
    }

    fn beforehand(&self, case: &Case) -> Beforehand {
        Beforehand {
            memory_bytes: case.memory_gib << 30,
            vcpus: u32::try_from(self.guest.writers.len()).unwrap_or(u32::MAX),
            link_bytes_per_second: Some(self.bandwidth),
            ..Beforehand::default()
        }
    }

    /// Measures the guest's dirty rate as QEMU does, and lets its time pass.
    fn measure(&mut self, intervals_ms: &[NonZeroU64]) -> Vec<DirtyRate> {
        // A stream of its own: the migration's chance is the same whether the guest was measured or not.
        let mut random = Random::from_seed(!self.seed);
        let rates = intervals_ms.iter().filter_map(|interval_ms| {
            let from_ns = self.phase_ns;
            self.phase_ns += interval_ms.get() * NS_PER_MS;
            let rate = dirty_rate_mib_per_second(&self.guest, from_ns, *interval_ms, random.fork())?;
            Some(DirtyRate { interval_ms: interval_ms.get(), bytes_per_second: rate << 20 })
        });
        rates.collect()
    }

    pub(crate) fn begin(&self, start: &Start, elapsed_ms: u64) -> SourceMigration {
        let host = HostConstants { link_bytes_per_second: self.bandwidth, ..HostConstants::default() };
        let config = SourceConfig {
            host,
            max_bandwidth_bytes_per_second: start.bandwidth_bytes_per_second,
            downtime_limit_ms: start.downtime_limit_ms,
            auto_converge: start.auto_converge.map(|steps| AutoConverge {
                initial_percent: steps.initial_percent,
                increment_percent: steps.increment_percent,
                tailslow: steps.tailslow,
                periodic_sync_ns: NonZeroU64::new(PERIODIC_SYNC_NS),
                ..AutoConverge::default()
            }),
            dirty_limit: start
                .dirty_limit_bytes_per_second
                .map(|vcpu_bytes_per_second| DirtyLimit { vcpu_bytes_per_second, ..DirtyLimit::default() }),
            xbzrle: start.xbzrle_cache_bytes.map(|cache_bytes| Xbzrle { cache_bytes }),
            postcopy: start.postcopy.then(Postcopy::default),
            ..SourceConfig::default()
        };
        let now_ns = self.phase_ns + elapsed_ms * NS_PER_MS;
        let mut engine = SourceMigration::start_keyed(&config, self.guest.clone(), now_ns, self.seed);
        engine.set_link_bytes_per_second(self.link.at(elapsed_ms / 1000));
        engine
    }
}

/// A migration under way.
struct Migration<'a> {
    course: &'a Course,
    policy: &'a mut dyn Policy,
    observer: &'a mut dyn Observer,
    engine: SourceMigration,
    /// The last sync: its count, instant, and the statistics then.
    synced: Option<(u64, u64, Statistics)>,
    paused_ms: Option<u64>,
    next_poll_ms: u64,
    actions: u64,
    /// Of earlier attempts.
    sent_before_bytes: u64,
    lost_before_ns: u64,
    syncs_before: u64,
}

impl<'a> Migration<'a> {
    fn new(
        course: &'a Course,
        policy: &'a mut dyn Policy,
        observer: &'a mut dyn Observer,
        start: Start,
    ) -> Self {
        Self {
            engine: course.begin(&start, 0),
            course,
            policy,
            observer,
            synced: None,
            paused_ms: None,
            next_poll_ms: 0,
            actions: 0,
            sent_before_bytes: 0,
            lost_before_ns: 0,
            syncs_before: 0,
        }
    }

    fn run(&mut self, cap_ms: u64) {
        let mut to_ms = 0;
        while to_ms < cap_ms && self.is_under_way() {
            to_ms += STEP_MS;
            while let Some(event) = self.engine.run_to(self.course.phase_ns + to_ms * NS_PER_MS) {
                if let EventKind::SyncDone { .. } = event.kind {
                    // No action is in time for the last one, with the guest stopped.
                    self.sync();
                }
            }
            let statistics = self.statistics();
            if self.synced.is_some_and(|(iteration, ..)| statistics.iteration > iteration)
                && self.is_under_way()
            {
                self.sync();
            }
            if to_ms.is_multiple_of(LINK_STEP_MS) {
                self.engine.set_link_bytes_per_second(self.course.link.at(to_ms / 1000));
            }
            if to_ms >= self.next_poll_ms && self.is_under_way() {
                self.next_poll_ms = to_ms + self.policy.poll_ms().max(STEP_MS);
                self.show(Seen::Poll(&self.statistics()));
            }
        }
    }

    fn is_under_way(&self) -> bool {
        !matches!(self.engine.status(), Status::Completed | Status::Cancelled | Status::Failed)
    }

    fn elapsed_ms(&self) -> u64 {
        (self.engine.now_ns() - self.course.phase_ns) / NS_PER_MS
    }

    fn sync(&mut self) {
        let (now_ms, statistics) = (self.elapsed_ms(), self.statistics());
        let before = self.synced.replace((statistics.iteration, now_ms, statistics));
        let (iteration_before, at_ms) =
            before.map_or((0, now_ms), |(iteration, at_ms, _)| (iteration, at_ms));
        let seen = SyncSeen {
            iteration: statistics.iteration,
            unseen: statistics.iteration.saturating_sub(iteration_before + 1),
            kind: statistics.sync_kind,
            remaining_bytes: statistics.memory_remaining_bytes,
            dirtied_bytes: before.map_or(0, |(.., before)| statistics.dirtied_bytes_since(&before)),
            interval_ms: now_ms - at_ms,
            statistics,
        };
        self.show(Seen::Sync(&seen));
    }

    /// One observation, and what follows from it.
    fn show(&mut self, seen: Seen<'_>) {
        let now = Instant::from_ms(self.elapsed_ms());
        self.observer.on(now, seen);
        if let Some(action) = self.policy.on(now, seen).action {
            self.actions += 1;
            let result = if self.act(action) { ActionResult::Done } else { ActionResult::Refused };
            let answered = Seen::Answered(action, result);
            self.observer.on(now, answered);
            // Its answer to an answer comes with the next observation.
            let _ = self.policy.on(now, answered);
        }
    }

    fn act(&mut self, action: Action) -> bool {
        match action {
            Action::DowntimeLimit { ms } => self.engine.set_downtime_limit_ms(ms),
            Action::Bandwidth { bytes_per_second } => self.engine.set_max_bandwidth(bytes_per_second),
            Action::Throttle { percent } => self.engine.set_throttle_percent(percent),
            Action::Postcopy => return self.engine.start_postcopy(),
            Action::Pause => {
                self.engine.set_guest_paused(true);
                self.paused_ms.get_or_insert((self.engine.now_ns() - self.course.phase_ns) / NS_PER_MS);
            }
            Action::Cancel => return self.engine.cancel(),
            Action::Restart(start) => return self.restart(&start),
        }
        true
    }

    fn restart(&mut self, start: &Start) -> bool {
        if !self.engine.cancel() {
            return false;
        }
        while self.is_under_way() {
            let next_ns = self.engine.next_event_at().unwrap_or(self.engine.now_ns());
            self.engine.run_to(next_ns);
        }
        self.sent_before_bytes += self.engine.statistics().memory.transferred_bytes;
        self.syncs_before += self.engine.statistics().memory.dirty_sync_count;
        self.lost_before_ns += self.engine.guest_work().lost_ns;
        self.synced = None;
        self.engine = self.course.begin(start, self.elapsed_ms());
        true
    }

    fn statistics(&self) -> Statistics {
        self.engine.statistics().reported().measured(false)
    }

    fn result(&self, case: &Case) -> Run {
        let statistics = self.engine.statistics();
        let ended = match statistics.status {
            Status::Completed => Ended::Completed,
            Status::Cancelled | Status::Failed => Ended::Cancelled,
            _ => Ended::Capped,
        };
        let total_ms = match ended {
            Ended::Completed => statistics.elapsed_ms + self.began_ms(),
            Ended::Cancelled | Ended::Capped => self.elapsed_ms(),
        };
        let own_ms = statistics.downtime_ms.filter(|_| ended == Ended::Completed);
        let downtime_ms = own_ms.map(|own_ms| {
            self.paused_ms.map_or(own_ms, |paused_ms| total_ms.saturating_sub(paused_ms).max(own_ms))
        });
        let intent = &case.intent;
        let in_time = intent.finish_within_ms.is_none_or(|end_ms| total_ms <= end_ms);
        let writers = u64::try_from(self.course.guest.writers.len()).unwrap_or(1).max(1);
        let lost_ns = self.engine.guest_work().lost_ns + self.lost_before_ns;
        Run {
            ended,
            meets_intent: in_time && downtime_ms.is_some_and(|ms| ms <= intent.max_downtime_ms),
            total_ms,
            downtime_ms,
            sent_bytes: statistics.memory.transferred_bytes + self.sent_before_bytes,
            lost_ms: lost_ns / writers / NS_PER_MS,
            syncs: statistics.memory.dirty_sync_count + self.syncs_before,
            actions: self.actions,
        }
    }

    /// When the present attempt began.
    fn began_ms(&self) -> u64 {
        let elapsed_ms = self.engine.statistics().elapsed_ms;
        if self.syncs_before == 0 { 0 } else { self.elapsed_ms().saturating_sub(elapsed_ms) }
    }
}
