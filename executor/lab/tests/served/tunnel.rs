//! A tunnel that breaks during a migration: reopened where keys authenticate, otherwise an end that states where the guest is.

use std::fs;

use serde_json::{Value, json};
use whimbrel_lab::testing::signal;
use whimbrel_lab::{GuestSpec, Lab, SSH_PASSWORD};

use crate::harness::Service;
use crate::ssh::{assert_moved, lab, serve};

/// Ends the only ssh connection that there is on the source: the tunnel.
fn break_tunnel(lab: &Lab) {
    let tunnels = lab.alpha().pids_of("ssh");
    assert_eq!(tunnels.len(), 1, "{tunnels:?}");
    signal("KILL", tunnels[0]);
}

/// Begins a migration that takes long, and waits until memory is copied.
fn begin(service: &Service, order: &Value) {
    let (status, begun) = service.post("/api/v1/migrations", order);
    assert_eq!(status, 202, "{begun}");
    service.wait("/api/v1/migrations/1", |one| {
        one["account"]["phase"] == "precopy" && one["account"]["statistics"]["iteration"].as_u64() > Some(0)
    });
}

fn order(lab: &Lab) -> Value {
    json!({"guest": "guest", "destination": format!("qemu+ssh://root@{}/system", lab.beta().address()),
        "bandwidth_limit_bytes_per_second": 8 << 20, "doubt_patience_ms": 15_000})
}

#[test]
#[ignore = "needs root, libvirt and OpenSSH; run with cargo xtask test"]
fn a_tunnel_of_keys_is_made_anew_and_the_end_is_settled() {
    let (lab, guest) = lab(&GuestSpec { writes_per_second: 1_000, ..GuestSpec::default() });
    lab.alpha().may_enter(lab.beta()).unwrap();
    fs::write(lab.folder().join("known_hosts"), lab.beta().ssh_host_key_line().unwrap()).unwrap();
    let service = serve(&lab, 1);
    begin(&service, &order(&lab));
    break_tunnel(&lab);
    let one = service.wait("/api/v1/migrations/1", |one| one["state"] != "running");
    let outcome = &one["outcome"];
    // The source's daemon gives up a copy whose destination it has lost: the guest stays, and both hosts say so.
    assert_eq!((&one["state"], &outcome["guest"]), (&json!("failed"), &json!("source_running")), "{one}");
    assert_eq!(outcome["unsettled"], Value::Null, "{one}");
    let log = fs::read_to_string(&service.log).unwrap();
    assert!(log.contains("the tunnel broke and was re-established"), "{log}");
    let mut again = order(&lab);
    again["bandwidth_limit_bytes_per_second"] = Value::Null;
    assert_eq!(service.post("/api/v1/migrations", &again).0, 202);
    let one = service.wait("/api/v1/migrations/2", |one| one["state"] != "running");
    assert_eq!(one["state"], "completed", "{one}");
    assert_moved(&lab, &guest);
    drop(service);
    lab.remove().unwrap();
}

#[test]
#[ignore = "needs root, libvirt and OpenSSH; run with cargo xtask test"]
fn a_tunnel_of_a_password_that_breaks_ends_with_where_the_guest_is() {
    let (lab, guest) = lab(&GuestSpec { writes_per_second: 1_000, ..GuestSpec::default() });
    fs::write(lab.folder().join("known_hosts"), lab.beta().ssh_host_key_line().unwrap()).unwrap();
    let service = serve(&lab, 1);
    let mut order = order(&lab);
    order["password"] = json!(SSH_PASSWORD);
    begin(&service, &order);
    break_tunnel(&lab);
    let one = service.wait("/api/v1/migrations/1", |one| one["state"] != "running");
    let outcome = &one["outcome"];
    assert_eq!(outcome["guest"], "source_running", "{one}");
    assert_eq!(outcome["unsettled"], "destination", "the destination could no longer be queried: {one}");
    let words = one["description"].as_str().unwrap();
    assert!(words.contains("`guest` runs on ") && words.contains("Unverified: "), "{words}");
    let log = fs::read_to_string(&service.log).unwrap();
    assert!(log.contains("the password is not kept, and no key is accepted"), "{log}");
    let state = lab.alpha().domain_state("guest").unwrap().unwrap();
    assert!(state.starts_with("running"), "{state}");
    let seen = guest.wait_for_scan_after(&guest.snapshot(), std::time::Duration::from_mins(2)).unwrap();
    assert_eq!((seen.bad, seen.lost, seen.two_copies_ran()), (0, 0, false), "{seen:?}");
    drop(service);
    lab.remove().unwrap();
}
