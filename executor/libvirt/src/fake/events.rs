//! Events of the fake: those of the world, over connections that live.

use std::sync::Arc;

use whimbrel_core::Hint;
use whimbrel_sim::world::{GuestId, MigrateOptions, PortId};

use super::Inner;
use super::connection::FakeConnection;
use crate::calls::{EventSink, Subscribed};
use crate::{DomainEvent, JobOperation, Lifecycle, Resumed, Suspended};

impl Inner {
    /// The event of libvirt that a hint of the world stands for.
    pub(super) fn event(&mut self, port: PortId, hint: Hint) -> Option<DomainEvent> {
        let (guest, _) = *self.sink_places.get(&port)?;
        Some(match hint {
            Hint::IterationBegan => DomainEvent::MigrationIteration(1),
            Hint::JobEnded => {
                let ended = super::domain::completed(&mut self.world, guest);
                let mut statistics = ended.unwrap_or_default();
                statistics.operation = Some(JobOperation::MigrationOut);
                DomainEvent::JobCompleted(Box::new(statistics))
            }
            Hint::SourceSuspended => DomainEvent::Lifecycle(Lifecycle::Suspended(Suspended::Migrated)),
            Hint::SourceResumed => DomainEvent::Lifecycle(Lifecycle::Resumed(Resumed::Migrated)),
            Hint::PostcopyBegan => DomainEvent::Lifecycle(Lifecycle::Suspended(Suspended::Postcopy)),
            Hint::PostcopyFailed => DomainEvent::Lifecycle(Lifecycle::Suspended(Suspended::PostcopyFailed)),
        })
    }
}

/// Events arrive at its port as long as its connection lives.
#[derive(Debug)]
pub(super) struct FakeSubscription {
    connection: FakeConnection,
    port: PortId,
}

impl FakeSubscription {
    pub(super) fn new(connection: FakeConnection, port: PortId) -> Self {
        Self { connection, port }
    }
}

impl Subscribed for FakeSubscription {}

impl Drop for FakeSubscription {
    fn drop(&mut self) {
        self.connection.fake().inner().unsubscribe(self.port);
    }
}

impl Inner {
    pub(super) fn unsubscribe(&mut self, port: PortId) {
        self.sinks.remove(&port);
        self.sink_places.remove(&port);
        self.world.disconnect(port);
    }

    pub(super) fn subscribe(
        &mut self,
        guest: GuestId,
        connection: &FakeConnection,
        sink: EventSink,
    ) -> PortId {
        let host = connection.host;
        let port = self.world.connect(guest, host, host, MigrateOptions::default());
        self.sinks.insert(port, Arc::new(sink));
        self.sink_places.insert(port, (guest, host));
        self.sink_epochs.insert(port, connection.epoch);
        self.log.subscriptions += 1;
        port
    }
}
