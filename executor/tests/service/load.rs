//! How the service does under load: bounded, on loopback, and asked for by name since it takes a machine for itself.
//!
//! `cargo test --release -p whimbrel --test service -- --ignored --nocapture load`

use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::json;

use crate::harness::{Folder, Service, events, world};

const MIGRATIONS: usize = 100;
const CLIENTS: usize = 200;
const ASKED: usize = 1_000;

#[test]
#[ignore = "measures, so it wants the machine for itself"]
fn load_of_a_hundred_migrations_and_two_hundred_clients() {
    let folder = Folder::new();
    let socket = folder.path("world");
    // The hypervisors are not part of the service, so they are not on its core.
    let _world = world(&socket, &["--sim-guests", "100"]);
    let (store, socket) = (folder.path("store"), socket.to_str().unwrap().to_owned());
    let service = Service::start_on_one_core(&store, &["--sim-world", &socket]);
    let mut began_ms = Vec::new();
    for number in 1..=MIGRATIONS {
        let order = json!({"guest": format!("guest-{number:03}"), "destination": "sim://beta",
            "bandwidth_limit_bytes_per_second": 2 << 20});
        let (status, answer) = service.post("/api/v1/migrations", &order);
        assert_eq!(status, 202, "{answer}");
        began_ms.push(answer["began_at_ms"].as_u64().unwrap());
    }
    let delays = Arc::new(Mutex::new(Vec::new()));
    for client in 0..CLIENTS {
        let (address, delays) = (service.address.clone(), Arc::clone(&delays));
        let (migration, began_ms) = (client % MIGRATIONS + 1, began_ms[client % MIGRATIONS]);
        thread::spawn(move || {
            let listening_ms = now_ms();
            events(&address, &format!("/api/v1/migrations/{migration}/events"), None, |_, data| {
                let happened_ms = began_ms + data["at_ns"].as_u64().unwrap() / 1_000_000;
                // What happened before this client came was told late because the client was.
                if happened_ms > listening_ms + 1_000 {
                    delays.lock().unwrap().push(now_ms().saturating_sub(happened_ms));
                }
            });
        });
    }
    thread::sleep(Duration::from_secs(3));
    let mut latencies = Vec::with_capacity(ASKED);
    for number in 0..ASKED {
        let path = format!("/api/v1/migrations/{}", number % MIGRATIONS + 1);
        let asked = Instant::now();
        let (status, _) = service.get(&path);
        latencies.push(u64::try_from(asked.elapsed().as_micros()).unwrap());
        assert_eq!(status, 200);
        thread::sleep(Duration::from_millis(5));
    }
    let mut delays = delays.lock().unwrap().clone();
    delays.sort_unstable();
    latencies.sort_unstable();
    assert!(delays.len() > 5_000, "{} events came", delays.len());
    let quantile = |sorted: &[u64], percent: usize| sorted[(sorted.len() * percent).div_ceil(100) - 1];
    println!(
        "API latency: p50 {} µs, p99 {} µs; event to client: p50 {} ms, p99 {} ms over {} events",
        quantile(&latencies, 50),
        quantile(&latencies, 99),
        quantile(&delays, 50),
        quantile(&delays, 99),
        delays.len()
    );
}

fn now_ms() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}
