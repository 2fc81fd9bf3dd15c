//! One process of the program, and migrations in it: the shipped machine, pump and driver, in virtual time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Instant as Clock;

use whimbrel_core::journal::Record;
use whimbrel_core::{
    Action, Adjustment, Answer, Command, CommandId, Facts, Input, Instant, Migration, Observation, Outcome,
    Output, Pump, Request, Sink, Spec, Verdict, View,
};
use whimbrel_drive::hosts::{Assignment, Ends, HostDriver as _, Route};
use whimbrel_drive::owner::Owner;
use whimbrel_drive::uri::{HostUri, Origin};
use whimbrel_drive::{Message, Port};
use whimbrel_sim::kit::TestGuest;
use whimbrel_sim::world::{GuestId, ProcessState};

use super::Fake;
use super::connection::FakeLibrary;
use super::schedule::FakeThreads;
use crate::LibvirtHosts;
use crate::access::Access;

/// The command of a test.
const FOREIGN_COMMAND: CommandId = CommandId(u32::MAX);

/// A process of the program: it counts attempts and calls, and it can be killed.
#[derive(Clone, Debug)]
pub(super) struct Process {
    pub(super) fake: Arc<Fake>,
    is_killed: Arc<AtomicBool>,
    pub(super) access: Access,
    pub(super) hosts: LibvirtHosts,
}

impl Process {
    pub(super) fn new(fake: &Arc<Fake>) -> Self {
        let is_killed = Arc::new(AtomicBool::new(false));
        let library = FakeLibrary { fake: Arc::clone(fake), is_killed: Arc::clone(&is_killed) };
        let access = Access::new(Arc::new(library), Arc::new(FakeThreads(Arc::clone(fake))));
        let hosts = LibvirtHosts::over(access.clone());
        Self { fake: Arc::clone(fake), is_killed, access, hosts }
    }

    /// It makes no more calls from now on.
    pub(super) fn kill(&self) {
        self.is_killed.store(true, Ordering::SeqCst);
    }
}

pub(super) fn uri(host: &str) -> String {
    format!("qemu+tcp://{host}/system")
}

pub(super) fn spec(guest: &str) -> Spec {
    Spec::new(guest, uri("alpha"), uri("beta"))
}

/// A migration that is driven.
pub(super) struct Run {
    pub(super) process: Process,
    route: Route,
    owner: Owner,
    pump: Pump,
    port: Box<dyn Port + Send>,
    inbox: Sender<Message>,
    messages: Receiver<Message>,
    began_ns: u64,
    /// Commands in order, for tests.
    pub(super) commands: Vec<Action>,
    pub(super) remarks: Vec<String>,
    pub(super) panics: Vec<String>,
}

/// Where the outputs of one input go.
struct Outlet<'a> {
    port: &'a mut dyn Port,
    commands: Vec<Command>,
    remarks: &'a mut Vec<String>,
}

impl Sink for Outlet<'_> {
    fn keeps_records(&self) -> bool {
        false
    }

    fn ended(&mut self, outcome: &Outcome) {
        self.remarks.extend(self.port.finish(outcome));
    }

    fn record(&mut self, _: Record, _: &[Output], _: View<'_>) {}

    fn abandon_call(&mut self, call: CommandId) {
        self.port.abandon_call(call);
    }

    fn command(&mut self, command: Command) {
        self.commands.push(command);
    }
}

impl Run {
    pub(super) fn begin(process: &Process, spec: Spec) -> Self {
        let route = Route { no_probe: true, ..Route::of(&spec) };
        Self::begin_route(process, spec, route)
    }

    pub(super) fn begin_route(process: &Process, spec: Spec, route: Route) -> Self {
        let owner = Owner::of_journal(format!("{}.journal", spec.guest).as_ref(), 5);
        let mut run = Self::over(process, Pump::new(Migration::new(spec).unwrap()), route, owner, None);
        run.feed(Input::Operator(Request::Begin));
        run
    }

    fn over(process: &Process, pump: Pump, route: Route, owner: Owner, known: Option<Facts>) -> Self {
        let (inbox, messages) = channel();
        let parse = |uri: &str| HostUri::parse(uri, Origin::Operator).unwrap();
        let ends = Ends { source: parse(&route.source), destination: parse(&route.destination) };
        let assignment = Assignment { route: route.clone(), known, owner: owner.clone() };
        let port = process.hosts.port(assignment, ends, inbox.clone()).unwrap();
        Self {
            process: process.clone(),
            route,
            owner,
            pump,
            port,
            inbox,
            messages,
            began_ns: process.fake.now_ns(),
            commands: Vec::new(),
            remarks: Vec::new(),
            panics: Vec::new(),
        }
    }

    pub(super) fn migration(&self) -> &Migration {
        self.pump.migration()
    }

    pub(super) fn outcome(&self) -> Option<&Outcome> {
        self.migration().view().outcome
    }

    /// The process is killed, and a new one adopts the migration after so long.
    pub(super) fn restart(self, gone_ns: u64) -> Self {
        Self::restart_all(vec![self], gone_ns).pop().unwrap()
    }

    /// The same for every migration of a process. One that has ended is adopted by no one.
    pub(super) fn restart_all(runs: Vec<Self>, gone_ns: u64) -> Vec<Self> {
        let fake = Arc::clone(&runs[0].process.fake);
        let process = Process::new(&fake);
        let mut left = Vec::new();
        for run in runs {
            run.process.kill();
            let Self { route, owner, pump, port, began_ns, commands, remarks, .. } = run;
            drop(port);
            left.push((route, owner, pump, began_ns, commands, remarks));
        }
        let back_ns = fake.now_ns() + gone_ns;
        while fake.now_ns() < back_ns {
            fake.step(back_ns);
        }
        let adopt = |(route, owner, pump, began_ns, commands, remarks): (_, _, Pump, _, _, _)| {
            let known = pump.migration().facts().cloned();
            let mut new = Self::over(&process, pump, route, owner, known);
            (new.began_ns, new.commands, new.remarks) = (began_ns, commands, remarks);
            new.feed(Input::Restarted);
            new
        };
        left.into_iter().map(adopt).collect()
    }

    /// Gives the driver a command that the machine did not give. Its answer is dropped.
    pub(super) fn order(&mut self, action: Action) {
        self.port.execute(Command { id: FOREIGN_COMMAND, action });
    }

    /// Whether the guest's memory is being sent.
    pub(super) fn is_copying(&self) -> bool {
        let inner = &mut *self.process.fake.inner();
        let Some(guest) = inner.guest(|machine| machine.name == self.route.guest) else { return false };
        let hosts: Vec<_> = inner.world.hosts().collect();
        hosts.into_iter().any(|host| {
            inner.world.takes_part(guest, host) == Some(whimbrel_core::Side::Source)
                && inner.world.job(guest, host).is_ok_and(|job| job.statistics.memory_sent_bytes > 0)
        })
    }

    /// Whether a migrate call was sent, and has not come to its daemon.
    pub(super) fn is_call_on_its_way(&self) -> bool {
        self.process.fake.inner().due.iter().any(|(_, due)| matches!(due, super::Due::Call(..)))
    }

    pub(super) fn ask(&mut self, request: Request) {
        self.feed(Input::Operator(request));
    }

    fn now(&self) -> Instant {
        Instant::from_ns(self.process.fake.now_ns().saturating_sub(self.began_ns))
    }

    fn feed(&mut self, input: Input) {
        if self.outcome().is_some() {
            return;
        }
        let now = self.now();
        let mut outlet = Outlet { port: &mut *self.port, commands: Vec::new(), remarks: &mut self.remarks };
        self.pump.feed(now, input, &mut outlet).expect("the driver broke the protocol");
        for command in outlet.commands {
            self.commands.push(command.action.clone());
            if matches!(command.action, Action::EvaluateRules(_)) {
                let answer = Answer::Verdict(Verdict::default());
                let observation = Observation::Answer { to: command.id, answer };
                self.inbox.send(Message::Observed { observation, since: Clock::now() }).unwrap();
            } else {
                self.port.execute(command);
            }
        }
        self.panics = self.port.panics();
    }

    /// Takes what has come, or lets something else go on. False at the limit.
    pub(super) fn step(&mut self, limit_ns: u64) -> bool {
        step_all(std::slice::from_mut(self), limit_ns);
        self.process.fake.now_ns() < limit_ns
    }

    /// Goes on until this holds, or the limit. Whether it holds.
    pub(super) fn until(&mut self, limit_ms: u64, is_reached: impl Fn(&Self) -> bool) -> bool {
        let end_ns = limit_ms * super::MS;
        while !is_reached(self) {
            if !self.step(end_ns) {
                return is_reached(self);
            }
        }
        true
    }

    /// The outcome, by that instant of the world at the latest.
    pub(super) fn end(&mut self, limit_ms: u64) -> Outcome {
        assert!(self.until(limit_ms, |run| run.outcome().is_some()), "it never ends: {self:?}");
        self.outcome().unwrap().clone()
    }

    /// The process ends: every thread has to end with it.
    pub(super) fn finish(self) {
        let fake = Arc::clone(&self.process.fake);
        drop(self.port);
        self.process.kill();
        fake.end();
    }
}

/// A migration of a busy guest from `alpha` to `beta` that has just switched to post-copy, and the guest.
pub(super) fn in_postcopy(fake: &Arc<Fake>) -> (Run, GuestId) {
    let (alpha, beta) = (fake.host("alpha"), fake.host("beta"));
    let busy = TestGuest::new("web", 2048).filled_mib(2000).writing(1500, 2_000_000);
    let guest = fake.add_guest(alpha, busy);
    let mut spec = spec("web");
    spec.transfer.postcopy = true;
    let mut run = Run::begin(&Process::new(fake), spec);
    assert!(run.until(60_000, Run::is_copying));
    run.ask(Request::React(Adjustment::Postcopy));
    let half = |run: &Run| {
        let state = run.process.fake.inner().world.process_state(guest, beta);
        matches!(state, Some(ProcessState::PostcopyDestination { .. }))
    };
    assert!(run.until(60_000, half));
    (run, guest)
}

/// Goes on with several migrations until all have ended.
pub(super) fn end_all(runs: &mut [Run], limit_ms: u64) {
    while runs.iter().any(|run| run.outcome().is_none()) {
        let is_late = runs[0].process.fake.now_ns() >= limit_ms * super::MS;
        assert!(!is_late, "a migration never ends: {:?}", runs.iter().find(|run| run.outcome().is_none()));
        step_all(runs, limit_ms * super::MS);
    }
}

/// Lets each of them take what has come, and otherwise time pass to the next deadline of one of them.
pub(super) fn step_all(runs: &mut [Run], limit_ns: u64) {
    let mut is_quiet = true;
    for run in &mut *runs {
        is_quiet &= !run.take();
    }
    if is_quiet {
        let next = runs.iter().filter(|run| run.outcome().is_none()).filter_map(Run::deadline_ns).min();
        runs[0].process.fake.step(next.unwrap_or(limit_ns).min(limit_ns));
    }
}

impl Run {
    fn deadline_ns(&self) -> Option<u64> {
        self.migration().deadline().map(|deadline| self.began_ns.saturating_add(deadline.as_ns()))
    }

    /// Takes one input, if there is one.
    fn take(&mut self) -> bool {
        let message = self.messages.try_recv();
        if let Ok(message) = message {
            match message {
                Message::Leave
                | Message::Observed {
                    observation: Observation::Answer { to: FOREIGN_COMMAND, .. }, ..
                } => {}
                Message::Observed { observation, .. } => self.feed(Input::Hypervisor(observation)),
                Message::Collected { to, known, .. } => {
                    let answer = Answer::Facts(Ok(known));
                    self.feed(Input::Hypervisor(Observation::Answer { to, answer }));
                }
                Message::Request(request) => self.feed(Input::Operator(request)),
            }
            return true;
        }
        let is_due = self.deadline_ns().is_some_and(|at_ns| at_ns <= self.process.fake.now_ns());
        if is_due && self.outcome().is_none() {
            self.feed(Input::Timer);
            return true;
        }
        false
    }
}

impl std::fmt::Debug for Run {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<_> = self.commands.iter().rev().take(8).collect();
        write!(f, "`{}` in {:?}, last commands {names:?}", self.route.guest, self.migration().control())
    }
}
