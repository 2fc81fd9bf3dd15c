//! `[expect]`: what must come out.

use std::ops::{Range, RangeInclusive};

use toml::de::DeTable;
use whimbrel_core::{Recovery, Side};

use super::bounds::{MAX_ITERATION, MAX_TIME_MS};
use super::reader::{Reader, Section};
use crate::world::IncidentKind;

/// What must come out of a scenario. Whatever is `None` may be anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expectation {
    /// How the migration ends.
    pub result: ExpectedResult,
    /// Where the guest is then.
    pub guest_on: GuestPlace,
    /// Other ends that are as good, where something races with something else: `[[expect.or]]`.
    pub or: Vec<(ExpectedResult, GuestPlace)>,
    /// At least this many syncs found more left to send than what was left just before.
    pub regressions_at_least: u64,
    /// At least this many syncs found more left to send than the sync before.
    pub gains_at_least: u64,
    /// From the beginning to the end, in milliseconds.
    pub total_ms: Option<RangeInclusive<u64>>,
    /// How long the guest was stopped, in milliseconds, as the migration observed it; it must have been observed.
    pub downtime_ms: Option<RangeInclusive<u64>>,
    /// The downtime as the hypervisor reports it, in milliseconds; it must have reported one.
    pub hypervisor_downtime_ms: Option<RangeInclusive<u64>>,
    /// Bitmap syncs.
    pub iterations: Option<RangeInclusive<u64>>,
    /// Everything that was put right, in order.
    pub recovered: Option<Vec<Recovery>>,
    /// Everything that really happened to the guest and never should, in order.
    pub incidents: Option<Vec<IncidentKind>>,
}

/// How a migration ends: `completed`, `cancelled`, `failed`, `in-doubt` or `arrived-stopped`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ExpectedResult {
    /// The guest runs on the destination.
    Completed,
    /// It was cancelled in time.
    Cancelled,
    /// It could not be done.
    Failed,
    /// The guest's location could not be determined.
    InDoubt,
    /// The guest was moved to the destination and does not run there, though it ran before.
    ArrivedStopped,
}

/// Where a guest is: `source`, `destination`, `nowhere`, `both`, `halves`, `lost` or `unknown`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum GuestPlace {
    /// On the host it came from.
    Source,
    /// On the host it went to.
    Destination,
    /// In neither host's memory: a fault killed it.
    Nowhere,
    /// Two copies were seen running.
    Both,
    /// On the destination, cut off from the memory that is still on the source.
    Halves,
    /// A part of its memory is gone for good.
    Lost,
    /// It could not be found out.
    Unknown,
}

pub(super) const RESULTS: [(&str, ExpectedResult); 5] = [
    ("completed", ExpectedResult::Completed),
    ("cancelled", ExpectedResult::Cancelled),
    ("failed", ExpectedResult::Failed),
    ("in-doubt", ExpectedResult::InDoubt),
    ("arrived-stopped", ExpectedResult::ArrivedStopped),
];

pub(super) const PLACES: [(&str, GuestPlace); 7] = [
    ("source", GuestPlace::Source),
    ("destination", GuestPlace::Destination),
    ("nowhere", GuestPlace::Nowhere),
    ("both", GuestPlace::Both),
    ("halves", GuestPlace::Halves),
    ("lost", GuestPlace::Lost),
    ("unknown", GuestPlace::Unknown),
];

pub(super) const RECOVERIES: [(&str, Recovery); 10] = [
    ("downtime-limit-restored", Recovery::DowntimeLimitRestored),
    ("bandwidth-limit-restored", Recovery::BandwidthLimitRestored),
    ("source-resumed", Recovery::Resumed(Side::Source)),
    ("destination-resumed", Recovery::Resumed(Side::Destination)),
    ("source-destroyed", Recovery::Destroyed(Side::Source)),
    ("destination-destroyed", Recovery::Destroyed(Side::Destination)),
    ("source-undefined", Recovery::Undefined(Side::Source)),
    ("destination-undefined", Recovery::Undefined(Side::Destination)),
    ("disks-removed", Recovery::DisksRemoved),
    ("postcopy-resumed", Recovery::PostcopyResumed),
];

pub(super) const INCIDENTS: [(&str, IncidentKind); 4] = [
    ("two-run", IncidentKind::TwoRun),
    ("last-copy-gone", IncidentKind::LastCopyGone),
    ("left-behind-runs", IncidentKind::LeftBehindRuns),
    ("wrong-disk", IncidentKind::WrongDisk),
];

impl<'t> Reader<'t> {
    pub(super) fn expectation(&mut self, table: &DeTable<'t>, span: Range<usize>) -> Option<Expectation> {
        const KEYS: [&str; 11] = [
            "result",
            "guest_on",
            "or",
            "regressions_at_least",
            "gains_at_least",
            "total_ms",
            "downtime_ms",
            "hypervisor_downtime_ms",
            "iterations",
            "recovered",
            "incidents",
        ];
        let expect = self.section("expect.", table, span, &KEYS);
        let end = self.end(&expect);
        let others = self.tables(&expect, "or", RESULTS.len());
        let or = others.into_iter().filter_map(|table| self.within(table, Self::other_end)?).collect();
        let regressions = self.whole(&expect, "regressions_at_least", 0..=MAX_ITERATION);
        let gains = self.whole(&expect, "gains_at_least", 0..=MAX_ITERATION);
        let total_ms = self.range(&expect, "total_ms", 0..=MAX_TIME_MS);
        let downtime_ms = self.range(&expect, "downtime_ms", 0..=MAX_TIME_MS);
        let hypervisor_downtime_ms = self.range(&expect, "hypervisor_downtime_ms", 0..=MAX_TIME_MS);
        let iterations = self.range(&expect, "iterations", 0..=MAX_ITERATION);
        let recovered = self.words(&expect, "recovered", &RECOVERIES);
        let incidents = self.words(&expect, "incidents", &INCIDENTS);
        let (result, guest_on) = end?;
        Some(Expectation {
            result,
            guest_on,
            or,
            regressions_at_least: regressions.unwrap_or(0),
            gains_at_least: gains.unwrap_or(0),
            total_ms,
            downtime_ms,
            hypervisor_downtime_ms,
            iterations,
            recovered,
            incidents,
        })
    }

    fn other_end(&mut self, table: &DeTable<'t>, span: Range<usize>) -> Option<(ExpectedResult, GuestPlace)> {
        let other = self.section("expect.or.", table, span, &["result", "guest_on"]);
        self.end(&other)
    }

    /// How it ends and where the guest is then, which must fit together.
    fn end(&mut self, section: &Section<'_, 't>) -> Option<(ExpectedResult, GuestPlace)> {
        let result = self.word(section, "result", &RESULTS);
        let guest_on = self.word(section, "guest_on", &PLACES);
        let (result, guest_on) = (result?, guest_on?);
        let only = match result {
            ExpectedResult::Completed if guest_on != GuestPlace::Destination => Some("`destination`"),
            ExpectedResult::Cancelled if guest_on != GuestPlace::Source => Some("`source`"),
            ExpectedResult::ArrivedStopped
                if !matches!(guest_on, GuestPlace::Destination | GuestPlace::Nowhere) =>
            {
                Some("`destination` or `nowhere`")
            }
            _ => None,
        };
        if let Some(only) = only {
            let message =
                format!("`{}` contradicts `{}`", section.label("guest_on"), section.label("result"));
            self.report_at(section, "guest_on", message, format!("with that result it can only be {only}"));
        }
        Some((result, guest_on))
    }
}
