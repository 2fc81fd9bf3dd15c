//! Migrations that had not ended when the service did: gone through again from their journals, and driven on.
//!
//! A journal that cannot be gone through is named with the record at which it fails, and its migration is not driven:
//! a state that is half known must not command anything. Nor are two migrations of one guest: their commands would undo
//! each other's work.

use std::path::PathBuf;
use std::time::Duration;

use whimbrel_core::journal::{self, JournalError, Replayed};
use whimbrel_core::{Instant, Output, Spec};

use super::super::account::Account;
use super::super::clock::now_ms;
use super::super::store::{MigrationRow, StoreError};
use super::{Course, Supervisor, same_guest};
use crate::hosts::Route;

/// How long the start waits until troubles are noted.
const NOTING: Duration = Duration::from_secs(5);

/// A migration as its journal leaves it.
struct Left {
    course: Course,
    route: Route,
    account: Account,
}

impl Supervisor {
    /// Adopts every migration that had not ended. How many there were.
    pub(in crate::service) async fn adopt(&self) -> Result<usize, StoreError> {
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
            let records = self.store.records(row.id).await?;
            match go_through(&row, &records) {
                Ok(Left { course, route, account }) => self.drive(row.id, course, route, account),
                Err(reason) => self.give_up(row.id, reason, None),
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

fn go_through(row: &MigrationRow, records: &[(i64, String)]) -> Result<Left, String> {
    let spec: Spec =
        serde_json::from_str(&row.spec).map_err(|error| format!("its spec is foreign: {error}"))?;
    let route: Route =
        serde_json::from_str(&row.route).map_err(|error| format!("its route is foreign: {error}"))?;
    if records.is_empty() {
        // It was asked for, and nothing was commanded yet.
        let course = Course::begin(spec).map_err(|error| error.to_string())?;
        return Ok(Left { course, route, account: Account::default() });
    }
    let mut text = journal::header_line(&spec, None);
    text.push('\n');
    for (_, line) in records {
        text.push_str(line);
        text.push('\n');
    }
    let mut account = Account::default();
    let mut last = Instant::BEGIN;
    let Replayed { migration, .. } = journal::replay(&text, |record, _, outputs| {
        last = record.at_ns;
        for output in outputs {
            if let Output::Event(event) = output {
                account.take(event);
            }
        }
    })
    .map_err(|error| named(&error, records))?;
    let away_ms = u64::try_from(now_ms().saturating_sub(row.began_at_ms)).unwrap_or(0);
    // A clock that was set back must not bring time back.
    let now = Instant::from_ms(away_ms).max(last);
    Ok(Left { course: Course::adopt(migration, now), route, account })
}

/// The header is the first line.
fn named(error: &JournalError, records: &[(i64, String)]) -> String {
    let number = error.line.checked_sub(2).and_then(|index| records.get(index)).map(|(number, _)| *number);
    match number {
        Some(number) => format!("record {number} of the journal is torn or foreign: {}", error.reason),
        None => format!("the journal cannot be gone through: {error}"),
    }
}
