//! Each rule of the checker, on histories that keep it and histories that break it.

#![cfg(test)]

use whimbrel_oracle::{Actor, CopyId, End, Event, History, HostId, Part, Rule, StorageId, Writes, check};

const HERE: CopyId = CopyId(0);
const THERE: CopyId = CopyId(1);
const SHARED: StorageId = StorageId(0);

/// A history with an event a millisecond.
fn history(events: &[Event]) -> History {
    let mut history = History::new(Writes::WhileRunning);
    for (ms, event) in (0..).zip(events) {
        history.record(ms * 1_000_000, *event);
    }
    history
}

fn rules(events: &[Event]) -> Vec<Rule> {
    check(&history(events)).iter().map(|violation| violation.rule).collect()
}

fn created(copy: CopyId, host: u32, is_incoming: bool) -> Event {
    Event::Created { copy, host: HostId(host), storage: SHARED, is_incoming }
}

fn started(copy: CopyId, by: Actor) -> Event {
    Event::Started { copy, by }
}

fn stopped(copy: CopyId) -> Event {
    Event::Stopped { copy, by: Actor::Hypervisor }
}

fn received(part: Part) -> Event {
    Event::MemoryReceived { copy: THERE, from: HERE, part }
}

fn ended(copy: CopyId, by: Actor) -> Event {
    Event::Ended { copy, how: End::Destroyed, by }
}

/// A guest that ran here, was stopped, and whose memory is complete over there.
fn handed_over() -> Vec<Event> {
    vec![
        created(HERE, 0, false),
        started(HERE, Actor::Other),
        created(THERE, 1, true),
        stopped(HERE),
        received(Part::Whole),
    ]
}

/// The same, with more.
fn then(more: &[Event]) -> Vec<Event> {
    [handed_over(), more.to_vec()].concat()
}

#[test]
fn a_migration_that_works_breaks_nothing() {
    assert_eq!(rules(&then(&[started(THERE, Actor::Hypervisor), ended(HERE, Actor::Migration)])), []);
}

#[test]
fn a_stale_source_that_is_resumed_is_found_with_its_evidence() {
    let events = then(&[
        started(THERE, Actor::Hypervisor),
        Event::Ended { copy: THERE, how: End::PoweredOff, by: Actor::Guest },
        started(HERE, Actor::Migration),
    ]);
    let violations = check(&history(&events));
    assert_eq!(violations.len(), 1, "{violations:?}");
    let violation = violations[0];
    assert_eq!(
        (violation.rule, violation.by, violation.copy),
        (Rule::MemoryNotOlder, Actor::Migration, HERE)
    );
    assert!(violation.known_version < violation.storage_version);
    assert_eq!(violation.other, Some((THERE, 6_000_000)), "it wrote until it was off");
    assert_eq!(
        violation.to_string(),
        "at 7000000 ns the migration started copy 0 with memory older than its storage: its memory knows version 3, \
         its storage has version 5; copy 1 wrote last, at 6000000 ns"
    );
}

#[test]
fn a_source_is_resumed_rightly_when_the_other_copy_has_not_run() {
    assert_eq!(rules(&then(&[ended(THERE, Actor::Hypervisor), started(HERE, Actor::Migration)])), []);
    // Started and ended at one instant: it may have written.
    let mut history = history(&handed_over());
    for event in [started(THERE, Actor::Hypervisor), ended(THERE, Actor::Hypervisor)] {
        history.record(9_000_000, event);
    }
    history.record(10_000_000, started(HERE, Actor::Migration));
    assert_eq!(check(&history)[0].rule, Rule::MemoryNotOlder);
}

#[test]
fn a_stale_copy_stays_stale_until_it_boots_again() {
    let stale = then(&[
        started(THERE, Actor::Hypervisor),
        Event::Ended { copy: THERE, how: End::PoweredOff, by: Actor::Guest },
        started(HERE, Actor::Other),
        stopped(HERE),
    ]);
    let again = [stale.clone(), vec![started(HERE, Actor::Migration)]].concat();
    assert_eq!(rules(&again), [Rule::MemoryNotOlder, Rule::MemoryNotOlder]);
    let booted = [stale, vec![Event::Rebooted { copy: HERE }, started(HERE, Actor::Migration)]].concat();
    assert_eq!(rules(&booted), [Rule::MemoryNotOlder]);
}

#[test]
fn two_copies_that_run_are_found() {
    let events = then(&[started(THERE, Actor::Hypervisor), started(HERE, Actor::Migration)]);
    let violations = check(&history(&events));
    assert_eq!(violations[0].rule, Rule::OneWriter);
    assert_eq!(violations[0].other.map(|(copy, _)| copy), Some(THERE));
    // It is stale as well: the other one has written.
    assert_eq!(violations[1].rule, Rule::MemoryNotOlder);
}

#[test]
fn copies_on_storage_of_their_own_may_both_run() {
    let elsewhere =
        Event::Created { copy: THERE, host: HostId(1), storage: StorageId(1), is_incoming: false };
    assert_eq!(
        rules(&[
            created(HERE, 0, false),
            started(HERE, Actor::Other),
            elsewhere,
            started(THERE, Actor::Other)
        ]),
        []
    );
}

#[test]
fn the_last_copy_is_kept() {
    assert_eq!(rules(&then(&[ended(HERE, Actor::Migration)])), [Rule::LastCopyKept]);
    assert_eq!(rules(&then(&[ended(HERE, Actor::Other)])), [], "it was not ours");
    // What is incoming may be ended by its hypervisor at any time; what was taken over is the guest.
    assert_eq!(rules(&then(&[Event::TakenOver { copy: THERE }, ended(HERE, Actor::Migration)])), []);
    // A guest that powered itself off needs no copy any more.
    let off = Event::Ended { copy: THERE, how: End::PoweredOff, by: Actor::Guest };
    assert_eq!(rules(&then(&[started(THERE, Actor::Hypervisor), off, ended(HERE, Actor::Migration)])), []);
}

#[test]
fn a_stale_copy_does_not_count_as_the_last_one() {
    let events = then(&[
        started(THERE, Actor::Hypervisor),
        stopped(THERE),
        // The source's copy is whole, and useless: this one is the guest.
        ended(THERE, Actor::Migration),
    ]);
    assert_eq!(rules(&events), [Rule::LastCopyKept]);
}

#[test]
fn both_halves_of_a_post_copy_are_kept_until_the_memory_is_complete() {
    let mut half = then(&[received(Part::Half), started(THERE, Actor::Hypervisor)]);
    // Only a part has arrived.
    half.remove(4);
    let ended_early = [half.clone(), vec![ended(HERE, Actor::Migration)]].concat();
    assert_eq!(rules(&ended_early), [Rule::LastCopyKept]);
    let complete = [half.clone(), vec![received(Part::Whole), ended(HERE, Actor::Migration)]].concat();
    assert_eq!(rules(&complete), []);
    let resumed = [half.clone(), vec![stopped(THERE), started(HERE, Actor::Migration)]].concat();
    assert_eq!(rules(&resumed), [Rule::MemoryNotOlder]);
    let without =
        [half, vec![stopped(THERE), ended(HERE, Actor::Other), started(THERE, Actor::Migration)]].concat();
    assert_eq!(rules(&without), [Rule::MemoryComplete]);
}

#[test]
fn a_copy_needs_memory_to_run() {
    let events = [created(HERE, 0, false), started(HERE, Actor::Other), created(THERE, 1, true)];
    let empty = [events.to_vec(), vec![stopped(HERE), started(THERE, Actor::Migration)]].concat();
    assert_eq!(rules(&empty), [Rule::MemoryComplete]);
}

#[test]
fn memory_that_was_copied_too_early_is_stale() {
    let events = [
        created(HERE, 0, false),
        started(HERE, Actor::Other),
        created(THERE, 1, true),
        received(Part::Whole),
        stopped(HERE),
        started(THERE, Actor::Hypervisor),
    ];
    assert_eq!(rules(&events), [Rule::MemoryNotOlder]);
}

#[test]
fn storage_that_was_copied_too_early_is_older_than_the_memory() {
    let copied = StorageId(1);
    let arrives = |mirrored_last: bool| {
        let mirrored = Event::Mirrored { to: copied, from: SHARED };
        let mut events = vec![
            created(HERE, 0, false),
            started(HERE, Actor::Other),
            Event::Created { copy: THERE, host: HostId(1), storage: copied, is_incoming: true },
            stopped(HERE),
            received(Part::Whole),
        ];
        events.insert(if mirrored_last { 4 } else { 3 }, mirrored);
        if !mirrored_last {
            // The guest runs on until after the mirror was cut off.
            events.swap(3, 2);
        }
        events.push(started(THERE, Actor::Hypervisor));
        rules(&events)
    };
    assert_eq!(arrives(true), []);
    assert_eq!(arrives(false), [Rule::StorageNotOlder]);
}

#[test]
fn a_cold_start_reads_what_is_there_and_may_still_be_a_second_writer() {
    let cold = [created(THERE, 1, false), started(THERE, Actor::Other)];
    let ran = [created(HERE, 0, false), started(HERE, Actor::Other)];
    let after = [ran.to_vec(), vec![ended(HERE, Actor::Other)], cold.to_vec()].concat();
    assert_eq!(rules(&after), []);
    assert_eq!(rules(&[ran, cold].concat()), [Rule::OneWriter]);
}

#[test]
fn recorded_writes_decide_where_they_are_known() {
    let run = |wrote: bool| {
        let mut history = History::new(Writes::Recorded);
        let mut events = then(&[started(THERE, Actor::Hypervisor)]);
        events.extend(wrote.then_some(Event::Wrote { copy: THERE }));
        events.extend([ended(THERE, Actor::Guest), started(HERE, Actor::Migration)]);
        for (ms, event) in (0..).zip(events) {
            history.record(ms, event);
        }
        check(&history).len()
    };
    assert_eq!((run(false), run(true)), (0, 1));
}

#[test]
fn a_history_that_contradicts_itself_is_named() {
    assert_eq!(rules(&[started(HERE, Actor::Other)]), [Rule::Consistent]);
    assert_eq!(rules(&[created(HERE, 0, false), created(HERE, 0, false)]), [Rule::Consistent]);
}
