//! The wholeness of the state on SQLite.

use async_trait::async_trait;
use sqlx::SqliteConnection;

use super::{SqliteStore, error::failed};
use crate::{
    domain::ModuleName,
    store::{
        Mended, Result, States,
        states::{Gap, must_be_whole},
    },
    telemetry::{Purpose, count_query},
};

const LOOK: &str = "SELECT stateless_from FROM module_head WHERE module = ?1";

const GAP: &str = "SELECT head, retained_from, stateless_from FROM module_head WHERE module = ?1";

/// Beside `max()` SQLite takes the other columns from the same row.
const MEND: &str = "\
    INSERT INTO entity_state (module, audience, entity_key, op, position, value, sequenced_at) \
    SELECT module, audience, entity_key, op, max(position), value, sequenced_at \
    FROM change_log WHERE module = ?1 AND position >= ?2 AND position <= ?3 \
    GROUP BY module, audience, entity_key \
    ON CONFLICT (module, audience, entity_key) DO UPDATE \
    SET op = excluded.op, position = excluded.position, value = excluded.value, \
        sequenced_at = excluded.sequenced_at \
    WHERE entity_state.position < excluded.position";

const CLOSE: &str = "UPDATE module_head SET stateless_from = ?2 WHERE module = ?1";

#[async_trait]
impl States for SqliteStore {
    async fn mend_state(&self, module: &ModuleName) -> Result<Mended> {
        let doing = "mending the state";
        let mut keys = 0;
        loop {
            let mut writing = self.begin_ordinary(doing).await?;
            let mend = mend(writing.connection(), module).await;
            let (gap, written) = mend.map_err(failed(doing))?;
            writing.commit(doing).await?;
            keys += written;
            if let Some(mended) = gap.outcome(keys) {
                return Ok(mended);
            }
        }
    }
}

impl SqliteStore {
    /// Refuses to go on with a state that is not whole.
    pub(super) async fn look_at_state(&self, module: &ModuleName, purpose: Purpose) -> Result<()> {
        count_query(purpose);
        let look = sqlx::query_scalar(LOOK).bind(module.as_str());
        let look = look.fetch_optional(&self.readers).await;
        must_be_whole(module, look.map_err(failed("looking at the state"))?)
    }
}

/// A part of the gap, and how many keys were written for it.
async fn mend(connection: &mut SqliteConnection, module: &ModuleName) -> sqlx::Result<(Gap, u64)> {
    let module = module.as_str();
    count_query(Purpose::State);
    let gap = sqlx::query_as(GAP).bind(module);
    let gap = Gap::new(gap.fetch_optional(&mut *connection).await?);
    let Gap::Open(part) = gap else {
        return Ok((gap, 0));
    };
    count_query(Purpose::State);
    let mend = sqlx::query(MEND)
        .bind(module)
        .bind(part.from.as_i64())
        .bind(part.through.as_i64());
    let keys = mend.execute(&mut *connection).await?.rows_affected();
    count_query(Purpose::State);
    let close = sqlx::query(CLOSE).bind(module).bind(part.then.as_i64());
    close.execute(connection).await?;
    Ok((gap, keys))
}
