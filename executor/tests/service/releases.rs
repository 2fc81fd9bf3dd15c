//! Stores that earlier releases wrote: this build opens them, reports the same of what has ended, and adopts what has not.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use crate::harness::{Folder, Service};

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures");

/// Every store, with the folder of its release and what that release reported of its migrations.
fn stores() -> Vec<(PathBuf, PathBuf, Vec<Value>)> {
    let mut stores = Vec::new();
    for release in fs::read_dir(FIXTURES).unwrap() {
        let release = release.unwrap().path();
        let expected: Value =
            serde_json::from_str(&fs::read_to_string(release.join("expected.json")).unwrap()).unwrap();
        for (name, migrations) in expected["stores"].as_object().unwrap() {
            stores.push((release.clone(), release.join(name), migrations.as_array().unwrap().clone()));
        }
    }
    stores
}

#[test]
fn every_store_is_opened_and_its_migrations_are_told_and_adopted() {
    let stores = stores();
    assert!(stores.len() >= 4);
    for (release, store, expected) in stores {
        let name = store.display();
        let folder = Folder::new();
        let copy = folder.path("store");
        fs::copy(&store, &copy).unwrap();
        let scenario = release.join("scenarios/plain.toml");
        // The guests are there, and no migration has begun in this world.
        let of_scenario = expected.iter().any(|one| one["guest"] == "wren");
        let world =
            if of_scenario { ["--sim-scenario", scenario.to_str().unwrap()] } else { ["--sim-guests", "4"] };
        let service = Service::start(&copy, &world);
        let (status, list) = service.get("/api/v1/migrations?limit=200");
        assert_eq!(
            (status, list["migrations"].as_array().map(Vec::len)),
            (200, Some(expected.len())),
            "{name}"
        );
        for one in &expected {
            let path = format!("/api/v1/migrations/{}", one["id"].as_str().unwrap());
            let now = service.wait(&path, |now| now["state"] != "running");
            assert_eq!(now["guest"], one["guest"], "{name}: {now}");
            if one["state"] == "running" {
                assert_eq!(now["trouble"], Value::Null, "{name}: {now}");
                assert!(now["outcome"]["guest"].is_string(), "{name}: {now}");
            } else {
                assert_eq!(now["state"], one["state"], "{name}: {now}");
                assert_eq!(now["trouble"], one["trouble"], "{name}: {now}");
                assert_eq!(now["outcome"]["ending"], one["ending"], "{name}: {now}");
                assert_eq!(now["outcome"]["guest"], one["whereabouts"], "{name}: {now}");
            }
            let (status, journal) = service.text("GET", &format!("{path}/journal"), &[], None);
            assert_eq!(status, 200, "{name}");
            assert!(journal.starts_with("{\"schema\":\"whimbrel.journal/"), "{name}");
        }
    }
}
