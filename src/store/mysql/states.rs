//! The wholeness of the state on MariaDB and MySQL.

use async_trait::async_trait;
use sqlx::MySqlConnection;

use super::{
    MySqlStore,
    connection::{Borrowed, begin, commit, end},
    error::failed,
};
use crate::{
    domain::ModuleName,
    store::{
        Mended, Result, States,
        states::{Gap, Part, must_be_whole},
    },
    telemetry::{Purpose, count_query},
};

const LOOK: &str = "SELECT stateless_from FROM module_head WHERE module = ?";

const GAP: &str = "\
    SELECT head, retained_from, stateless_from FROM module_head FORCE INDEX (PRIMARY) \
    WHERE module = ? FOR UPDATE";

/// Keys whose state is older than the log. From the part's keys to their rows, whatever the optimizer thinks of the
/// sizes: an update that looks through a small table locks the rows of other modules.
const OUTDATED: &str = "\
    UPDATE (SELECT audience, entity_key, MAX(position) AS position \
            FROM change_log FORCE INDEX (PRIMARY) \
            WHERE module = ? AND position >= ? AND position <= ? \
            GROUP BY audience, entity_key) AS l \
    STRAIGHT_JOIN entity_state s FORCE INDEX (PRIMARY) \
      ON s.module = ? AND s.audience = l.audience AND s.entity_key = l.entity_key \
    STRAIGHT_JOIN change_log c FORCE INDEX (PRIMARY) \
      ON c.module = ? AND c.position = l.position \
    SET s.op = c.op, s.position = c.position, s.value = c.value, \
        s.sequenced_at = c.sequenced_at \
    WHERE s.position < c.position";

/// Keys without a state.
const MISSING: &str = "\
    INSERT INTO entity_state (module, audience, entity_key, op, position, value, sequenced_at) \
    SELECT c.module, c.audience, c.entity_key, c.op, c.position, c.value, c.sequenced_at \
    FROM (SELECT audience, entity_key, MAX(position) AS position \
          FROM change_log FORCE INDEX (PRIMARY) \
          WHERE module = ? AND position >= ? AND position <= ? \
          GROUP BY audience, entity_key) AS l \
    LEFT JOIN entity_state s FORCE INDEX (PRIMARY) \
      ON s.module = ? AND s.audience = l.audience AND s.entity_key = l.entity_key \
    STRAIGHT_JOIN change_log c FORCE INDEX (PRIMARY) \
      ON c.module = ? AND c.position = l.position \
    WHERE s.module IS NULL";

const CLOSE: &str = "\
    UPDATE module_head FORCE INDEX (PRIMARY) SET stateless_from = ? WHERE module = ?";

#[async_trait]
impl States for MySqlStore {
    /// On a connection of its own: large values may take their time.
    async fn mend_state(&self, module: &ModuleName) -> Result<Mended> {
        let doing = "mending the state";
        let mut connection = self.migrating().await?;
        let mut keys = 0;
        loop {
            let mend = mend(&mut connection, module).await;
            let (gap, written) = mend.map_err(failed(doing))?;
            keys += written;
            if let Some(mended) = gap.outcome(keys) {
                end(connection).await;
                return Ok(mended);
            }
        }
    }
}

impl MySqlStore {
    /// A connection to read a state with that was whole a moment ago.
    pub(super) async fn looked_at_state(
        &self,
        module: &ModuleName,
        purpose: Purpose,
    ) -> Result<Borrowed> {
        let doing = "looking at the state";
        let mut borrowed = self.borrow(doing).await?;
        count_query(purpose);
        let look = sqlx::query_scalar(LOOK).bind(module.as_str());
        let look = look.fetch_optional(borrowed.connection());
        let stateless_from = self.call(doing, look).await?;
        if let Err(refused) = must_be_whole(module, stateless_from) {
            borrowed.put_back();
            return Err(refused);
        }
        Ok(borrowed)
    }
}

/// A part of the gap, and how many keys were written for it.
async fn mend(connection: &mut MySqlConnection, module: &ModuleName) -> sqlx::Result<(Gap, u64)> {
    begin(connection).await?;
    count_query(Purpose::State);
    let gap = sqlx::query_as(GAP).bind(module.as_str());
    let gap = Gap::new(gap.fetch_optional(&mut *connection).await?);
    let mut keys = 0;
    if let Gap::Open(part) = gap {
        keys = mend_part(connection, module.as_str(), part).await?;
    }
    commit(connection).await?;
    Ok((gap, keys))
}

async fn mend_part(
    connection: &mut MySqlConnection,
    module: &str,
    part: Part,
) -> sqlx::Result<u64> {
    let mut keys = 0;
    for statement in [OUTDATED, MISSING] {
        count_query(Purpose::State);
        let change = sqlx::query(statement)
            .bind(module)
            .bind(part.from.as_i64())
            .bind(part.through.as_i64())
            .bind(module)
            .bind(module);
        keys += change.execute(&mut *connection).await?.rows_affected();
    }
    count_query(Purpose::State);
    let close = sqlx::query(CLOSE).bind(part.then.as_i64()).bind(module);
    close.execute(connection).await?;
    Ok(keys)
}
