//! Journals of unknown origin: replay and takeover give a migration, or an error that names a line of the text.

#![no_main]

use libfuzzer_sys::fuzz_target;
use whimbrel_core::journal::{self, JournalError};

fn check(text: &str, error: &JournalError) {
    let lines = text.lines().count().max(1);
    assert!((1..=lines).contains(&error.line), "line {} of {lines}: {}", error.line, error.reason);
}

fuzz_target!(|text: &str| {
    if let Err(error) = journal::header(text) {
        check(text, &error);
    }
    match journal::replay(text, |_, _, _| {}) {
        // What could be replayed can be resumed, because resuming replays first.
        Ok(_) => assert!(journal::resume(text, |_, _, _| {}).is_ok()),
        Err(error) => {
            check(text, &error);
            if let Err(error) = journal::resume(text, |_, _, _| {}) {
                check(text, &error);
            }
        }
    }
});
