//! The one writer. What waits is committed together, told to those who listen in the order of its numbers, and only
//! then acknowledged: commands are given after that.

use std::sync::mpsc::SyncSender;

use serde::Serialize;
use sqlx::{Connection, Row, SqliteConnection};
use tokio::sync::{mpsc, oneshot};
use utoipa::ToSchema;

use super::lock::Lock;
use super::{EventRow, StoreError};
use crate::service::hub::Hub;

/// At most so many are committed together: none has to wait long for the others.
const MOST_TOGETHER: usize = 256;

/// A migration that was asked for.
#[derive(Clone, Debug)]
pub(in crate::service) struct Begun {
    pub(in crate::service) id: i64,
    pub(in crate::service) spec: String,
    pub(in crate::service) route: String,
    pub(in crate::service) began_at_ms: i64,
    pub(in crate::service) asked_by: String,
    pub(in crate::service) target_uri: String,
    pub(in crate::service) idempotency_key: Option<String>,
}

/// A record with the events that it caused.
#[derive(Clone, Debug)]
pub(in crate::service) struct Append {
    pub(in crate::service) migration: i64,
    pub(in crate::service) line: String,
    pub(in crate::service) at_ns: i64,
    /// Each event as a document.
    pub(in crate::service) events: Vec<String>,
    /// When it ended, and how.
    pub(in crate::service) end: Option<(i64, String)>,
}

/// Who asked for what, and what came of it.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(in crate::service) struct Audit {
    /// Milliseconds since 1970.
    pub at_ms: i64,
    /// The token's name, or `local` without tokens.
    pub caller: String,
    /// Where the request came from.
    pub address: String,
    /// The request's method.
    pub method: String,
    /// Its path, without a query.
    pub path: String,
    /// The answer's status.
    pub status: u16,
}

/// Something to be written.
#[derive(Debug)]
pub(in crate::service) enum Write {
    Begin(Begun, oneshot::Sender<Result<(), String>>),
    Append(Append, SyncSender<Result<(), String>>),
    /// A migration that cannot be driven on, and why.
    Trouble(i64, i64, String),
    Audit(Audit),
    /// Answered when everything before is written.
    Flush(oneshot::Sender<()>),
}

/// The writing half, which lives as long as its task.
#[derive(Debug)]
pub(in crate::service) struct Writer {
    connection: SqliteConnection,
    _lock: Lock,
    next_record: i64,
    next_audit: i64,
    /// The greatest number of a migration that was given out.
    pub(in crate::service) last_migration: i64,
}

impl Writer {
    pub(super) async fn start(mut connection: SqliteConnection, lock: Lock) -> Result<Self, StoreError> {
        let mut greatest = async |text: &'static str| -> Result<i64, StoreError> {
            Ok(sqlx::query(text).fetch_one(&mut connection).await?.try_get("greatest")?)
        };
        let record = greatest("SELECT COALESCE(MAX(number), 0) AS greatest FROM record").await?;
        let audit = greatest("SELECT COALESCE(MAX(number), 0) AS greatest FROM audit").await?;
        let migration = greatest("SELECT COALESCE(MAX(id), 0) AS greatest FROM migration").await?;
        Ok(Self {
            connection,
            _lock: lock,
            next_record: record + 1,
            next_audit: audit + 1,
            last_migration: migration,
        })
    }

    /// Writes until nobody can ask for more.
    pub(in crate::service) async fn run(mut self, mut inbox: mpsc::UnboundedReceiver<Write>, hub: Hub) {
        let mut batch = Vec::new();
        while inbox.recv_many(&mut batch, MOST_TOGETHER).await > 0 {
            let (next_record, next_audit) = (self.next_record, self.next_audit);
            match self.commit(&batch).await {
                Ok(events) => {
                    for event in events {
                        hub.publish(event);
                    }
                    batch.drain(..).for_each(|write| acknowledge(write, &Ok(())));
                }
                Err(error) => {
                    tracing::error!(%error, writes = batch.len(), "nothing of this was written");
                    (self.next_record, self.next_audit) = (next_record, next_audit);
                    let reason = Err(error.to_string());
                    batch.drain(..).for_each(|write| acknowledge(write, &reason));
                }
            }
        }
    }

    async fn commit(&mut self, batch: &[Write]) -> Result<Vec<EventRow>, sqlx::Error> {
        let mut told = Vec::new();
        let mut transaction = self.connection.begin().await?;
        for write in batch {
            match write {
                Write::Begin(begun, _) => begin(&mut transaction, begun).await?,
                Write::Append(append, _) => {
                    told.extend(record(&mut transaction, self.next_record, append).await?);
                    self.next_record += 1;
                }
                Write::Trouble(id, at_ms, why) => {
                    let query = "UPDATE migration SET ended_at_ms = $2, trouble = $3 WHERE id = $1";
                    sqlx::query(query).bind(id).bind(at_ms).bind(why).execute(&mut *transaction).await?;
                }
                Write::Audit(entry) => {
                    audit(&mut transaction, self.next_audit, entry).await?;
                    self.next_audit += 1;
                }
                Write::Flush(_) => {}
            }
        }
        transaction.commit().await?;
        Ok(told)
    }
}

/// Whoever asked may have gone meanwhile; what was written stays.
fn acknowledge(write: Write, result: &Result<(), String>) {
    match write {
        Write::Begin(_, reply) => drop(reply.send(result.clone())),
        Write::Append(_, reply) => drop(reply.send(result.clone())),
        Write::Flush(reply) => drop(reply.send(())),
        Write::Trouble(..) | Write::Audit(_) => {}
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

async fn record(
    connection: &mut SqliteConnection,
    number: i64,
    append: &Append,
) -> Result<Vec<EventRow>, sqlx::Error> {
    let Append { migration, line, at_ns, events, end } = append;
    sqlx::query("INSERT INTO record (number, migration, line) VALUES ($1, $2, $3)")
        .bind(number)
        .bind(migration)
        .bind(line)
        .execute(&mut *connection)
        .await?;
    let mut told = Vec::with_capacity(events.len());
    for (place, body) in (0..).zip(events) {
        let query = "INSERT INTO event (number, place, migration, at_ns, body) VALUES ($1, $2, $3, $4, $5)";
        sqlx::query(query)
            .bind(number)
            .bind(place)
            .bind(migration)
            .bind(at_ns)
            .bind(body)
            .execute(&mut *connection)
            .await?;
        told.push(EventRow { number, place, migration: *migration, at_ns: *at_ns, body: body.clone() });
    }
    if let Some((at_ms, outcome)) = end {
        sqlx::query("UPDATE migration SET ended_at_ms = $2, outcome = $3 WHERE id = $1")
            .bind(migration)
            .bind(at_ms)
            .bind(outcome)
            .execute(connection)
            .await?;
    }
    Ok(told)
}

async fn audit(connection: &mut SqliteConnection, number: i64, entry: &Audit) -> Result<(), sqlx::Error> {
    let query = "INSERT INTO audit (number, at_ms, caller, address, method, path, status) \
                 VALUES ($1, $2, $3, $4, $5, $6, $7)";
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
