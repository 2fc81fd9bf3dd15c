//! The pending writes of the store, in order and within bounds.
//!
//! A record is never skipped while later ones of its migration are kept: beyond the bounds, and where a record can never be
//! written, the migration's journal has a gap. It ends before it, and the store notes that it must not be driven on from
//! there: at once, and at the migration's end with the outcome.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use tokio::sync::oneshot;

use super::database::{Greatest, Numbered};
use super::health::Health;
use super::write::{Append, Trouble, Write};
use crate::clock::now_ms;
use whimbrel_drive::acks::Ack;

/// Records in memory at most. Each takes about half a kilobyte, and a migration makes some four a second: a hundred
/// migrations fill this in a quarter of an hour.
const MOST_RECORDS: usize = 400_000;
/// Bytes of records in memory at most: records with facts, and with definitions, are longer.
const MOST_BYTES: usize = 256 << 20;
/// Entries of the audit record in memory at most. Those beyond are dropped, and the log says how many.
const MOST_AUDITS: usize = 4_096;
/// Writes in one commit at most: none has to wait long for the others.
const MOST_TOGETHER: usize = 256;

/// The bounds of what is kept in memory.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub(super) records: usize,
    pub(super) bytes: usize,
    pub(super) audits: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { records: MOST_RECORDS, bytes: MOST_BYTES, audits: MOST_AUDITS }
    }
}

/// The writes that wait.
#[derive(Debug)]
pub(super) struct Queue {
    /// Beginnings, records and troubles.
    waiting: VecDeque<Numbered>,
    /// Apart from the others: they must not hold them up.
    audits: VecDeque<Numbered>,
    flushes: Vec<oneshot::Sender<()>>,
    /// Records and their bytes, those that are just being written included.
    records: usize,
    bytes: usize,
    in_flight: usize,
    audits_dropped: u64,
    /// Migrations whose journal has a gap and that have not ended, and why.
    gaps: HashMap<i64, String>,
    next: Greatest,
    bounds: Bounds,
    pub(super) health: Arc<Health>,
}

impl Queue {
    pub(super) fn new(greatest: Greatest, bounds: Bounds) -> Self {
        Self {
            waiting: VecDeque::new(),
            audits: VecDeque::new(),
            flushes: Vec::new(),
            records: 0,
            bytes: 0,
            in_flight: 0,
            audits_dropped: 0,
            gaps: HashMap::new(),
            next: greatest,
            bounds,
            health: Arc::default(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.audits.is_empty() && self.flushes.is_empty()
    }

    pub(super) fn put(&mut self, write: Write) {
        match write {
            Write::Begin(_, reply) | Write::Reopen(_, reply) if !self.health.accepts() => {
                let _ = reply.send(Err("it accepts no writes at present; nothing was started".to_owned()));
            }
            Write::Append(append, ack) => self.put_record(append, ack),
            Write::Audit(_) if self.audits.len() >= self.bounds.audits => {
                if self.audits_dropped == 0 {
                    tracing::error!("the audit record has a gap: too many entries wait for the store");
                }
                self.audits_dropped += 1;
            }
            Write::Audit(_) => {
                self.next.audit += 1;
                self.audits.push_back(Numbered { number: self.next.audit, write });
            }
            Write::Flush(reply) => self.flushes.push(reply),
            Write::Begin(..) | Write::Reopen(..) | Write::Trouble(..) => {
                self.waiting.push_back(Numbered { number: 0, write });
            }
        }
        self.count();
    }

    fn put_record(&mut self, append: Append, ack: Ack<String>) {
        let bytes = append.bytes();
        let is_full =
            self.records >= self.bounds.records || self.bytes.saturating_add(bytes) > self.bounds.bytes;
        let migration = append.migration;
        if is_full && !self.gaps.contains_key(&migration) {
            let why = format!("{} records waited for the store, and no more are kept", self.records);
            self.note_gap(migration, why);
        }
        if self.gaps.contains_key(&migration) {
            self.leave_out(append, ack);
            return;
        }
        self.records += 1;
        self.bytes += bytes;
        self.next.record += 1;
        self.waiting.push_back(Numbered { number: self.next.record, write: Write::Append(append, ack) });
    }

    /// From now on no record of this migration is kept.
    fn note_gap(&mut self, migration: i64, why: String) {
        tracing::error!(id = migration, why, "the journal of a migration has a gap; it is driven on");
        let trouble = Trouble {
            migration,
            at_ms: now_ms(),
            why: format!(
                "its journal has a gap ({why}), and the service ended before the migration did: check both hosts"
            ),
            outcome: None,
            goes_on: true,
        };
        self.gaps.insert(migration, why);
        self.waiting.push_back(Numbered { number: 0, write: Write::Trouble(trouble, None) });
    }

    /// A record behind a gap: how the migration ended is all that is kept of it.
    fn leave_out(&mut self, append: Append, ack: Ack<String>) {
        let Some(why) = self.gaps.get(&append.migration) else { return };
        let why = format!("its journal has a gap: {why}");
        let Some((at_ms, outcome)) = append.end else {
            let _ = ack.try_send(Err(why));
            return;
        };
        self.gaps.remove(&append.migration);
        let trouble =
            Trouble { migration: append.migration, at_ms, why, outcome: Some(outcome), goes_on: false };
        self.waiting.push_back(Numbered { number: 0, write: Write::Trouble(trouble, Some(ack)) });
    }

    /// The next batch. While the store fails, the audit record waits behind everything else.
    pub(super) fn batch(&mut self) -> Vec<Numbered> {
        let is_wanted = |numbered: &Numbered| match &numbered.write {
            // The client has disconnected, and nothing was started.
            Write::Begin(_, reply) | Write::Reopen(_, reply) => !reply.is_closed(),
            _ => true,
        };
        let many = self.waiting.len().min(MOST_TOGETHER);
        let mut batch: Vec<_> = self.waiting.drain(..many).filter(is_wanted).collect();
        if batch.is_empty() || self.health.accepts() {
            let room = self.audits.len().min(MOST_TOGETHER.saturating_sub(batch.len()));
            batch.extend(self.audits.drain(..room));
        }
        self.in_flight = batch.len();
        self.count();
        batch
    }

    /// A batch was written: its events are published, and it is acknowledged.
    pub(super) fn written(&mut self, batch: Vec<Numbered>, mut publish: impl FnMut(i64, &Write)) {
        for Numbered { number, write } in batch {
            publish(number, &write);
            match write {
                Write::Begin(_, reply) | Write::Reopen(_, reply) => drop(reply.send(Ok(()))),
                Write::Append(append, ack) => {
                    self.forget(&append);
                    // The driver may be gone.
                    let _ = ack.try_send(Ok(()));
                }
                Write::Trouble(trouble, Some(ack)) => drop(ack.try_send(Err(trouble.why))),
                Write::Trouble(_, None) | Write::Audit(_) | Write::Flush(_) => {}
            }
        }
        self.in_flight = 0;
        if self.waiting.is_empty() && self.audits.is_empty() {
            for flush in self.flushes.drain(..) {
                let _ = flush.send(());
            }
        }
        if self.audits.is_empty() && self.audits_dropped > 0 {
            tracing::error!(entries = self.audits_dropped, "entries of the audit record were dropped");
            self.audits_dropped = 0;
        }
        self.count();
    }

    /// Nothing of a batch was written: it waits again, before everything else. A write that can never succeed is omitted.
    pub(super) fn put_back(&mut self, mut batch: Vec<Numbered>, reason: &str, bad: Option<usize>) {
        let bad = bad.filter(|bad| *bad < batch.len()).map(|bad| batch.remove(bad));
        for numbered in batch.into_iter().rev() {
            match numbered.write {
                Write::Audit(_) => self.audits.push_front(numbered),
                _ => self.waiting.push_front(numbered),
            }
        }
        self.in_flight = 0;
        if let Some(Numbered { number, write }) = bad {
            self.drop_bad(number, write, reason);
        } else {
            self.refuse_beginnings(reason, true);
        }
        self.count();
    }

    fn drop_bad(&mut self, number: i64, write: Write, reason: &str) {
        match write {
            Write::Begin(_, reply) | Write::Reopen(_, reply) => drop(reply.send(Err(reason.to_owned()))),
            Write::Append(append, ack) => {
                let migration = append.migration;
                self.note_gap(migration, format!("a record cannot be written: {reason}"));
                // Those before it in its batch can be written.
                let is_behind = |one: &Numbered| {
                    one.number > number
                        && matches!(&one.write, Write::Append(append, _) if append.migration == migration)
                };
                let (behind, others): (VecDeque<_>, VecDeque<_>) =
                    std::mem::take(&mut self.waiting).into_iter().partition(is_behind);
                self.waiting = others;
                self.forget(&append);
                self.leave_out(append, ack);
                for Numbered { write, .. } in behind {
                    if let Write::Append(append, ack) = write {
                        self.forget(&append);
                        self.leave_out(append, ack);
                    }
                }
            }
            Write::Trouble(trouble, _) => {
                tracing::error!(
                    id = trouble.migration,
                    reason,
                    why = trouble.why,
                    "a trouble cannot be written"
                );
            }
            Write::Audit(entry) => {
                tracing::error!(
                    reason,
                    caller = entry.caller,
                    path = entry.path,
                    "an audit entry cannot be written"
                );
            }
            Write::Flush(_) => {}
        }
    }

    /// Nothing is begun while the store does not accept writes. One that was tried may have been written although its
    /// failure was reported: it is noted that it was not begun.
    pub(super) fn refuse_beginnings(&mut self, reason: &str, were_tried: bool) {
        let (begins, others): (VecDeque<_>, VecDeque<_>) = std::mem::take(&mut self.waiting)
            .into_iter()
            .partition(|one| matches!(one.write, Write::Begin(..) | Write::Reopen(..)));
        self.waiting = others;
        for Numbered { write, .. } in begins {
            let (id, reply) = match write {
                Write::Begin(begun, reply) => (begun.id, reply),
                Write::Reopen(id, reply) => (id, reply),
                _ => continue,
            };
            let _ =
                reply.send(Err(format!("it accepts no writes at present ({reason}); nothing was started")));
            if were_tried {
                let why = "the store did not accept it in time: nothing was started".to_owned();
                let trouble = Trouble { migration: id, at_ms: now_ms(), why, outcome: None, goes_on: false };
                self.waiting.push_back(Numbered { number: 0, write: Write::Trouble(trouble, None) });
            }
        }
        self.count();
    }

    fn forget(&mut self, append: &Append) {
        self.records = self.records.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(append.bytes());
    }

    fn count(&self) {
        self.health.set_pending(self.waiting.len() + self.audits.len() + self.in_flight);
    }
}
