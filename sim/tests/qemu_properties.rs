//! What must hold of every simulated migration, whatever the guest, the limits and the caller's steps.

use std::num::NonZeroU64;

use proptest::prelude::*;
use whimbrel_sim::guest::{Guest, HOT_SHARE_ONE, Pace, Pattern, Writer};
use whimbrel_sim::qemu::{AutoConverge, Engine, Event, EventKind, SourceConfig, SourceMigration, Status};
use whimbrel_sim::random::Random;

const NS_PER_MS: u64 = 1_000_000;
const PAGE_ON_WIRE_BYTES: u64 = 4104;
const ZERO_PAGE_ON_WIRE_BYTES: u64 = 9;
/// A page, the longest block names and a section frame may cross the budget of a window.
const BUDGET_OVERRUN_BYTES: u64 = PAGE_ON_WIRE_BYTES + 7 + 77 + 18;
/// A migration that has not ended by then is taken for one that never does.
const PATIENCE_NS: u64 = 60_000 * NS_PER_MS;

#[derive(Clone, Debug)]
struct Case {
    engine: Engine,
    config: SourceConfig,
    guest: Guest,
    seed: u64,
}

impl Case {
    fn start(&self) -> SourceMigration {
        SourceMigration::start(self.engine, &self.config, self.guest.clone(), 0, Random::from_seed(self.seed))
    }

    fn reach_pages(&self) -> u64 {
        self.guest.writers.iter().map(Writer::reach_pages).max().unwrap_or(0)
    }
}

/// The first phase begins with the guest, so that most guests write while they are migrated.
fn paces() -> impl Strategy<Value = Pace> {
    let phase = (1..3000_u64, 0..60_000_u64);
    let phases = prop::collection::vec(phase, 1..4).prop_map(|drafts| {
        let mut next_ns = 0;
        let after = |(length_ms, writes_per_second): (u64, u64)| {
            let from_ns = next_ns;
            next_ns += length_ms * NS_PER_MS;
            (from_ns, writes_per_second)
        };
        Pace::phases(drafts.into_iter().map(after).collect::<Vec<_>>())
    });
    let bursts = (0..60_000_u64, 0..900_u64, 0..900_u64)
        .prop_map(|(rate, on_ms, off_ms)| Pace::bursts(rate, on_ms * NS_PER_MS, off_ms * NS_PER_MS));
    prop_oneof![(0..60_000_u64).prop_map(Pace::steady), phases, bursts]
}

fn patterns() -> impl Strategy<Value = Pattern> {
    let hot_cold = (1..500_u64, 0..=HOT_SHARE_ONE)
        .prop_map(|(hot_pages, hot_share)| Pattern::HotCold { hot_pages, hot_share });
    prop_oneof![
        Just(Pattern::Uniform),
        Just(Pattern::Sequential),
        (1..=8_u32).prop_map(|exponent| Pattern::PowerLaw { exponent }),
        (0..2000_u32).prop_map(|exponent_thousandths| Pattern::Zipf { exponent_thousandths }),
        hot_cold
    ]
}

fn writers() -> impl Strategy<Value = Writer> {
    (patterns(), paces(), 0..4000_u64, 1..12_000_u64, 0..20_000_u64, 0..30_u64).prop_map(
        |(pattern, pace, offset_pages, working_set_pages, moves_after, catches_up_ms)| Writer {
            pattern,
            offset_pages,
            working_set_pages,
            pace,
            moves_after_writes: NonZeroU64::new(moves_after),
            catches_up_ns: catches_up_ms * NS_PER_MS,
            top_writes_per_second: catches_up_ms * 10_000,
        },
    )
}

fn engines() -> impl Strategy<Value = Engine> {
    prop_oneof![2 => Just(Engine::Page), 1 => Just(Engine::Lumped), 1 => Just(Engine::Mean)]
}

fn cases() -> impl Strategy<Value = Case> {
    let writers = prop::collection::vec(writers(), 0..4);
    let guest = (1..48_u64, 0..4096_u64, 0..12_000_u64, 0..3000_u64, writers);
    let limits = (1..100_u64, 1..1000_u64, 1..200_u64, any::<bool>());
    (engines(), guest, limits, any::<u64>()).prop_map(|(engine, guest, limits, seed)| {
        let (memory_mib, region_first_page, filled_pages, ballooned_pages, writers) = guest;
        let (limit_mib, downtime_limit_ms, link_mib, auto_converge) = limits;
        let mut config = SourceConfig {
            max_bandwidth_bytes_per_second: limit_mib << 20,
            downtime_limit_ms,
            auto_converge: auto_converge.then(AutoConverge::default),
            ..SourceConfig::default()
        };
        config.host.link_bytes_per_second = link_mib << 20;
        let guest = Guest {
            memory_mib,
            region_first_page,
            filled_pages,
            ballooned_pages,
            balloon_is_hinted: auto_converge,
            writers,
            ..Guest::default()
        };
        Case { engine, config, guest, seed }
    })
}

/// Every event up to the time limit, the caller jumping there at once.
fn run(source: &mut SourceMigration) -> Vec<Event> {
    std::iter::from_fn(|| source.advance_to(PATIENCE_NS)).collect()
}

/// A hash that does not depend on the standard library's choice (FNV-1a).
fn hash(events: &[Event]) -> u64 {
    let text = format!("{events:?}");
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    /// Pages are neither lost nor invented, and the remaining memory rises at a sync and nowhere else.
    #[test]
    fn pages_are_conserved(case in cases()) {
        let mut source = case.start();
        let total_pages = source.statistics().memory.remaining_bytes / 4096;
        let (mut made_dirty, mut remaining_before) = (0, total_pages * 4096);
        while let Some(event) = source.advance_to(PATIENCE_NS) {
            let memory = source.statistics().memory;
            if let EventKind::SyncDone { newly_dirty_pages, remaining_bytes, .. } = event.kind {
                prop_assert!(newly_dirty_pages <= case.reach_pages());
                prop_assert_eq!(remaining_bytes, memory.remaining_bytes);
                made_dirty += newly_dirty_pages;
            } else {
                prop_assert!(memory.remaining_bytes <= remaining_before);
            }
            remaining_before = memory.remaining_bytes;
            let sent = memory.normal_pages + memory.zero_pages;
            prop_assert_eq!(memory.remaining_bytes / 4096, total_pages + made_dirty - sent);
        }
        let end = source.statistics();
        if end.status == Status::Completed {
            prop_assert_eq!(end.memory.remaining_bytes, 0);
            prop_assert!(end.memory.normal_pages + end.memory.zero_pages >= total_pages);
            prop_assert!(!source.guest_runs());
        }
    }

    /// Bytes are the exact sum of pages, headers, block names and end marks, and windows keep their budget.
    #[test]
    fn bytes_add_up(case in cases()) {
        let mut source = case.start();
        let budget_bytes = case.config.max_bandwidth_bytes_per_second / 10;
        for event in run(&mut source) {
            if let EventKind::WindowClosed { sent_bytes, .. } = event.kind {
                prop_assert!(sent_bytes <= budget_bytes + BUDGET_OVERRUN_BYTES);
            }
        }
        let end = source.statistics();
        if end.status == Status::Completed {
            let memory = end.memory;
            let pages_bytes = memory.normal_pages * PAGE_ON_WIRE_BYTES + memory.zero_pages * ZERO_PAGE_ON_WIRE_BYTES;
            let rest_bytes = memory.transferred_bytes - pages_bytes;
            // Both names once, perhaps the memory's again after the firmware, and 8 bytes a burst.
            prop_assert!([84, 91].iter().any(|names| rest_bytes > *names && (rest_bytes - names).is_multiple_of(8)));
        }
    }

    /// The same seed gives the same events, however the caller cuts time into steps.
    #[test]
    fn stepping_does_not_matter(case in cases(), step_ns in 1_000_u64..70_000_000) {
        let expected = run(&mut case.start());
        let mut source = case.start();
        let mut events = Vec::new();
        let mut now_ns = 0;
        while now_ns < PATIENCE_NS && source.next_event_at().is_some() {
            // Steps of a few microseconds are too many to take all the way; they grow.
            now_ns = (now_ns + step_ns + now_ns / 500).min(PATIENCE_NS);
            events.extend(std::iter::from_fn(|| source.advance_to(now_ns)));
        }
        prop_assert!(expected == events, "the events differ");
    }

    /// Windows that are not reported are passed over faster and change nothing, however time is cut into steps, and
    /// when limits change on the way.
    #[test]
    fn untold_windows_change_nothing(case in cases(), step_ms in 1_u64..900, other_mib in 1_u64..300) {
        let (mut told, mut untold) = (case.start(), case.start());
        let (mut expected, mut events) = (Vec::new(), Vec::new());
        for step in 0.. {
            let now_ns = (step * step_ms * NS_PER_MS).min(PATIENCE_NS);
            if step == 3 {
                told.set_max_bandwidth(other_mib << 20);
                untold.set_max_bandwidth(other_mib << 20);
            }
            expected.extend(std::iter::from_fn(|| told.advance_to(now_ns)));
            events.extend(std::iter::from_fn(|| untold.run_to(now_ns)));
            prop_assert_eq!(told.statistics(), untold.statistics());
            if now_ns == PATIENCE_NS {
                break;
            }
        }
        expected.retain(|event| !matches!(event.kind, EventKind::WindowClosed { .. }));
        prop_assert!(expected == events, "the events differ");
    }

    /// Stepping from one announced instant to the next meets every event at its own time.
    #[test]
    fn no_event_comes_unannounced(case in cases()) {
        let mut source = case.start();
        let mut events = Vec::new();
        while let Some(next_ns) = source.next_event_at().filter(|next_ns| *next_ns <= PATIENCE_NS) {
            let before_ns = source.now_ns();
            let event = source.advance_to(next_ns);
            prop_assert!(event.is_none_or(|event| event.at_ns == next_ns), "{:?} at {}", event, next_ns);
            prop_assert!(event.is_some() || next_ns > before_ns || source.next_event_at() != Some(next_ns));
            events.extend(event);
        }
        events.extend(run(&mut source));
        prop_assert!(run(&mut case.start()) == events, "the events differ");
    }

    /// A guest that writes nothing is always migrated, in three syncs, once nothing limits the link.
    #[test]
    fn an_idle_guest_completes(case in cases()) {
        let mut case = case;
        case.guest.writers.clear();
        case.config.max_bandwidth_bytes_per_second = 0;
        let mut source = case.start();
        run(&mut source);
        let end = source.statistics();
        prop_assert_eq!(end.status, Status::Completed);
        prop_assert!(end.memory.dirty_sync_count <= 3);
        prop_assert!(end.memory.normal_pages + end.memory.zero_pages <= end.memory.total_bytes / 4096);
    }

    /// A cancel at any instant before the end leaves the guest running here, also over a cut link.
    #[test]
    fn cancel_and_failure_leave_the_guest_here(
        case in cases(), at_ms in 0_u64..3000, cut: bool, fails: bool,
    ) {
        let mut source = case.start();
        while source.advance_to(at_ms * NS_PER_MS).is_some() {}
        if cut {
            source.set_link_bytes_per_second(0);
        }
        let ended = source.status() == Status::Completed;
        prop_assert_eq!(if fails { source.fail() } else { source.cancel() }, !ended);
        run(&mut source);
        let expected = match (ended, fails) {
            (true, _) => Status::Completed,
            (false, true) => Status::Failed,
            (false, false) => Status::Cancelled,
        };
        prop_assert_eq!(source.status(), expected);
        prop_assert_eq!(source.guest_runs(), !ended);
        prop_assert!(!source.cancel(), "an ended migration cannot be cancelled");
    }

    /// A cut link stalls a migration without loss; when it comes back everything arrives.
    #[test]
    fn a_cut_link_only_stalls(case in cases(), cut_ms in 0_u64..2000, gap_ms in 1_u64..5000) {
        let mut case = case;
        case.guest.writers.clear();
        case.config.max_bandwidth_bytes_per_second = 0;
        let mut source = case.start();
        while source.advance_to(cut_ms * NS_PER_MS).is_some() {}
        source.set_link_bytes_per_second(0);
        while source.advance_to((cut_ms + gap_ms) * NS_PER_MS).is_some() {}
        source.set_link_bytes_per_second(case.config.host.link_bytes_per_second);
        run(&mut source);
        prop_assert_eq!(source.status(), Status::Completed);
        prop_assert_eq!(source.statistics().memory.remaining_bytes, 0);
    }
}

fn busy_guest(writes_per_second: u64, paused: bool) -> Case {
    let guest = Guest {
        memory_mib: 128,
        region_first_page: 4096,
        filled_pages: 16_384,
        paused,
        writers: vec![Writer::steady(Pattern::Uniform, writes_per_second, 16_384)],
        ..Guest::default()
    };
    let config = SourceConfig { max_bandwidth_bytes_per_second: 50 << 20, ..SourceConfig::default() };
    Case { engine: Engine::Page, config, guest, seed: 11 }
}

/// The stream of events is a promise: a change here changes every recorded seed.
#[test]
fn the_events_of_a_seed_are_pinned() {
    let mut source = busy_guest(9_000, false).start();
    let events = run(&mut source);
    assert_eq!(source.status(), Status::Completed);
    assert_eq!((events.len(), hash(&events)), (30, 12_472_046_599_441_925_996));
}

#[test]
fn the_last_iteration_stops_the_guest_first() {
    let kinds: Vec<EventKind> =
        run(&mut busy_guest(3_000, false).start()).into_iter().map(|e| e.kind).collect();
    let [.., before, stop, last_sync, end] = kinds.as_slice() else { panic!("{kinds:?}") };
    assert!(matches!(before, EventKind::SyncDone { .. }));
    assert_eq!(*stop, EventKind::GuestStopped);
    assert!(matches!(last_sync, EventKind::SyncDone { .. }));
    assert_eq!(*end, EventKind::Completed);
}

#[test]
fn a_paused_guest_is_neither_stopped_nor_resumed() {
    let events = run(&mut busy_guest(60_000, true).start());
    assert!(events.iter().all(|event| event.kind != EventKind::GuestStopped));
    assert_eq!(events.last().unwrap().kind, EventKind::Completed);
    let mut source = busy_guest(60_000, true).start();
    assert!(source.cancel());
    assert_eq!(run(&mut source).last().unwrap().kind, EventKind::Cancelled { guest_resumed: false });
    assert!(!source.guest_runs());
}

/// A guest that never converges does once it is paused, or given more bandwidth or more downtime.
#[test]
fn live_changes_make_a_guest_converge() {
    let changes: [fn(&mut SourceMigration); 3] = [
        |source| source.set_guest_paused(true),
        |source| source.set_max_bandwidth(0),
        |source| source.set_downtime_limit_ms(30_000),
    ];
    for change in changes {
        let mut source = busy_guest(60_000, false).start();
        while source.advance_to(PATIENCE_NS).is_some() {}
        let statistics = source.statistics();
        assert_eq!(statistics.status, Status::Active);
        assert!(statistics.memory.dirty_rate_pages_per_second > 10_000);
        assert!(statistics.expected_downtime_ms.unwrap() > 300);
        change(&mut source);
        while source.advance_to(2 * PATIENCE_NS).is_some() {}
        assert_eq!(source.status(), Status::Completed);
    }
}

/// A cancel between the stop and the end is still in time, and starts the guest again where it was.
#[test]
fn a_cancel_in_the_last_pass_resumes_the_guest() {
    let mut source = busy_guest(3_000, false).start();
    while source.advance_to(PATIENCE_NS).unwrap().kind != EventKind::GuestStopped {}
    assert!(!source.guest_runs());
    assert!(source.cancel());
    assert_eq!(source.status(), Status::Cancelling);
    assert_eq!(run(&mut source).last().unwrap().kind, EventKind::Cancelled { guest_resumed: true });
    assert!(source.guest_runs());
}

/// A link cut while the device state is sent delays the switchover until it is back.
#[test]
fn the_device_state_needs_the_link_too() {
    let case = busy_guest(0, false);
    let mut source = case.start();
    while source.advance_to(PATIENCE_NS).unwrap().kind != EventKind::GuestStopped {}
    let device_state_ns = case.config.host.device_state_ns;
    let cut_ns = source.now_ns() + device_state_ns / 2;
    while source.advance_to(cut_ns).is_some() {}
    source.set_link_bytes_per_second(0);
    assert_eq!((source.advance_to(cut_ns + 5000 * NS_PER_MS), source.next_event_at()), (None, None));
    source.set_link_bytes_per_second(case.config.host.link_bytes_per_second);
    let end = source.advance_to(PATIENCE_NS).unwrap();
    assert_eq!(end.kind, EventKind::Completed);
    assert_eq!(end.at_ns, cut_ns + 5000 * NS_PER_MS + device_state_ns);
}

/// Without a limit nothing ends a burst but its 50 ms, so windows still close in time on a slow link.
#[test]
fn a_burst_gives_way() {
    let mut case = busy_guest(0, false);
    case.config.max_bandwidth_bytes_per_second = 0;
    case.config.host.link_bytes_per_second = 10 << 20;
    let events = run(&mut case.start());
    let closed = events.iter().filter(|event| matches!(event.kind, EventKind::WindowClosed { .. }));
    let closed_ms: Vec<u64> = closed.map(|event| event.at_ns / NS_PER_MS).collect();
    assert!(closed_ms.len() > 40);
    // Two bursts a window, each late by at most 64 pages of 0.4 ms.
    assert!(closed_ms.array_windows().all(|[a, b]| (100..=152).contains(&(b - a))), "{closed_ms:?}");
}

/// A guest that writes as fast as it can is slowed until it converges; one that catches up is not slowed at all, and
/// the throttle goes to its end for nothing.
#[test]
fn auto_converge_slows_only_what_cannot_catch_up() {
    for (catches_up_ns, expected) in [(0, Status::Completed), (u64::MAX, Status::Active)] {
        let mut case = busy_guest(0, false);
        case.config.auto_converge = Some(AutoConverge::default());
        case.guest.writers =
            vec![Writer { catches_up_ns, ..Writer::steady(Pattern::Uniform, 30_000, 16_384) }];
        let mut source = case.start();
        let mut steps = Vec::new();
        while source.advance_to(PATIENCE_NS).is_some() {
            steps.extend(source.statistics().throttle_percent);
        }
        steps.dedup();
        assert_eq!(source.status(), expected, "{steps:?}");
        assert!(steps.starts_with(&[20, 30, 40]) && steps.is_sorted(), "{steps:?}");
        assert_eq!(steps.contains(&99), expected == Status::Active, "{steps:?}");
        assert_eq!(source.statistics().throttle_percent.is_some(), expected == Status::Active);
        case.config.auto_converge = None;
        let mut source = case.start();
        run(&mut source);
        assert_eq!(source.status(), Status::Active);
    }
}
