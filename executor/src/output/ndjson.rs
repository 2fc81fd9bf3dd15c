//! One JSON document per line, for machines that follow a migration as it happens.
//!
//! The first line is a header with the requested migration; every other line is an event exactly as the core emits it, or a
//! forecast in the place of an event.

use std::io::Write;

use serde::Serialize;
use whimbrel_core::{Event, Instant, Spec, View};
use whimbrel_policy::follow::Report;

use super::{Origin, Show, Watcher};

/// Names the form of every line.
pub const SCHEMA: &str = "whimbrel.event/1";

/// Writes one JSON document per line. It stops writing at the first error of its writer.
#[derive(Debug)]
pub struct Ndjson<W: Write> {
    out: W,
    origin: Option<Origin>,
    broken: bool,
}

#[derive(Serialize)]
struct Header<'a> {
    schema: &'static str,
    #[serde(flatten)]
    origin: Origin,
    spec: &'a Spec,
}

#[derive(Serialize)]
struct Line<'a, E> {
    schema: &'static str,
    at_ns: Instant,
    event: &'a E,
}

/// In the place of an event.
#[derive(Serialize)]
struct Forecast<'a> {
    forecast: &'a Report,
}

impl<W: Write> Ndjson<W> {
    /// Documents to `out`, each flushed as it is written.
    pub fn new(out: W, origin: Origin) -> Self {
        Self { out, origin: Some(origin), broken: false }
    }

    fn write(&mut self, document: &impl Serialize) {
        let Ok(text) = serde_json::to_string(document) else { return };
        self.broken = self.broken || writeln!(self.out, "{text}").and_then(|()| self.out.flush()).is_err();
    }
}

impl<W: Write> Watcher for Ndjson<W> {
    fn on_event(&mut self, now: Instant, event: &Event, view: View<'_>) {
        if let Some(origin) = self.origin.take() {
            self.write(&Header { schema: SCHEMA, origin, spec: view.spec });
        }
        self.write(&Line { schema: SCHEMA, at_ns: now, event });
    }
}

impl<W: Write> Show for Ndjson<W> {
    fn on_forecast(&mut self, now: Instant, report: &Report) {
        self.write(&Line { schema: SCHEMA, at_ns: now, event: &Forecast { forecast: report } });
    }
}
