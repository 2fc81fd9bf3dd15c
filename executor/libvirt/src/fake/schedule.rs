//! The threads of drivers, one at a time, and virtual time. Each call and each wait is a moment at which another thread
//! may continue: which one, the seed decides. So a run is the same for the same seed.
//!
//! Time moves only when no thread can continue.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, PoisonError};
use std::thread;
use std::time::Duration;

use super::{Due, Fake, Inner};
use crate::threads::{Signal, Threads};

/// Every thread that has not ended.
#[derive(Debug, Default)]
pub(super) struct Tasks {
    last: u64,
    all: BTreeMap<u64, Task>,
    running: Option<u64>,
    /// The test is over: what still waits returns at once.
    is_over: bool,
}

#[derive(Debug)]
struct Task {
    /// Until when it waits.
    until_ns: u64,
    /// What it waits for.
    signal: Option<Signal>,
}

thread_local! {
    static OWN: Cell<Option<u64>> = const { Cell::new(None) };
}

/// The threads of one process of a driver.
#[derive(Clone, Debug)]
pub(super) struct FakeThreads(pub(super) Arc<Fake>);

impl Threads for FakeThreads {
    fn start(&self, name: &'static str, work: Box<dyn FnOnce() + Send>) -> bool {
        let fake = Arc::clone(&self.0);
        let id = {
            let mut inner = fake.inner();
            inner.tasks.last += 1;
            let id = inner.tasks.last;
            inner.tasks.all.insert(id, Task { until_ns: 0, signal: None });
            let count = inner.tasks.all.len();
            inner.log.threads_most = inner.log.threads_most.max(count);
            id
        };
        let run = move || {
            OWN.set(Some(id));
            fake.wait_for_turn(id);
            // A panic is the owner's to report: a lane does.
            let _ = catch_unwind(AssertUnwindSafe(work));
            let mut inner = fake.inner();
            inner.tasks.all.remove(&id);
            inner.tasks.running = None;
            fake.changed.notify_all();
        };
        thread::Builder::new().name(name.to_owned()).spawn(run).is_ok()
    }

    fn now(&self) -> Duration {
        let inner = self.0.inner();
        if inner.tasks.is_over {
            Duration::from_hours(1 << 20)
        } else {
            Duration::from_nanos(inner.world.now_ns())
        }
    }

    fn wait(&self, signal: &Signal, patience: Duration) -> bool {
        let patience_ns = u64::try_from(patience.as_nanos()).unwrap();
        let until_ns = self.0.now_ns().saturating_add(patience_ns);
        self.0.wait_until(until_ns, Some(signal));
        signal.is_set()
    }
}

impl Fake {
    /// Waits until then, or for the signal. On the thread of the test, everything else goes on meanwhile.
    pub(super) fn wait_until(&self, until_ns: u64, signal: Option<&Signal>) {
        let Some(id) = OWN.get() else {
            while !signal.is_some_and(Signal::is_set) && self.now_ns() < until_ns {
                self.step(until_ns);
            }
            return;
        };
        let mut inner = self.inner();
        if inner.tasks.is_over {
            return;
        }
        inner.tasks.all.insert(id, Task { until_ns, signal: signal.cloned() });
        inner.tasks.running = None;
        self.changed.notify_all();
        drop(inner);
        self.wait_for_turn(id);
    }

    pub(super) fn sleep(&self, ns: u64) {
        let until_ns = self.now_ns().saturating_add(ns);
        self.wait_until(until_ns, None);
    }

    pub(super) fn is_over(&self) -> bool {
        self.inner().tasks.is_over
    }

    fn wait_for_turn(&self, id: u64) {
        let mut inner = self.inner();
        while inner.tasks.running != Some(id) {
            inner = self.changed.wait(inner).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Lets one thread continue, or else lets time pass to the next event, up to the limit. False at the limit.
    pub(super) fn step(&self, limit_ns: u64) -> bool {
        let mut inner = self.inner();
        let now_ns = inner.world.now_ns();
        let is_over = inner.tasks.is_over;
        let can_run = |task: &Task| {
            is_over || task.until_ns <= now_ns || task.signal.as_ref().is_some_and(Signal::is_set)
        };
        let ready: Vec<u64> =
            inner.tasks.all.iter().filter(|(_, task)| can_run(task)).map(|(id, _)| *id).collect();
        if !ready.is_empty() {
            let chosen = inner.random.below(ready.len() as u64);
            let id = ready[usize::try_from(chosen).unwrap()];
            inner.tasks.running = Some(id);
            self.changed.notify_all();
            while inner.tasks.running.is_some() {
                inner = self.changed.wait(inner).unwrap_or_else(PoisonError::into_inner);
            }
            return true;
        }
        let due = inner.due.iter().map(|(at_ns, _)| *at_ns);
        let waiting = inner.tasks.all.values().map(|task| task.until_ns);
        let next_ns = due.chain(waiting).chain(inner.world.next_at()).min();
        let to_ns = next_ns.unwrap_or(limit_ns).clamp(now_ns, limit_ns);
        while let Some((port, event)) = inner.world.advance(to_ns) {
            let routed = inner.route(port, event);
            if let Some((sink, event)) = routed {
                // As libvirt's event thread does it: no lock is held.
                drop(inner);
                sink(event);
                inner = self.inner();
            }
        }
        inner.note_silence();
        inner.carry_out_due();
        to_ns < limit_ns
    }

    /// Everything that waits returns at once, and all threads end.
    pub(super) fn end(&self) {
        self.inner().tasks.is_over = true;
        while !self.inner().tasks.all.is_empty() {
            self.step(u64::MAX);
        }
    }
}

impl Inner {
    fn carry_out_due(&mut self) {
        let now_ns = self.world.now_ns();
        let (due, later): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.due).into_iter().partition(|(at_ns, _)| *at_ns <= now_ns);
        self.due = later;
        for (_, due) in due {
            match due {
                Due::Fault(fault) => self.inject(fault),
                Due::Address(name, host) => drop(self.addresses.insert(name, host)),
                Due::Call(sent, wait_ns) => self.call_arrives(sent, wait_ns),
            }
        }
    }
}
