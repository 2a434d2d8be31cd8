//! The wholeness of the state on MariaDB and MySQL.

use async_trait::async_trait;
use sqlx::MySqlConnection;

use super::{
    MySqlStore,
    connection::{begin, commit, end, within},
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
        WHERE h.module = ? AND s.module IS NULL)";

/// Keys whose state is older than the log.
const OUTDATED: &str = "\
    UPDATE entity_state s \
    JOIN (SELECT audience, entity_key, MAX(position) AS position FROM change_log \
          WHERE module = ? GROUP BY audience, entity_key) AS l \
      ON s.module = ? AND s.audience = l.audience AND s.entity_key = l.entity_key \
    JOIN change_log c ON c.module = ? AND c.position = l.position \
    SET s.op = c.op, s.position = c.position, s.value = c.value, \
        s.sequenced_at = c.sequenced_at \
    WHERE s.position < c.position";

/// Keys without a state.
const MISSING: &str = "\
    INSERT INTO entity_state (module, audience, entity_key, op, position, value, sequenced_at) \
    SELECT c.module, c.audience, c.entity_key, c.op, c.position, c.value, c.sequenced_at \
    FROM (SELECT audience, entity_key, MAX(position) AS position FROM change_log \
          WHERE module = ? GROUP BY audience, entity_key) AS l \
    JOIN change_log c ON c.module = ? AND c.position = l.position \
    LEFT JOIN entity_state s \
      ON s.module = ? AND s.audience = l.audience AND s.entity_key = l.entity_key \
    WHERE s.module IS NULL";

#[async_trait]
impl States for MySqlStore {
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
        let mut connection = self.migrating().await?;
        let rebuilt = rebuild(&mut connection, module).await;
        let written = rebuilt.map_err(failed("rebuilding the state"))?;
        end(connection).await;
        Ok(written)
    }
}

async fn rebuild(connection: &mut MySqlConnection, module: &ModuleName) -> sqlx::Result<u64> {
    begin(connection).await?;
    let mut written = 0;
    for statement in [OUTDATED, MISSING] {
        count_query(Purpose::State);
        let change = sqlx::query(statement)
            .bind(module.as_str())
            .bind(module.as_str())
            .bind(module.as_str());
        written += change.execute(&mut *connection).await?.rows_affected();
    }
    commit(connection).await?;
    Ok(written)
}
