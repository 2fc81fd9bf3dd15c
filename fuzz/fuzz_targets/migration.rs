//! The state machine behind a driver that keeps the protocol, except where it breaks it on purpose. Bytes choose requests,
//! answers, lost and stale answers, hints, timers and restarts.
//!
//! Checked on the way: no input stops the machine; a driver that keeps the protocol is never refused, and an input that breaks
//! it changes nothing; a copy is resumed only if the last observation of the other host was without the guest, and destroyed
//! only if the other copy was seen running. At the end hosts answer truthfully, and the migration must end; its journal must
//! replay to the same state.

#![no_main]

use std::collections::BTreeMap;

use libfuzzer_sys::arbitrary::{Result as Bytes, Unstructured};
use libfuzzer_sys::fuzz_target;
use whimbrel_core::convergence::Statistics;
use whimbrel_core::journal::{self, Record};
use whimbrel_core::port::{JobReport, JobState, Settings};
use whimbrel_core::{
    Action, Adjustment, Answer, Command, CommandId, CopyState, Facts, Failure, Fault, GuestFacts, GuestRun,
    Hint, HostFacts, Input, Instant, Migration, Observation, Output, Request, Side, Spec, Verdict,
};

const FAULTS: [Fault; 6] = [
    Fault::Refused,
    Fault::ReplyLost,
    Fault::Aborted,
    Fault::SourceUnreachable,
    Fault::DestinationUnreachable,
    Fault::Other,
];
const RUNS: [GuestRun; 3] = [GuestRun::Running, GuestRun::Paused, GuestRun::NotRunning];
const ORIGINALS: Settings = Settings { downtime_limit_ms: 300, bandwidth_limit_bytes_per_second: 1 << 40 };
/// Most truthful answers and timers from any state to the end: a minute of polls each 250 ms, and both timeouts after it.
const MOST_STEPS: usize = 20_000;

struct Driver {
    migration: Migration,
    now: Instant,
    out: BTreeMap<CommandId, Action>,
    journal: String,
    seen: [Option<CopyState>; 2],
    given: u32,
}

impl Driver {
    fn new(spec: Spec) -> Self {
        let journal = journal::header_line(&spec, None) + "\n";
        Self {
            migration: Migration::new(spec).expect("the spec is within its bounds"),
            now: Instant::BEGIN,
            out: BTreeMap::new(),
            journal,
            seen: [None; 2],
            given: 0,
        }
    }

    /// Whether the machine took the input.
    fn feed(&mut self, input: Input) -> bool {
        let before = (self.migration.view().phase, self.migration.view().state_digest);
        let handled: Result<Vec<Output>, _> =
            self.migration.handle(self.now, input.clone()).map(Iterator::collect);
        let Ok(outputs) = handled else {
            assert_eq!(before, (self.migration.view().phase, self.migration.view().state_digest));
            return false;
        };
        let record = Record::of(&self.migration, self.now, input);
        self.journal += &(journal::record_line(&record) + "\n");
        for output in outputs {
            if let Output::Command(Command { id, action }) = output {
                self.check(&action);
                self.given = self.given.max(id.0 + 1);
                self.out.insert(id, action);
            }
        }
        true
    }

    fn keeps(&mut self, input: Input) {
        assert!(self.feed(input.clone()), "{input:?} keeps the protocol");
    }

    fn check(&self, action: &Action) {
        let seen = |side: Side| self.seen[usize::from(side == Side::Destination)];
        match action {
            Action::Resume(side) => assert!(seen(side.other()).is_some_and(CopyState::is_gone)),
            Action::Destroy(side) => assert_eq!(seen(side.other()), Some(CopyState::Running)),
            _ => {}
        }
    }

    fn answer(&mut self, id: CommandId, answer: Answer) {
        if let (Some(Action::Observe(side)), Answer::Copy(state)) = (self.out.remove(&id), &answer) {
            self.seen[usize::from(side == Side::Destination)] = Some(*state);
        }
        self.keeps(Input::Hypervisor(Observation::Answer { to: id, answer }));
    }

    /// A command that may be answered now: of changed settings the oldest only, because they are applied in order.
    fn answerable(&self, choice: usize) -> Option<(CommandId, Action)> {
        let is_setting = |action: &Action| matches!(action, Action::ApplySetting(_));
        let oldest = self.out.iter().find(|(_, action)| is_setting(action)).map(|(id, _)| *id);
        let may = |(id, action): &(&CommandId, &Action)| !is_setting(action) || Some(**id) == oldest;
        let open: Vec<_> = self.out.iter().filter(may).collect();
        let (id, action) = open.get(choice.checked_rem(open.len())?)?;
        Some((**id, (*action).clone()))
    }

    fn timer(&mut self, late_ms: u64) {
        if let Some(deadline) = self.migration.deadline() {
            self.now = self.now.max(deadline).plus_ms(late_ms);
        }
        self.keeps(Input::Timer);
    }
}

fn spec(u: &mut Unstructured<'_>) -> Bytes<Spec> {
    let mut spec = Spec::new("web", "alpha", "beta");
    spec.downtime_limit_ms = u.arbitrary::<bool>()?.then_some(500);
    spec.bandwidth_limit_bytes_per_second = u.arbitrary::<bool>()?.then_some(64 << 20);
    spec.timeout_ms = Some(60_000);
    spec.transfer.postcopy = u.arbitrary()?;
    spec.transfer.copy_disks = u.arbitrary()?;
    // Only the definition is moved then, and no other option goes with it.
    if u.ratio(1, 8)? {
        spec.transfer.postcopy = false;
        spec.transfer.copy_disks = false;
        spec.transfer.offline = true;
    }
    Ok(spec)
}

fn facts(u: &mut Unstructured<'_>) -> Bytes<Box<Facts>> {
    let mut host = |name: &str| {
        Ok(HostFacts {
            uri: name.to_owned(),
            hostname: name.to_owned(),
            host_uuid: name.to_owned(),
            hypervisor: "QEMU".to_owned(),
            architecture: "x86_64".to_owned(),
            library_version: 9_000_000,
            hypervisor_version: 7_002_000,
            free_memory_bytes: u.arbitrary()?,
            has_guest: if u.ratio(1, 4)? { Some(*u.choose(&RUNS)?) } else { None },
        })
    };
    let (source, destination) = (host("alpha")?, host("beta")?);
    Ok(Box::new(Facts {
        guest: GuestFacts {
            name: "web".to_owned(),
            uuid: "c7a5fdbd-edaf-9455-926a-d65c16db1809".to_owned(),
            run: *u.choose(&RUNS)?,
            persistent: u.arbitrary()?,
            memory_bytes: u.arbitrary()?,
            job_active: u.arbitrary()?,
        },
        source,
        destination,
        disks_to_make: if u.arbitrary()? { vec!["/images/web.img".to_owned()] } else { Vec::new() },
    }))
}

fn result(u: &mut Unstructured<'_>) -> Bytes<Result<(), Failure>> {
    Ok(if u.arbitrary()? { Ok(()) } else { Err(Failure::new(*u.choose(&FAULTS)?, "as the bytes say")) })
}

fn statistics(u: &mut Unstructured<'_>) -> Bytes<Statistics> {
    Ok(Statistics {
        elapsed_ms: u.arbitrary()?,
        memory_total_bytes: u.arbitrary()?,
        memory_remaining_bytes: u.arbitrary()?,
        memory_sent_bytes: u.arbitrary()?,
        pages_sent: u.arbitrary()?,
        page_size_bytes: u.arbitrary()?,
        iteration: u.arbitrary()?,
        dirty_rate_pages_per_second: u.arbitrary()?,
        downtime_ms: u.arbitrary()?,
        ..Statistics::default()
    })
}

fn any_answer(action: &Action, u: &mut Unstructured<'_>) -> Bytes<Answer> {
    Ok(match action {
        Action::CollectFacts => match result(u)? {
            Ok(()) => Answer::Facts(Ok(facts(u)?)),
            Err(failure) => Answer::Facts(Err(failure)),
        },
        Action::EvaluateRules(_) => Answer::Verdict(Verdict::default()),
        Action::ReadSettings => Answer::Settings(result(u)?.map(|()| ORIGINALS)),
        Action::ApplySetting(_) => Answer::Applied(result(u)?),
        Action::StartMigration | Action::ResumePostcopy => Answer::CallReturned(result(u)?),
        Action::StartPostcopy => Answer::Postcopy(result(u)?),
        Action::PollJob => {
            let state = *u.choose(&[JobState::None, JobState::Active, JobState::Completed])?;
            let statistics = statistics(u)?;
            Answer::Job(result(u)?.map(|()| JobReport { state, statistics }))
        }
        Action::AbortMigration => Answer::Abort(result(u)?),
        Action::Observe(_) => Answer::Copy(*u.choose(&CopyState::ALL)?),
        Action::Resume(_)
        | Action::Destroy(_)
        | Action::Suspend
        | Action::Undefine(_)
        | Action::RemoveDisks(_) => Answer::Acted(result(u)?),
    })
}

/// What hosts answer that have given up the migration and are well.
fn true_answer(action: &Action) -> Answer {
    match action {
        Action::CollectFacts => Answer::Facts(Err(Failure::new(Fault::GuestNotFound, "gone"))),
        Action::EvaluateRules(_) => Answer::Verdict(Verdict::default()),
        Action::ReadSettings => Answer::Settings(Ok(ORIGINALS)),
        Action::ApplySetting(_) => Answer::Applied(Ok(())),
        Action::StartMigration | Action::ResumePostcopy => {
            Answer::CallReturned(Err(Failure::new(Fault::Other, "given up")))
        }
        Action::StartPostcopy => Answer::Postcopy(Ok(())),
        Action::PollJob => {
            Answer::Job(Ok(JobReport { state: JobState::None, statistics: Statistics::default() }))
        }
        Action::AbortMigration => Answer::Abort(Ok(())),
        Action::Observe(Side::Source) => Answer::Copy(CopyState::Running),
        Action::Observe(Side::Destination) => Answer::Copy(CopyState::Absent),
        Action::Resume(_)
        | Action::Destroy(_)
        | Action::Suspend
        | Action::Undefine(_)
        | Action::RemoveDisks(_) => Answer::Acted(Ok(())),
    }
}

fn step(driver: &mut Driver, u: &mut Unstructured<'_>) -> Bytes<()> {
    match u.int_in_range(0..=15_u8)? {
        0 => driver.keeps(Input::Operator(Request::Cancel)),
        1 => driver.keeps(Input::Hypervisor(Observation::Hint(*u.choose(&Hint::ALL)?))),
        2 => driver.timer(u64::from(u.arbitrary::<u16>()?)),
        3 => {
            let wish = match u.int_in_range(0..=3_u8)? {
                0 => Adjustment::DowntimeLimitMs(u.arbitrary()?),
                1 => Adjustment::BandwidthLimitBytesPerSecond(u.arbitrary()?),
                2 => Adjustment::Pause,
                _ => Adjustment::Postcopy,
            };
            driver.keeps(Input::Operator(Request::React(wish)));
        }
        4 => {
            driver.out.clear();
            driver.keeps(Input::Restarted);
        }
        // Time passes, and a timer comes early.
        5 => {
            driver.now = driver.now.plus_ms(u64::from(u.arbitrary::<u16>()?));
            driver.keeps(Input::Timer);
        }
        // An answer is lost.
        6 => {
            if let Some((id, _)) = driver.answerable(u.arbitrary::<u8>()?.into()) {
                driver.out.remove(&id);
            }
        }
        // Broken on purpose: a second beginning, answers to commands that were never given, and answers of any kind.
        7 => {
            driver.feed(Input::Operator(Request::Begin));
        }
        8 => {
            let to = CommandId(driver.given.saturating_add(u.arbitrary::<u8>()?.into()));
            let refused =
                !driver.feed(Input::Hypervisor(Observation::Answer { to, answer: Answer::Acted(Ok(())) }));
            assert!(refused, "command {} was never given", to.0);
        }
        9 => {
            let to = CommandId(u.int_in_range(0..=driver.given)?);
            // The right kind of answer would be a true one, and would have to be taken off the list.
            if !driver.out.contains_key(&to) {
                driver.feed(Input::Hypervisor(Observation::Answer {
                    to,
                    answer: Answer::Copy(CopyState::Unknown),
                }));
            }
        }
        _ => {
            if let Some((id, action)) = driver.answerable(u.arbitrary::<u8>()?.into()) {
                let answer = any_answer(&action, u)?;
                driver.answer(id, answer);
            }
        }
    }
    Ok(())
}

fuzz_target!(|bytes: &[u8]| {
    let mut u = Unstructured::new(bytes);
    let Ok(spec) = spec(&mut u) else { return };
    let mut driver = Driver::new(spec);
    driver.keeps(Input::Operator(Request::Begin));
    while !u.is_empty() && step(&mut driver, &mut u).is_ok() {}

    for _ in 0..MOST_STEPS {
        if driver.migration.view().outcome.is_some() {
            break;
        }
        match driver.answerable(0) {
            Some((id, action)) => driver.answer(id, true_answer(&action)),
            None => driver.timer(0),
        }
    }
    assert!(driver.migration.view().outcome.is_some(), "it ends once hosts answer truthfully");
    let replayed = journal::replay(&driver.journal, |_, _, _| {}).expect("its own journal replays").migration;
    assert_eq!(replayed.view().state_digest, driver.migration.view().state_digest);
    assert_eq!(replayed.view().outcome, driver.migration.view().outcome);
});
