//! The port of one migration in a simulated world.

use std::io;
use std::sync::mpsc::Sender;
use std::time::Instant as Clock;

use whimbrel_core::{Action, Answer, Command, CommandId, CopyState, Failure, Fault, Observation};
use whimbrel_sim::world::PortId;

use super::world_thread::{Ask, WorldHandle};
use whimbrel_drive::hosts::Route;
use whimbrel_drive::{CallPermit, CallPermits, Message, Port, Withdrawn};

/// A port in a world of this process. The migration goes on when it is dropped, as a real one does.
#[derive(Debug)]
pub(super) struct SimulatedPort {
    handle: WorldHandle,
    inbox: Sender<Message>,
    /// The world's own port, or why the route leads nowhere.
    opened: Result<PortId, Failure>,
    permits: CallPermits,
}

impl SimulatedPort {
    pub(super) fn open(handle: WorldHandle, route: Route, inbox: Sender<Message>) -> io::Result<Self> {
        let opened = handle.open(route, inbox.clone())?;
        Ok(Self { handle, inbox, opened, permits: CallPermits::default() })
    }
}

impl Port for SimulatedPort {
    fn execute(&mut self, command: Command) {
        match &self.opened {
            Ok(port) => {
                let permit = match command.action {
                    Action::StartMigration | Action::ResumePostcopy => self.permits.issue(command.id),
                    _ => CallPermit::default(),
                };
                self.handle.ask(Ask::CarryOut(*port, command, permit));
            }
            Err(failure) => {
                let Some(answer) = refused(&command.action, failure) else { return };
                let observation = Observation::Answer { to: command.id, answer };
                // Without a receiver the migration has ended.
                let _ = self.inbox.send(Message::Observed { observation, since: Clock::now() });
            }
        }
    }

    fn abandon_call(&mut self, call: CommandId) {
        self.permits.withdraw(call, Withdrawn::GivenUp);
    }
}

impl Drop for SimulatedPort {
    fn drop(&mut self) {
        if let Ok(port) = self.opened {
            self.handle.ask(Ask::Close(port));
        }
    }
}

/// The answer of a client that cannot reach a host, or finds no such guest there.
fn refused(action: &Action, failure: &Failure) -> Option<Answer> {
    let failure = failure.clone();
    Some(match action {
        Action::EvaluateRules(_) => return None,
        Action::CollectFacts => Answer::Facts(Err(failure)),
        Action::ReadSettings => Answer::Settings(Err(failure)),
        Action::ApplySetting(_) => Answer::Applied(Err(failure)),
        Action::StartMigration | Action::ResumePostcopy => Answer::CallReturned(Err(failure)),
        Action::PollJob => Answer::Job(Err(failure)),
        Action::AbortMigration => Answer::Abort(Err(failure)),
        Action::StartPostcopy => Answer::Postcopy(Err(failure)),
        Action::Observe(_) if failure.fault == Fault::GuestNotFound => Answer::Copy(CopyState::Absent),
        Action::Observe(_) => Answer::Copy(CopyState::Unknown),
        Action::Resume(_)
        | Action::Destroy(_)
        | Action::Suspend
        | Action::Undefine(_)
        | Action::RemoveDisks(_) => Answer::Acted(Err(failure)),
    })
}
