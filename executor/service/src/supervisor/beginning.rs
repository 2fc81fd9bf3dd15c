//! How a migration is begun: it is in the store before its thread begins, or it is not begun at all.
//!
//! A request that was refused must never begin a migration later.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::timeout;
use whimbrel_core::Spec;

use super::super::clock::now_ms;
use super::super::store::{Begun, StoreError, Write};
use super::super::tunnel::NewTunnel;
use super::{Fold, Supervisor};
use whimbrel_drive::DriveSession;
use whimbrel_drive::hosts::{HostsError, Route};

/// How long a beginning waits for the store. One that is written later is not begun any more.
pub(super) const BEGIN_PATIENCE: Duration = Duration::from_secs(10);

/// A request for a migration.
#[derive(Debug)]
pub(crate) struct Order {
    pub(crate) spec: Spec,
    pub(crate) route: Route,
    pub(crate) asked_by: String,
    pub(crate) target_uri: String,
    pub(crate) idempotency_key: Option<String>,
    /// The tunnel that the route goes through. It ends with the order, unless a migration takes it over.
    pub(crate) tunnel: Option<NewTunnel>,
}

/// Why a migration was not begun.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refused {
    /// The guest is being migrated already.
    #[error("the guest is already being migrated, by migration {0}")]
    Busy(i64),
    /// The same key came with another request before.
    #[error("the idempotency key was used for another request, migration {0}")]
    KeyReused(i64),
    /// A limit is out of its bounds.
    #[error(transparent)]
    Spec(#[from] whimbrel_core::SpecError),
    /// A host cannot be queried.
    #[error(transparent)]
    Hosts(#[from] HostsError),
    /// The hosts were queried and did not answer in time.
    #[error("the hosts did not answer in time")]
    Silent,
    /// The store does not keep it.
    #[error("the migration was not stored: {0}")]
    Store(String),
    /// The service drives what there is to its end, and then ends.
    #[error("the service is being drained")]
    Draining,
    /// There is nothing to examine again.
    #[error("{0}")]
    NotInDoubt(String),
    /// The store cannot be read.
    #[error("the store cannot be read: {0}")]
    Unreadable(StoreError),
}

impl From<StoreError> for Refused {
    fn from(error: StoreError) -> Self {
        Self::Unreadable(error)
    }
}

impl Supervisor {
    /// Begins a migration, or gives the one that was begun with the same key. The number, and whether it is new.
    pub(crate) async fn begin(&self, order: Order) -> Result<(i64, bool), Refused> {
        // A client that hangs up half-way must not leave a migration that is in the store and has no driver.
        let this = self.clone();
        let begun = tokio::spawn(async move { this.begin_whole(order).await });
        begun.await.unwrap_or_else(|error| Err(Refused::Store(error.to_string())))
    }

    async fn begin_whole(&self, order: Order) -> Result<(i64, bool), Refused> {
        // Before the lock: one that hangs in the store must not let the others wait.
        if self.draining.load(Ordering::SeqCst) {
            return Err(Refused::Draining);
        }
        if !self.health.accepts() {
            return Err(Refused::Store(
                "the store accepts no writes at present; nothing was started".to_owned(),
            ));
        }
        let mut last = self.beginning.lock().await;
        let on_record = order.route.for_record();
        let route = serde_json::to_string(&on_record).unwrap_or_default();
        let spec = serde_json::to_string(&order.spec).unwrap_or_default();
        if let Some(key) = &order.idempotency_key
            && let Some(known) = self.store.migration_by_key(key).await?
        {
            let known_route = serde_json::from_str(&known.route).ok().map(Route::as_asked);
            let same = known.spec == spec && known_route == Some(on_record.as_asked());
            return if same { Ok((known.id, false)) } else { Err(Refused::KeyReused(known.id)) };
        }
        let session = DriveSession::begin(order.spec)?;
        if let Some(id) = self.busy(&order.route.guest, order.route.uuid.as_deref()) {
            return Err(Refused::Busy(id));
        }
        self.hosts.check_both(&order.route.source, &order.route.destination)?;
        let (id, began_at_ms) = (*last + 1, now_ms());
        let begun = Begun {
            id,
            spec,
            route,
            began_at_ms,
            asked_by: order.asked_by,
            target_uri: order.target_uri,
            idempotency_key: order.idempotency_key,
        };
        // Its number is never given to another, whatever the store says: it may have written more than it says.
        *last = id;
        self.write_beginning(begun).await?;
        let fold = Fold::new(&self.lessons, &order.route);
        self.drive(id, session, order.route, began_at_ms, fold);
        if let Some(tunnel) = order.tunnel {
            tunnel.keep();
        }
        Ok((id, true))
    }

    async fn write_beginning(&self, begun: Begun) -> Result<(), Refused> {
        let (id, (reply, written)) = (begun.id, oneshot::channel());
        let stopped = || Refused::Store("the writer of the store has stopped".to_owned());
        self.writes.send(Write::Begin(begun, reply)).map_err(|_| stopped())?;
        if let Ok(written) = timeout(BEGIN_PATIENCE, written).await {
            return written.map_err(|_| stopped())?.map_err(Refused::Store);
        }
        // It may be written yet. The request is over: it must not begin some time later.
        let why = "the store did not accept it in time: nothing was started".to_owned();
        self.note_trouble(id, why.clone(), None, None);
        Err(Refused::Store(why))
    }
}
