//! Output of a migration while it runs: a live picture on a terminal, plain lines, or documents for machines.
//!
//! A watcher shows the events that it receives and nothing else; it must never change, delay or stop a migration. After its
//! terminal or pipe breaks it writes nothing more.

use std::io::{self, BufWriter};

use clap::ValueEnum;
use serde::Serialize;
use whimbrel_core::Output;
use whimbrel_core::journal::{self, JournalError, Replayed};

#[cfg(test)]
mod fixtures;
pub mod lines;
pub mod ndjson;
pub mod report;
#[cfg(test)]
mod tests;
pub mod tui;

pub use lines::Lines;
pub use ndjson::Ndjson;
pub use report::JsonReport;
pub use tui::Picture;
pub use whimbrel_observe::Watcher;

/// Replays a journal, and passes its events to a watcher.
///
/// # Errors
/// When it is not a journal, or the replay differs from what was recorded.
pub fn replay(text: &str, watcher: &mut dyn Watcher) -> Result<Replayed, JournalError> {
    journal::replay(text, |record, migration, outputs| {
        for output in outputs {
            if let Output::Event(event) = output {
                watcher.on_event(record.at_ns, event, migration.view());
            }
        }
    })
}

/// The output formats of a migration on standard output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Live picture on a terminal, otherwise plain lines.
    #[default]
    Text,
    /// One JSON document at the end.
    Json,
    /// One JSON document per line: a header, then every event as it happens.
    Ndjson,
}

/// The source of simulated numbers, which documents for machines repeat so that a run can be reproduced.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Origin {
    /// The simulator's engine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub engine: Option<String>,
    /// The seed of its random numbers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
}

/// The watcher for standard output. `terminal` says whether that is a terminal; the picture falls back to lines when
/// the terminal cannot show it. `frame_ms` is the migration's time between two frames of the picture:
/// [`tui::FRAME_MS`] when it passes as real time does, more when a simulation runs ahead of it.
#[must_use]
pub fn choose(format: Format, terminal: bool, frame_ms: u64, origin: Origin) -> Box<dyn Watcher + Send> {
    match format {
        Format::Text => {
            let picture = if terminal { Picture::open(frame_ms) } else { None };
            match picture {
                Some(picture) => Box::new(picture),
                None => Box::new(Lines::new(io::stdout())),
            }
        }
        Format::Json => Box::new(JsonReport::new(BufWriter::new(io::stdout()), origin)),
        Format::Ndjson => Box::new(Ndjson::new(io::stdout(), origin)),
    }
}
