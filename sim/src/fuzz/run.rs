//! One migration with its troubles, from beginning to end, by the shipped machine in the simulated world; and what is held
//! against it.

use whimbrel_core::journal::{Record, header_line, record_line};
use whimbrel_core::{
    Action, Answer, Command, Input, Instant, Migration, Observation, Output, Request, Side, Spec, Verdict,
    Ways, Whereabouts,
};

use super::plan::{Plan, What, When};
use crate::driver::options_of;
use crate::guest::{Guest, Pattern, Writer};
use crate::network::{Capacity, Line, Loss};
use crate::qemu::Engine;
use crate::world::{
    Doer, Fault, GuestId, HostId, HostInventory, IncidentKind, Manner, Moment, PortId, Told, VirtualMachine,
    World,
};

const MS: u64 = 1_000_000;
/// By then everything is mended, and nothing breaks any more.
const MENDED_MS: u64 = 600_000;
/// By then it must have ended: every patience is over by far.
const END_MS: u64 = 4 * 3_600_000;

/// What became of a migration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// The running digest of all states of the machine.
    pub trail: u64,
    /// What was broken.
    pub broken: Option<Broken>,
    /// The journal, if it was wanted.
    pub journal: Option<String>,
}

/// A promise that was broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    /// A call of ours did to the guest what must never happen.
    Incident(IncidentKind),
    /// The guest is not where it is said to be.
    WrongPlace(Whereabouts),
    /// It did not end although nothing was broken any more.
    NeverEnds,
    /// The world, or the machine, broke the protocol of the port.
    Misuse,
}

/// Runs a plan.
#[must_use]
pub fn run(plan: &Plan, with_journal: bool) -> Run {
    let mut course = Course::new(plan, with_journal);
    let broken = course.go();
    Run { trail: course.migration.view().trail, broken, journal: course.journal }
}

struct Course {
    world: World,
    migration: Migration,
    guest: GuestId,
    source: HostId,
    destination: HostId,
    port: PortId,
    journal: Option<String>,
}

impl Course {
    fn new(plan: &Plan, with_journal: bool) -> Self {
        let line = Line { latency_ns: 100_000, jitter_ns: 0, loss: Loss::NONE };
        let mut world = World::new(plan.seed, line).with_engine(Engine::Mean);
        let card = Capacity::constant(100 << 20);
        let [source, destination] =
            ["alpha", "beta"].map(|name| world.add_host(HostInventory::named(name), card.clone()));
        let machine = VirtualMachine {
            is_persistent: plan.is_persistent,
            ..VirtualMachine::named("wren", memory(plan))
        };
        let guest = world.add_guest(source, machine);
        let spec = spec(plan);
        let port = world.connect(guest, source, destination, options_of(spec.ways));
        let journal = with_journal.then(|| header_line(&spec) + "\n");
        #[expect(clippy::unwrap_used, reason = "every plan's spec is within its bounds")]
        let migration = Migration::new(spec).unwrap();
        let mut course = Self { world, migration, guest, source, destination, port, journal };
        course.prepare(plan);
        course
    }

    fn prepare(&mut self, plan: &Plan) {
        for trouble in &plan.troubles {
            let moment = match trouble.when {
                When::Begin => Moment::AtNs(0),
                When::At(milestone) => Moment::At(self.guest, milestone),
            };
            self.plan(moment, trouble.after_ms * MS, trouble.what);
        }
        let mended = Moment::AtNs(MENDED_MS * MS);
        for host in [self.source, self.destination] {
            self.world.inject_at(mended, 0, Fault::SetManner(host, Manner::default()));
            self.world.inject_at(mended, 0, Fault::StartHost(host));
            self.world.inject_at(mended, 0, Fault::StartDaemon(host));
        }
        self.world.inject_at(mended, 0, Fault::RestoreLink(self.source, self.destination));
        // A guest that writes faster than its limit lets through never converges: somebody ends that.
        self.world.ask_at(mended, 0, self.port, Request::Cancel);
    }

    fn plan(&mut self, moment: Moment, after_ns: u64, what: What) {
        let host = |is_source: bool| if is_source { self.source } else { self.destination };
        let manner = |is_source, manner| Fault::SetManner(host(is_source), manner);
        let (first, then) = match what {
            What::Daemon(side, ms) => {
                (Fault::KillDaemon(host(side)), Some((Fault::StartDaemon(host(side)), ms)))
            }
            What::Host(side, ms) => (Fault::LoseHost(host(side)), Some((Fault::StartHost(host(side)), ms))),
            What::Guest(side) => (Fault::KillGuest(self.guest, host(side)), None),
            What::Link(ms) => {
                let ends = (self.source, self.destination);
                (Fault::CutLink(ends.0, ends.1), Some((Fault::RestoreLink(ends.0, ends.1), ms)))
            }
            What::Clients(side) => (Fault::DropClients(host(side)), None),
            What::Silence(side, ms) => (
                manner(side, Manner { is_silent: true, ..Manner::default() }),
                Some((manner(side, Manner::default()), ms)),
            ),
            What::Delay(side, ms) => (
                manner(side, Manner { delay_ns: ms * MS, ..Manner::default() }),
                Some((manner(side, Manner::default()), 60_000)),
            ),
            What::Doubles(side) => (
                manner(side, Manner { is_doubled: true, ..Manner::default() }),
                Some((manner(side, Manner::default()), 60_000)),
            ),
            What::NoEvents(side) => (
                manner(side, Manner { loses_events: true, ..Manner::default() }),
                Some((manner(side, Manner::default()), 60_000)),
            ),
            What::Driver(ms) => return self.world.interrupt_at(moment, after_ns, self.port, ms * MS),
            What::Request(request) => return self.world.ask_at(moment, after_ns, self.port, request),
        };
        self.world.inject_at(moment, after_ns, first);
        if let Some((fault, ms)) = then {
            self.world.inject_at(moment, after_ns + ms * MS, fault);
        }
    }

    fn go(&mut self) -> Option<Broken> {
        if self.feed(Input::Operator(Request::Begin)).is_none() {
            return Some(Broken::Misuse);
        }
        while self.migration.view().outcome.is_none() {
            if self.world.now_ns() >= END_MS * MS {
                return Some(Broken::NeverEnds);
            }
            if self.step().is_none() {
                return Some(Broken::Misuse);
            }
        }
        self.judge()
    }

    /// On to the next thing that happens; none when the protocol of the port was broken.
    fn step(&mut self) -> Option<()> {
        let deadline = self.migration.deadline().map_or(END_MS * MS, Instant::as_ns);
        match self.world.advance(deadline.min(END_MS * MS)) {
            Some((_, Told::Observed(observation))) => self.feed(Input::Hypervisor(observation)),
            Some((_, Told::Asked(request))) => self.feed(Input::Operator(request)),
            Some((_, Told::Interrupted { gone_ns })) => self.restart(gone_ns),
            None if deadline <= self.world.now_ns() => self.feed(Input::Timer),
            None => Some(()),
        }
    }

    fn restart(&mut self, gone_ns: u64) -> Option<()> {
        self.world.disconnect(self.port);
        let back_ns = self.world.now_ns().saturating_add(gone_ns);
        // Nobody is there to be told anything.
        while self.world.advance(back_ns).is_some() {}
        self.port = self.world.reconnect(self.port)?;
        self.feed(Input::Restarted)
    }

    fn feed(&mut self, input: Input) -> Option<()> {
        let now = Instant::from_ns(self.world.now_ns());
        let mut input = Some(input);
        while let Some(next) = input.take() {
            let record = self.journal.is_some().then(|| next.clone());
            let outputs: Vec<Output> = self.migration.handle(now, next).ok()?.collect();
            if let (Some(journal), Some(next)) = (&mut self.journal, record) {
                let trail = self.migration.view().trail;
                journal.push_str(&record_line(&Record { at_ns: now, input: next, trail }));
                journal.push('\n');
            }
            for output in outputs {
                match output {
                    Output::Command(Command { id, action: Action::EvaluateRules(_) }) => {
                        let answer = Answer::Verdict(Verdict::default());
                        input = Some(Input::Hypervisor(Observation::Answer { to: id, answer }));
                    }
                    Output::Command(command) => self.world.carry_out(self.port, command),
                    Output::Event(_) => {}
                }
            }
        }
        Some(())
    }

    /// Holds the end against how things really are.
    fn judge(&self) -> Option<Broken> {
        let ours = self.world.incidents().iter().find(|incident| incident.doer == Doer::Caller);
        if let Some(incident) = ours {
            return Some(Broken::Incident(incident.kind));
        }
        let outcome = self.migration.view().outcome?;
        let is_whole = |host| self.world.life(self.guest, host).is_some_and(crate::world::Life::is_whole);
        let (here, there) = (is_whole(self.source), is_whole(self.destination));
        let said = outcome.guest;
        let wrong = match said.side() {
            _ if outcome.ending == whimbrel_core::Ending::InDoubt => false,
            // A side that could not be asked is named; what is there may have come to run since.
            _ if outcome.unsettled.is_some() => false,
            Some(Side::Source) => there && !here,
            Some(Side::Destination) => here && !there,
            None => said.is_lost() && (here || there),
        };
        wrong.then_some(Broken::WrongPlace(said))
    }
}

fn memory(plan: &Plan) -> Guest {
    let writers = match plan.writes_per_second {
        0 => Vec::new(),
        rate => vec![Writer::steady(Pattern::Uniform, rate, 4_096)],
    };
    Guest { memory_mib: 64, region_first_page: 4_096, filled_pages: 8_192, writers, ..Guest::default() }
}

fn spec(plan: &Plan) -> Spec {
    Spec {
        downtime_limit_ms: plan.limits.then_some(400),
        bandwidth_limit_bytes_per_second: plan.limits.then_some(80 << 20),
        timeout_ms: plan.timeout_ms,
        ways: Ways { postcopy: plan.postcopy, ..Ways::default() },
        ..Spec::new("wren", "sim://alpha", "sim://beta")
    }
}
