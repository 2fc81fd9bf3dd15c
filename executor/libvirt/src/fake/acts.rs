//! Orders that are older than what they are about: each act queries again, and changes nothing that has changed. And the
//! guest's limits, in their units.

use whimbrel_core::{Action, Ending, Request, Side};
use whimbrel_sim::kit::TestGuest;
use whimbrel_sim::world::{Fault, ReplyBehavior, VirtualMachine};

use super::run::{Process, Run, in_postcopy, spec};
use super::{Fake, MS};

const HOUR_MS: u64 = 3_600_000;
/// Longer than any attempt to reach a silent host.
const MINUTE_NS: u64 = 60_000 * MS;

fn silent() -> ReplyBehavior {
    ReplyBehavior { is_silent: true, ..ReplyBehavior::default() }
}

#[test]
fn a_copy_is_not_ended_while_the_host_across_does_not_answer() {
    let fake = Fake::new(41);
    let (alpha, beta) = (fake.host("alpha"), fake.host("beta"));
    let guest = fake.add_guest(alpha, TestGuest::new("web", 256).paused());
    fake.inject(Fault::SetReplyBehavior(beta, silent()));
    let mut run = Run::begin(&Process::new(&fake), spec("web"));
    run.order(Action::Destroy(Side::Source));
    run.end(HOUR_MS);
    fake.sleep(MINUTE_NS);
    assert!(fake.inner().world.process_state(guest, alpha).is_some(), "the only copy was ended");
    run.finish();
}

#[test]
fn a_guest_that_is_not_being_migrated_is_not_stopped() {
    let fake = Fake::new(42);
    let (alpha, beta) = (fake.host("alpha"), fake.host("beta"));
    let guest = fake.add_guest(alpha, TestGuest::new("web", 256));
    // The migration fails before its call is made, so no step would resume the guest.
    fake.inject(Fault::SetReplyBehavior(beta, silent()));
    let mut run = Run::begin(&Process::new(&fake), spec("web"));
    run.order(Action::Suspend);
    run.end(HOUR_MS);
    assert_eq!(fake.inner().world.running_on(guest).collect::<Vec<_>>(), [alpha]);
    run.finish();
}

#[test]
fn a_definition_is_not_dropped_unless_the_host_across_has_one() {
    let fake = Fake::new(43);
    let alpha = fake.host("alpha");
    let guest = fake.inner().world.add_guest_that_is_off(alpha, TestGuest::new("web", 256).into());
    let mut run = Run::begin(&Process::new(&fake), spec("web"));
    run.order(Action::Undefine(Side::Source));
    run.end(HOUR_MS);
    fake.sleep(MINUTE_NS);
    assert!(fake.inner().world.is_defined(guest, alpha), "the guest is defined nowhere");
    run.finish();
}

#[test]
fn a_limit_reaches_the_guest_in_its_unit_and_the_original_comes_back() {
    let fake = Fake::new(44);
    let alpha = fake.host("alpha");
    let busy: VirtualMachine = TestGuest::new("web", 1024).writing(900, 2_000_000).into();
    let guest = fake.add_guest(alpha, busy);
    let settings = || fake.inner().world.settings(guest, alpha).unwrap();
    let original = settings();
    let mut spec = spec("web");
    spec.bandwidth_limit_bytes_per_second = Some(32 << 20);
    spec.downtime_limit_ms = Some(700);
    assert_ne!(original.bandwidth_limit_bytes_per_second, 32 << 20);
    let mut run = Run::begin(&Process::new(&fake), spec);
    assert!(run.until(60_000, Run::is_copying));
    let changed = settings();
    assert_eq!(
        (changed.bandwidth_limit_bytes_per_second, changed.downtime_limit_ms),
        (32 << 20, 700),
        "as requested"
    );
    run.ask(Request::Cancel);
    assert_eq!(run.end(HOUR_MS).ending, Ending::Cancelled);
    assert_eq!(settings(), original);
    run.finish();
}

#[test]
fn the_migration_of_another_client_is_not_ended() {
    let fake = Fake::new(49);
    let (alpha, gamma) = (fake.host("alpha"), fake.host("gamma"));
    let guest = fake.add_guest(alpha, TestGuest::new("web", 1024).writing(900, 2_000_000));
    let mut run = Run::begin(&Process::new(&fake), spec("web"));
    assert!(run.until(60_000, Run::is_call_on_its_way));
    // The call comes to nothing, and another tool migrates the guest elsewhere.
    fake.inner().due.clear();
    let mut run = run.restart(10 * MS);
    fake.inject(Fault::Migrate(guest, alpha, gamma));
    assert!(run.until(60_000, Run::is_copying));
    run.order(Action::AbortMigration);
    let from_ms = fake.now_ns() / MS;
    run.until(from_ms + 5_000, |_| false);
    assert_eq!(fake.log().aborts, 0);
    run.end(HOUR_MS);
    run.finish();
}

#[test]
fn the_half_that_a_post_copy_left_behind_is_not_ended_while_the_guest_needs_it() {
    let fake = Fake::new(50);
    let alpha = fake.host("alpha");
    let (mut run, guest) = in_postcopy(&fake);
    // The guest sleeps and wakes up: the destination's libvirt reports plain "running".
    fake.inject(Fault::WakeUp(guest));
    run.order(Action::Destroy(Side::Source));
    let from_ms = fake.now_ns() / MS;
    run.until(from_ms + 1_000, |_| false);
    assert!(fake.inner().world.process_state(guest, alpha).is_some(), "memory of the guest was ended");
    run.end(2 * HOUR_MS);
    run.finish();
}
