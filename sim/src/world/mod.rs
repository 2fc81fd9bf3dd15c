//! Two hosts, a link and a guest in virtual time, behind the same port as libvirt.
//!
//! The world answers commands as libvirt's peer-to-peer migration does: the source's daemon drives, the destination's
//! prepares and takes over, and either may die. Copying is [`crate::qemu`]'s business; what happens around it, who has
//! the guest when, stands here and in `protocol`. The world must never look at the migration machine: it knows only
//! the commands that it was given.

mod agenda;
mod answers;
mod protocol;

use whimbrel_core::port::Settings;
use whimbrel_core::{Action, Answer, Command, CommandId, Hint, Observation, Request};

use self::agenda::{Agenda, Due};
use self::protocol::Stage;
use crate::qemu::{HostConstants, SourceMigration};
use crate::random::Random;
use crate::scenario::{FaultAction, Scenario, Trigger};

/// What the world tells whoever drives a migration in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// A hypervisor tells something.
    Observed(Observation),
    /// The scenario's operator asks for something.
    Asked(Request),
}

/// Times that do not depend on the guest, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DaemonConstants {
    /// A call to a daemon and its answer: libvirt's remote protocol on a local network.
    pub call_ns: u64,
    /// An event's way to its subscriber.
    pub event_ns: u64,
    /// From the migrate call until the destination's QEMU waits for pages: mostly the start of a process.
    pub prepare_ns: u64,
    /// From the end of the copy until the destination lets the guest run.
    pub finish_ns: u64,
    /// From then until the source's copy is gone and the call returns: about 200 ms between two real daemons.
    pub confirm_ns: u64,
    /// Silence after which a daemon gives up another: libvirt's keep-alive of 5 s, six times (qemu.conf).
    pub keep_alive_ns: u64,
}

impl Default for DaemonConstants {
    fn default() -> Self {
        Self {
            call_ns: 300_000,
            event_ns: 200_000,
            prepare_ns: 180_000_000,
            finish_ns: 4_000_000,
            confirm_ns: 200_000_000,
            keep_alive_ns: 30_000_000_000,
        }
    }
}

/// Two hosts, a link and a guest.
#[derive(Clone, Debug)]
pub struct World {
    scenario: Scenario,
    constants: DaemonConstants,
    random: Random,
    now_ns: u64,
    agenda: Agenda,
    source: Host<SourceCopy>,
    destination: Host<DestinationCopy>,
    link_is_cut: bool,
    settings: Settings,
    stage: Stage,
    engine: Option<SourceMigration>,
    /// The migrate call, while it is out.
    call: Option<CommandId>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Host<C> {
    daemon_runs: bool,
    copy: C,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SourceCopy {
    Running,
    /// By the migration.
    Stopped,
    /// Before the migration, by somebody.
    Paused,
    Gone,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum DestinationCopy {
    None,
    Incoming,
    Running,
    Paused,
}

impl World {
    /// The world of a scenario. All chance comes from `seed`.
    #[must_use]
    pub fn new(scenario: Scenario, seed: u64, constants: DaemonConstants) -> Self {
        let copy = if scenario.guest.paused { SourceCopy::Paused } else { SourceCopy::Running };
        let mut agenda = Agenda::default();
        for fault in &scenario.faults {
            if let Trigger::AtMs(ms) = fault.trigger {
                agenda.put(ms_to_ns(ms.saturating_add(fault.after_ms)), Due::Fault(fault.action));
            }
        }
        Self {
            random: Random::from_seed(seed),
            now_ns: 0,
            agenda,
            source: Host { daemon_runs: true, copy },
            destination: Host { daemon_runs: true, copy: DestinationCopy::None },
            link_is_cut: false,
            settings: Settings {
                downtime_limit_ms: 300,
                bandwidth_limit_bytes_per_second: answers::UNLIMITED_BYTES_PER_SECOND,
            },
            stage: Stage::Idle,
            engine: None,
            call: None,
            scenario,
            constants,
        }
    }

    /// Takes a command; its answer comes in virtual time. The rules are not the world's business.
    pub fn carry_out(&mut self, command: &Command) {
        match command.action {
            Action::StartMigration => {
                self.call = Some(command.id);
                self.begin_call();
            }
            Action::EvaluateRules(_) => {}
            Action::CollectFacts
            | Action::ReadSettings
            | Action::ApplySetting(_)
            | Action::PollJob
            | Action::AbortMigration
            | Action::Observe(_)
            | Action::Resume(_)
            | Action::Destroy(_) => {
                self.agenda.put(self.now_ns + self.constants.call_ns, Due::Command(command.clone()));
            }
        }
    }

    /// When the next thing happens at the earliest; `None` when nothing will happen without a command.
    #[must_use]
    pub fn next_at(&self) -> Option<u64> {
        let engine_at = self.engine.as_ref().and_then(SourceMigration::next_event_at);
        [engine_at.map(|at| at.max(self.now_ns)), self.agenda.next_at()].into_iter().flatten().min()
    }

    /// Goes on to `at_ns` at the most; returns early, with what is told, when something is.
    pub fn advance(&mut self, at_ns: u64) -> Option<(u64, Told)> {
        loop {
            let agenda_at = self.agenda.next_at().filter(|&at| at <= at_ns);
            let until = agenda_at.unwrap_or(at_ns);
            if let Some(event) = self.engine.as_mut().and_then(|engine| engine.advance_to(until)) {
                self.now_ns = self.now_ns.max(event.at_ns);
                self.on_engine_event(event.kind);
                continue;
            }
            self.now_ns = self.now_ns.max(until);
            let due = agenda_at.and_then(|_| self.agenda.take())?;
            if let Some(told) = self.on_due(due) {
                return Some((self.now_ns, told));
            }
        }
    }

    /// The instant reached.
    #[must_use]
    pub fn now_ns(&self) -> u64 {
        self.now_ns
    }

    fn on_due(&mut self, due: Due) -> Option<Told> {
        match due {
            Due::Tell(told) => Some(told),
            Due::Command(command) => {
                let answer = self.answer_to(&command.action)?;
                Some(Told::Observed(Observation::Answer { to: command.id, answer }))
            }
            Due::Fault(FaultAction::Cancel) => Some(Told::Asked(Request::Cancel)),
            Due::Fault(fault) => {
                self.on_fault(fault);
                None
            }
            Due::Stage(stage) => {
                self.on_stage(stage);
                None
            }
            Due::KeepAliveExpired => {
                self.on_silence();
                None
            }
        }
    }

    /// Faults that wait for this iteration.
    fn on_iteration(&mut self, iteration: u64) {
        for fault in self.scenario.faults.clone() {
            if fault.trigger == Trigger::AtIteration(iteration) {
                self.agenda.put(self.now_ns + ms_to_ns(fault.after_ms), Due::Fault(fault.action));
            }
        }
    }

    fn hint(&mut self, hint: Hint) {
        // A daemon that is dead tells nothing.
        if self.source.daemon_runs {
            let told = Told::Observed(Observation::Hint(hint));
            self.agenda.put(self.now_ns + self.constants.event_ns, Due::Tell(told));
        }
    }

    fn return_call(&mut self, result: Result<(), whimbrel_core::Failure>) {
        if let Some(to) = self.call.take() {
            let told = Told::Observed(Observation::Answer { to, answer: Answer::CallReturned(result) });
            self.agenda.put(self.now_ns + self.constants.call_ns, Due::Tell(told));
        }
    }

    fn host_constants(&self) -> HostConstants {
        self.scenario.source_config(HostConstants::default()).host
    }
}

const fn ms_to_ns(ms: u64) -> u64 {
    ms.saturating_mul(1_000_000)
}
