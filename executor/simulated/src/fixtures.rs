//! A migration that is over soon, for tests of what drives, keeps or serves migrations.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use whimbrel_core::journal::Record;
use whimbrel_core::{Output, Spec, View};
use whimbrel_drive::hosts::{Assignment, Hosts, Route};
use whimbrel_drive::owner::Owner;
use whimbrel_drive::{JournalSink, JournalSinkError};

use crate::{SimulatedHosts, built_in_world};

/// A migration of a quiet guest in a world that is fast.
///
/// # Errors
/// When no thread can be started.
pub fn quiet() -> io::Result<(Hosts, Spec, Route)> {
    let hosts = SimulatedHosts::start(built_in_world(1, 0), 200)?;
    let hosts = Hosts::new(vec![Arc::new(hosts)]);
    let spec = Spec::new("idle", "sim://alpha", "sim://beta");
    let route = Route::of(&spec);
    Ok((hosts, spec, route))
}

/// What a port for this route is given.
#[must_use]
pub fn assigned(route: Route) -> Assignment {
    Assignment { route, known: None, owner: Owner::of_journal(Path::new("journal"), 0) }
}

/// A journal that keeps nothing. No guest of a real host may be migrated with it.
#[derive(Clone, Copy, Debug)]
pub struct NoJournal;

impl JournalSink for NoJournal {
    fn begin(&mut self, _: &Spec) -> Result<(), JournalSinkError> {
        Ok(())
    }

    fn append(&mut self, _: &Record, _: &[Output], _: View<'_>) -> Result<(), JournalSinkError> {
        Ok(())
    }

    fn settle(&mut self, _: Duration) -> Result<bool, JournalSinkError> {
        Ok(true)
    }

    fn finish(&mut self) -> Result<(), JournalSinkError> {
        Ok(())
    }
}
