//! Time cursors on SQLite.

use async_trait::async_trait;
use sqlx::sqlite::SqliteRow;

use super::{SqliteStore, error::failed, json};
use crate::{
    domain::{Micros, ModuleName},
    store::{Closed, Closing, Error, Result, StateItem, StateTicks, TickBounds, Ticks, row},
    telemetry::{Purpose, count_query},
};

const CLOSE: &str = "\
    UPDATE module_head SET sequenced_through = max(sequenced_through, ?2, c.value->>2) \
    FROM json_each(?1) c \
    WHERE module = c.value->>0 AND lease_token = c.value->>1 \
    RETURNING module, epoch, head, sequenced_through, ?2";

/// Rows of one batch share their time, so the least position is sought among those of the least time.
const BOUNDS: &str = "\
    SELECT h.epoch, h.retained_from, h.head, h.lost_through, \
           (SELECT sequenced_at FROM change_log \
            WHERE module = h.module AND position >= h.retained_from ORDER BY position LIMIT 1), \
           (SELECT min(position) FROM change_log \
            WHERE module = h.module AND position >= h.retained_from AND sequenced_at = ( \
                SELECT min(sequenced_at) FROM change_log \
                WHERE module = h.module AND sequenced_at >= ?2)) \
    FROM module_head h WHERE h.module = ?1";

/// One channel, as for positions.
const STATE: &str = "\
    SELECT audience, entity_key, op, position, value, sequenced_at FROM entity_state \
    WHERE module = ?1 AND audience = ?2 AND sequenced_at >= ?3 AND sequenced_at < ?4 \
    ORDER BY sequenced_at, position LIMIT ?5";

#[async_trait]
impl Ticks for SqliteStore {
    async fn close_ticks(&self, closing: &[Closing]) -> Result<Vec<Closed>> {
        let doing = "closing ticks";
        let mut writing = self.begin_urgent(doing).await?;
        count_query(Purpose::Lease);
        let column = |c: &Closing| (c.lease.module.clone(), c.lease.token, c.through);
        let update = sqlx::query(CLOSE)
            .bind(json::text(&closing.iter().map(column).collect::<Vec<_>>()))
            .bind(Self::now().get());
        let rows = update
            .fetch_all(writing.connection())
            .await
            .map_err(failed(doing))?;
        writing.commit(doing).await?;
        let closed = rows.iter().map(row::closed).collect::<sqlx::Result<_>>();
        closed.map_err(Error::Unexpected)
    }
}

impl SqliteStore {
    pub(super) async fn bounds_from(
        &self,
        module: &ModuleName,
        from: Micros,
        purpose: Purpose,
    ) -> Result<TickBounds> {
        let doing = "looking for a tick";
        count_query(purpose);
        let select = sqlx::query(BOUNDS).bind(module.as_str()).bind(from.get());
        let found = select.fetch_optional(&self.readers).await;
        let found = found.map_err(failed(doing))?;
        row::tick_bounds(found.as_ref()).map_err(Error::Unexpected)
    }

    pub(super) async fn state_from(
        &self,
        read: StateTicks<'_>,
        purpose: Purpose,
    ) -> Result<Vec<(Micros, StateItem)>> {
        self.look_at_state(read.module, purpose).await?;
        let reading = async {
            let mut snapshot = self.readers.begin().await?;
            let mut found = Vec::new();
            for audience in read.audiences {
                count_query(purpose);
                let select = sqlx::query(STATE)
                    .bind(read.module.as_str())
                    .bind(audience.as_str())
                    .bind(read.from.get())
                    .bind(read.before.get())
                    .bind(i64::from(read.limit));
                let rows: Vec<SqliteRow> = select.fetch_all(&mut *snapshot).await?;
                for row in &rows {
                    found.push(row::timed_state_item(row)?);
                }
                found.sort_by_key(|(at, item)| (*at, item.position));
                found.truncate(read.limit as usize);
            }
            snapshot.commit().await?;
            Ok(found)
        };
        reading.await.map_err(failed("reading the state"))
    }
}
