//! One migration with its troubles, from beginning to end, by the shipped machine in the simulated world; and what is
//! held against it.

use whimbrel_core::{
    Ending, GuestLocation, GuestRun, Input, Leftover, Outcome, Request, Side, Spec, TransferOptions, Verdict,
};
use whimbrel_oracle::{Actor, Claim, Event, History, HostId as RecordedHost, Rule, check, check_claim};

use super::Setup;
use super::plan::{Plan, What, When};
use whimbrel_sim::driver::{Driver, unwatched};
use whimbrel_sim::guest::{Guest, Pattern, Writer};
use whimbrel_sim::network::{Capacity, Line, Loss};
use whimbrel_sim::qemu::Engine;
use whimbrel_sim::world::{
    BANDWIDTH_LIMIT, DOWNTIME_LIMIT, Fault, GuestId, HostId, HostInventory, IncidentKind, Initiator, Moment,
    PortEvent, ReplyBehavior, VirtualMachine, World,
};

const MS: u64 = 1_000_000;
/// By then everything is repaired, and nothing breaks any more.
const MENDED_MS: u64 = 600_000;
/// How long hints and answers take at most when nothing delays them, and the next query of the hosts after one that did
/// not settle where the guest is.
const LATENCY_MS: u64 = 500;
/// By then it must have ended: every timeout is over by far.
const END_MS: u64 = 4 * 3_600_000;

/// The result of a migration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// The running digest of all states of the machine.
    pub state_digest: u64,
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
    /// The guest is not where it was reported.
    WrongPlace(GuestLocation),
    /// It is reported completed, and the guest, which ran before, does not run.
    NotRunning,
    /// The guest was stopped for longer or shorter than is said, in ms.
    Downtime {
        /// What is said.
        told_ms: u64,
        /// How long it really was.
        real_ms: u64,
    },
    /// It did not end although nothing was broken any more.
    NeverEnds,
    /// The world, or the machine, broke the protocol of the port.
    Misuse,
    /// A command of ours broke a rule of the oracle.
    Rule(Rule),
    /// What the outcome reports is not true.
    Claim(Claim),
}

/// Runs a plan.
#[must_use]
pub fn run(plan: &Plan, with_journal: bool) -> Run {
    run_told_as(plan, with_journal, |input| input)
}

/// Runs a plan and asks the oracle about it as well.
#[must_use]
pub fn run_with_oracle(plan: &Plan, with_journal: bool) -> Run {
    run_as(plan, with_journal, Setup::WITH_ORACLE)
}

/// The same with a driver that passes altered inputs to the machine, to test whether that is detected.
#[must_use]
pub fn run_told_as(plan: &Plan, with_journal: bool, told_as: fn(Input) -> Input) -> Run {
    run_as(plan, with_journal, Setup { told_as, ..Setup::PLAIN })
}

/// Runs a plan as a series does.
pub(super) fn run_as(plan: &Plan, with_journal: bool, setup: Setup) -> Run {
    let mut course = Course::new(plan, with_journal);
    course.told_as = setup.told_as;
    let broken = course.go(setup.with_oracle);
    let journal = course.driver.journal().map(str::to_owned);
    Run { state_digest: course.driver.view().state_digest, broken, journal }
}

struct Course {
    world: World,
    driver: Driver,
    guest: GuestId,
    source: HostId,
    destination: HostId,
    /// Whether one of the troubles takes copies away: then one may be gone since the last query.
    copies_may_die: bool,
    /// Whether another client may start the guest from its disks.
    copies_may_start: bool,
    /// Whether another client may migrate the guest: then it may have moved since it was observed last. Where it was
    /// observed is for the oracle.
    copies_may_move: bool,
    /// How far a downtime may be off, in ms, when nothing but requests happens; none when something keeps it from being
    /// observed.
    downtime_precision_ms: Option<u64>,
    told_as: fn(Input) -> Input,
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
        let port = world.connect(guest, source, destination, spec.transfer.into());
        #[expect(clippy::unwrap_used, reason = "every plan's spec is within its bounds")]
        let mut driver = Driver::new(&world, port, spec, |_| Verdict::default()).unwrap();
        if with_journal {
            driver.keep_journal();
        }
        let takes_copies = |what| {
            matches!(
                what,
                What::Guest(_) | What::Host(..) | What::PowerOff | What::ColdStart(_) | What::Migrate(_)
            )
        };
        let copies_may_die = plan.troubles.iter().any(|trouble| takes_copies(trouble.what));
        let copies_may_start = plan.troubles.iter().any(|trouble| matches!(trouble.what, What::ColdStart(_)));
        let copies_may_move = plan.troubles.iter().any(|trouble| matches!(trouble.what, What::Migrate(_)));
        let asks_only = plan.troubles.iter().all(|trouble| matches!(trouble.what, What::Request(_)));
        let downtime_precision_ms = asks_only.then_some(plan.poll_interval_ms + LATENCY_MS);
        let mut course = Self {
            world,
            driver,
            guest,
            source,
            destination,
            copies_may_die,
            copies_may_start,
            copies_may_move,
            downtime_precision_ms,
            told_as: |input| input,
        };
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
        let repaired = Moment::AtNs(MENDED_MS * MS);
        for host in [self.source, self.destination] {
            self.world.inject_at(repaired, 0, Fault::SetReplyBehavior(host, ReplyBehavior::default()));
            self.world.inject_at(repaired, 0, Fault::StartHost(host));
            self.world.inject_at(repaired, 0, Fault::StartDaemon(host));
        }
        self.world.inject_at(repaired, 0, Fault::RestoreLink(self.source, self.destination));
        // A guest that writes faster than its limit lets through never converges: an operator cancels it.
        self.world.ask_at(repaired, 0, self.driver.port(), Request::Cancel);
    }

    fn plan(&mut self, moment: Moment, after_ns: u64, what: What) {
        let host = |is_source: bool| if is_source { self.source } else { self.destination };
        let reply_behavior =
            |is_source, reply_behavior| Fault::SetReplyBehavior(host(is_source), reply_behavior);
        let (first, then) = match what {
            What::Daemon(side, ms) => {
                (Fault::KillDaemon(host(side)), Some((Fault::StartDaemon(host(side)), ms)))
            }
            What::Host(side, ms) => (Fault::LoseHost(host(side)), Some((Fault::StartHost(host(side)), ms))),
            What::Guest(side) => (Fault::KillGuest(self.guest, host(side)), None),
            What::Disk(side) => (Fault::IoError(self.guest, host(side)), None),
            What::Link(ms) => {
                let ends = (self.source, self.destination);
                (Fault::CutLink(ends.0, ends.1), Some((Fault::RestoreLink(ends.0, ends.1), ms)))
            }
            What::Clients(side) => (Fault::DropClients(host(side)), None),
            What::Silence(side, ms) => (
                reply_behavior(side, ReplyBehavior { is_silent: true, ..ReplyBehavior::default() }),
                Some((reply_behavior(side, ReplyBehavior::default()), ms)),
            ),
            What::Delay(side, ms) => (
                reply_behavior(side, ReplyBehavior { delay_ns: ms * MS, ..ReplyBehavior::default() }),
                Some((reply_behavior(side, ReplyBehavior::default()), 60_000)),
            ),
            What::Doubles(side) => (
                reply_behavior(side, ReplyBehavior { is_doubled: true, ..ReplyBehavior::default() }),
                Some((reply_behavior(side, ReplyBehavior::default()), 60_000)),
            ),
            What::NoEvents(side) => (
                reply_behavior(side, ReplyBehavior { loses_events: true, ..ReplyBehavior::default() }),
                Some((reply_behavior(side, ReplyBehavior::default()), 60_000)),
            ),
            What::PowerOff => (Fault::PowerOff(self.guest), None),
            What::Reboot => (Fault::Reboot(self.guest), None),
            What::WakeUp => (Fault::WakeUp(self.guest), None),
            What::Migrate(side) => (Fault::Migrate(self.guest, host(side), host(!side)), None),
            What::Abort => (Fault::Abort(self.guest, self.source), None),
            What::ColdStart(side) => (Fault::ColdStart(self.guest, host(side)), None),
            What::Pause(side) => (Fault::Pause(self.guest, host(side)), None),
            What::Unpause(side) => (Fault::Unpause(self.guest, host(side)), None),
            What::Driver(ms) => {
                return self.world.interrupt_at(moment, after_ns, self.driver.port(), ms * MS);
            }
            What::Request(request) => {
                return self.world.ask_at(moment, after_ns, self.driver.port(), request);
            }
        };
        self.world.inject_at(moment, after_ns, first);
        if let Some((fault, ms)) = then {
            self.world.inject_at(moment, after_ns + ms * MS, fault);
        }
    }

    fn go(&mut self, with_oracle: bool) -> Option<Broken> {
        if self.feed(Input::Operator(Request::Begin)).is_none() {
            return Some(Broken::Misuse);
        }
        while self.driver.view().outcome.is_none() {
            if self.world.now_ns() >= END_MS * MS {
                return Some(Broken::NeverEnds);
            }
            if self.step().is_none() {
                return Some(Broken::Misuse);
            }
        }
        let found = with_oracle.then(|| self.ask_oracle()).flatten();
        found.or_else(|| self.judge())
    }

    /// On to the next thing that happens; none when the protocol of the port was broken.
    fn step(&mut self) -> Option<()> {
        let deadline = self.driver.deadline_ns().unwrap_or(END_MS * MS);
        match self.world.advance(deadline.min(END_MS * MS)) {
            Some((_, PortEvent::Observed(observation))) => self.feed(Input::Hypervisor(observation)),
            Some((_, PortEvent::Requested(request))) => self.feed(Input::Operator(request)),
            Some((_, PortEvent::Interrupted { gone_ns })) => {
                let back_ns = self.world.now_ns().saturating_add(gone_ns);
                self.driver.restart(&mut self.world, back_ns, &mut unwatched).ok()
            }
            None if deadline <= self.world.now_ns() => self.feed(Input::Timer),
            None => Some(()),
        }
    }

    fn feed(&mut self, input: Input) -> Option<()> {
        self.driver.feed(&mut self.world, (self.told_as)(input), &mut unwatched).ok()
    }

    /// Holds the end against how things really are.
    fn judge(&self) -> Option<Broken> {
        let ours = self.world.incidents().iter().find(|incident| incident.initiator == Initiator::Caller);
        if let Some(incident) = ours {
            return Some(Broken::Incident(incident.kind));
        }
        let outcome = self.driver.view().outcome?;
        let ran = self.driver.migration().control().ledger().guest_was == GuestRun::Running;
        if outcome.ending == Ending::Completed && ran && outcome.guest != GuestLocation::DestinationRunning {
            return Some(Broken::NotRunning);
        }
        if let (Some(told_ms), Some(precision_ms)) = (outcome.downtime_ms, self.downtime_precision_ms) {
            let real_ms = self.world.stopped_ns(self.guest, 0) / MS;
            if told_ms.abs_diff(real_ms) > precision_ms {
                return Some(Broken::Downtime { told_ms, real_ms });
            }
        }
        let is_whole = |host| {
            self.world
                .process_state(self.guest, host)
                .is_some_and(whimbrel_sim::world::ProcessState::is_whole)
        };
        let (here, there) = (is_whole(self.source), is_whole(self.destination));
        let said = outcome.guest;
        let wrong = match said.side() {
            _ if outcome.ending == Ending::InDoubt => false,
            // A side that could not be queried is named; what is there may have come to run since.
            _ if outcome.unsettled.is_some() => false,
            Some(_) if self.copies_may_move => false,
            Some(Side::Source) => !here && (there || !self.copies_may_die),
            Some(Side::Destination) => !there && (here || !self.copies_may_die),
            // One that another client started after the last observation is for the oracle: its history has the
            // observations.
            None => said.is_lost() && (here || there) && !self.copies_may_start && !self.copies_may_move,
        };
        wrong.then_some(Broken::WrongPlace(said))
    }

    /// Lets the oracle check the history, and the outcome's claims. Once another client has let a stale or a
    /// second copy run, every copy may be stale: that is not held against a migration that could not see it.
    fn ask_oracle(&self) -> Option<Broken> {
        let history = self.world.history(self.guest);
        let mut is_spoilt = false;
        for violation in check(history) {
            let is_stale = matches!(violation.rule, Rule::MemoryNotOlder | Rule::StorageNotOlder);
            let is_ours = violation.by == Actor::Migration && !(is_stale && is_spoilt);
            if is_ours || violation.rule == Rule::Consistent {
                return Some(Broken::Rule(violation.rule));
            }
            is_spoilt |= violation.by != Actor::Migration;
        }
        let outcome = self.driver.view().outcome?;
        let ends = [self.source, self.destination].map(World::recorded_host);
        let may_be_stale = is_spoilt || is_started_by_others_after_hand_over(history);
        let is_false = |claim: &Claim| {
            let is_excused = match *claim {
                Claim::StandsOn(_) => may_be_stale || self.copies_may_move,
                // Theirs comes and goes, and what it leaves on a host is not ours to report. A copy that is being
                // migrated is reported as migrating by its host, whether or not its CPUs run.
                Claim::RunsOn(_)
                | Claim::CopyRunsOn(_)
                | Claim::NoCopyOn(_)
                | Claim::NotDefinedOn(_)
                | Claim::Lost => self.copies_may_move,
                _ => false,
            };
            !is_excused && check_claim(history, *claim).is_err()
        };
        claims(outcome, ends).into_iter().find(is_false).map(Broken::Claim)
    }
}

/// Whether another client let a copy run after another one had received its memory: the other is stale from then on,
/// without any sign of it.
fn is_started_by_others_after_hand_over(history: &History) -> bool {
    let mut events = history.events().iter().map(|(_, event)| event);
    let is_hand_over = |event: &Event| matches!(event, Event::MemoryReceived { .. });
    events.by_ref().any(is_hand_over)
        && events.any(|event| matches!(event, Event::Started { by: Actor::Other, .. }))
}

/// What an outcome reports, in the oracle's words.
fn claims(outcome: &Outcome, [source, destination]: [RecordedHost; 2]) -> Vec<Claim> {
    if outcome.ending == Ending::InDoubt {
        return vec![Claim::InDoubt];
    }
    // A host that could not be queried is named: what it has is not claimed.
    let runs_on = if outcome.unsettled.is_some() { Claim::CopyRunsOn } else { Claim::RunsOn };
    let place = match outcome.guest {
        GuestLocation::Untouched => None,
        GuestLocation::SourceRunning => Some(runs_on(source)),
        GuestLocation::SourcePaused => Some(Claim::StandsOn(source)),
        GuestLocation::SourceOff => Some(Claim::OffOn(source)),
        GuestLocation::DestinationRunning => Some(runs_on(destination)),
        GuestLocation::DestinationPaused => Some(Claim::StandsOn(destination)),
        GuestLocation::DestinationOff => Some(Claim::OffOn(destination)),
        GuestLocation::DestinationPostcopy => Some(Claim::NeedsBothCopies(destination)),
        GuestLocation::DestinationIncomplete | GuestLocation::LeftBehind => Some(Claim::Lost),
        GuestLocation::BothRunning => Some(Claim::BothRun),
        GuestLocation::Nowhere => Some(Claim::Nowhere),
        GuestLocation::Unknown => Some(Claim::InDoubt),
    };
    let mut claims: Vec<_> = place.into_iter().collect();
    let is_left = |leftover| outcome.not_undone.contains(&leftover);
    match outcome.guest.side().filter(|_| outcome.unsettled.is_none()) {
        Some(Side::Source) => {
            claims.push(Claim::NoCopyOn(destination));
            if !is_left(Leftover::Definition(Side::Destination)) {
                claims.push(Claim::NotDefinedOn(destination));
            }
            if !is_left(Leftover::DowntimeLimit) {
                claims.push(Claim::Restored(DOWNTIME_LIMIT));
            }
            if !is_left(Leftover::BandwidthLimit) {
                claims.push(Claim::Restored(BANDWIDTH_LIMIT));
            }
        }
        Some(Side::Destination) => {
            claims.push(Claim::NoCopyOn(source));
            if !is_left(Leftover::Definition(Side::Source)) {
                claims.push(Claim::NotDefinedOn(source));
            }
        }
        None => {}
    }
    claims
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
        poll_interval_ms: plan.poll_interval_ms,
        transfer: TransferOptions { postcopy: plan.postcopy, ..TransferOptions::default() },
        ..Spec::new("wren", "sim://alpha", "sim://beta")
    }
}
