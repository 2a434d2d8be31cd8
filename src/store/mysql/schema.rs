//! Migrations on MariaDB and MySQL. A named lock lets one process migrate at a time.

use async_trait::async_trait;
use sqlx::{MySqlConnection, migrate::Migrator};

use super::{MySqlStore, connection::end, error::failed};
use crate::store::{
    Error, Result, Schema, SchemaState,
    migration::{Applied, LOCK_WAIT, compare, failure},
};

static MIGRATIONS: Migrator = sqlx::migrate!("migrations/mysql");

/// A name is the server's: it says which database is meant. The library's own lock waits for ever, which MariaDB
/// understands as not at all.
const LOCK: &str = "SELECT GET_LOCK(SHA1(CONCAT('changeover migrates ', DATABASE())), ?)";

const THERE: &str = "\
    SELECT COUNT(*) FROM information_schema.tables \
    WHERE table_schema = DATABASE() AND table_name = '_sqlx_migrations'";

#[async_trait]
impl Schema for MySqlStore {
    async fn schema_state(&self) -> Result<SchemaState> {
        let doing = "reading the schema's version";
        let mut borrowed = self.borrow(doing).await?;
        let applied = self.call(doing, applied(borrowed.connection())).await?;
        borrowed.put_back();
        compare(&MIGRATIONS, &applied)
    }

    async fn migrate(&self) -> Result<usize> {
        let mut connection = self.migrating().await?;
        lock(&mut connection).await?;
        let before = applied(&mut connection)
            .await
            .map_err(failed("migrating"))?;
        let state = compare(&MIGRATIONS, &before)?;
        MIGRATIONS
            .run_direct(None, &mut connection, false)
            .await
            .map_err(|error| failure(&MIGRATIONS, error, failed("migrating")))?;
        // The lock ends with the connection.
        end(connection).await;
        Ok(match state {
            SchemaState::Current => 0,
            SchemaState::Pending(ran) => ran,
        })
    }

    async fn ping(&self) -> Result<()> {
        let doing = "asking for a sign of life";
        let mut borrowed = self.borrow(doing).await?;
        let answer = sqlx::query("SELECT 1").execute(borrowed.connection());
        self.call(doing, answer).await?;
        borrowed.put_back();
        Ok(())
    }

    fn connections(&self) -> u32 {
        self.pool.size() + 1
    }

    async fn close(&self) {
        self.seat.close().await;
        self.pool.close().await;
    }
}

async fn lock(connection: &mut MySqlConnection) -> Result<()> {
    let wait = i64::try_from(LOCK_WAIT.as_secs()).unwrap_or(i64::MAX);
    let lock = sqlx::query_scalar(LOCK).bind(wait).fetch_one(connection);
    let got: Option<i64> = lock.await.map_err(failed("migrating"))?;
    match got {
        Some(1) => Ok(()),
        _ => Err(Error::Unavailable {
            why: "migrating: another process does so for too long".to_owned(),
            source: None,
        }),
    }
}

async fn applied(connection: &mut MySqlConnection) -> sqlx::Result<Vec<Applied>> {
    let there: i64 = sqlx::query_scalar(THERE)
        .fetch_one(&mut *connection)
        .await?;
    if there == 0 {
        return Ok(Vec::new());
    }
    sqlx::query_as("SELECT version, checksum, success FROM _sqlx_migrations ORDER BY version")
        .fetch_all(connection)
        .await
}
