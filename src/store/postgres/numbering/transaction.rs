//! A numbering transaction on PostgreSQL: whole columns as arrays, never a statement per row.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use async_trait::async_trait;
use sqlx::{PgConnection, Row};

use super::fence::Fence;
use crate::{
    domain::{Audience, Change, Micros, ModuleName, Position},
    store::{
        Batch, FencedHead, HeadUpdate, NumberedRow, NumberingTx, Parked, Result,
        lease::length_micros,
        numbering::{all_there, fenced},
        postgres::connection::{commit, within},
        seat::Seated,
    },
    telemetry::{Purpose, count_query},
};

const SEEN: &str = "\
    SELECT i.ordinal FROM unnest($1::text[], $2::text[]) WITH ORDINALITY \
        AS i(module, change_id, ordinal) \
    WHERE EXISTS ( \
        SELECT 1 FROM change_seen s WHERE s.module = i.module AND s.change_id = i.change_id)";

const LAST: &str = "\
    SELECT i.ordinal, c.position FROM unnest($1::text[], $2::text[]) WITH ORDINALITY \
        AS i(module, audience, ordinal) \
    CROSS JOIN LATERAL ( \
        SELECT position FROM change_log \
        WHERE module = i.module AND audience = i.audience ORDER BY position DESC LIMIT 1 \
    ) AS c";

const LOG: &str = "\
    INSERT INTO change_log (module, position, epoch, audience, entity_key, op, value, change_id, \
                            previous, occurred_at, sequenced_at) \
    SELECT * FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::text[], $5::text[], $6::text[], \
                         $7::text[], $8::text[], $9::bigint[], $10::bigint[], $11::bigint[])";

const REMEMBER: &str = "\
    INSERT INTO change_seen (module, change_id, position, at) \
    SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[])";

const STATE: &str = "\
    INSERT INTO entity_state (module, audience, entity_key, op, position, value) \
    SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::text[]) \
    ON CONFLICT (module, audience, entity_key) DO UPDATE \
    SET op = EXCLUDED.op, position = EXCLUDED.position, value = EXCLUDED.value";

const PARK: &str = "\
    INSERT INTO outbox_rejected (module, audience, entity_key, op, value, change_id, occurred_at, \
                                 reason, rejected_at) \
    SELECT o.module, o.audience, o.entity_key, o.op, o.value, o.change_id, o.occurred_at, p.reason, $3 \
    FROM unnest($1::bigint[], $2::text[]) AS p(id, reason) JOIN outbox o ON o.id = p.id ORDER BY o.id";

const DELETE: &str = "DELETE FROM outbox WHERE id = ANY($1)";

const HEADS: &str = "\
    UPDATE module_head h \
    SET head = u.head, \
        sequenced_through = GREATEST(h.sequenced_through, u.sequenced_through), \
        lease_expires_at = (extract(epoch FROM clock_timestamp()) * 1000000)::bigint + $5 \
    FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[]) \
        AS u(module, token, head, sequenced_through) \
    WHERE h.module = u.module AND h.lease_token = u.token \
    RETURNING h.module";

/// Behind its fence. Dropped, it takes its connection with it.
pub(super) struct Transaction {
    seated: Seated<PgConnection>,
    fence: Fence,
    half_lease: Duration,
}

impl Transaction {
    pub(super) fn new(seated: Seated<PgConnection>, fence: Fence, half_lease: Duration) -> Self {
        Self {
            seated,
            fence,
            half_lease,
        }
    }
}

#[async_trait]
impl NumberingTx for Transaction {
    fn heads(&self) -> &[FencedHead] {
        &self.fence.heads
    }

    fn now(&self) -> Micros {
        self.fence.now
    }

    async fn seen(
        &mut self,
        ids: &[(ModuleName, Box<str>)],
    ) -> Result<HashSet<(ModuleName, Box<str>)>> {
        let (modules, changes): (Vec<&str>, Vec<&str>) = ids
            .iter()
            .map(|(module, id)| (module.as_str(), &**id))
            .unzip();
        count_query(Purpose::Sequence);
        let select = sqlx::query_scalar(SEEN).bind(modules).bind(changes);
        let select = select.fetch_all(self.seated.connection());
        let seen: Vec<i64> = within(self.half_lease, "looking for repeats", select).await?;
        Ok(seen
            .into_iter()
            .filter_map(|ordinal| nth(ids, ordinal))
            .cloned()
            .collect())
    }

    async fn last_positions(
        &mut self,
        channels: &[(ModuleName, Audience)],
    ) -> Result<HashMap<(ModuleName, Audience), Position>> {
        let (modules, audiences): (Vec<&str>, Vec<&str>) = channels
            .iter()
            .map(|(module, audience)| (module.as_str(), audience.as_str()))
            .unzip();
        count_query(Purpose::Sequence);
        let select = sqlx::query_as(LAST).bind(modules).bind(audiences);
        let select = select.fetch_all(self.seated.connection());
        let last: Vec<(i64, i64)> =
            within(self.half_lease, "reading last positions", select).await?;
        let entry = |(ordinal, position): (i64, i64)| {
            Some((
                nth(channels, ordinal)?.clone(),
                Position::from_i64(position),
            ))
        };
        Ok(last.into_iter().filter_map(entry).collect())
    }

    async fn write(&mut self, batch: &Batch, lease: Duration) -> Result<()> {
        let half_lease = self.half_lease;
        let now = self.fence.now;
        let connection = self.seated.connection();
        within(half_lease, "writing the log", log(connection, &batch.rows)).await?;
        within(
            half_lease,
            "remembering change ids",
            remember(connection, &batch.rows),
        )
        .await?;
        within(
            half_lease,
            "writing the state",
            state(connection, &batch.rows),
        )
        .await?;
        let parked = within(
            half_lease,
            "parking rows",
            park(connection, &batch.parked, now),
        )
        .await?;
        all_there(batch.parked.len(), parked)?;
        let deleted = within(
            half_lease,
            "emptying the outbox",
            delete(connection, &batch.delete),
        )
        .await?;
        all_there(batch.delete.len(), deleted)?;
        let moved = heads(connection, &batch.heads, lease);
        fenced(
            &batch.heads,
            &within(half_lease, "moving heads", moved).await?,
        )
    }

    async fn commit(mut self: Box<Self>) -> Result<()> {
        count_query(Purpose::Sequence);
        within(
            self.half_lease,
            "committing numbers",
            commit(self.seated.connection()),
        )
        .await?;
        self.seated.put_back();
        Ok(())
    }
}

/// The element with a number that the database counted from 1.
fn nth<T>(list: &[T], ordinal: i64) -> Option<&T> {
    list.get(usize::try_from(ordinal).ok()?.checked_sub(1)?)
}

async fn log(connection: &mut PgConnection, rows: &[NumberedRow]) -> sqlx::Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    let integers =
        |of: fn(&Change) -> i64| rows.iter().map(|row| of(&row.change)).collect::<Vec<_>>();
    let texts =
        |of: fn(&Change) -> &str| rows.iter().map(|row| of(&row.change)).collect::<Vec<_>>();
    let ids: Vec<Option<&str>> = rows
        .iter()
        .map(|row| row.change.change_id.as_deref())
        .collect();
    count_query(Purpose::Sequence);
    sqlx::query(LOG)
        .bind(
            rows.iter()
                .map(|row| row.module.as_str())
                .collect::<Vec<_>>(),
        )
        .bind(integers(|change| change.position.as_i64()))
        .bind(integers(|change| change.epoch.get().into()))
        .bind(texts(|change| change.audience.as_str()))
        .bind(texts(|change| &change.key))
        .bind(texts(|change| change.op.as_str()))
        .bind(texts(|change| change.value.as_str()))
        .bind(ids)
        .bind(integers(|change| change.previous.as_i64()))
        .bind(integers(|change| change.occurred_at.get()))
        .bind(integers(|change| change.sequenced_at.get()))
        .execute(connection)
        .await?;
    Ok(())
}

async fn remember(connection: &mut PgConnection, rows: &[NumberedRow]) -> sqlx::Result<()> {
    let rows: Vec<(&NumberedRow, &str)> = rows
        .iter()
        .filter_map(|row| Some((row, row.change.change_id.as_deref()?)))
        .collect();
    if rows.is_empty() {
        return Ok(());
    }
    count_query(Purpose::Sequence);
    sqlx::query(REMEMBER)
        .bind(
            rows.iter()
                .map(|(row, _)| row.module.as_str())
                .collect::<Vec<_>>(),
        )
        .bind(rows.iter().map(|(_, id)| *id).collect::<Vec<_>>())
        .bind(
            rows.iter()
                .map(|(row, _)| row.change.position.as_i64())
                .collect::<Vec<_>>(),
        )
        .bind(
            rows.iter()
                .map(|(row, _)| row.change.sequenced_at.get())
                .collect::<Vec<_>>(),
        )
        .execute(connection)
        .await?;
    Ok(())
}

async fn state(connection: &mut PgConnection, rows: &[NumberedRow]) -> sqlx::Result<()> {
    let rows: Vec<&NumberedRow> = rows.iter().filter(|row| row.state).collect();
    if rows.is_empty() {
        return Ok(());
    }
    let texts =
        |of: fn(&Change) -> &str| rows.iter().map(|row| of(&row.change)).collect::<Vec<_>>();
    count_query(Purpose::Sequence);
    sqlx::query(STATE)
        .bind(
            rows.iter()
                .map(|row| row.module.as_str())
                .collect::<Vec<_>>(),
        )
        .bind(texts(|change| change.audience.as_str()))
        .bind(texts(|change| &change.key))
        .bind(texts(|change| change.op.as_str()))
        .bind(
            rows.iter()
                .map(|row| row.change.position.as_i64())
                .collect::<Vec<_>>(),
        )
        .bind(texts(|change| change.value.as_str()))
        .execute(connection)
        .await?;
    Ok(())
}

async fn park(connection: &mut PgConnection, parked: &[Parked], now: Micros) -> sqlx::Result<u64> {
    if parked.is_empty() {
        return Ok(0);
    }
    count_query(Purpose::Sequence);
    let done = sqlx::query(PARK)
        .bind(
            parked
                .iter()
                .map(|parked| parked.row.id)
                .collect::<Vec<_>>(),
        )
        .bind(
            parked
                .iter()
                .map(|parked| parked.reason.as_str())
                .collect::<Vec<_>>(),
        )
        .bind(now.get())
        .execute(connection)
        .await?;
    Ok(done.rows_affected())
}

async fn delete(connection: &mut PgConnection, ids: &[i64]) -> sqlx::Result<u64> {
    if ids.is_empty() {
        return Ok(0);
    }
    count_query(Purpose::Sequence);
    let done = sqlx::query(DELETE).bind(ids).execute(connection).await?;
    Ok(done.rows_affected())
}

async fn heads(
    connection: &mut PgConnection,
    heads: &[HeadUpdate],
    lease: Duration,
) -> sqlx::Result<Vec<String>> {
    if heads.is_empty() {
        return Ok(Vec::new());
    }
    count_query(Purpose::Sequence);
    let rows = sqlx::query(HEADS)
        .bind(
            heads
                .iter()
                .map(|head| head.lease.module.as_str())
                .collect::<Vec<_>>(),
        )
        .bind(
            heads
                .iter()
                .map(|head| head.lease.token)
                .collect::<Vec<_>>(),
        )
        .bind(
            heads
                .iter()
                .map(|head| head.head.as_i64())
                .collect::<Vec<_>>(),
        )
        .bind(
            heads
                .iter()
                .map(|head| head.sequenced_through.get())
                .collect::<Vec<_>>(),
        )
        .bind(length_micros(lease))
        .fetch_all(connection)
        .await?;
    rows.iter().map(|row| row.try_get(0)).collect()
}
