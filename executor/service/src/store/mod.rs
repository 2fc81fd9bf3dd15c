//! The store, which outlives the service: migrations, their journals and events, outcomes, and the audit record.
//!
//! One task writes ([`writer`]), what waits for it is in memory ([`queue`]), many read. A record and the events that it causes are committed together, so that an
//! event's number, which is its record's place in the store's journal, is given once and never again. Nothing here
//! knows what a migration is: lines come in and go out as they were written.

mod database;
mod health;
mod lines;
mod lock;
mod queue;
mod schema;
#[cfg(test)]
mod tests;
mod write;
mod writer;

use std::fs::OpenOptions;
use std::io;
use std::path::Path;
use std::time::Duration;

use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteRow, SqliteSynchronous,
};
use sqlx::{ConnectOptions, Row};

use self::database::Database;
pub(super) use self::health::Health;
pub(super) use self::lines::StoredLines;
use self::lock::Lock;
use self::queue::Bounds;
pub(super) use self::write::{Append, Audit, Begun, Trouble, Write};
pub(super) use self::writer::Writer;
use super::broadcast::EventRow;
use whimbrel_drive::private;

/// Connections that read, each on a thread of its own.
const READERS: u32 = 4;
/// How long a connection waits for another that writes.
const BUSY: Duration = Duration::from_secs(5);

/// Why the store cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database reports an error.
    #[error("the database reports an error: {0}")]
    Database(#[from] sqlx::Error),
    /// It was written by a later version of this program.
    #[error("the database has schema {found}, and this build supports {known}")]
    TooNew {
        /// Its schema.
        found: i64,
        /// The newest schema that this build knows.
        known: i64,
    },
    /// Another process drives its migrations.
    #[error("another process drives its migrations")]
    Driven,
    /// It cannot be locked.
    #[error("it cannot be locked")]
    Lock(#[source] io::Error),
    /// Others can read it.
    #[error("its access cannot be restricted to this user")]
    Private(#[source] io::Error),
    /// The writer has stopped.
    #[error("the store's writer has stopped")]
    Stopped,
}

/// A migration as it was requested, and how it ended.
#[derive(Clone, Debug)]
pub(super) struct MigrationRow {
    pub(super) id: i64,
    pub(super) spec: String,
    pub(super) route: String,
    pub(super) began_at_ms: i64,
    pub(super) asked_by: String,
    pub(super) target_uri: String,
    pub(super) ended_at_ms: Option<i64>,
    pub(super) outcome: Option<String>,
    pub(super) trouble: Option<String>,
}

/// The reading half.
#[derive(Clone, Debug)]
pub(super) struct Store {
    pool: SqlitePool,
}

impl Store {
    /// Opens a store, or makes a new one, with its writing half. There is only one writing half at a time.
    pub(super) async fn open(path: &Path) -> Result<(Self, Writer), StoreError> {
        let own = path.to_owned();
        // It may wait, and must not block a thread of the runtime meanwhile.
        let lock =
            tokio::task::spawn_blocking(move || Lock::of(&own)).await.map_err(|_| StoreError::Stopped)??;
        restrict(path).map_err(StoreError::Private)?;
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            // A commit is on the disk before it is acknowledged.
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(BUSY)
            .disable_statement_logging();
        let mut connection = options.connect().await?;
        schema::bring_up(&mut connection).await?;
        let mut database = Database::new(connection, lock);
        let greatest = database.greatest().await?;
        let writer = Writer::new(database, greatest, Bounds::default());
        let readers = options.read_only(true).create_if_missing(false);
        let pool = SqlitePoolOptions::new().max_connections(READERS).connect_with(readers).await?;
        Ok((Self { pool }, writer))
    }

    pub(super) async fn migration(&self, id: i64) -> Result<Option<MigrationRow>, StoreError> {
        let query = sqlx::query("SELECT * FROM migration WHERE id = $1").bind(id);
        Ok(query.fetch_optional(&self.pool).await?.as_ref().map(migration_row).transpose()?)
    }

    pub(super) async fn migration_by_key(&self, key: &str) -> Result<Option<MigrationRow>, StoreError> {
        let query = sqlx::query("SELECT * FROM migration WHERE idempotency_key = $1").bind(key);
        Ok(query.fetch_optional(&self.pool).await?.as_ref().map(migration_row).transpose()?)
    }

    /// The newest first, those before `before` only.
    pub(super) async fn migrations(&self, before: i64, most: i64) -> Result<Vec<MigrationRow>, StoreError> {
        let query = sqlx::query("SELECT * FROM migration WHERE id < $1 ORDER BY id DESC LIMIT $2");
        let rows = query.bind(before).bind(most).fetch_all(&self.pool).await?;
        Ok(rows.iter().map(migration_row).collect::<Result<_, _>>()?)
    }

    /// Those that had not ended when they were last written about.
    pub(super) async fn unfinished(&self) -> Result<Vec<MigrationRow>, StoreError> {
        let query = sqlx::query("SELECT * FROM migration WHERE ended_at_ms IS NULL ORDER BY id");
        let rows = query.fetch_all(&self.pool).await?;
        Ok(rows.iter().map(migration_row).collect::<Result<_, _>>()?)
    }

    /// The routes of migrations that hypervisors may still be carrying out, driven or not.
    pub(super) async fn routes_in_use(&self) -> Result<Vec<String>, StoreError> {
        let query =
            sqlx::query("SELECT route FROM migration WHERE ended_at_ms IS NULL OR trouble IS NOT NULL");
        let rows = query.fetch_all(&self.pool).await?;
        Ok(rows.iter().map(|row| row.try_get("route")).collect::<Result<_, _>>()?)
    }

    /// The routes of the migrations that were begun after this one, with their numbers.
    pub(super) async fn routes_after(&self, id: i64) -> Result<Vec<(i64, String)>, StoreError> {
        let query = sqlx::query("SELECT id, route FROM migration WHERE id > $1 ORDER BY id");
        let rows = query.bind(id).fetch_all(&self.pool).await?;
        let pair = |row: &SqliteRow| Ok((row.try_get("id")?, row.try_get("route")?));
        Ok(rows.iter().map(pair).collect::<Result<_, sqlx::Error>>()?)
    }

    /// At most `most` lines of a migration's records behind this number, with their numbers, in order.
    pub(super) async fn records_after(
        &self,
        migration: i64,
        number: i64,
        most: i64,
    ) -> Result<Vec<(i64, String)>, StoreError> {
        let query =
            "SELECT number, line FROM record WHERE migration = $1 AND number > $2 ORDER BY number LIMIT $3";
        let query = sqlx::query(query).bind(migration).bind(number).bind(most);
        let rows = query.fetch_all(&self.pool).await?;
        let pair = |row: &SqliteRow| Ok((row.try_get("number")?, row.try_get("line")?));
        Ok(rows.iter().map(pair).collect::<Result<_, sqlx::Error>>()?)
    }

    /// The number of a migration's record with this index, from 0.
    async fn record_at(&self, migration: i64, index: i64) -> Result<Option<i64>, StoreError> {
        let query = "SELECT number FROM record WHERE migration = $1 ORDER BY number LIMIT 1 OFFSET $2";
        let row = sqlx::query(query).bind(migration).bind(index).fetch_optional(&self.pool).await?;
        Ok(row.map(|row| row.try_get("number")).transpose()?)
    }

    /// At most `most` events after this one, of one migration or of all.
    pub(super) async fn events_after(
        &self,
        migration: Option<i64>,
        (number, place): (i64, i64),
        most: i64,
    ) -> Result<Vec<EventRow>, StoreError> {
        let after = "(number > $1 OR (number = $1 AND place > $2))";
        let text = match migration {
            Some(_) => format!(
                "SELECT * FROM event WHERE migration = $4 AND {after} ORDER BY number, place LIMIT $3"
            ),
            None => format!("SELECT * FROM event WHERE {after} ORDER BY number, place LIMIT $3"),
        };
        let mut query = sqlx::query(&text).bind(number).bind(place).bind(most);
        if let Some(id) = migration {
            query = query.bind(id);
        }
        let rows = query.fetch_all(&self.pool).await?;
        Ok(rows.iter().map(event_row).collect::<Result<_, _>>()?)
    }

    /// Whether there is an event at this place.
    pub(super) async fn has_event(&self, (number, place): (i64, i64)) -> Result<bool, StoreError> {
        let query = sqlx::query("SELECT number FROM event WHERE number = $1 AND place = $2");
        Ok(query.bind(number).bind(place).fetch_optional(&self.pool).await?.is_some())
    }

    /// The place of the newest event.
    pub(super) async fn last_event(&self) -> Result<(i64, i64), StoreError> {
        let query = sqlx::query("SELECT number, place FROM event ORDER BY number DESC, place DESC LIMIT 1");
        let row = query.fetch_optional(&self.pool).await?;
        let place = |row: SqliteRow| Ok::<_, sqlx::Error>((row.try_get("number")?, row.try_get("place")?));
        Ok(row.map(place).transpose()?.unwrap_or((0, -1)))
    }

    /// The newest entries of the audit record.
    pub(super) async fn audits(&self, most: i64) -> Result<Vec<Audit>, StoreError> {
        let query = sqlx::query("SELECT * FROM audit ORDER BY number DESC LIMIT $1");
        let rows = query.bind(most).fetch_all(&self.pool).await?;
        Ok(rows.iter().map(audit_row).collect::<Result<_, _>>()?)
    }
}

/// The database and its companions, which `SQLite` makes with the database's own mode, are for this user only.
fn restrict(path: &Path) -> io::Result<()> {
    private::open(OpenOptions::new().write(true).create(true).truncate(false), path)?;
    for companion in ["-wal", "-shm", "-journal"] {
        let mut name = path.as_os_str().to_owned();
        name.push(companion);
        private::restrict(Path::new(&name))?;
    }
    Ok(())
}

fn migration_row(row: &SqliteRow) -> Result<MigrationRow, sqlx::Error> {
    Ok(MigrationRow {
        id: row.try_get("id")?,
        spec: row.try_get("spec")?,
        route: row.try_get("route")?,
        began_at_ms: row.try_get("began_at_ms")?,
        asked_by: row.try_get("asked_by")?,
        target_uri: row.try_get("target_uri")?,
        ended_at_ms: row.try_get("ended_at_ms")?,
        outcome: row.try_get("outcome")?,
        trouble: row.try_get("trouble")?,
    })
}

fn event_row(row: &SqliteRow) -> Result<EventRow, sqlx::Error> {
    Ok(EventRow {
        number: row.try_get("number")?,
        place: row.try_get("place")?,
        migration: row.try_get("migration")?,
        at_ns: row.try_get("at_ns")?,
        body: row.try_get("body")?,
    })
}

fn audit_row(row: &SqliteRow) -> Result<Audit, sqlx::Error> {
    let status: i64 = row.try_get("status")?;
    Ok(Audit {
        at_ms: row.try_get("at_ms")?,
        caller: row.try_get("caller")?,
        address: row.try_get("address")?,
        method: row.try_get("method")?,
        path: row.try_get("path")?,
        status: u16::try_from(status).unwrap_or_default(),
    })
}
