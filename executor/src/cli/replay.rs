//! `whimbrel replay`: the same migration again, from its journal.

use std::fs;

use super::args::Replay;
use super::{CliError, Exit, say};
use crate::watch::{self, Origin, picture};

pub(super) fn run(arguments: &Replay) -> Result<Exit, CliError> {
    let path = &arguments.journal;
    let bytes = fs::read(path).map_err(|source| CliError::Unreadable { path: path.clone(), source })?;
    // A last line that was torn within a character is left out like any other torn line.
    let text = String::from_utf8_lossy(&bytes);
    // Never the live picture: a replay is read, from beginning to end.
    let mut watcher = watch::choose(arguments.format, false, picture::FRAME_MS, Origin::default());
    let replayed = watch::replay(&text, &mut *watcher)
        .map_err(|source| CliError::Journal { path: path.clone(), source })?;
    drop(watcher);
    if replayed.torn {
        say("note: the last line was torn while it was written and is left out");
    }
    let view = replayed.migration.view();
    let end = match view.outcome {
        Some(_) => "every state is the one that was recorded".to_owned(),
        None => format!("the journal ends while the migration is {}: look at both hosts", view.phase),
    };
    say(&format!("replayed {} inputs; {end}", replayed.records));
    Ok(Exit::Done)
}
