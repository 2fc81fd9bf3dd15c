//! Where guests may go: what the operator configured, and nothing that a request makes up.

use serde_json::{Value, json};

use crate::harness::{Folder, Service};

const SECRET: &str = "Zx9SecretURI";

/// Every request that names a host, with this one as its destination, and one with it as its source.
fn answers(service: &Service, guest: &str, uri: &str) -> Vec<(u16, Value)> {
    let order = json!({"guest": guest, "destination": uri});
    vec![
        service.post("/api/v1/preflight", &order),
        service.post("/api/v1/migrations?dry_run=true", &order),
        service.post("/api/v1/migrations", &order),
        service
            .post("/api/v1/preflight", &json!({"guest": guest, "source": uri, "destination": "sim://beta"})),
    ]
}

#[test]
fn a_destination_that_the_operator_did_not_approve_is_refused() {
    let folder = Folder::new();
    let hosts = ["--allow-destination", "qemu+ssh://root@*.example.org/system", "--no-auth"];
    let service = Service::start(&folder.path("store"), &hosts);
    for uri in [
        "qemu+ssh://beta/system",
        "qemu+tcp://192.0.2.1/system",
        "qemu:///system",
        "qemu+ssh://root@example.org/system",
    ] {
        for (status, problem) in &answers(&service, "web", uri)[..3] {
            assert_eq!((*status, &problem["code"]), (403, &json!("destination.not-allowed")), "{problem}");
            assert!(problem["detail"].as_str().unwrap().contains(uri), "{problem}");
            assert!(problem["remedy"].as_str().unwrap().contains("--allow-destination"), "{problem}");
        }
    }
    let kimchi = |destination: &str| {
        service.post("/plugins/kimchi/vms/web/migrate", &json!({"destination": destination}))
    };
    for destination in ["192.0.2.1", "nowhere.example.net"] {
        let (status, error) = kimchi(destination);
        assert_eq!(status, 403, "{error}");
        assert!(error["reason"].as_str().unwrap().starts_with("destination.not-allowed: "), "{error}");
    }
    assert_eq!(kimchi("beta").0, 202, "the simulated hosts are the service's own");
    // One that is approved comes as far as this build, or the other end, lets it.
    let approved = service.post(
        "/api/v1/preflight",
        &json!({"guest": "idle", "destination": "qemu+ssh://root@a.example.org/system"}),
    );
    assert_eq!((approved.0, &approved.1["code"]), (409, &json!("host.unusable")), "{}", approved.1);
}

#[test]
fn a_request_cannot_name_a_program_a_source_of_its_own_or_a_password() {
    let folder = Folder::new();
    let mut service = Service::start(&folder.path("store"), &[]);
    for uri in [
        "qemu+ext:///system?command=/bin/true",
        "qemu+ssh://beta/system?command=/bin/true",
        "qemu+ssh://beta/system?comm%61nd=/bin/true",
        "qemu+ssh://beta/system?netcat=/bin/true",
        "qemu+ssh://beta/system?proxy=netcat",
        "qemu+libssh://beta/system?keyfile=/etc/ssh/ssh_host_rsa_key",
        "qemu+tls://beta/system?no_verify=1",
        "qemu+unix:///system?socket=/tmp/x",
        "test:///tmp/hosts.xml",
        "sim://beta?command=/bin/true",
        "xen:///system",
        &format!("qemu+ssh://user:{SECRET}@beta/system"),
    ] {
        let all = answers(&service, "web", uri);
        for (status, problem) in &all[..3] {
            assert_eq!((*status, &problem["code"]), (409, &json!("host.unusable")), "{uri}: {problem}");
        }
        assert_eq!((all[3].0, &all[3].1["code"]), (404, &json!("host.unknown")), "{uri}: {}", all[3].1);
        assert!(all.iter().all(|(_, problem)| !problem.to_string().contains(SECRET)), "{all:?}");
    }
    let not_a_host = json!({"guest": "web", "source": "sim://nowhere", "destination": "sim://beta"});
    assert_eq!(service.post("/api/v1/preflight", &not_a_host).1["code"], "host.unknown");
    let (_, audit) = service.get("/api/v1/audit");
    assert!(!audit.to_string().contains(SECRET), "{audit}");
    assert!(!service.log().contains(SECRET));
    service.process.kill();
    for file in ["store", "store-wal"] {
        let bytes = std::fs::read(folder.path(file)).unwrap();
        assert!(!bytes.windows(SECRET.len()).any(|window| window == SECRET.as_bytes()), "{file} holds it");
    }
}

#[test]
fn memory_is_sent_to_hosts_only() {
    let folder = Folder::new();
    let service = Service::start(&folder.path("store"), &[]);
    for uri in ["exec:/bin/true", "tcp://beta\nx", "unix:///tmp/x", "tcp://", "fd:3"] {
        let order = json!({"guest": "web", "destination": "sim://beta", "migrate_uri": uri});
        let (status, problem) = service.post("/api/v1/preflight", &order);
        assert_eq!((status, &problem["code"]), (422, &json!("request.invalid")), "{uri:?}: {problem}");
    }
}

/// A program that leaves a trace, and a host of libvirt's own test driver, which needs no daemon.
#[cfg(feature = "libvirt")]
#[test]
fn libvirt_runs_no_program_for_a_request() {
    use std::os::unix::fs::PermissionsExt;
    let folder = Folder::new();
    let (program, trace) = (folder.path("program"), folder.path("trace"));
    std::fs::write(&program, format!("#!/bin/sh\necho \"uid $(id -u)\" >> {}\n", trace.display())).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    let service = Service::start(&folder.path("store"), &["--host", "test:///default", "--no-auth"]);
    let run = program.display();
    for uri in [
        format!("qemu+ext:///system?command={run}"),
        format!("QEMU+EXT:///system?COMMAND={run}"),
        format!("qemu+ssh://beta/system?command={run}"),
        format!("qemu+ssh://beta/system?comm%61nd={run}"),
        format!("test+ext:///default?command={run}"),
    ] {
        for (status, problem) in answers(&service, "test", &uri) {
            assert!([403, 404, 409].contains(&status), "{uri}: {status} {problem}");
        }
        let source = json!({"guest": "test", "source": uri, "destination": "test:///default"});
        assert_eq!(service.post("/api/v1/migrations", &source).0, 404);
        assert_eq!(service.post("/plugins/kimchi/vms/test/migrate", &json!({"destination": uri})).0, 409);
    }
    assert!(!trace.exists(), "a request ran it: {}", std::fs::read_to_string(&trace).unwrap());
}
