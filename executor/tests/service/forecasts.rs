//! Forecasts: in a migration's document while memory is copied, and in its events, where they disturb nothing.

use serde_json::{Value, json};

use crate::harness::{Folder, Service};

const ONE: &str = "/api/v1/migrations/1";

/// Every event of the migration so far, from its history.
fn history(service: &Service) -> Vec<Value> {
    let (status, page) = service.get(&format!("{ONE}/history"));
    assert_eq!((status, &page["more"]), (200, &json!(false)), "{page}");
    page["events"].as_array().unwrap().iter().map(|event| event["event"].clone()).collect()
}

#[test]
fn a_forecast_is_in_the_document_and_in_the_events() {
    let folder = Folder::new();
    let store = folder.path("store");
    let mut service = Service::start(&store, &[]);
    // So slow that the first pass does not end before the cancel.
    let order = json!({"guest": "database", "destination": "sim://beta", "bandwidth_limit_bytes_per_second": 4 << 20});
    assert_eq!(service.post("/api/v1/migrations", &order).0, 202);
    let first = service.wait(ONE, |one| one["forecast"].is_object())["forecast"].clone();
    assert_eq!(first["verdict"]["kind"], "open", "{first}");
    assert_eq!(first["missing"], "first_pass");
    assert_eq!(first["as_is"], Value::Null, "nothing is known of what the guest dirties");
    assert!(first["conclusion"].as_str().unwrap().starts_with("forecast after the first pass"), "{first}");
    let postcopy =
        first["actions"].as_array().unwrap().iter().find(|one| one["action"] == "postcopy").unwrap();
    assert_eq!(postcopy["allowed"], false);
    assert!(postcopy["reason"].is_string());

    // An adjustment is answered although forecasts are among the events, and there is one with the new limit.
    let wanted = json!({"downtime_limit": {"ms": 777}});
    assert_eq!(service.post(&format!("{ONE}/reactions"), &wanted).0, 200);
    let second = service.wait(ONE, |one| one["forecast"]["numbers"]["downtime_limit_ms"] == 777);
    assert!(second["forecast"]["at"].as_u64() > first["at"].as_u64());

    assert_eq!(service.post(&format!("{ONE}/cancel"), &json!({})).0, 200);
    let ended = service.wait(ONE, |one| one["state"] == "cancelled");
    assert_eq!(ended["forecast"], Value::Null, "a copy that has ended has no forecast");
    let events = history(&service);
    let forecasts: Vec<&Value> =
        events.iter().filter_map(|event| event.get("forecast")).filter(|one| **one == first).collect();
    assert_eq!(forecasts.len(), 1, "each is an event, once");
    assert!(events.last().unwrap()["ended"].is_object(), "none after the end");
    let at: Vec<u64> = events.iter().filter_map(|event| event["forecast"]["at"].as_u64()).collect();
    assert!(at.windows(2).all(|pair| pair[1] - pair[0] >= 1_000_000_000), "at most one a second: {at:?}");

    // Another process of the service reads the same from its store.
    service.process.kill();
    let again = Service::start(&store, &[]);
    assert_eq!(history(&again), events);
    assert_eq!(again.get(ONE).1["account"]["phase"], "done");
}
