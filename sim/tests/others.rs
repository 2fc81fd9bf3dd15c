//! A guest that another client migrates: libvirt's job lock keeps the two migrations apart, and ours reports what
//! became of it.

#![cfg(test)]

use whimbrel_core::{Ending, GuestLocation};
use whimbrel_sim::kit::{MigrationRun, Setup, TestBed, TestGuest};
use whimbrel_sim::world::{Fault, GuestId, HostId, Milestone, Moment};

fn bed() -> (TestBed, GuestId, HostId, HostId) {
    let (mut bed, alpha, beta) = TestBed::two_hosts(Setup::default());
    let wren = bed.add_guest(alpha, TestGuest::new("wren", 512).writing(32, 100));
    (bed, wren, alpha, beta)
}

/// The rules refuse it as soon as the facts show the job; here the call itself is refused.
#[test]
fn a_call_that_the_job_lock_refuses_leaves_the_other_migration_alone_and_the_guest_is_followed() {
    let (mut bed, wren, alpha, beta) = bed();
    bed.fault_now(Fault::Migrate(wren, alpha, beta));
    let outcome = bed.outcome(&MigrationRun::new(wren, alpha, beta)).unwrap();
    assert_eq!(outcome.guest, GuestLocation::DestinationRunning);
    bed.assert_runs_only_on(wren, beta);
    bed.assert_no_incident();
}

#[test]
fn a_migration_by_somebody_else_is_refused_while_ours_holds_the_job_lock() {
    for milestone in [Milestone::Preparing, Milestone::Copying, Milestone::Stopped, Milestone::Confirming] {
        let (mut bed, wren, alpha, beta) = bed();
        bed.fault(Moment::At(wren, milestone), Fault::Migrate(wren, alpha, beta));
        let outcome = bed.outcome(&MigrationRun::new(wren, alpha, beta)).unwrap();
        assert_eq!(outcome.ending, Ending::Completed, "{milestone:?}");
        bed.assert_runs_only_on(wren, beta);
        bed.assert_no_incident();
    }
}

#[test]
fn a_guest_that_is_migrated_back_at_once_is_left_where_it_runs() {
    for after_ms in [0, 5, 50, 500] {
        let (mut bed, wren, alpha, beta) = bed();
        let confirming = Moment::At(wren, Milestone::Confirming);
        bed.fault_after_ms(confirming, 250 + after_ms, Fault::Migrate(wren, beta, alpha));
        let outcome = bed.outcome(&MigrationRun::new(wren, alpha, beta)).unwrap();
        bed.wait_ms(120_000);
        bed.assert_runs_only_on(wren, alpha);
        bed.assert_no_incident();
        assert_ne!(outcome.guest, GuestLocation::BothRunning);
    }
}
