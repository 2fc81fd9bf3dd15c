//! A migration with canned answers, for tests of watchers: its events and views come from the real machine.

use whimbrel_core::convergence::Statistics;
use whimbrel_core::port::{JobReport, JobState, Settings};
use whimbrel_core::{
    Action, Answer, Command, CommandId, CopyState, Facts, Failure, Fault, Finding, Hint, Input, Instant,
    Migration, Observation, Output, Request, Severity, Side, Spec, Verdict,
};

use super::Watcher;

const MIB: u64 = 1 << 20;
const ORIGINALS: Settings = Settings { downtime_limit_ms: 300, bandwidth_limit_bytes_per_second: 1 << 40 };

/// Each iteration of the canned copy: its start in ms, and its amount of data in MiB.
pub(crate) const REGRESSING: [(u64, u64); 9] = [
    (100, 1024),
    (8_100, 610),
    (13_000, 430),
    (16_500, 455),
    (20_100, 380),
    (23_200, 395),
    (26_400, 240),
    (28_300, 120),
    (29_300, 30),
];

const BANDWIDTH: u64 = 128 * MIB;

pub(crate) fn spec() -> Spec {
    let mut spec = Spec::new("web", "qemu+tcp://alpha/system", "qemu+tcp://beta/system");
    spec.downtime_limit_ms = Some(500);
    spec.bandwidth_limit_bytes_per_second = Some(BANDWIDTH);
    spec.timeout_ms = Some(60_000);
    spec
}

/// How the canned migration ends.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Completes,
    /// An operator cancels at this ms, which is before the copy would end.
    CancelledAt(u64),
}

/// Plays the migration to its end, or up to `until_ms`.
pub(crate) fn play(iterations: &[(u64, u64)], end: End, until_ms: u64, watcher: &mut dyn Watcher) {
    let migration = Migration::new(spec()).unwrap();
    let mut play = Play {
        migration,
        now: Instant::BEGIN,
        iterations,
        waiting: Vec::new(),
        call: None,
        over: false,
        watcher,
    };
    play.feed(Input::Operator(Request::Begin));
    let mut hints: Vec<_> = iterations
        .iter()
        .map(|(ms, _)| (*ms, Input::Hypervisor(Observation::Hint(Hint::IterationBegan))))
        .collect();
    if let End::CancelledAt(ms) = end {
        hints.retain(|(at, _)| *at < ms);
        hints.push((ms, Input::Operator(Request::Cancel)));
    }
    let last = iterations.last().unwrap();
    let handed_over = last.0 + last.1 * MIB * 1000 / BANDWIDTH;
    if end == End::Completes {
        hints.push((handed_over - 42, Input::Hypervisor(Observation::Hint(Hint::SourceSuspended))));
    }
    let mut hints = hints.into_iter().peekable();
    while play.migration.view().outcome.is_none() {
        let deadline = play.migration.deadline().map_or(u64::MAX, Instant::as_ms);
        let hint = hints.peek().map_or(handed_over, |(ms, _)| *ms);
        let at = deadline.min(hint);
        if at > until_ms {
            return;
        }
        play.now = play.now.max(Instant::from_ms(at));
        if at < hint {
            play.feed(Input::Timer);
        } else if let Some((_, input)) = hints.next() {
            play.feed(input);
        } else if let Some(call) = play.call.take() {
            play.over = true;
            play.answer(call, Answer::CallReturned(Ok(())));
        } else {
            play.feed(Input::Timer);
        }
        play.settle();
    }
}

struct Play<'a> {
    migration: Migration,
    now: Instant,
    iterations: &'a [(u64, u64)],
    waiting: Vec<Command>,
    call: Option<CommandId>,
    over: bool,
    watcher: &'a mut dyn Watcher,
}

impl Play<'_> {
    fn feed(&mut self, input: Input) {
        let outputs: Vec<_> = self.migration.handle(self.now, input).unwrap().collect();
        for output in outputs {
            match output {
                Output::Event(event) => self.watcher.on_event(self.now, &event, self.migration.view()),
                Output::Command(command) => self.waiting.push(command),
            }
        }
        self.settle();
    }

    fn answer(&mut self, to: CommandId, answer: Answer) {
        self.feed(Input::Hypervisor(Observation::Answer { to, answer }));
    }

    fn settle(&mut self) {
        while !self.waiting.is_empty() {
            let Command { id, action } = self.waiting.remove(0);
            let answer = match action {
                Action::CollectFacts => Answer::Facts(Ok(facts())),
                Action::EvaluateRules(_) => Answer::Verdict(warned()),
                Action::ReadSettings => Answer::Settings(Ok(ORIGINALS)),
                Action::ApplySetting(_) => Answer::Applied(Ok(())),
                Action::StartMigration | Action::ResumePostcopy => {
                    self.call = Some(id);
                    continue;
                }
                Action::StartPostcopy => Answer::Postcopy(Ok(())),
                Action::PollJob => Answer::Job(Ok(self.job())),
                Action::AbortMigration => {
                    self.answer(id, Answer::Abort(Ok(())));
                    let call = self.call.take().unwrap();
                    self.answer(
                        call,
                        Answer::CallReturned(Err(Failure::new(Fault::Aborted, "operation aborted"))),
                    );
                    continue;
                }
                Action::Observe(side) => Answer::Copy(match (side, self.over) {
                    (Side::Source, true) | (Side::Destination, false) => CopyState::Absent,
                    (Side::Source, false) | (Side::Destination, true) => CopyState::Running,
                }),
                Action::Resume(_)
                | Action::Destroy(_)
                | Action::Suspend
                | Action::Undefine(_)
                | Action::RemoveDisks(_) => Answer::Acted(Ok(())),
            };
            self.answer(id, answer);
        }
    }

    fn job(&self) -> JobReport {
        let ms = self.now.as_ms();
        let iteration = self.iterations.iter().filter(|(begin, _)| *begin <= ms).count();
        let (begin, first) = (self.iterations[iteration.saturating_sub(1)].0, self.iterations[0].1 * MIB);
        let to_send = if iteration == 0 { first } else { self.iterations[iteration - 1].1 * MIB };
        let sent = ms.saturating_sub(begin) * BANDWIDTH / 1000;
        // An iteration sends what the guest dirtied during the previous one.
        let dirty_rate = match iteration {
            0 | 1 => 0,
            _ => to_send * 1000 / (begin - self.iterations[iteration - 2].0),
        };
        let statistics = Statistics {
            elapsed_ms: ms,
            memory_total_bytes: first,
            memory_remaining_bytes: to_send.saturating_sub(sent),
            page_size_bytes: 4096,
            iteration: iteration as u64,
            dirty_rate_pages_per_second: Some(dirty_rate / 4096),
            bandwidth_bytes_per_second: Some(if ms < 500 { 0 } else { BANDWIDTH - (ms * 7919 % 9) * MIB }),
            downtime_ms: Some(if self.over { 31 } else { 300 }),
            ..Statistics::default()
        };
        let state = if self.over { JobState::Completed } else { JobState::Active };
        JobReport { state, statistics }
    }
}

fn warned() -> Verdict {
    Verdict {
        findings: vec![Finding {
            code: "destination.memory-is-short".to_owned(),
            severity: Severity::Warning,
            message: "beta has 1.2 GiB of free memory".to_owned(),
            remediation: "free some memory on beta".to_owned(),
        }],
        basis: None,
    }
}

fn facts() -> Box<Facts> {
    serde_json::from_str(include_str!("../../../core/tests/facts.json")).unwrap()
}
