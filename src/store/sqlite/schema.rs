//! Migrations on SQLite: all of them in one writing transaction, so that of two processes which
//! start together one migrates and the other then finds it done.

use async_trait::async_trait;
use sqlx::{SqliteConnection, migrate::Migrator};

use super::{SqliteStore, error::failed};
use crate::store::{
    Result, Schema, SchemaState,
    migration::{Applied, compare, failure},
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
        let mut writing = self.begin_ordinary(doing).await?;
        let before = applied(writing.connection()).await.map_err(failed(doing))?;
        let SchemaState::Pending(pending) = compare(&MIGRATIONS, &before)? else {
            writing.commit(doing).await?;
            return Ok(0);
        };
        MIGRATIONS
            .run_direct(None, writing.connection(), false)
            .await
            .map_err(|error| failure(&MIGRATIONS, error, failed(doing)))?;
        writing.commit(doing).await?;
        Ok(pending)
    }

    async fn ping(&self) -> Result<()> {
        sqlx::query("SELECT 1")
            .execute(&self.readers)
            .await
            .map_err(failed("asking for a sign of life"))?;
        Ok(())
    }

    async fn close(&self) {
        self.scanner.close().await;
        self.readers.close().await;
        // Last, so that the write-ahead log goes into the file.
        self.seat.close().await;
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
