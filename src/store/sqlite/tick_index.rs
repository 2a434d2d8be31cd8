//! The index of the state by time on SQLite. Whoever else writes to the file waits until it is made.

use async_trait::async_trait;
use sqlx::{Connection, Executor};

use super::{SqliteStore, error::failed};
use crate::store::{Result, TickIndex};

const LOOK: &str = "\
    SELECT EXISTS (SELECT 1 FROM sqlite_schema \
        WHERE type = 'index' AND name = 'entity_state_tick' AND tbl_name = 'entity_state')";

const MAKE: &str = "\
    CREATE INDEX IF NOT EXISTS entity_state_tick ON entity_state (module, audience, sequenced_at)";

#[async_trait]
impl TickIndex for SqliteStore {
    async fn has_tick_index(&self) -> Result<bool> {
        let look = sqlx::query_scalar(LOOK).fetch_one(&self.readers);
        let doing = "looking for the index entity_state_tick";
        look.await.map_err(failed(doing))
    }

    async fn make_tick_index(&self) -> Result<()> {
        let doing = "making the index entity_state_tick";
        let mut connection = self.migrating(doing).await?;
        let make = async {
            let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
            transaction.execute(MAKE).await?;
            transaction.commit().await
        };
        make.await.map_err(failed(doing))
    }
}
