//! `whimbrel adopt`: a migration that whoever drove it left behind, driven on from its journal.
//!
//! Where the guest is, is looked at before anything is commanded. It must never drive what is still being driven: the
//! journal is locked, by `migrate` too.

use std::fs;
use std::sync::Arc;

use whimbrel_core::journal::{self, Circumstances, JournalError};
use whimbrel_core::{Instant, Spec};

use super::args::Adopt;
use super::migrate::{Driving, exit_of, follow, verdict};
use super::rule::load_set;
use super::{CliError, Exit, say, simulated};
use crate::copying::DiskChoice;
use crate::drive::{Course, DriveError, Journal};
use crate::hosts::Route;
use crate::owner::{Owner, unix_ms};
use crate::preflight::Preflight;
use crate::uri::Origin;

pub(super) fn run(arguments: &Adopt) -> Result<Exit, CliError> {
    let path = &arguments.journal;
    // A file that is not there must not be made, nor one that cannot be read be called unwritable.
    fs::metadata(path).map_err(|source| CliError::Unreadable { path: path.clone(), source })?;
    let (kept, text) = Journal::adopt(path)?;
    let unusable = |source| CliError::Journal { path: path.clone(), source };
    let header = journal::header(&text).map_err(unusable)?;
    let circumstances = header.circumstances.ok_or_else(|| unusable(undrivable()))?;
    let mut last = Instant::BEGIN;
    let replayed = journal::replay(&text, |record, _, _| last = record.at_ns).map_err(unusable)?;
    if let Some(outcome) = replayed.migration.view().outcome {
        say("the migration had ended already: `whimbrel replay` shows it");
        return Ok(exit_of(outcome));
    }
    let spec = header.spec;
    let route = route(&spec, &circumstances);
    let hosts = simulated::hosts(&arguments.simulated, [&route.source, &route.destination])?;
    hosts.check(&route.destination, Origin::Operator)?;
    hosts.check(&route.source, Origin::Operator)?;
    // A clock that was set back must not bring time back.
    let away_ms = unix_ms().saturating_sub(circumstances.began_at_unix_ms);
    let now = Instant::from_ms(away_ms).max(last);
    let course = if replayed.records == 0 {
        // It was asked for, and nothing was commanded yet.
        Course::begin(spec.clone()).map_err(DriveError::from)?
    } else {
        Course::adopt(replayed.migration, now)
    };
    // The same owner as the driver that began it.
    let owner = Owner::of_journal(path, circumstances.began_at_unix_ms);
    // What was begun has been judged already; the hosts are asked about what was not.
    let set = Arc::new(load_set(&arguments.rules)?);
    let rules = &|facts: &_| verdict(&Preflight::new(Arc::clone(&set), &hosts, &spec, &route, true), facts);
    follow(
        &hosts,
        Driving { route: route.clone(), course, owner, journal: kept, path, format: arguments.format, rules },
    )
}

fn route(spec: &Spec, circumstances: &Circumstances) -> Route {
    Route {
        guest: spec.guest.clone(),
        source: spec.source.clone(),
        destination: spec.destination.clone(),
        migrate_uri: circumstances.migrate_uri.clone(),
        ways: spec.ways,
        disks: DiskChoice {
            copied: circumstances.copied_disks.clone(),
            overwritten: circumstances.overwritten_disks.clone(),
        },
        no_probe: false,
        destination_xml: circumstances.destination_xml.clone(),
        // A migration that has not begun yet is refused by libvirt then, as it was not proved anew.
        allow_unsafe: false,
        tunnel: None,
        uuid: None,
        replace_owner: None,
    }
}

fn undrivable() -> JournalError {
    let reason =
        "it does not say when and how the migration was driven; only a journal of `migrate` does".to_owned();
    JournalError { line: 1, reason }
}
