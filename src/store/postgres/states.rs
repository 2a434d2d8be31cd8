//! The wholeness of the state on PostgreSQL.

use async_trait::async_trait;
use sqlx::PgConnection;

use super::{
    PostgresStore,
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

const LOOK: &str = "SELECT stateless_from FROM module_head WHERE module = $1";

const GAP: &str = "\
    SELECT head, retained_from, stateless_from FROM module_head WHERE module = $1 FOR UPDATE";

const MEND: &str = "\
    INSERT INTO entity_state (module, audience, entity_key, op, position, value, sequenced_at) \
    SELECT DISTINCT ON (audience, entity_key) module, audience, entity_key, op, position, value, \
                       sequenced_at \
    FROM change_log WHERE module = $1 AND position >= $2 AND position <= $3 \
    ORDER BY audience, entity_key, position DESC \
    ON CONFLICT (module, audience, entity_key) DO UPDATE \
    SET op = EXCLUDED.op, position = EXCLUDED.position, value = EXCLUDED.value, \
        sequenced_at = EXCLUDED.sequenced_at \
    WHERE entity_state.position < EXCLUDED.position";

const CLOSE: &str = "UPDATE module_head SET stateless_from = $2 WHERE module = $1";

#[async_trait]
impl States for PostgresStore {
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

impl PostgresStore {
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
async fn mend(connection: &mut PgConnection, module: &ModuleName) -> sqlx::Result<(Gap, u64)> {
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

async fn mend_part(connection: &mut PgConnection, module: &str, part: Part) -> sqlx::Result<u64> {
    count_query(Purpose::State);
    let mend = sqlx::query(MEND)
        .bind(module)
        .bind(part.from.as_i64())
        .bind(part.through.as_i64());
    let keys = mend.execute(&mut *connection).await?.rows_affected();
    count_query(Purpose::State);
    let close = sqlx::query(CLOSE).bind(module).bind(part.then.as_i64());
    close.execute(connection).await?;
    Ok(keys)
}
