//! A store that does not accept writes: migrations that run reach their end, none is begun, and nothing that was over is
//! ever begun again.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{Connection, Executor};
use tokio::runtime::Runtime;

use crate::harness::{Folder, Process, Service, events, world};

/// Another program that keeps the store locked, as a backup or `sqlite3` does.
struct Locked {
    runtime: Runtime,
    connection: SqliteConnection,
}

impl Locked {
    fn new(store: &Path) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let connection = runtime.block_on(async {
            let options = SqliteConnectOptions::new().filename(store).busy_timeout(Duration::from_mins(1));
            let mut connection = SqliteConnection::connect_with(&options).await.unwrap();
            connection.execute("BEGIN IMMEDIATE").await.unwrap();
            connection
        });
        Self { runtime, connection }
    }

    fn release(self) {
        let Self { runtime, mut connection } = self;
        runtime.block_on(async {
            connection.execute("ROLLBACK").await.unwrap();
            connection.close().await.unwrap();
        });
    }
}

fn change(store: &Path, statements: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let options = SqliteConnectOptions::new().filename(store);
        let mut connection = SqliteConnection::connect_with(&options).await.unwrap();
        sqlx::raw_sql(statements).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
    });
}

/// A world that outlives services, and a service with a migration whose copy is under way.
struct Stage {
    folder: Folder,
    _world: Process,
}

const ORDER: &str = "web";

impl Stage {
    fn new() -> Self {
        let folder = Folder::new();
        let world = world(&folder.path("world"), &[]);
        Self { folder, _world: world }
    }

    fn service(&self, more: &[&str]) -> Service {
        let world = self.folder.path("world");
        let mut arguments = vec!["--sim-server", world.to_str().unwrap()];
        arguments.extend(more);
        Service::start(&self.folder.path("store"), &arguments)
    }

    fn lock(&self) -> Locked {
        Locked::new(&self.folder.path("store"))
    }
}

/// Begins a migration, and waits until its copy is under way.
fn copying(service: &Service) {
    let order =
        json!({"guest": ORDER, "destination": "sim://beta", "bandwidth_limit_bytes_per_second": 150 << 20});
    let (status, answer) = service.post("/api/v1/migrations", &order);
    assert_eq!(status, 202, "{answer}");
    service.wait("/api/v1/migrations/1", |one| one["account"]["phase"] == "precopy");
}

fn host_of(service: &Service) -> Value {
    service.get(&format!("/api/v1/guests/{ORDER}")).1["host"].clone()
}

fn count_of_ends(service: &Service) -> usize {
    let mut ends = 0;
    events(&service.address, "/api/v1/migrations/1/events", None, |_, data| {
        ends += usize::from(data["event"]["ended"].is_object());
    });
    ends
}

#[test]
fn a_locked_store_gets_everything_once_it_is_released() {
    let stage = Stage::new();
    let mut service = stage.service(&[]);
    copying(&service);
    let locked = stage.lock();
    // Longer than a connection waits for another: that is when the writer learns of it.
    service.wait_for_log("the store does not accept writes");
    service.wait("/api/v1/migrations/1", |one| one["state"] == "completed");
    assert_eq!(host_of(&service), "sim://beta");
    let (status, problem) =
        service.post("/api/v1/migrations", &json!({"guest": "idle", "destination": "sim://beta"}));
    assert_eq!((status, &problem["code"]), (503, &json!("store.not-accepting")), "{problem}");
    let (_, metrics) = service.text("GET", "/metrics", &[], None);
    assert!(metrics.contains("whimbrel_store_accepts_writes 0"), "{metrics}");
    assert!(!metrics.contains("whimbrel_store_pending_writes 0\n"), "{metrics}");
    locked.release();
    service.wait_for_log("the store accepts writes again");
    // The events come from the store only.
    assert_eq!(count_of_ends(&service), 1);
    let log = service.log();
    assert_eq!(log.matches("the store does not accept writes").count(), 1, "{log}");
    assert_eq!(log.matches("the store accepts writes again").count(), 1, "{log}");
    service.process.kill();
    let service = stage.service(&[]);
    assert!(service.log().contains("; 0 migrations adopted"), "{}", service.log());
    let (_, one) = service.get("/api/v1/migrations/1");
    assert_eq!((&one["state"], &one["trouble"]), (&json!("completed"), &Value::Null), "{one}");
    assert_eq!(one["outcome"]["guest"], "destination_running");
    let (_, list) = service.get("/api/v1/migrations");
    assert_eq!(list["migrations"].as_array().unwrap().len(), 1, "what was refused was not begun: {list}");
    assert_eq!(host_of(&service), "sim://beta");
    let (_, journal) = service.text("GET", "/api/v1/migrations/1/journal", &[], None);
    assert!(
        whimbrel_core::journal::replay(&journal, |_, _, _| ()).unwrap().migration.view().outcome.is_some()
    );
}

#[test]
fn a_service_that_is_killed_while_its_store_is_locked_does_not_migrate_again() {
    let stage = Stage::new();
    let mut service = stage.service(&[]);
    copying(&service);
    let locked = stage.lock();
    service.wait("/api/v1/migrations/1", |one| one["state"] == "completed");
    assert_eq!(host_of(&service), "sim://beta");
    service.process.kill();
    locked.release();
    let service = stage.service(&[]);
    let one = service.wait("/api/v1/migrations/1", |one| one["state"] != "running");
    // The journal ends in the middle of the copy: both hosts are queried, and nothing is begun.
    assert_eq!(one["outcome"]["guest"], "destination_running", "{one}");
    assert_eq!(host_of(&service), "sim://beta");
    let (_, journal) = service.text("GET", "/api/v1/migrations/1/journal", &[], None);
    let mut calls = 0;
    let replayed = whimbrel_core::journal::replay(&journal, |_, _, outputs| {
        let is_call = |output: &whimbrel_core::Output| {
            matches!(output, whimbrel_core::Output::Command(command)
                if matches!(command.action, whimbrel_core::Action::StartMigration))
        };
        calls += outputs.iter().filter(|output| is_call(output)).count();
    });
    assert!(replayed.is_ok());
    assert_eq!(calls, 1, "the copy was begun once");
}

#[test]
fn a_service_that_is_stopped_while_its_store_is_locked_says_what_it_could_not_write() {
    let stage = Stage::new();
    let mut service = stage.service(&[]);
    copying(&service);
    let locked = stage.lock();
    service.wait_for_log("the store does not accept writes");
    assert_eq!(service.process.terminate().code(), Some(0));
    service.wait_for_log("the store did not accept what waits for it");
    locked.release();
    let service = stage.service(&[]);
    let one = service.wait("/api/v1/migrations/1", |one| one["state"] != "running");
    assert_eq!(one["outcome"]["guest"], "destination_running", "{one}");
}

#[test]
fn a_migration_that_has_no_end_on_record_is_not_driven_when_a_later_one_of_its_guest_was_begun() {
    let stage = Stage::new();
    let mut service = stage.service(&["--sim-speed", "20"]);
    for (number, destination) in [(1, "sim://beta"), (2, "sim://alpha")] {
        let (status, answer) =
            service.post("/api/v1/migrations", &json!({"guest": ORDER, "destination": destination}));
        assert_eq!(status, 202, "{answer}");
        let path = format!("/api/v1/migrations/{number}");
        service.wait(&path, |one| one["state"] == "completed");
        service.wait(&format!("/api/v1/guests/{ORDER}"), |guest| guest["migration"].is_null());
    }
    service.process.kill();
    // The records of the first broke off before its copy began, as they did in release 0.1.0 on a full disk.
    change(
        &stage.folder.path("store"),
        "UPDATE migration SET ended_at_ms = NULL, outcome = NULL WHERE id = 1; \
         DELETE FROM event WHERE migration = 1 AND number > 2; DELETE FROM record WHERE migration = 1 AND number > 2;",
    );
    let service = stage.service(&[]);
    let one = service.wait("/api/v1/migrations/1", |one| one["state"] != "running");
    assert_eq!((&one["state"], &one["outcome"]), (&json!("in_doubt"), &Value::Null), "{one}");
    assert!(one["trouble"].as_str().unwrap().starts_with("migration 2 of the same guest"), "{one}");
    assert_eq!(host_of(&service), "sim://alpha", "no one requested another migration");
    assert_eq!(service.get("/api/v1/migrations/2").1["state"], "completed");
}

#[test]
fn two_unfinished_migrations_of_a_guest_are_not_both_driven() {
    let stage = Stage::new();
    let mut service = stage.service(&[]);
    copying(&service);
    service.process.kill();
    // A migration of the same guest before it, whose end was not recorded.
    change(
        &stage.folder.path("store"),
        "PRAGMA foreign_keys = OFF; \
         INSERT INTO migration SELECT 2, spec, route, began_at_ms, asked_by, target_uri, NULL, NULL, NULL, NULL \
         FROM migration WHERE id = 1; \
         INSERT INTO record SELECT number + 1000, 2, line FROM record WHERE migration = 1;",
    );
    let service = stage.service(&[]);
    let (_, list) = service.get("/api/v1/migrations");
    let running: Vec<_> = list["migrations"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|one| one["state"] == "running")
        .map(|one| one["id"].clone())
        .collect();
    assert!(running == [json!("2")] || running.is_empty(), "{list}");
    let first = service.wait("/api/v1/migrations/1", |one| one["state"] != "running");
    assert!(first["trouble"].as_str().unwrap().starts_with("migration 2 of the same guest"), "{first}");
}
