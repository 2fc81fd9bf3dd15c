//! The frozen grids, and migrations under policies.

use std::num::NonZero;

use whimbrel_policy::catalog::{CATALOG, find};
use whimbrel_policy::policies::{NeverAct, StaticLimit};
use whimbrel_policy::{Action, Beforehand, Decision, Intent, Policy, Seen, Start, SyncKind};
use whimbrel_study::{BUILT_IN, Case, Ended, Grid, Kind, compare, cost_ms, hindsight, run};

/// A grid never changes: results of different days and machines are comparable. Another grid has another name.
#[test]
fn grids_are_frozen() {
    let digests: Vec<(String, String)> = BUILT_IN
        .iter()
        .map(|(name, text)| (Grid::read(text).unwrap().name, Grid::built_in(name).unwrap().sha256))
        .collect();
    let frozen = FROZEN.map(|(name, digest)| (name.to_owned(), digest.to_owned()));
    assert_eq!(digests, frozen);
}

const FROZEN: [(&str, &str); 3] = [
    ("small", "09fa1ca04c18d5d20ae88a691a88fc76c15d4be8fe33788e1ab3d00cad1f6143"),
    ("known", "877005409e60411d4c319fc095e7b7769ff547357a051e745d54d711bad5da58"),
    ("unseen", "9435980a4b4a63d2ea096e8edf186fab319b5f8b6ef5828c70f31aaff934e7c7"),
];

#[test]
fn a_grid_that_covers_nothing_or_is_misspelt_is_refused() {
    let text = BUILT_IN[0].1;
    let error = |text: &str| Grid::read(text).unwrap_err().to_string();
    assert!(error(&text.replace("seeds = 2", "seeds = 0")).contains("covers nothing"));
    assert!(error(&text.replace("cap_s", "cap")).contains("cap"));
    assert!(error(&text.replace("grid/1", "grid/2")).contains("whimbrel.grid/2"));
    assert!(Grid::built_in("nothing").unwrap_err().to_string().contains("small, known, unseen"));
}

fn case(kind: Kind, intent: Intent) -> Case {
    let intent_name = "test".to_owned();
    Case { kind, memory_gib: 4, link_gbps: 1, intent_name, intent, seed: 3, cap_ms: 900_000 }
}

#[test]
fn an_idle_guest_moves_in_one_pass_under_every_policy() {
    for entry in &CATALOG {
        let run = run(&case(Kind::Idle, Intent::default()), &mut *entry.create());
        assert_eq!((run.ended, run.meets_intent), (Ended::Completed, true), "{}: {run:?}", entry.name);
    }
}

/// 150 % of the link over half of the memory: no limit within a second suffices, a throttle does.
#[test]
fn a_guest_above_the_link_needs_a_throttle() {
    let case = case(Kind::Uniform150, Intent::default());
    let meets = |name: &str| run(&case, &mut *find(name).unwrap().create()).meets_intent;
    assert!(!meets("never-act") && !meets("ladder"));
    assert!(meets("qemu-auto-converge"));
    let throttled = run(&case, &mut *find("qemu-auto-converge").unwrap().create());
    assert!(throttled.lost_ms > 5_000, "{throttled:?}");
}

#[test]
fn a_run_repeats_itself() {
    for name in ["proxmox", "ladder-restart", "virsh-postcopy", "kubevirt-vep248", "cyberus-throttle"] {
        let once = || run(&case(Kind::Bursty, Intent::default()), &mut *find(name).unwrap().create());
        assert_eq!(once(), once(), "{name}");
    }
}

/// Sees what a policy is shown.
#[derive(Debug, Default)]
struct Witness {
    kinds: Vec<SyncKind>,
    start: Start,
    pause_at_ms: Option<u64>,
}

impl Policy for Witness {
    fn start(&mut self, _: &Beforehand, _: &Intent) -> Start {
        self.start
    }

    fn on(&mut self, now: whimbrel_core::Instant, seen: Seen<'_>) -> Decision {
        if let Seen::Sync(sync) = seen {
            self.kinds.push(sync.kind);
        }
        if self.pause_at_ms.take_if(|at_ms| now.as_ms() >= *at_ms).is_some() {
            return Decision::act(Action::Pause, "a test");
        }
        Decision::WAIT
    }
}

#[test]
fn syncs_within_a_pass_are_not_taken_for_its_end() {
    let auto_converge = Some(whimbrel_policy::AutoConverge::default());
    let mut witness = Witness { start: Start { auto_converge, ..Start::default() }, ..Witness::default() };
    let _ = run(&case(Kind::Uniform150, Intent::default()), &mut witness);
    let of = |kind| witness.kinds.iter().filter(|one| **one == kind).count();
    assert!(of(SyncKind::Within) > 3 && of(SyncKind::End) > 3, "{:?}", witness.kinds);
    let mut plain = Witness::default();
    let _ = run(&case(Kind::Uniform80, Intent::default()), &mut plain);
    assert!(!plain.kinds.contains(&SyncKind::Within), "{:?}", plain.kinds);
}

#[test]
fn a_pause_is_downtime_from_its_beginning() {
    let mut witness = Witness { pause_at_ms: Some(20_000), ..Witness::default() };
    let run = run(&case(Kind::Uniform150, Intent::default()), &mut witness);
    assert_eq!((run.ended, run.meets_intent), (Ended::Completed, false));
    let downtime_ms = run.downtime_ms.unwrap();
    assert!(downtime_ms > 10_000 && downtime_ms.abs_diff(run.total_ms - 20_000) < 200, "{run:?}");
    assert!(run.lost_ms.abs_diff(downtime_ms) < 200, "{run:?}");
}

#[test]
fn hindsight_is_never_worse_than_what_it_chose_from() {
    for kind in [Kind::Uniform95, Kind::Bursty, Kind::SmallSet] {
        let case = case(kind, Intent::default());
        let best = hindsight(&case);
        let cost = |run: &_| cost_ms(run, &case.intent);
        for ms in StaticLimit::candidates_ms(&case.intent) {
            assert!(cost(&best.best_static) <= cost(&run(&case, &mut StaticLimit::new(ms))), "{kind:?}");
        }
        assert!(cost(&best.oracle) <= cost(&best.best_static));
    }
}

/// The comparison of a few policies on a part of the small grid, with one thread and with two.
#[test]
fn a_comparison_does_not_depend_on_threads() {
    let mut grid = Grid::built_in("small").unwrap();
    grid.kinds.truncate(3);
    grid.seeds = 1;
    let entries = ["qemu", "ladder", "xen"].map(|name| find(name).unwrap());
    let with = |threads| compare(&grid, &entries, NonZero::new(threads).unwrap());
    let comparison = with(1);
    assert_eq!(comparison, with(2));
    let names: Vec<&str> = comparison.policies.iter().map(|policy| policy.name.as_str()).collect();
    assert_eq!(names, ["qemu", "ladder", "xen", "best-static-in-hindsight", "oracle"]);
    assert_eq!(comparison.cases, 3);
    for policy in &comparison.policies {
        let runs: usize = policy.cells.iter().map(|cell| cell.runs).sum();
        assert_eq!((policy.overall.runs, runs, policy.cells.len()), (3, 3, 3));
        let [low, high] = policy.overall.met.interval;
        assert!(low <= policy.overall.met.value && policy.overall.met.value <= high);
    }
    let oracle = comparison.policies.last().unwrap();
    assert!(oracle.overall.regret.value <= 0.0, "{:?}", oracle.overall.regret);
    let written = serde_json::to_value(&comparison).unwrap();
    assert_eq!(written["schema"], "whimbrel.policy-comparison/1");
}

/// Two policies that never act, under the same limit, meet the same guest on the same link.
#[test]
fn every_policy_meets_the_same_guest() {
    let intent = Intent { max_downtime_ms: 300, ..Intent::default() };
    for kind in [Kind::Uniform80, Kind::Bursty, Kind::HeavyTailed, Kind::MovingSet] {
        let with = |policy: &mut dyn Policy| run(&case(kind, intent), policy);
        assert_eq!(with(&mut NeverAct), with(&mut StaticLimit::new(300)), "{kind:?}");
        let other_seed = run(&Case { seed: 4, ..case(kind, intent) }, &mut NeverAct);
        assert_ne!(with(&mut NeverAct), other_seed, "{kind:?}");
    }
}
