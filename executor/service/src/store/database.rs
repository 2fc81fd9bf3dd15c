//! The statements that write. What is given together is committed together, or not at all.
//!
//! Every write may be tried again: a commit whose failure was reported may have reached the disk all the same, and what is
//! there already must not be taken for an error.

use std::future::Future;

use sqlx::error::ErrorKind;
use sqlx::{Executor, Row, SqliteConnection};

use super::StoreError;
use super::lock::Lock;
use super::write::{Append, Audit, Begun, Trouble, Write};

/// A write with the number that it keeps, however often it is tried.
#[derive(Debug)]
pub(crate) struct Numbered {
    pub(super) number: i64,
    pub(super) write: Write,
}

/// Nothing of a batch was written.
#[derive(Debug)]
pub(crate) struct Failed {
    pub(super) reason: String,
    /// The write that never can be written, where it is to blame. Otherwise it is the store.
    pub(super) bad: Option<usize>,
}

/// What writes: the database, or what stands for it in a test.
pub(crate) trait Commit: Send {
    /// Writes all of this durably, or nothing.
    fn commit(&mut self, batch: &[Numbered]) -> impl Future<Output = Result<(), Failed>> + Send;
}

/// The connection that writes. No other process has one, as long as this lives.
#[derive(Debug)]
pub(crate) struct Database {
    pub(super) connection: SqliteConnection,
    _lock: Lock,
}

/// The greatest numbers that were given out.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Greatest {
    pub(super) record: i64,
    pub(super) audit: i64,
    pub(super) migration: i64,
}

impl Database {
    pub(super) const fn new(connection: SqliteConnection, lock: Lock) -> Self {
        Self { connection, _lock: lock }
    }

    pub(super) async fn greatest(&mut self) -> Result<Greatest, StoreError> {
        let mut greatest = async |text: &'static str| -> Result<i64, StoreError> {
            Ok(sqlx::query(text).fetch_one(&mut self.connection).await?.try_get("greatest")?)
        };
        Ok(Greatest {
            record: greatest("SELECT COALESCE(MAX(number), 0) AS greatest FROM record").await?,
            audit: greatest("SELECT COALESCE(MAX(number), 0) AS greatest FROM audit").await?,
            migration: greatest("SELECT COALESCE(MAX(id), 0) AS greatest FROM migration").await?,
        })
    }
}

impl Commit for Database {
    async fn commit(&mut self, batch: &[Numbered]) -> Result<(), Failed> {
        let committed = self.try_commit(batch).await;
        if committed.is_err() {
            // SQLite may have ended the transaction by itself, as it does when a commit finds the disk full: then there is none.
            let _ = self.connection.execute("ROLLBACK").await;
        }
        committed
    }
}

impl Database {
    /// In statements of its own: the library counts transactions, and one that `SQLite` has ended by itself stays in its count.
    /// Later ones would be savepoints within nothing, which are acknowledged and never committed.
    async fn try_commit(&mut self, batch: &[Numbered]) -> Result<(), Failed> {
        let store = |error: sqlx::Error| Failed { reason: error.to_string(), bad: None };
        let connection = &mut self.connection;
        connection.execute("BEGIN IMMEDIATE").await.map_err(store)?;
        for (index, Numbered { number, write }) in batch.iter().enumerate() {
            let written = match write {
                Write::Begin(begun, _) => begin(connection, begun).await,
                Write::Reopen(id, _) => reopen(connection, *id).await,
                Write::Append(append, _) => record(connection, *number, append).await,
                Write::Trouble(trouble, _) => set_trouble(connection, trouble).await,
                Write::Audit(entry) => audit(connection, *number, entry).await,
                Write::Flush(_) => Ok(()),
            };
            written.map_err(|error| Failed {
                bad: is_of_the_write(&error).then_some(index),
                reason: error.to_string(),
            })?;
        }
        connection.execute("COMMIT").await.map(drop).map_err(store)
    }
}

/// Whether an error is the write's own fault: it would be the same on a store in order.
fn is_of_the_write(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Database(error) => {
            let is_constraint = !matches!(error.kind(), ErrorKind::Other);
            // SQLITE_TOOBIG, SQLITE_CONSTRAINT in its other kinds, and SQLITE_MISMATCH.
            let code = error.code().and_then(|code| code.parse::<u32>().ok()).map(|code| code & 0xff);
            is_constraint || matches!(code, Some(18..=20))
        }
        sqlx::Error::Encode(_) => true,
        _ => false,
    }
}

async fn begin(connection: &mut SqliteConnection, begun: &Begun) -> Result<(), sqlx::Error> {
    let query = "INSERT INTO migration (id, spec, route, began_at_ms, asked_by, target_uri, idempotency_key) \
                 VALUES ($1, $2, $3, $4, $5, $6, $7)";
    sqlx::query(query)
        .bind(begun.id)
        .bind(&begun.spec)
        .bind(&begun.route)
        .bind(begun.began_at_ms)
        .bind(&begun.asked_by)
        .bind(&begun.target_uri)
        .bind(&begun.idempotency_key)
        .execute(connection)
        .await
        .map(drop)
}

async fn reopen(connection: &mut SqliteConnection, id: i64) -> Result<(), sqlx::Error> {
    let query = "UPDATE migration SET ended_at_ms = NULL, outcome = NULL, trouble = NULL WHERE id = $1";
    sqlx::query(query).bind(id).execute(connection).await.map(drop)
}

async fn record(connection: &mut SqliteConnection, number: i64, append: &Append) -> Result<(), sqlx::Error> {
    let Append { migration, line, at_ns, events, end } = append;
    sqlx::query(
        "INSERT INTO record (number, migration, line) VALUES ($1, $2, $3) ON CONFLICT (number) DO NOTHING",
    )
    .bind(number)
    .bind(migration)
    .bind(line)
    .execute(&mut *connection)
    .await?;
    for (place, body) in (0_i64..).zip(events) {
        let query = "INSERT INTO event (number, place, migration, at_ns, body) VALUES ($1, $2, $3, $4, $5) \
                     ON CONFLICT (number, place) DO NOTHING";
        sqlx::query(query)
            .bind(number)
            .bind(place)
            .bind(migration)
            .bind(at_ns)
            .bind(body)
            .execute(&mut *connection)
            .await?;
    }
    if let Some((at_ms, outcome)) = end {
        sqlx::query("UPDATE migration SET ended_at_ms = $2, outcome = $3 WHERE id = $1")
            .bind(migration)
            .bind(at_ms)
            .bind(outcome)
            .execute(connection)
            .await?;
    }
    Ok(())
}

async fn set_trouble(connection: &mut SqliteConnection, trouble: &Trouble) -> Result<(), sqlx::Error> {
    // An outcome that is known is never taken back.
    let query =
        "UPDATE migration SET ended_at_ms = $2, trouble = $3, outcome = COALESCE($4, outcome) WHERE id = $1";
    sqlx::query(query)
        .bind(trouble.migration)
        .bind(trouble.at_ms)
        .bind(&trouble.why)
        .bind(&trouble.outcome)
        .execute(connection)
        .await
        .map(drop)
}

async fn audit(connection: &mut SqliteConnection, number: i64, entry: &Audit) -> Result<(), sqlx::Error> {
    let query = "INSERT INTO audit (number, at_ms, caller, address, method, path, status) \
                 VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (number) DO NOTHING";
    sqlx::query(query)
        .bind(number)
        .bind(entry.at_ms)
        .bind(&entry.caller)
        .bind(&entry.address)
        .bind(&entry.method)
        .bind(&entry.path)
        .bind(i64::from(entry.status))
        .execute(connection)
        .await
        .map(drop)
}
