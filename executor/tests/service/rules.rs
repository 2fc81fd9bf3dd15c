//! The rules of a service: every one is evaluated, they are reloaded while it runs, and a migration keeps those that it
//! began with.

use std::path::Path;

use serde_json::{Value, json};

use crate::harness::{Folder, Service};

const WAIVED: &str =
    "[[waiver]]\nrule = \"destination.is-source\"\nreason = \"a drill\"\nuntil = \"2999-01-01\"\n";

fn start(folder: &Folder, policy: &Path) -> Service {
    Service::start(&folder.path("store"), &["--sim-speed", "4", "--rule-settings", policy.to_str().unwrap()])
}

fn reload(service: &Service) -> (u16, Value) {
    service.post("/api/v1/rules/reload", &json!({}))
}

#[test]
fn a_migration_keeps_its_rules_while_others_take_their_place() {
    let folder = Folder::new();
    let policy = folder.path("policy.toml");
    std::fs::write(&policy, "").unwrap();
    let service = start(&folder, &policy);
    let (_, first) = service.get("/api/v1/rules");
    let count: usize =
        first["packs"].as_array().unwrap().iter().map(|pack| pack["rules"].as_array().unwrap().len()).sum();
    assert!(count > 100, "{first}");
    let order = json!({"guest": "database", "destination": "sim://beta", "bandwidth_limit_bytes_per_second": 30 << 20});
    assert_eq!(service.post("/api/v1/migrations", &order).0, 202);
    service.wait("/api/v1/migrations/1", |one| one["account"]["phase"] == "precopy");

    assert_eq!(reload(&service).1["changed"], false);
    let to_itself = json!({"guest": "web", "destination": "sim://alpha"});
    assert_eq!(service.post("/api/v1/preflight", &to_itself).1["allowed"], false);
    std::fs::write(&policy, WAIVED).unwrap();
    let (status, answer) = reload(&service);
    assert_eq!((status, &answer["changed"]), (200, &json!(true)), "{answer}");
    assert_ne!(answer["rules"]["set"], first["set"]);
    let (_, found) = service.post("/api/v1/preflight", &to_itself);
    assert_eq!((&found["allowed"], &found["rules"]), (&json!(true), &answer["rules"]["set"]));

    assert_eq!(service.post("/api/v1/migrations/1/cancel", &json!({})).1["answer"], "cancelled");
    let (_, journal) = service.text("GET", "/api/v1/migrations/1/journal", &[], None);
    assert!(
        journal.contains(first["set"].as_str().unwrap()),
        "it was judged by the rules that it began with"
    );
}

#[test]
fn rules_that_cannot_be_used_change_nothing() {
    let folder = Folder::new();
    let policy = folder.path("policy.toml");
    std::fs::write(&policy, WAIVED).unwrap();
    let service = start(&folder, &policy);
    let (_, before) = service.get("/api/v1/rules");
    std::fs::write(&policy, WAIVED.replace("is-source", "is-sauce")).unwrap();
    let (status, problem) = reload(&service);
    assert_eq!((status, &problem["code"]), (409, &json!("rules.unusable")), "{problem}");
    assert!(problem["detail"].as_str().unwrap().contains("is-sauce"), "{problem}");
    assert_eq!(service.get("/api/v1/rules").1, before);
}
