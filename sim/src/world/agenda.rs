//! What is going to happen, in order. Things due at the same instant happen in the order in which they were put.

use std::collections::BTreeMap;

use whimbrel_core::Command;

use super::Told;
use super::protocol::Stage;
use crate::scenario::FaultAction;

/// Something that is going to happen.
#[derive(Clone, Debug)]
pub(super) enum Due {
    /// Something is told.
    Tell(Told),
    /// A command has reached its daemon, and the answer is back.
    Command(Command),
    /// The migrate call's protocol reaches its next stage.
    Stage(Stage),
    /// The daemons have not heard from each other for too long.
    KeepAliveExpired,
    /// The scenario interferes.
    Fault(FaultAction),
}

#[derive(Clone, Debug, Default)]
pub(super) struct Agenda {
    entries: BTreeMap<(u64, u64), Due>,
    put: u64,
}

impl Agenda {
    pub(super) fn put(&mut self, at_ns: u64, due: Due) {
        self.entries.insert((at_ns, self.put), due);
        self.put += 1;
    }

    pub(super) fn next_at(&self) -> Option<u64> {
        self.entries.first_key_value().map(|((at_ns, _), _)| *at_ns)
    }

    pub(super) fn take(&mut self) -> Option<Due> {
        self.entries.pop_first().map(|(_, due)| due)
    }

    /// Forgets what makes the condition true.
    pub(super) fn drop_where(&mut self, condition: impl Fn(&Due) -> bool) {
        self.entries.retain(|_, due| !condition(due));
    }
}
