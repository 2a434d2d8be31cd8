//! Time cursors on PostgreSQL.

use async_trait::async_trait;

use super::PostgresStore;
use crate::{
    domain::{Audience, Micros, ModuleName},
    store::{Closed, Closing, Error, Result, StateItem, StateTicks, TickBounds, Ticks, row},
    telemetry::{Purpose, count_query},
};

const CLOSE: &str = "\
    UPDATE module_head h \
    SET sequenced_through = GREATEST( \
        h.sequenced_through, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint, c.through) \
    FROM unnest($1::text[], $2::bigint[], $3::bigint[]) AS c(module, token, through) \
    WHERE h.module = c.module AND h.lease_token = c.token \
    RETURNING h.module, h.epoch, h.head, h.sequenced_through, \
              (extract(epoch FROM clock_timestamp()) * 1000000)::bigint";

/// Rows of one batch share their time, so the least position is sought among those of the least time.
const BOUNDS: &str = "\
    SELECT h.epoch, h.retained_from, h.head, h.lost_through, \
           (SELECT sequenced_at FROM change_log \
            WHERE module = h.module AND position >= h.retained_from ORDER BY position LIMIT 1), \
           (SELECT min(position) FROM change_log \
            WHERE module = h.module AND position >= h.retained_from AND sequenced_at = ( \
                SELECT min(sequenced_at) FROM change_log \
                WHERE module = h.module AND sequenced_at >= $2)) \
    FROM module_head h WHERE h.module = $1";

const STATE: &str = "\
    SELECT s.* FROM unnest($2::text[]) AS a(audience) \
    CROSS JOIN LATERAL ( \
        SELECT audience, entity_key, op, position, value, sequenced_at FROM entity_state \
        WHERE module = $1 AND audience = a.audience AND sequenced_at >= $3 AND sequenced_at < $4 \
        ORDER BY sequenced_at, position LIMIT $5 \
    ) AS s ORDER BY s.sequenced_at, s.position LIMIT $5";

#[async_trait]
impl Ticks for PostgresStore {
    async fn close_ticks(&self, closing: &[Closing]) -> Result<Vec<Closed>> {
        let names: Vec<&str> = closing.iter().map(|c| c.lease.module.as_str()).collect();
        let tokens: Vec<i64> = closing.iter().map(|c| c.lease.token).collect();
        let through: Vec<i64> = closing.iter().map(|c| c.through.get()).collect();
        let doing = "closing ticks";
        let mut seated = self.seated(doing).await?;
        count_query(Purpose::Lease);
        let update = sqlx::query(CLOSE).bind(names).bind(tokens).bind(through);
        let rows = self
            .quick(doing, update.fetch_all(seated.connection()))
            .await?;
        seated.put_back();
        decode(rows.iter().map(row::closed).collect())
    }
}

impl PostgresStore {
    pub(super) async fn bounds_from(
        &self,
        module: &ModuleName,
        from: Micros,
        purpose: Purpose,
    ) -> Result<TickBounds> {
        let doing = "looking for a tick";
        let mut borrowed = self.borrow(doing).await?;
        count_query(purpose);
        let select = sqlx::query(BOUNDS).bind(module.as_str()).bind(from.get());
        let found = self
            .call(doing, select.fetch_optional(borrowed.connection()))
            .await?;
        borrowed.put_back();
        decode(row::tick_bounds(found.as_ref()))
    }

    pub(super) async fn state_from(
        &self,
        read: StateTicks<'_>,
        purpose: Purpose,
    ) -> Result<Vec<(Micros, StateItem)>> {
        let audiences: Vec<&str> = read.audiences.iter().map(Audience::as_str).collect();
        let doing = "reading the state";
        let mut borrowed = self.looked_at_state(read.module, purpose).await?;
        count_query(purpose);
        let select = sqlx::query(STATE)
            .bind(read.module.as_str())
            .bind(audiences)
            .bind(read.from.get())
            .bind(read.before.get())
            .bind(i64::from(read.limit));
        let rows = self
            .call(doing, select.fetch_all(borrowed.connection()))
            .await?;
        borrowed.put_back();
        decode(rows.iter().map(row::timed_state_item).collect())
    }
}

fn decode<T>(rows: sqlx::Result<T>) -> Result<T> {
    rows.map_err(Error::Unexpected)
}
