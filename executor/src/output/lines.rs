//! Plain lines, for logs and pipes: one for every relevant event, with its time.
//!
//! No colour is used, and no line is overwritten. Progress has a line every few seconds only, to show that a long pass is
//! alive.

use std::io::Write;

use whimbrel_core::{Event, Instant, View};
use whimbrel_policy::follow::Report;

use super::{Show, Watcher, forecast_lines};
use whimbrel_observe::messages::tell;
use whimbrel_observe::names::Names;
use whimbrel_observe::summary;

/// The migration's time between two lines of progress, in ms.
const PROGRESS_EVERY_MS: u64 = 5_000;

/// Writes lines. It stops writing at the first error of its writer.
#[derive(Debug)]
pub struct Lines<W: Write> {
    out: W,
    names: Option<Names>,
    last_line: Instant,
    last_forecast: Option<Report>,
    broken: bool,
}

impl<W: Write> Lines<W> {
    /// Lines to `out`, each flushed as it is written.
    pub fn new(out: W) -> Self {
        Self { out, names: None, last_line: Instant::BEGIN, last_forecast: None, broken: false }
    }

    /// Lines to `out` that continue where another watcher stopped: without a heading.
    pub(super) fn going_on(out: W, names: Names, last_line: Instant) -> Self {
        Self { out, names: Some(names), last_line, last_forecast: None, broken: false }
    }

    fn write(&mut self, line: &str) {
        self.broken = self.broken || writeln!(self.out, "{line}").and_then(|()| self.out.flush()).is_err();
    }
}

impl<W: Write> Watcher for Lines<W> {
    fn on_event(&mut self, now: Instant, event: &Event, view: View<'_>) {
        if matches!(event, Event::Progress(_)) && now.since_ms(self.last_line) < PROGRESS_EVERY_MS {
            return;
        }
        let names = self.names.take().unwrap_or_else(|| {
            self.write(&summary::heading(view.spec));
            Names::of(view.spec)
        });
        for entry in tell(event, &names) {
            self.write(&entry.line(now));
        }
        if let Event::Ended(outcome) = event {
            self.write(&summary::describe(outcome, view.spec));
        }
        self.names = Some(names);
        if matches!(event, Event::Progress(_) | Event::Sync(_) | Event::Phase(_)) {
            self.last_line = now;
        }
    }
}

impl<W: Write> Show for Lines<W> {
    fn on_forecast(&mut self, now: Instant, report: &Report) {
        for entry in forecast_lines(report, self.last_forecast.as_ref()) {
            self.write(&entry.line(now));
        }
        self.last_forecast = Some(report.clone());
    }
}
