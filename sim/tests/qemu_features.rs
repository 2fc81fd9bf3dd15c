//! QEMU's features beside plain pre-copy: what each of them does to a migration, and what it must never do.

use std::num::NonZeroU64;

use whimbrel_sim::guest::{Guest, Pattern, Writer};
use whimbrel_sim::qemu::{
    AutoConverge, Channels, DirtyLimit, Engine, EventKind, Postcopy, SourceConfig, SourceMigration,
    Statistics, Status, Xbzrle,
};
use whimbrel_sim::random::Random;

const NS_PER_MS: u64 = 1_000_000;
const MIB: u64 = 1 << 20;
/// A migration that has not ended by then is taken for one that never does.
const PATIENCE_NS: u64 = 60_000 * NS_PER_MS;
const ENGINES: [Engine; 3] = [Engine::Page, Engine::Lumped, Engine::Mean];

fn guest(writes_per_second: u64) -> Guest {
    Guest {
        memory_mib: 128,
        region_first_page: 4096,
        filled_pages: 16_384,
        writers: vec![Writer::steady(Pattern::Uniform, writes_per_second, 16_384)],
        ..Guest::default()
    }
}

fn config(change: impl FnOnce(&mut SourceConfig)) -> SourceConfig {
    let mut config = SourceConfig { max_bandwidth_bytes_per_second: 50 * MIB, ..SourceConfig::default() };
    change(&mut config);
    config
}

fn start(engine: Engine, config: &SourceConfig, guest: Guest) -> SourceMigration {
    SourceMigration::start(engine, config, guest, 0, Random::from_seed(5))
}

fn until(source: &mut SourceMigration, ns: u64) -> Vec<EventKind> {
    std::iter::from_fn(|| source.advance_to(ns)).map(|event| event.kind).collect()
}

fn run(engine: Engine, config: &SourceConfig, guest: Guest) -> Statistics {
    let mut source = start(engine, config, guest);
    until(&mut source, PATIENCE_NS);
    source.statistics()
}

fn with_postcopy(preempt: bool) -> SourceConfig {
    config(|config| config.postcopy = Some(Postcopy { preempt, ..Postcopy::default() }))
}

/// A guest that would never converge is over there within the time that its memory takes, and every page that was
/// dirty at the switch is sent just once after it.
#[test]
fn postcopy_ends_what_never_converges_and_sends_each_page_once() {
    for engine in ENGINES {
        let mut source = start(engine, &with_postcopy(false), guest(60_000));
        until(&mut source, 1000 * NS_PER_MS);
        assert!(source.start_postcopy());
        let mut sent_before = 0;
        let mut left_then = 0;
        while let Some(event) = source.advance_to(PATIENCE_NS) {
            let memory = source.statistics().memory;
            if event.kind == EventKind::PostcopyBegan {
                sent_before = memory.normal_pages + memory.zero_pages;
                left_then = memory.remaining_bytes / 4096;
                assert!(!source.guest_runs());
                assert_eq!(source.status(), Status::PostcopyActive);
            }
        }
        let end = source.statistics();
        assert_eq!(end.status, Status::Completed, "{engine}");
        assert_eq!(end.memory.normal_pages + end.memory.zero_pages, sent_before + left_then);
        assert!(end.elapsed_ms < 2000, "{engine}: {} ms", end.elapsed_ms);
        assert!(end.downtime_ms.unwrap() < 20, "{engine}: {:?}", end.downtime_ms);
        let waited = end.memory.postcopy_waited_ms;
        assert!(end.memory.postcopy_requests > 100 && waited > 20, "{engine}: {:?}", end.memory);
    }
}

/// The guest waits less when its requests overtake what is in the pipe.
#[test]
fn preemption_shortens_the_waiting() {
    let waited_for_each = |preempt| {
        let mut source = start(Engine::Lumped, &with_postcopy(preempt), guest(60_000));
        source.start_postcopy();
        until(&mut source, PATIENCE_NS);
        let memory = source.statistics().memory;
        memory.postcopy_waited_ms * 1000 / memory.postcopy_requests
    };
    assert!(2 * waited_for_each(true) < waited_for_each(false));
}

#[test]
fn after_the_switch_a_cancel_is_refused_and_a_lost_link_only_pauses() {
    for engine in ENGINES {
        let mut source = start(engine, &with_postcopy(false), guest(60_000));
        until(&mut source, 500 * NS_PER_MS);
        source.start_postcopy();
        while source.advance_to(PATIENCE_NS).unwrap().kind != EventKind::PostcopyBegan {}
        assert!(!source.cancel());
        source.set_link_bytes_per_second(0);
        assert!(source.fail());
        let cut_ns = source.now_ns() + 5000 * NS_PER_MS;
        assert_eq!(until(&mut source, cut_ns), [EventKind::PostcopyPaused]);
        assert_eq!((source.status(), source.next_event_at()), (Status::PostcopyPaused, None));
        assert!(!source.recover(), "the link is still cut");
        assert!(!source.cancel() && !source.fail(), "it is paused already");
        source.set_link_bytes_per_second(1_000_000_000);
        assert!(source.recover());
        assert_eq!(source.status(), Status::PostcopyRecover);
        let events = until(&mut source, PATIENCE_NS);
        assert_eq!(
            (events.first(), events.last()),
            (Some(&EventKind::PostcopyResumed), Some(&EventKind::Completed))
        );
        assert_eq!(source.statistics().memory.remaining_bytes, 0);
        assert!(!source.guest_runs(), "the source's copy never runs again");
    }
}

#[test]
fn postcopy_cannot_be_asked_for_where_it_was_not_set_up() {
    let mut source = start(Engine::Page, &config(|_| ()), guest(100));
    assert!(!source.start_postcopy());
    let mut source = start(Engine::Page, &with_postcopy(false), guest(100));
    until(&mut source, PATIENCE_NS);
    assert_eq!(source.status(), Status::Completed);
    assert!(!source.start_postcopy() && !source.recover());
}

#[test]
fn a_hand_over_that_waits_for_the_word_waits_with_the_guest_stopped() {
    let mut source = start(Engine::Page, &config(|config| config.pause_before_switchover = true), guest(500));
    let events = until(&mut source, 20_000 * NS_PER_MS);
    assert!(events.contains(&EventKind::PreSwitchover) && !events.contains(&EventKind::Completed));
    assert_eq!((source.status(), source.guest_runs()), (Status::PreSwitchover, false));
    let mut cancelled = source.clone();
    assert!(cancelled.cancel());
    assert_eq!(until(&mut cancelled, PATIENCE_NS), [EventKind::Cancelled { guest_resumed: true }]);
    assert!(source.continue_switchover() && !source.continue_switchover());
    assert_eq!(until(&mut source, PATIENCE_NS), [EventKind::Completed]);
    assert!(source.statistics().downtime_ms.unwrap() > 10_000, "it stood still all the while");
}

/// With a cache that holds the working set, pages that change a little cost next to nothing from the third time on; a
/// cache of a quarter saves a quarter. Pages that change throughout are sent whole, but for those that were sent after
/// they were written last: these are passed over whatever changed.
#[test]
fn differences_save_what_the_cache_holds() {
    let bytes_a_page = |cache_mib: u64, changed_bytes: u64| {
        let config = config(|config| {
            config.xbzrle = Some(Xbzrle { cache_bytes: cache_mib * MIB });
            config.downtime_limit_ms = 1;
        });
        let mut guest = guest(200_000);
        guest.content.changed_bytes = changed_bytes;
        let mut source = start(Engine::Page, &config, guest);
        until(&mut source, 8000 * NS_PER_MS);
        let before = source.statistics().memory;
        until(&mut source, 16_000 * NS_PER_MS);
        let after = source.statistics().memory;
        let pages = after.normal_pages + after.xbzrle_pages - before.normal_pages - before.xbzrle_pages;
        (after.transferred_bytes - before.transferred_bytes) / pages
    };
    assert!((20..60).contains(&bytes_a_page(64, 8)), "{}", bytes_a_page(64, 8));
    assert!((2900..3300).contains(&bytes_a_page(16, 8)), "{}", bytes_a_page(16, 8));
    assert!((3100..3400).contains(&bytes_a_page(64, 4096)), "{}", bytes_a_page(64, 4096));
}

/// Two channels with packets of 128 pages take as long as one stream, and as many pages.
#[test]
fn channels_change_little_where_one_stream_fills_the_limit() {
    let with = |channels| run(Engine::Lumped, &config(|config| config.channels = channels), guest(4000));
    let (one, two) = (with(None), with(Some(Channels::default())));
    assert_eq!((one.status, two.status), (Status::Completed, Status::Completed));
    assert!(one.elapsed_ms.abs_diff(two.elapsed_ms) < 40, "{} {}", one.elapsed_ms, two.elapsed_ms);
    assert!(one.memory.normal_pages.abs_diff(two.memory.normal_pages) < 400);
}

/// Without a limit it is the threads that bound the speed: four channels carry four times as much, as far as the link
/// goes; compression is bounded by the processor.
#[test]
fn channels_carry_more_where_the_link_allows() {
    let elapsed_ms = |channels: Option<Channels>| {
        let config = config(|config| {
            config.max_bandwidth_bytes_per_second = 0;
            config.host.link_bytes_per_second = 1_000_000_000;
            config.host.channel_bytes_per_second = 100_000_000;
            config.host.zero_copy_bytes_per_second = 200_000_000;
            config.host.zero_page_scan_ns = 0;
            config.channels = channels;
        });
        let mut guest = guest(0);
        guest.content.compressed_page_bytes = 1024;
        run(Engine::Mean, &config, guest).elapsed_ms
    };
    let channels = |count| Channels { count, ..Channels::default() };
    let [one, four, many] = [1, 4, 200].map(|count| elapsed_ms(Some(channels(count))));
    assert!((660..720).contains(&one) && (165..200).contains(&four), "{one} {four}");
    assert!((65..95).contains(&many), "{many}");
    let zero_copy = elapsed_ms(Some(Channels { zero_copy: true, ..channels(1) }));
    assert!((330..370).contains(&zero_copy), "{zero_copy}");
    let compressed = |ns| elapsed_ms(Some(Channels { compression_ns_per_page: Some(ns), ..channels(1) }));
    assert!((165..200).contains(&compressed(1000)), "{}", compressed(1000));
    assert!((820..870).contains(&compressed(50_000)), "{}", compressed(50_000));
}

/// From QEMU 9.2 on a long round is broken up once the guest is slowed, so that the throttle rises faster.
#[test]
fn a_forced_sync_breaks_up_long_rounds() {
    let steps = |periodic_sync_ns| {
        let config = config(|config| {
            config.max_bandwidth_bytes_per_second = 4 * MIB;
            config.auto_converge = Some(AutoConverge { periodic_sync_ns, ..AutoConverge::default() });
        });
        let mut source = start(Engine::Page, &config, guest(60_000));
        until(&mut source, PATIENCE_NS);
        let statistics = source.statistics();
        (statistics.memory.dirty_sync_count, statistics.throttle_percent)
    };
    let (syncs, throttle) = steps(None);
    let (more_syncs, more_throttle) = steps(NonZeroU64::new(5_000_000_000));
    assert!(
        more_syncs > syncs && more_throttle > throttle,
        "{syncs} {throttle:?} {more_syncs} {more_throttle:?}"
    );
}

/// A virtual CPU that may dirty 10 MiB/s and no more lets a link of 50 MiB/s catch up.
#[test]
fn a_dirty_limit_lets_the_copy_catch_up() {
    let with =
        |dirty_limit| run(Engine::Lumped, &config(|config| config.dirty_limit = dirty_limit), guest(60_000));
    assert_eq!(with(None).status, Status::Active);
    let limited = with(Some(DirtyLimit { vcpu_bytes_per_second: 10 * MIB, ..DirtyLimit::default() }));
    assert_eq!(limited.status, Status::Completed);
}

/// The switchover decision uses the configured bandwidth, not the measured one.
#[test]
fn a_promised_bandwidth_decides_the_hand_over() {
    let with = |promised| {
        let promise = |config: &mut SourceConfig| {
            config.switchover_bandwidth_bytes_per_second = NonZeroU64::new(promised);
        };
        run(Engine::Page, &config(promise), guest(60_000))
    };
    assert_eq!(with(0).status, Status::Active);
    let promised = with(1_000_000_000);
    assert_eq!(promised.status, Status::Completed);
    assert!(promised.elapsed_ms < 2000, "{} ms", promised.elapsed_ms);
}
