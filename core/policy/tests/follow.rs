//! From events to reports: when one is made, what it says, and what it does not claim.

#![expect(clippy::unwrap_used, reason = "a failing helper fails the test")]

use whimbrel_core::convergence::{Convergence, Statistics, SyncReport};
use whimbrel_core::{
    AdjustmentKind, AdjustmentResult, Advice, Ending, Event, GuestLocation, Instant, Limits, Outcome,
    PhaseName, Spec, View,
};
use whimbrel_policy::DirtyRate;
use whimbrel_policy::follow::{ActionName, Before, Follower, Known, Missing, Report};
use whimbrel_policy::forecast::{BEFORE_PPM, Verdict};

const MIB: u64 = 1 << 20;
const POLL_MS: u64 = 250;
/// When the copy begins: time limits count from then on.
const BEGAN_MS: u64 = 3_000;

/// A migration whose passes are written down: what each has to send, at one bandwidth.
struct Course {
    follower: Follower,
    convergence: Convergence,
    spec: Spec,
    limits: Limits,
    stopped_since: Option<Instant>,
    bandwidth_mib: u64,
    now_ms: u64,
    iteration: u64,
    memory_mib: u64,
    sent_mib: u64,
    reports: Vec<Report>,
}

impl Course {
    fn of(known: Known, memory_mib: u64, bandwidth_mib: u64, change: impl FnOnce(&mut Spec)) -> Self {
        let mut spec = Spec::new("web", "alpha", "beta");
        spec.downtime_limit_ms = Some(300);
        change(&mut spec);
        let limits = Limits { downtime_ms: spec.downtime_limit_ms, bandwidth_bytes_per_second: None };
        let mut course = Self {
            follower: Follower::new(known),
            convergence: Convergence::default(),
            spec,
            limits,
            stopped_since: None,
            bandwidth_mib,
            now_ms: BEGAN_MS,
            iteration: 0,
            memory_mib,
            sent_mib: 0,
            reports: Vec::new(),
        };
        course.take(&Event::Phase(PhaseName::Precopy));
        course
    }

    fn take(&mut self, event: &Event) {
        let view = View {
            spec: &self.spec,
            phase: PhaseName::Precopy,
            convergence: &self.convergence,
            limits: self.limits,
            cancel_asked: false,
            stopped_since: self.stopped_since,
            outcome: None,
            state_digest: 0,
        };
        self.reports.extend(self.follower.take(Instant::from_ms(self.now_ms), event, view));
    }

    fn query(&mut self, left_mib: u64) {
        let statistics = Statistics {
            elapsed_ms: self.now_ms - BEGAN_MS,
            memory_total_bytes: self.memory_mib * MIB,
            memory_remaining_bytes: left_mib * MIB,
            memory_sent_bytes: self.sent_mib * MIB,
            pages_sent: self.sent_mib * 256,
            page_size_bytes: 4096,
            iteration: self.iteration,
            bandwidth_bytes_per_second: (self.now_ms >= BEGAN_MS + 1_000).then_some(self.bandwidth_mib * MIB),
            ..Statistics::default()
        };
        let limit_ms = self.limits.downtime_ms;
        let sync = self.convergence.observe(Instant::from_ms(self.now_ms), &statistics, limit_ms);
        self.take(&Event::Progress(statistics));
        if let Some(sync) = sync {
            let totals = Some(self.convergence.totals());
            self.take(&Event::Sync(SyncReport { sync, totals }));
        }
    }

    /// A pass that has this much to send, up to its end or for so long.
    fn pass(&mut self, mib: u64, most_ms: u64) {
        self.iteration += 1;
        self.query(mib);
        let (begin_ms, sent_before) = (self.now_ms, self.sent_mib);
        let end_ms = begin_ms + most_ms.min(mib * 1000 / self.bandwidth_mib);
        while self.now_ms < end_ms {
            self.now_ms = (self.now_ms + POLL_MS).min(end_ms);
            let sent = (self.now_ms - begin_ms) * self.bandwidth_mib / 1000;
            self.sent_mib = sent_before + sent;
            if self.now_ms < end_ms {
                self.query(mib - sent);
            }
        }
    }

    fn passes(&mut self, mib: &[u64]) {
        for mib in mib {
            self.pass(*mib, u64::MAX);
        }
    }

    fn last(&self) -> &Report {
        self.reports.last().unwrap()
    }
}

fn regressing() -> Course {
    let mut course = Course::of(Known::default(), 4_096, 128, |_| {});
    course.passes(&[4_096, 610, 430, 455, 380, 395, 402, 390]);
    course
}

#[test]
fn the_first_pass_has_no_forecast_and_says_what_is_missing() {
    let mut course = Course::of(Known::default(), 4_096, 128, |_| {});
    course.pass(4_096, 900);
    assert_eq!(course.reports, [], "no bandwidth yet");
    course.pass_on(20_000);
    let [report] = &course.reports[..1] else { panic!() };
    assert_eq!(
        (report.verdict, report.missing, report.as_is),
        (Verdict::Open, Some(Missing::FirstPass), None)
    );
    insta::assert_snapshot!(report.sentence());
}

#[test]
fn a_remainder_that_rises_between_passes_has_a_verdict_with_its_numbers() {
    let course = regressing();
    let words: Vec<String> = course
        .reports
        .iter()
        .map(|report| {
            format!(
                "{:>6} ms  {}\n           {}",
                report.at.as_ms(),
                report.sentence(),
                report.actions_in_words()
            )
        })
        .collect();
    insta::assert_snapshot!(words.join("\n"));
}

#[test]
fn there_is_one_report_for_a_pass_and_none_within_a_second_of_another() {
    let mut course = regressing();
    // One in the first pass, and one for each that has ended: the last pass has not.
    assert_eq!(course.reports.len(), 8);
    // Ten passes of a third of a second.
    course.passes(&[40; 30]);
    let gaps: Vec<u64> =
        course.reports.windows(2).map(|pair| pair[1].at.as_ms() - pair[0].at.as_ms()).collect();
    assert!(gaps.iter().all(|gap| *gap >= 1_000), "{gaps:?}");
    assert!((15..=18).contains(&course.reports.len()), "{gaps:?}");
}

#[test]
fn another_limit_is_in_the_next_report_without_a_pass() {
    let mut course = regressing();
    let before = course.reports.len();
    course.pass(390, 1_500);
    course.limits.downtime_ms = Some(4_000);
    course.take(&Event::Reacted(AdjustmentKind::DowntimeLimit, AdjustmentResult::Refused));
    course.pass_on(250);
    assert_eq!(course.reports.len(), before + 1, "that of the pass, and none of what was refused");
    course.take(&Event::Reacted(AdjustmentKind::DowntimeLimit, AdjustmentResult::Done));
    course.pass_on(1_000);
    assert_eq!(course.reports.len(), before + 2);
    assert_eq!(course.last().numbers.limit_ms, 4_000);
    assert_eq!(course.last().verdict, Verdict::Converges);
}

#[test]
fn another_bandwidth_makes_another_forecast_within_a_pass() {
    let mut course = Course::of(Known::default(), 40_960, 128, |_| {});
    course.pass(40_960, 20_000);
    assert_eq!(course.reports.len(), 1);
    // A tenth of it: for ten seconds a collapse, then another link.
    course.bandwidth_mib = 13;
    course.pass_on(15_000);
    let last = course.last();
    assert_eq!(last.numbers.bandwidth, Some(13 * MIB));
    assert!(course.reports.len() <= 4, "{}", course.reports.len());
}

#[test]
fn a_guest_that_is_stopped_ends_for_certain() {
    let mut course = regressing();
    course.pass(390, 1_500);
    course.stopped_since = Some(Instant::from_ms(course.now_ms));
    course.pass_on(500);
    let last = course.last();
    assert_eq!((last.verdict, last.as_is.unwrap().chance_ppm), (Verdict::Converges, 1_000_000));
    assert!(last.actions.is_empty());
    insta::assert_snapshot!(last.sentence());
    course.stopped_since = None;
    course.pass_on(1_500);
    assert_ne!(course.last().verdict, Verdict::Converges, "it runs again");
}

#[test]
fn a_completed_migration_teaches_the_fixed_part_of_the_downtime() {
    let end = |course: &mut Course| {
        course.take(&Event::Phase(PhaseName::SwitchingOver));
        let outcome = Outcome {
            ending: Ending::Completed,
            guest: GuestLocation::DestinationRunning,
            cause: None,
            failure: None,
            unsettled: None,
            recovered: Vec::new(),
            not_undone: Vec::new(),
            disks_left: Vec::new(),
            total_ms: 1,
            downtime_ms: None,
            hypervisor_downtime_ms: Some(300),
            advice: Advice::Nothing,
        };
        course.take(&Event::Ended(outcome.into()));
        course.follower.lesson()
    };
    let mut course = Course::of(Known::default(), 4_096, 128, |_| {});
    course.passes(&[4_096, 610]);
    // 32 MiB are left at a query, and the guest stops 125 ms later: 16 MiB were its last pass.
    course.pass(36, 0);
    course.query(32);
    course.now_ms += 125;
    let lesson = end(&mut course).unwrap();
    assert_eq!(
        (lesson.downtime_ms, lesson.last_pass_bytes, lesson.bytes_per_second),
        (300, 16 * MIB, 128 * MIB)
    );
    let mut paused = regressing();
    paused.stopped_since = Some(Instant::from_ms(paused.now_ms));
    paused.pass_on(500);
    assert_eq!(end(&mut paused), None, "it was stopped for longer than its last pass");
}

#[test]
fn a_time_limit_counts_from_the_beginning_of_the_copy() {
    let mut course = Course::of(Known::default(), 4_096, 128, |spec| spec.timeout_ms = Some(60_000));
    course.pass(4_096, 2_000);
    let report = &course.reports[0];
    assert_eq!(report.horizon_ms, 60_000 - (report.at.as_ms() - BEGAN_MS));
}

#[test]
fn what_was_measured_before_the_start_is_used_in_the_first_pass() {
    let rate = |interval_ms, mib| DirtyRate { interval_ms, bytes_per_second: mib * MIB };
    let known = Known { dirty_rates: vec![rate(1_000, 20), rate(5_000, 8)], ..Known::default() };
    let mut course = Course::of(known, 4_096, 128, |_| {});
    course.pass(4_096, 3_000);
    let report = &course.reports[0];
    // A phase of the guest was measured, not the guest: no verdict, and no certainty.
    assert_eq!((report.verdict, report.missing), (Verdict::Open, Some(Missing::FirstPass)));
    let as_is = report.as_is.unwrap();
    assert_eq!(as_is.chance_ppm, BEFORE_PPM[1], "every particle converges");
    assert!(as_is.left_ms.is_some());
    assert!(report.sentence().contains("88 % as it is"), "{}", report.sentence());
}

#[test]
fn an_action_that_is_not_possible_or_not_known_says_why() {
    let find = |course: &Course, name| {
        let all = &course.last().actions;
        all.iter().find(|action| action.action == name).cloned()
    };
    let mut course = Course::of(Known::default(), 4_096, 128, |spec| {
        spec.bandwidth_limit_bytes_per_second = Some(128 * MIB);
    });
    course.passes(&[4_096, 610, 430]);
    let postcopy = find(&course, ActionName::Postcopy).unwrap();
    assert!(!postcopy.allowed && postcopy.reason.is_some());
    let bandwidth = find(&course, ActionName::BandwidthLimit).unwrap();
    assert!(bandwidth.expected.is_none() && bandwidth.reason.is_some());
    let mut with = Course::of(Known::default(), 4_096, 128, |spec| {
        spec.transfer.postcopy = true;
        spec.transfer.auto_converge = true;
    });
    with.passes(&[4_096, 610, 430]);
    assert!(find(&with, ActionName::Postcopy).unwrap().allowed);
    assert_eq!(find(&with, ActionName::RestartThrottled), None, "it is on");
    assert_eq!(find(&with, ActionName::BandwidthLimit), None, "there is no limit");
}

#[test]
fn the_same_events_give_the_same_reports_and_a_document_keeps_them() {
    let reports = regressing().reports;
    assert_eq!(reports, regressing().reports);
    for report in reports {
        let text = serde_json::to_string(&report).unwrap();
        assert_eq!(serde_json::from_str::<Report>(&text).unwrap(), report);
    }
}

impl Course {
    /// The pass goes on for so long.
    fn pass_on(&mut self, ms: u64) {
        let (begin_ms, sent_before) = (self.now_ms, self.sent_mib);
        let left = self.convergence.latest().unwrap().1.memory_remaining_bytes / MIB;
        while self.now_ms < begin_ms + ms {
            self.now_ms += POLL_MS;
            let sent = (self.now_ms - begin_ms) * self.bandwidth_mib / 1000;
            self.sent_mib = sent_before + sent;
            self.query(left.saturating_sub(sent));
        }
    }
}

#[test]
fn before_the_first_byte_the_chance_follows_from_measured_rates_and_an_assumed_bandwidth() {
    let rate = |interval_ms, mib| DirtyRate { interval_ms, bytes_per_second: mib * MIB };
    let spec = |timeout_ms| Spec { timeout_ms, ..Spec::new("guest", "a:///system", "b:///system") };
    let before = |rates: &[DirtyRate], timeout_ms, mib_per_second: u64| {
        let known = Known { dirty_rates: rates.to_vec(), ..Known::default() };
        Before::of(&spec(timeout_ms), &known, 4_096 * MIB, mib_per_second * MIB)
    };
    let chance = |before: &Before| before.as_is.unwrap().chance_ppm;
    let calm = [rate(1_000, 20), rate(2_000, 15), rate(5_000, 8)];
    let busy = [rate(1_000, 300), rate(2_000, 290), rate(5_000, 280)];
    assert_eq!(chance(&before(&calm, None, 128)), BEFORE_PPM[1]);
    assert!(chance(&before(&busy, None, 128)) < 100_000, "{:?}", before(&busy, None, 128));
    assert!(chance(&before(&busy, None, 1_280)) > 100_000, "a faster link may carry it");
    // The arithmetic of the link is certain, whatever the guest does.
    let late = before(&calm, Some(20_000), 128);
    assert_eq!(late.verdict, Verdict::LinkTooSlow);
    assert!(late.sentence.contains("4,096 MiB at 128 MiB/s take 32 s at least"), "{}", late.sentence);
    // Nothing is made up without a measurement.
    let unmeasured = before(&[], None, 128);
    assert_eq!((unmeasured.verdict, unmeasured.as_is), (Verdict::Open, None));
}
