//! The migrate call: to which host it is made, with what, and what its loss means.

use std::time::Duration;

use whimbrel_core::{Action, Ending, Fault as Cause, GuestLocation};
use whimbrel_sim::kit::TestGuest;
use whimbrel_sim::world::{Fault, VirtualMachine};

use super::run::{Process, Run, spec};
use super::{Due, Fake};
use crate::MigrateFlags;

const HOUR_MS: u64 = 3_600_000;

#[test]
fn the_call_is_not_made_to_another_machine_at_the_address() {
    let fake = Fake::new(45);
    let (alpha, gamma) = (fake.host("alpha"), fake.host("gamma"));
    let guest = fake.add_guest(alpha, TestGuest::new("web", 256));
    let mut run = Run::begin(&Process::new(&fake), spec("web"));
    // The facts are those of the right host; the address leads elsewhere before the call is made.
    assert!(run.until(60_000, |run| run.commands.contains(&Action::ReadSettings)));
    fake.inner().addresses.insert("beta".to_owned(), gamma);
    let outcome = run.end(HOUR_MS);
    assert_eq!(outcome.ending, Ending::Failed, "{outcome:?}");
    assert!(fake.log().migrate_calls.is_empty(), "the guest was sent to a host that was not judged");
    assert_eq!(fake.inner().world.running_on(guest).collect::<Vec<_>>(), [alpha]);
    run.finish();
}

#[test]
fn the_definition_goes_with_a_guest_that_has_one() {
    for is_persistent in [true, false] {
        let fake = Fake::new(46);
        let machine = VirtualMachine { is_persistent, ..TestGuest::new("web", 256).into() };
        fake.add_guest(fake.host("alpha"), machine);
        let mut run = Run::begin(&Process::new(&fake), spec("web"));
        assert_eq!(run.end(HOUR_MS).ending, Ending::Completed);
        let [call] = fake.log().migrate_calls.try_into().unwrap();
        // One that stayed behind could be started there by mistake.
        for flag in [MigrateFlags::PERSIST_DEST, MigrateFlags::UNDEFINE_SOURCE] {
            assert_eq!(call.flags.contains(flag), is_persistent, "{flag:?}");
        }
        run.finish();
    }
}

#[test]
fn while_a_lost_call_may_arrive_nothing_is_concluded_from_a_guest_that_runs() {
    let fake = Fake::new(47);
    let alpha = fake.host("alpha");
    fake.add_guest(alpha, TestGuest::new("web", 256));
    let mut run = Run::begin(&Process::new(&fake), spec("web"));
    assert!(run.until(60_000, Run::is_call_on_its_way));
    fake.inject(Fault::DropClients(alpha));
    let lost_ns = fake.now_ns();
    let outcome = run.end(HOUR_MS);
    assert_eq!(outcome.guest, GuestLocation::SourceRunning, "{outcome:?}");
    // Six retransmissions, as docs/safety.md has it.
    let waited = Duration::from_nanos(fake.now_ns() - lost_ns);
    assert!(waited >= Duration::from_secs(15), "it was concluded after {waited:?}");
    run.finish();
}

#[test]
fn a_call_that_was_lost_with_the_sources_daemon_is_not_blamed_on_the_destination() {
    let fake = Fake::new(48);
    let alpha = fake.host("alpha");
    fake.add_guest(alpha, TestGuest::new("web", 2048).filled_mib(2000));
    let mut run = Run::begin(&Process::new(&fake), spec("web"));
    assert!(run.until(60_000, Run::is_copying));
    fake.inject(Fault::KillDaemon(alpha));
    fake.plan(Duration::from_secs(3), Due::Fault(Fault::StartDaemon(alpha)));
    let outcome = run.end(HOUR_MS);
    assert_eq!((outcome.ending, outcome.guest), (Ending::Failed, GuestLocation::SourceRunning));
    let fault = outcome.failure.as_ref().map(|failure| failure.fault);
    assert!(matches!(fault, None | Some(Cause::ReplyLost | Cause::SourceUnreachable)), "{outcome:?}");
    run.finish();
}
