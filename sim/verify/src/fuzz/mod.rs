//! Migrations by the million, each with randomly drawn faults (*troubles*), by the machine that ships.
//!
//! Safety is checked while anything may break; liveness once everything was repaired. A violation is minimized before
//! it is reported: troubles are left out one after the other for as long as the same promise stays broken.

mod plan;
mod repro;
mod run;

use std::ops::ControlFlow;

use whimbrel_core::Input;

use self::run::run_as;

pub use plan::{Plan, Trouble, What, When};
pub use repro::as_test;
pub use run::{Broken, Run, run, run_told_as, run_with_oracle};

/// How the migrations of a series are drawn, and what is held against them.
#[derive(Clone, Copy, Debug)]
pub struct Setup {
    /// The plan of a seed.
    pub plan: fn(u64) -> Plan,
    /// Whether the oracle checks the history, and the claims of outcomes.
    pub with_oracle: bool,
    /// What the machine receives instead of what its driver received.
    pub told_as: fn(Input) -> Input,
}

impl Setup {
    /// Hosts, links and drivers fail; the incidents of the world are checked.
    pub const PLAIN: Self = Self { plan: Plan::of, with_oracle: false, told_as: |input| input };
    /// Disks of the guest fail as well.
    pub const WITH_DISKS: Self = Self { plan: Plan::with_disks, ..Self::PLAIN };
    /// The guest and other clients act as well, and the oracle checks the history.
    pub const WITH_ORACLE: Self = Self { plan: Plan::with_others, with_oracle: true, ..Self::PLAIN };
}

/// What a series of migrations came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Series {
    /// Migrations.
    pub cases: u64,
    /// The digest of all their states, in order: the same seeds give the same digest on every machine.
    pub log_hash: u64,
    /// Those that were run a second time with the same result.
    pub replayed: u64,
    /// What was found.
    pub found: Vec<Found>,
    /// Whether the caller stopped it before its last seed: the digest is then of the seeds before.
    pub is_stopped: bool,
}

/// A broken promise, made small.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The seed.
    pub seed: u64,
    /// Troubles that its plan had.
    pub troubles: usize,
    /// The smallest plan that breaks the same promise.
    pub plan: Plan,
    /// What was broken.
    pub broken: Broken,
    /// The journal of that plan, as `whimbrel replay` reads it.
    pub journal: String,
}

/// One run in this many is made twice.
const REPLAYED: u64 = 100;

/// Runs the seeds from `first` on. Stops early when `most` findings were made.
///
/// # Panics
/// When two runs of one seed differ: nothing that is found could be believed then.
#[must_use]
pub fn series(first: u64, cases: u64, most: usize) -> Series {
    series_told_as(first, cases, most, |input| input)
}

/// The same with a driver that passes altered inputs to the machine.
///
/// # Panics
/// As [`series`].
#[must_use]
pub fn series_told_as(first: u64, cases: u64, most: usize, told_as: fn(Input) -> Input) -> Series {
    series_of(Setup { told_as, ..Setup::PLAIN }, first, cases, most)
}

/// The same with another setup.
///
/// # Panics
/// As [`series`].
#[must_use]
pub fn series_of(setup: Setup, first: u64, cases: u64, most: usize) -> Series {
    series_watched(setup, first, cases, most, || ControlFlow::Continue(()))
}

/// The same, with a caller that counts the migrations and may stop the series: `watch` is called after each one.
///
/// # Panics
/// As [`series`].
#[must_use]
pub fn series_watched(
    setup: Setup,
    first: u64,
    cases: u64,
    most: usize,
    mut watch: impl FnMut() -> ControlFlow<()>,
) -> Series {
    let mut series = Series { log_hash: 0xcbf2_9ce4_8422_2325, ..Series::default() };
    for seed in first..first.saturating_add(cases) {
        let plan = (setup.plan)(seed);
        let ran = run_as(&plan, false, setup);
        series.cases += 1;
        series.log_hash =
            (series.log_hash ^ ran.state_digest).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(7);
        if seed % REPLAYED == 0 {
            assert!(run_as(&plan, false, setup) == ran, "seed {seed} went two ways");
            series.replayed += 1;
        }
        if let Some(broken) = ran.broken {
            series.found.push(shrunk(plan, broken, setup));
            if series.found.len() >= most {
                break;
            }
        }
        if watch().is_break() {
            series.is_stopped = series.cases < cases;
            break;
        }
    }
    series
}

/// Leaves out whatever is not needed to break the same promise.
fn shrunk(plan: Plan, broken: Broken, setup: Setup) -> Found {
    let (seed, troubles) = (plan.seed, plan.troubles.len());
    let breaks = |plan: &Plan| run_as(plan, false, setup).broken == Some(broken);
    let mut small = plan;
    let mut place = 0;
    while place < small.troubles.len() {
        let mut less = small.clone();
        less.troubles.remove(place);
        if breaks(&less) {
            small = less;
        } else {
            place += 1;
        }
    }
    let simplify: [fn(&mut Plan); 4] = [
        |plan| plan.writes_per_second = 0,
        |plan| plan.limits = false,
        |plan| plan.timeout_ms = None,
        |plan| plan.is_persistent = false,
    ];
    for simpler in simplify {
        let mut less = small.clone();
        simpler(&mut less);
        if breaks(&less) {
            small = less;
        }
    }
    let journal = run_as(&small, true, setup).journal.unwrap_or_default();
    Found { seed, troubles, plan: small, broken, journal }
}
