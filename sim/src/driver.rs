//! The migration machine on a port of a world: its commands are executed there, and the port's events are fed to it.
//!
//! It keeps no clock of its own and never moves the world, except through an interruption of the driver: the owner of
//! the world moves it, and may drive any number of migrations in it.

use whimbrel_core::journal::{self, Record};
use whimbrel_core::{
    Action, Answer, Command, CommandId, Event, Facts, Input, Instant, Migration, Misuse, Observation, Output,
    Pump, Request, Sink, Spec, SpecError, Verdict, View,
};

use crate::world::{PortEvent, PortId, World};

/// One migration that is driven through a port.
#[derive(Debug)]
pub struct Driver {
    pump: Pump,
    port: PortId,
    rules: fn(&Facts) -> Verdict,
    /// Kept on request.
    journal: Option<String>,
    /// The world's instant at which the migration's own time begins.
    begun_ns: u64,
}

impl Driver {
    /// A migration that has not begun, whose time begins now.
    ///
    /// # Errors
    /// When the spec is out of its bounds.
    pub fn new(
        world: &World,
        port: PortId,
        spec: Spec,
        rules: fn(&Facts) -> Verdict,
    ) -> Result<Self, SpecError> {
        Ok(Self {
            pump: Pump::new(Migration::new(spec)?),
            port,
            rules,
            journal: None,
            begun_ns: world.now_ns(),
        })
    }

    /// Keeps a journal from now on; nothing may have happened yet.
    pub fn keep_journal(&mut self) {
        self.journal = Some(journal::header_line(self.migration().view().spec, None) + "\n");
    }

    /// The journal, if one is kept.
    #[must_use]
    pub fn journal(&self) -> Option<&str> {
        self.journal.as_deref()
    }

    /// The machine.
    #[must_use]
    pub fn migration(&self) -> &Migration {
        self.pump.migration()
    }

    /// The migration as it stands.
    #[must_use]
    pub fn view(&self) -> View<'_> {
        self.migration().view()
    }

    /// Where it is driven.
    #[must_use]
    pub fn port(&self) -> PortId {
        self.port
    }

    /// The instant of the world at which [`Input::Timer`] is to be fed.
    #[must_use]
    pub fn deadline_ns(&self) -> Option<u64> {
        self.migration().deadline().map(|deadline| self.begun_ns.saturating_add(deadline.as_ns()))
    }

    /// Feeds an event of the migration's port.
    ///
    /// # Errors
    /// Never, unless the world breaks the protocol of the port: a bug.
    pub fn deliver(
        &mut self,
        world: &mut World,
        event: PortEvent,
        watch: &mut impl FnMut(Instant, &Event, View<'_>),
    ) -> Result<(), Misuse> {
        match event {
            PortEvent::Observed(observation) => self.feed(world, Input::Hypervisor(observation), watch),
            PortEvent::Requested(request) => self.ask(world, request, watch),
            // Fleets and tests do not restart the driver.
            PortEvent::Interrupted { .. } => Ok(()),
        }
    }

    /// Feeds an operator's request.
    ///
    /// # Errors
    /// As for [`deliver`](Self::deliver), or when it was begun twice.
    pub fn ask(
        &mut self,
        world: &mut World,
        request: Request,
        watch: &mut impl FnMut(Instant, &Event, View<'_>),
    ) -> Result<(), Misuse> {
        self.feed(world, Input::Operator(request), watch)
    }

    /// The driver is gone until `back_ns`, and starts again, from the journal if one is kept, with connections of its
    /// own. No other migration may be driven in this world: events meanwhile are not delivered.
    ///
    /// # Errors
    /// As for [`deliver`](Self::deliver).
    pub fn restart(
        &mut self,
        world: &mut World,
        back_ns: u64,
        watch: &mut impl FnMut(Instant, &Event, View<'_>),
    ) -> Result<(), Misuse> {
        world.disconnect(self.port);
        while world.advance(back_ns).is_some() {}
        if let Some(new) = world.reconnect(self.port) {
            self.port = new;
        }
        // A journal that does not replay leaves the migration as it was, and the tests of journals say so.
        let restored = self.journal.as_deref().map(|text| journal::replay(text, |_, _, _| {}));
        if let Some(Ok(restored)) = restored {
            self.pump = Pump::new(restored.migration);
        }
        self.feed(world, Input::Restarted, watch)
    }

    /// Feeds one input, executes its commands, and answers for the rules where they are evaluated.
    ///
    /// # Errors
    /// As for [`deliver`](Self::deliver).
    pub fn feed(
        &mut self,
        world: &mut World,
        input: Input,
        watch: &mut impl FnMut(Instant, &Event, View<'_>),
    ) -> Result<(), Misuse> {
        let now = Instant::from_ns(world.now_ns().saturating_sub(self.begun_ns));
        let mut input = Some(input);
        while let Some(next) = input.take() {
            let journal = self.journal.as_mut();
            let mut outlet = Outlet { world, port: self.port, journal, watch, asked: None };
            self.pump.feed(now, next, &mut outlet)?;
            input = outlet.asked.map(|(to, facts)| {
                let answer = Answer::Verdict((self.rules)(&facts));
                Input::Hypervisor(Observation::Answer { to, answer })
            });
        }
        Ok(())
    }
}

/// Where the outputs of one input go.
struct Outlet<'a, W> {
    world: &'a mut World,
    port: PortId,
    journal: Option<&'a mut String>,
    watch: &'a mut W,
    /// What the rules were asked. They need no time: they answer as soon as the pump takes the next input.
    asked: Option<(CommandId, Box<Facts>)>,
}

impl<W: FnMut(Instant, &Event, View<'_>)> Sink for Outlet<'_, W> {
    fn keeps_records(&self) -> bool {
        self.journal.is_some()
    }

    fn record(&mut self, record: Record, _: &[Output], _: View<'_>) {
        if let Some(journal) = &mut self.journal {
            journal.push_str(&journal::record_line(&record));
            journal.push('\n');
        }
    }

    /// A command of a simulation is on its way to its daemon as soon as it is given.
    fn abandon_call(&mut self, _: CommandId) {}

    fn event(&mut self, now: Instant, event: Event, view: View<'_>) {
        (self.watch)(now, &event, view);
    }

    fn command(&mut self, command: Command) {
        match command {
            Command { id, action: Action::EvaluateRules(facts) } => self.asked = Some((id, facts)),
            command => self.world.carry_out(self.port, command),
        }
    }
}

/// Without an observer.
pub fn unwatched(_: Instant, _: &Event, _: View<'_>) {}
