//! What the field has published of its migrations, reproduced: each test is named after its source, and says how close
//! it comes, and what of the source cannot be had.
//!
//! The guests are fitted to the sources: the writes to each page were not published. What is shown is that the
//! loop, with guests of these patterns, takes the published course over minutes and hundreds of rounds, where each
//! round's error would carry over into the next.

#![cfg(test)]

use whimbrel_core::convergence::SyncReport;
use whimbrel_core::{Ending, Event, Verdict};
use whimbrel_sim::batch::{Batch, Outcome};
use whimbrel_sim::qemu::Engine;
use whimbrel_sim::random::Random;
use whimbrel_sim::scenario::Conditions;
use whimbrel_sim::{Scenario, Simulation};

const MIB: f64 = 1_048_576.0;
/// The copy begins when the destination is prepared.
const PREPARED_NS: u64 = 181_000_000;

/// The fit was made with the first; a course that held for one seed only would be no course.
const SEEDS: [u64; 4] = [1, 2, 3, 4];

struct Run {
    /// Seconds since the copy began, and MiB that remained, at each sync after the one of the setup.
    syncs: Vec<(f64, f64)>,
    ending: Ending,
    /// As the hypervisor measured it.
    total_s: f64,
    downtime_ms: Option<u64>,
    dirty_rate_pages_per_second: f64,
}

fn scenario(name: &str) -> Scenario {
    Scenario::built_in(name).unwrap().unwrap_or_else(|error| panic!("{error}"))
}

/// The whole migration with the file's own seed.
fn run(name: &str) -> Run {
    run_with_seed(name, scenario(name).seed)
}

/// The whole migration, which must end as its file says.
#[expect(clippy::cast_precision_loss, reason = "seconds and MiB need no more than 52 bits")]
fn run_with_seed(name: &str, seed: u64) -> Run {
    let scenario = scenario(name);
    let conditions = Conditions { seed, ..scenario.conditions() };
    let mut simulation = Simulation::new(&scenario, conditions, |_| Verdict::default()).unwrap();
    let mut syncs = Vec::new();
    let watch = |_, event: &Event, _: whimbrel_core::View<'_>| {
        if let Event::Sync(SyncReport { sync, .. }) = event {
            let since_ns = sync.at.as_ns().saturating_sub(PREPARED_NS);
            syncs.push((since_ns as f64 / 1e9, sync.memory_remaining_bytes as f64 / MIB));
        }
    };
    simulation.run(|| None, watch).unwrap();
    let view = simulation.migration().view();
    assert_eq!(scenario.differences(view, Some(&simulation.incidents())), Vec::<String>::new(), "{name}");
    let (outcome, (_, latest)) = (view.outcome.unwrap(), view.convergence.latest().unwrap());
    syncs.remove(0);
    Run {
        syncs,
        ending: outcome.ending,
        total_s: latest.elapsed_ms as f64 / 1e3,
        downtime_ms: outcome.hypervisor_downtime_ms,
        dirty_rate_pages_per_second: latest.dirty_rate_pages_per_second.map_or(f64::NAN, |rate| rate as f64),
    }
}

/// The engine alone, for the counts of pages that a migration's view does not have.
fn pages(name: &str) -> Outcome {
    let scenario = scenario(name);
    let config = scenario.source_config(scenario.costs);
    let patience_ms = scenario.migration.timeout_ms.unwrap_or(u64::MAX / 2_000_000);
    let batch = Batch::new(&config, scenario.simulated_guest(0), PREPARED_NS);
    batch.migrate(Engine::Page, Random::from_seed(scenario.seed), patience_ms)
}

#[track_caller]
fn assert_close(what: &str, found: f64, published: f64, percent: f64) {
    let error = (found - published) / published * 100.0;
    assert!(error.abs() <= percent, "{what}: {found} where {published} was published, {error:.1} %");
}

/// Points of a plot, read by eye: what remained within 5 % of the value, and when within 2 % and a second. Nothing can
/// be read closer than 5 MiB, a thousandth of the plots' scale.
#[track_caller]
fn assert_follows(name: &str, published: &[(f64, f64)]) {
    for seed in SEEDS {
        assert_run_follows(&run_with_seed(name, seed), published);
    }
}

#[track_caller]
fn assert_run_follows(run: &Run, published: &[(f64, f64)]) {
    for (index, (at_s, remaining_mib)) in published.iter().enumerate() {
        let (found_s, found_mib) = run.syncs[index];
        let is_close = (found_mib - remaining_mib).abs() <= (remaining_mib * 0.05).max(5.0);
        assert!(is_close, "sync {index}: {found_mib} MiB remained where {remaining_mib} did at {at_s} s");
        assert!((found_s - at_s).abs() <= at_s * 0.02 + 1.0, "sync {index}: {found_s} s where {at_s} s was");
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts of pages need no more than 52 bits")]
const fn count(pages: u64) -> f64 {
    pages as f64
}

/// All points but the last, "94 s: 0 MiB", which is the end: a sync that finds too little for another round.
#[test]
fn vep248_mariadb() {
    const NAME: &str = "vep248-mariadb";
    let run = run(NAME);
    assert_follows(
        NAME,
        &[
            (59.0, 930.0),
            (68.0, 580.0),
            (73.5, 500.0),
            (78.5, 370.0),
            (82.0, 470.0),
            (86.0, 500.0),
            (90.5, 260.0),
            (93.0, 50.0),
        ],
    );
    assert_eq!(run.ending, Ending::Completed);
    assert_close("the end in s", run.total_s, 94.0, 5.0);
}

/// All points but the last, "275 s: ~10 MiB", which is the end. The link carries 112 MiB/s, 940 Mb/s, where the plot is
/// reported as "about 900": 1,250 MiB in 11 s need as much.
#[test]
fn vep248_kernel_compile() {
    const NAME: &str = "vep248-kernel-compile";
    let run = run(NAME);
    assert_follows(
        NAME,
        &[
            (37.0, 1860.0),
            (53.0, 1270.0),
            (64.0, 1240.0),
            (74.0, 1275.0),
            (85.0, 1245.0),
            (96.0, 1250.0),
            (107.0, 1260.0),
            (117.0, 1300.0),
            (128.0, 1275.0),
            (139.0, 1275.0),
            (150.0, 1570.0),
            (164.0, 1680.0),
            (179.0, 1685.0),
            (193.0, 1580.0),
            (207.0, 1410.0),
            (219.0, 1630.0),
            (233.0, 1460.0),
            (246.0, 1565.0),
            (260.0, 1090.0),
            (272.0, 350.0),
        ],
    );
    assert_eq!(run.ending, Ending::Completed);
    assert_close("the end in s", run.total_s, 275.0, 5.0);
}

/// Redis A. "195 to 216 s: 800" and "266 to 288 s: 800" are four syncs each, a round of 800 MiB apart.
#[test]
fn vep248_redis_spikes() {
    const NAME: &str = "vep248-redis-spikes";
    let run = run(NAME);
    assert_follows(
        NAME,
        &[
            (93.0, 3020.0),
            (120.0, 850.0),
            (128.0, 810.0),
            (135.0, 800.0),
            (143.0, 1240.0),
            (154.0, 2480.0),
            (176.0, 1240.0),
            (187.0, 830.0),
            (195.0, 800.0),
            (202.0, 800.0),
            (209.0, 800.0),
            (216.0, 800.0),
            (223.0, 1840.0),
            (240.0, 2070.0),
            (258.0, 850.0),
            (266.0, 800.0),
            (273.0, 800.0),
            (281.0, 800.0),
            (288.0, 800.0),
        ],
    );
    assert_eq!(run.ending, Ending::Failed, "it never converges");
}

/// Redis B: a plateau of 125 MiB, plus or minus 5, for 410 s and more than 250 rounds, with spikes of 175 to 180 each
/// 61 s. Every sync counts but those within 8 s after a spike, in which the plot falls back; the spikes' height within
/// 5 %.
#[test]
fn vep248_redis_edge() {
    for seed in SEEDS {
        assert_is_on_the_edge(&run_with_seed("vep248-redis-edge", seed));
    }
}

fn assert_is_on_the_edge(run: &Run) {
    let settled: Vec<(f64, f64)> = run.syncs.iter().copied().filter(|(at_s, _)| *at_s > 20.0).collect();
    assert!(settled.last().unwrap().0 - settled[0].0 >= 400.0 && settled.len() > 250, "{}", settled.len());
    let mut peaks: Vec<(f64, f64)> = Vec::new();
    for (at_s, mib) in settled {
        let since_peak_s = peaks.last().map_or(f64::MAX, |(peak_s, _)| at_s - peak_s);
        if mib > 140.0 && since_peak_s > 8.0 {
            peaks.push((at_s, mib));
        } else if since_peak_s <= 8.0 {
            let last = peaks.len() - 1;
            peaks[last].1 = peaks[last].1.max(mib);
        } else {
            assert!((120.0..=130.0).contains(&mib), "{mib} MiB at {at_s} s");
        }
    }
    assert!((6..=7).contains(&peaks.len()), "{peaks:?}");
    for [before, peak] in peaks.array_windows() {
        assert_close("seconds between two spikes", peak.0 - before.0, 61.0, 5.0);
        assert!((175.0 * 0.95..=180.0 * 1.05).contains(&peak.1), "{peaks:?}");
    }
    assert_eq!(run.ending, Ending::Failed, "it never converges");
}

/// "52 s: 5170, then 5145 for ever".
#[test]
fn vep248_stress_ng() {
    const NAME: &str = "vep248-stress-ng";
    let run = run(NAME);
    assert_follows(NAME, &[(52.0, 5170.0)]);
    assert!(run.syncs.len() > 10);
    for (at_s, mib) in &run.syncs {
        assert_close(&format!("MiB that remained at {at_s} s"), *mib, 5145.0, 1.0);
    }
    assert_eq!(run.ending, Ending::Failed, "it never converges");
}

/// QEMU commit 7ca1dfad (2013), auto-converge off, as it stood after 1,487 s. The two costs that follow from both runs
/// together (290 MB/s of a link reported as 20 Gb/s, 2 µs for a zero page) stand in the scenario. "519 ms" of expected
/// downtime cannot be had: QEMU of 2013 computed it differently, from a switchover that the limit of 4 s did not allow.
#[test]
fn qemu_7ca1dfad_plain() {
    let run = run("qemu-7ca1dfad-plain");
    assert_eq!(run.ending, Ending::Failed, "it never converges");
    let pages = pages("qemu-7ca1dfad-plain");
    assert!(!pages.converged);
    assert_close("normal pages", count(pages.normal_pages), 95.75e6, 5.0);
    assert_close("zero pages", count(pages.zero_pages), 65.46e6, 5.0);
    // QEMU reported 383.7 million KiB.
    assert_close("KiB sent", count(pages.transferred_bytes) / 1024.0, 383.7e6, 5.0);
    assert_close("dirty pages a second", run.dirty_rate_pages_per_second, 67_551.0, 5.0);
}

/// The same with auto-converge: 241.2 s, 7.04 million normal pages, 28.2 million KiB. QEMU of 2013 slowed down to a
/// quarter at once, which the scenario asks of today's auto-converge. The downtime of 6,373 ms cannot be had: a loop
/// that hands over when the rest takes 4 s at the measured rate stops the guest for 4 s; what more it took then (a
/// bitmap of 256 GiB read bit by bit with the guest stopped, twenty throttled CPUs to stop) was not published.
#[test]
fn qemu_7ca1dfad_auto_converge() {
    let run = run("qemu-7ca1dfad-auto-converge");
    assert_close("seconds", run.total_s, 241.2, 5.0);
    assert!((3_900..=4_100).contains(&run.downtime_ms.unwrap()), "{:?}", run.downtime_ms);
    let pages = pages("qemu-7ca1dfad-auto-converge");
    assert_close("normal pages", count(pages.normal_pages), 7.04e6, 5.0);
    assert_close("KiB sent", count(pages.transferred_bytes) / 1024.0, 28.2e6, 5.0);
}

/// QEMU's docs/rdma.txt: 8 GB that are all in use, idle, in 7.5 s at 9.5 Gb/s; with all memory pinned in 4 s at 26
/// Gb/s, of which pinning takes 1.4.
#[test]
fn qemu_rdma_idle() {
    assert_close("seconds", run("qemu-rdma-idle").total_s, 7.5, 5.0);
    assert_close("seconds with pinning", run("qemu-rdma-idle-pinned").total_s, 4.0, 5.0);
}

/// QEMU's docs on qatzip, the row without compression: 46,063 ms, 40 ms of downtime, 10,848 Mb/s, 330,240 pages a
/// second. The downtime of an idle guest is the host's device state alone, and stands in the scenario.
#[test]
fn qemu_multifd_plain() {
    let run = run("qemu-multifd-plain");
    assert_close("seconds", run.total_s, 46.063, 5.0);
    assert_close("ms of downtime", count(run.downtime_ms.unwrap()), 40.0, 5.0);
    let pages = pages("qemu-multifd-plain");
    let rate = count(pages.normal_pages) * 1e3 / count(pages.total_ms);
    assert_close("pages a second", rate, 330_240.0, 5.0);
    assert_close("Mb/s", count(pages.transferred_bytes) * 8e-3 / count(pages.total_ms), 10_848.0, 5.0);
}

/// Cloud Hypervisor's PR 7799: what each round had to send and how long it took, and 23.8 s in all. Rates are given to
/// the link; the last round's was not published, and follows from the total.
#[test]
fn cloud_hypervisor_7799() {
    // MiB, and ms of copying and of overhead.
    const ROUNDS: [(f64, f64); 7] = [
        (6144.0, 3090.0),
        (5418.0, 2970.0 + 56.0),
        (5418.0, 2920.0 + 59.0),
        (5428.0, 3020.0 + 56.0),
        (5418.0, 3940.0 + 62.0),
        (5418.0, 3140.0 + 78.0),
        (5429.0, 3150.0 + 66.0),
    ];
    let run = run("cloud-hypervisor-7799");
    let (mut began_s, mut had_mib) = (0.0, 6144.0);
    for ((mib, ms), (at_s, remaining_mib)) in ROUNDS.into_iter().zip(run.syncs.iter().copied()) {
        assert_close("MiB of a round", had_mib, mib, 5.0);
        assert_close("ms of a round", (at_s - began_s) * 1e3, ms, 5.0);
        (began_s, had_mib) = (at_s, remaining_mib);
    }
    assert_close("MiB of the last round", had_mib, 5668.0, 5.0);
    // After the eighth round nothing is left.
    assert!(run.syncs[7].1 < 1.0, "{:?}", run.syncs);
    assert_close("seconds", run.total_s, 23.8, 5.0);
}
