//! Blocking calls of one kind, one after the other, on a thread that lives as long as there are any.
//!
//! A call that panics must never end the lane: those behind it would never be made, without any sign of it.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};

use crate::lock;
use crate::threads::Threads;
use whimbrel_drive::panics;

type Work = Box<dyn FnOnce() + Send>;

/// One kind of blocking calls in the order in which they were requested: one thread at most. What still waits is dropped
/// with the lane; the present call is not waited for, because that may take hours.
#[derive(Debug)]
pub(super) struct Lane {
    name: &'static str,
    threads: Arc<dyn Threads>,
    queue: Arc<Queue>,
}

/// What calls that panicked said, over all lanes of a port.
pub(super) type Panics = Arc<Mutex<Vec<String>>>;

#[derive(Default)]
struct Queue {
    state: Mutex<State>,
    panics: Panics,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<(Kind, Work)>,
    closed: bool,
    /// Whether a thread makes the calls.
    is_served: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Must be done.
    Deed,
    /// Tells nothing once a newer one waits.
    Look,
}

impl Lane {
    pub(super) fn new(name: &'static str, threads: &Arc<dyn Threads>, panics: &Panics) -> Self {
        let queue = Queue { panics: Arc::clone(panics), ..Queue::default() };
        Self { name, threads: Arc::clone(threads), queue: Arc::new(queue) }
    }

    /// Makes this call after those that wait.
    pub(super) fn run(&self, work: impl FnOnce() + Send + 'static) {
        self.put(Kind::Deed, Box::new(work));
    }

    /// Makes this call after those that wait, and leaves out looks that still wait.
    pub(super) fn run_latest(&self, work: impl FnOnce() + Send + 'static) {
        self.put(Kind::Look, Box::new(work));
    }

    fn put(&self, kind: Kind, work: Work) {
        let mut state = lock(&self.queue.state);
        if kind == Kind::Look {
            state.waiting.retain(|(kind, _)| *kind == Kind::Deed);
        }
        state.waiting.push_back((kind, work));
        if state.is_served {
            return;
        }
        state.is_served = true;
        drop(state);
        let (queue, name) = (Arc::clone(&self.queue), self.name);
        // Without a thread the command stays unanswered, which the core treats as a reply that is lost.
        if !self.threads.start(name, Box::new(move || queue.serve(name))) {
            lock(&self.queue.state).is_served = false;
        }
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        lock(&self.queue.state).closed = true;
    }
}

impl Queue {
    fn serve(&self, name: &str) {
        while let Some(work) = self.next() {
            // The command stays unanswered, which the core treats as a reply that is lost: it looks at both hosts.
            if let Err(panic) = catch_unwind(AssertUnwindSafe(work)) {
                let text = panics::text(&*panic);
                tracing::error!(lane = name, text, "a call to a host panicked, and is not answered");
                lock(&self.panics).push(format!("a call to a host panicked (`{name}`): {text}"));
            }
        }
    }

    fn next(&self) -> Option<Work> {
        let mut state = lock(&self.state);
        if state.closed {
            state.waiting.clear();
        }
        let next = state.waiting.pop_front();
        // Under the same lock: a call that is put in now finds that no thread serves it, and starts one.
        state.is_served = next.is_some();
        next.map(|(_, work)| work)
    }
}

impl std::fmt::Debug for Queue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Queue").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::{Arc, Lane, Panics, Threads};
    use crate::threads::SystemThreads;

    fn lane(panics: &Panics) -> Lane {
        let threads: Arc<dyn Threads> = Arc::new(SystemThreads::default());
        Lane::new("test", &threads, panics)
    }

    #[test]
    fn deeds_are_done_in_order_and_only_the_latest_look() {
        let lane = lane(&Panics::default());
        let (release, held) = mpsc::channel::<()>();
        let (done, results) = mpsc::channel();
        lane.run(move || held.recv().unwrap());
        for number in 0..4 {
            let done = done.clone();
            lane.run_latest(move || done.send(format!("look {number}")).unwrap());
        }
        let last = done.clone();
        lane.run(move || last.send("deed".to_owned()).unwrap());
        release.send(()).unwrap();
        assert_eq!(results.recv().unwrap(), "look 3");
        assert_eq!(results.recv().unwrap(), "deed");
    }

    #[test]
    fn a_lane_goes_on_after_a_call_that_panics() {
        let panics = Panics::default();
        let lane = lane(&panics);
        let (done, results) = mpsc::channel();
        lane.run(|| panic!("planted"));
        lane.run(move || done.send("next").unwrap());
        assert_eq!(results.recv().unwrap(), "next");
        assert_eq!(*panics.lock().unwrap(), ["a call to a host panicked (`test`): planted"]);
    }
}
