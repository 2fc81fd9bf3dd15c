//! The test kit, used to test another program's policy: blocking calls in virtual time, what they see
//! and what they do not, and our own machine in the same bed.

#![cfg(test)]

use std::panic::{AssertUnwindSafe, catch_unwind};

use whimbrel_core::{Facts, Finding, Severity, Verdict};
use whimbrel_sim::kit::{
    Adjustment, AtTimeout, Cause, CopyState, Ending, Engine, FailureClass as Class, Fault, GuestId,
    GuestLocation, Hint, HostId, IncidentKind, JobState, MigrateOptions, MigrationRun, MigrationRunError,
    Milestone, Moment, Postcopy, ReplyBehavior, Request, Setup, TestBed, TestGuest, at_ms,
};
use whimbrel_sim::oracle::Rule;

// The examples are compiled into this test, so their results are checked.
#[path = "../examples/core_with_a_fault.rs"]
#[expect(dead_code, reason = "its main function only prints")]
mod core_with_a_fault;
#[path = "../examples/own_policy.rs"]
#[expect(dead_code, reason = "its main function only prints")]
mod own_policy;

const NS_PER_MS: u64 = 1_000_000;

fn bed(writes_per_second: u64) -> (TestBed, GuestId, HostId, HostId) {
    let (mut bed, alpha, beta) = TestBed::two_hosts(Setup::default());
    let wren = bed.add_guest(alpha, TestGuest::new("wren", 256).writing(96, writes_per_second));
    (bed, wren, alpha, beta)
}

/// What an assertion that fails says.
fn said(assertion: impl FnOnce()) -> String {
    let payload = catch_unwind(AssertUnwindSafe(assertion)).unwrap_err();
    payload.downcast_ref::<String>().unwrap().clone()
}

fn postcopy() -> MigrateOptions {
    MigrateOptions { postcopy: Some(Postcopy::default()), ..MigrateOptions::default() }
}

#[test]
fn the_examples_show_what_they_say() {
    let [migrated, failed] = own_policy::shown();
    // The limit is 400 ms from 6 s on.
    assert!(migrated.starts_with("migrated, after 6"), "{migrated}");
    assert!(failed.starts_with("operation failed: "), "{failed}");
    let outcome = core_with_a_fault::shown().unwrap();
    assert_eq!((outcome.ending, outcome.guest), (Ending::Failed, GuestLocation::SourceRunning));
}

#[test]
fn a_migrate_call_runs_beside_other_calls_and_each_takes_its_time() {
    let (mut bed, wren, alpha, beta) = bed(1_000);
    let call = bed.migrate(wren, alpha, beta, MigrateOptions::default());
    assert_eq!((bed.now_ns(), bed.returned(call)), (0, None));
    let before_ns = bed.now_ns();
    let job = bed.job(wren, alpha).unwrap();
    assert!(bed.now_ns() > before_ns, "a call takes time");
    assert_eq!((job.state, job.statistics.memory_total_bytes), (JobState::Active, 0), "no copy yet");
    bed.wait_ms(400);
    let job = bed.job(wren, alpha).unwrap();
    assert!(job.statistics.memory_remaining_bytes < job.statistics.memory_total_bytes);
    assert_eq!(bed.look(wren, alpha), CopyState::Migrating);
    bed.wait_for(call).unwrap();
    bed.assert_runs_only_on(wren, beta);
    bed.assert_no_incident();
    assert_eq!(bed.job(wren, alpha).unwrap().state, JobState::Completed);
    assert_eq!(bed.look(wren, beta), CopyState::Running);
}

#[test]
fn the_same_setup_gives_the_same_course_and_another_seed_another() {
    let course = |seed| {
        let (mut bed, alpha, beta) = TestBed::two_hosts(Setup { seed, ..Setup::default() });
        let wren = bed.add_guest(alpha, TestGuest::new("wren", 128).writing(32, 6_000));
        let call = bed.migrate(wren, alpha, beta, MigrateOptions::default());
        bed.wait_for(call).unwrap();
        (bed.now_ns(), bed.heard().to_vec())
    };
    assert_eq!(course(1), course(1));
    assert_ne!(course(1), course(2));
}

#[test]
fn limits_are_changed_while_the_copy_is_under_way() {
    let (mut bed, wren, alpha, beta) = bed(40_000);
    bed.set_bandwidth_mib_per_second(wren, alpha, 20).unwrap();
    bed.set_downtime_ms(wren, alpha, 50).unwrap();
    let call = bed.migrate(wren, alpha, beta, MigrateOptions::default());
    assert!(!bed.wait_until(30_000, |bed| bed.returned(call).is_some()), "20 MiB/s are not enough");
    bed.set_bandwidth_mib_per_second(wren, alpha, 110).unwrap();
    bed.set_downtime_ms(wren, alpha, 1_000).unwrap();
    let settings = bed.settings(wren, alpha).unwrap();
    assert_eq!((settings.downtime_limit_ms, settings.bandwidth_limit_bytes_per_second), (1_000, 110 << 20));
    bed.wait_for(call).unwrap();
    bed.assert_runs_only_on(wren, beta);
}

#[test]
fn an_abort_ends_the_call_and_the_guest_stays() {
    let (mut bed, wren, alpha, beta) = bed(100_000);
    let call = bed.migrate(wren, alpha, beta, MigrateOptions::default());
    bed.wait_ms(2_000);
    bed.abort(wren, alpha).unwrap();
    assert_eq!(bed.wait_for(call).unwrap_err().fault, Class::Aborted);
    bed.assert_runs_only_on(wren, alpha);
    assert_eq!(bed.abort(wren, alpha).unwrap_err().fault, Class::Refused, "there is no job any more");
}

#[test]
fn a_suspended_guest_always_arrives_and_runs_there() {
    let (mut bed, wren, alpha, beta) = bed(100_000);
    let call = bed.migrate(wren, alpha, beta, MigrateOptions::default());
    bed.wait_ms(2_000);
    bed.suspend(wren, alpha).unwrap();
    bed.wait_for(call).unwrap();
    bed.assert_runs_only_on(wren, beta);
}

#[test]
fn postcopy_is_started_and_resumed() {
    let (mut bed, wren, alpha, beta) = bed(100_000);
    let call = bed.migrate(wren, alpha, beta, postcopy());
    bed.wait_ms(1_000);
    bed.start_postcopy(wren, alpha).unwrap();
    assert!(bed.wait_until(1_000, |bed| bed.running_on(wren) == [beta]));
    bed.fault_now(Fault::BreakStream(wren));
    bed.wait_for(call).unwrap_err();
    assert_eq!(bed.look(wren, beta), CopyState::PostcopyFailed);
    let resumed = bed.resume_postcopy(call);
    bed.wait_for(resumed).unwrap();
    bed.assert_runs_only_on(wren, beta);
    assert!(bed.heard().iter().any(|heard| heard.hint == Hint::PostcopyFailed && heard.host == alpha));
}

#[test]
fn a_silent_daemon_breaks_the_connection_and_nothing_else() {
    let (mut bed, wren, alpha, beta) = bed(1_000);
    let call = bed.migrate(wren, alpha, beta, MigrateOptions::default());
    bed.wait_ms(500);
    bed.fault_now(Fault::SetReplyBehavior(
        alpha,
        ReplyBehavior { is_silent: true, ..ReplyBehavior::default() },
    ));
    let before_ns = bed.now_ns();
    assert_eq!(bed.job(wren, alpha).unwrap_err().fault, Class::ReplyLost);
    assert_eq!(bed.now_ns() - before_ns, 30_000 * NS_PER_MS);
    assert_eq!(bed.look(wren, alpha), CopyState::Unknown);
    assert_eq!(bed.returned(call), None);
    bed.assert_runs_only_on(wren, beta);
}

/// What the kit is for: this policy resumes the guest wherever it finds it standing, which is once too often.
#[test]
fn a_policy_that_believes_a_failed_call_is_found_out() {
    let (mut bed, wren, alpha, beta) = bed(1_000);
    bed.fault(Moment::At(wren, Milestone::Started), Fault::KillDaemon(alpha));
    bed.fault_after_ms(Moment::At(wren, Milestone::Started), 1_000, Fault::StartDaemon(alpha));
    let call = bed.migrate(wren, alpha, beta, MigrateOptions::default());
    bed.wait_for(call).unwrap_err();
    bed.wait_ms(2_000);
    assert_eq!(bed.look(wren, alpha), CopyState::Stopped);
    bed.resume(wren, alpha).unwrap();
    let kinds: Vec<_> = bed.incidents().iter().map(|incident| incident.kind).collect();
    assert_eq!(kinds, [IncidentKind::TwoRun]);
    let said = said(|| bed.assert_runs_only_on(wren, beta));
    assert!(said.contains("wren should run on beta alone, but its copy on alpha is Running"), "{said}");
    assert!(said.contains("TwoRun of wren, by Caller"), "{said}");
}

/// The same policy, when the guest has powered itself off on the destination: one copy runs, and it is too old.
#[test]
fn a_policy_that_resumes_a_copy_older_than_its_disks_is_found_out() {
    let (mut bed, wren, alpha, beta) = bed(1_000);
    bed.fault(Moment::At(wren, Milestone::Started), Fault::KillDaemon(alpha));
    bed.fault_after_ms(Moment::At(wren, Milestone::Started), 500, Fault::PowerOff(wren));
    bed.fault_after_ms(Moment::At(wren, Milestone::Started), 1_000, Fault::StartDaemon(alpha));
    let call = bed.migrate(wren, alpha, beta, MigrateOptions::default());
    bed.wait_for(call).unwrap_err();
    bed.wait_ms(2_000);
    assert_eq!(bed.violations(wren), []);
    bed.resume(wren, alpha).unwrap();
    assert_eq!(bed.violations(wren)[0].rule, Rule::MemoryNotOlder);
    assert!(said(|| bed.assert_runs_only_on(wren, alpha)).contains("with memory older than its storage"));
    assert!(said(|| bed.assert_no_incident()).contains("with memory older than its storage"));
}

#[test]
fn destroying_the_last_copy_is_found_out() {
    let (mut bed, wren, alpha, _) = bed(0);
    bed.destroy(wren, alpha).unwrap();
    assert!(said(|| bed.assert_no_incident()).contains("LastCopyGone of wren, by Caller"));
    assert!(said(|| bed.assert_runs_only_on(wren, alpha)).contains("it has no copy anywhere"));
}

#[test]
fn our_machine_drives_in_the_same_bed_again_and_again() {
    let (mut bed, wren, alpha, beta) = bed(3_000);
    bed.fault(at_ms(500), Fault::KillDaemon(beta));
    bed.fault(at_ms(60_000), Fault::StartDaemon(beta));
    let first = bed.outcome(&MigrationRun::new(wren, alpha, beta)).unwrap();
    assert_eq!((first.ending, first.guest), (Ending::Failed, GuestLocation::SourceRunning));
    bed.assert_runs_only_on(wren, alpha);
    assert!(bed.wait_until(120_000, |bed| bed.look(wren, beta) == CopyState::Absent));
    let began_ms = bed.now_ns() / NS_PER_MS;
    let second = bed.outcome(&MigrationRun::new(wren, alpha, beta)).unwrap();
    assert_eq!((second.ending, second.guest), (Ending::Completed, GuestLocation::DestinationRunning));
    assert!(second.total_ms <= bed.now_ns() / NS_PER_MS - began_ms, "its time begins with it");
    let back = bed.outcome(&MigrationRun::new(wren, beta, alpha)).unwrap();
    assert_eq!(back.ending, Ending::Completed);
    bed.assert_runs_only_on(wren, alpha);
}

#[test]
fn a_course_has_its_limits_ways_and_rules() {
    let (mut bed, wren, alpha, beta) = bed(100_000);
    let hopeless = MigrationRun::new(wren, alpha, beta).with(|spec| spec.timeout_ms = Some(5_000));
    assert_eq!(bed.outcome(&hopeless).unwrap().cause, Some(Cause::TimedOut));

    let refused = hopeless.clone().judged_by(|facts: &Facts| {
        let message = format!("{} is not to move", facts.guest.name);
        let (code, severity) = ("test.no".to_owned(), Severity::Error);
        Verdict {
            findings: vec![Finding { code, severity, message, remediation: String::new() }],
            basis: None,
        }
    });
    assert_eq!(bed.outcome(&refused).unwrap().cause, Some(Cause::RulesRefused));

    let out_of_bounds = MigrationRun::new(wren, alpha, beta).with(|spec| spec.poll_interval_ms = 0);
    let error = bed.outcome(&out_of_bounds).unwrap_err();
    assert!(matches!(&error, MigrationRunError::Spec(_)), "{error}");
    bed.assert_runs_only_on(wren, alpha);

    let moved_first = MigrationRun::new(wren, alpha, beta).with(|spec| {
        spec.transfer.postcopy = true;
        spec.at_timeout = AtTimeout::Postcopy;
        spec.timeout_ms = Some(2_000);
    });
    assert_eq!(bed.outcome(&moved_first).unwrap().ending, Ending::Completed);
    bed.assert_runs_only_on(wren, beta);
}

#[test]
fn an_operator_reacts_at_a_moment() {
    let (mut bed, wren, alpha, beta) = bed(100_000);
    let pause = Request::React(Adjustment::Pause);
    let course = MigrationRun::new(wren, alpha, beta).asking(Moment::AtIteration(wren, 6), pause);
    let outcome = bed.outcome(&course).unwrap();
    assert_eq!((outcome.ending, outcome.guest), (Ending::Completed, GuestLocation::DestinationRunning));
    bed.assert_runs_only_on(wren, beta);
}

#[test]
fn other_engines_and_links_are_a_line_of_setup() {
    let total_ms = |setup| {
        let (mut bed, alpha, beta) = TestBed::two_hosts(setup);
        let wren = bed.add_guest(alpha, TestGuest::new("wren", 1_024).filled_mib(900));
        bed.outcome(&MigrationRun::new(wren, alpha, beta)).unwrap().total_ms
    };
    let setup = Setup { engine: Engine::Lumped, ..Setup::default() };
    let (slow, fast) = (total_ms(setup), total_ms(Setup { bandwidth_mib_per_second: 1_000, ..setup }));
    assert!((7_500..8_500).contains(&slow), "900 MiB at 119 MiB/s: {slow} ms");
    assert!((900..1_500).contains(&fast), "at 1000 MiB/s: {fast} ms");
}
