//! Ctrl-C in verbs that leave nothing behind: the first one stops the work, and the result is about what was done until
//! then; a second one ends the process at once.
//!
//! Verbs that move guests must never use this: see `interrupt`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::Serialize;
use signal_hook::consts::SIGINT;
use signal_hook::flag;

use super::CliError;

/// The exit code of a process that Ctrl-C has ended, as shells report it.
pub(super) const INTERRUPTED: u8 = 130;

/// Whether Ctrl-C was pressed.
#[derive(Clone, Debug)]
pub(super) struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Takes over Ctrl-C for the rest of the process.
    pub(super) fn listen() -> Result<Self, CliError> {
        let pressed_before = Arc::new(AtomicBool::new(false));
        let pressed = Arc::new(AtomicBool::new(false));
        flag::register_conditional_shutdown(SIGINT, i32::from(INTERRUPTED), Arc::clone(&pressed_before))
            .map_err(CliError::Signals)?;
        flag::register(SIGINT, pressed_before).map_err(CliError::Signals)?;
        flag::register(SIGINT, Arc::clone(&pressed)).map_err(CliError::Signals)?;
        Ok(Self(pressed))
    }

    /// Whether it was pressed.
    pub(super) fn is_pressed(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Whether it was pressed since the last call.
    pub(super) fn take(&self) -> bool {
        self.0.swap(false, Ordering::Relaxed)
    }
}

/// How far work had come when it was stopped. A document without it is about all of the work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Partial {
    /// Units that were finished.
    pub(super) done: u64,
    /// All of them.
    pub(super) of: u64,
    /// What they are, in the plural.
    pub(super) unit: &'static str,
}

impl Partial {
    /// The line above a result, for people.
    pub(super) fn heading(&self) -> String {
        format!("PARTIAL: stopped after {} of {} {}\n", self.done, self.of, self.unit)
    }
}
