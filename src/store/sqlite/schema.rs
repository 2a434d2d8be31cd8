//! Migrations on SQLite: all of them in one writing transaction, so that of two processes which
//! start together one migrates and the other then finds it done.

use async_trait::async_trait;
use sqlx::{ConnectOptions, Connection, SqliteConnection, migrate::Migrator};

use super::{SqliteStore, error::failed};
use crate::store::{
    Result, Schema, SchemaState,
    migration::{Applied, LOCK_WAIT, compare, failure},
};

static MIGRATIONS: Migrator = sqlx::migrate!("migrations/sqlite");

#[async_trait]
impl Schema for SqliteStore {
    async fn schema_state(&self) -> Result<SchemaState> {
        let doing = failed("reading the schema's version");
        let read = async {
            let mut connection = self.readers.acquire().await?;
            applied(&mut connection).await
        };
        compare(&MIGRATIONS, &read.await.map_err(doing)?)
    }

    async fn migrate(&self) -> Result<usize> {
        let doing = "migrating";
        let mut connection = self.migrating(doing).await?;
        let begin = connection.begin_with("BEGIN IMMEDIATE");
        let mut transaction = begin.await.map_err(failed(doing))?;
        let before = applied(&mut transaction).await.map_err(failed(doing))?;
        let state = compare(&MIGRATIONS, &before)?;
        MIGRATIONS
            .run_direct(None, &mut *transaction, false)
            .await
            .map_err(|error| failure(&MIGRATIONS, error, failed(doing)))?;
        transaction.commit().await.map_err(failed(doing))?;
        Ok(match state {
            SchemaState::Current => 0,
            SchemaState::Pending(ran) => ran,
        })
    }

    async fn ping(&self) -> Result<()> {
        sqlx::query("SELECT 1")
            .execute(&self.readers)
            .await
            .map_err(failed("asking for a sign of life"))?;
        Ok(())
    }

    fn connections(&self) -> u32 {
        self.readers.size() + self.scanner.size() + 1
    }

    async fn close(&self) {
        self.scanner.close().await;
        self.readers.close().await;
        // Last, so that the write-ahead log goes into the file.
        self.seat.close().await;
    }
}

impl SqliteStore {
    /// A connection of its own for what may take its time.
    pub(super) async fn migrating(&self, doing: &'static str) -> Result<SqliteConnection> {
        let options = self.writing.clone().busy_timeout(LOCK_WAIT);
        options.connect().await.map_err(failed(doing))
    }
}

async fn applied(connection: &mut SqliteConnection) -> sqlx::Result<Vec<Applied>> {
    let there: bool = sqlx::query_scalar(
        "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = '_sqlx_migrations')",
    )
    .fetch_one(&mut *connection)
    .await?;
    if !there {
        return Ok(Vec::new());
    }
    sqlx::query_as("SELECT version, checksum, success FROM _sqlx_migrations ORDER BY version")
        .fetch_all(connection)
        .await
}
