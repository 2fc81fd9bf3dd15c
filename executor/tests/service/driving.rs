//! What a service does as it starts: it drives alone, and says which hosts it cannot reach.

use std::process::{Command, Output};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::harness::{Folder, Service, world};

const PROGRAM: &str = env!("CARGO_BIN_EXE_whimbrel");

fn whimbrel(arguments: &[&str]) -> Output {
    // One that drives although it must not would serve for ever.
    Command::new("timeout").args(["20", PROGRAM]).args(arguments).output().unwrap()
}

#[test]
fn a_store_has_one_service_and_a_killed_one_leaves_no_lock() {
    let folder = Folder::new();
    let store = folder.path("store");
    let mut first = Service::start(&store, &[]);
    let name = store.to_str().unwrap();
    let second = whimbrel(&["serve", "--listen", "127.0.0.1:0", "--store", name]);
    let said = String::from_utf8(second.stderr).unwrap();
    assert_eq!(second.status.code(), Some(2), "{said}");
    assert!(
        said.contains(&format!("cannot use the store `{name}`: another process drives its migrations")),
        "{said}"
    );
    assert!(said.contains("hint: ") && said.contains("--store"), "{said}");
    assert_eq!(
        whimbrel(&["list", "--service", &first.address]).status.code(),
        Some(0),
        "a viewer has read access"
    );
    first.process.kill();
    let again = Service::start(&store, &[]);
    assert_eq!(again.get("/healthz").0, 200);
}

#[test]
fn a_service_that_cannot_listen_drives_nothing() {
    let folder = Folder::new();
    let first = Service::start(&folder.path("store"), &[]);
    let address = first.address.strip_prefix("http://").unwrap();
    let other = folder.path("other");
    let second = whimbrel(&["serve", "--listen", address, "--store", other.to_str().unwrap()]);
    let said = String::from_utf8(second.stderr).unwrap();
    assert_eq!(second.status.code(), Some(1), "{said}");
    assert!(said.contains("cannot listen on") && !other.exists(), "{said}");
}

#[test]
fn hosts_that_cannot_be_reached_are_named_at_the_start_and_the_others_served() {
    let folder = Folder::new();
    let hosts = ["--host", "sim://alpha", "--host", "sim://nowhere"];
    let service = Service::start(&folder.path("store"), &hosts);
    let deadline = Instant::now() + Duration::from_secs(20);
    let warned = |log: &str| {
        log.lines()
            .any(|line| line.contains("WARN") && line.contains("sim://nowhere") && line.contains("no such"))
    };
    while !warned(&service.log()) {
        assert!(Instant::now() < deadline, "{}", service.log());
        std::thread::sleep(Duration::from_millis(10));
    }
    let (_, hosts) = service.get("/api/v1/hosts");
    assert_eq!(
        (&hosts["hosts"][0]["reachable"], &hosts["hosts"][1]["reachable"]),
        (&json!(true), &json!(false))
    );
    assert!(
        hosts["hosts"][1]["reason"].as_str().unwrap().contains("there is no such simulated host"),
        "{hosts}"
    );
    assert_eq!(service.get("/api/v1/guests/web").0, 200);
}

#[test]
fn a_service_sets_the_speed_of_a_world_elsewhere() {
    let folder = Folder::new();
    let socket = folder.path("world");
    let _world = world(&socket, &[]);
    // At the speed of the real world this copy takes more than ten seconds.
    let order =
        json!({"guest": "web", "destination": "sim://beta", "bandwidth_limit_bytes_per_second": 80 << 20});
    let more = ["--sim-server", socket.to_str().unwrap(), "--sim-speed", "100"];
    let service = Service::start(&folder.path("store"), &more);
    assert_eq!(service.post("/api/v1/migrations", &order).0, 202);
    let began = Instant::now();
    let one = service.wait("/api/v1/migrations/1", |one| one["state"] == "completed");
    let wire_ms = one["outcome"]["total_ms"].as_u64().unwrap();
    assert!(
        began.elapsed() < Duration::from_secs(6),
        "{:?}, of which {wire_ms} ms are accounted for",
        began.elapsed()
    );
    let gone = folder.path("gone");
    let output = whimbrel(&["serve", "--sim-server", gone.to_str().unwrap(), "--sim-speed", "2"]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("the simulated hosts do not answer"));
}
