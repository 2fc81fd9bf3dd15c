//! The source's events, passed on as hints: over every connection that is made, so that a daemon that was restarted, or
//! a link that was cut, ends them for a moment only.
//!
//! Events never decide anything. An event of a job that is not this migration's must never leave numbers behind.

use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex};
use std::time::Instant as Clock;

use whimbrel_core::{Hint, Observation, Side};

use super::Hosts;
use crate::lock;
use crate::{
    Connection, DomainEvent, ErrorCode, JobOperation, JobStatistics, Lifecycle, Resumed, Subscription,
    Suspended,
};
use whimbrel_drive::Message;

/// What the library's event thread reaches. Nothing here may hold a handle of libvirt: the last reference may be dropped
/// on that thread, and a call from there would stop the signs of life of every connection.
#[derive(Debug)]
pub(super) struct Listener {
    inbox: Sender<Message>,
    /// Statistics that came with the event of a migration that ended.
    ended: Mutex<Option<JobStatistics>>,
}

/// The subscription, and the connection that it belongs to.
#[derive(Debug, Default)]
pub(super) struct Subscribed(Mutex<Option<(Connection, Option<Subscription>)>>);

impl Listener {
    pub(super) fn new(inbox: Sender<Message>) -> Self {
        Self { inbox, ended: Mutex::new(None) }
    }

    pub(super) fn tell(&self, observation: Observation) {
        // When nothing receives any more, the migration has ended and the answer concerns no one.
        let _ = self.inbox.send(Message::Observed { observation, since: Clock::now() });
    }

    pub(super) fn send(&self, message: Message) {
        let _ = self.inbox.send(message);
    }

    pub(super) fn ended(&self) -> Option<JobStatistics> {
        lock(&self.ended).clone()
    }

    /// What a migration that ended before left behind is not this one's.
    pub(super) fn forget_ended(&self) {
        *lock(&self.ended) = None;
    }

    fn on_event(&self, event: DomainEvent) {
        let hint = match event {
            DomainEvent::MigrationIteration(_) => Hint::IterationBegan,
            DomainEvent::JobCompleted(statistics) => {
                // A backup ends with such an event too.
                if statistics.operation == Some(JobOperation::MigrationOut) {
                    *lock(&self.ended) = Some(*statistics);
                }
                Hint::JobEnded
            }
            DomainEvent::Lifecycle(Lifecycle::Suspended(Suspended::Migrated)) => Hint::SourceSuspended,
            DomainEvent::Lifecycle(Lifecycle::Resumed(Resumed::Migrated)) => Hint::SourceResumed,
            DomainEvent::Lifecycle(Lifecycle::Suspended(Suspended::Postcopy)) => Hint::PostcopyBegan,
            DomainEvent::Lifecycle(Lifecycle::Suspended(Suspended::PostcopyFailed)) => Hint::PostcopyFailed,
            DomainEvent::Lifecycle(_) => return,
        };
        self.tell(Observation::Hint(hint));
    }
}

impl Hosts {
    /// Receives the source's events from now on, over the connection that is there; nothing is connected to for this.
    /// Without events polling still finds everything, only later: a failure is passed over, and the next query tries again.
    pub(super) fn listen(&self) {
        let (Some(connection), Some(uuid)) = (self.link(Side::Source).present(), self.uuid.get()) else {
            return;
        };
        let mut subscribed = lock(&self.subscribed.0);
        if subscribed.as_ref().is_some_and(|(of, _)| Arc::ptr_eq(of, &connection)) {
            return;
        }
        let listener = Arc::downgrade(&self.listener);
        let sink = move |event| {
            if let Some(listener) = listener.upgrade() {
                listener.on_event(event);
            }
        };
        let new = match connection.subscribe(uuid, Box::new(sink)) {
            Ok(subscription) => Some(subscription),
            // This connection never will have any.
            Err(error) if error.code == ErrorCode::NoSupport => None,
            Err(_) => return,
        };
        let old = subscribed.replace((connection, new));
        // Ending it is a call, on a connection that is dead by now.
        drop(subscribed);
        drop(old);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    #[test]
    fn the_numbers_of_another_job_are_not_kept() {
        let (inbox, _messages) = channel();
        let listener = Listener::new(inbox);
        let ended = |operation| {
            let statistics = JobStatistics { operation, ..JobStatistics::default() };
            DomainEvent::JobCompleted(Box::new(statistics))
        };
        for operation in [None, Some(JobOperation::Backup), Some(JobOperation::Other(3))] {
            listener.on_event(ended(operation));
            assert_eq!(listener.ended(), None, "{operation:?}");
        }
        listener.on_event(ended(Some(JobOperation::MigrationOut)));
        assert!(listener.ended().is_some());
        listener.forget_ended();
        assert_eq!(listener.ended(), None, "of a call before");
    }
}
