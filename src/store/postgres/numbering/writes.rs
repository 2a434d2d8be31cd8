//! The statements that a numbering transaction writes with: whole columns as arrays, never a
//! statement per row.

use std::time::Duration;

use sqlx::{PgConnection, Row};

use crate::{
    domain::{Change, Micros},
    store::{HeadUpdate, NumberedRow, Parked, lease::length_micros},
    telemetry::{Purpose, count_query},
};

const LOG: &str = "\
    INSERT INTO change_log (module, position, epoch, audience, entity_key, op, value, change_id, \
                            previous, occurred_at, sequenced_at) \
    SELECT * FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::text[], $5::text[], $6::text[], \
                         $7::text[], $8::text[], $9::bigint[], $10::bigint[], $11::bigint[])";

const REMEMBER: &str = "\
    INSERT INTO change_seen (module, change_id, position, at) \
    SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[])";

const STATE: &str = "\
    INSERT INTO entity_state (module, audience, entity_key, op, position, value, sequenced_at) \
    SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::text[], \
                         $7::bigint[]) \
    ON CONFLICT (module, audience, entity_key) DO UPDATE \
    SET op = EXCLUDED.op, position = EXCLUDED.position, value = EXCLUDED.value, \
        sequenced_at = EXCLUDED.sequenced_at";

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
        stateless_from = CASE h.stateless_from WHEN 0 THEN u.stateless_from ELSE h.stateless_from END, \
        lease_expires_at = (extract(epoch FROM clock_timestamp()) * 1000000)::bigint + $6 \
    FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[]) \
        AS u(module, token, head, sequenced_through, stateless_from) \
    WHERE h.module = u.module AND h.lease_token = u.token \
    RETURNING h.module";

pub(super) async fn log(connection: &mut PgConnection, rows: &[NumberedRow]) -> sqlx::Result<()> {
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

pub(super) async fn remember(
    connection: &mut PgConnection,
    rows: &[NumberedRow],
) -> sqlx::Result<()> {
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

pub(super) async fn state(connection: &mut PgConnection, rows: &[NumberedRow]) -> sqlx::Result<()> {
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
        .bind(
            rows.iter()
                .map(|row| row.change.sequenced_at.get())
                .collect::<Vec<_>>(),
        )
        .execute(connection)
        .await?;
    Ok(())
}

pub(super) async fn park(
    connection: &mut PgConnection,
    parked: &[Parked],
    now: Micros,
) -> sqlx::Result<u64> {
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

pub(super) async fn delete(connection: &mut PgConnection, ids: &[i64]) -> sqlx::Result<u64> {
    if ids.is_empty() {
        return Ok(0);
    }
    count_query(Purpose::Sequence);
    let done = sqlx::query(DELETE).bind(ids).execute(connection).await?;
    Ok(done.rows_affected())
}

pub(super) async fn heads(
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
        .bind(
            heads
                .iter()
                .map(HeadUpdate::stateless_from)
                .collect::<Vec<_>>(),
        )
        .bind(length_micros(lease))
        .fetch_all(connection)
        .await?;
    rows.iter().map(|row| row.try_get(0)).collect()
}
