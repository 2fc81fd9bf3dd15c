//! The migrate call: libvirt's peer-to-peer protocol of five steps (begin, prepare, perform, finish, confirm), and
//! what becomes of it when something fails.
//!
//! ```text
//!  Idle ──▶ Preparing ──▶ Performing ──▶ Finishing ──▶ Confirming ──▶ Idle
//!                │             │             │
//!                └─────────────┴─────────────┴──▶ given up: the destination's copy ends, the source's goes on
//! ```
//!
//! Sources: libvirt 9.0.0 as observed between two hosts, and its `docs/migration.rst`.

use whimbrel_core::{Failure, Fault, Hint};

use super::agenda::Due;
use super::{DestinationCopy, SourceCopy, World};
use crate::qemu::{Engine, EventKind, SourceConfig, SourceMigration};
use crate::scenario::FaultAction;

/// How far the migrate call has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// There is none.
    Idle,
    /// The destination starts its QEMU.
    Preparing,
    /// Pages are copied.
    Performing,
    /// Everything is copied; the destination is told to run the guest.
    Finishing,
    /// The destination runs the guest; the source ends its copy.
    Confirming,
}

impl World {
    pub(super) fn begin_call(&mut self) {
        if !self.source.daemon_runs {
            self.return_call(Err(Failure::new(Fault::ReplyLost, "the source's daemon does not answer")));
            return;
        }
        if !self.destination.daemon_runs || self.link_is_cut {
            let failure =
                Failure::new(Fault::DestinationUnreachable, "unable to connect to the destination's daemon");
            self.return_call(Err(failure));
            return;
        }
        self.enter(Stage::Preparing);
        self.agenda.put(self.now_ns + self.constants.prepare_ns, Due::Stage(Stage::Performing));
    }

    /// The protocol reaches a stage that it was on its way to.
    pub(super) fn on_stage(&mut self, stage: Stage) {
        match stage {
            Stage::Performing if self.stage == Stage::Preparing => self.perform(),
            Stage::Confirming if self.stage == Stage::Finishing => {
                if self.link_is_cut {
                    // The word cannot get through. The source waits for the answer until the silence is too long.
                    return;
                }
                let paused = self.scenario.guest.paused;
                self.destination.copy =
                    if paused { DestinationCopy::Paused } else { DestinationCopy::Running };
                self.enter(Stage::Confirming);
                self.agenda.put(
                    self.now_ns + self.constants.confirm_ns + self.latency_ns(),
                    Due::Stage(Stage::Idle),
                );
            }
            Stage::Idle if self.stage == Stage::Confirming => {
                self.source.copy = SourceCopy::Gone;
                self.enter(Stage::Idle);
                self.hint(Hint::JobEnded);
                self.return_call(Ok(()));
            }
            // The protocol was given up on the way there.
            Stage::Preparing | Stage::Performing | Stage::Finishing | Stage::Confirming | Stage::Idle => {}
        }
    }

    fn perform(&mut self) {
        self.destination.copy = DestinationCopy::Incoming;
        self.enter(Stage::Performing);
        let config = SourceConfig {
            host: self.host_constants(),
            max_bandwidth_bytes_per_second: self.engine_limit(),
            downtime_limit_ms: self.settings.downtime_limit_ms,
            ..SourceConfig::default()
        };
        let guest = self.scenario.simulated_guest(0);
        self.engine =
            Some(SourceMigration::start(Engine::Page, &config, guest, self.now_ns, self.random.clone()));
    }

    pub(super) fn on_engine_event(&mut self, event: EventKind) {
        match event {
            EventKind::SyncDone { iteration, .. } => {
                self.hint(Hint::IterationBegan);
                self.on_iteration(iteration);
            }
            // The world asks for none of these yet.
            EventKind::PreSwitchover
            | EventKind::PostcopyBegan
            | EventKind::PostcopyPaused
            | EventKind::PostcopyResumed
            | EventKind::WindowClosed { .. } => {}
            EventKind::GuestStopped => {
                if self.source.copy == SourceCopy::Running {
                    self.source.copy = SourceCopy::Stopped;
                    self.hint(Hint::SourceSuspended);
                }
            }
            EventKind::Completed => {
                self.enter(Stage::Finishing);
                self.agenda.put(
                    self.now_ns + self.constants.finish_ns + self.latency_ns(),
                    Due::Stage(Stage::Confirming),
                );
            }
            EventKind::Cancelled { .. } => {
                let words = "operation aborted: migration out job: canceled by client";
                self.give_up(Failure::new(Fault::Aborted, words));
            }
            EventKind::Failed { .. } => {
                let words = "operation failed: migration out job: the connection to the destination was lost";
                self.give_up(Failure::new(Fault::Other, words));
            }
        }
    }

    /// The guest goes on where it was, and the destination's copy ends.
    pub(super) fn give_up(&mut self, failure: Failure) {
        if self.source.copy == SourceCopy::Stopped {
            self.source.copy = SourceCopy::Running;
            self.hint(Hint::SourceResumed);
        }
        self.destination.copy = DestinationCopy::None;
        self.enter(Stage::Idle);
        self.hint(Hint::JobEnded);
        self.return_call(Err(failure));
    }

    pub(super) fn on_fault(&mut self, fault: FaultAction) {
        match fault {
            // The operator's business, told before it gets here.
            FaultAction::Cancel => {}
            FaultAction::CutLink => {
                self.link_is_cut = true;
                self.set_engine_link(0);
                self.agenda.put(self.now_ns + self.constants.keep_alive_ns, Due::KeepAliveExpired);
            }
            FaultAction::RestoreLink => {
                self.link_is_cut = false;
                self.set_engine_link(self.host_constants().link_bytes_per_second);
                self.agenda.drop_where(|due| matches!(due, Due::KeepAliveExpired));
                if self.stage == Stage::Finishing {
                    self.agenda.put(self.now_ns + self.constants.finish_ns, Due::Stage(Stage::Confirming));
                }
            }
            FaultAction::KillSourceDaemon => {
                self.source.daemon_runs = false;
                self.return_call(Err(Failure::new(
                    Fault::ReplyLost,
                    "the connection to the source's daemon broke",
                )));
                if self.stage == Stage::Confirming {
                    // The destination runs the guest; the source's stopped copy is left without its job.
                    self.enter(Stage::Idle);
                } else {
                    self.lose_peer();
                }
            }
            FaultAction::StartSourceDaemon => self.source.daemon_runs = true,
            FaultAction::KillDestinationDaemon => {
                self.destination.daemon_runs = false;
                self.lose_peer();
            }
            FaultAction::StartDestinationDaemon => self.destination.daemon_runs = true,
            FaultAction::KillSourceGuest => {
                self.engine = None;
                self.source.copy = SourceCopy::Gone;
                if self.stage != Stage::Idle && self.stage != Stage::Confirming {
                    self.give_up(Failure::new(Fault::Other, "operation failed: domain is not running"));
                }
            }
            FaultAction::KillDestinationGuest => {
                if self.destination.copy == DestinationCopy::Incoming {
                    self.lose_peer();
                } else {
                    self.destination.copy = DestinationCopy::None;
                }
            }
        }
    }

    /// The link was silent for too long: each daemon gives the other up.
    pub(super) fn on_silence(&mut self) {
        if self.link_is_cut {
            self.lose_peer();
        }
    }

    /// One end of a migration under way has lost the other. Before the hand-over the copy fails, and the guest goes
    /// on; after it, each end keeps what it has.
    fn lose_peer(&mut self) {
        match self.stage {
            Stage::Idle | Stage::Confirming => {}
            Stage::Preparing | Stage::Finishing => {
                let words = "operation failed: lost the connection to the destination's daemon";
                self.give_up(Failure::new(Fault::Other, words));
            }
            Stage::Performing => {
                if let Some(engine) = &mut self.engine {
                    engine.fail();
                }
            }
        }
    }

    /// One way between the hosts.
    fn latency_ns(&self) -> u64 {
        self.scenario.link.latency_us.saturating_mul(1_000)
    }

    fn enter(&mut self, stage: Stage) {
        self.stage = stage;
    }

    fn set_engine_link(&mut self, bytes_per_second: u64) {
        if let Some(engine) = &mut self.engine {
            engine.set_link_bytes_per_second(bytes_per_second);
        }
    }
}
