//! A thread that makes blocking calls, one after the other.
//!
//! A call that panics must never end the lane: those behind it would never be made, without any sign of it.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;

use crate::lock;
use whimbrel_drive::panics;

type Work = Box<dyn FnOnce() + Send>;

/// One kind of blocking calls in the order in which they were asked for. The thread ends when the lane is dropped and
/// its present call has returned; it is not waited for, because that may take hours.
#[derive(Debug)]
pub(super) struct Lane {
    name: &'static str,
    queue: Arc<Queue>,
}

/// What calls that panicked said, over all lanes of a port.
pub(super) type Panics = Arc<Mutex<Vec<String>>>;

#[derive(Default)]
struct Queue {
    state: Mutex<State>,
    changed: Condvar,
    panics: Panics,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<(Kind, Work)>,
    closed: bool,
    started: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Must be done.
    Deed,
    /// Tells nothing once a newer one waits.
    Look,
}

impl Lane {
    pub(super) fn new(name: &'static str, panics: &Panics) -> Self {
        let queue = Queue { panics: Arc::clone(panics), ..Queue::default() };
        Self { name, queue: Arc::new(queue) }
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
        if !state.started {
            let (queue, name) = (Arc::clone(&self.queue), self.name);
            // Without a thread the command stays unanswered, which the core treats as a reply that is lost.
            state.started =
                thread::Builder::new().name(self.name.to_owned()).spawn(move || queue.serve(name)).is_ok();
        }
        self.queue.changed.notify_one();
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        lock(&self.queue.state).closed = true;
        self.queue.changed.notify_one();
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
        loop {
            if state.closed {
                return None;
            }
            if let Some((_, work)) = state.waiting.pop_front() {
                return Some(work);
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
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

    use super::{Lane, Panics};

    #[test]
    fn deeds_are_done_in_order_and_only_the_latest_look() {
        let lane = Lane::new("test", &Panics::default());
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
        let lane = Lane::new("test", &panics);
        let (done, results) = mpsc::channel();
        lane.run(|| panic!("planted"));
        lane.run(move || done.send("next").unwrap());
        assert_eq!(results.recv().unwrap(), "next");
        assert_eq!(*panics.lock().unwrap(), ["a call to a host panicked (`test`): planted"]);
    }
}
