//! One migration driven through a simulated world: the same machine that drives libvirt, in virtual time.
//!
//! The loop is the twin of the executor's: inputs in, commands and events out. It knows no clock: time jumps from one
//! thing that happens to the next.

use whimbrel_core::journal::{self, Record};
use whimbrel_core::{
    Action, Answer, Command, Event, Facts, Input, Instant, Migration, Misuse, Observation, Output, Request,
    Spec, SpecError, Verdict, View, Ways,
};

use crate::scenario::{Conditions, FaultAction, Scenario, Staged};
use crate::world::{IncidentKind, Told, World};

const NS_PER_HOUR: u64 = 3_600 * 1_000_000_000;
/// After this much virtual time the operator cancels: a simulation must end, even when the scenario never would.
const PATIENCE_NS: u64 = 6 * NS_PER_HOUR;
/// After this much virtual time it is left as it is. A cancel ends everything but a post-copy, which takes as long as
/// its memory takes.
const END_NS: u64 = 48 * NS_PER_HOUR;

/// A migration in a simulated world.
#[derive(Debug)]
pub struct Simulation {
    staged: Staged,
    migration: Migration,
    rules: fn(&Facts) -> Verdict,
    /// Kept when somebody wants it, and when whoever drives is going to need it.
    journal: Option<String>,
    out_of_patience: bool,
}

impl Simulation {
    /// The migration of a scenario. The same conditions give the same migration, to the byte of its journal.
    ///
    /// # Errors
    /// When the scenario asks for limits that no migration can follow.
    pub fn new(
        scenario: &Scenario,
        conditions: Conditions,
        rules: fn(&Facts) -> Verdict,
    ) -> Result<Self, SpecError> {
        let simulation = Self {
            migration: Migration::new(spec(scenario))?,
            staged: scenario.stage(conditions),
            rules,
            journal: None,
            out_of_patience: false,
        };
        let restarts =
            scenario.faults.iter().any(|fault| matches!(fault.action, FaultAction::RestartDriver { .. }));
        Ok(if restarts { simulation.with_journal() } else { simulation })
    }

    /// Keeps a journal.
    #[must_use]
    pub fn with_journal(mut self) -> Self {
        self.journal = Some(journal::header_line(self.migration.view().spec) + "\n");
        self
    }

    /// Drives the migration to its end, or through 48 hours of virtual time. `ask` is an operator beside the scenario's
    /// own, asked before every step; `watch` is told every event.
    ///
    /// # Errors
    /// Never, unless the world breaks the protocol of the port: a bug.
    pub fn run(
        &mut self,
        mut ask: impl FnMut() -> Option<Request>,
        mut watch: impl FnMut(Instant, &Event, View<'_>),
    ) -> Result<(), Misuse> {
        self.feed(Input::Operator(Request::Begin), &mut watch)?;
        while self.migration.view().outcome.is_none() && self.staged.world.now_ns() < END_NS {
            match ask() {
                Some(request) => self.feed(Input::Operator(request), &mut watch)?,
                None => self.step(&mut watch)?,
            }
        }
        Ok(())
    }

    /// The migration as it stands.
    #[must_use]
    pub fn migration(&self) -> &Migration {
        &self.migration
    }

    /// The world, as it really is.
    #[must_use]
    pub fn world(&self) -> &World {
        &self.staged.world
    }

    /// What really happened to the guest and never should, in order.
    #[must_use]
    pub fn incidents(&self) -> Vec<IncidentKind> {
        self.staged.world.incidents().iter().map(|incident| incident.kind).collect()
    }

    /// The journal, if one is kept.
    #[must_use]
    pub fn journal(&self) -> Option<&str> {
        self.journal.as_deref()
    }

    /// On to the next thing that happens.
    fn step(&mut self, watch: &mut impl FnMut(Instant, &Event, View<'_>)) -> Result<(), Misuse> {
        let deadline = self.migration.deadline().map(Instant::as_ns);
        let world = &mut self.staged.world;
        let until = if self.out_of_patience { END_NS } else { PATIENCE_NS };
        let next = [deadline, world.next_at()].into_iter().flatten().min().unwrap_or(until);
        if next >= PATIENCE_NS && !self.out_of_patience {
            self.out_of_patience = true;
            return self.feed(Input::Operator(Request::Cancel), watch);
        }
        // Nothing is asked of the world before the machine's own deadline.
        match world.advance(deadline.unwrap_or(next).min(END_NS)) {
            Some((_, Told::Observed(observation))) => self.feed(Input::Hypervisor(observation), watch),
            Some((_, Told::Asked(request))) => self.feed(Input::Operator(request), watch),
            Some((_, Told::Interrupted { gone_ns })) => self.restart(gone_ns, watch),
            None if deadline.is_some_and(|deadline| deadline <= world.now_ns()) => {
                self.feed(Input::Timer, watch)
            }
            None => Ok(()),
        }
    }

    /// Whoever drives is gone for a while, and begins anew from the journal, with connections of its own.
    fn restart(
        &mut self,
        gone_ns: u64,
        watch: &mut impl FnMut(Instant, &Event, View<'_>),
    ) -> Result<(), Misuse> {
        let Staged { world, port, .. } = &mut self.staged;
        world.disconnect(*port);
        let back_ns = world.now_ns().saturating_add(gone_ns).min(END_NS);
        // Nobody is there to be told anything.
        while world.advance(back_ns).is_some() {}
        if let Some(new) = world.reconnect(*port) {
            *port = new;
        }
        // A journal that does not replay leaves the migration as it was, and the tests of journals say so.
        let restored = self.journal.as_deref().map(|text| journal::replay(text, |_, _, _| {}));
        if let Some(Ok(restored)) = restored {
            self.migration = restored.migration;
        }
        self.feed(Input::Restarted, watch)
    }

    fn feed(
        &mut self,
        input: Input,
        watch: &mut impl FnMut(Instant, &Event, View<'_>),
    ) -> Result<(), Misuse> {
        let now = Instant::from_ns(self.staged.world.now_ns());
        let record = self.journal.is_some().then(|| input.clone());
        let outputs: Vec<_> = self.migration.handle(now, input)?.collect();
        if let (Some(journal), Some(input)) = (&mut self.journal, record) {
            let trail = self.migration.view().trail;
            journal.push_str(&journal::record_line(&Record { at_ns: now, input, trail }));
            journal.push('\n');
        }
        let mut verdict = None;
        for output in outputs {
            match output {
                Output::Event(event) => watch(now, &event, self.migration.view()),
                Output::Command(Command { id, action: Action::EvaluateRules(facts) }) => {
                    verdict =
                        Some(Observation::Answer { to: id, answer: Answer::Verdict((self.rules)(&facts)) });
                }
                Output::Command(command) => self.staged.world.carry_out(self.staged.port, command),
            }
        }
        match verdict {
            Some(verdict) => self.feed(Input::Hypervisor(verdict), watch),
            None => Ok(()),
        }
    }
}

/// What a scenario asks of the migration.
#[must_use]
pub fn spec(scenario: &Scenario) -> Spec {
    let migration = &scenario.migration;
    let mut spec = Spec::new(scenario.guest.name.clone(), "sim://alpha", "sim://beta");
    spec.downtime_limit_ms = migration.downtime_limit_ms;
    spec.bandwidth_limit_bytes_per_second =
        migration.bandwidth_limit_mib_per_second.map(|rate| rate.saturating_mul(1 << 20));
    spec.timeout_ms = migration.timeout_ms;
    spec.at_timeout = migration.at_timeout;
    spec.ways = Ways {
        postcopy: migration.postcopy.is_some(),
        auto_converge: migration.auto_converge.is_some(),
        xbzrle: migration.xbzrle.is_some(),
        parallel_connections: migration.channels.and_then(|channels| u8::try_from(channels.count).ok()),
        copy_disks: migration.copy_disks.is_some(),
        offline: migration.offline,
    };
    spec
}
