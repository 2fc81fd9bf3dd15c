//! Recorded migrations as cases: the repeats of one set-up under one name.
//!
//! A line that cannot be understood in full is an error with its number; it must never be guessed at or left out. A
//! line that is understood and needs a feature that the engine does not have is still a case, with the reason.

use std::collections::BTreeMap;
use std::fmt;

use super::arguments::Arguments;
use super::features;
use super::pacing::Speeds;
use super::row::{Driver, Profile, Row, RowChange, RowSetup, Transport};
use super::run::Run;
use super::trace::Trace;
use whimbrel_sim::qemu::SourceConfig;
use whimbrel_sim::versions::{Version, qemu};

/// What the engine's memory map is practical for, in MiB: 1 TiB.
const MOST_MEMORY_MIB: u64 = 1 << 20;
/// Longest recording that is simulated, in seconds: a day.
const LONGEST_S: u64 = 86_400;
/// QEMU's own bound on the downtime limit, in ms.
const MOST_DOWNTIME_MS: u64 = 2_000_000;
/// The counter of the host that the older recordings are from.
const OLD_TSC_HZ: u64 = 2_445_000_000;
const NS_PER_S: f64 = 1e9;
/// The version of recordings in the older format, which do not name it.
const OLD_QEMU: Version = Version::new(7, 2, 0);

/// A case: one set-up, recorded once or several times.
#[derive(Clone, Debug, PartialEq)]
pub struct Case {
    /// Its name, the same for every repeat.
    pub name: String,
    /// How each repeat went.
    pub repeats: Vec<Repeat>,
    /// Why the engine cannot be asked about it.
    pub not_simulated: Option<String>,
    pub(super) setup: Setup,
}

/// One recording of a case.
#[derive(Clone, Debug, PartialEq)]
pub struct Repeat {
    /// How it went.
    pub run: Run,
    /// The part of the processors that others used meanwhile, where it was recorded.
    pub busy: Option<f64>,
    pub(super) before: Before,
    pub(super) trace: Trace,
}

/// What was known of a guest just before it was migrated.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Before {
    pub(super) speeds: Speeds,
    /// How long it had been writing, where that was recorded.
    pub(super) age_ms: Option<u64>,
    pub(super) profile: Option<Profile>,
}

/// What was set before the migrations began.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Setup {
    pub(super) memory_mib: u64,
    /// The source's QEMU.
    pub(super) qemu: Version,
    /// What was asked of QEMU, on the default host.
    pub(super) config: SourceConfig,
    /// When the recorder cancelled.
    pub(super) timeout_s: u64,
    pub(super) arguments: Arguments,
    pub(super) workload: Option<String>,
    pub(super) changes: Vec<Change>,
    pub(super) postcopy_at_ns: Option<u64>,
    pub(super) paused: bool,
    /// Whether the destination's memory had been touched before.
    pub(super) prealloc: bool,
    pub(super) driver: Driver,
    pub(super) transport: Transport,
}

/// Limits that changed on the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) at_ns: u64,
    pub(super) max_bandwidth_bytes_per_second: Option<u64>,
    pub(super) downtime_limit_ms: Option<u64>,
}

/// A line that is not a recording.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordingError {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub reason: String,
}

impl fmt::Display for RecordingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.reason)
    }
}

impl std::error::Error for RecordingError {}

/// The cases in the order in which they first appear. Empty lines mean nothing.
///
/// # Errors
///
/// The first line that is not a recording, that contradicts an earlier one of the same name, or that requests more
/// than the engine can hold.
pub fn read(text: &str) -> Result<Vec<Case>, RecordingError> {
    let mut cases: Vec<Case> = Vec::new();
    let mut asked: BTreeMap<String, (usize, usize, RowSetup)> = BTreeMap::new();
    for (line, content) in (1..).zip(text.lines()).filter(|(_, content)| !content.trim().is_empty()) {
        let failed = |reason| RecordingError { line, reason };
        let row = Row::parse(content).map_err(failed)?;
        let case = Case::new(&row).map_err(failed)?;
        let (first_line, place, first) =
            asked.entry(row.name.clone()).or_insert_with(|| (line, cases.len(), row.cfg.clone()));
        match cases.get_mut(*place) {
            None => cases.push(case),
            Some(known) if *first == row.cfg && known.is_set_up_as(&case) => known.add(case),
            Some(_) => {
                let reason = format!("`{}` has another set-up here than in line {first_line}", row.name);
                return Err(failed(reason));
            }
        }
    }
    if cases.is_empty() {
        return Err(RecordingError { line: 1, reason: "there is no recording in the file".to_owned() });
    }
    Ok(cases)
}

impl Case {
    /// A case of one repeat.
    fn new(row: &Row) -> Result<Self, String> {
        let cfg = &row.cfg;
        bounded("memory in MiB", cfg.ram, MOST_MEMORY_MIB)?;
        bounded("downtime limit in ms", cfg.dl, MOST_DOWNTIME_MS)?;
        bounded("timeout in s", cfg.timeout, LONGEST_S)?;
        bounded("age in ms", row.age_ms.unwrap_or(0), LONGEST_S * 1000)?;
        let arguments = Arguments::parse(&cfg.append)?;
        let features = features::configuration(cfg, arguments.content().compressed_page_bytes);
        let (mut config, mut not_simulated) = match features {
            Ok(config) => (config, None),
            Err(reason) => (SourceConfig::default(), Some(reason)),
        };
        let qemu = version_of(row)?;
        adapt(&mut config, qemu);
        let setup = Setup {
            memory_mib: cfg.ram,
            qemu,
            config: SourceConfig {
                pause_before_switchover: config.pause_before_switchover || row.driver == Driver::Libvirt,
                ..config
            },
            timeout_s: cfg.timeout,
            arguments,
            workload: cfg.workload.clone(),
            changes: cfg.changes.iter().map(change).collect::<Result<_, _>>()?,
            postcopy_at_ns: cfg.pc_at.map(|at_s| nanoseconds("pc_at", at_s)).transpose()?,
            paused: cfg.paused,
            prealloc: row.prealloc,
            driver: row.driver,
            transport: row.transport,
        };
        let repeat = Repeat::new(row);
        setup.arguments.writers(repeat.before.speeds, setup.lasts_ms(&repeat.before))?;
        not_simulated = not_simulated.or_else(|| setup.not_simulated(row));
        Ok(Self { name: row.name.clone(), repeats: vec![repeat], not_simulated, setup })
    }

    fn is_set_up_as(&self, other: &Self) -> bool {
        self.setup == other.setup
    }

    fn add(&mut self, other: Self) {
        self.repeats.extend(other.repeats);
        self.not_simulated = self.not_simulated.take().or(other.not_simulated);
    }

    /// Whether nothing writes to the guest's memory.
    pub(super) fn is_idle(&self) -> bool {
        self.setup.workload.is_none() && !self.setup.arguments.writes()
    }
}

/// The version that a row names, without its package.
fn version_of(row: &Row) -> Result<Version, String> {
    let Some(text) = &row.qemu else { return Ok(OLD_QEMU) };
    let number = text.split_whitespace().next().unwrap_or_default();
    number
        .parse()
        .map_err(|_| format!("`qemu` is \"{text}\", which does not begin with a version such as 7.2.22"))
}

/// Gives a configuration the rules of a version. The recorder's guests have the version's own machine type.
fn adapt(config: &mut SourceConfig, version: Version) {
    config.behaviour = qemu::behaviour(version);
    if let Some(rules) = &mut config.auto_converge {
        rules.periodic_sync_ns = qemu::periodic_sync_ns(version);
    }
    if let Some(channels) = &mut config.channels {
        channels.flush_after_each_burst = version < qemu::FLUSHES_ONCE_A_ROUND;
    }
}

impl Setup {
    /// Until when the guest's time has to be known.
    pub(super) fn lasts_ms(&self, before: &Before) -> u64 {
        before.age_ms.unwrap_or(0).saturating_add(self.timeout_s.saturating_mul(1000))
    }

    /// What the engine cannot do, in words, apart from capabilities and parameters.
    fn not_simulated(&self, row: &Row) -> Option<String> {
        if row.status != "completed" && row.status != "timeout" {
            return Some(format!("a repeat ended as `{}`", row.status));
        }
        if let Some(mib) = row.cfg.disk_mib {
            return Some(format!("a disk of {mib} MiB was copied along: the engine copies memory alone"));
        }
        if self.workload.is_some() && row.profile.as_ref().is_none_or(|profile| !profile.is_measured()) {
            return Some("nothing was measured of the Linux guest before the migration".to_owned());
        }
        self.arguments.not_simulated()
    }
}

impl Repeat {
    fn new(row: &Row) -> Self {
        let completed = row.status == "completed";
        // A recorder that queries at the very end may receive zero for both: then it has no value.
        let told = row.total_ms > 0;
        let run = Run {
            completed,
            total_ms: told.then_some(row.total_ms),
            downtime_ms: row.down_ms.filter(|_| told && completed),
            normal_pages: row.normal,
            zero_pages: row.dup,
            transferred_bytes: row.transferred,
            syncs: row.syncs,
        };
        let speeds = Speeds {
            tsc_hz: row.tsc_hz.unwrap_or(OLD_TSC_HZ),
            measured_writes_per_second: whole(row.rate),
            rate_permille: 1000,
            is_old_guest: row.tsc_hz.is_none(),
        };
        let before = Before { speeds, age_ms: row.age_ms, profile: row.profile.clone() };
        Self { run, busy: row.busy, before, trace: Trace::of(row) }
    }
}

fn change(row: &RowChange) -> Result<Change, String> {
    if let Some(limit_ms) = row.dl {
        bounded("downtime limit in ms", limit_ms, MOST_DOWNTIME_MS)?;
    }
    Ok(Change {
        at_ns: nanoseconds("at_s", row.at_s)?,
        max_bandwidth_bytes_per_second: row.bw,
        downtime_limit_ms: row.dl,
    })
}

fn bounded(what: &str, value: u64, most: u64) -> Result<(), String> {
    if value <= most { Ok(()) } else { Err(format!("the {what} is {value}, more than {most}")) }
}

#[expect(clippy::cast_precision_loss, reason = "a day of seconds is exact")]
fn nanoseconds(what: &str, seconds: f64) -> Result<u64, String> {
    if (0.0..=LONGEST_S as f64).contains(&seconds) {
        Ok(whole(seconds * NS_PER_S))
    } else {
        Err(format!("`{what}` is {seconds} s, not within 0 and {LONGEST_S}"))
    }
}

/// A measured rate as a whole number; below zero and not a number mean that nothing was measured.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the conversion saturates, and what is too fast is refused later"
)]
fn whole(rate: f64) -> u64 {
    rate.round() as u64
}
