//! The writer on stores that refuse, are full, or hang.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};

use sqlx::Executor;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::sync::{oneshot, watch};
use whimbrel_core::journal::Lines as _;

use super::database::{Commit, Database, Failed, Numbered};
use super::queue::Bounds;
use super::write::{Append, Audit, Begun, Trouble, Write};
use super::writer::Writer;
use super::{Health, Store, StoredLines};
use crate::broadcast::Hub;

/// A store in a folder of its own, which goes with it.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("whimbrel-writer-{}-{number}", std::process::id()));
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The behaviour of the store in a test.
#[derive(Clone, Debug)]
enum Manner {
    Works,
    /// It can hold no more pages than it has.
    Full,
    /// It ends the transaction of a record by itself, as it does when a commit finds the disk full.
    RollsBack,
    /// A commit does not return.
    Hangs,
    /// The record with this number never can be written.
    Bad(i64),
}

/// A real database, which behaves as the test says at each commit.
struct Planted {
    database: Database,
    manner: watch::Receiver<Manner>,
}

impl Commit for Planted {
    async fn commit(&mut self, batch: &[Numbered]) -> Result<(), Failed> {
        // A dropped sender releases it as well.
        let _ = self.manner.wait_for(|manner| !matches!(manner, Manner::Hangs)).await;
        let manner = self.manner.borrow().clone();
        if let Manner::Bad(number) = manner {
            let is_it = |one: &Numbered| matches!(one.write, Write::Append(..)) && one.number == number;
            if let Some(bad) = batch.iter().position(is_it) {
                return Err(Failed { reason: "planted".to_owned(), bad: Some(bad) });
            }
        }
        let pages = if matches!(manner, Manner::Full) { 1 } else { 1_000_000 };
        // SQLite does not shrink below what there is: not a page more can be had then.
        let limit = format!("PRAGMA max_page_count = {pages}");
        self.database.connection.execute(limit.as_str()).await.unwrap();
        let trigger = if matches!(manner, Manner::RollsBack) {
            "CREATE TEMP TRIGGER IF NOT EXISTS planted BEFORE INSERT ON main.record \
             BEGIN SELECT RAISE(ROLLBACK, 'planted'); END"
        } else {
            "DROP TRIGGER IF EXISTS temp.planted"
        };
        self.database.connection.execute(trigger).await.unwrap();
        self.database.commit(batch).await
    }
}

struct Bench {
    store: Store,
    writes: UnboundedSender<Write>,
    health: Arc<Health>,
    hub: Hub,
    manner: watch::Sender<Manner>,
    _folder: Folder,
}

impl Bench {
    async fn new(bounds: Bounds) -> Self {
        let folder = Folder::new();
        let (store, writer) = Store::open(&folder.0.join("store")).await.unwrap();
        let (manner, planted) = watch::channel(Manner::Works);
        let (mut database, _) = writer.into_parts();
        let greatest = database.greatest().await.unwrap();
        let writer = Writer::new(Planted { database, manner: planted }, greatest, bounds);
        let ((to_store, inbox), hub, health) = (unbounded_channel(), Hub::new(), writer.health());
        tokio::spawn(writer.run(inbox, hub.clone()));
        Self { store, writes: to_store, health, hub, manner, _folder: folder }
    }

    async fn begin(&self, id: i64) -> Result<(), String> {
        let (reply, said) = oneshot::channel();
        let begun = Begun {
            id,
            spec: "{}".to_owned(),
            route: "{}".to_owned(),
            began_at_ms: 1,
            asked_by: "anna".to_owned(),
            target_uri: "/x".to_owned(),
            idempotency_key: None,
        };
        self.writes.send(Write::Begin(begun, reply)).unwrap();
        said.await.unwrap()
    }

    fn append(&self, migration: i64, line: &str, is_end: bool) -> Receiver<Result<(), String>> {
        let (ack, acknowledged) = sync_channel(1);
        let append = Append {
            migration,
            line: line.to_owned(),
            at_ns: 1,
            events: vec![format!("{{\"event\":\"{line}\"}}")],
            end: is_end.then(|| (9, "outcome".to_owned())),
        };
        self.writes.send(Write::Append(append, ack)).unwrap();
        acknowledged
    }

    fn audit(&self) {
        let audit = Audit {
            at_ms: 1,
            caller: "anna".to_owned(),
            address: "here".to_owned(),
            method: "POST".to_owned(),
            path: "/x".to_owned(),
            status: 202,
        };
        self.writes.send(Write::Audit(audit)).unwrap();
    }

    async fn flush(&self) {
        let (reply, flushed) = oneshot::channel();
        self.writes.send(Write::Flush(reply)).unwrap();
        flushed.await.unwrap();
    }

    async fn lines(&self, migration: i64) -> Vec<String> {
        self.store
            .records_after(migration, 0, i64::MAX)
            .await
            .unwrap()
            .into_iter()
            .map(|(_, line)| line)
            .collect()
    }

    /// Waits until the writer has noticed that the store does not work, or works again.
    async fn until_accepts(&self, accepts: bool) {
        while self.health.accepts() != accepts {
            tokio::task::yield_now().await;
        }
    }
}

fn lines(count: usize) -> Vec<String> {
    (1..=count).map(|number| format!("line {number}")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_never_can_be_written_is_a_gap_of_its_migration_only() {
    const RECORDS: usize = 6;
    for bad in 1..=RECORDS {
        let bench = Bench::new(Bounds::default()).await;
        for id in [1, 2] {
            bench.begin(id).await.unwrap();
        }
        // Held up, so that all of them are in one batch; the first migration's records have odd numbers.
        bench.manner.send_replace(Manner::Hangs);
        let acks: Vec<_> = lines(RECORDS)
            .iter()
            .map(|line| [1, 2].map(|id| bench.append(id, line, line == "line 6")))
            .collect();
        let number = i64::try_from(2 * bad - 1).unwrap();
        bench.manner.send_replace(Manner::Bad(number));
        bench.flush().await;
        assert_eq!(
            bench.lines(1).await,
            lines(bad - 1),
            "what was before it is there, and nothing behind it"
        );
        assert_eq!(bench.lines(2).await, lines(RECORDS));
        let row = bench.store.migration(1).await.unwrap().unwrap();
        assert_eq!(row.trouble.unwrap(), "its journal has a gap: a record cannot be written: planted");
        assert_eq!((row.outcome.as_deref(), row.ended_at_ms), (Some("outcome"), Some(9)));
        let other = bench.store.migration(2).await.unwrap().unwrap();
        assert_eq!((other.outcome.as_deref(), other.trouble), (Some("outcome"), None));
        assert!(bench.store.unfinished().await.unwrap().is_empty(), "neither is ever adopted");
        for (index, [first, second]) in acks.iter().enumerate() {
            assert_eq!(first.recv().unwrap().is_ok(), index + 1 < bad);
            assert_eq!(second.recv().unwrap(), Ok(()));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gap_is_on_record_before_the_migration_ends() {
    let bench = Bench::new(Bounds::default()).await;
    bench.begin(1).await.unwrap();
    bench.manner.send_replace(Manner::Bad(2));
    for line in lines(3) {
        drop(bench.append(1, &line, false));
    }
    bench.flush().await;
    let row = bench.store.migration(1).await.unwrap().unwrap();
    assert!(row.trouble.unwrap().contains("the service ended before the migration did"));
    assert!(
        bench.store.unfinished().await.unwrap().is_empty(),
        "a service that is killed now does not adopt it"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_store_loses_nothing_and_begins_nothing_until_there_is_room() {
    let bench = Bench::new(Bounds::default()).await;
    bench.begin(1).await.unwrap();
    bench.flush().await;
    let mut events = bench.hub.listen(Some(1));
    bench.manner.send_replace(Manner::Full);
    // Longer than what fits into the pages that there are.
    let long: Vec<_> = (0..40).map(|number| format!("{number:02} {}", "x".repeat(4_000))).collect();
    let acks: Vec<_> = long.iter().map(|line| bench.append(1, line, false)).collect();
    bench.audit();
    bench.until_accepts(false).await;
    let refused = bench.begin(2).await.unwrap_err();
    assert!(refused.contains("nothing was started"), "{refused}");
    assert!(bench.health.pending() > 0);
    bench.manner.send_replace(Manner::Works);
    bench.flush().await;
    assert_eq!(bench.lines(1).await, long);
    assert!(acks.iter().all(|ack| ack.recv().unwrap().is_ok()));
    assert_eq!(bench.store.audits(10).await.unwrap().len(), 1);
    let mut last = 0;
    for _ in &long {
        let event = events.recv().await.unwrap();
        assert!(event.number > last, "events are published in order");
        last = event.number;
    }
    assert!(bench.health.accepts() && bench.health.pending() == 0);
    assert!(bench.store.migration(2).await.unwrap().is_none(), "what was refused is not there later");
    bench.begin(3).await.unwrap();
}

/// What is acknowledged is on the disk, also after `SQLite` has ended a transaction by itself.
#[tokio::test(flavor = "multi_thread")]
async fn after_a_transaction_that_the_database_ended_by_itself_what_is_acknowledged_is_written() {
    let bench = Bench::new(Bounds::default()).await;
    bench.begin(1).await.unwrap();
    bench.manner.send(Manner::RollsBack).unwrap();
    bench.append(1, "lost", false).recv().unwrap().unwrap_err();
    bench.manner.send(Manner::Works).unwrap();
    for id in 2..5 {
        bench.begin(id).await.unwrap();
        bench.append(id, "kept", false).recv().unwrap().unwrap();
        let kept = bench.store.records_after(id, 0, i64::MAX).await.unwrap();
        assert_eq!(kept.iter().map(|(_, line)| line.as_str()).collect::<Vec<_>>(), ["kept"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_beginning_that_was_tried_and_refused_never_begins_later() {
    let bench = Bench::new(Bounds::default()).await;
    bench.manner.send_replace(Manner::Full);
    let fill = |migration| bench.append(migration, &"x".repeat(100_000), false);
    bench.begin(1).await.unwrap_or_default();
    drop(fill(1));
    let refused = bench.begin(2).await;
    bench.manner.send_replace(Manner::Works);
    bench.flush().await;
    let row = bench.store.migration(2).await.unwrap();
    let is_driven = row.is_some_and(|row| row.ended_at_ms.is_none());
    assert_eq!(is_driven, refused.is_ok(), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn beyond_the_bounds_a_journal_has_a_gap_and_the_outcome_is_kept() {
    let bench = Bench::new(Bounds { records: 3, audits: 2, ..Bounds::default() }).await;
    bench.begin(1).await.unwrap();
    bench.flush().await;
    bench.manner.send_replace(Manner::Hangs);
    let acks: Vec<_> = lines(6).iter().map(|line| bench.append(1, line, line == "line 6")).collect();
    for _ in 0..5 {
        bench.audit();
    }
    // The fourth and the fifth are refused while the store hangs.
    for late in &acks[3..5] {
        assert!(late.recv().unwrap().unwrap_err().contains("3 records waited for the store"));
    }
    bench.manner.send_replace(Manner::Works);
    bench.flush().await;
    assert_eq!(bench.lines(1).await, lines(3));
    let row = bench.store.migration(1).await.unwrap().unwrap();
    assert!(row.trouble.unwrap().starts_with("its journal has a gap"));
    assert_eq!(row.outcome.as_deref(), Some("outcome"));
    assert!(bench.store.unfinished().await.unwrap().is_empty());
    let audits = bench.store.audits(10).await.unwrap().len();
    assert!((2..=3).contains(&audits), "{audits}: those beyond the bound were dropped");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_end_is_told_to_those_who_follow_a_migration_in_trouble() {
    let bench = Bench::new(Bounds::default()).await;
    bench.begin(1).await.unwrap();
    let mut events = bench.hub.listen(Some(1));
    let why = "planted".to_owned();
    let trouble = Trouble { migration: 1, at_ms: 5, why, outcome: None, goes_on: false };
    bench.writes.send(Write::Trouble(trouble, None)).unwrap();
    assert!(events.recv().await.is_err(), "the stream ends");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_journal_of_several_pages_is_read_whole_and_in_order() {
    const RECORDS: usize = 600;
    let bench = Bench::new(Bounds::default()).await;
    for id in [1, 2] {
        bench.begin(id).await.unwrap();
    }
    // The other migration's records are between these.
    for line in lines(RECORDS) {
        drop(bench.append(1, &line, false));
        drop(bench.append(2, "another", false));
    }
    bench.flush().await;
    let store = bench.store.clone();
    let read = tokio::task::spawn_blocking(move || {
        let journal = StoredLines::new(store, 1, "header".to_owned());
        let pass = || journal.lines().map(|line| line.unwrap().into_owned()).collect::<Vec<_>>();
        assert_eq!(pass(), pass(), "it can be read again");
        // Line 3 of the journal is its second record, and the third of the store.
        assert_eq!((journal.number(1), journal.number(3)), (None, Some(3)));
        assert!(journal.take_failure().is_none());
        pass()
    });
    let read = read.await.unwrap();
    assert_eq!(read[0], "header");
    assert_eq!(read[1..], lines(RECORDS));
}
