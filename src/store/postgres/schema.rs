//! Migrations on PostgreSQL. An advisory lock lets one process migrate at a time.

use async_trait::async_trait;
use sqlx::{PgConnection, migrate::Migrator};

use super::{PostgresStore, connection::end, error::failed};
use crate::store::{
    Result, Schema, SchemaState,
    migration::{Applied, compare, failure},
};

static MIGRATIONS: Migrator = sqlx::migrate!("migrations/postgres");

#[async_trait]
impl Schema for PostgresStore {
    async fn schema_state(&self) -> Result<SchemaState> {
        let doing = "reading the schema's version";
        let mut borrowed = self.borrow(doing).await?;
        let applied = self.call(doing, applied(borrowed.connection())).await?;
        borrowed.put_back();
        compare(&MIGRATIONS, &applied)
    }

    async fn migrate(&self) -> Result<usize> {
        let mut connection = self.migrating().await?;
        let before = applied(&mut connection)
            .await
            .map_err(failed("migrating"))?;
        let state = compare(&MIGRATIONS, &before)?;
        MIGRATIONS
            .run_direct(None, &mut connection, false)
            .await
            .map_err(|error| failure(&MIGRATIONS, error, failed("migrating")))?;
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

async fn applied(connection: &mut PgConnection) -> sqlx::Result<Vec<Applied>> {
    let there: bool = sqlx::query_scalar("SELECT to_regclass('_sqlx_migrations') IS NOT NULL")
        .fetch_one(&mut *connection)
        .await?;
    if !there {
        return Ok(Vec::new());
    }
    sqlx::query_as("SELECT version, checksum, success FROM _sqlx_migrations ORDER BY version")
        .fetch_all(connection)
        .await
}
