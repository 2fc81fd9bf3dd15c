//! `whimbrel adopt`: a migration that its driver abandoned, resumed from its journal. `whimbrel resolve`: one that ended in doubt,
//! resolved again.
//!
//! Both query both hosts before the first command, and start no migration. They must never drive what another process still
//! drives: the journal is locked, by `migrate` too.

use std::fs;
use std::sync::Arc;

use whimbrel_core::journal::{self, DriverContext, Header, JournalError};
use whimbrel_core::{Instant, Spec};

use super::args::Adopt;
use super::migrate::{Driving, exit_of, follow};
use super::rule::load_set;
use super::{CliError, Exit, OperatorError, hosts, say};
use whimbrel_drive::copying::DiskChoice;
use whimbrel_drive::hosts::Route;
use whimbrel_drive::owner::{Owner, unix_ms};
use whimbrel_drive::uri::Origin;
use whimbrel_drive::{DriveSession, EarlierLines, Journal, Resumption};
use whimbrel_policy::follow::Known;
use whimbrel_preflight::Preflight;

pub(super) fn run(arguments: &Adopt) -> Result<Exit, CliError> {
    let left = Left::open(arguments)?;
    let unusable = |source| OperatorError::Resumption { path: arguments.journal.clone(), source };
    match whimbrel_drive::resume(&left.earlier, left.now, |_, _, _| ()).map_err(unusable)? {
        Resumption::Ended(outcome) => {
            say("the migration has already ended: `whimbrel replay` shows it");
            Ok(exit_of(&outcome))
        }
        Resumption::DriveSession { session, not_replayed } => {
            if let Some(why) = not_replayed {
                say(&format!(
                    "warning: the journal cannot be replayed ({why}): both hosts are queried, and nothing is destroyed or undefined \
                     that is not on record in the journal"
                ));
            }
            left.follow(*session, arguments)
        }
    }
}

pub(super) fn resolve(arguments: &Adopt) -> Result<Exit, CliError> {
    let left = Left::open(arguments)?;
    let unusable = |source| OperatorError::Resumption { path: arguments.journal.clone(), source };
    match whimbrel_drive::examine_again(&left.earlier, left.now).map_err(unusable)? {
        Some(session) => left.follow(session, arguments),
        None => Err(OperatorError::NotInDoubt(arguments.journal.clone()).into()),
    }
}

/// A migration as its driver left it.
struct Left {
    journal: Journal,
    /// What the driver recorded.
    earlier: EarlierLines,
    spec: Spec,
    context: DriverContext,
    /// The present, in the migration's own time by the clock.
    now: Instant,
}

impl Left {
    fn open(arguments: &Adopt) -> Result<Self, CliError> {
        let path = &arguments.journal;
        // First: a missing file must not be created, and an unreadable one must not be reported as unwritable.
        fs::metadata(path).map_err(|source| CliError::Unreadable { path: path.clone(), source })?;
        let (journal, earlier) = Journal::adopt(path)?;
        let unusable = |source| CliError::Journal { path: path.clone(), source };
        let Header { spec, context, .. } = journal::header_of(&earlier).map_err(unusable)?;
        let context = context.ok_or_else(|| unusable(undrivable()))?;
        let now = Instant::from_ms(unix_ms().saturating_sub(context.began_at_unix_ms));
        Ok(Self { journal, earlier, spec, context, now })
    }

    fn follow(self, session: DriveSession, arguments: &Adopt) -> Result<Exit, CliError> {
        let Self { journal, spec, context, .. } = self;
        let route = route(&spec, &context);
        let hosts = hosts::for_uris(&arguments.simulated, [&route.source, &route.destination])?;
        hosts.check(&route.destination, Origin::Operator)?;
        hosts.check(&route.source, Origin::Operator)?;
        let set = Arc::new(load_set(&arguments.rules)?);
        let preflight = Preflight::new(set, spec, route.clone());
        let (path, format) = (&arguments.journal, arguments.format);
        // The same owner as the driver that began it.
        let owner = Owner::of_journal(path, context.began_at_unix_ms);
        follow(
            &hosts,
            Driving { route, session, owner, journal, path, format, preflight, known: Known::default() },
        )
    }
}

fn route(spec: &Spec, context: &DriverContext) -> Route {
    Route {
        migrate_uri: context.migrate_uri.clone(),
        disks: DiskChoice {
            copied: context.copied_disks.clone(),
            overwritten: context.overwritten_disks.clone(),
        },
        destination_xml: context.destination_xml.clone(),
        // libvirt's storage check is not overridden: shared storage was not proven again.
        ..Route::of(spec)
    }
}

fn undrivable() -> JournalError {
    let reason = "it does not record when and how the migration was driven; only a journal of `migrate` does"
        .to_owned();
    JournalError { line: 1, reason }
}
