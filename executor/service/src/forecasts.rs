//! The forecasts of a migration, made beside its driver: on the thread of its watcher, from the same events.
//!
//! A forecast takes up to a millisecond, and must never delay a record or a command: it is passed on when it is ready, and
//! the journal takes those that are there with its next record.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::Sender;

use whimbrel_core::{Event, Instant, View};
use whimbrel_drive::panics;
use whimbrel_observe::Watcher;
use whimbrel_policy::follow::{Follower, Report};

use super::lessons::Lessons;

/// Follows one migration.
#[derive(Debug)]
pub(super) struct Forecasts {
    /// None after it had a defect.
    follower: Option<Follower>,
    ready: Sender<Report>,
    /// Takes the evidence of the migration when it has completed.
    lessons: Lessons,
}

impl Forecasts {
    pub(super) fn new(follower: Follower, ready: Sender<Report>, lessons: Lessons) -> Self {
        Self { follower: Some(follower), ready, lessons }
    }
}

impl Watcher for Forecasts {
    /// A defect in a forecast ends the forecasts, and nothing else.
    fn on_event(&mut self, now: Instant, event: &Event, view: View<'_>) {
        let Some(follower) = &mut self.follower else { return };
        match catch_unwind(AssertUnwindSafe(|| follower.take(now, event, view))) {
            Ok(None) => {}
            // A journal that is gone takes none.
            Ok(Some(report)) => drop(self.ready.send(report)),
            Err(panic) => {
                tracing::error!(
                    panic = panics::text(&*panic),
                    "the forecast has a defect: the migration goes on without it"
                );
                self.follower = None;
                return;
            }
        }
        if let Some(lesson) = follower.lesson().filter(|_| matches!(event, Event::Ended(_))) {
            self.lessons.learn(&view.spec.source, &view.spec.destination, lesson);
        }
    }
}
