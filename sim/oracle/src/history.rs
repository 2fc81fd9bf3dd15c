//! A history of one guest: what happened to its copies, in order. Only data; what it means is judged in `check`.

use std::fmt;

/// Names a copy of the guest: one process of a hypervisor. A copy that was ended is never named again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CopyId(pub u32);

/// Names a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostId(pub u32);

/// Names storage that a copy writes to: all disks of the guest in one place. Copies on shared storage name the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StorageId(pub u32);

/// Names a setting of the guest, for example its downtime limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SettingId(pub u32);

/// Who caused an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Actor {
    /// The migration, by a command of its own.
    Migration,
    /// A hypervisor, by its own rules.
    Hypervisor,
    /// The guest itself.
    Guest,
    /// Another party: an operator, another tool, a fault.
    Other,
}

/// How much of another copy's memory has arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Part {
    /// All of it.
    Whole,
    /// Enough to run: the rest is still at the other copy, which is needed until it has arrived as well.
    Half,
}

/// How a copy ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum End {
    /// The guest powered itself off: its memory is no longer needed.
    PoweredOff,
    /// The process was ended or died: its memory is lost.
    Destroyed,
}

/// What was observed of a guest on a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Seen {
    /// A copy runs there.
    Running,
    /// A copy is there; it does not run, or whether it does was not to be seen.
    Present,
    /// No copy is there.
    Absent,
    /// The host did not answer.
    NoAnswer,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// A copy was created. Its memory is empty, and it does not run yet.
    Created {
        /// The copy.
        copy: CopyId,
        /// Where it is.
        host: HostId,
        /// What it writes to when it runs.
        storage: StorageId,
        /// Whether it waits for another copy's memory. Otherwise it starts from its storage.
        is_incoming: bool,
    },
    /// Memory of another copy has arrived, as it is at this instant.
    MemoryReceived {
        /// The copy that received it.
        copy: CopyId,
        /// Whose memory it is.
        from: CopyId,
        /// How much of it.
        part: Part,
    },
    /// A hypervisor does not treat the copy as incoming any more: it is the guest, whether or not it runs.
    TakenOver {
        /// The copy.
        copy: CopyId,
    },
    /// A copy's CPUs were started.
    Started {
        /// The copy.
        copy: CopyId,
        /// By whom.
        by: Actor,
    },
    /// A copy's CPUs were stopped; its memory is kept.
    Stopped {
        /// The copy.
        copy: CopyId,
        /// By whom.
        by: Actor,
    },
    /// The guest booted again inside the same copy: its memory starts from its storage.
    Rebooted {
        /// The copy.
        copy: CopyId,
    },
    /// A copy wrote to its storage. Needed with [`Writes::Recorded`] only.
    Wrote {
        /// The copy.
        copy: CopyId,
    },
    /// Storage has become identical to another.
    Mirrored {
        /// The one that is kept identical.
        to: StorageId,
        /// The one that it is identical to.
        from: StorageId,
    },
    /// A copy ended.
    Ended {
        /// The copy.
        copy: CopyId,
        /// How.
        how: End,
        /// By whom.
        by: Actor,
    },
    /// A host keeps the guest's definition from now on.
    Defined {
        /// The host.
        host: HostId,
    },
    /// A host does not keep the guest's definition any more.
    Undefined {
        /// The host.
        host: HostId,
    },
    /// A setting of a copy has this value from now on.
    Set {
        /// The copy.
        copy: CopyId,
        /// The setting.
        setting: SettingId,
        /// Its value.
        value: u64,
    },
    /// The migration observed a host.
    Observed {
        /// The host.
        host: HostId,
        /// When the host was in the state that was reported, at the earliest.
        since_ns: u64,
        /// What was reported.
        seen: Seen,
    },
}

/// How a history records writes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Writes {
    /// A copy writes for as long as it runs.
    #[default]
    WhileRunning,
    /// Every write is an [`Event::Wrote`].
    Recorded,
}

/// What happened to one guest, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    writes: Writes,
    events: Vec<(u64, Event)>,
}

impl History {
    /// A history in which nothing has happened yet.
    #[must_use]
    pub const fn new(writes: Writes) -> Self {
        Self { writes, events: Vec::new() }
    }

    /// Adds an event. An instant before the last one counts as the last one: a history never goes back in time.
    pub fn record(&mut self, at_ns: u64, event: Event) {
        let last_ns = self.events.last().map_or(0, |(at_ns, _)| *at_ns);
        self.events.push((at_ns.max(last_ns), event));
    }

    /// How it records writes.
    #[must_use]
    pub const fn writes(&self) -> Writes {
        self.writes
    }

    /// The events with their instants, in order.
    #[must_use]
    pub fn events(&self) -> &[(u64, Event)] {
        &self.events
    }
}

impl fmt::Display for CopyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "copy {}", self.0)
    }
}

impl fmt::Display for HostId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "host {}", self.0)
    }
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Migration => "the migration",
            Self::Hypervisor => "a hypervisor",
            Self::Guest => "the guest",
            Self::Other => "another party",
        })
    }
}
