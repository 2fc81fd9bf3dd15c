//! `whimbrel replay`: a migration from its journal.

use super::args::Replay;
use super::{CliError, Exit, input, say};
use whimbrel_policy::follow::Known;

use crate::output::{self, Origin, tui};

pub(super) fn run(arguments: &Replay) -> Result<Exit, CliError> {
    let path = &arguments.journal;
    let bytes = input::bytes(path)?;
    // A last line that was torn within a character is ignored like any other torn line.
    let text = String::from_utf8_lossy(&bytes);
    // Never the live picture: it would show only the last state of what runs through in an instant.
    let mut watcher =
        output::choose(arguments.format, false, tui::FRAME_MS, Origin::default(), Known::default());
    let replayed = output::replay(&text, &mut *watcher)
        .map_err(|source| CliError::Journal { path: path.clone(), source })?;
    drop(watcher);
    if replayed.torn {
        say("note: the last line is incomplete (torn) and is ignored");
    }
    let view = replayed.migration.view();
    let end = match view.outcome {
        Some(_) => "every state matches the record".to_owned(),
        None => format!("the journal ends while the migration is {}: check both hosts", view.phase),
    };
    say(&format!("replayed {} inputs; {end}", replayed.records));
    Ok(Exit::Done)
}
