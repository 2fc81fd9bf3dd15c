//! One guest on one host under one configuration, migrated to the end as often as one likes.
//!
//! What is the same for all of them is worked out once, and windows in which nothing is decided are passed over by
//! multiplication: a migration then costs its iterations, not its seconds. It must never give a result that stepping
//! through the same migration could not.

use std::ops::Deref;

use crate::guest::Guest;
use crate::memory::{Bitmap, Counts, Memory};
use crate::qemu::{Engine, Machine, Plan, SourceConfig, Statistics, Status};
use crate::random::Random;
use crate::sampling::{Drawn, Expected};

const NS_PER_MS: u64 = 1_000_000;

/// How a migration went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Outcome {
    /// Whether it completed within the time given.
    pub converged: bool,
    /// From the start to the end, or the time given.
    pub total_ms: u64,
    /// The downtime; none unless completed.
    pub downtime_ms: Option<u64>,
    /// Pages sent with their content; a page sent twice counts twice.
    pub normal_pages: u64,
    /// Zero pages sent as a header only.
    pub zero_pages: u64,
    /// Pages with their headers, block names and end marks, as QEMU's statistics count.
    pub transferred_bytes: u64,
    /// Bitmap syncs, that of the setup and that of the switchover included.
    pub syncs: u64,
    /// Pages still dirty at the end; zero when completed.
    pub remaining_pages: u64,
    /// Turns of the loop: the cost of finding this out, which depends on iterations but not on memory.
    pub loop_turns: u64,
}

/// One read of the dirty bitmap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SyncPoint {
    /// When it was done, in the engine's nanoseconds.
    pub at_ns: u64,
    /// Pages that were clean before and are dirty now.
    pub newly_dirty_pages: u64,
    /// Pages to be sent from here on.
    pub remaining_pages: u64,
}

/// Migrations that all start alike.
#[derive(Clone, Debug)]
pub struct Batch {
    plan: Plan,
    start_ns: u64,
}

impl Batch {
    /// Prepares to migrate `guest` at the instant `start_ns`, from which the guest's time is reckoned as in
    /// [`SourceMigration::start`](crate::qemu::SourceMigration::start).
    #[must_use]
    pub fn new(config: &SourceConfig, guest: Guest, start_ns: u64) -> Self {
        Self { plan: Plan::new(config, guest), start_ns }
    }

    /// One migration, given `patience_ms` of virtual time; all chance comes from `random`, of which the mean field
    /// takes none.
    #[must_use]
    pub fn migrate(&self, engine: Engine, random: Random, patience_ms: u64) -> Outcome {
        self.migrate_observed(engine, random, patience_ms, |_| ())
    }

    /// The same, telling each sync to `on_sync` as it happens.
    pub fn migrate_observed(
        &self,
        engine: Engine,
        mut random: Random,
        patience_ms: u64,
        on_sync: impl FnMut(SyncPoint),
    ) -> Outcome {
        match engine {
            Engine::Page => {
                let host = Drawn::new(random.fork());
                self.run::<Bitmap>(Drawn::new(random), host, patience_ms, on_sync)
            }
            Engine::Lumped => {
                let host = Drawn::new(random.fork());
                self.run::<Counts<Drawn>>(Drawn::new(random), host, patience_ms, on_sync)
            }
            Engine::Mean => {
                self.run::<Counts<Expected>>(Expected::new(), Expected::new(), patience_ms, on_sync)
            }
        }
    }

    fn run<M: Memory>(
        &self,
        chance: M::Chance,
        host_chance: M::Chance,
        patience_ms: u64,
        mut on_sync: impl FnMut(SyncPoint),
    ) -> Outcome {
        let deadline_ns = self.start_ns.saturating_add(patience_ms.saturating_mul(NS_PER_MS));
        let mut machine: Machine<&Plan, M> = Machine::start(&self.plan, self.start_ns, chance, host_chance);
        let loop_turns = machine.run_to_end(deadline_ns, |at_ns, newly_dirty_pages, remaining_pages| {
            on_sync(SyncPoint { at_ns, newly_dirty_pages, remaining_pages });
        });
        Outcome::of(&machine, loop_turns)
    }
}

impl Outcome {
    fn of<P: Deref<Target = Plan>, M: Memory>(machine: &Machine<P, M>, loop_turns: u64) -> Self {
        Self { loop_turns, ..machine.statistics().into() }
    }
}

impl From<Statistics> for Outcome {
    fn from(statistics: Statistics) -> Self {
        let memory = statistics.memory;
        Self {
            converged: statistics.status == Status::Completed,
            total_ms: statistics.elapsed_ms,
            downtime_ms: statistics.downtime_ms,
            normal_pages: memory.normal_pages,
            zero_pages: memory.zero_pages,
            transferred_bytes: memory.transferred_bytes,
            syncs: memory.dirty_sync_count,
            remaining_pages: memory.remaining_bytes / memory.page_size_bytes.max(1),
            loop_turns: 0,
        }
    }
}
