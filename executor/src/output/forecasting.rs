//! Forecasts beside the events: a follower takes every event and gives a report to the output when one is due.
//!
//! It must never keep an event from the output, nor change one.

use whimbrel_core::{Event, Instant, View};
use whimbrel_policy::follow::{Follower, Known, Report};

use super::Watcher;

/// An output that shows forecasts too.
pub trait Show: Watcher {
    /// A forecast that was made with the last event.
    fn on_forecast(&mut self, now: Instant, report: &Report);
}

impl Show for Box<dyn Show + Send> {
    fn on_forecast(&mut self, now: Instant, report: &Report) {
        (**self).on_forecast(now, report);
    }
}

impl Watcher for Box<dyn Show + Send> {
    fn on_event(&mut self, now: Instant, event: &Event, view: View<'_>) {
        (**self).on_event(now, event, view);
    }
}

/// Gives an output the events of one migration, and its forecasts.
#[derive(Debug)]
pub struct Forecasting<S: Show> {
    follower: Follower,
    show: S,
}

impl<S: Show> Forecasting<S> {
    /// For a migration from its beginning, with this knowledge before.
    pub fn new(show: S, known: Known) -> Self {
        Self { follower: Follower::new(known), show }
    }

    /// The output, for checks of what it shows.
    #[cfg(test)]
    pub(super) fn shown(&self) -> &S {
        &self.show
    }
}

impl<S: Show> Watcher for Forecasting<S> {
    fn on_event(&mut self, now: Instant, event: &Event, view: View<'_>) {
        self.show.on_event(now, event, view);
        if let Some(report) = self.follower.take(now, event, view) {
            self.show.on_forecast(now, &report);
        }
    }
}
