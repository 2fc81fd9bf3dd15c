//! The migration machine on a port of a world: what it orders is carried out there, and what the world tells of the port
//! is fed to it.
//!
//! It keeps no clock of its own and never moves the world: whoever owns the world does, and may drive any number of
//! migrations in it.

use whimbrel_core::{
    Action, Answer, Command, Event, Facts, Input, Instant, Migration, Misuse, Observation, Output, Request,
    Spec, SpecError, Verdict, View, Ways,
};

use crate::qemu::{AutoConverge, Channels, Postcopy, Xbzrle};
use crate::world::{DiskCopy, MigrateOptions, PortId, Told, World};

/// One migration that is driven through a port.
#[derive(Debug)]
pub(crate) struct Driver {
    migration: Migration,
    port: PortId,
    rules: fn(&Facts) -> Verdict,
    /// The world's instant at which the migration's own time begins.
    begun_ns: u64,
}

impl Driver {
    /// A migration that has not begun, whose time begins now.
    ///
    /// # Errors
    /// When the spec is out of its bounds.
    pub(crate) fn new(
        world: &World,
        port: PortId,
        spec: Spec,
        rules: fn(&Facts) -> Verdict,
    ) -> Result<Self, SpecError> {
        Ok(Self { migration: Migration::new(spec)?, port, rules, begun_ns: world.now_ns() })
    }

    /// The migration as it stands.
    pub(crate) fn view(&self) -> View<'_> {
        self.migration.view()
    }

    /// Where it is driven.
    pub(crate) fn port(&self) -> PortId {
        self.port
    }

    /// The instant of the world at which [`Input::Timer`] is to be fed.
    pub(crate) fn deadline_ns(&self) -> Option<u64> {
        self.migration.deadline().map(|deadline| self.begun_ns.saturating_add(deadline.as_ns()))
    }

    /// Feeds what the world told of the migration's port.
    ///
    /// # Errors
    /// Never, unless the world breaks the protocol of the port: a bug.
    pub(crate) fn tell(
        &mut self,
        world: &mut World,
        told: Told,
        watch: &mut impl FnMut(Instant, &Event, View<'_>),
    ) -> Result<(), Misuse> {
        match told {
            Told::Observed(observation) => self.feed(world, Input::Hypervisor(observation), watch),
            Told::Asked(request) => self.ask(world, request, watch),
            // Fleets and tests keep whoever drives.
            Told::Interrupted { .. } => Ok(()),
        }
    }

    /// Feeds a wish of an operator's.
    ///
    /// # Errors
    /// As for [`tell`](Self::tell), or when it was begun twice.
    pub(crate) fn ask(
        &mut self,
        world: &mut World,
        request: Request,
        watch: &mut impl FnMut(Instant, &Event, View<'_>),
    ) -> Result<(), Misuse> {
        self.feed(world, Input::Operator(request), watch)
    }

    /// Feeds one input, carries out what it causes, and lets the rules speak where they are asked.
    ///
    /// # Errors
    /// As for [`tell`](Self::tell).
    pub(crate) fn feed(
        &mut self,
        world: &mut World,
        input: Input,
        watch: &mut impl FnMut(Instant, &Event, View<'_>),
    ) -> Result<(), Misuse> {
        let now = Instant::from_ns(world.now_ns().saturating_sub(self.begun_ns));
        let mut input = Some(input);
        while let Some(next) = input.take() {
            let outputs: Vec<Output> = self.migration.handle(now, next)?.collect();
            for output in outputs {
                match output {
                    Output::Event(event) => watch(now, &event, self.migration.view()),
                    Output::Command(Command { id, action: Action::EvaluateRules(facts) }) => {
                        let answer = Answer::Verdict((self.rules)(&facts));
                        input = Some(Input::Hypervisor(Observation::Answer { to: id, answer }));
                    }
                    Output::Command(command) => world.carry_out(self.port, command),
                }
            }
        }
        Ok(())
    }
}

/// The ways of a spec as libvirt's flags, with the hypervisor's own parameters. The definition goes with the guest: one
/// that stayed behind could be started there by mistake.
pub(crate) fn options_of(ways: Ways) -> MigrateOptions {
    let channels = |count: u8| Channels { count: u64::from(count), ..Channels::default() };
    MigrateOptions {
        auto_converge: ways.auto_converge.then(AutoConverge::default),
        xbzrle: ways.xbzrle.then(Xbzrle::default),
        channels: ways.parallel_connections.map(channels),
        postcopy: ways.postcopy.then(Postcopy::default),
        copy_disks: ways.copy_disks.then_some(DiskCopy::Background),
        is_offline: ways.offline,
        persist_destination: true,
        undefine_source: true,
        ..MigrateOptions::default()
    }
}
