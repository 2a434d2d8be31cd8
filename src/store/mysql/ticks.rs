//! Time cursors on MariaDB and MySQL.

use async_trait::async_trait;
use sqlx::MySqlConnection;

use super::{
    MySqlStore,
    lease::NOW,
    statement::{Statement, held, ready},
    stored::Stored,
};
use crate::{
    domain::{Audience, Micros, ModuleName},
    store::{Closed, Closing, Error, Result, StateItem, StateTicks, TickBounds, Ticks, row},
    telemetry::{Purpose, count_query},
};

/// Rows of one batch share their time, so the least position is sought among those of the least time.
const BOUNDS: &str = "\
    SELECT h.epoch, h.retained_from, h.head, h.lost_through, \
           (SELECT c.sequenced_at FROM change_log c FORCE INDEX (PRIMARY) \
            WHERE c.module = h.module AND c.position >= h.retained_from ORDER BY c.position LIMIT 1), \
           (SELECT MIN(c.position) FROM change_log c FORCE INDEX (change_log_tick) \
            WHERE c.module = h.module AND c.position >= h.retained_from AND c.sequenced_at = ( \
                SELECT MIN(f.sequenced_at) FROM change_log f FORCE INDEX (change_log_tick) \
                WHERE f.module = ? AND f.sequenced_at >= ?)) \
    FROM module_head h WHERE h.module = ?";

#[async_trait]
impl Ticks for MySqlStore {
    async fn close_ticks(&self, closing: &[Closing]) -> Result<Vec<Closed>> {
        if closing.is_empty() {
            return Ok(Vec::new());
        }
        let doing = "closing ticks";
        let mut seated = self.seated(doing).await?;
        let rows = self
            .quick(doing, close(seated.connection(), closing))
            .await?;
        seated.put_back();
        let closed = rows.iter().map(row::closed).collect::<sqlx::Result<_>>();
        closed.map_err(Error::Unexpected)
    }
}

/// An update returns no rows here. A look at a head afterwards tells position and time of one moment all the same.
async fn close(connection: &mut MySqlConnection, closing: &[Closing]) -> sqlx::Result<Vec<Stored>> {
    for closing in closing {
        count_query(Purpose::Lease);
        let mut update = Statement::new(
            "UPDATE module_head FORCE INDEX (PRIMARY) \
             SET sequenced_through = GREATEST(sequenced_through, ",
        );
        update
            .push(NOW)
            .push(", ")
            .push_bind(closing.through.get())
            .push(") WHERE ");
        held(&mut update, [&closing.lease]);
        ready(&mut update, 1).execute(&mut *connection).await?;
    }
    count_query(Purpose::Lease);
    let mut select = Statement::new("SELECT module, epoch, head, sequenced_through, ");
    select.push(NOW).push(" FROM module_head WHERE ");
    held(&mut select, closing.iter().map(|closing| &closing.lease));
    let select = ready(&mut select, closing.len());
    Ok(Stored::all(select.fetch_all(connection).await?))
}

impl MySqlStore {
    pub(super) async fn bounds_from(
        &self,
        module: &ModuleName,
        from: Micros,
        purpose: Purpose,
    ) -> Result<TickBounds> {
        let doing = "looking for a tick";
        let mut borrowed = self.borrow(doing).await?;
        count_query(purpose);
        let select = sqlx::query(BOUNDS)
            .bind(module.as_str())
            .bind(from.get())
            .bind(module.as_str());
        let rows = self
            .call(doing, select.fetch_all(borrowed.connection()))
            .await?;
        borrowed.put_back();
        row::tick_bounds(Stored::all(rows).first()).map_err(Error::Unexpected)
    }

    pub(super) async fn state_from(
        &self,
        read: StateTicks<'_>,
        purpose: Purpose,
    ) -> Result<Vec<(Micros, StateItem)>> {
        if read.audiences.is_empty() {
            return Ok(Vec::new());
        }
        let doing = "reading the state";
        let mut borrowed = self.looked_at_state(read.module, purpose).await?;
        count_query(purpose);
        let mut items = self
            .call(doing, state(borrowed.connection(), &read))
            .await?;
        borrowed.put_back();
        items.sort_unstable_by_key(|(at, item)| (*at, item.position));
        Ok(items)
    }
}

/// One SELECT a channel for the keys, and only the rows of the answer are read whole.
async fn state(
    connection: &mut MySqlConnection,
    read: &StateTicks<'_>,
) -> sqlx::Result<Vec<(Micros, StateItem)>> {
    let mut select = Statement::new(
        "SELECT s.audience, s.entity_key, s.op, s.position, s.value, s.sequenced_at FROM (",
    );
    for (number, audience) in read.audiences.iter().map(Audience::as_str).enumerate() {
        select
            .push(if number == 0 { "(" } else { " UNION ALL (" })
            .push(
                "SELECT audience, entity_key, sequenced_at, position \
                 FROM entity_state FORCE INDEX (entity_state_tick) WHERE module = ",
            )
            .push_bind(read.module.as_str())
            .push(" AND audience = ")
            .push_bind(audience)
            .push(" AND sequenced_at >= ")
            .push_bind(read.from.get())
            .push(" AND sequenced_at < ")
            .push_bind(read.before.get())
            .push(" ORDER BY sequenced_at, position LIMIT ")
            .push_bind(i64::from(read.limit))
            .push(")");
    }
    select
        .push(" ORDER BY sequenced_at, position LIMIT ")
        .push_bind(i64::from(read.limit))
        .push(") AS found STRAIGHT_JOIN entity_state s ON s.module = ")
        .push_bind(read.module.as_str())
        .push(" AND s.audience = found.audience AND s.entity_key = found.entity_key");
    let select = ready(&mut select, read.audiences.len());
    let rows = Stored::all(select.fetch_all(connection).await?);
    rows.iter().map(row::timed_state_item).collect()
}
