//! The one writer. What waits is committed together, published in the order of its numbers, and only
//! then acknowledged.
//!
//! A store that refuses or hangs loses nothing: what waits is kept in memory ([`super::queue`]) and tried again. The writer
//! itself must never hang: it takes what comes in while a commit is under way.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::{Instant, sleep_until};

use super::database::{Commit, Database, Failed, Greatest, Numbered};
use super::health::Health;
use super::queue::{Bounds, Queue};
use super::write::Write;
use crate::broadcast::{EventRow, Hub};

/// A commit that takes longer hangs: nothing is begun then until it has returned.
const HANGS: Duration = Duration::from_secs(3);
/// The waits between two attempts, which double.
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// The writing half, which lives as long as its task.
#[derive(Debug)]
pub(crate) struct Writer<C = Database> {
    commit: C,
    queue: Queue,
    failures: u32,
    /// The greatest number of a migration that was given out.
    pub(crate) last_migration: i64,
}

impl<C: Commit> Writer<C> {
    pub(super) fn new(commit: C, greatest: Greatest, bounds: Bounds) -> Self {
        Self { commit, queue: Queue::new(greatest, bounds), failures: 0, last_migration: greatest.migration }
    }

    /// What it writes with, for a test that puts something in between.
    #[cfg(test)]
    pub(super) fn into_parts(self) -> (C, Queue) {
        (self.commit, self.queue)
    }

    /// The health of the store, for other tasks.
    pub(crate) fn health(&self) -> Arc<Health> {
        Arc::clone(&self.queue.health)
    }

    /// Writes until every sender is dropped and nothing is pending.
    pub(crate) async fn run(mut self, mut inbox: UnboundedReceiver<Write>, hub: Hub) {
        let mut is_open = true;
        loop {
            while let Ok(write) = inbox.try_recv() {
                self.queue.put(write);
            }
            if self.queue.is_empty() {
                match inbox.recv().await {
                    Some(write) => self.queue.put(write),
                    None => return,
                }
                continue;
            }
            let batch = self.queue.batch();
            let result = self.attempt(&batch, &mut inbox, &mut is_open).await;
            match result {
                Ok(()) => self.succeed(batch, &hub),
                Err(failed) => self.fail(batch, &failed, &mut inbox, &mut is_open).await,
            }
        }
    }

    /// Tries to write a batch, and takes what comes in meanwhile.
    async fn attempt(
        &mut self,
        batch: &[Numbered],
        inbox: &mut UnboundedReceiver<Write>,
        is_open: &mut bool,
    ) -> Result<(), Failed> {
        if batch.is_empty() {
            return Ok(());
        }
        let Self { commit, queue, .. } = self;
        let mut attempt = pin!(commit.commit(batch));
        let hangs = Instant::now() + HANGS;
        loop {
            tokio::select! {
                biased;
                result = &mut attempt => return result,
                write = inbox.recv(), if *is_open => match write {
                    Some(write) => queue.put(write),
                    None => *is_open = false,
                },
                () = sleep_until(hangs), if queue.health.accepts() => {
                    let reason = format!("a write has taken {} s", HANGS.as_secs());
                    stop_accepting(&queue.health, &reason);
                    queue.refuse_beginnings(&reason, false);
                }
            }
        }
    }

    fn succeed(&mut self, batch: Vec<Numbered>, hub: &Hub) {
        self.failures = 0;
        if !batch.is_empty() && self.queue.health.set_accepts(true) {
            tracing::info!("the store accepts writes again");
        }
        self.queue.written(batch, |number, write| match write {
            Write::Append(append, _) => {
                for (place, body) in (0..).zip(&append.events) {
                    let (migration, at_ns, body) = (append.migration, append.at_ns, body.clone());
                    hub.publish(EventRow { number, place, migration, at_ns, body });
                }
            }
            // No event of it comes any more.
            Write::Trouble(trouble, _) if !trouble.goes_on => hub.close(trouble.migration),
            _ => {}
        });
    }

    async fn fail(
        &mut self,
        batch: Vec<Numbered>,
        failed: &Failed,
        inbox: &mut UnboundedReceiver<Write>,
        is_open: &mut bool,
    ) {
        if failed.bad.is_some() {
            self.queue.put_back(batch, &failed.reason, failed.bad);
            return;
        }
        stop_accepting(&self.queue.health, &failed.reason);
        self.queue.put_back(batch, &failed.reason, None);
        let wait = FIRST_WAIT.saturating_mul(1 << self.failures.min(16)).min(LONGEST_WAIT);
        self.failures = self.failures.saturating_add(1);
        let until = Instant::now() + wait;
        loop {
            tokio::select! {
                () = sleep_until(until) => return,
                write = inbox.recv(), if *is_open => match write {
                    Some(write) => self.queue.put(write),
                    None => *is_open = false,
                },
            }
        }
    }
}

fn stop_accepting(health: &Health, reason: &str) {
    if health.set_accepts(false) {
        tracing::error!(
            reason,
            "the store does not accept writes: migrations that run go on, and their records wait in memory; none is begun"
        );
    }
}
