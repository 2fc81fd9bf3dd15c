//! A migration that ended in doubt, or that could not be driven on, examined once more.
//!
//! Both hosts are observed again, and what is known then is settled as it would have been. No migration is begun.

use std::sync::atomic::Ordering;

use tokio::sync::oneshot;
use tokio::time::timeout;

use super::super::store::{MigrationRow, Store, StoredLines, Write};
use super::adopt::{since_begin, written};
use super::beginning::{BEGIN_PATIENCE, Refused};
use super::{Fold, Supervisor};
use whimbrel_drive::hosts::Route;
use whimbrel_drive::{DriveSession, Resumption};

impl Supervisor {
    /// Drives a migration again that ended in doubt, or in trouble without an outcome.
    pub(crate) async fn resolve(&self, row: MigrationRow) -> Result<(), Refused> {
        // A client that hangs up half-way must not leave a migration that is open in the store and has no driver.
        let this = self.clone();
        let resolved = tokio::spawn(async move { this.resolve_whole(row).await });
        resolved.await.unwrap_or_else(|error| Err(Refused::Store(error.to_string())))
    }

    async fn resolve_whole(&self, row: MigrationRow) -> Result<(), Refused> {
        if self.draining.load(Ordering::SeqCst) {
            return Err(Refused::Draining);
        }
        let _no_other = self.beginning.lock().await;
        if self.running(row.id).is_some() {
            return Err(Refused::Busy(row.id));
        }
        let (session, route) = self.session_again(&row).await?;
        if let Some(id) = self.busy(&route.guest, route.uuid.as_deref()) {
            return Err(Refused::Busy(id));
        }
        let stopped = || Refused::Store("its writer has stopped".to_owned());
        let (reply, reopened) = oneshot::channel();
        self.writes.send(Write::Reopen(row.id, reply)).map_err(|_| stopped())?;
        let late = |_| Refused::Store("it did not accept the request in time".to_owned());
        timeout(BEGIN_PATIENCE, reopened)
            .await
            .map_err(late)?
            .map_err(|_| stopped())?
            .map_err(Refused::Store)?;
        let fold = Fold::new(&self.lessons, &route);
        self.drive(row.id, session, route, row.began_at_ms, fold);
        Ok(())
    }

    async fn session_again(&self, row: &MigrationRow) -> Result<(DriveSession, Route), Refused> {
        let (store, own) = (self.store.clone(), row.clone());
        // A journal may be long: it is read page by page, on a thread that may wait for the store.
        let read = tokio::task::spawn_blocking(move || session_of(store, &own)).await;
        read.unwrap_or_else(|error| Err(Refused::Store(error.to_string())))
    }
}

fn session_of(store: Store, row: &MigrationRow) -> Result<(DriveSession, Route), Refused> {
    let (route, journal) = written(store, row).map_err(Refused::NotInDoubt)?;
    let session = session_in(row, &journal);
    // What a store that cannot be read seems to say is no reason to refuse.
    journal
        .take_failure()
        .map_or(session, |error| Err(Refused::Unreadable(error)))
        .map(|session| (session, route))
}

fn session_in(row: &MigrationRow, journal: &StoredLines) -> Result<DriveSession, Refused> {
    let now = since_begin(row);
    let unusable = |error: whimbrel_drive::ResumptionError| Refused::NotInDoubt(error.to_string());
    if row.outcome.is_none() && row.trouble.is_some() {
        return match whimbrel_drive::resume(journal, now, |_, _, _| ()).map_err(unusable)? {
            Resumption::DriveSession { session, .. } => Ok(*session),
            Resumption::Ended(outcome) => Err(Refused::NotInDoubt(format!("it ended: {}", outcome.ending))),
        };
    }
    let why = "only a migration that ended in doubt, or could not be driven on, is examined again";
    let session = whimbrel_drive::examine_again(journal, now).map_err(unusable)?;
    session.ok_or_else(|| Refused::NotInDoubt(why.to_owned()))
}
