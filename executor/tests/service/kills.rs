//! The service is killed at any moment and started again. Migrations are adopted; no event is lost or delivered twice.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::{Folder, Process, Service, events, world};

/// Kills; the promise is kept over this many.
pub(crate) const KILLS: usize = 50;

/// A client that follows everything and comes back after each break. It keeps the events that it received, in order.
fn follower(address: Arc<Mutex<String>>, stop: Arc<AtomicBool>) -> thread::JoinHandle<Vec<(String, Value)>> {
    thread::spawn(move || {
        let mut told: Vec<(String, Value)> = Vec::new();
        while !stop.load(Ordering::SeqCst) {
            let last = told.last().map_or_else(|| "0.0".to_owned(), |(id, _)| id.clone());
            let now = address.lock().unwrap().clone();
            events(&now, "/api/v1/events", Some(&last), |id, data| told.push((id.to_owned(), data)));
            thread::sleep(Duration::from_millis(2));
        }
        told
    })
}

/// The events that a client received over kills of the service, and those that the service keeps; both in order.
pub(crate) struct OverKills {
    pub(crate) begun: usize,
    pub(crate) told: Vec<(String, Value)>,
    pub(crate) kept: Vec<(String, Value)>,
}

impl OverKills {
    /// Events that the client received more than once.
    pub(crate) fn doubled(&self) -> usize {
        self.told.len() - self.told.iter().map(|(id, _)| id).collect::<BTreeSet<_>>().len()
    }

    /// Events that the client did not receive.
    pub(crate) fn lost(&self) -> usize {
        let told: BTreeSet<_> = self.told.iter().map(|(id, _)| id).collect();
        self.kept.iter().filter(|(id, _)| !told.contains(id)).count()
    }
}

/// Kills a service at many moments of its migrations, which go to and fro, and follows all of them.
pub(crate) fn over_kills(kills: usize) -> OverKills {
    let folder = Folder::new();
    let socket = folder.path("world");
    let _world = world(&socket, &["--sim-guests", "8"]);
    let (store, socket) = (folder.path("store"), socket.to_str().unwrap().to_owned());
    let start = || Service::start(&store, &["--sim-server", &socket]);
    let mut service = start();
    let address = Arc::new(Mutex::new(service.address.clone()));
    let stop = Arc::new(AtomicBool::new(false));
    let client = follower(Arc::clone(&address), Arc::clone(&stop));
    let guests: Vec<_> = (1..=8).map(|number| format!("guest-{number:03}")).collect();
    let mut begun = 0;
    for kill in 0..kills {
        // As soon as all have arrived, they are sent back.
        let (_, list) = service.get("/api/v1/migrations?limit=8");
        let runs = |one: &Value| one["state"] == "running";
        if !list["migrations"].as_array().unwrap().iter().any(runs) {
            let (_, now) = service.get("/api/v1/guests");
            for guest in &guests {
                let mut all = now["guests"].as_array().unwrap().iter();
                let there = all.find(|one| one["name"] == guest.as_str()).unwrap();
                let destination = if there["host"] == "sim://alpha" { "sim://beta" } else { "sim://alpha" };
                let body = json!({"guest": guest, "destination": destination, "bandwidth_limit_bytes_per_second": 48 << 20});
                let (status, answer) = service.post("/api/v1/migrations", &body);
                assert_eq!(status, 202, "{answer}");
                begun += 1;
            }
        }
        // Each kill comes at another moment of the migrations.
        thread::sleep(Duration::from_millis(40 + (kill as u64 * 37) % 160));
        service.process.kill();
        service = start();
        address.lock().unwrap().clone_from(&service.address);
    }
    let list = service.wait("/api/v1/migrations?limit=200", |list| {
        let list = list["migrations"].as_array().unwrap();
        list.iter().all(|one| one["state"] != "running")
    });
    let list = list["migrations"].as_array().unwrap();
    assert_eq!(list.len(), begun);
    for one in list {
        // A kill may come when the call is on record and was not made yet. Both hosts are queried then, and that is reported.
        let never_made =
            one["outcome"]["cause"] == "reply_lost" && one["outcome"]["guest"] == "source_running";
        // On a busy machine it may come before anything was begun.
        let not_begun =
            one["outcome"]["cause"] == "driver_restarted" && one["outcome"]["guest"] == "untouched";
        assert!(one["state"] == "completed" || never_made || not_begun, "{one}");
        assert_eq!(one["trouble"], Value::Null, "{one}");
    }
    // The store holds, migration by migration, the events that the client received.
    let mut kept: Vec<(u64, u64, Value)> = Vec::new();
    for one in list {
        let path = format!("/api/v1/migrations/{}/events", one["id"].as_str().unwrap());
        events(&service.address, &path, None, |id, data| {
            let (number, place) = id.split_once('.').unwrap();
            kept.push((number.parse().unwrap(), place.parse().unwrap(), data));
        });
    }
    kept.sort_by_key(|(number, place, _)| (*number, *place));
    thread::sleep(Duration::from_millis(300));
    stop.store(true, Ordering::SeqCst);
    service.process.kill();
    let told = client.join().unwrap();
    let kept = kept.into_iter().map(|(number, place, data)| (format!("{number}.{place}"), data)).collect();
    OverKills { begun, told, kept }
}

#[test]
fn migrations_go_on_over_kills_and_a_client_counts_every_event_once() {
    let over = over_kills(KILLS);
    let OverKills { begun, told, kept } = &over;
    assert_eq!(over.doubled(), 0, "an event was delivered twice");
    assert!(kept.len() > begun * 8, "{} events of {begun} migrations", kept.len());
    assert_eq!(told, kept, "the client received other events than those that happened");
}

/// How long a service takes that is started again with a hundred tasks, until it listens with all of them adopted.
pub(crate) fn adopt_a_hundred() -> Duration {
    let folder = Folder::new();
    let socket = folder.path("world");
    let _world = world(&socket, &["--sim-guests", "100"]);
    let (store, socket) = (folder.path("store"), socket.to_str().unwrap().to_owned());
    let mut service = Service::start(&store, &["--sim-server", &socket]);
    for number in 1..=100 {
        let body = json!({"guest": format!("guest-{number:03}"), "destination": "sim://beta",
            "bandwidth_limit_bytes_per_second": 2 << 20});
        let (status, answer) = service.post("/api/v1/migrations", &body);
        assert_eq!(status, 202, "{answer}");
    }
    thread::sleep(Duration::from_secs(2));
    service.process.kill();
    let began = Instant::now();
    let service = Service::start(&store, &["--sim-server", &socket]);
    let took = began.elapsed();
    let (_, list) = service.get("/api/v1/migrations?limit=200");
    let running =
        list["migrations"].as_array().unwrap().iter().filter(|one| one["state"] == "running").count();
    assert_eq!(running, 100);
    took
}

#[test]
fn a_hundred_tasks_are_adopted_within_a_second() {
    let took = adopt_a_hundred();
    // A debug build on a shared machine; `cargo xtask load` holds a release build to one second.
    assert!(took < Duration::from_secs(5), "{took:?}");
    println!("100 tasks were adopted in {took:?}");
}

/// A migration that was killed while it copied, with this record of its journal torn, and the service that adopts it.
fn adopted_with_torn_record(number: i64) -> (Folder, Process, Service) {
    let folder = Folder::new();
    let socket = folder.path("world");
    let world = world(&socket, &[]);
    let (store, socket) = (folder.path("store"), socket.to_str().unwrap().to_owned());
    let mut service = Service::start(&store, &["--sim-server", &socket]);
    let (status, _) =
        service.post("/api/v1/migrations", &json!({"guest": "database", "destination": "sim://beta"}));
    assert_eq!(status, 202);
    service.wait("/api/v1/migrations/1", |one| one["account"]["phase"] == "precopy");
    service.process.kill();
    tear(&store, number);
    let service = Service::start(&store, &["--sim-server", &socket]);
    (folder, world, service)
}

#[test]
fn a_torn_record_is_named_and_its_migration_goes_on_by_what_can_be_read() {
    let (_folder, _world, service) = adopted_with_torn_record(3);
    service.wait_for_log("record 3");
    service.wait("/api/v1/migrations/1", |one| one["account"]["phase"] == "precopy");
    let (_, reply) = service.post("/api/v1/migrations/1/cancel", &json!({}));
    assert_eq!(reply["answer"], "cancelled", "{}", reply["description"]);
}

/// The second record has the facts, and with them the guest's UUID.
#[test]
fn a_migration_whose_guest_cannot_be_read_is_not_driven() {
    let (_folder, _world, service) = adopted_with_torn_record(2);
    let one = service.wait("/api/v1/migrations/1", |one| one["state"] == "in_doubt");
    let trouble = one["trouble"].as_str().unwrap();
    assert!(trouble.contains("the guest's UUID cannot be read"), "{trouble}");
}

/// Cuts a record in half, as a disk that lies would.
fn tear(store: &std::path::Path, number: i64) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        use sqlx::Connection as _;
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(store);
        let mut connection = sqlx::sqlite::SqliteConnection::connect_with(&options).await.unwrap();
        let text = "UPDATE record SET line = substr(line, 1, length(line) / 2) WHERE number = $1";
        sqlx::query(text).bind(number).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
    });
}
