//! The wholeness of the state on PostgreSQL.

use async_trait::async_trait;

use super::{
    PostgresStore,
    connection::{end, within},
    error::failed,
};
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
        WHERE h.module = $1 AND s.module IS NULL)";

const REBUILD: &str = "\
    INSERT INTO entity_state (module, audience, entity_key, op, position, value, sequenced_at) \
    SELECT DISTINCT ON (audience, entity_key) module, audience, entity_key, op, position, value, \
                       sequenced_at \
    FROM change_log WHERE module = $1 ORDER BY audience, entity_key, position DESC \
    ON CONFLICT (module, audience, entity_key) DO UPDATE \
    SET op = EXCLUDED.op, position = EXCLUDED.position, value = EXCLUDED.value, \
        sequenced_at = EXCLUDED.sequenced_at \
    WHERE entity_state.position < EXCLUDED.position";

#[async_trait]
impl States for PostgresStore {
    async fn state_is_whole(&self, module: &ModuleName) -> Result<bool> {
        let doing = "looking whether the state is whole";
        let mut borrowed = self.borrow(doing).await?;
        count_query(Purpose::State);
        let select = sqlx::query_scalar(IS_WHOLE).bind(module.as_str());
        let select = select.fetch_one(borrowed.connection());
        let whole = within(self.call_timeout, doing, select).await?;
        borrowed.put_back();
        Ok(whole)
    }

    /// On a connection of its own: it reads all of a log and may take its time.
    async fn rebuild_state(&self, module: &ModuleName) -> Result<u64> {
        let doing = "rebuilding the state";
        let mut connection = self.migrating().await?;
        count_query(Purpose::State);
        let insert = sqlx::query(REBUILD).bind(module.as_str());
        let done = insert
            .execute(&mut connection)
            .await
            .map_err(failed(doing))?;
        end(connection).await;
        Ok(done.rows_affected())
    }
}
