//! The wholeness of the state on SQLite.

use async_trait::async_trait;

use super::{SqliteStore, error::failed};
use crate::{
    domain::ModuleName,
    store::{Result, States},
    telemetry::{Purpose, count_query},
};

const IS_WHOLE: &str = "\
    SELECT NOT EXISTS ( \
        SELECT 1 FROM module_head h \
        JOIN change_log c ON c.module = h.module AND c.position = h.head \
        LEFT JOIN entity_state s ON s.module = c.module AND s.audience = c.audience \
                                AND s.entity_key = c.entity_key AND s.position = c.position \
        WHERE h.module = ?1 AND s.module IS NULL)";

/// Beside `max()` SQLite takes the other columns from the same row.
const REBUILD: &str = "\
    INSERT INTO entity_state (module, audience, entity_key, op, position, value, sequenced_at) \
    SELECT module, audience, entity_key, op, max(position), value, sequenced_at \
    FROM change_log WHERE module = ?1 GROUP BY module, audience, entity_key \
    ON CONFLICT (module, audience, entity_key) DO UPDATE \
    SET op = excluded.op, position = excluded.position, value = excluded.value, \
        sequenced_at = excluded.sequenced_at \
    WHERE entity_state.position < excluded.position";

#[async_trait]
impl States for SqliteStore {
    async fn state_is_whole(&self, module: &ModuleName) -> Result<bool> {
        count_query(Purpose::State);
        sqlx::query_scalar(IS_WHOLE)
            .bind(module.as_str())
            .fetch_one(&self.readers)
            .await
            .map_err(failed("looking whether the state is whole"))
    }

    async fn rebuild_state(&self, module: &ModuleName) -> Result<u64> {
        let doing = "rebuilding the state";
        let mut writing = self.begin_ordinary(doing).await?;
        count_query(Purpose::State);
        let done = sqlx::query(REBUILD)
            .bind(module.as_str())
            .execute(writing.connection())
            .await
            .map_err(failed(doing))?;
        writing.commit(doing).await?;
        Ok(done.rows_affected())
    }
}
