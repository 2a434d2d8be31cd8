//! The index of the state by time on PostgreSQL, made while others read and write.
//!
//! Making it that way waits for every snapshot of before, and a session that waits in `pg_advisory_lock` has one: two
//! processes would wait for each other. So the lock is tried again and again, with nothing under way in between.

use std::time::Duration;

use async_trait::async_trait;
use sqlx::{Executor, PgConnection};
use tokio::time::{Instant, sleep};

use super::{PostgresStore, connection::end, error::failed};
use crate::store::{Error, Result, TickIndex, migration::LOCK_WAIT};

const DOING: &str = "making the index entity_state_tick";

/// Says nothing if it is not there, and `false` if an attempt to make or to drop it was interrupted.
const LOOK: &str = "\
    SELECT x.indisvalid FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid \
    WHERE x.indrelid = to_regclass('entity_state') AND i.relname = 'entity_state_tick'";

/// Ends with the session, also if that outlives the process that began it.
const LOCK: &str = "SELECT pg_try_advisory_lock($1)";
const LOCK_KEY: i64 = i64::from_be_bytes(*b"co ticks");
const LOCK_PAUSE: Duration = Duration::from_millis(200);

/// A role or a database may have a time-out of its own.
const UNHURRIED: &str = "SET statement_timeout = 0";

const DROP: &str = "DROP INDEX CONCURRENTLY IF EXISTS entity_state_tick";

const MAKE: &str = "\
    CREATE INDEX CONCURRENTLY IF NOT EXISTS entity_state_tick \
    ON entity_state (module, audience, sequenced_at)";

#[async_trait]
impl TickIndex for PostgresStore {
    async fn has_tick_index(&self) -> Result<bool> {
        let doing = "looking for the index entity_state_tick";
        let mut borrowed = self.borrow(doing).await?;
        let valid = self.call(doing, look(borrowed.connection())).await?;
        borrowed.put_back();
        Ok(valid == Some(true))
    }

    async fn make_tick_index(&self) -> Result<()> {
        let mut connection = self.migrating().await?;
        lock(&mut connection).await?;
        let made = make(&mut connection).await.map_err(failed(DOING));
        // The lock ends with the connection.
        end(connection).await;
        made
    }
}

async fn look(connection: &mut PgConnection) -> sqlx::Result<Option<bool>> {
    sqlx::query_scalar(LOOK).fetch_optional(connection).await
}

async fn lock(connection: &mut PgConnection) -> Result<()> {
    let deadline = Instant::now() + LOCK_WAIT;
    loop {
        let lock = sqlx::query_scalar(LOCK).bind(LOCK_KEY);
        let locked: bool = lock
            .fetch_one(&mut *connection)
            .await
            .map_err(failed(DOING))?;
        if locked {
            return Ok(());
        }
        if Instant::now() >= deadline {
            return Err(Error::Unavailable {
                why: format!("{DOING}: another process does so for too long"),
                source: None,
            });
        }
        sleep(LOCK_PAUSE).await;
    }
}

/// One statement at a time: in a transaction, or as several in one message, the server refuses them.
async fn make(connection: &mut PgConnection) -> sqlx::Result<()> {
    connection.execute(UNHURRIED).await?;
    if look(connection).await? == Some(false) {
        connection.execute(DROP).await?;
    }
    connection.execute(MAKE).await?;
    Ok(())
}
