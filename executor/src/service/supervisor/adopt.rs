//! Migrations that had not ended when the service did: gone through again from their journals, and driven on.
//!
//! A journal that cannot be gone through is named with the record at which it fails, and its migration is not driven:
//! a state that is half known must not command anything.

use std::path::PathBuf;

use whimbrel_core::journal::{self, JournalError, Replayed};
use whimbrel_core::{Instant, Output, Spec};

use super::super::account::Account;
use super::super::clock::now_ms;
use super::super::store::{MigrationRow, StoreError};
use super::{Course, Supervisor};
use crate::hosts::Route;

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
        for row in unfinished {
            let records = self.store.records(row.id).await?;
            match go_through(&row, &records) {
                Ok(Left { course, route, account }) => {
                    self.drive(row.id, course, route, row.began_at_ms, account);
                }
                Err(reason) => self.give_up(row.id, reason),
            }
        }
        Ok(count)
    }
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
