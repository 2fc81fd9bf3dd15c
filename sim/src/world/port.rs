//! The port of the migration machine, answered by this world. Each migration that is driven has a port of its own.
//!
//! A command travels to the daemon that it concerns, is executed there, and its answer comes back, unless a fault keeps
//! it. The world does not evaluate rules.

use whimbrel_core::port::Action;
use whimbrel_core::{
    Answer, Command, CommandId, CopyState, Facts, Failure, Fault, GuestFacts, GuestRun, Hint, HostFacts,
    Observation, Request, Side,
};

use super::daemon_calls::unreachable;
use super::domains::ProcessState;
use super::event_queue::Scheduled;
use super::incidents::Initiator;
use super::job::MigrateOptions;
use super::{GuestId, HostId, PortId, World};

/// An event for the driver of a migration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PortEvent {
    /// A hypervisor reports something.
    Observed(Observation),
    /// A request of the world's operator.
    Requested(Request),
    /// The driver is interrupted: it must disconnect, and may [reconnect](World::reconnect) after this long.
    Interrupted {
        /// How long it is gone.
        gone_ns: u64,
    },
}

/// A client with its connections to two hosts, for one guest.
#[derive(Clone, Copy, Debug)]
pub(super) struct Port {
    guest: GuestId,
    source: HostId,
    destination: HostId,
    options: MigrateOptions,
    is_open: bool,
    /// The port that took this one's place.
    successor: Option<PortId>,
}

impl World {
    /// A port through which a guest's migration from one host to another is driven.
    pub fn connect(
        &mut self,
        guest: GuestId,
        source: HostId,
        destination: HostId,
        options: MigrateOptions,
    ) -> PortId {
        let id = PortId(self.ports.len());
        self.ports.push(Port { guest, source, destination, options, is_open: true, successor: None });
        self.host_mut(source).ports.push(id);
        id
    }

    /// The driver is gone; the migration continues. This port delivers no events any more.
    pub fn disconnect(&mut self, port: PortId) {
        let Some(state) = self.ports.get_mut(port.0) else { return };
        state.is_open = false;
        let source = state.source;
        self.host_mut(source).ports.retain(|other| *other != port);
    }

    /// The driver is back, with connections of its own: a new port in the place of one that was disconnected. Scheduled
    /// requests of an operator for the old port are delivered through this one.
    pub fn reconnect(&mut self, port: PortId) -> Option<PortId> {
        let Port { guest, source, destination, options, .. } = self.ports.get(port.0).copied()?;
        self.disconnect(port);
        let new = self.connect(guest, source, destination, options);
        if let Some(old) = self.ports.get_mut(port.0) {
            old.successor = Some(new);
        }
        Some(new)
    }

    /// The port that a port was followed by, and that one in turn. Each is younger than the one before.
    pub(super) fn newest(&self, port: PortId) -> PortId {
        let mut newest = port;
        while let Some(next) = self.ports.get(newest.0).and_then(|port| port.successor) {
            newest = next;
        }
        newest
    }

    /// Takes a command; its answer comes in virtual time.
    pub fn carry_out(&mut self, port: PortId, command: Command) {
        if matches!(command.action, Action::EvaluateRules(_)) || self.ports.get(port.0).is_none() {
            return;
        }
        let at_ns = self.now_ns + self.constants.call_ns;
        self.event_queue.put(at_ns, Scheduled::Command(port, command));
    }

    /// The command has reached its daemon.
    pub(super) fn on_command(&mut self, port: PortId, command: &Command) {
        let Some(state) = self.ports.get(port.0).copied().filter(|state| state.is_open) else { return };
        let Port { guest, source, destination, options, .. } = state;
        let host = |side| if side == Side::Source { source } else { destination };
        let concerned = match command.action {
            Action::Observe(side) | Action::Resume(side) | Action::Destroy(side) | Action::Undefine(side) => {
                host(side)
            }
            Action::RemoveDisks(_) => destination,
            Action::CollectFacts
            | Action::EvaluateRules(_)
            | Action::ReadSettings
            | Action::ApplySetting(_)
            | Action::StartMigration
            | Action::PollJob
            | Action::AbortMigration
            | Action::StartPostcopy
            | Action::ResumePostcopy
            | Action::Suspend => source,
        };
        // A host without power, or one that is silent, answers nothing: the caller needs a timeout.
        if !self.host(concerned).is_up || self.host(concerned).reply_behavior.is_silent {
            if matches!(command.action, Action::Observe(_)) {
                self.record_silence(guest, concerned);
            }
            return;
        }
        if self.defer_if_blocked(source, port, command) {
            return;
        }
        let answer = match command.action {
            Action::CollectFacts => Answer::Facts(self.facts(&state)),
            Action::ReadSettings => Answer::Settings(self.settings(guest, source)),
            Action::ApplySetting(setting) => Answer::Applied(self.apply(guest, source, setting)),
            Action::PollJob => Answer::Job(self.job(guest, source)),
            Action::AbortMigration => Answer::Abort(self.abort(guest, source)),
            Action::StartPostcopy => Answer::Postcopy(self.start_postcopy(guest, source)),
            Action::Observe(side) => {
                self.note_look((port, command.id), host(side));
                Answer::Copy(self.observe(guest, host(side)))
            }
            Action::Resume(side) => Answer::Acted(self.resume(guest, host(side), Initiator::Caller)),
            // As a driver does it: a copy is ended only while the other one is seen to run.
            Action::Destroy(side) => {
                let across = self.observe(guest, host(side.other()));
                Answer::Acted(if across == CopyState::Running {
                    self.destroy(guest, host(side))
                } else {
                    Err(Failure::new(Fault::Refused, "the copy across does not run any more"))
                })
            }
            Action::Suspend => Answer::Acted(self.suspend(guest, source, Initiator::Caller)),
            Action::Undefine(side) => Answer::Acted(self.undefine(guest, host(side))),
            Action::RemoveDisks(ref disks) => Answer::Acted(self.remove_disks(guest, destination, disks)),
            Action::StartMigration => {
                match self.begin(guest, source, destination, options, Some((port, command.id))) {
                    Ok(_) => return,
                    Err(failure) => Answer::CallReturned(Err(failure)),
                }
            }
            Action::ResumePostcopy => {
                match self.resume_postcopy(guest, source, destination, (port, command.id)) {
                    Ok(()) => return,
                    Err(failure) => Answer::CallReturned(Err(failure)),
                }
            }
            Action::EvaluateRules(_) => return,
        };
        // An event of what a call did comes before the call returns.
        let told_ns = if matches!(command.action, Action::Suspend) { self.constants.event_ns } else { 0 };
        self.tell_answer(port, concerned, (command.id, told_ns), answer);
    }

    pub(super) fn on_call_returned(&mut self, port: PortId, to: CommandId, result: Result<(), Failure>) {
        let Some(source) = self.ports.get(port.0).filter(|state| state.is_open).map(|state| state.source)
        else {
            return;
        };
        self.tell_answer(port, source, (to, 0), Answer::CallReturned(result));
    }

    /// The daemon of a guest's source sends an event to its subscribers.
    pub(super) fn hint(&mut self, guest: GuestId, host: HostId, hint: Hint) {
        let state = self.host(host);
        if !state.daemon_runs || state.reply_behavior.is_silent || state.reply_behavior.loses_events {
            return;
        }
        let reply_behavior = state.reply_behavior;
        let at_ns = self.now_ns + self.constants.event_ns + reply_behavior.delay_ns;
        for port in &state.ports.clone() {
            if self.ports.get(port.0).is_some_and(|state| state.guest == guest) {
                let event = PortEvent::Observed(Observation::Hint(hint));
                if reply_behavior.is_doubled {
                    self.event_queue.put(at_ns, Scheduled::Deliver(*port, event.clone()));
                }
                self.event_queue.put(at_ns, Scheduled::Deliver(*port, event));
            }
        }
    }

    pub(super) fn is_open(&self, port: PortId) -> bool {
        self.ports.get(port.0).is_some_and(|state| state.is_open)
    }

    /// An answer is on its way so much later, as answers of this host fare.
    pub(super) fn tell_answer(
        &mut self,
        port: PortId,
        host: HostId,
        (to, later_ns): (CommandId, u64),
        answer: Answer,
    ) {
        let reply_behavior = self.host(host).reply_behavior;
        if reply_behavior.is_silent {
            return;
        }
        let event = PortEvent::Observed(Observation::Answer { to, answer });
        if reply_behavior.delay_ns == 0 && later_ns == 0 && !reply_behavior.is_doubled {
            self.port_events.push_back((port, event));
            return;
        }
        let at_ns = self.now_ns + reply_behavior.delay_ns + later_ns;
        if reply_behavior.is_doubled {
            self.event_queue.put(at_ns, Scheduled::Deliver(port, event.clone()));
        }
        self.event_queue.put(at_ns, Scheduled::Deliver(port, event));
    }

    pub(super) fn guest_of(&self, port: PortId) -> Option<GuestId> {
        self.ports.get(port.0).map(|port| port.guest)
    }

    fn observe(&mut self, guest: GuestId, host: HostId) -> CopyState {
        if let Some(id) = self.domain(guest).copy(host).and_then(|copy| copy.job) {
            self.advance_to_now(id);
        }
        self.look(guest, host)
    }

    fn facts(&self, port: &Port) -> Result<Box<Facts>, Failure> {
        self.reached(port.source)?;
        if !self.daemon_runs(port.destination) {
            return Err(unreachable());
        }
        let domain = self.domain(port.guest);
        let copy = domain.copy(port.source);
        let guest = GuestFacts {
            name: domain.machine.name.clone(),
            uuid: domain.machine.uuid.clone(),
            run: run(copy.map(|copy| copy.process_state)),
            persistent: domain.defined_on.contains(&port.source),
            memory_bytes: domain.machine.memory.memory_mib << 20,
            job_active: copy.is_some_and(|copy| copy.job.is_some()),
        };
        let there = domain.copy(port.destination).map(|copy| copy.process_state);
        let defined = domain.defined_on.contains(&port.destination);
        let mut destination = self.host_facts(port.destination);
        destination.has_guest = (there.is_some() || defined).then(|| run(there));
        let over_there = &self.host(port.destination).inventory;
        // What must not be copied is refused by the rules, and again by the call.
        let copied = self.copied(port.guest, [port.source, port.destination], &port.options);
        let copied = copied.unwrap_or_default();
        let disks = domain.machine.disks.iter().enumerate().filter(|(place, _)| copied.has(*place));
        let missing = disks.map(|(_, disk)| &disk.path).filter(|path| over_there.backing(path).is_none());
        let disks_to_make = missing.cloned().collect();
        Ok(Box::new(Facts { guest, source: self.host_facts(port.source), destination, disks_to_make }))
    }

    fn host_facts(&self, host: HostId) -> HostFacts {
        let host = self.host(host);
        let inventory = &host.inventory;
        HostFacts {
            uri: format!("sim://{}", inventory.name),
            hostname: inventory.name.clone(),
            host_uuid: inventory.uuid.clone(),
            hypervisor: "QEMU".to_owned(),
            architecture: inventory.architecture.clone(),
            library_version: inventory.libvirt.to_number(),
            hypervisor_version: inventory.qemu.to_number(),
            free_memory_bytes: Some(host.free_memory_mib() << 20),
            has_guest: None,
        }
    }
}

fn run(process_state: Option<ProcessState>) -> GuestRun {
    match process_state {
        None => GuestRun::NotRunning,
        Some(process_state) if process_state.runs() => GuestRun::Running,
        Some(_) => GuestRun::Paused,
    }
}
