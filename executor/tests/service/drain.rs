//! A service that is drained drives what it adopted to its end, begins nothing, and ends.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::harness::{Folder, Service, world};

#[test]
fn a_drained_service_begins_nothing_and_ends_with_the_last_migration() {
    let folder = Folder::new();
    let socket = folder.path("world");
    let _world = world(&socket, &[]);
    let (store, socket) = (folder.path("store"), socket.to_str().unwrap().to_owned());
    let mut first = Service::start(&store, &["--sim-server", &socket]);
    let order =
        json!({"guest": "web", "destination": "sim://beta", "bandwidth_limit_bytes_per_second": 100 << 20});
    assert_eq!(first.post("/api/v1/migrations", &order).0, 202);
    first.wait("/api/v1/migrations/1", |one| one["account"]["phase"] == "precopy");
    first.process.kill();
    let mut drained = Service::start(&store, &["--sim-server", &socket, "--drain"]);
    let (status, problem) =
        drained.post("/api/v1/migrations", &json!({"guest": "idle", "destination": "sim://beta"}));
    assert_eq!((status, &problem["code"]), (503, &json!("service.draining")), "{problem}");
    let (status, problem) = drained.post("/plugins/kimchi/vms/idle/migrate", &json!({"destination": "beta"}));
    assert_eq!(status, 503, "{problem}");
    let patience = Instant::now() + Duration::from_mins(1);
    let status = loop {
        if let Some(status) = drained.process.has_ended() {
            break status;
        }
        assert!(Instant::now() < patience, "{}", drained.log());
        std::thread::sleep(Duration::from_millis(20));
    };
    assert_eq!(status.code(), Some(0), "{}", drained.log());
    drained.wait_for_log("drained: 1 migrations were driven to their end: 1 completed");
    let again = Service::start(&store, &["--sim-server", &socket]);
    assert!(again.log().contains("; 0 migrations adopted"), "{}", again.log());
    assert_eq!(again.get("/api/v1/migrations/1").1["state"], "completed");
    assert_eq!(again.get("/api/v1/migrations/2").0, 404);
}

#[test]
fn a_service_with_nothing_to_drain_ends_at_once() {
    let folder = Folder::new();
    let mut service = Service::start(&folder.path("store"), &["--drain"]);
    service.wait_for_log("drained: 0 migrations were driven to their end");
    assert_eq!(service.process.end().code(), Some(0));
}
