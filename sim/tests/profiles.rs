//! The profiles of QEMU and libvirt: each difference by a test that fails with the neighbouring profile.

#![cfg(test)]

use std::num::NonZeroU64;

use whimbrel_core::convergence::SyncKind;
use whimbrel_core::{Ending, GuestLocation, Outcome, Verdict};
use whimbrel_sim::guest::{Guest, Pattern, Writer};
use whimbrel_sim::qemu::{
    AutoConverge, Engine, EventKind, Postcopy, SourceConfig, SourceMigration, Statistics, Status,
};
use whimbrel_sim::random::Random;
use whimbrel_sim::versions::profiles::{
    Evidence, LIBVIRT, LIBVIRT_DIFFERENCES, Profile, QEMU, QEMU_DIFFERENCES,
};
use whimbrel_sim::versions::{Version, libvirt, qemu};
use whimbrel_sim::{Scenario, Simulation};

const NS_PER_MS: u64 = 1_000_000;
const MIB: u64 = 1 << 20;
const LONG_NS: u64 = 60_000 * NS_PER_MS;

fn version(text: &str) -> Version {
    text.parse().unwrap()
}

/// A guest of which `filled_mib` are content, with as many pages written uniformly.
fn guest(filled_mib: u64, writes_per_second: u64) -> Guest {
    let pages = filled_mib * 256;
    Guest {
        memory_mib: 256,
        region_first_page: 4096,
        filled_pages: pages,
        writers: vec![Writer::steady(Pattern::Uniform, writes_per_second, pages)],
        ..Guest::default()
    }
}

/// A migration at 50 MiB/s, from a QEMU of this version.
fn start(qemu: &str, guest: Guest, change: impl FnOnce(&mut SourceConfig)) -> SourceMigration {
    let mut config = SourceConfig {
        behaviour: qemu::behaviour(version(qemu)),
        max_bandwidth_bytes_per_second: 50 * MIB,
        ..SourceConfig::default()
    };
    change(&mut config);
    SourceMigration::start(Engine::Lumped, &config, guest, 0, Random::from_seed(7))
}

fn with_postcopy(config: &mut SourceConfig) {
    config.postcopy = Some(Postcopy::default());
}

/// The bytes that remain when the first window closes.
fn after_first_window(guest: Guest) -> u64 {
    let mut source = start("7.2", guest, |_| ());
    to(&mut source, |kind| matches!(kind, EventKind::WindowClosed { .. }));
    source.statistics().memory.remaining_bytes
}

/// Runs to an event, and returns those before it.
fn to(source: &mut SourceMigration, is_it: impl Fn(&EventKind) -> bool) -> Vec<EventKind> {
    let mut before = Vec::new();
    loop {
        let event = source.advance_to(LONG_NS).expect("the event comes");
        if is_it(&event.kind) {
            return before;
        }
        before.push(event.kind);
    }
}

fn syncs(events: &[EventKind]) -> usize {
    events.iter().filter(|kind| matches!(kind, EventKind::SyncDone { .. })).count()
}

/// With a threshold of just what remains after the first window: what remained when the guest was stopped, and the
/// syncs until then, that of the setup included.
fn at_threshold(qemu: &str) -> (u64, usize) {
    let remaining = after_first_window(guest(128, 0));
    let mut source = start(qemu, guest(128, 0), |config| {
        config.downtime_limit_ms = 1000;
        config.switchover_bandwidth_bytes_per_second = NonZeroU64::new(remaining);
    });
    let before = to(&mut source, |kind| matches!(kind, EventKind::GuestStopped));
    (source.statistics().memory.remaining_bytes, syncs(&before))
}

#[test]
fn a_copy_completes_at_the_threshold_from_10_1_on_and_after_a_sync_from_11_1_on() {
    let remaining = after_first_window(guest(128, 0));
    let (left, syncs) = at_threshold("10.0");
    assert!(left < remaining, "10.0 goes on until less remains");
    assert_eq!(syncs, 2);
    assert_eq!(at_threshold("10.1"), (remaining, 1), "the estimate alone decides");
    assert_eq!(at_threshold("11.1"), (remaining, 2));
}

#[test]
fn a_requested_switch_to_postcopy_precedes_completion_from_10_1_on() {
    let switches = |qemu| {
        let remaining = after_first_window(guest(128, 0));
        let mut source = start(qemu, guest(128, 0), |config| {
            with_postcopy(config);
            config.downtime_limit_ms = 2000;
            config.switchover_bandwidth_bytes_per_second = NonZeroU64::new(remaining);
        });
        to(&mut source, |kind| matches!(kind, EventKind::WindowClosed { .. }));
        assert!(source.start_postcopy());
        to(&mut source, |kind| *kind == EventKind::Completed).contains(&EventKind::PostcopyBegan)
    };
    assert_eq!(["7.2", "10.0", "10.1", "11.1"].map(switches), [false, false, true, true]);
}

/// The instants, in ms, of syncs within a pass, and whether each was announced, in 40 s at 5 MiB/s.
fn within_long_passes(qemu: &str) -> (Vec<u64>, Vec<bool>) {
    let mut source = start(qemu, guest(100, 20_000), |config| {
        config.max_bandwidth_bytes_per_second = 5 * MIB;
        let periodic_sync_ns = qemu::periodic_sync_ns(version(qemu));
        config.auto_converge = Some(AutoConverge { periodic_sync_ns, ..AutoConverge::default() });
    });
    let (mut at_ms, mut announcements) = (Vec::new(), Vec::new());
    while let Some(event) = source.advance_to(LONG_NS) {
        if let EventKind::SyncDone { announced, .. } = event.kind
            && source.statistics().memory.sync_kind == SyncKind::Within
        {
            at_ms.push(event.at_ns / NS_PER_MS);
            announcements.push(announced);
        }
    }
    (at_ms, announcements)
}

#[test]
fn with_auto_converge_the_bitmap_is_read_every_5_s_after_the_first_pass_from_9_2_on() {
    assert!(within_long_passes("7.2").0.is_empty());
    let (at_ms, announced) = within_long_passes("9.2");
    // The first pass takes 20 s; the tick after it finds a new count, the next one the same.
    assert!(at_ms.len() >= 6 && at_ms[0] >= 25_000, "{at_ms:?}");
    assert!(at_ms.windows(2).all(|two| two[1] - two[0] >= 4_800), "{at_ms:?}");
    assert!(announced.iter().all(|announced| *announced));
    let (_, announced) = within_long_passes("11.1");
    assert!(announced.len() >= 6 && !announced.contains(&true), "the loop's own syncs alone are announced");
}

/// Iterations, and the kind of the last, after a second of a first pass.
fn after_a_second(qemu: &str, postcopy: bool) -> (u64, SyncKind) {
    let mut source = start(qemu, guest(128, 20_000), |config| {
        if postcopy {
            with_postcopy(config);
        }
    });
    while source.advance_to(1000 * NS_PER_MS).is_some() {}
    let memory = source.statistics().memory;
    assert!(memory.remaining_bytes > 60 * MIB, "it is the first pass");
    (memory.dirty_sync_count, memory.sync_kind)
}

#[test]
fn with_postcopy_allowed_the_bitmap_is_read_ten_times_a_second_from_11_1_on() {
    for qemu in ["5.2", "7.2", "10.1", "11.0"] {
        assert_eq!(after_a_second(qemu, true), (1, SyncKind::Unknown), "{qemu}");
    }
    let (syncs, kind) = after_a_second("11.1", true);
    assert!((10..=13).contains(&syncs), "{syncs}");
    assert_eq!(kind, SyncKind::Within);
    assert_eq!(after_a_second("11.1", false), (1, SyncKind::Unknown));
}

#[test]
fn each_sync_costs_its_time() {
    let sent = |sync_ms: u64| {
        let mut source = start("11.1", guest(128, 0), |config| {
            with_postcopy(config);
            config.max_bandwidth_bytes_per_second = 0;
            config.host.sync_fixed_ns = sync_ms * NS_PER_MS;
        });
        while source.advance_to(90 * NS_PER_MS).is_some() {}
        source.statistics().memory.transferred_bytes
    };
    assert!(sent(20) < sent(0) / 10 * 9, "a burst of 50 ms waits 20 ms for its sync");
}

#[test]
fn only_the_loops_syncs_are_counted_and_announced_from_11_1_on() {
    let counts = |qemu| {
        let mut source = start(qemu, guest(16, 0), |_| ());
        let mut announcements = Vec::new();
        while let Some(event) = source.advance_to(LONG_NS) {
            if let EventKind::SyncDone { announced, iteration, .. } = event.kind {
                announcements.push((iteration, announced));
            }
        }
        announcements
    };
    assert_eq!(counts("10.1"), [(1, true), (2, true), (3, true)]);
    assert_eq!(counts("11.1"), [(1, false), (2, true), (2, false)], "the setup's is the first");
}

/// The states that are shown, one after the other.
fn states(source: &mut SourceMigration) -> Vec<Status> {
    let mut states = vec![source.status()];
    let mut now_ns = source.now_ns();
    while states.last() != Some(&Status::Completed) && now_ns < LONG_NS {
        now_ns += NS_PER_MS / 10;
        while source.advance_to(now_ns).is_some() {}
        if states.last() != Some(&source.status()) {
            states.push(source.status());
        }
    }
    states
}

#[test]
fn the_state_device_is_shown_in_every_switchover_from_10_0_on() {
    let states = |qemu| states(&mut start(qemu, guest(16, 2_000), |_| ()));
    assert_eq!(states("9.2"), [Status::Setup, Status::Active, Status::Completed]);
    assert_eq!(states("10.0"), [Status::Setup, Status::Active, Status::Device, Status::Completed]);
}

#[test]
fn a_switch_to_postcopy_has_the_states_of_its_version() {
    let states = |qemu| {
        let mut source = start(qemu, guest(64, 20_000), with_postcopy);
        while source.advance_to(300 * NS_PER_MS).is_some() {}
        assert!(source.start_postcopy());
        states(&mut source)
    };
    let [active, device, loading] = [Status::Active, Status::Device, Status::PostcopyDevice];
    let after = [Status::PostcopyActive, Status::Completed];
    assert_eq!(states("7.2"), [&[active][..], &after].concat());
    assert_eq!(states("10.1"), [&[active, device][..], &after].concat());
    assert_eq!(states("11.1"), [&[active, device, loading][..], &after].concat());
}

/// A switch to post-copy, run until a state is shown.
fn until_state(qemu: &str, state: Status) -> SourceMigration {
    let mut source = start(qemu, guest(64, 20_000), with_postcopy);
    while source.advance_to(300 * NS_PER_MS).is_some() {}
    assert!(source.start_postcopy());
    while source.status() != state {
        let next_ns = source.now_ns() + NS_PER_MS / 10;
        while source.advance_to(next_ns).is_some() {}
    }
    source
}

#[test]
fn while_the_destination_loads_the_device_state_the_guest_is_the_sources() {
    let mut loading = until_state("11.1", Status::PostcopyDevice);
    assert!(!loading.guest_runs() && !loading.cancel());
    assert!(loading.statistics().downtime_ms.is_some(), "for the source the downtime is over");
    assert!(loading.fail());
    to(&mut loading, |kind| *kind == EventKind::Failed { guest_resumed: true });
    assert!(loading.guest_runs());
    // The same loss in a version without the state pauses a post-copy that cannot be undone.
    let mut active = until_state("10.1", Status::PostcopyActive);
    assert!(active.fail());
    to(&mut active, |kind| *kind == EventKind::PostcopyPaused);
    assert!(!active.guest_runs());
}

#[test]
fn a_copy_that_failed_is_failing_until_the_guest_runs_again_from_11_0_on() {
    let after_loss = |qemu| {
        let mut source = start(qemu, guest(16, 2_000), |_| ());
        to(&mut source, |kind| *kind == EventKind::GuestStopped);
        assert!(source.fail());
        while source.status() == Status::Active || source.status() == Status::Device {
            let next_ns = source.now_ns() + NS_PER_MS / 20;
            while source.advance_to(next_ns).is_some() {}
        }
        let then = (source.status(), source.guest_runs());
        while source.advance_to(LONG_NS).is_some() {}
        assert_eq!((source.status(), source.guest_runs()), (Status::Failed, true));
        then
    };
    assert_eq!(after_loss("10.1"), (Status::Failed, true));
    assert_eq!(after_loss("11.0"), (Status::Failing, false));
}

/// Statistics half a second after the start of a migration whose passes are short: no dirty rate is known yet.
fn early(qemu: &str) -> Statistics {
    let mut source = start(qemu, guest(16, 60_000), |config| config.downtime_limit_ms = 50);
    while source.advance_to(650 * NS_PER_MS).is_some() {}
    let statistics = source.statistics();
    assert!(statistics.status == Status::Active && statistics.memory.dirty_sync_count > 1);
    assert_eq!(statistics.memory.dirty_rate_pages_per_second, 0);
    statistics
}

#[test]
fn the_expected_downtime_is_computed_on_query_from_11_1_on() {
    assert_eq!(early("10.1").expected_downtime_ms, Some(50), "the limit, until a dirty rate is known");
    let computed = early("11.1").expected_downtime_ms.unwrap();
    assert!((100..=400).contains(&computed), "{computed}");
}

#[test]
fn the_remaining_bytes_of_everything_are_reported_from_11_1_on() {
    assert_eq!(early("10.1").remaining_of_all_bytes, None);
    let statistics = early("11.1");
    assert_eq!(statistics.remaining_of_all_bytes, Some(statistics.memory.remaining_bytes));
}

/// How a scenario ends, with hosts of these versions.
fn outcome(text: &str, libvirt: &str, qemu: &str) -> Outcome {
    let mut scenario = Scenario::parse(text, "test.toml").unwrap_or_else(|error| panic!("{error}"));
    for host in [&mut scenario.source, &mut scenario.destination] {
        (host.libvirt, host.qemu) = (version(libvirt), version(qemu));
    }
    let mut simulation = Simulation::new(&scenario, scenario.conditions(), |_| Verdict::default()).unwrap();
    simulation.run(|| None, |_, _, _| ()).unwrap();
    simulation.migration().view().outcome.unwrap().clone()
}

/// A migration with these keys is refused with a word by one version, and completes with the next.
fn is_refused_before(keys: &str, word: &str, before: &str, since: &str) {
    let text = format!(
        "name = \"test\"\n\
         [guest]\nname = \"wren\"\nmemory_mib = 128\nworking_set_mib = 32\nwrites_per_second = 100\n\
         [link]\nbandwidth_mib_per_second = 100\n[migration]\n{keys}\n\
         [expect]\nresult = \"completed\"\nguest_on = \"destination\"\n"
    );
    let refused = outcome(&text, "11.3.0", before);
    assert_eq!(refused.guest, GuestLocation::SourceRunning);
    assert!(refused.failure.unwrap().message.contains(word));
    assert_eq!(outcome(&text, "11.3.0", since).ending, Ending::Completed);
}

#[test]
fn multifd_and_postcopy_go_together_from_10_1_on() {
    is_refused_before("postcopy = true\nparallel_connections = 2", "multifd", "10.0.13", "10.1.0");
}

#[test]
fn features_are_refused_by_versions_without_them() {
    is_refused_before("postcopy = true\npostcopy_preempt = true", "postcopy-preempt", "5.2.0", "7.2.0");
    is_refused_before("dirty_limit_mib_per_second = 20", "dirty-limit", "7.2.22", "9.2.0");
}

const BROKEN: &str = include_str!("../scenarios/faults/postcopy-stream-breaks.toml");

#[test]
fn a_broken_postcopy_is_resumed_from_libvirt_8_5_on() {
    assert_eq!(outcome(BROKEN, "9.0.0", "7.2.22").ending, Ending::Completed);
    // libvirt 7.0 reports the post-copy as running for ever: the operator cancels nothing, and nothing ends.
    let text = BROKEN.replace(
        "[expect]",
        "[[fault]]\nat = \"postcopy\"\nafter_ms = 30000\ndo = \"kill-source-guest\"\n[expect]",
    );
    let never = outcome(&text, "7.0.0", "5.2.0");
    assert_ne!(never.ending, Ending::Completed);
    assert!(never.total_ms >= 30_000, "{never:?}");
    assert_eq!(outcome(&text, "9.0.0", "5.2.0").ending, Ending::Completed);
}

#[test]
fn resuming_a_postcopy_ends_a_destination_daemon_of_11_2_and_11_3() {
    let ending = |libvirt| outcome(BROKEN, libvirt, "10.0.13").ending;
    assert_eq!(ending("11.3.0"), Ending::InDoubt);
    assert_eq!(["11.1.0", "11.4.0", "12.9.0"].map(ending), [Ending::Completed; 3]);
}

/// Whether a version differs in this way.
type Has = Box<dyn Fn(Version) -> bool>;

/// The table of a document: a row for each difference, a column for each profile.
fn table(profiles: &[Profile], rows: &[(&'static str, &'static str, Has)]) -> String {
    let short = |profile: &Profile| format!("{}.{}", profile.version.major, profile.version.minor);
    let heads: Vec<String> = profiles.iter().map(short).collect();
    let mut lines = vec![
        format!("| difference | {} | source |", heads.join(" | ")),
        format!("| --- | {} | --- |", vec!["---"; heads.len()].join(" | ")),
    ];
    for (name, source, has) in rows {
        let marks: Vec<&str> =
            profiles.iter().map(|profile| if has(profile.version) { "yes" } else { "" }).collect();
        lines.push(format!("| {name} | {} | {source} |", marks.join(" | ")));
    }
    let evidence: Vec<&str> = profiles.iter().map(|profile| profile.evidence.words()).collect();
    lines.push(format!("| **evidence** | {} | |", evidence.join(" | ")));
    lines.join("\n") + "\n"
}

#[test]
fn the_documentation_has_the_tables() {
    let of_qemu = QEMU_DIFFERENCES.map(|feature| {
        let has = move |version| qemu::offers(version, feature).is_offered();
        let source = qemu::offers(QEMU[0].version, feature).source;
        (feature.name(), source, Box::new(has) as Has)
    });
    let of_libvirt = LIBVIRT_DIFFERENCES.map(|feature| {
        let has = move |version| libvirt::offers(version, feature).is_offered();
        let source = libvirt::offers(LIBVIRT[0].version, feature).source;
        (feature.name(), source, Box::new(has) as Has)
    });
    let page = include_str!("../../docs/fidelity.md");
    for table in [table(&QEMU, &of_qemu), table(&LIBVIRT, &of_libvirt)] {
        assert!(page.contains(&table), "docs/fidelity.md lacks this table:\n{table}");
    }
}

#[test]
fn profiles_are_in_order_and_two_rest_on_source_reading() {
    assert!(QEMU.is_sorted_by_key(|profile| profile.version));
    assert!(LIBVIRT.is_sorted_by_key(|profile| profile.version));
    let by_reading: Vec<Version> = QEMU
        .iter()
        .filter(|profile| profile.evidence == Evidence::SourceReading)
        .map(|profile| profile.version)
        .collect();
    assert_eq!(by_reading, [version("9.2"), version("10.1")]);
    // No two neighbours are the same: a profile without a difference would be none.
    for two in QEMU.windows(2) {
        let differs = |feature: &qemu::Feature| {
            let offered = |profile: &Profile| qemu::offers(profile.version, *feature).is_offered();
            offered(&two[0]) != offered(&two[1])
        };
        assert!(QEMU_DIFFERENCES.iter().any(differs), "{} and {}", two[0].version, two[1].version);
    }
}
