//! How the service does under load: bounded, on loopback, and run by name only, since it needs the whole machine.
//!
//! `cargo xtask load` runs it on a release build. It prints its figures beside what they are to reach; a figure that misses
//! fails nothing, because times depend on the machine.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::{Folder, Service, events, world};
use crate::kills::{KILLS, adopt_a_hundred, over_kills};
use crate::tap::{Said, now_us, tap};

const MIGRATIONS: usize = 100;
const CLIENTS: usize = 200;
const ASKED: usize = 2_000;
/// What is to be reached.
const MOST_API_US: u64 = 20_000;
const MOST_EVENT_US: u64 = 100_000;
const MOST_RESTART_MS: u64 = 1_000;

/// An event that a client received: the migration, the event's time in it, and when it came, in µs since 1970.
type Told = (usize, u64, u64);

#[test]
#[ignore = "measures, so it wants the machine for itself: cargo xtask load"]
fn load() {
    let (latencies, delays) = busy_service();
    let restart_ms = u64::try_from(adopt_a_hundred().as_millis()).unwrap();
    let over = over_kills(KILLS);
    let figure = |sorted: &[u64], most: u64| {
        let p99 = quantile(sorted, 99);
        json!({"count": sorted.len(), "p50": quantile(sorted, 50), "p99": p99, "most": most, "reached": p99 <= most})
    };
    let (lost, doubled) = (over.lost(), over.doubled());
    let figures = json!({
        "migrations": MIGRATIONS,
        "clients": CLIENTS,
        "service_cores": 1,
        "debug_build": cfg!(debug_assertions),
        "api_latency_us": figure(&latencies, MOST_API_US),
        "hypervisor_event_to_client_us": figure(&delays, MOST_EVENT_US),
        "restart_with_100_tasks_ms":
            {"value": restart_ms, "most": MOST_RESTART_MS, "reached": restart_ms <= MOST_RESTART_MS},
        "events_over_kills":
            {"kills": KILLS, "count": over.kept.len(), "lost": lost, "doubled": doubled, "reached": lost + doubled == 0},
    });
    println!("{figures:#}");
}

/// A hundred migrations on one core, with two hundred clients that follow them: how long answers took, and how long it was
/// from what a hypervisor said to a client. Both sorted, in µs.
fn busy_service() -> (Vec<u64>, Vec<u64>) {
    let folder = Folder::new();
    let (socket, tapped) = (folder.path("world"), folder.path("tapped"));
    // The hypervisors are not part of the service, so they are not on its core.
    let _world = world(&socket, &["--sim-guests", "100"]);
    let said = tap(socket, &tapped);
    let service =
        Service::start_on_one_core(&folder.path("store"), &["--sim-server", tapped.to_str().unwrap()]);
    for number in 1..=MIGRATIONS {
        let order = json!({"guest": guest(number), "destination": "sim://beta",
            "bandwidth_limit_bytes_per_second": 2 << 20});
        let (status, answer) = service.post("/api/v1/migrations", &order);
        assert_eq!(status, 202, "{answer}");
    }
    let told: Arc<Mutex<Vec<Told>>> = Arc::default();
    for client in 0..CLIENTS {
        let (address, told) = (service.address.clone(), Arc::clone(&told));
        let migration = client % MIGRATIONS + 1;
        thread::spawn(move || {
            events(&address, &format!("/api/v1/migrations/{migration}/events"), None, |_, data| {
                told.lock().unwrap().push((migration, data["at_ns"].as_u64().unwrap(), now_us()));
            });
        });
    }
    thread::sleep(Duration::from_secs(3));
    let began_us = now_us();
    let mut latencies = Vec::with_capacity(ASKED);
    for number in 0..ASKED {
        let path = format!("/api/v1/migrations/{}", number % MIGRATIONS + 1);
        let asked = Instant::now();
        let (status, _) = service.get(&path);
        latencies.push(u64::try_from(asked.elapsed().as_micros()).unwrap());
        assert_eq!(status, 200);
        thread::sleep(Duration::from_millis(5));
    }
    let told = told.lock().unwrap().clone();
    let mut delays = delays(&service, &said, &told, began_us);
    assert!(delays.len() > 5_000, "{} events came", delays.len());
    delays.sort_unstable();
    latencies.sort_unstable();
    (latencies, delays)
}

/// From a hypervisor's event to each client that received its result. Events from before a client connected reached it
/// late for that reason.
fn delays(service: &Service, said: &Said, told: &[Told], began_us: u64) -> Vec<u64> {
    let caused: Vec<HashMap<u64, u64>> = (1..=MIGRATIONS)
        .map(|number| causes(service, number, &said.lock().unwrap()[&guest(number)]))
        .collect();
    let delay = |(migration, at_ns, came_us): &Told| {
        let said_us = *caused[migration - 1].get(at_ns)?;
        (said_us > began_us).then(|| came_us.saturating_sub(said_us))
    };
    told.iter().filter_map(delay).collect()
}

/// The times of a migration's records, and when a hypervisor said what each holds. Words come in the order in which they were
/// said, so the n-th of the journal is the n-th that passed the tap.
fn causes(service: &Service, number: usize, said_us: &[u64]) -> HashMap<u64, u64> {
    let journal = service.text("GET", &format!("/api/v1/migrations/{number}/journal"), &[], None).1;
    let mut at = Vec::new();
    for line in journal.lines().skip(1) {
        let record: Value = serde_json::from_str(line).unwrap();
        let word = &record["input"]["hypervisor"];
        // The rules are asked in the service itself.
        if word.is_object() && word["answer"]["answer"]["verdict"].is_null() {
            at.push(record["at_ns"].as_u64().unwrap());
        }
    }
    assert!(at.len() <= said_us.len(), "{} words in the journal, {} said", at.len(), said_us.len());
    at.into_iter().zip(said_us.iter().copied()).collect()
}

fn guest(number: usize) -> String {
    format!("guest-{number:03}")
}

fn quantile(sorted: &[u64], percent: usize) -> u64 {
    sorted[(sorted.len() * percent).div_ceil(100) - 1]
}
