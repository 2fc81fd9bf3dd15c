//! The interface of a policy.

use core::fmt;

use whimbrel_core::Instant;

use crate::decision::Decision;
use crate::intent::Intent;
use crate::observation::{Beforehand, Seen};
use crate::start::Start;

/// Decides how a migration is made to converge.
///
/// It is a pure fold: the same observations at the same instants give the same decisions. It must never read a clock or
/// draw by chance. An action is a request; the machine may refuse it as too late, and reports its end as
/// [`Seen::Answered`].
pub trait Policy: fmt::Debug {
    /// The options of the start. Called once, before anything else.
    fn start(&mut self, before: &Beforehand, intent: &Intent) -> Start;

    /// One observation at an instant that never goes back.
    fn on(&mut self, now: Instant, seen: Seen<'_>) -> Decision;

    /// How often it wants [`Seen::Poll`], in ms.
    fn poll_ms(&self) -> u64 {
        400
    }
}
