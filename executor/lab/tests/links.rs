//! Guests with cards on bridges and other devices of their host: libvirt's node devices name none of those.

#![cfg(test)]

use serde_json::Value;
use whimbrel_lab::testing::{self, LONG};
use whimbrel_lab::{GUEST_BRIDGE, GuestSpec, Host, Lab, LabOptions};

/// Where libvirt keeps its drivers, below the folder of libraries of the machine's kind.
const DRIVERS: &str = "/usr/lib/x86_64-linux-gnu/libvirt/connection-driver";

fn run(lab: &Lab, verb: &[&str], more: &[&str]) -> (Option<i32>, String) {
    testing::run(lab, "guest", (lab.alpha(), lab.beta()), verb, more)
}

/// Verdicts and messages of the rules about network devices.
fn judged(lab: &Lab, code: &str, more: &[&str]) -> Vec<(String, String)> {
    let (_, text) = run(lab, &["check"], &[&["--format", "json"], more].concat());
    let document: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    let word = |one: &Value, key: &str| one[key].as_str().unwrap().to_owned();
    let all = document["findings"].as_array().unwrap().iter().filter(|one| one["code"] == code);
    all.map(|one| (word(one, "verdict"), word(one, "message"))).collect()
}

fn verdicts(judged: &[(String, String)]) -> Vec<&str> {
    judged.iter().map(|(verdict, _)| verdict.as_str()).collect()
}

fn add_bridge(host: &Host, name: &str) {
    host.run("ip", &["link", "add", "name", name, "type", "bridge"]).unwrap();
    host.run("ip", &["link", "set", "dev", name, "up"]).unwrap();
}

fn ports(host: &Host, bridge: &str) -> usize {
    let text = host.run("ls", &[&format!("/sys/class/net/{bridge}/brif")]).unwrap();
    text.lines().filter(|line| line.starts_with("vnet")).count()
}

#[test]
#[ignore = "needs root and libvirt; run with cargo xtask test"]
fn a_guest_on_bridges_moves_where_they_are_and_is_refused_where_not() {
    let lab = Lab::build(&LabOptions::default()).unwrap();
    add_bridge(lab.alpha(), "br1");
    let bridges = vec![GUEST_BRIDGE.to_owned(), "br1".to_owned(), GUEST_BRIDGE.to_owned()];
    let spec = GuestSpec { memory_mib: 128, region_mib: 32, bridges, ..GuestSpec::default() };
    let guest = lab.start_guest(&spec).unwrap();

    // One of the bridges is not there.
    let found = judged(&lab, "network.bridge", &[]);
    assert_eq!(verdicts(&found), ["fail"], "{found:?}");
    assert!(found.iter().all(|(_, message)| message.contains("`br1`")), "{found:?}");
    let (code, text) = run(&lab, &["migrate"], &[]);
    assert_eq!(code, Some(3), "{text}");
    assert!(lab.alpha().domain_state("guest").unwrap().unwrap().starts_with("running"), "{text}");

    // All of them are.
    add_bridge(lab.beta(), "br1");
    let found = judged(&lab, "network.bridge", &[]);
    assert!(verdicts(&found).iter().all(|verdict| ["pass", "warn"].contains(verdict)), "{found:?}");
    let (code, text) = run(&lab, &["check"], &[]);
    assert_eq!(code, Some(0), "{text}");
    let (_, text) = run(&lab, &["facts", "collect"], &[]);
    let facts: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    let links = facts["destination"]["links"].as_array().unwrap();
    let bridge = links.iter().find(|link| link["name"] == GUEST_BRIDGE).unwrap();
    assert_eq!(bridge["mtu"], 1500, "{bridge}");
    for name in ["lo", "eth0", "eth1", "br1"] {
        assert!(links.iter().any(|link| link["name"] == name), "{name} is not among {links:?}");
    }
    let before = guest.mark();
    let (code, text) = run(&lab, &["migrate"], &[]);
    assert_eq!(code, Some(0), "{text}");
    guest.wait_until(LONG, |now| now.owner == Some(1) && now.seq > before.seq).unwrap();
    assert_eq!((ports(lab.beta(), GUEST_BRIDGE), ports(lab.beta(), "br1")), (2, 1));
    assert_eq!((ports(lab.alpha(), GUEST_BRIDGE), ports(lab.alpha(), "br1")), (0, 0));
    lab.remove().unwrap();
}

/// As on systems where the interface driver is a package of its own that is not installed.
#[test]
#[ignore = "needs root and libvirt; run with cargo xtask test"]
fn without_the_interface_driver_bridges_are_unknown_and_the_guest_moves() {
    let lab = Lab::build(&LabOptions::default()).unwrap();
    let bridges = vec![GUEST_BRIDGE.to_owned(); 2];
    let spec = GuestSpec { memory_mib: 128, region_mib: 32, bridges, ..GuestSpec::default() };
    let guest = lab.start_guest(&spec).unwrap();
    let drivers = lab.folder().join("drivers").to_string_lossy().into_owned();
    let beta = lab.beta();
    beta.run("cp", &["-a", DRIVERS, &drivers]).unwrap();
    beta.run("rm", &[&format!("{drivers}/libvirt_driver_interface.so")]).unwrap();
    beta.run("mount", &["--bind", &drivers, DRIVERS]).unwrap();
    beta.restart_daemon().unwrap();
    assert!(beta.virsh(&["iface-list"]).is_err(), "the driver is gone");

    let found = judged(&lab, "network.bridge", &[]);
    assert_eq!(verdicts(&found), ["unknown", "unknown"], "{found:?}");
    assert!(found.iter().all(|(_, message)| message.contains("interface driver")), "{found:?}");
    // What node devices name is known all the same.
    let (_, text) = run(&lab, &["facts", "collect"], &[]);
    let facts: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    assert!(facts["destination"]["links"].is_null(), "{}", facts["destination"]["links"]);
    let seen = facts["attributes"].as_array().unwrap();
    assert!(seen.iter().any(|one| one["path"] == "destination.seen-links.eth0"), "{seen:?}");
    let (code, text) = run(&lab, &["migrate"], &[]);
    assert_eq!(code, Some(0), "{text}");
    guest.wait_until(LONG, |now| now.owner == Some(1)).unwrap();
    lab.remove().unwrap();
}

/// Devices of a kind of their own, as bonds and VLANs are: this kernel may have no bonds and VLANs, but tunnels.
#[test]
#[ignore = "needs root and libvirt; run with cargo xtask test"]
fn a_card_directly_on_a_device_of_a_kind_of_its_own_finds_it() {
    let lab = Lab::build(&LabOptions::default()).unwrap();
    let spec = GuestSpec { memory_mib: 128, region_mib: 32, ..GuestSpec::default() };
    let _guest = lab.define_guest_on(lab.alpha(), &spec).unwrap();
    lab.alpha()
        .virsh(&["attach-interface", "guest", "direct", "tunnel0", "--model", "virtio", "--config"])
        .unwrap();
    let kinds: [&[&str]; 3] = [
        &["type", "vxlan", "id", "5", "dstport", "4789"],
        &["type", "bond"],
        &["link", "eth1", "type", "vlan", "id", "5"],
    ];
    let mut tried = 0;
    for kind in kinds {
        let words = match kind {
            ["link", device, rest @ ..] => {
                [&["link", "add", "link", device, "name", "tunnel0"], rest].concat()
            }
            kind => [&["link", "add", "name", "tunnel0"], kind].concat(),
        };
        // The guest is off: its definition can be moved, and it cannot be started there.
        assert_eq!(verdicts(&judged(&lab, "network.direct", &["--offline"])), ["warn"]);
        if lab.beta().run("ip", &words).is_err() {
            continue;
        }
        tried += 1;
        lab.beta().run("ip", &["link", "set", "dev", "tunnel0", "up"]).unwrap();
        let found = judged(&lab, "network.direct", &["--offline"]);
        // A bond without members is down, which is another matter than not there.
        assert!(!found.iter().any(|(_, message)| message.contains("has no device")), "{kind:?}: {found:?}");
        lab.beta().run("ip", &["link", "delete", "tunnel0"]).unwrap();
    }
    assert!(tried > 0, "this kernel has none of these kinds");
    lab.remove().unwrap();
}
