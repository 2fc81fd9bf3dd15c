//! A store that is full, or that another program keeps locked, while real hosts migrate: what runs reaches its end, nothing
//! is begun that is not on record, nothing is begun twice, and no report is false.

use std::thread;
use std::time::Duration;

use serde_json::json;

use crate::stage::{Fault, Stage, assert_recorded, is_in, reaches, wait_until_store_accepts};

const BEFORE_THE_COPY: &[&str] = &["validating", "preparing"];
/// A copy that is begun although its record waits would be seen by then.
const STILL: Duration = Duration::from_secs(2);
/// Some phases are short, and a fault that comes after one says nothing about it.
const TRIES: u32 = 20;

#[derive(Clone, Copy, Debug)]
struct Case {
    phases: &'static [&'static str],
    fault: Fault,
    /// Whether the service is killed while the store does not accept writes, and started again when it does.
    killed: bool,
}

/// Every phase with one fault. Each combination of phase and kill is met with one of the faults, and each of phase and fault.
fn every_phase(fault: Fault, kills: [bool; 4]) {
    let mut stage = Stage::new();
    let phases: [&[&str]; 4] = [BEFORE_THE_COPY, &["precopy"], &["switching_over"], &["completing"]];
    for (phases, killed) in phases.into_iter().zip(kills) {
        let case = Case { phases, fault, killed };
        assert!((0..TRIES).any(|_| try_case(&mut stage, case)), "the phase was never hit: {case:?}");
    }
    stage.lab.remove().unwrap();
}

/// Whether the fault came while the migration was in the phase.
fn try_case(stage: &mut Stage, case: Case) -> bool {
    stage.new_store();
    let guest = stage.guest();
    let service = stage.service();
    let mut prepared = stage.prepare(case.fault);
    let path = stage.begin(&service);
    // What is before the copy begins with the answer, and is soon over.
    let reached = case.phases == BEFORE_THE_COPY || reaches(&service, &path, case.phases);
    prepared.inject();
    let hit = reached && is_in(&service.get(&path).1, case.phases);
    println!("{case:?}: {}", if hit { "hit" } else { "the fault came too late" });
    if !hit {
        prepared.undo();
        service.wait(&path, |one| one["state"] != "running");
        stage.kill(service);
        stage.lab.remove_guest("guest").unwrap();
        return false;
    }

    wait_until_store_accepts(&service, false);
    let copied = case.phases != BEFORE_THE_COPY;
    if copied {
        // The end is known to this service only.
        let one = service.wait(&path, |one| one["state"] != "running");
        assert_eq!(one["outcome"]["guest"], "destination_running", "{case:?}: {one}");
    } else {
        thread::sleep(STILL);
        stage.assert_stays(&guest);
    }
    let service = if case.killed {
        stage.kill(service);
        prepared.undo();
        stage.service()
    } else {
        prepared.undo();
        wait_until_store_accepts(&service, true);
        service
    };
    let one = service.wait(&path, |one| one["state"] != "running");
    if copied || !case.killed {
        stage.assert_completed(&service, &path, &guest);
    } else {
        // What was not begun before the restart is not begun after it: the order may be an old one by then.
        let place = one["outcome"]["guest"].as_str();
        assert!(matches!(place, Some("untouched" | "source_running")), "{case:?}: {one}");
        assert_recorded(&service, &path, 0);
        thread::sleep(STILL);
        stage.assert_stays(&guest);
    }
    stage.kill(service);
    // What is in the store is what the service said.
    let service = stage.service();
    let (_, again) = service.get(&path);
    assert_eq!(again["outcome"]["guest"], one["outcome"]["guest"], "{case:?}: {again}");
    assert_eq!(again["state"], one["state"], "{case:?}: {again}");
    stage.kill(service);
    stage.lab.remove_guest("guest").unwrap();
    true
}

#[test]
#[ignore = "needs root and libvirt; run with cargo xtask test"]
fn a_store_that_is_full_in_any_phase_neither_begins_nor_repeats_nor_loses_a_migration() {
    every_phase(Fault::Full, [true, true, false, false]);
}

#[test]
#[ignore = "needs root and libvirt; run with cargo xtask test"]
fn a_store_that_is_locked_in_any_phase_neither_begins_nor_repeats_nor_loses_a_migration() {
    every_phase(Fault::Locked, [false, false, true, true]);
}

#[test]
#[ignore = "needs root and libvirt; run with cargo xtask test"]
fn with_a_store_that_is_full_before_the_first_migration_orders_are_refused_until_there_is_room() {
    let mut stage = Stage::new();
    stage.new_store();
    let guest = stage.guest();
    let service = stage.service();
    let mut prepared = stage.prepare(Fault::Full);
    prepared.inject();
    for _ in 0..3 {
        let (status, answer) = service.post("/api/v1/migrations", &stage.order());
        assert_eq!(status, 503, "{answer}");
    }
    wait_until_store_accepts(&service, false);
    assert_eq!(service.get("/api/v1/migrations").1["migrations"], json!([]));
    // What is only read is answered as ever.
    assert_eq!(service.post("/api/v1/preflight", &stage.order()).0, 200);
    stage.assert_stays(&guest);
    prepared.undo();
    wait_until_store_accepts(&service, true);

    let path = stage.begin(&service);
    service.wait(&path, |one| one["state"] != "running");
    stage.assert_completed(&service, &path, &guest);
    stage.kill(service);
    stage.lab.remove().unwrap();
}
