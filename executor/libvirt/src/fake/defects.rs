//! The shipped driver in situations in which one was found to be wrong, each by the situation's name.

use std::time::Duration;

use whimbrel_core::{Action, Adjustment, Ending, GuestLocation, Request, Side};
use whimbrel_drive::hosts::Route;
use whimbrel_sim::kit::TestGuest;
use whimbrel_sim::world::{Fault, ProcessState, ReplyBehavior, VirtualMachine};

use super::run::{Process, Run, end_all, in_postcopy, spec, uri};
use super::{Due, Fake, MS};
use crate::attempts::AT_ONCE;
use crate::workers::CALLS_MOST;
use crate::{JobOperation, JobStatistics, JobType};

const HOUR_MS: u64 = 3_600_000;

fn quiet(name: &str) -> VirtualMachine {
    TestGuest::new(name, 256).into()
}

/// A guest that writes as fast as its memory is sent: it stays in pre-copy.
fn busy(name: &str) -> VirtualMachine {
    TestGuest::new(name, 1024).writing(900, 2_000_000).into()
}

#[test]
fn a_migration_ends_at_the_destination_and_leaves_no_thread_and_no_tag() {
    let fake = Fake::new(1);
    let guest = fake.add_guest(fake.host("alpha"), quiet("web"));
    let mut run = Run::begin(&Process::new(&fake), spec("web"));
    let outcome = run.end(HOUR_MS);
    assert_eq!((outcome.ending, outcome.guest), (Ending::Completed, GuestLocation::DestinationRunning));
    assert_eq!(run.remarks, Vec::<String>::new());
    let inner = fake.inner();
    assert_eq!(inner.world.running_on(guest).collect::<Vec<_>>(), [inner.addresses["beta"]]);
    assert!(inner.metadata.is_empty());
    drop(inner);
    // Six lanes, two that connect, and the attempts of these.
    assert!(fake.log().threads_most <= 10, "{:?}", fake.log());
    run.finish();
}

#[test]
fn a_host_that_accepts_and_never_answers_costs_a_bounded_number_of_threads_and_sockets() {
    let fake = Fake::new(2);
    let (alpha, beta) = (fake.host("alpha"), fake.host("beta"));
    let process = Process::new(&fake);
    let names: Vec<String> = (0..6).map(|number| format!("web{number}")).collect();
    let mut runs: Vec<Run> = names
        .iter()
        .map(|name| {
            fake.add_guest(alpha, busy(name));
            Run::begin(&process, spec(name))
        })
        .collect();
    assert!(runs.iter_mut().all(|run| run.until(60_000, Run::is_copying)));
    // The destination stops answering, and every connection to it breaks: each migration queries it again and again.
    fake.inject(Fault::SetReplyBehavior(beta, ReplyBehavior { is_silent: true, ..ReplyBehavior::default() }));
    for run in &mut runs {
        run.ask(Request::Cancel);
    }
    end_all(&mut runs, HOUR_MS);
    let log = fake.log();
    assert!(log.connecting_most <= AT_ONCE, "{log:?}");
    assert!(log.threads_most <= AT_ONCE + runs.len() * 8, "{log:?}");
    // It answers again: it is found.
    fake.inject(Fault::SetReplyBehavior(beta, ReplyBehavior::default()));
    let uri =
        whimbrel_drive::uri::HostUri::parse(&uri("beta"), whimbrel_drive::uri::Origin::Operator).unwrap();
    fake.sleep(1_000 * MS);
    assert!(process.access.open(&uri).is_ok());
    for run in runs {
        run.finish();
    }
}

#[test]
fn the_definition_that_stays_is_the_destinations_own() {
    let fake = Fake::new(3);
    fake.add_guest(fake.host("alpha"), quiet("web"));
    let definition = "<domain type='kvm'><name>web</name><memory unit='MiB'>256</memory><vcpu>1</vcpu>\
                      <os><type arch='x86_64'>hvm</type></os></domain>";
    let spec = spec("web");
    let route = Route { no_probe: true, destination_xml: Some(definition.to_owned()), ..Route::of(&spec) };
    let mut run = Run::begin_route(&Process::new(&fake), spec, route);
    assert_eq!(run.end(HOUR_MS).ending, Ending::Completed);
    let [call] = fake.log().migrate_calls.try_into().unwrap();
    assert_eq!(call.destination_xml.as_deref(), Some(definition));
    assert_eq!(call.persistent_xml.as_deref(), Some(definition));
    run.finish();
}

#[test]
fn a_guest_without_a_definition_gets_none_by_the_call() {
    let fake = Fake::new(4);
    fake.add_guest(fake.host("alpha"), VirtualMachine { is_persistent: false, ..quiet("web") });
    let definition = "<domain type='kvm'><name>web</name></domain>".to_owned();
    let spec = spec("web");
    let route = Route { no_probe: true, destination_xml: Some(definition), ..Route::of(&spec) };
    let mut run = Run::begin_route(&Process::new(&fake), spec, route);
    assert_eq!(run.end(HOUR_MS).ending, Ending::Completed);
    assert_eq!(fake.log().migrate_calls[0].persistent_xml, None);
    run.finish();
}

#[test]
fn a_call_in_the_socket_of_a_killed_driver_begins_no_migration_behind_its_successor() {
    let fake = Fake::new(5);
    let alpha = fake.host("alpha");
    let guest = fake.add_guest(alpha, quiet("web"));
    let mut run = Run::begin(&Process::new(&fake), spec("web"));
    assert!(run.until(60_000, |run| run.commands.contains(&Action::StartMigration)));
    // The call leaves in the moment in which the network loses it: TCP sends it again 0.2, 0.6, 1.4 and 3 s later.
    assert!(run.until(60_000, Run::is_call_on_its_way));
    fake.inject(Fault::SetReplyBehavior(
        alpha,
        ReplyBehavior { is_silent: true, ..ReplyBehavior::default() },
    ));
    fake.plan(
        Duration::from_millis(1_600),
        Due::Fault(Fault::SetReplyBehavior(alpha, ReplyBehavior::default())),
    );
    let mut run = run.restart(1_700 * MS);
    let outcome = run.end(HOUR_MS);
    fake.sleep(60_000 * MS);
    let inner = fake.inner();
    let runs_on: Vec<_> = inner.world.running_on(guest).collect();
    let is_true = match outcome.guest {
        GuestLocation::SourceRunning => runs_on == [alpha],
        GuestLocation::DestinationRunning => runs_on != [alpha],
        _ => outcome.ending == Ending::InDoubt,
    };
    assert!(is_true, "reported {outcome:?}, and the guest runs on {runs_on:?}");
    drop(inner);
    run.finish();
}

#[test]
fn more_migrations_than_a_daemon_has_workers_wait_here_and_all_of_them_end() {
    let fake = Fake::new(6);
    let alpha = fake.host("alpha");
    let process = Process::new(&fake);
    let names: Vec<String> = (0..24).map(|number| format!("web{number}")).collect();
    let mut runs: Vec<Run> = names
        .iter()
        .map(|name| {
            fake.add_guest(alpha, quiet(name));
            Run::begin(&process, spec(name))
        })
        .collect();
    end_all(&mut runs, HOUR_MS);
    for run in &runs {
        let outcome = run.outcome().unwrap();
        assert_eq!(outcome.ending, Ending::Completed, "{outcome:?}");
    }
    assert!(fake.log().calls_most <= CALLS_MOST, "{:?}", fake.log());
    let remarks: Vec<&String> = runs.iter().flat_map(|run| &run.remarks).collect();
    assert_eq!(remarks.len(), names.len() - CALLS_MOST, "{remarks:?}");
    assert!(remarks.iter().all(|remark| remark.contains("the migrate call waited")), "{remarks:?}");
    for run in runs {
        run.finish();
    }
}

#[test]
fn a_call_that_waits_for_a_worker_can_be_cancelled() {
    let fake = Fake::new(7);
    let process = Process::new(&fake);
    fake.add_guest(fake.host("alpha"), quiet("web"));
    let alpha = fake.host("alpha");
    let daemon = fake.inner().world.inventory(alpha).uuid.clone();
    let _all: Vec<_> = (0..CALLS_MOST).map(|_| process.access.workers.take(&daemon).unwrap()).collect();
    let mut run = Run::begin(&process, spec("web"));
    assert!(run.until(60_000, |run| run.commands.contains(&Action::StartMigration)));
    run.until(70_000, |_| false);
    run.ask(Request::Cancel);
    let outcome = run.end(HOUR_MS);
    assert_eq!((outcome.ending, outcome.guest), (Ending::Cancelled, GuestLocation::SourceRunning));
    assert!(fake.log().migrate_calls.is_empty());
    run.finish();
}

#[test]
fn events_arrive_again_over_the_connection_that_replaces_a_broken_one() {
    let fake = Fake::new(8);
    let alpha = fake.host("alpha");
    fake.add_guest(alpha, busy("web"));
    let mut run = Run::begin(&Process::new(&fake), spec("web"));
    assert!(run.until(60_000, Run::is_copying));
    assert_eq!(fake.log().subscriptions, 1);
    fake.inject(Fault::DropClients(alpha));
    let from_ms = fake.now_ns() / MS;
    assert!(run.until(from_ms + 30_000, |_| fake.log().subscriptions == 2), "{:?}", fake.log());
    // The old subscription is gone with its connection, and the connection that lives has the only one.
    run.until(from_ms + 40_000, |_| false);
    let log = fake.log();
    assert_eq!((fake.inner().sinks.len(), log.subscriptions), (1, 2));
    run.finish();
}

fn backup() -> JobStatistics {
    JobStatistics {
        job: Some(JobType::Unbounded),
        operation: Some(JobOperation::Backup),
        time_elapsed_ms: Some(5_000),
        memory_processed_bytes: Some(1 << 30),
        ..JobStatistics::default()
    }
}

#[test]
fn a_backup_is_neither_ended_nor_taken_for_the_migration() {
    // One that has just begun has no numbers.
    for job in [backup(), JobStatistics { memory_processed_bytes: None, time_elapsed_ms: None, ..backup() }] {
        let fake = Fake::new(9);
        let alpha = fake.host("alpha");
        let guest = fake.add_guest(alpha, quiet("web"));
        let mut run = Run::begin(&Process::new(&fake), spec("web"));
        assert!(run.until(60_000, |run| run.commands.contains(&Action::StartMigration)));
        // It begins in the last moment before the call.
        fake.inner().jobs.insert((guest, alpha), job);
        run.ask(Request::Cancel);
        let outcome = run.end(HOUR_MS);
        assert_eq!(outcome.guest, GuestLocation::SourceRunning, "{outcome:?}");
        assert!(fake.inner().jobs.contains_key(&(guest, alpha)), "the backup was ended");
        assert_eq!(fake.log().aborts, 0);
        run.finish();
    }
}

#[test]
fn a_migration_of_another_client_to_another_host_is_neither_adopted_nor_ended() {
    let fake = Fake::new(10);
    let (alpha, gamma) = (fake.host("alpha"), fake.host("gamma"));
    let guest = fake.add_guest(alpha, busy("web"));
    let spec = whimbrel_core::Spec { timeout_ms: Some(20_000), ..spec("web") };
    let mut run = Run::begin(&Process::new(&fake), spec);
    assert!(run.until(60_000, |run| run.commands.contains(&Action::StartMigration)));
    // The driver is killed, its call comes to nothing, and another tool migrates the guest elsewhere.
    assert!(run.until(60_000, Run::is_call_on_its_way));
    fake.inner().due.clear();
    let mut run = run.restart(10 * MS);
    fake.inject(Fault::Migrate(guest, alpha, gamma));
    let aborts = fake.log().aborts;
    let outcome = run.end(HOUR_MS);
    assert_eq!(fake.log().aborts, aborts, "the other client's migration was ended: {outcome:?}");
    run.finish();
}

#[test]
fn another_machine_at_the_address_is_not_the_destination() {
    let fake = Fake::new(11);
    let (alpha, gamma) = (fake.host("alpha"), fake.host("gamma"));
    let guest = fake.add_guest(alpha, busy("web"));
    let mut run = Run::begin(&Process::new(&fake), spec("web"));
    assert!(run.until(60_000, Run::is_copying));
    let beta = fake.host("beta");
    fake.inner().addresses.insert("beta".to_owned(), gamma);
    fake.inject(Fault::LoseHost(beta));
    let outcome = run.end(HOUR_MS);
    assert!(!matches!(outcome.guest, GuestLocation::DestinationRunning), "{outcome:?}");
    assert_eq!(fake.inner().world.running_on(guest).collect::<Vec<_>>(), [alpha]);
    assert!(run.remarks.iter().any(|remark| remark.contains("another host answers")), "{:?}", run.remarks);
    run.finish();
}

#[test]
fn a_guest_that_is_off_is_moved() {
    let fake = Fake::new(12);
    let alpha = fake.host("alpha");
    let guest = fake.inner().world.add_guest_that_is_off(alpha, quiet("web"));
    let mut spec = spec("web");
    spec.transfer.offline = true;
    let mut run = Run::begin(&Process::new(&fake), spec);
    let outcome = run.end(HOUR_MS);
    assert_eq!((outcome.ending, outcome.guest), (Ending::Completed, GuestLocation::DestinationOff));
    let beta = fake.host("beta");
    let inner = fake.inner();
    assert!(inner.world.is_defined(guest, beta) && !inner.world.is_defined(guest, alpha));
    drop(inner);
    run.finish();
}

#[test]
fn the_last_copy_is_not_ended_although_it_was_ordered() {
    // The look that ordered it is older than the act: the act looks again, at both.
    let fake = Fake::new(13);
    let guest = fake.add_guest(fake.host("alpha"), TestGuest::new("web", 256).paused());
    let mut run = Run::begin(&Process::new(&fake), spec("web"));
    run.order(Action::Destroy(Side::Source));
    run.end(HOUR_MS);
    let inner = fake.inner();
    let copies = inner.world.hosts().filter(|host| inner.world.process_state(guest, *host).is_some());
    assert_eq!(copies.count(), 1, "the last copy was ended");
    drop(inner);
    run.finish();
}

#[test]
fn a_copy_that_is_being_migrated_is_not_resumed_although_it_was_ordered() {
    let fake = Fake::new(14);
    let alpha = fake.host("alpha");
    let guest = fake.add_guest(alpha, TestGuest::new("web", 2048).filled_mib(2000).paused());
    let mut run = Run::begin(&Process::new(&fake), spec("web"));
    assert!(run.until(60_000, Run::is_copying));
    run.order(Action::Resume(Side::Source));
    let from_ms = fake.now_ns() / MS;
    run.until(from_ms + 500, |_| false);
    assert_eq!(fake.inner().world.process_state(guest, alpha), Some(ProcessState::Paused));
    run.finish();
}

#[test]
fn a_migration_whose_call_lost_its_connection_is_followed_to_its_end() {
    let fake = Fake::new(15);
    let alpha = fake.host("alpha");
    fake.add_guest(alpha, TestGuest::new("web", 2048).filled_mib(2000));
    let mut run = Run::begin(&Process::new(&fake), spec("web"));
    assert!(run.until(60_000, Run::is_copying));
    fake.inject(Fault::DropClients(alpha));
    let outcome = run.end(HOUR_MS);
    assert_eq!((outcome.ending, outcome.guest), (Ending::Completed, GuestLocation::DestinationRunning));
    run.finish();
}

#[test]
fn a_post_copy_that_was_cut_is_joined_again() {
    let fake = Fake::new(24);
    let (alpha, beta) = (fake.host("alpha"), fake.host("beta"));
    let guest = fake.add_guest(alpha, TestGuest::new("web", 2048).filled_mib(2000).writing(1500, 2_000_000));
    let mut spec = spec("web");
    spec.transfer.postcopy = true;
    let mut run = Run::begin(&Process::new(&fake), spec);
    assert!(run.until(60_000, Run::is_copying));
    let from_ms = fake.now_ns() / MS;
    run.until(from_ms + 5_000, |_| false);
    run.ask(Request::React(Adjustment::Postcopy));
    let is_there = |run: &Run| run.process.fake.inner().world.running_on(guest).any(|host| host == beta);
    assert!(run.until(60_000, is_there));
    fake.inject(Fault::BreakStream(guest));
    assert!(run.until(120_000, |run| run.commands.contains(&Action::ResumePostcopy)));
    let outcome = run.end(HOUR_MS);
    assert_eq!((outcome.ending, outcome.guest), (Ending::Completed, GuestLocation::DestinationRunning));
    run.finish();
}

#[test]
fn the_half_that_a_post_copy_left_behind_is_kept_while_the_guest_needs_it() {
    for seed in 16..24 {
        let fake = Fake::new(seed);
        let alpha = fake.host("alpha");
        let (mut run, guest) = in_postcopy(&fake);
        // The guest sleeps and wakes up: the destination's libvirt calls it running. The connections break.
        fake.inject(Fault::WakeUp(guest));
        fake.inject(Fault::BreakStream(guest));
        fake.inject(Fault::DropClients(alpha));
        run.end(2 * HOUR_MS);
        assert_eq!(fake.inner().world.incidents(), []);
        run.finish();
    }
}
