//! A migration that ended in doubt is examined again when the silent host is back.

use std::fs;

use serde_json::{Value, json};

use crate::harness::{Folder, Service};

/// The source's daemon is away for much longer than the doubt may last, and comes back.
const AWAY: &str = r#"
name = "away"
description = "the source's daemon is away for a while"

[guest]
name = "wren"
memory_mib = 128
working_set_mib = 64
writes_per_second = 2000

[link]
bandwidth_mib_per_second = 20

[migration]
downtime_limit_ms = 10000

[[fault]]
at = "stopped"
after_ms = 300
do = "kill-source-daemon"

[[fault]]
at = "stopped"
after_ms = 60300
do = "start-source-daemon"

[expect]
result = "in-doubt"
guest_on = "unknown"
incidents = []
"#;

#[test]
fn a_doubt_is_settled_when_the_host_is_back() {
    let folder = Folder::new();
    let scenario = folder.path("away.toml");
    fs::write(&scenario, AWAY).unwrap();
    let world = ["--sim-scenario", scenario.to_str().unwrap(), "--sim-speed", "4"];
    let service = Service::start(&folder.path("store"), &world);
    let order = json!({
        "guest": "wren", "destination": "sim://beta", "downtime_limit_ms": 10_000, "doubt_patience_ms": 1_000,
    });
    let (status, answer) = service.post("/api/v1/migrations", &order);
    assert_eq!(status, 202, "{answer}");
    let one = "/api/v1/migrations/1";
    let resolve = || service.post("/api/v1/migrations/1/resolve", &json!({}));
    let (status, problem) = resolve();
    assert_eq!((status, &problem["code"]), (409, &json!("guest.busy")), "{problem}");

    let doubt = service.wait(one, |one| one["state"] != "running");
    assert_eq!(doubt["outcome"]["ending"], "in_doubt", "{doubt}");
    let settled = loop {
        let (status, answer) = resolve();
        assert_eq!(status, 202, "{answer}");
        let one = service.wait(one, |one| one["state"] != "running");
        if one["outcome"]["ending"] != "in_doubt" {
            break one;
        }
    };
    assert_eq!(settled["outcome"]["guest"], "source_running", "{settled}");
    assert_eq!(
        (&settled["outcome"]["not_undone"], &settled["trouble"]),
        (&json!([]), &Value::Null),
        "{settled}"
    );
    let (_, guest) = service.get("/api/v1/guests/wren");
    assert_eq!(guest["host"], "sim://alpha");

    let (status, problem) = resolve();
    assert_eq!((status, &problem["code"]), (409, &json!("migration.not-in-doubt")), "{problem}");
    let (status, _) = service.post("/api/v1/migrations/2/resolve", &json!({}));
    assert_eq!(status, 404);
    let (_, journal) = service.text("GET", "/api/v1/migrations/1/journal", &[], None);
    let replayed = whimbrel_core::journal::replay(&journal, |_, _, _| ()).unwrap();
    assert!(replayed.migration.view().outcome.is_some());
}
