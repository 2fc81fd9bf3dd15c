//! The watcher, on a thread of its own: it replays the migration from the same records.
//!
//! A terminal that blocks, or a pipe without a reader, therefore delays nothing but itself.

use std::io;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use whimbrel_core::journal::Record;
use whimbrel_core::{Migration, Output};

use whimbrel_observe::Watcher;

/// How long the end waits for the watcher's last output.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// The driving loop's end.
#[derive(Debug)]
pub(super) struct WatcherThread {
    records: Option<Sender<Record>>,
    gone: Receiver<()>,
}

impl WatcherThread {
    /// Starts the thread for a watcher, with the migration in its first state.
    ///
    /// # Errors
    /// When there can be no thread: a watcher must never keep a migration from being driven.
    pub(super) fn new(migration: Migration, watcher: Box<dyn Watcher + Send>) -> io::Result<Self> {
        let (records, inbox) = channel();
        let (leaving, gone) = channel();
        thread::Builder::new().name("watcher".to_owned()).spawn(move || {
            show(migration, watcher, &inbox);
            // The loop may have ended already.
            let _ = leaving.send(());
        })?;
        Ok(Self { records: Some(records), gone })
    }

    pub(super) fn tell(&self, record: Record) {
        if let Some(records) = &self.records {
            // A watcher that panicked must not affect the migration.
            let _ = records.send(record);
        }
    }

    /// Waits until the watcher has finished, for at most [`LAST_WORDS`].
    pub(super) fn leave(&mut self) {
        self.records = None;
        let _ = self.gone.recv_timeout(LAST_WORDS);
    }
}

fn show(mut migration: Migration, mut watcher: Box<dyn Watcher + Send>, inbox: &Receiver<Record>) {
    for Record { at_ns, input, .. } in inbox {
        // The loop itself reports misuse of the protocol.
        let Ok(outputs) = migration.handle(at_ns, input).map(Iterator::collect::<Vec<_>>) else { continue };
        for output in outputs {
            if let Output::Event(event) = output {
                watcher.on_event(at_ns, &event, migration.view());
            }
        }
    }
}
