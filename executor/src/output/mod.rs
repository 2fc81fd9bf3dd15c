//! Output of a migration while it runs: a live picture on a terminal, plain lines, or documents for machines.
//!
//! A watcher shows the events that it receives, and forecasts that follow from them; it must never change, delay or stop a migration. After its
//! terminal or pipe breaks it writes nothing more.

use std::io::{self, BufWriter};
use std::mem::discriminant;

use clap::ValueEnum;
use serde::Serialize;
use whimbrel_core::Output;
use whimbrel_core::journal::{self, JournalError, Replayed};
use whimbrel_observe::messages::LogLine;
use whimbrel_policy::follow::{Known, Report};
use whimbrel_policy::forecast::Verdict;

#[cfg(test)]
mod fixtures;
pub mod forecasting;
pub mod lines;
pub mod ndjson;
pub mod report;
#[cfg(test)]
mod tests;
pub mod tui;

pub use forecasting::{Forecasting, Show};
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

/// The watcher for standard output, with forecasts. `terminal` says whether that is a terminal; the picture falls back to lines when
/// the terminal cannot show it. `frame_ms` is the migration's time between two frames of the picture:
/// [`tui::FRAME_MS`] when it passes as real time does, more when a simulation runs ahead of it. The forecasts begin with what is
/// `known`.
#[must_use]
pub fn choose(
    format: Format,
    terminal: bool,
    frame_ms: u64,
    origin: Origin,
    known: Known,
) -> Box<dyn Watcher + Send> {
    let show: Box<dyn Show + Send> = match format {
        Format::Text => {
            let picture = if terminal { Picture::open(frame_ms) } else { None };
            match picture {
                Some(picture) => Box::new(picture),
                None => Box::new(Lines::new(io::stdout())),
            }
        }
        Format::Json => Box::new(JsonReport::new(BufWriter::new(io::stdout()), origin)),
        Format::Ndjson => Box::new(Ndjson::new(io::stdout(), origin)),
    };
    Box::new(Forecasting::new(show, known))
}

/// The log lines of a forecast: its sentence and, when the verdict has become another one that needs an action, what would
/// follow from each.
fn forecast_lines(report: &Report, before: Option<&Report>) -> Vec<LogLine> {
    let line = |tag: &str, text| LogLine { tag: tag.to_owned(), text };
    let mut lines = vec![line("forecast", report.sentence())];
    let needs_action = !matches!(report.verdict, Verdict::Open | Verdict::Converges);
    let actions = report.actions_in_words();
    if needs_action && is_another_verdict(report, before) && !actions.is_empty() {
        lines.push(line("actions", actions));
    }
    lines
}

fn is_another_verdict(report: &Report, before: Option<&Report>) -> bool {
    before.is_none_or(|before| discriminant(&before.verdict) != discriminant(&report.verdict))
}
