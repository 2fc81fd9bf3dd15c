//! In which order the pump lets things take effect.

use crate::driver::{ORIGINALS, facts, spec};
use whimbrel_core::journal::{self, Record};
use whimbrel_core::{
    Action, Answer, Command, CommandId, CopyState, Ending, Failure, Fault, Finding, GuestRun, Input, Instant,
    Migration, Misuse, Observation, Outcome, Output, Pump, Request, Severity, Side, Sink, Verdict, View,
};

/// A call of the sink.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Told {
    Ended(Ending),
    /// With the number of commands that come of it.
    Record(Input, usize),
    Abandoned(CommandId),
    Command(Action),
}

#[derive(Default)]
struct Written {
    told: Vec<Told>,
    commands: Vec<Command>,
    journal: String,
}

impl Sink for Written {
    fn ended(&mut self, outcome: &Outcome) {
        self.told.push(Told::Ended(outcome.ending));
    }

    fn record(&mut self, record: Record, outputs: &[Output], view: View<'_>) {
        assert_eq!(record.state_digest, view.state_digest);
        self.journal += &(journal::record_line(&record) + "\n");
        let commands = outputs.iter().filter(|output| matches!(output, Output::Command(_))).count();
        self.told.push(Told::Record(record.input, commands));
    }

    fn abandon_call(&mut self, call: CommandId) {
        self.told.push(Told::Abandoned(call));
    }

    fn command(&mut self, command: Command) {
        self.told.push(Told::Command(command.action.clone()));
        self.commands.push(command);
    }
}

struct Bench {
    pump: Pump,
    sink: Written,
    now: Instant,
}

impl Bench {
    /// A requested migration.
    fn begun() -> Self {
        let pump = Pump::new(Migration::new(spec()).unwrap());
        let mut bench = Self { pump, sink: Written::default(), now: Instant::BEGIN };
        bench.feed(Input::Operator(Request::Begin)).unwrap();
        bench
    }

    /// One whose migrate call was given.
    fn copying() -> (Self, CommandId) {
        let mut bench = Self::begun();
        bench.answer(Answer::Facts(Ok(facts(GuestRun::Running))));
        bench.answer(Answer::Verdict(Verdict::default()));
        bench.answer(Answer::Settings(Ok(ORIGINALS)));
        bench.answer(Answer::Applied(Ok(())));
        bench.answer(Answer::Applied(Ok(())));
        let call = bench.last(&Action::StartMigration);
        (bench, call)
    }

    fn feed(&mut self, input: Input) -> Result<usize, Misuse> {
        self.pump.feed(self.now, input, &mut self.sink)
    }

    /// Answers the command that was given last.
    fn answer(&mut self, answer: Answer) {
        let to = self.sink.commands.last().unwrap().id;
        self.feed(answered(to, answer)).unwrap();
    }

    fn last(&self, action: &Action) -> CommandId {
        self.sink.commands.iter().rfind(|command| command.action == *action).unwrap().id
    }

    fn told_by(&mut self, input: Input) -> Vec<Told> {
        self.sink.told.clear();
        self.feed(input).unwrap();
        std::mem::take(&mut self.sink.told)
    }
}

fn answered(to: CommandId, answer: Answer) -> Input {
    Input::Hypervisor(Observation::Answer { to, answer })
}

#[test]
fn an_input_is_on_record_before_its_commands_are_given() {
    let mut bench = Bench::begun();
    let begin = Input::Operator(Request::Begin);
    assert_eq!(bench.sink.told, [Told::Record(begin, 1), Told::Command(Action::CollectFacts)]);
    let arrived = answered(bench.last(&Action::CollectFacts), Answer::Facts(Ok(facts(GuestRun::Running))));
    let rules = Told::Command(Action::EvaluateRules(facts(GuestRun::Running)));
    assert_eq!(bench.told_by(arrived.clone()), [Told::Record(arrived, 1), rules]);
}

#[test]
fn a_call_that_is_not_awaited_any_more_is_abandoned_between_the_record_and_the_commands() {
    let (mut bench, call) = Bench::copying();
    let failed = answered(call, Answer::CallReturned(Err(Failure::new(Fault::Other, "it broke"))));
    let told = bench.told_by(failed.clone());
    let [Told::Record(input, commands), Told::Abandoned(abandoned), rest @ ..] = &told[..] else {
        panic!("{told:?}");
    };
    assert_eq!((input, *commands, *abandoned), (&failed, rest.len(), call));
    assert!(rest.contains(&Told::Command(Action::Observe(Side::Source))), "{rest:?}");

    // Later inputs do not abandon it again.
    let look = answered(bench.last(&Action::Observe(Side::Source)), Answer::Copy(CopyState::Running));
    assert!(!bench.told_by(look).contains(&Told::Abandoned(call)));
}

#[test]
fn whoever_restarts_or_leaves_abandons_the_call() {
    let (bench, call) = Bench::copying();
    let Bench { pump, mut sink, .. } = bench;
    sink.told.clear();
    pump.leave(&mut sink);
    assert_eq!(sink.told, [Told::Abandoned(call)]);

    let (mut bench, call) = Bench::copying();
    let told = bench.told_by(Input::Restarted);
    assert_eq!(told.iter().position(|one| *one == Told::Abandoned(call)), Some(1), "{told:?}");
    bench.sink.told.clear();
    bench.pump.leave(&mut bench.sink);
    assert_eq!(bench.sink.told, [], "no call is out");
}

#[test]
fn a_misuse_is_recorded_and_nothing_else_happens() {
    let mut bench = Bench::begun();
    bench.sink.told.clear();
    let never_asked = answered(CommandId(77), Answer::Abort(Ok(())));
    assert_eq!(bench.feed(never_asked.clone()), Err(Misuse::UnknownCommand(CommandId(77))));
    assert_eq!(bench.sink.told, [Told::Record(never_asked, 0)]);
    // It goes on as if nothing had come.
    let id = bench.last(&Action::CollectFacts);
    assert_eq!(bench.feed(answered(id, Answer::Facts(Ok(facts(GuestRun::Running))))), Ok(1));
}

#[test]
fn the_rules_answer_by_id_like_everybody_else_and_a_cancel_may_overtake_them() {
    let mut bench = Bench::begun();
    bench.answer(Answer::Facts(Ok(facts(GuestRun::Running))));
    let rules = bench.sink.commands.last().unwrap().clone();
    assert!(matches!(rules.action, Action::EvaluateRules(_)));
    // They are not answered yet.
    assert_eq!(bench.pump.migration().view().outcome, None);
    let verdict = Answer::Verdict(Verdict::default());
    assert_eq!(bench.told_by(answered(rules.id, verdict)).last(), Some(&Told::Command(Action::ReadSettings)));

    let mut bench = Bench::begun();
    bench.answer(Answer::Facts(Ok(facts(GuestRun::Running))));
    let rules = bench.sink.commands.last().unwrap().id;
    let told = bench.told_by(Input::Operator(Request::Cancel));
    assert_eq!(told.first(), Some(&Told::Ended(Ending::Cancelled)));
    // Inputs after the end do no harm.
    assert_eq!(bench.feed(answered(rules, Answer::Verdict(Verdict::default()))), Ok(0));
}

#[test]
fn the_end_is_told_once_and_before_its_record() {
    let mut bench = Bench::begun();
    bench.answer(Answer::Facts(Ok(facts(GuestRun::Running))));
    let finding = Finding {
        code: "test.no".to_owned(),
        severity: Severity::Error,
        message: "not this one".to_owned(),
        remediation: "take another".to_owned(),
    };
    let refused = Answer::Verdict(Verdict { findings: vec![finding], basis: None });
    let input = answered(bench.sink.commands.last().unwrap().id, refused);
    assert_eq!(bench.told_by(input.clone()), [Told::Ended(Ending::Failed), Told::Record(input, 0)]);
    assert_eq!(bench.told_by(Input::Timer), [Told::Record(Input::Timer, 0)]);
}

#[test]
fn what_the_sink_recorded_replays() {
    let (bench, _) = Bench::copying();
    let text = journal::header_line(&spec(), None) + "\n" + &bench.sink.journal;
    let replayed = journal::replay(&text, |_, _, _| {}).unwrap();
    assert_eq!(replayed.migration.view().state_digest, bench.pump.migration().view().state_digest);
    assert_eq!(
        bench.pump.clone().into_migration().view().state_digest,
        replayed.migration.view().state_digest
    );
}

/// A record costs a copy of its input: a sink that keeps none does not pay for it.
#[test]
fn nobody_has_to_keep_records() {
    struct Deaf;
    impl Sink for Deaf {
        fn keeps_records(&self) -> bool {
            false
        }
        fn record(&mut self, record: Record, _: &[Output], _: View<'_>) {
            panic!("{record:?}");
        }
        fn abandon_call(&mut self, _: CommandId) {}
        fn command(&mut self, _: Command) {}
    }
    let mut pump = Pump::new(Migration::new(spec()).unwrap());
    assert_eq!(pump.feed(Instant::BEGIN, Input::Operator(Request::Begin), &mut Deaf), Ok(1));
}
