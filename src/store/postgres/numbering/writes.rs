//! The statement that a numbering transaction writes with: all tables in one, whole columns as arrays.
//!
//! One statement instead of one per table: each would cost a round trip while the heads are locked, and the values
//! would go to the database twice, for the log and for the state.

use std::time::Duration;

use sqlx::{PgConnection, Row};

use crate::{
    domain::{Change, Micros},
    store::{Batch, HeadUpdate, NumberedRow, lease::length_micros},
    telemetry::{Purpose, count_query},
};

/// No part sees what another one writes; none needs to.
const WRITE: &str = "\
    WITH numbered AS MATERIALIZED ( \
        SELECT * FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::text[], $5::text[], $6::text[], \
                             $7::text[], $8::text[], $9::bigint[], $10::bigint[], $11::bigint[], $12::bool[]) \
            AS n(module, position, epoch, audience, entity_key, op, value, \
                 change_id, previous, occurred_at, sequenced_at, state) \
    ), logged AS ( \
        INSERT INTO change_log (module, position, epoch, audience, entity_key, op, value, \
                                change_id, previous, occurred_at, sequenced_at) \
        SELECT module, position, epoch, audience, entity_key, op, value, \
               change_id, previous, occurred_at, sequenced_at FROM numbered \
    ), remembered AS ( \
        INSERT INTO change_seen (module, change_id, position, at) \
        SELECT module, change_id, position, sequenced_at FROM numbered WHERE change_id IS NOT NULL \
    ), stated AS ( \
        INSERT INTO entity_state (module, audience, entity_key, op, position, value, sequenced_at) \
        SELECT module, audience, entity_key, op, position, value, sequenced_at FROM numbered WHERE state \
        ON CONFLICT (module, audience, entity_key) DO UPDATE \
        SET op = EXCLUDED.op, position = EXCLUDED.position, value = EXCLUDED.value, \
            sequenced_at = EXCLUDED.sequenced_at \
    ), parked AS ( \
        INSERT INTO outbox_rejected (module, audience, entity_key, op, value, change_id, occurred_at, \
                                     reason, rejected_at) \
        SELECT o.module, o.audience, o.entity_key, o.op, o.value, o.change_id, o.occurred_at, p.reason, $15 \
        FROM unnest($13::bigint[], $14::text[]) AS p(id, reason) JOIN outbox o ON o.id = p.id ORDER BY o.id \
        RETURNING 1 \
    ), deleted AS ( \
        DELETE FROM outbox WHERE id = ANY($16) RETURNING 1 \
    ), moved AS ( \
        UPDATE module_head h \
        SET head = u.head, \
            sequenced_through = GREATEST(h.sequenced_through, u.sequenced_through), \
            stateless_from = CASE h.stateless_from WHEN 0 THEN u.stateless_from ELSE h.stateless_from END, \
            lease_expires_at = (extract(epoch FROM clock_timestamp()) * 1000000)::bigint + $22 \
        FROM unnest($17::text[], $18::bigint[], $19::bigint[], $20::bigint[], $21::bigint[]) \
            AS u(module, token, head, sequenced_through, stateless_from) \
        WHERE h.module = u.module AND h.lease_token = u.token \
        RETURNING h.module \
    ) \
    SELECT (SELECT count(*) FROM parked), (SELECT count(*) FROM deleted), ARRAY(SELECT module FROM moved)";

/// What the statement has found of what it was given.
#[derive(Debug, Default)]
pub(super) struct Written {
    pub(super) parked: u64,
    pub(super) deleted: u64,
    /// The modules whose token still stood.
    pub(super) moved: Vec<String>,
}

pub(super) async fn write(
    connection: &mut PgConnection,
    batch: &Batch,
    now: Micros,
    lease: Duration,
) -> sqlx::Result<Written> {
    let Batch {
        rows,
        parked,
        delete,
        heads,
    } = batch;
    if rows.is_empty() && parked.is_empty() && delete.is_empty() && heads.is_empty() {
        return Ok(Written::default());
    }
    count_query(Purpose::Sequence);
    let row = sqlx::query(WRITE)
        .bind(column(rows, |row| row.module.as_str()))
        .bind(column(rows, |row| row.change.position.as_i64()))
        .bind(column(rows, |row| i64::from(row.change.epoch.get())))
        .bind(texts(rows, |change| change.audience.as_str()))
        .bind(texts(rows, |change| &change.key))
        .bind(texts(rows, |change| change.op.as_str()))
        .bind(texts(rows, |change| change.value.as_str()))
        .bind(column(rows, |row| row.change.change_id.as_deref()))
        .bind(column(rows, |row| row.change.previous.as_i64()))
        .bind(column(rows, |row| row.change.occurred_at.get()))
        .bind(column(rows, |row| row.change.sequenced_at.get()))
        .bind(column(rows, |row| row.state))
        .bind(column(parked, |parked| parked.row.id))
        .bind(column(parked, |parked| parked.reason.as_str()))
        .bind(now.get())
        .bind(delete)
        .bind(column(heads, |head| head.lease.module.as_str()))
        .bind(column(heads, |head| head.lease.token))
        .bind(column(heads, |head| head.head.as_i64()))
        .bind(column(heads, |head| head.sequenced_through.get()))
        .bind(column(heads, HeadUpdate::stateless_from))
        .bind(length_micros(lease))
        .fetch_one(connection)
        .await?;
    let count = |column| row.try_get::<i64, _>(column).map(i64::unsigned_abs);
    Ok(Written {
        parked: count(0)?,
        deleted: count(1)?,
        moved: row.try_get(2)?,
    })
}

fn column<'a, R, T>(rows: &'a [R], of: impl Fn(&'a R) -> T) -> Vec<T> {
    rows.iter().map(of).collect()
}

fn texts<'a>(rows: &'a [NumberedRow], of: impl Fn(&'a Change) -> &'a str) -> Vec<&'a str> {
    column(rows, |row| of(&row.change))
}
