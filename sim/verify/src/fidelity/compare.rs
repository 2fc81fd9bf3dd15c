//! Runs the recorded cases in the simulator, one after the other, and reports them.
//!
//! No case is dropped because it is hard. A comparison that is stopped reports the cases that were finished, and must
//! not judge anything that all cases decide.

use std::ops::ControlFlow;

use super::constants::Host;
use super::edge::{self, AS_ASKED, EdgeReport};
use super::estimates::median;
use super::recording::Case;
use super::report::{CaseReport, NotSimulated, Report, Summary, WorkloadReport, is_noisy};
use super::run::Run;
use super::targets::targets;
use whimbrel_sim::qemu::Engine;

/// Runs every case with the seeds 1 to `seeds`, at least one, and compares the medians.
#[must_use]
pub fn compare(cases: &[Case], engine: Engine, seeds: u64) -> Report {
    compare_watched(cases, engine, seeds, || ControlFlow::Continue(()))
}

/// The same, with a caller that counts the simulated migrations and may stop the comparison: `watch` is called after
/// each of [`migrations`]. A case that was begun is left out of the report then, and no target is judged.
#[must_use]
pub fn compare_watched(
    cases: &[Case],
    engine: Engine,
    seeds: u64,
    mut watch: impl FnMut() -> ControlFlow<()>,
) -> Report {
    let seeds = seeds.max(1);
    let mut compared = Compared::default();
    let is_stopped = cases.iter().any(|case| compared.add(case, cases, engine, seeds, &mut watch).is_break());
    let counted: Vec<&CaseReport> = compared.cases.iter().filter(|case| !case.edge).collect();
    let repeats = || cases.iter().flat_map(|case| &case.repeats);
    let summary = Summary::of(counted.iter().copied());
    Report {
        is_stopped,
        engine: engine.name(),
        seeds,
        // A target is over all cases: with some of them, it is neither met nor missed.
        targets: if is_stopped { Vec::new() } else { targets(engine, &summary, &counted) },
        summary,
        summary_quiet: Summary::of(counted.iter().copied().filter(|case| !case.noisy)),
        noisy_runs: [repeats().filter(|repeat| is_noisy(repeat)).count(), repeats().count()],
        cases: compared.cases,
        edge: compared.edges,
        workloads_summary: Summary::of(compared.workloads.iter().map(|workload| &workload.case)),
        workloads: compared.workloads,
        not_simulated: compared.not_simulated,
        host: Host::of(cases, None).sources,
    }
}

/// The migrations that a comparison simulates and counts; edge cases take some more.
#[must_use]
pub fn migrations(cases: &[Case], seeds: u64) -> u64 {
    cases.iter().filter(|case| case.not_simulated.is_none()).count() as u64 * seeds.max(1)
}

/// The cases so far.
#[derive(Default)]
struct Compared {
    cases: Vec<CaseReport>,
    edges: Vec<EdgeReport>,
    workloads: Vec<WorkloadReport>,
    not_simulated: Vec<NotSimulated>,
}

impl Compared {
    fn add(
        &mut self,
        case: &Case,
        all: &[Case],
        engine: Engine,
        seeds: u64,
        watch: &mut impl FnMut() -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        if let Some(reason) = &case.not_simulated {
            let (name, reason) = (case.name.clone(), reason.clone());
            self.not_simulated.push(NotSimulated { name, runs: case.repeats.len(), reason });
            return ControlFlow::Continue(());
        }
        // Only an idle case could be evidence about itself.
        let host = Host::of(all, Some(case));
        let mut simulated = Vec::new();
        for seed in 1..=seeds {
            simulated.push(Run::simulate(case, &host, engine, seed, AS_ASKED));
            watch()?;
        }
        let recorded: Vec<Run> = case.repeats.iter().map(|repeat| repeat.run).collect();
        let mut report = CaseReport::of(case, &recorded, &simulated);
        if let Some(workload) = &case.setup.workload {
            let (workload, law_error) = (workload.clone(), law_error(case));
            self.workloads.push(WorkloadReport { workload, law_error, case: report });
            return ControlFlow::Continue(());
        }
        if let Some(reason) = edge::reason(case, &simulated, &host, engine) {
            report.edge = true;
            self.edges.push(EdgeReport::of(&case.name, reason, &recorded, &simulated));
        }
        self.cases.push(report);
        ControlFlow::Continue(())
    }
}

fn law_error(case: &Case) -> f64 {
    let profiles = case.repeats.iter().filter_map(|repeat| repeat.before.profile.as_ref());
    median(profiles.map(|profile| profile.law().error).collect()).unwrap_or(0.0)
}
