//! The report of an evacuation, in integers: the same fleet and seed give the same report, byte for byte.

use serde::Serialize;
use whimbrel_core::{Cause, Ending, GuestLocation};

use super::description::{Fleet, FleetExpectation};
use super::evacuation::{Evacuating, FleetError, Moved};
use super::links::{LinkUse, Traffic};
use crate::qemu::Engine;
use crate::world::{GuestId, IncidentKind, Initiator};

const NS_PER_MS: u64 = 1_000_000;

/// The report of an evacuation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FleetReport {
    /// The fleet's name.
    pub name: String,
    /// The seed of all chance.
    pub seed: u64,
    /// What kept account of dirty pages.
    pub engine: &'static str,
    /// Hosts in all.
    pub hosts: u64,
    /// What became of the guests that were to be moved.
    pub guests: GuestCounts,
    /// How the migrations ended, of which a guest may have had several.
    pub migrations: MigrationCounts,
    /// Why migrations did not complete, the most frequent cause first.
    pub causes: Vec<CauseCount>,
    /// From the beginning until the last migration had ended, in ms.
    pub makespan_ms: u64,
    /// How long the migrations that completed took, in ms; none if there was none.
    pub total_ms: Option<Percentiles>,
    /// How long their guests were stopped, as the migrations observed it, in ms; none if none was observed.
    pub downtime_ms: Option<Percentiles>,
    /// The same as the hypervisor reports it.
    pub hypervisor_downtime_ms: Option<Percentiles>,
    /// Bytes that all migrations sent.
    pub sent_bytes: u64,
    /// The most migrations that were under way at once.
    pub most_at_once: AtOnce,
    /// The links that carried anything.
    pub links: Vec<LinkUse>,
    /// What must never happen to a guest, and did.
    pub incidents: Vec<IncidentReport>,
}

/// Guests by what is known of them at the end. A guest is counted once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct GuestCounts {
    /// All that were to be moved.
    pub all: u64,
    /// They are on their destination.
    pub moved: u64,
    /// They are on their source, after one attempt or more.
    pub stayed: u64,
    /// It is not known where they are.
    pub in_doubt: u64,
    /// They are in no host's memory, or not whole.
    pub lost: u64,
    /// They were never tried: nothing had room for them.
    pub not_tried: u64,
}

/// Migrations by how they ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct MigrationCounts {
    /// All that were begun.
    pub all: u64,
    /// The guest was moved.
    pub completed: u64,
    /// An operator cancelled.
    pub cancelled: u64,
    /// It did not work.
    pub failed: u64,
    /// It could not be found out.
    pub in_doubt: u64,
    /// The guest was moved, and does not run.
    pub arrived_stopped: u64,
}

/// How many migrations did not complete for one cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct CauseCount {
    /// The cause.
    pub cause: Cause,
    /// How many.
    pub migrations: u64,
}

/// Percentiles by nearest rank: the smallest value that this share of the values does not exceed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Percentiles {
    /// The median.
    pub p50: u64,
    /// 95 %.
    pub p95: u64,
    /// 99 %.
    pub p99: u64,
    /// All of them.
    pub max: u64,
}

/// The most migrations that were under way at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct AtOnce {
    /// In all.
    pub all: u64,
    /// From one host.
    pub per_source: u64,
    /// To one host.
    pub per_destination: u64,
}

/// Something that must never happen to a guest, and did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct IncidentReport {
    /// When, in ms since the beginning.
    pub at_ms: u64,
    /// To whom.
    pub guest: String,
    /// What.
    pub kind: &'static str,
    /// Whose doing it was.
    pub initiator: &'static str,
}

impl Fleet {
    /// Evacuates the fleet, and reports each migration that ends.
    ///
    /// # Errors
    /// When the fleet cannot be set up; see [`FleetError`].
    pub fn evacuate(
        &self,
        engine: Engine,
        seed: u64,
        mut watch: impl FnMut(&Moved),
    ) -> Result<FleetReport, FleetError> {
        let mut evacuating = Evacuating::new(self, engine, seed)?;
        let mut tally = Tally::new(self, evacuating.guests());
        while let Some(moved) = evacuating.next_ended()? {
            tally.add(&moved);
            watch(&moved);
        }
        Ok(tally.report(self, engine, seed, &evacuating))
    }
}

impl FleetExpectation {
    /// What a report does not meet, each in words; nothing if it meets all. That nothing happened to a guest that must
    /// never happen, but by a fault itself, is always expected.
    #[must_use]
    pub fn unmet(&self, report: &FleetReport) -> Vec<String> {
        let wanted = self.moved_at_least.unwrap_or(report.guests.all);
        let mut unmet = Vec::new();
        if report.guests.moved < wanted {
            unmet.push(format!("{} guests were moved, of {wanted} at least", report.guests.moved));
        }
        if let Some(within_ms) = self.within_ms.filter(|within_ms| report.makespan_ms > *within_ms) {
            unmet.push(format!("it lasted {} ms, of {within_ms} at most", report.makespan_ms));
        }
        // What a fault does by itself, such as a host's loss to the guests on it, is no migration's doing.
        let by_fault = doer_name(Initiator::Fault);
        if let Some(incident) = report.incidents.iter().find(|incident| incident.initiator != by_fault) {
            let IncidentReport { at_ms, guest, kind, initiator } = incident;
            unmet.push(format!("`{kind}` of {guest} at {at_ms} ms, by the {initiator}, must never happen"));
        }
        unmet
    }
}

/// What is counted on the way.
struct Tally {
    /// Where each guest was seen last.
    seen: Vec<Option<GuestLocation>>,
    migrations: MigrationCounts,
    causes: Vec<CauseCount>,
    total_ms: Vec<u64>,
    downtime_ms: Vec<u64>,
    hypervisor_downtime_ms: Vec<u64>,
    sent_bytes: u64,
    last_ns: u64,
    traffic: Traffic,
}

impl Tally {
    fn new(fleet: &Fleet, guests: usize) -> Self {
        Self {
            seen: vec![None; guests],
            migrations: MigrationCounts::default(),
            causes: Vec::new(),
            total_ms: Vec::new(),
            downtime_ms: Vec::new(),
            hypervisor_downtime_ms: Vec::new(),
            sent_bytes: 0,
            last_ns: 0,
            traffic: Traffic::new(fleet),
        }
    }

    fn add(&mut self, moved: &Moved) {
        if let Some(seen) = self.seen.get_mut(moved.number) {
            *seen = Some(moved.outcome.guest);
        }
        let counts = &mut self.migrations;
        counts.all += 1;
        match moved.outcome.ending {
            Ending::Completed => {
                counts.completed += 1;
                self.total_ms.push(moved.outcome.total_ms);
                self.downtime_ms.extend(moved.outcome.downtime_ms);
                self.hypervisor_downtime_ms.extend(moved.outcome.hypervisor_downtime_ms);
            }
            Ending::Cancelled => counts.cancelled += 1,
            Ending::Failed => counts.failed += 1,
            Ending::InDoubt => counts.in_doubt += 1,
            Ending::ArrivedStopped => counts.arrived_stopped += 1,
        }
        if let Some(cause) = moved.outcome.cause {
            match self.causes.iter_mut().find(|count| count.cause == cause) {
                Some(count) => count.migrations += 1,
                None => self.causes.push(CauseCount { cause, migrations: 1 }),
            }
        }
        self.sent_bytes = self.sent_bytes.saturating_add(moved.sent_bytes);
        self.last_ns = self.last_ns.max(moved.ended_ns);
        self.traffic.add(moved);
    }

    fn report(mut self, fleet: &Fleet, engine: Engine, seed: u64, evacuating: &Evacuating) -> FleetReport {
        // The sort keeps equally frequent causes in the order in which they came.
        self.causes.sort_by_key(|count| std::cmp::Reverse(count.migrations));
        let world = evacuating.world();
        let name = |guest: GuestId| world.machine(guest).name.clone();
        let incidents = world.incidents().iter().map(|incident| IncidentReport {
            at_ms: incident.at_ns / NS_PER_MS,
            guest: name(incident.guest),
            kind: kind_name(incident.kind),
            initiator: doer_name(incident.initiator),
        });
        let (all, per_source, per_destination) = evacuating.most_at_once();
        FleetReport {
            name: fleet.name.clone(),
            seed,
            engine: engine.name(),
            hosts: fleet.hosts.iter().map(|group| group.count).sum(),
            guests: counts(&self.seen),
            migrations: self.migrations,
            causes: self.causes,
            makespan_ms: self.last_ns / NS_PER_MS,
            total_ms: Percentiles::of(self.total_ms),
            downtime_ms: Percentiles::of(self.downtime_ms),
            hypervisor_downtime_ms: Percentiles::of(self.hypervisor_downtime_ms),
            sent_bytes: self.sent_bytes,
            most_at_once: AtOnce { all, per_source, per_destination },
            links: self.traffic.used(fleet, self.last_ns),
            incidents: incidents.collect(),
        }
    }
}

impl Percentiles {
    /// The percentiles of some values; none of no values.
    #[must_use]
    pub fn of(mut values: Vec<u64>) -> Option<Self> {
        values.sort_unstable();
        let max = *values.last()?;
        let rank = |percent: usize| {
            let place = (values.len() * percent).div_ceil(100).max(1) - 1;
            values.get(place).copied().unwrap_or(max)
        };
        Some(Self { p50: rank(50), p95: rank(95), p99: rank(99), max })
    }
}

fn counts(seen: &[Option<GuestLocation>]) -> GuestCounts {
    let mut counts =
        GuestCounts { all: u64::try_from(seen.len()).unwrap_or(u64::MAX), ..GuestCounts::default() };
    for whereabouts in seen {
        match whereabouts {
            None => counts.not_tried += 1,
            Some(
                GuestLocation::DestinationRunning
                | GuestLocation::DestinationPaused
                | GuestLocation::DestinationOff,
            ) => counts.moved += 1,
            Some(
                GuestLocation::Untouched
                | GuestLocation::SourceRunning
                | GuestLocation::SourcePaused
                | GuestLocation::SourceOff,
            ) => counts.stayed += 1,
            Some(
                GuestLocation::DestinationIncomplete | GuestLocation::LeftBehind | GuestLocation::Nowhere,
            ) => {
                counts.lost += 1;
            }
            Some(
                GuestLocation::DestinationPostcopy | GuestLocation::BothRunning | GuestLocation::Unknown,
            ) => {
                counts.in_doubt += 1;
            }
        }
    }
    counts
}

const fn kind_name(kind: IncidentKind) -> &'static str {
    match kind {
        IncidentKind::TwoRun => "two_run",
        IncidentKind::LastCopyGone => "last_copy_gone",
        IncidentKind::LeftBehindRuns => "left_behind_runs",
        IncidentKind::WrongDisk => "wrong_disk",
    }
}

const fn doer_name(initiator: Initiator) -> &'static str {
    match initiator {
        Initiator::Hypervisor => "hypervisor",
        Initiator::Caller => "caller",
        Initiator::Guest => "guest",
        Initiator::Fault => "fault",
    }
}
