//! A test double for live migration: libvirt's calls and QEMU's behaviour in virtual time, for the tests of any program
//! that migrates guests.
//!
//! A test puts hosts, a guest and faults into a [`TestBed`], lets a policy of its own drive the migration through
//! libvirt's calls, and then checks the actual events, which the policy cannot observe:
//!
//! ```
//! use whimbrel_sim::kit::{Fault, MigrateOptions, Setup, TestBed, TestGuest, at_ms};
//!
//! let (mut bed, alpha, beta) = TestBed::two_hosts(Setup { bandwidth_mib_per_second: 100, ..Setup::default() });
//! let wren = bed.add_guest(alpha, TestGuest::new("wren", 256).writing(64, 40_000));
//! bed.fault(at_ms(2_000), Fault::KillDaemon(beta));
//!
//! let call = bed.migrate(wren, alpha, beta, MigrateOptions::default());
//! while bed.returned(call).is_none() {
//!     bed.wait_ms(500);
//!     if bed.job(wren, alpha).is_ok_and(|job| job.statistics.iteration > 20) {
//!         let _ = bed.abort(wren, alpha);
//!     }
//! }
//! bed.assert_runs_only_on(wren, alpha);
//! ```
//!
//! Or it lets Whimbrel's own machine drive, and checks the outcome ([`MigrationRun`]):
//!
//! ```
//! use whimbrel_sim::kit::{Cause, MigrationRun, Ending, Moment, Request, Setup, TestBed, TestGuest};
//!
//! let (mut bed, alpha, beta) = TestBed::two_hosts(Setup::default());
//! let wren = bed.add_guest(alpha, TestGuest::new("wren", 256).writing(64, 3_000));
//!
//! let course = MigrationRun::new(wren, alpha, beta).asking(Moment::AtIteration(wren, 2), Request::Cancel);
//! let outcome = bed.outcome(&course)?;
//! assert_eq!((outcome.ending, outcome.cause), (Ending::Cancelled, Some(Cause::OperatorCancelled)));
//! bed.assert_runs_only_on(wren, alpha);
//! # Ok::<(), whimbrel_sim::kit::MigrationRunError>(())
//! ```
//!
//! | a test wants | it uses |
//! | --- | --- |
//! | hosts, a guest, what goes wrong | [`TestBed::add_host`], [`TestBed::add_guest`], [`TestBed::fault`] |
//! | the call that migrates | [`TestBed::migrate`], [`TestBed::returned`], [`TestBed::wait_for`] |
//! | to query it and to change it | [`TestBed::job`], [`TestBed::abort`], [`TestBed::set_downtime_ms`] and others |
//! | time to pass | [`TestBed::wait_ms`], [`TestBed::wait_until`] |
//! | our machine to drive | [`TestBed::outcome`] |
//! | the truth | [`TestBed::assert_runs_only_on`], [`TestBed::running_on`], [`TestBed::incidents`] |
//!
//! Time is virtual: minutes of a migration take milliseconds, and the same setup gives the same course, to the
//! nanosecond. The kit adds nothing to the world of [`crate::world`] but ways to use it, and it must never let a policy
//! see the truth by the calls of libvirt.

mod calls;
mod guest;
mod migration_run;
mod truth;

use std::collections::BTreeMap;

use whimbrel_core::{Answer, Observation};

pub use self::calls::Call;
pub use self::guest::TestGuest;
pub use self::migration_run::{MigrationRun, MigrationRunError};
// The words that a test needs, in one place.
pub use crate::qemu::{Engine, Postcopy};
pub use crate::world::{
    DaemonConstants, Fault, GuestId, HostId, HostInventory, Incident, IncidentKind, MigrateOptions,
    Milestone, Moment, ReplyBehavior, VirtualMachine, World,
};
pub use whimbrel_core::port::{JobReport, JobState};
pub use whimbrel_core::{
    Adjustment, AtTimeout, Cause, CopyState, Ending, Failure, Fault as FailureClass, GuestLocation, Hint,
    Outcome, Request,
};

use crate::network::{Capacity, Line, Loss};
use crate::world::{PortEvent, PortId};

/// The guide, so that its examples are tried.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/testing.md")]
struct Guide;

/// The quick start, for the same reason.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/start-developing.md")]
struct QuickStart;

const NS_PER_MS: u64 = 1_000_000;

/// What a test bed is made with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setup {
    /// From which all chance comes. Default 1.
    pub seed: u64,
    /// What keeps account of dirty pages. Default: page by page.
    pub engine: Engine,
    /// What each host's card carries, in MiB a second, in each direction. Default 119: Gigabit Ethernet.
    pub bandwidth_mib_per_second: u64,
    /// One way between two hosts, in microseconds. Default 200.
    pub latency_us: u64,
    /// Times of the daemons.
    pub constants: DaemonConstants,
    /// How long a call waits for its answer, in milliseconds, before its connection counts as broken. Default 30,000:
    /// libvirt's keep-alive of 5 s, six times. The migrate call itself waits as long as it takes.
    pub reply_timeout_ms: u64,
}

/// Hosts and guests, and the calls that are out.
#[derive(Clone, Debug)]
pub struct TestBed {
    world: World,
    setup: Setup,
    /// The port behind each guest's domain object on a host.
    domains: BTreeMap<(GuestId, HostId), PortId>,
    /// What migrate calls returned.
    returned: BTreeMap<Call, Result<(), Failure>>,
    /// How many calls were made.
    made: u32,
    heard: Vec<Heard>,
}

/// An event of libvirt's, as it reached the test.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Heard {
    /// When.
    pub at_ns: u64,
    /// Whose.
    pub guest: GuestId,
    /// From which host's daemon.
    pub host: HostId,
    /// The event. It may be late, duplicated or lost.
    pub hint: Hint,
}

/// The moment this many milliseconds after the test bed was created.
#[must_use]
pub const fn at_ms(ms: u64) -> Moment {
    Moment::AtNs(ms.saturating_mul(NS_PER_MS))
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            seed: 1,
            engine: Engine::Page,
            bandwidth_mib_per_second: 119,
            latency_us: 200,
            constants: DaemonConstants::default(),
            reply_timeout_ms: 30_000,
        }
    }
}

impl TestBed {
    /// A test bed without hosts.
    #[must_use]
    pub fn new(setup: Setup) -> Self {
        let line =
            Line { latency_ns: setup.latency_us.saturating_mul(1_000), jitter_ns: 0, loss: Loss::NONE };
        Self {
            world: World::new(setup.seed, line).with_engine(setup.engine).with_constants(setup.constants),
            setup,
            domains: BTreeMap::new(),
            returned: BTreeMap::new(),
            made: 0,
            heard: Vec::new(),
        }
    }

    /// A test bed with two common hosts, `alpha` and `beta`.
    #[must_use]
    pub fn two_hosts(setup: Setup) -> (Self, HostId, HostId) {
        let mut bed = Self::new(setup);
        let alpha = bed.add_host(HostInventory::named("alpha"));
        let beta = bed.add_host(HostInventory::named("beta"));
        (bed, alpha, beta)
    }

    /// Adds a host; [`HostInventory::named`] makes a common one.
    pub fn add_host(&mut self, inventory: HostInventory) -> HostId {
        let card = Capacity::constant(self.setup.bandwidth_mib_per_second.saturating_mul(1 << 20));
        self.world.add_host(inventory, card)
    }

    /// Adds a guest to a host: a [`TestGuest`], or a [`VirtualMachine`] with all that can be said of one.
    pub fn add_guest(&mut self, host: HostId, machine: impl Into<VirtualMachine>) -> GuestId {
        self.world.add_guest(host, machine.into())
    }

    /// Lets something go wrong, or be put right again, at a moment.
    pub fn fault(&mut self, moment: Moment, fault: Fault) {
        self.fault_after_ms(moment, 0, fault);
    }

    /// The same, this many milliseconds after the moment.
    pub fn fault_after_ms(&mut self, moment: Moment, after_ms: u64, fault: Fault) {
        self.world.inject_at(moment, after_ms.saturating_mul(NS_PER_MS), fault);
    }

    /// The same at once.
    pub fn fault_now(&mut self, fault: Fault) {
        self.world.inject(fault);
    }

    /// Virtual time since the test bed was made, in nanoseconds.
    #[must_use]
    pub fn now_ns(&self) -> u64 {
        self.world.now_ns()
    }

    /// Lets this many milliseconds pass.
    pub fn wait_ms(&mut self, ms: u64) {
        let until_ns = self.now_ns().saturating_add(ms.saturating_mul(NS_PER_MS));
        self.run_to(until_ns);
    }

    /// Lets time pass until a condition holds, but no longer than this many milliseconds, and returns whether it holds.
    /// It is checked whenever something may have happened, which may be many times a second of virtual time. A libvirt
    /// call in it takes that call's time.
    pub fn wait_until(&mut self, within_ms: u64, mut holds: impl FnMut(&mut Self) -> bool) -> bool {
        let until_ns = self.now_ns().saturating_add(within_ms.saturating_mul(NS_PER_MS));
        loop {
            if holds(self) {
                return true;
            }
            if self.now_ns() >= until_ns {
                return false;
            }
            let next_ns = self.world.next_at().map_or(until_ns, |at_ns| at_ns.min(until_ns));
            self.run_to(next_ns);
        }
    }

    /// The events of libvirt's that arrived so far, in order. A guest's events of a host are heard from the first call
    /// on that concerned it there.
    #[must_use]
    pub fn heard(&self) -> &[Heard] {
        &self.heard
    }

    /// The world behind it.
    #[must_use]
    pub fn world(&self) -> &World {
        &self.world
    }

    /// The world behind it, for what the kit has no words for, such as paths of the network.
    pub fn world_mut(&mut self) -> &mut World {
        &mut self.world
    }

    fn run_to(&mut self, until_ns: u64) {
        while let Some((port, event)) = self.world.advance(until_ns) {
            self.note(port, event);
        }
    }

    /// Keeps events that are not awaited just now.
    fn note(&mut self, port: PortId, event: PortEvent) {
        match event {
            PortEvent::Observed(Observation::Answer { to, answer: Answer::CallReturned(result) }) => {
                self.returned.entry(Call { port, id: to }).or_insert(result);
            }
            PortEvent::Observed(Observation::Hint(hint)) => {
                let domain = self.domains.iter().find(|(_, theirs)| **theirs == port);
                if let Some(((guest, host), _)) = domain {
                    self.heard.push(Heard { at_ns: self.now_ns(), guest: *guest, host: *host, hint });
                }
            }
            // An answer that came too late for its caller.
            PortEvent::Observed(Observation::Answer { .. })
            | PortEvent::Requested(_)
            | PortEvent::Interrupted { .. } => {}
        }
    }
}
