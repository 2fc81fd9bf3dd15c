//! Scheduled events, in order. Those due at the same instant happen in the order in which they were put.
//!
//! Nothing is ever taken off before its time: what has become meaningless is recognised when it is due, by the name
//! of its migration or by the instant that its owner waits for.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use whimbrel_core::Command;

use super::faults::Fault;
use super::job::Message;
use super::{GuestId, HostId, JobId, PortEvent, PortId};
use crate::slab::{Key, Slab};

/// A scheduled event.
#[derive(Clone, Debug)]
pub(super) enum Scheduled {
    /// A command has reached its daemon, and is answered.
    Command(PortId, Command),
    /// An event reaches the driver of a migration.
    Deliver(PortId, PortEvent),
    /// An operator's request, or an interruption of the driver: delivered through the newest port.
    Request(PortId, PortEvent),
    /// A message from one daemon reaches the other.
    Message(JobId, Message),
    /// A daemon is done with what it had to do for a migration.
    Done(JobId, DaemonTask),
    /// A migration's memory, or its disks, may have made progress.
    Turn(JobId),
    /// Two daemons have not heard from each other for too long, if the silence that began then still lasts.
    Silence(JobId, u64),
    /// The kernel gives up a connection between two QEMUs, if the silence that began then still lasts.
    StreamSilence(JobId, u64),
    /// A destination's daemon ends a copy whose source is gone.
    EndIncoming(GuestId, HostId),
    /// Something goes wrong.
    Fault(Fault),
}

/// Work of a daemon that takes time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DaemonTask {
    /// The destination's QEMU waits for pages.
    Prepare,
    /// The destination's QEMU runs the guest.
    Start,
    /// The source's QEMU is gone.
    Confirm,
    /// The source's daemon could not reach the destination's.
    ConnectFailed,
    /// The same, when it was to resume a post-copy.
    ResumeFailed,
}

/// The queue holds keys only: the entries that its heap moves stay small.
#[derive(Clone, Debug)]
pub(super) struct EventQueue {
    queue: BinaryHeap<Reverse<(u64, u64, Key)>>,
    entries: Slab<Scheduled>,
    put: u64,
}

impl EventQueue {
    pub(super) fn new() -> Self {
        Self { queue: BinaryHeap::new(), entries: Slab::new(), put: 0 }
    }

    pub(super) fn put(&mut self, at_ns: u64, due: Scheduled) {
        self.queue.push(Reverse((at_ns, self.put, self.entries.insert(due))));
        self.put += 1;
    }

    pub(super) fn next_at(&self) -> Option<u64> {
        self.queue.peek().map(|Reverse((at_ns, ..))| *at_ns)
    }

    /// The first entry, if it is due by then.
    pub(super) fn take_due(&mut self, now_ns: u64) -> Option<Scheduled> {
        self.next_at().filter(|at_ns| *at_ns <= now_ns)?;
        let Reverse((.., key)) = self.queue.pop()?;
        self.entries.remove(key)
    }
}
