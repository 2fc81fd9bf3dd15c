//! Over a real ssh daemon: with a password that is kept nowhere, over a kill of the service, and with keys.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use whimbrel_lab::testing::LONG;
use whimbrel_lab::{Guest, GuestSpec, Host, Lab, LabOptions, SSH_PASSWORD};

use crate::harness::Service;

/// A lab whose destination takes ssh, a guest, and a thread in the source's network.
pub(crate) fn lab(spec: &GuestSpec) -> (Lab, Guest) {
    let lab = Lab::build(&LabOptions::default()).unwrap();
    lab.beta().start_ssh_daemon().unwrap();
    lab.alpha().enter().unwrap();
    let guest = lab.start_guest(spec).unwrap();
    (lab, guest)
}

/// The other host over ssh, as the service's user and as root.
fn destinations(lab: &Lab) -> [String; 2] {
    ["", "root@"].map(|user| format!("qemu+ssh://{user}{}/system", lab.beta().address()))
}

/// A service on the source, as its administrator would start it.
pub(crate) fn serve(lab: &Lab, number: u32) -> Service {
    let known_hosts = lab.folder().join("known_hosts");
    let [by_key, as_root] = destinations(lab);
    let more = [
        "--host",
        "qemu:///system",
        "--allow-destination",
        &by_key,
        "--allow-destination",
        &as_root,
        "--ssh-known-hosts",
        known_hosts.to_str().unwrap(),
    ];
    Service::start(lab, lab.alpha().command("setpriv"), number, &more)
}

pub(crate) fn assert_moved(lab: &Lab, guest: &Guest) {
    assert_eq!(lab.beta().domain_state("guest").unwrap().as_deref(), Some("running (migrated)"));
    let now = guest.snapshot();
    let seen = guest.wait_for_scan_after(&now, LONG).unwrap();
    assert_eq!((seen.bad, seen.lost, seen.two_copies_ran()), (0, 0, false), "{seen:?}");
}

/// Every file below a folder that holds this text.
fn holders(folder: &Path, text: &str, found: &mut Vec<String>) {
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let (path, kind) = (entry.path(), entry.file_type().unwrap());
        if kind.is_dir() {
            holders(&path, text, found);
        } else if kind.is_file() {
            let bytes = fs::read(&path).unwrap_or_default();
            if bytes.windows(text.len()).any(|window| window == text.as_bytes()) {
                found.push(path.display().to_string());
            }
        }
    }
}

/// Every process on a host whose arguments or environment hold this text.
fn processes_with(host: &Host, text: &str) -> Vec<u32> {
    let told = |pid: &u32| {
        ["cmdline", "environ"].iter().any(|file| {
            let bytes = fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
            bytes.windows(text.len()).any(|window| window == text.as_bytes())
        })
    };
    let all = ["whimbrel", "ssh", "libvirtd", "nsenter", "setpriv"].map(|name| host.pids_of(name));
    all.into_iter().flatten().filter(told).collect()
}

#[test]
#[ignore = "needs root, libvirt and OpenSSH; run with cargo xtask test"]
fn a_password_lets_in_once_and_is_kept_nowhere() {
    let (lab, guest) = lab(&GuestSpec { memory_mib: 128, region_mib: 64, ..GuestSpec::default() });
    let known_hosts = lab.folder().join("known_hosts");
    let service = serve(&lab, 1);
    let call = |password: &str| {
        let body = json!({"destination": lab.beta().address(), "user": "root", "password": password});
        service.post("/plugins/kimchi/vms/guest/migrate", &body)
    };
    let refused = |answer: (u16, Value), code: &str| {
        let reason = answer.1["reason"].as_str().unwrap_or_default();
        assert!(answer.0 == 409 && reason.starts_with(code), "wanted {code}: {answer:?}");
        assert!(!reason.contains(SSH_PASSWORD), "{reason}");
    };
    refused(call(SSH_PASSWORD), "host-key.unknown");
    let line = lab.beta().ssh_host_key_line().unwrap();
    let other = line.replace(&line[line.len() - 24..line.len() - 18], "AAAAAA");
    fs::write(&known_hosts, other).unwrap();
    refused(call(SSH_PASSWORD), "host-key.changed");
    fs::write(&known_hosts, &line).unwrap();
    refused(call("not-it"), "password.refused");
    assert_eq!(service.get("/plugins/kimchi/tasks").1, json!([]), "what is refused begins nothing");
    let tunnels = lab.folder().join("whimbrel");
    let left = fs::read_dir(&tunnels).map_or(0, Iterator::count);
    assert_eq!(left, 0, "a tunnel that was refused is left");

    let (status, task) = call(SSH_PASSWORD);
    assert_eq!(status, 202, "{task}");
    assert_eq!(processes_with(lab.alpha(), SSH_PASSWORD), [0; 0]);
    let task = service.wait("/plugins/kimchi/tasks/1", |task| task["status"] != "running");
    assert_eq!(task["status"], "finished", "{task}");
    assert_eq!(task["migration"]["destination"], format!("qemu+ssh://root@{}/system", lab.beta().address()));
    assert_moved(&lab, &guest);

    let journal = service.text("/api/v1/migrations/1/journal").1;
    assert!(journal.contains("whimbrel.journal") && !journal.contains(SSH_PASSWORD));
    assert!(!service.text("/api/v1/audit").1.contains(SSH_PASSWORD));
    let deadline = Instant::now() + LONG;
    while !lab.alpha().pids_of("ssh").is_empty() || fs::read_dir(&tunnels).is_ok_and(|all| all.count() > 0) {
        assert!(Instant::now() < deadline, "the tunnel outlives its migration");
        thread::sleep(Duration::from_millis(20));
    }
    drop(service);
    let mut found = Vec::new();
    holders(lab.folder(), SSH_PASSWORD, &mut found);
    assert_eq!(found, [""; 0], "the password is in a file");
    lab.remove().unwrap();
}

#[test]
#[ignore = "needs root, libvirt and OpenSSH; run with cargo xtask test"]
fn a_service_that_was_killed_goes_on_without_asking_for_the_password() {
    let spec = GuestSpec { writes_per_second: 1_000, ..GuestSpec::default() };
    let (lab, guest) = lab(&spec);
    fs::write(lab.folder().join("known_hosts"), lab.beta().ssh_host_key_line().unwrap()).unwrap();
    let mut service = serve(&lab, 1);
    let order = json!({"guest": "guest", "destination": lab.beta().address(), "password": SSH_PASSWORD,
        "bandwidth_limit_bytes_per_second": 32 << 20});
    let (status, found) = service.post("/api/v1/preflight", &order);
    assert_eq!((status, &found["allowed"]), (200, &json!(true)), "{found}");
    let (status, begun) = service.post("/api/v1/migrations", &order);
    assert_eq!(status, 202, "{begun}");
    service.wait("/api/v1/migrations/1", |one| {
        one["account"]["phase"] == "precopy" && one["account"]["statistics"]["iteration"].as_u64() > Some(0)
    });
    service.kill();
    assert_eq!(lab.alpha().pids_of("ssh").len(), 1, "the tunnel is a process of its own");
    let service = serve(&lab, 2);
    let (_, one) = service.get("/api/v1/migrations/1");
    assert_eq!(one["state"], "running", "{one}");
    let one = service.wait("/api/v1/migrations/1", |one| one["state"] != "running");
    assert_eq!(one["state"], "completed", "{one}");
    assert_moved(&lab, &guest);
    drop(service);
    lab.remove().unwrap();
}

#[test]
#[ignore = "needs root, libvirt and OpenSSH; run with cargo xtask test"]
fn keys_let_in_once_the_host_is_known() {
    let (lab, guest) = lab(&GuestSpec { memory_mib: 128, region_mib: 64, ..GuestSpec::default() });
    // As libvirt itself does it, with the known hosts of the user that runs the daemon.
    let [by_key, _] = destinations(&lab);
    let more = ["--host", "qemu:///system", "--allow-destination", &by_key];
    let service = Service::start(&lab, lab.alpha().command("setpriv"), 1, &more);
    let order = json!({"destination": lab.beta().address()});
    let migrate = || service.post("/plugins/kimchi/vms/guest/migrate", &order);
    let wait = |number: u32| {
        service.wait(&format!("/plugins/kimchi/tasks/{number}"), |task| task["status"] != "running")
    };
    assert_eq!(migrate().0, 202);
    let task = wait(1);
    assert_eq!(task["status"], "failed", "{task}");
    let outcome = &task["migration"]["outcome"];
    assert_eq!(outcome["guest"], "untouched", "{task}");
    assert!(outcome.to_string().contains("Host key verification failed"), "{task}");

    lab.alpha().may_enter(lab.beta()).unwrap();
    assert_eq!(migrate().0, 202);
    let task = wait(2);
    assert_eq!(task["status"], "finished", "{task}");
    assert_moved(&lab, &guest);
    let said = fs::read_to_string(lab.beta().folder().join("ssh/log")).unwrap();
    assert!(said.contains("Accepted publickey for root"), "{said}");
    drop(service);
    lab.remove().unwrap();
}

#[test]
#[ignore = "needs root, libvirt and OpenSSH; run with cargo xtask test"]
fn keys_are_checked_against_the_known_hosts_that_the_service_was_given() {
    let (lab, guest) = lab(&GuestSpec { memory_mib: 128, region_mib: 64, ..GuestSpec::default() });
    let known_hosts = lab.folder().join("known_hosts");
    // The machine's own list has the key; the service's has not yet.
    lab.alpha().may_enter(lab.beta()).unwrap();
    let there = format!("qemu+ssh://root@{}/system", lab.beta().address());
    // This transport needs the key as a parameter.
    let key = lab.alpha().folder().join("root/.ssh/id_ed25519");
    let (address, key) = (lab.beta().address(), key.display());
    let again = format!("qemu+libssh://root@{address}/system?sshauth=privkey&keyfile={key}");
    let given = known_hosts.to_str().unwrap();
    let more = ["--host", "qemu:///system", "--host", &there, "--host", &again, "--ssh-known-hosts", given];
    let service = Service::start(&lab, lab.alpha().command("setpriv"), 1, &more);
    let reached = || {
        let (_, hosts) = service.get("/api/v1/hosts");
        let hosts = hosts["hosts"].as_array().unwrap().clone();
        hosts.iter().map(|host| host["reachable"].as_bool().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(reached(), [true, false, false], "{}", service.get("/api/v1/hosts").1);
    let deadline = Instant::now() + LONG;
    while fs::read_to_string(&service.log).unwrap().matches("a host is unreachable").count() < 2 {
        assert!(Instant::now() < deadline, "{}", fs::read_to_string(&service.log).unwrap());
        thread::sleep(Duration::from_millis(20));
    }
    let order = json!({"guest": "guest", "source": "qemu:///system", "destination": there});
    let (status, refused) = service.post("/api/v1/migrations", &order);
    assert_eq!((status, &refused["code"]), (409, &json!("host-key.unknown")), "{refused}");
    fs::write(&known_hosts, lab.beta().ssh_host_key_line().unwrap()).unwrap();
    assert_eq!(reached(), [true, true, true], "{}", service.get("/api/v1/hosts").1);
    let (status, begun) = service.post("/api/v1/migrations", &order);
    assert_eq!(status, 202, "{begun}");
    let one = service.wait("/api/v1/migrations/1", |one| one["state"] != "running");
    assert_eq!(one["state"], "completed", "{one}");
    assert_moved(&lab, &guest);
    drop(service);
    lab.remove().unwrap();
}
