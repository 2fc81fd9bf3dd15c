//! The native API: idempotency, dry runs, reactions, streams that resume, the journal.

use serde_json::{Value, json};

use crate::harness::{Folder, Service, events};

const KEY: &[(&str, &str)] = &[("content-type", "application/json"), ("idempotency-key", "one")];

#[test]
fn a_key_begins_one_migration_however_often_it_is_sent() {
    let folder = Folder::new();
    let service = Service::start(&folder.path("store"), &["--sim-speed", "8"]);
    let body = json!({"guest": "web", "destination": "sim://beta"}).to_string();
    let send = |body: &str| service.ask("POST", "/api/v1/migrations", KEY, Some(body));
    let (first, second) = (send(&body), send(&body));
    assert_eq!((first.0, second.0), (202, 202), "{} {}", first.1, second.1);
    assert_eq!(first.1["id"], second.1["id"]);
    service.wait("/api/v1/migrations/1", |one| one["state"] == "completed");
    let third = send(&body);
    assert_eq!((third.0, &third.1["id"], &third.1["state"]), (202, &json!("1"), &json!("completed")));
    let other = send(&json!({"guest": "idle", "destination": "sim://beta"}).to_string());
    assert_eq!((other.0, &other.1["code"]), (422, &json!("idempotency-key.reused")));
}

#[test]
fn a_dry_run_tells_every_finding_and_begins_nothing() {
    let folder = Folder::new();
    let service = Service::start(&folder.path("store"), &[]);
    let (status, found) = service
        .post("/api/v1/migrations?dry_run=true", &json!({"guest": "web", "destination": "sim://alpha"}));
    assert_eq!(status, 200, "{found}");
    assert_eq!(found["allowed"], false);
    let findings = found["findings"].as_array().unwrap();
    let of = |verdict: &str| -> Vec<_> {
        findings.iter().filter(|one| one["verdict"] == verdict).map(|one| one["code"].clone()).collect()
    };
    assert!(of("fail").contains(&json!("destination.is-source")), "{found}");
    assert!(of("pass").len() > 50, "rules that pass are reported too: {found}");
    assert_eq!(service.get("/api/v1/migrations").1, json!({"migrations": []}));
}

#[test]
fn reactions_are_answered_and_a_second_migration_is_refused() {
    let folder = Folder::new();
    let service = Service::start(&folder.path("store"), &[]);
    let order = json!({"guest": "database", "destination": "sim://beta", "bandwidth_limit_bytes_per_second": 30 << 20});
    assert_eq!(service.post("/api/v1/migrations", &order).0, 202);
    let (status, problem) = service.post("/api/v1/migrations", &order);
    assert_eq!((status, &problem["code"]), (409, &json!("guest.busy")), "{problem}");
    assert!(problem["guest"].is_string() && problem["remedy"].is_string());
    service.wait("/api/v1/migrations/1", |one| one["account"]["phase"] == "precopy");
    let react = |wanted: Value| service.post("/api/v1/migrations/1/reactions", &wanted);
    let (status, answer) = react(json!({"bandwidth_limit": {"bytes_per_second": 60 << 20}}));
    assert_eq!((status, &answer["result"]), (200, &json!("done")), "{answer}");
    let (status, answer) = react(json!({"postcopy": {}}));
    assert_eq!((status, &answer["result"]), (409, &json!("not_allowed")), "{answer}");
    let (status, problem) = react(json!({"downtime_limit": {"ms": 0}}));
    assert_eq!((status, problem["code"].as_str()), (422, Some("reaction.out-of-bounds")), "{problem}");
    assert_eq!(react(json!({"throttle": {}})).0, 422);
    assert_eq!(service.post("/api/v1/migrations/1/cancel", &json!({})).1["answer"], "cancelled");
    assert_eq!(react(json!({"pause": {}})).1["result"], "too_late");
}

#[test]
fn a_downtime_that_a_pause_caused_is_the_same_in_every_document() {
    let folder = Folder::new();
    let service = Service::start(&folder.path("store"), &["--sim-speed", "8"]);
    let order = json!({"guest": "database", "destination": "sim://beta", "bandwidth_limit_bytes_per_second": 60 << 20});
    assert_eq!(service.post("/api/v1/migrations", &order).0, 202);
    let path = "/api/v1/migrations/1";
    let first =
        service.wait(path, |one| one["account"]["statistics"]["memory_remaining_bytes"].as_u64() > Some(0));
    let numbers = &first["account"]["statistics"];
    if numbers["iteration"] == 1 {
        assert_eq!(
            (&numbers["dirty_rate_pages_per_second"], &numbers["downtime_ms"]),
            (&Value::Null, &Value::Null)
        );
    }
    let paused = service.post("/api/v1/migrations/1/reactions", &json!({"pause": {}}));
    assert_eq!(paused.1["result"], "done", "{}", paused.1);
    let since = std::time::Instant::now();
    let guest = service.get("/api/v1/guests/database?host=sim://alpha").1;
    assert_eq!(guest["run"], "paused", "a guest that was stopped for its migration does not run: {guest}");
    let one = service.wait(path, |one| one["state"] == "completed");
    let waited_ms = u64::try_from(since.elapsed().as_millis()).unwrap();
    let outcome = &one["outcome"];
    let [downtime_ms, by_hypervisor_ms] =
        ["downtime_ms", "hypervisor_downtime_ms"].map(|name| outcome[name].as_u64().unwrap());
    assert!(waited_ms > 1_000 && downtime_ms > waited_ms / 2, "{waited_ms} ms were waited: {outcome}");
    assert!(by_hypervisor_ms < 1_000, "{outcome}");
    let description = one["description"].as_str().unwrap();
    assert!(
        description.contains(", downtime ") && description.contains(" (the hypervisor reports "),
        "{one}"
    );
    let mut told = Value::Null;
    events(&service.address, "/api/v1/migrations/1/events", None, |_, data| {
        told = data["event"]["ended"].clone();
    });
    assert_eq!(&told, outcome);
    let metrics = service.text("GET", "/metrics", &[], None).1;
    for (name, ms) in [("downtime", downtime_ms), ("hypervisor_downtime", by_hypervisor_ms)] {
        let head = format!("whimbrel_{name}_seconds_sum ");
        let sum = metrics.lines().find_map(|line| line.strip_prefix(&head)).unwrap();
        let seconds = std::time::Duration::from_millis(ms).as_secs_f64();
        assert!((sum.parse::<f64>().unwrap() - seconds).abs() < 1e-6, "{name}: {sum}");
    }
}

#[test]
fn a_stream_resumes_where_it_was_and_the_journal_replays() {
    let folder = Folder::new();
    let service = Service::start(&folder.path("store"), &["--sim-speed", "4"]);
    service.post("/api/v1/migrations", &json!({"guest": "web", "destination": "sim://beta"}));
    let path = "/api/v1/migrations/1/events";
    let mut all = Vec::new();
    assert_eq!(events(&service.address, path, None, |id, data| all.push((id.to_owned(), data))), 200);
    assert!(all.last().unwrap().1["event"]["ended"].is_object());
    let middle = all.len() / 2;
    let mut rest = Vec::new();
    events(&service.address, path, Some(&all[middle].0), |id, data| rest.push((id.to_owned(), data)));
    assert_eq!(rest, all[middle + 1..]);
    assert_eq!(events(&service.address, path, Some(&all.last().unwrap().0), |_, _| {}), 204);
    assert_eq!(events(&service.address, path, Some("x"), |_, _| {}), 400);
    let journal = service.text("GET", "/api/v1/migrations/1/journal", &[], None).1;
    let replayed = whimbrel_core::journal::replay(&journal, |_, _, _| {}).unwrap();
    assert!(replayed.migration.view().outcome.is_some() && !replayed.torn);
    let metrics = service.text("GET", "/metrics", &[], None).1;
    assert!(
        metrics.contains("whimbrel_migrations_total{ending=\"completed\",cause=\"none\"} 1"),
        "{metrics}"
    );
}

#[test]
fn everything_that_migrate_takes_the_api_takes_too() {
    let folder = Folder::new();
    let service = Service::start(&folder.path("store"), &[]);
    let order = json!({"guest": "web", "destination": "sim://beta", "doubt_patience_ms": 7_000,
        "recovery_patience_ms": 9_000, "xbzrle": true, "parallel_connections": 4, "destination_xml": "<domain/>",
        "migrate_uri": "tcp://192.0.2.12", "timeout_ms": 60_000, "at_timeout": "pause", "copy_disks": true,
        "overwrite_disks": ["/images/web.img"]});
    assert_eq!(service.post("/api/v1/migrations", &order).0, 202);
    let journal = service.text("GET", "/api/v1/migrations/1/journal", &[], None).1;
    let header: Value = serde_json::from_str(journal.lines().next().unwrap()).unwrap();
    let spec = &header["spec"];
    assert_eq!(
        (&spec["doubt_patience_ms"], &spec["recovery_patience_ms"]),
        (&json!(7_000), &json!(9_000)),
        "{header}"
    );
    assert_eq!((&spec["timeout_ms"], &spec["at_timeout"]), (&json!(60_000), &json!("pause")), "{header}");
    let ways = json!({"postcopy": false, "auto_converge": false, "xbzrle": true, "parallel_connections": 4,
        "copy_disks": true, "offline": false});
    assert_eq!(spec["ways"], ways, "{header}");
    let (_, api) = service.get("/api/v1/openapi.json");
    let described = api["components"]["schemas"]["Wanted"]["properties"].as_object().unwrap();
    for field in order.as_object().unwrap().keys() {
        assert!(described.contains_key(field), "{field} is not described");
    }
    let refused = |more: Value| {
        let mut order = json!({"guest": "idle", "destination": "sim://beta"});
        order.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        service.post("/api/v1/migrations", &order)
    };
    for more in [
        json!({"doubt_patience_ms": 999}),
        json!({"recovery_patience_ms": 604_800_001}),
        json!({"parallel_connections": 256}),
        json!({"parallel_connections": 0}),
        json!({"offline": true, "postcopy": true}),
        json!({"copy_disks": []}),
        json!({"copy_disks": [""]}),
        json!({"overwrite_disks": ["/images/web.img"]}),
        json!({"copy_disks": false, "overwrite_disks": ["/images/web.img"]}),
    ] {
        let (status, problem) = refused(more.clone());
        assert_eq!((status, &problem["code"]), (422, &json!("request.invalid")), "{more}: {problem}");
    }
}

#[test]
fn the_history_has_what_the_stream_has() {
    let folder = Folder::new();
    let service = Service::start(&folder.path("store"), &["--sim-speed", "4"]);
    service.post("/api/v1/migrations", &json!({"guest": "web", "destination": "sim://beta"}));
    let mut told = Vec::new();
    let path = "/api/v1/migrations/1/events";
    events(&service.address, path, None, |id, data| told.push((id.to_owned(), data)));
    let history = |after: &str| service.get(&format!("/api/v1/migrations/1/history{after}"));
    let (status, whole) = history("");
    assert_eq!((status, &whole["more"]), (200, &json!(false)), "{whole}");
    let read: Vec<_> = whole["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| {
            let id = event["id"].as_str().unwrap().to_owned();
            (id, json!({"migration": event["migration"], "at_ns": event["at_ns"], "event": event["event"]}))
        })
        .collect();
    assert_eq!(read, told);
    let middle = told.len() / 2;
    let (_, rest) = history(&format!("?after={}", told[middle].0));
    assert_eq!(rest["events"].as_array().unwrap().len(), told.len() - middle - 1);
    assert_eq!(history("?after=x").0, 400);
    assert_eq!(service.get("/api/v1/migrations/7/history").0, 404);
    // What was seen of another store is not waited for.
    for path in ["/api/v1/events", path] {
        assert_eq!(events(&service.address, path, Some("999999.0"), |_, _| {}), 409, "{path}");
    }
    let (status, problem) = history("?after=999999.0");
    assert_eq!((status, &problem["code"]), (409, &json!("events.unknown-id")), "{problem}");
    let mut again = Vec::new();
    events(&service.address, path, Some("0.0"), |id, data| again.push((id.to_owned(), data)));
    assert_eq!(again, told);
}

#[test]
fn an_owner_to_replace_is_checked_and_kept_with_the_request() {
    let folder = Folder::new();
    let service = Service::start(&folder.path("store"), &[]);
    let order = |owner: &str| json!({"guest": "idle", "destination": "sim://beta", "replace_owner": owner});
    for owner in ["", "a b", "\u{e9}"] {
        let (status, problem) = service.post("/api/v1/migrations", &order(owner));
        assert_eq!(status, 422, "{owner:?}: {problem}");
        assert!(problem.to_string().contains("replace_owner"), "{problem}");
    }
    assert_eq!(service.post("/api/v1/migrations", &order("web.journal@5")).0, 202);
}
