//! Those who watch, on a thread of their own: they go through the same migration from the same records.
//!
//! So a terminal that stands still, or a pipe that nobody reads, holds up nothing but itself.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use whimbrel_core::journal::Record;
use whimbrel_core::{Migration, Output};

use crate::watcher::Watcher;

/// How long the end waits for the last words to be shown.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// The driving loop's end.
#[derive(Debug)]
pub(super) struct Audience {
    records: Option<Sender<Record>>,
    gone: Receiver<()>,
}

impl Audience {
    /// Shows a migration, as it has not begun yet, to a watcher.
    pub(super) fn new(migration: Migration, watcher: Box<dyn Watcher + Send>) -> Self {
        let (records, inbox) = channel();
        let (leaving, gone) = channel();
        thread::spawn(move || {
            show(migration, watcher, &inbox);
            // The loop may have left already.
            let _ = leaving.send(());
        });
        Self { records: Some(records), gone }
    }

    pub(super) fn tell(&self, record: Record) {
        if let Some(records) = &self.records {
            // A watcher that panicked is missed by nobody.
            let _ = records.send(record);
        }
    }

    /// Lets the watcher finish, for a while.
    pub(super) fn leave(&mut self) {
        self.records = None;
        let _ = self.gone.recv_timeout(LAST_WORDS);
    }
}

fn show(mut migration: Migration, mut watcher: Box<dyn Watcher + Send>, inbox: &Receiver<Record>) {
    for Record { at_ns, input, .. } in inbox {
        // What breaks the protocol is told by the loop itself.
        let Ok(outputs) = migration.handle(at_ns, input).map(Iterator::collect::<Vec<_>>) else { continue };
        for output in outputs {
            if let Output::Event(event) = output {
                watcher.saw(at_ns, &event, migration.view());
            }
        }
    }
}
