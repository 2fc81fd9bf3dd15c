//! A driver that gives the answers that a test sets, and checks the invariants on every command.

use std::collections::BTreeMap;

use whimbrel_core::convergence::Statistics;
use whimbrel_core::journal::{self, Record};
use whimbrel_core::port::{JobReport, JobState, Setting, Settings};
use whimbrel_core::{
    Action, Adjustment, AdjustmentKind, AdjustmentResult, Answer, CancelAnswer, Command, CommandId,
    CopyState, Event, Facts, Failure, Fault, GuestFacts, GuestRun, Hint, HostFacts, Input, Instant,
    Migration, Observation, Outcome, Output, Request, Side, Spec, Takeover, Verdict,
};

pub(crate) const ORIGINALS: Settings =
    Settings { downtime_limit_ms: 300, bandwidth_limit_bytes_per_second: 1 << 40 };

pub(crate) fn spec() -> Spec {
    let mut spec = Spec::new("web", "alpha", "beta");
    spec.downtime_limit_ms = Some(500);
    spec.bandwidth_limit_bytes_per_second = Some(64 << 20);
    spec.timeout_ms = Some(60_000);
    spec.transfer.postcopy = true;
    spec.transfer.copy_disks = true;
    spec
}

/// A disk that the destination does not have.
pub(crate) const DISK: &str = "/images/web.img";

pub(crate) fn facts(run: GuestRun) -> Box<Facts> {
    let host = |name: &str| HostFacts {
        uri: name.to_owned(),
        hostname: name.to_owned(),
        host_uuid: name.to_owned(),
        hypervisor: "QEMU".to_owned(),
        architecture: "x86_64".to_owned(),
        library_version: 9_000_000,
        hypervisor_version: 7_002_000,
        free_memory_bytes: None,
        has_guest: None,
    };
    Box::new(Facts {
        guest: GuestFacts {
            name: "web".to_owned(),
            uuid: "c7a5fdbd-edaf-9455-926a-d65c16db1809".to_owned(),
            run,
            persistent: true,
            memory_bytes: 1 << 30,
            job_active: false,
        },
        source: host("alpha"),
        destination: host("beta"),
        disks_to_make: vec![DISK.to_owned()],
    })
}

pub(crate) struct Driver {
    pub(crate) migration: Migration,
    pub(crate) now: Instant,
    pub(crate) out: BTreeMap<CommandId, Action>,
    pub(crate) events: Vec<Event>,
    pub(crate) actions: Vec<Action>,
    pub(crate) journal: String,
    last_look: BTreeMap<bool, CopyState>,
    /// Whether post-copy was seen, or requested and not refused.
    postcopy: bool,
    pub(crate) settings: Settings,
}

impl Driver {
    pub(crate) fn new(spec: Spec) -> Self {
        let journal = journal::header_line(&spec, None) + "\n";
        let mut driver = Self::with_journal(spec, journal);
        driver.feed(Input::Operator(Request::Begin));
        driver
    }

    /// A driver that takes a migration over from its journal, which it continues.
    pub(crate) fn taking_over(journal: &str, takeover: Takeover, settings: Settings, now: Instant) -> Self {
        let spec = journal::header(journal).unwrap().spec;
        let mut driver = Self::with_journal(spec, journal.to_owned());
        driver.settings = settings;
        driver.now = now;
        driver.feed(Input::TakenOver(Box::new(takeover)));
        driver
    }

    fn with_journal(spec: Spec, journal: String) -> Self {
        Self {
            migration: Migration::new(spec).unwrap(),
            now: Instant::BEGIN,
            out: BTreeMap::new(),
            events: Vec::new(),
            actions: Vec::new(),
            journal,
            last_look: BTreeMap::new(),
            postcopy: false,
            settings: ORIGINALS,
        }
    }

    pub(crate) fn feed(&mut self, input: Input) {
        let outputs: Vec<_> =
            self.migration.handle(self.now, input.clone()).expect("the driver keeps the protocol").collect();
        let record = Record::of(&self.migration, self.now, input);
        self.journal += &(journal::record_line(&record) + "\n");
        for output in outputs {
            match output {
                Output::Event(event) => self.events.push(event),
                Output::Command(Command { id, action }) => {
                    self.check(&action);
                    self.postcopy |= action == Action::StartPostcopy;
                    self.actions.push(action.clone());
                    self.out.insert(id, action);
                }
            }
        }
    }

    /// The invariants, by what this driver answered last, not by what the machine believes.
    fn check(&self, action: &Action) {
        let seen = |side: Side| self.last_look.get(&(side == Side::Source)).copied();
        let gone = |side: Side| seen(side).is_some_and(CopyState::is_gone);
        match action {
            Action::Resume(side) => {
                assert!(gone(side.other()), "two copies could run");
                assert!(*side == Side::Destination || !self.postcopy, "what was left behind would run");
            }
            Action::Destroy(side) => assert_eq!(seen(side.other()), Some(CopyState::Running)),
            Action::Undefine(side) => {
                assert_eq!(seen(*side), Some(CopyState::Defined));
                assert!(matches!(seen(side.other()), Some(CopyState::Running | CopyState::Defined)));
            }
            Action::RemoveDisks(disks) => {
                assert!(gone(Side::Destination), "a guest could use them");
                assert_eq!(*disks, [DISK], "nothing else was made");
            }
            _ => {}
        }
    }

    pub(crate) fn answer(&mut self, id: CommandId, answer: Answer) {
        match (self.out.remove(&id), &answer) {
            (Some(Action::Observe(side)), Answer::Copy(state)) => {
                self.last_look.insert(side == Side::Source, *state);
                self.postcopy |= state.is_half();
            }
            (Some(Action::StartPostcopy), Answer::Postcopy(Err(failure))) => {
                self.postcopy &= failure.fault != Fault::Refused;
            }
            (Some(Action::ApplySetting(setting)), Answer::Applied(Ok(()))) => match setting {
                Setting::DowntimeLimitMs(ms) => self.settings.downtime_limit_ms = ms,
                Setting::BandwidthLimitBytesPerSecond(rate) => {
                    self.settings.bandwidth_limit_bytes_per_second = rate;
                }
            },
            _ => {}
        }
        self.feed(Input::Hypervisor(Observation::Answer { to: id, answer }));
    }

    /// Answers the oldest command that is of this kind.
    pub(crate) fn answer_where(&mut self, kind: impl Fn(&Action) -> bool, answer: Answer) {
        let id = *self.out.iter().rfind(|(_, action)| kind(action)).expect("such a command is out").0;
        self.answer(id, answer);
    }

    pub(crate) fn hint(&mut self, hint: Hint) {
        self.feed(Input::Hypervisor(Observation::Hint(hint)));
    }

    pub(crate) fn timer(&mut self) -> bool {
        let Some(deadline) = self.migration.deadline() else { return false };
        self.now = self.now.max(deadline);
        self.feed(Input::Timer);
        true
    }

    pub(crate) fn react(&mut self, adjustment: Adjustment) {
        self.feed(Input::Operator(Request::React(adjustment)));
    }

    /// The driver is gone, and with it every answer; another one continues from the journal.
    pub(crate) fn restart(&mut self) {
        self.migration =
            journal::replay(&self.journal, |_, _, _| {}).expect("its own journal replays").migration;
        self.out.clear();
        self.feed(Input::Restarted);
    }

    pub(crate) fn cancel(&mut self) {
        self.feed(Input::Operator(Request::Cancel));
    }

    /// Up to the reading of the settings: the facts are there, and no rule stands against it.
    pub(crate) fn pass_validation(&mut self, run: GuestRun) {
        self.pass_validation_with(facts(run));
    }

    fn pass_validation_with(&mut self, facts: Box<Facts>) {
        self.answer_where(|action| *action == Action::CollectFacts, Answer::Facts(Ok(facts)));
        self.answer_where(
            |action| matches!(action, Action::EvaluateRules(_)),
            Answer::Verdict(Verdict::default()),
        );
    }

    /// Up to the first change of a setting.
    pub(crate) fn reach_first_change(&mut self, run: GuestRun) {
        self.pass_validation(run);
        self.answer_where(|action| *action == Action::ReadSettings, Answer::Settings(Ok(ORIGINALS)));
    }

    /// Up to a copy that runs.
    pub(crate) fn reach_precopy(&mut self, run: GuestRun) {
        self.reach_precopy_with(facts(run));
    }

    /// The same for a guest and hosts of which this is known.
    pub(crate) fn reach_precopy_with(&mut self, facts: Box<Facts>) {
        self.pass_validation_with(facts);
        self.answer_where(|action| *action == Action::ReadSettings, Answer::Settings(Ok(ORIGINALS)));
        for _ in 0..2 {
            self.answer_where(|action| matches!(action, Action::ApplySetting(_)), Answer::Applied(Ok(())));
        }
        assert!(self.actions.contains(&Action::StartMigration));
    }

    pub(crate) fn call_returns(&mut self, result: Result<(), Fault>) {
        let answer = Answer::CallReturned(result.map_err(|fault| Failure::new(fault, "as the test says")));
        self.answer_where(|action| *action == Action::StartMigration, answer);
    }

    pub(crate) fn resume_returns(&mut self, result: Result<(), Fault>) {
        let answer = Answer::CallReturned(result.map_err(|fault| Failure::new(fault, "as the test says")));
        self.answer_where(|action| *action == Action::ResumePostcopy, answer);
    }

    pub(crate) fn look_shows(&mut self, source: CopyState, destination: CopyState) {
        self.answer_where(|action| *action == Action::Observe(Side::Source), Answer::Copy(source));
        self.answer_where(|action| *action == Action::Observe(Side::Destination), Answer::Copy(destination));
    }

    /// Continues until the migration has ended: answers by these rules, observes and lets time pass.
    pub(crate) fn ends_with(
        &mut self,
        source: CopyState,
        destination: CopyState,
        answer: impl Fn(&Action) -> Option<Answer>,
    ) {
        while self.migration.view().outcome.is_none() {
            let told = self.out.iter().find_map(|(id, action)| Some((*id, answer(action)?)));
            if let Some((id, answer)) = told {
                self.answer(id, answer);
            } else if self.out.values().any(|action| *action == Action::Observe(Side::Source)) {
                self.look_shows(source, destination);
            } else {
                self.timer();
            }
        }
    }

    /// Every query shows this, until the migration is in another phase or has ended.
    pub(crate) fn keeps_showing(&mut self, source: CopyState, destination: CopyState) {
        let phase = self.migration.view().phase;
        while self.migration.view().phase == phase {
            if self.out.values().any(|action| *action == Action::Observe(Side::Source)) {
                self.look_shows(source, destination);
            } else {
                self.timer();
            }
        }
    }

    /// The next query shows this, as soon as it is made.
    pub(crate) fn next_look_shows(&mut self, source: CopyState, destination: CopyState) {
        while !self.out.values().any(|action| *action == Action::Observe(Side::Source)) {
            assert!(self.timer(), "a look is made sooner or later");
        }
        self.look_shows(source, destination);
    }

    /// A query during the copy that shows the destination receiving the guest.
    pub(crate) fn destination_receives(&mut self) {
        self.timer();
        self.job(JobState::Active, 1, 1000);
        self.answer_where(
            |action| *action == Action::Observe(Side::Destination),
            Answer::Copy(CopyState::Incoming),
        );
    }

    pub(crate) fn job(&mut self, state: JobState, iteration: u64, remaining: u64) {
        let statistics = Statistics {
            iteration,
            memory_remaining_bytes: remaining,
            downtime_ms: Some(42),
            ..Statistics::default()
        };
        self.answer_where(
            |action| *action == Action::PollJob,
            Answer::Job(Ok(JobReport { state, statistics })),
        );
    }

    /// Everything that is to be put back is, disks included.
    pub(crate) fn restores(&mut self) {
        let is_setting = |action: &Action| matches!(action, Action::ApplySetting(_));
        // In the order in which they were given, those that are not awaited any more included.
        while let Some(id) = self.out.iter().find(|(_, action)| is_setting(action)).map(|(id, _)| *id) {
            self.answer(id, Answer::Applied(Ok(())));
        }
        if self.out.values().any(|action| matches!(action, Action::RemoveDisks(_))) {
            self.answer_where(|action| matches!(action, Action::RemoveDisks(_)), Answer::Acted(Ok(())));
        }
    }

    pub(crate) fn outcome(&self) -> &Outcome {
        self.migration.view().outcome.expect("the migration has ended")
    }

    pub(crate) fn cancel_answers(&self) -> Vec<CancelAnswer> {
        self.events
            .iter()
            .filter_map(|event| if let Event::CancelAnswered(answer) = event { Some(*answer) } else { None })
            .collect()
    }

    pub(crate) fn reactions(&self) -> Vec<(AdjustmentKind, AdjustmentResult)> {
        let told = |event: &Event| match event {
            Event::Reacted(reaction, result) => Some((*reaction, *result)),
            _ => None,
        };
        self.events.iter().filter_map(told).collect()
    }

    /// How often this was ordered.
    pub(crate) fn times(&self, action: &Action) -> usize {
        self.actions.iter().filter(|done| *done == action).count()
    }

    pub(crate) fn did(&self, action: &Action) -> bool {
        self.actions.contains(action)
    }
}
