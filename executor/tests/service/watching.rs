//! The service as its operator sees it: metrics, and the log with its spans.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::harness::{Folder, Service};

const GUIDE: &str = include_str!("../../../docs/service.md");

#[test]
fn every_metric_is_documented_and_what_is_documented_is_there() {
    let folder = Folder::new();
    let service = Service::start(&folder.path("store"), &["--sim-speed", "4"]);
    // One that is refused has findings; one that runs has numbers, once they are measured.
    service.post("/api/v1/migrations", &json!({"guest": "web", "destination": "sim://alpha"}));
    service.wait("/api/v1/migrations/1", |one| one["state"] == "failed");
    service.post("/api/v1/migrations", &json!({"guest": "database", "destination": "sim://beta"}));
    service.wait("/api/v1/migrations/2", |one| {
        one["account"]["statistics"]["dirty_rate_pages_per_second"].is_u64()
    });
    let text = service.text("GET", "/metrics", &[], None).1;
    let mut there = BTreeSet::new();
    for line in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        let (name, kind) = line.split_once(' ').unwrap();
        there.insert(if kind == "counter" { format!("{name}_total") } else { name.to_owned() });
        assert!(text.contains(&format!("# HELP {name} ")), "{name} has no help");
    }
    let section = GUIDE.split("## Metrics").nth(1).unwrap().split("\n## ").next().unwrap();
    let names = section.split('`').skip(1).step_by(2).map(|word| word.split('{').next().unwrap().to_owned());
    let told: BTreeSet<_> = names.filter(|name| name.starts_with("whimbrel_")).collect();
    assert_eq!(there, told);
}

#[test]
fn each_migration_and_each_command_has_its_span() {
    let folder = Folder::new();
    let service = Service::start(&folder.path("store"), &["--sim-speed", "8", "--log-commands"]);
    service.post("/api/v1/migrations", &json!({"guest": "web", "destination": "sim://beta"}));
    service.wait("/api/v1/migrations/1", |one| one["state"] == "completed");
    let journal = service.text("GET", "/api/v1/migrations/1/journal", &[], None).1;
    // Every command that was answered, by its number.
    let answered = |line: &str| -> Option<u64> {
        let record: Value = serde_json::from_str(line).unwrap();
        record["input"]["hypervisor"]["answer"]["to"].as_u64()
    };
    let answered: BTreeSet<_> = journal.lines().filter_map(answered).collect();
    assert!(answered.len() > 5, "{journal}");
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    loop {
        let log = service.log();
        let spans = log.lines().filter_map(|line| {
            let (_, command) = line.split_once("migration{id=1 guest=web}:command{id=")?;
            command.contains(": close").then(|| command.split(' ').next().unwrap().parse::<u64>().unwrap())
        });
        let closed: BTreeSet<_> = spans.collect();
        if answered.is_subset(&closed) && log.contains("action=\"StartMigration\"") {
            break;
        }
        assert!(std::time::Instant::now() < deadline, "{answered:?} were answered:\n{log}");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}
