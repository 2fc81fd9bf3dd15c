//! One migration driven through a simulated world: the same machine that drives libvirt, in virtual time.
//!
//! The loop is the twin of the executor's: inputs in, commands and events out. It knows no clock: time jumps from one
//! thing that happens to the next.

use whimbrel_core::{
    Event, Facts, Input, Instant, Migration, Misuse, Request, Spec, SpecError, TransferOptions, Verdict, View,
};

use crate::driver::Driver;
use crate::scenario::{Conditions, FaultAction, Scenario, Staged};
use crate::world::{IncidentKind, PortEvent, World};

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
    driver: Driver,
    out_of_patience: bool,
}

impl Simulation {
    /// The migration of a scenario. The same conditions give the same migration, to the byte of its journal.
    ///
    /// # Errors
    /// When the scenario's limits are out of bounds.
    pub fn new(
        scenario: &Scenario,
        conditions: Conditions,
        rules: fn(&Facts) -> Verdict,
    ) -> Result<Self, SpecError> {
        let staged = scenario.stage(conditions);
        let driver = Driver::new(&staged.world, staged.port, spec(scenario), rules)?;
        let simulation = Self { staged, driver, out_of_patience: false };
        // A restarted driver is going to need it.
        let restarts =
            scenario.faults.iter().any(|fault| matches!(fault.action, FaultAction::RestartDriver { .. }));
        Ok(if restarts { simulation.with_journal() } else { simulation })
    }

    /// Keeps a journal.
    #[must_use]
    pub fn with_journal(mut self) -> Self {
        self.driver.keep_journal();
        self
    }

    /// Drives the migration to its end, or through 48 hours of virtual time. `ask` is an operator beside the scenario's
    /// own, called before every step; `watch` receives every event.
    ///
    /// # Errors
    /// Never, unless the world breaks the protocol of the port: a bug.
    pub fn run(
        &mut self,
        mut ask: impl FnMut() -> Option<Request>,
        mut watch: impl FnMut(Instant, &Event, View<'_>),
    ) -> Result<(), Misuse> {
        self.feed(Input::Operator(Request::Begin), &mut watch)?;
        while self.driver.view().outcome.is_none() && self.staged.world.now_ns() < END_NS {
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
        self.driver.migration()
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
        self.driver.journal()
    }

    /// On to the next thing that happens.
    fn step(&mut self, watch: &mut impl FnMut(Instant, &Event, View<'_>)) -> Result<(), Misuse> {
        let deadline = self.driver.deadline_ns();
        let world = &mut self.staged.world;
        let until = if self.out_of_patience { END_NS } else { PATIENCE_NS };
        let next = [deadline, world.next_at()].into_iter().flatten().min().unwrap_or(until);
        if next >= PATIENCE_NS && !self.out_of_patience {
            self.out_of_patience = true;
            return self.feed(Input::Operator(Request::Cancel), watch);
        }
        // No command is given to the world before the machine's own deadline.
        match world.advance(deadline.unwrap_or(next).min(END_NS)) {
            Some((_, PortEvent::Observed(observation))) => self.feed(Input::Hypervisor(observation), watch),
            Some((_, PortEvent::Requested(request))) => self.feed(Input::Operator(request), watch),
            Some((_, PortEvent::Interrupted { gone_ns })) => {
                let back_ns = world.now_ns().saturating_add(gone_ns).min(END_NS);
                self.driver.restart(world, back_ns, watch)
            }
            None if deadline.is_some_and(|deadline| deadline <= world.now_ns()) => {
                self.feed(Input::Timer, watch)
            }
            None => Ok(()),
        }
    }

    fn feed(
        &mut self,
        input: Input,
        watch: &mut impl FnMut(Instant, &Event, View<'_>),
    ) -> Result<(), Misuse> {
        self.driver.feed(&mut self.staged.world, input, watch)
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
    spec.resolve_timeout_ms = migration.doubt_patience_ms.unwrap_or(spec.resolve_timeout_ms);
    spec.postcopy_recovery_timeout_ms =
        migration.recovery_patience_ms.unwrap_or(spec.postcopy_recovery_timeout_ms);
    spec.transfer = TransferOptions {
        postcopy: migration.postcopy.is_some(),
        auto_converge: migration.auto_converge.is_some(),
        xbzrle: migration.xbzrle.is_some(),
        parallel_connections: migration.channels.and_then(|channels| u8::try_from(channels.count).ok()),
        copy_disks: migration.copy_disks.is_some(),
        offline: migration.offline,
    };
    spec
}
