//! The database's schema, step by step. A step that was published is never changed; the next one changes what it did.
//!
//! Each step is stored with the statements that take it back, so that an earlier release, which does not know the step,
//! can: a rollback of the program needs no other tool. Release 0.1.0 only reads how many steps there are, and refuses more
//! than one. What a step adds is lost when it is taken back; what was there before must never be.

use sqlx::{Column, Connection, Executor, Row, SqliteConnection};

use super::StoreError;

/// A step and the way back. The first has none: it made the store.
#[derive(Clone, Copy, Debug)]
struct Step {
    forth: &'static str,
    back: Option<&'static str>,
}

/// The steps; a database remembers how many it has taken.
const STEPS: [Step; 1] = [Step { forth: include_str!("schema-1.sql"), back: None }];

/// Takes the steps that are missing, and takes back those that are not known here. All of it, or nothing.
pub(super) async fn bring_up(connection: &mut SqliteConnection) -> Result<(), StoreError> {
    bring_to(connection, &STEPS).await
}

async fn bring_to(connection: &mut SqliteConnection, steps: &[Step]) -> Result<(), StoreError> {
    let mut transaction = connection.begin().await?;
    transaction.execute("CREATE TABLE IF NOT EXISTS schema (step BIGINT PRIMARY KEY)").await?;
    // Stores of 0.1.0 have no such column, and that release does not mind it.
    let table = transaction.describe("SELECT * FROM schema").await?;
    if !table.columns().iter().any(|column| column.name() == "undo") {
        transaction.execute("ALTER TABLE schema ADD COLUMN undo TEXT").await?;
    }
    let known = i64::try_from(steps.len()).unwrap_or(i64::MAX);
    let rows = transaction.fetch_all("SELECT step, undo FROM schema ORDER BY step DESC").await?;
    let found: i64 = rows.first().map_or(Ok(0), |row| row.try_get("step"))?;
    for row in &rows {
        let (step, undo): (i64, Option<String>) = (row.try_get("step")?, row.try_get("undo")?);
        if step <= known {
            break;
        }
        let undo = undo.ok_or(StoreError::TooNew { found, known })?;
        sqlx::raw_sql(&undo).execute(&mut *transaction).await?;
        sqlx::query("DELETE FROM schema WHERE step = $1").bind(step).execute(&mut *transaction).await?;
        tracing::warn!(step, known, "a step of the schema of a later release was taken back");
    }
    for (step, Step { forth, back }) in (1..).zip(steps).filter(|(step, _)| *step > found) {
        sqlx::raw_sql(forth).execute(&mut *transaction).await?;
        let query = sqlx::query("INSERT INTO schema (step, undo) VALUES ($1, $2)");
        query.bind(step).bind(back).execute(&mut *transaction).await?;
    }
    Ok(transaction.commit().await?)
}

#[cfg(test)]
mod tests {
    use sqlx::{Connection, Executor, Row, SqliteConnection};

    use super::{STEPS, Step, bring_to, bring_up};
    use crate::store::StoreError;

    /// What a later release might do: a column more, and a table.
    const NEXT: Step = Step {
        forth: "ALTER TABLE audit ADD COLUMN role TEXT; CREATE TABLE note (number BIGINT PRIMARY KEY, text TEXT);",
        back: Some("DROP TABLE note; ALTER TABLE audit DROP COLUMN role;"),
    };

    async fn empty() -> SqliteConnection {
        SqliteConnection::connect("sqlite::memory:").await.unwrap()
    }

    /// What release 0.1.0 did to a store, and whether it opened it.
    async fn open_as_0_1_0(connection: &mut SqliteConnection) -> bool {
        let mut transaction = connection.begin().await.unwrap();
        transaction.execute("CREATE TABLE IF NOT EXISTS schema (step BIGINT PRIMARY KEY)").await.unwrap();
        let row = transaction.fetch_one("SELECT COALESCE(MAX(step), 0) AS step FROM schema").await.unwrap();
        let found: i64 = row.try_get("step").unwrap();
        if found > 1 {
            return false;
        }
        if found < 1 {
            sqlx::raw_sql(STEPS[0].forth).execute(&mut *transaction).await.unwrap();
            let query = sqlx::query("INSERT INTO schema (step) VALUES ($1)");
            query.bind(1_i64).execute(&mut *transaction).await.unwrap();
        }
        transaction.commit().await.unwrap();
        true
    }

    /// A row in every table of the first step.
    async fn fill(connection: &mut SqliteConnection) {
        let rows = "INSERT INTO migration VALUES (1, '{}', '{}', 5, 'anna', '/x', 'key', NULL, NULL, NULL); \
                    INSERT INTO record VALUES (1, 1, 'line'); INSERT INTO event VALUES (1, 0, 1, 7, 'body'); \
                    INSERT INTO audit (number, at_ms, caller, address, method, path, status) \
                    VALUES (1, 5, 'anna', 'here', 'POST', '/x', 202);";
        sqlx::raw_sql(rows).execute(connection).await.unwrap();
    }

    /// Everything that the first step's tables hold, as text.
    async fn content(connection: &mut SqliteConnection) -> Vec<String> {
        let queries = [
            "SELECT id || spec || route || began_at_ms || asked_by || target_uri || idempotency_key AS all_of_it FROM migration",
            "SELECT number || migration || line AS all_of_it FROM record",
            "SELECT number || place || migration || at_ns || body AS all_of_it FROM event",
            "SELECT number || at_ms || caller || address || method || path || status AS all_of_it FROM audit",
        ];
        let mut content = Vec::new();
        for query in queries {
            let rows = connection.fetch_all(query).await.unwrap();
            content.extend(rows.iter().map(|row| row.try_get::<String, _>("all_of_it").unwrap()));
        }
        assert_eq!(content.len(), 4);
        content
    }

    #[tokio::test]
    async fn a_store_goes_to_the_next_release_and_back_and_nothing_is_lost() {
        let mut store = empty().await;
        bring_up(&mut store).await.unwrap();
        fill(&mut store).await;
        let before = content(&mut store).await;
        let next = [STEPS[0], NEXT];
        for _ in 0..2 {
            bring_to(&mut store, &next).await.unwrap();
            store.execute("UPDATE audit SET role = 'operate'").await.unwrap();
            assert_eq!(content(&mut store).await, before);
            bring_to(&mut store, &next).await.unwrap();
            bring_up(&mut store).await.unwrap();
            assert_eq!(content(&mut store).await, before);
            assert!(store.execute("SELECT role FROM audit").await.is_err(), "the step was taken back");
            assert!(open_as_0_1_0(&mut store).await);
        }
    }

    #[tokio::test]
    async fn a_store_goes_from_0_1_0_to_this_release_and_back() {
        let mut store = empty().await;
        assert!(open_as_0_1_0(&mut store).await);
        fill(&mut store).await;
        let before = content(&mut store).await;
        for _ in 0..2 {
            bring_up(&mut store).await.unwrap();
            assert_eq!(content(&mut store).await, before);
            assert!(open_as_0_1_0(&mut store).await);
            assert_eq!(content(&mut store).await, before);
        }
    }

    #[tokio::test]
    async fn a_step_without_a_way_back_is_refused_and_nothing_is_taken_back() {
        let mut store = empty().await;
        let further = [
            STEPS[0],
            Step { back: None, ..NEXT },
            Step { forth: "CREATE TABLE more (x TEXT)", back: Some("DROP TABLE more") },
        ];
        bring_to(&mut store, &further).await.unwrap();
        let refused = bring_up(&mut store).await.unwrap_err();
        assert!(matches!(refused, StoreError::TooNew { found: 3, known: 1 }), "{refused}");
        store.execute("SELECT x FROM more").await.unwrap();
        let row = store.fetch_one("SELECT MAX(step) AS step FROM schema").await.unwrap();
        assert_eq!(row.try_get::<i64, _>("step").unwrap(), 3);
    }

    #[test]
    fn every_step_but_the_first_can_be_taken_back() {
        assert!(STEPS.iter().skip(1).all(|step| step.back.is_some()));
    }
}
