//! What is explored by default: slices of everything that may happen, each small enough to be met whole.
//!
//! One search over many faults, many requests and every feature never ends. What goes wrong needs few of them at a
//! time, so each slice takes one kind of trouble to its end.

use whimbrel_core::GuestRun;

use super::scope::Scope;

/// A part of everything that may happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slice {
    /// Its name on the command line.
    pub name: &'static str,
    /// What it holds.
    pub scope: Scope,
    /// Whether it takes more than a minute or two.
    pub is_long: bool,
}

/// A guest that is moved without limits, disks or a definition: whatever goes wrong with its hosts goes wrong here too.
const PLAIN: Scope = Scope {
    hints: false,
    limits: false,
    disks: false,
    persistent: false,
    timeout: false,
    others: false,
    ..Scope::everything(1, 1)
};

/// Every slice, the small ones first.
#[must_use]
pub fn slices() -> [Slice; 15] {
    let slice = |name, scope, is_long| Slice { name, scope, is_long };
    [
        slice("faults", Scope { faults: 2, requests: 0, persistent: true, ..PLAIN }, false),
        slice("more-faults", Scope { faults: 3, requests: 0, ..PLAIN }, false),
        slice("paused", Scope { guest: GuestRun::Paused, persistent: true, postcopy: false, ..PLAIN }, false),
        slice(
            "offline",
            Scope { guest: GuestRun::NotRunning, persistent: true, postcopy: false, faults: 2, ..PLAIN },
            false,
        ),
        slice(
            "undo",
            Scope { faults: 1, requests: 0, hints: false, others: false, ..Scope::everything(1, 0) },
            false,
        ),
        slice("hints", Scope { restarts: false, ..Scope::everything(0, 0) }, false),
        slice("requests", PLAIN, false),
        slice("others", Scope { faults: 2, requests: 0, persistent: true, others: true, ..PLAIN }, false),
        slice("others-transient", Scope { faults: 2, requests: 0, others: true, ..PLAIN }, true),
        slice("others-and-requests", Scope { others: true, ..PLAIN }, true),
        slice(
            "more-others",
            Scope { faults: 2, others: true, postcopy: false, restarts: false, ..PLAIN },
            true,
        ),
        slice("hints-and-requests", Scope { restarts: false, ..Scope::everything(0, 1) }, true),
        slice("two-requests", Scope { faults: 1, requests: 2, host_losses: false, ..PLAIN }, true),
        slice("everything", Scope { hints: false, others: false, ..Scope::everything(1, 1) }, true),
        slice("faults-and-requests", Scope { faults: 2, ..PLAIN }, true),
    ]
}
