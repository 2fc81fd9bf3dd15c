//! Offline migrations on two real hosts: the definition of a guest that is off moves, and nothing else does.

#![cfg(test)]

use std::path::PathBuf;

use whimbrel_core::{GuestLocation, Verdict};
use whimbrel_lab::scenario::{self, Show};
use whimbrel_lab::testing::{self, LONG, program};
use whimbrel_lab::{GUEST_BRIDGE, Guest, GuestDisk, GuestSpec, Host, ImageFormat, Lab, LabOptions};
use whimbrel_sim::scenario::timeline;
use whimbrel_sim::{Scenario, Simulation};

fn spec() -> GuestSpec {
    GuestSpec { memory_mib: 128, region_mib: 32, ..GuestSpec::default() }
}

fn migrate(lab: &Lab, ends: (&Host, &Host), more: &[&str]) -> (Option<i32>, String) {
    testing::run(lab, "guest", ends, &["migrate", "--offline"], more)
}

fn assert_moved(ends: (&Host, &Host), (code, text): &(Option<i32>, String)) {
    assert_eq!(*code, Some(0), "{text}");
    assert_eq!(ends.0.domain_state("guest").unwrap(), None, "{text}");
    let there = ends.1.domain_state("guest").unwrap();
    assert!(there.as_ref().is_some_and(|state| state.starts_with("shut off")), "{there:?} {text}");
    assert!(text.contains("the definition of `guest`") && !text.contains("memory is copied"), "{text}");
}

fn assert_stayed((from, to): (&Host, &Host), (code, text): &(Option<i32>, String), expected: i32) {
    assert_eq!(*code, Some(expected), "{text}");
    let here = from.domain_state("guest").unwrap();
    assert!(here.as_ref().is_some_and(|state| state.starts_with("shut off")), "{here:?} {text}");
    assert_eq!(to.domain_state("guest").unwrap(), None, "{text}");
}

/// It starts where it was moved to, and its program runs.
fn assert_starts(guest: &Guest, on: &Host) {
    let before = guest.mark();
    on.virsh(&["start", guest.name()]).unwrap();
    guest.wait_until(LONG, |now| now.seq > before.seq).unwrap();
}

#[test]
#[ignore = "needs root and libvirt; run with cargo xtask test"]
fn a_guest_that_is_off_moves_there_and_back() {
    let lab = Lab::build(&LabOptions::default()).unwrap();
    let (there, back) = ((lab.alpha(), lab.beta()), (lab.beta(), lab.alpha()));
    let nics = GuestSpec { bridges: vec![GUEST_BRIDGE.to_owned(); 2], ..spec() };
    // One that never ran, with and without an address for the copy, which offline needs none.
    let guest = lab.define_guest_on(lab.alpha(), &nics).unwrap();
    assert_moved(there, &migrate(&lab, there, &[]));
    let uri = format!("tcp://{}", lab.alpha().address());
    assert_moved(back, &migrate(&lab, back, &["--migrate-uri", &uri]));
    // One that ran.
    assert_starts(&guest, lab.alpha());
    let running = migrate(&lab, there, &[]);
    assert_eq!(running.0, Some(3), "{}", running.1);
    assert!(lab.alpha().domain_state("guest").unwrap().unwrap().starts_with("running"), "{}", running.1);
    lab.alpha().virsh(&["destroy", "guest"]).unwrap();
    assert_moved(there, &migrate(&lab, there, &[]));
    assert_starts(&guest, lab.beta());
    lab.remove().unwrap();
}

#[test]
#[ignore = "needs root and libvirt; run with cargo xtask test"]
fn disks_do_not_move_with_the_definition() {
    let lab = Lab::build(&LabOptions::default()).unwrap();
    let there = (lab.alpha(), lab.beta());
    // Both hosts see the lab's folder.
    let shared = lab.folder().join("shared");
    std::fs::create_dir_all(&shared).unwrap();
    let disk = shared.join("disk.raw");
    std::fs::File::create(&disk).unwrap().set_len(8 << 20).unwrap();
    let with = |path: PathBuf, format| GuestSpec { disks: vec![GuestDisk::new(path, format)], ..spec() };
    let guest = lab.define_guest_on(lab.alpha(), &with(disk, ImageFormat::Raw)).unwrap();
    assert_moved(there, &migrate(&lab, there, &[]));
    assert_starts(&guest, lab.beta());
    lab.remove_guest("guest").unwrap();

    // One that the source has for itself: nothing is there, or something else.
    for format in [ImageFormat::Raw, ImageFormat::Qcow2] {
        let own = lab.alpha().create_image("own.img", format, 8, 1).unwrap();
        let _guest = lab.define_guest_on(lab.alpha(), &with(own.clone(), format)).unwrap();
        let refused = migrate(&lab, there, &[]);
        assert_stayed(there, &refused, 3);
        assert!(refused.1.contains("storage.missing"), "{}", refused.1);
        lab.beta().create_image("own.img", format, 8, 2).unwrap();
        let digest = lab.beta().file_digest(&own).unwrap();
        let refused = migrate(&lab, there, &[]);
        assert_stayed(there, &refused, 3);
        assert!(refused.1.contains("storage.shared"), "{}", refused.1);
        assert_eq!(lab.beta().file_digest(&own).unwrap(), digest);
        // A copy of disks is not what an offline migration does.
        assert_stayed(there, &migrate(&lab, there, &["--copy-disks"]), 2);
        lab.remove_guest("guest").unwrap();
        lab.beta().run("rm", &[&own.to_string_lossy()]).unwrap();
    }
    lab.remove().unwrap();
}

#[test]
#[ignore = "needs root and libvirt; run with cargo xtask test"]
fn a_definition_that_is_there_already_is_replaced_or_refused() {
    let lab = Lab::build(&LabOptions::default()).unwrap();
    let there = (lab.alpha(), lab.beta());
    let _guest = lab.define_guest_on(lab.alpha(), &spec()).unwrap();
    // The same guest, defined there too.
    let xml = lab.alpha().virsh(&["dumpxml", "guest"]).unwrap();
    let file = lab.folder().join("same.xml");
    std::fs::write(&file, xml).unwrap();
    lab.beta().virsh(&["define", &file.to_string_lossy()]).unwrap();
    assert_moved(there, &migrate(&lab, there, &[]));
    lab.remove_guest("guest").unwrap();
    // Another guest of that name.
    let _guest = lab.define_guest_on(lab.alpha(), &spec()).unwrap();
    let _other = lab.define_guest_on(lab.beta(), &spec()).unwrap();
    let uuid = lab.beta().virsh(&["domuuid", "guest"]).unwrap();
    let (code, text) = migrate(&lab, there, &[]);
    assert_eq!(code, Some(3), "{text}");
    assert_eq!(lab.beta().virsh(&["domuuid", "guest"]).unwrap(), uuid, "{text}");
    assert!(lab.alpha().domain_state("guest").unwrap().is_some(), "{text}");
    lab.remove().unwrap();
}

/// Of a guest that is off, in a scenario file's words.
fn offline(more: &str) -> Scenario {
    let text = format!(
        "name = \"lab\"\n\
         [guest]\nname = \"wren\"\nmemory_mib = 128\nworking_set_mib = 32\nwrites_per_second = 0\n\
         [link]\nbandwidth_mib_per_second = 1000\n[migration]\noffline = true\n{more}\n\
         [expect]\nresult = \"completed\"\nguest_on = \"destination\"\n"
    );
    Scenario::parse(&text, "lab.toml").unwrap_or_else(|error| panic!("{error}"))
}

#[test]
#[ignore = "needs root and libvirt; run with cargo xtask test"]
fn an_offline_migration_that_hangs_can_be_cancelled() {
    let scenario = offline("doubt_patience_ms = 25000\n[[fault]]\nat_ms = 1000\ndo = \"cancel\"\n");
    let lab = Lab::build(&LabOptions::default()).unwrap();
    // The source's daemon waits for the destination's, which the operator still reaches.
    lab.cut_link().unwrap();
    let run = scenario::run(&lab, &scenario, &program(), Show::Quiet).unwrap();
    lab.restore_link().unwrap();
    let outcome = run.outcome.as_ref().unwrap_or_else(|| panic!("no outcome:\n{}", run.output));
    assert_eq!((run.exit_code, outcome.guest), (Some(4), GuestLocation::SourceOff), "{}", run.output);
    assert!(lab.alpha().domain_state("wren").unwrap().is_some(), "{}", run.output);
    assert_eq!(lab.beta().domain_state("wren").unwrap(), None, "{}", run.output);
    lab.remove().unwrap();
}

/// The same course on both.
#[test]
#[ignore = "needs root and libvirt; run with cargo xtask test"]
fn an_offline_migration_is_as_simulated() {
    let scenario = offline("");
    let lab = Lab::build(&LabOptions::default()).unwrap();
    let run = scenario::run(&lab, &scenario, &program(), Show::Quiet).unwrap();
    let outcome = run.outcome.as_ref().unwrap_or_else(|| panic!("no outcome:\n{}", run.output));
    assert_eq!(outcome.guest, GuestLocation::DestinationOff, "{}", run.output);
    let mut simulation = Simulation::new(&scenario, scenario.conditions(), |_| Verdict::default()).unwrap();
    let mut events = Vec::new();
    simulation.run(|| None, |_, event, _| events.push(event.clone())).unwrap();
    assert_eq!(timeline(run.events.iter().map(|(_, event)| event)), timeline(&events), "{}", run.output);
    lab.remove().unwrap();
}
