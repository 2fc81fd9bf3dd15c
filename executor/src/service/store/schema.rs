//! The database's schema, step by step. A step that was published is never changed; the next one changes what it did.

use sqlx::{Connection, Executor, Row, SqliteConnection};

use super::StoreError;

/// The steps; a database remembers how many it has taken.
const STEPS: [&str; 1] = [include_str!("schema-1.sql")];

pub(super) async fn bring_up(connection: &mut SqliteConnection) -> Result<(), StoreError> {
    let mut transaction = connection.begin().await?;
    transaction.execute("CREATE TABLE IF NOT EXISTS schema (step BIGINT PRIMARY KEY)").await?;
    let row = transaction.fetch_one("SELECT COALESCE(MAX(step), 0) AS step FROM schema").await?;
    let found: i64 = row.try_get("step")?;
    let known = i64::try_from(STEPS.len()).unwrap_or(i64::MAX);
    if found > known {
        return Err(StoreError::TooNew { found, known });
    }
    for (step, text) in (1..).zip(STEPS).filter(|(step, _)| *step > found) {
        sqlx::raw_sql(text).execute(&mut *transaction).await?;
        sqlx::query("INSERT INTO schema (step) VALUES ($1)").bind(step).execute(&mut *transaction).await?;
    }
    Ok(transaction.commit().await?)
}
