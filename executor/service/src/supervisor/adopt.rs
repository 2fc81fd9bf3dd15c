//! Migrations that had not ended when the service did: replayed from their journals, and driven on.
//!
//! A journal that cannot be replayed, because another release wrote it or it is damaged, is read as far as it can be: both hosts
//! are observed, and nothing is destroyed that it does not account for. One from which nothing can be read is reported with the
//! record at which it fails. No migration is begun here, and no two of one guest are
//! driven: their commands would undo each other's work.

use std::path::PathBuf;
use std::time::Duration;

use whimbrel_core::journal::{self, JournalError};
use whimbrel_core::{Instant, Outcome, Output, Spec};

use super::super::clock::now_ms;
use super::super::lessons::Lessons;
use super::super::store::{MigrationRow, Store, StoreError, StoredLines};
use super::{DriveSession, Fold, Supervisor, same_guest};
use whimbrel_drive::Resumption;
use whimbrel_drive::hosts::Route;

/// How long the start waits until troubles are noted.
const NOTING: Duration = Duration::from_secs(5);

/// A migration as its journal leaves it.
struct Left {
    session: DriveSession,
    route: Route,
    fold: Fold,
}

impl Supervisor {
    /// Adopts every migration that had not ended. How many there were.
    pub(crate) async fn adopt(&self) -> Result<usize, StoreError> {
        let unfinished = self.store.unfinished().await?;
        let count = unfinished.len();
        let routes = self.store.routes_in_use().await?;
        let tunnel = |route: &String| serde_json::from_str::<Route>(route).ok()?.tunnel;
        let tunnels: Vec<_> = routes.iter().filter_map(tunnel).map(PathBuf::from).collect();
        self.tunnels.sweep(&tunnels);
        let later = match unfinished.first() {
            Some(oldest) => self.store.routes_after(oldest.id).await?,
            None => Vec::new(),
        };
        for row in unfinished {
            if let Some(newer) = superseded(&row, &later) {
                let reason = format!(
                    "migration {newer} of the same guest was begun after it, so it had ended before; how is not on \
                     record"
                );
                self.give_up(row.id, reason, None);
                continue;
            }
            let (id, began_at_ms) = (row.id, row.began_at_ms);
            let (store, lessons) = (self.store.clone(), self.lessons.clone());
            // A journal may be long: it is read page by page, on a thread that may wait for the store.
            let replayed = tokio::task::spawn_blocking(move || replay(store, &row, &lessons)).await;
            match replayed.map_err(|_| StoreError::Stopped)?? {
                Ok(Left { session, route, fold }) => self.drive(id, session, route, began_at_ms, fold),
                Err((reason, outcome)) => self.give_up_ended(id, reason, outcome),
            }
        }
        // The list must not show as running what is not driven.
        self.settle(NOTING).await;
        Ok(count)
    }
}

/// The migration of the same guest that was begun after this one. None is begun while another of its guest runs, so this
/// one had ended by then, whatever its journal says. It must not be driven: not even where the newer one has ended too.
fn superseded(row: &MigrationRow, later: &[(i64, String)]) -> Option<i64> {
    let parse = |route: &str| serde_json::from_str::<Route>(route).ok();
    let own = parse(&row.route)?;
    let is_same = |(id, route): &&(i64, String)| {
        *id > row.id
            && parse(route).is_some_and(|other| {
                same_guest((&own.guest, own.uuid.as_deref()), (&other.guest, other.uuid.as_deref()))
            })
    };
    later.iter().find(is_same).map(|(id, _)| *id)
}

/// Why a migration cannot be driven on, and its outcome if it had ended.
type Unusable = (String, Option<Box<Outcome>>);

/// Where the migration stands; or why it cannot be driven on. A store that cannot be read says nothing of it.
fn replay(store: Store, row: &MigrationRow, lessons: &Lessons) -> Result<Result<Left, Unusable>, StoreError> {
    let (route, journal) = match written(store, row) {
        Ok(written) => written,
        Err(reason) => return Ok(Err((reason, None))),
    };
    let left = left(row, route, &journal, lessons);
    journal.take_failure().map_or(Ok(left), Err)
}

fn left(
    row: &MigrationRow,
    route: Route,
    journal: &StoredLines,
    lessons: &Lessons,
) -> Result<Left, Unusable> {
    let mut fold = Fold::new(lessons, &route);
    let resumed = whimbrel_drive::resume(journal, since_begin(row), |record, migration, outputs| {
        for output in outputs {
            if let Output::Event(event) = output {
                fold.account.take(event);
                // Without forecasts: those of the past are in the store.
                fold.follower.observe(record.at_ns, event, migration.view());
            }
        }
    });
    match resumed.map_err(|error| (error.to_string(), None))? {
        Resumption::DriveSession { session, not_replayed: None } => {
            Ok(Left { session: *session, route, fold })
        }
        Resumption::DriveSession { session, not_replayed: Some(why) } => {
            let why = named(&why, journal);
            tracing::warn!(id = row.id, %why, "the journal cannot be replayed; both hosts are observed");
            // The account of what was replayed so far is not of this release's states: it begins with what is observed.
            let fold = Fold::new(lessons, &route);
            Ok(Left { session: *session, route, fold })
        }
        Resumption::Ended(outcome) => {
            let reason =
                "its journal says that it had ended, and the store did not: a write was lost".to_owned();
            Err((reason, Some(outcome)))
        }
    }
}

/// The route and the journal of a migration, as they are stored. To be called in the runtime.
pub(super) fn written(store: Store, row: &MigrationRow) -> Result<(Route, StoredLines), String> {
    let spec: Spec =
        serde_json::from_str(&row.spec).map_err(|error| format!("its spec cannot be read: {error}"))?;
    let route: Route =
        serde_json::from_str(&row.route).map_err(|error| format!("its route cannot be read: {error}"))?;
    Ok((route, StoredLines::new(store, row.id, journal::header_line(&spec, None))))
}

/// The present in the migration's own time, by the clock.
pub(super) fn since_begin(row: &MigrationRow) -> Instant {
    Instant::from_ms(u64::try_from(now_ms().saturating_sub(row.began_at_ms)).unwrap_or(0))
}

fn named(error: &JournalError, journal: &StoredLines) -> String {
    match journal.number(error.line) {
        Some(number) => format!("record {number}: {}", error.reason),
        None => error.to_string(),
    }
}
