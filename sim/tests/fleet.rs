//! Fleets from their files to their reports: what comes out, the same every time, with faults and with mistakes.

#![cfg(test)]

use whimbrel_core::{Cause, Ending};
use whimbrel_sim::fleet::{Fleet, FleetReport, LinkKind, Moved};
use whimbrel_sim::qemu::Engine;

const LARGE: &str = include_str!("../scenarios/fleets/evacuation.toml");

/// Six hosts with sixty guests, and two to four to take them in.
const SMALL: &str = r#"
name = "small"

[fleet]

[[fleet.hosts]]
name = "old"
count = 6
memory_mib = 65536
card_mib_per_second = 1190
uplink_mib_per_second = 2000

[[fleet.hosts]]
name = "new"
count = 4
memory_mib = 131072
card_mib_per_second = 2980

[[fleet.guests]]
name = "web"
count = 60
on = "old"
memory_mib = 2048
working_set_mib = 128
filled_mib = 1024
writes_per_second = 2000

[fleet.evacuation]
from = ["old"]
to = ["new"]
at_once = 12
at_once_per_source = 3
at_once_per_destination = 4
attempts = 3
"#;

fn parse(text: &str) -> Fleet {
    Fleet::parse(text, "fleet.toml").unwrap_or_else(|error| panic!("{error}"))
}

fn evacuate(text: &str) -> (FleetReport, Vec<Moved>) {
    let fleet = parse(text);
    let mut ended = Vec::new();
    let report = fleet.evacuate(Engine::Lumped, fleet.seed, |moved| ended.push(moved.clone())).unwrap();
    (report, ended)
}

fn fault(at_ms: u64, what: &str, host: &str) -> String {
    format!("[[fault]]\nat_ms = {at_ms}\ndo = \"{what}\"\nhost = \"{host}\"\n")
}

/// FNV-1a.
fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[test]
fn a_small_fleet_is_evacuated_and_reported() {
    let (report, ended) = evacuate(SMALL);
    assert_eq!((report.guests.moved, report.guests.all, report.migrations.completed), (60, 60, 60));
    assert!(report.incidents.is_empty() && report.causes.is_empty());
    assert_eq!((report.most_at_once.per_source, report.most_at_once.all), (3, 12));
    assert_eq!(report.makespan_ms, ended.iter().map(|moved| moved.ended_ns).max().unwrap() / 1_000_000);
    assert_eq!(report.sent_bytes, ended.iter().map(|moved| moved.sent_bytes).sum::<u64>());
    // A filled page at least once: 1 GiB each, and zero pages' marks beside.
    assert!((60 << 30..66 << 30).contains(&report.sent_bytes), "{}", report.sent_bytes);
    let uplink = report.links.iter().find(|link| link.link == LinkKind::UplinkOut).unwrap();
    assert!((850..=1_000).contains(&uplink.used_per_mille), "the uplink holds everybody up: {uplink:?}");
    assert!(
        report
            .links
            .iter()
            .all(|link| link.busiest_per_mille <= 1_000 && link.sent_bytes == report.sent_bytes)
    );
}

#[test]
fn the_same_fleet_and_seed_give_the_same_report_and_it_is_pinned() {
    let course = |seed| {
        let mut ended = Vec::new();
        let report = parse(SMALL).evacuate(Engine::Lumped, seed, |moved| ended.push(moved.clone())).unwrap();
        (serde_json::to_string(&report).unwrap(), ended)
    };
    let (report, ended) = course(1);
    assert_eq!((report.clone(), ended.clone()), course(1));
    assert_ne!(ended, course(2).1);
    assert_eq!(hash(&report), PINNED, "{report}");
}

const PINNED: u64 = 9_431_840_507_103_298_474;

#[test]
fn ten_thousand_guests_leave_a_hundred_hosts() {
    let fleet = parse(LARGE);
    let report = fleet.evacuate(Engine::Lumped, fleet.seed, |_| {}).unwrap();
    assert_eq!((report.guests.all, report.guests.moved), (10_000, 10_000));
    assert_eq!(fleet.expect.unmet(&report), [""; 0]);
    assert!(report.migrations.failed > 0, "the daemon that was dead for a while was noticed");
}

#[test]
fn a_destination_whose_daemon_dies_is_left_alone_and_its_guests_go_elsewhere() {
    let killed = format!("{SMALL}{}", fault(3_000, "kill-daemon", "new-2"));
    let (report, ended) = evacuate(&killed);
    assert!(report.incidents.is_empty());
    let failed: Vec<&Moved> =
        ended.iter().filter(|moved| moved.outcome.ending != Ending::Completed).collect();
    assert!(!failed.is_empty() && failed.iter().all(|moved| moved.to == "new-2"), "{failed:?}");
    assert!(failed.len() <= 8, "it is not tried again and again: {}", failed.len());
    // A guest on the way there may have a copy there, which cannot be observed: it is not sent elsewhere.
    let unsettled = failed.iter().filter(|moved| moved.outcome.unsettled.is_some()).count();
    assert_eq!((report.guests.moved, report.guests.stayed), (60 - unsettled as u64, unsettled as u64));

    let (report, ended) = evacuate(&format!("{killed}{}", fault(20_000, "start-daemon", "new-2")));
    assert_eq!((report.guests.moved, report.incidents.len()), (60, 0));
    let again: Vec<&Moved> = ended.iter().filter(|moved| moved.attempt > 1).collect();
    assert!(!again.is_empty() && again.iter().all(|moved| moved.to != "new-2"), "{again:?}");
}

#[test]
fn a_host_that_is_lost_takes_its_guests_with_it_and_nobody_elses() {
    let (report, ended) = evacuate(&format!("{SMALL}{}", fault(8_000, "lose-host", "new-1")));
    let there = ended.iter().filter(|moved| moved.to == "new-1" && moved.outcome.ending == Ending::Completed);
    assert!(
        report
            .incidents
            .iter()
            .all(|incident| (incident.kind, incident.initiator) == ("last_copy_gone", "fault"))
    );
    assert_eq!(report.incidents.len(), there.count());
    assert!(report.guests.moved + report.guests.in_doubt + report.guests.stayed == 60);
    assert!(parse(SMALL).expect.unmet(&report).iter().all(|unmet| unmet.contains("guests were moved")));
}

#[test]
fn a_source_that_is_silent_keeps_its_guests_and_holds_nobody_else_up() {
    let (report, ended) = evacuate(&format!("{SMALL}{}", fault(0, "silence-host", "old-3")));
    assert_eq!((report.guests.moved, report.guests.all), (50, 60));
    let of_silent = |moved: &&Moved| moved.from == "old-3";
    assert!(ended.iter().filter(of_silent).all(|moved| moved.outcome.cause == Some(Cause::FactsMissing)));
    let others = ended.iter().filter(|moved| !of_silent(moved));
    assert!(others.clone().all(|moved| moved.outcome.ending == Ending::Completed && moved.attempt == 1));
    assert!(others.into_iter().all(|moved| moved.ended_ns < 120_000_000_000));
}

#[test]
fn a_guest_that_never_converges_is_tried_as_often_as_allowed_and_stays() {
    let text =
        SMALL.replace("count = 60", "count = 2").replace("working_set_mib = 128", "working_set_mib = 1800");
    let text = text.replace("writes_per_second = 2000", "writes_per_second = 900000");
    let (report, ended) = evacuate(&format!("{text}[migration]\ntimeout_ms = 20000\n"));
    assert_eq!((report.guests.stayed, report.migrations.failed, ended.len()), (2, 6, 6));
    assert_eq!((report.causes[0].cause, report.causes[0].migrations), (Cause::TimedOut, 6));
    assert_eq!((report.total_ms, report.downtime_ms), (None, None));
    let forced = format!("{text}[migration]\ntimeout_ms = 20000\nat_timeout = \"postcopy\"\n");
    assert_eq!(evacuate(&forced).0.guests.moved, 2, "post-copy moves any guest");
}

#[test]
fn the_engines_agree_about_a_fleet() {
    let fleet = parse(&SMALL.replace("count = 60", "count = 12"));
    let makespan = |engine| fleet.evacuate(engine, 1, |_| {}).unwrap().makespan_ms;
    let lumped = makespan(Engine::Lumped);
    for engine in [Engine::Page, Engine::Mean] {
        assert!(makespan(engine).abs_diff(lumped) <= 200, "{engine}: {} and {lumped} ms", makespan(engine));
    }
}

#[test]
fn the_guides_fleet_ends_as_it_says() {
    let guide = include_str!("../../docs/fleets.md");
    let text = guide.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
    let (report, _) = evacuate(text);
    assert_eq!(parse(text).expect.unmet(&report), [""; 0], "{report:?}");
    assert!(report.migrations.failed > 0, "the fault is felt");
}

fn problems(text: &str) -> Vec<String> {
    let error = Fleet::parse(text, "fleet.toml").unwrap_err();
    error
        .problems()
        .iter()
        .map(|problem| format!("{}: {}; {}", problem.line, problem.message, problem.help))
        .collect()
}

#[test]
fn mistakes_are_told_with_their_place_and_remedy() {
    for (from, to, told) in [
        (
            "count = 60",
            "count = 600000",
            "`fleet.guests.count` is 600000; it must be a whole number from 1 to 100000",
        ),
        ("count = 60", "count = 900", "the hosts have memory for 192 of 900 `web`; allow more memory"),
        ("on = \"old\"", "on = \"olf\"", "no group of hosts is called `olf`; there are `old`, `new`"),
        ("to = [\"new\"]", "to = [\"old\"]", "`old` is emptied and takes guests in"),
        ("to = [\"new\"]", "to = \"new\"", "`fleet.evacuation.to` is a string; it must be a list of strings"),
        ("name = \"new\"", "name = \"old\"", "a second group `old` of `fleet.hosts`"),
        ("at_once = 12", "at_onc = 12", "did you mean `at_once`?"),
        ("attempts = 3", "attempts = 3\norder = \"largest\"", "did you mean `largest-first`?"),
        (
            "[fleet]\n",
            "[fleet]\nlatency_ms = 1\n",
            "unknown key `fleet.latency_ms`; did you mean `latency_us`?",
        ),
    ] {
        let all = problems(&SMALL.replacen(from, to, 1));
        assert!(all.iter().any(|problem| problem.contains(told)), "{told}: {all:?}");
    }
    let lonely = problems(&format!("{SMALL}{}", fault(0, "cut-link", "old-1")));
    assert!(lonely[0].contains("links, which have two ends"), "{lonely:?}");
    let unknown = problems(&format!("{SMALL}{}", fault(0, "lose-host", "old-7")));
    assert_eq!(unknown.len(), 1);
    assert!(unknown[0].contains("no host is called `old-7`"), "{unknown:?}");
    assert_eq!(problems("name = \"a\"\n[fleet]\n").len(), 3, "hosts, guests and an evacuation are missing");
    assert!(Fleet::is_described_by(SMALL) && !Fleet::is_described_by("[guest]\n"));
}
