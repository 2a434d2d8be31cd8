//! The statements that a numbering transaction writes with: many rows of bound values each, never a statement per row.
//!
//! Only the number of placeholders varies in their text. As one JSON parameter, which is what other statements here
//! take, a row costs the database half as much again for taking the JSON apart.

use std::time::Duration;

use sqlx::{QueryBuilder, Row, Sqlite, SqliteConnection, query_builder::Separated};

use crate::{
    domain::Micros,
    store::{
        HeadUpdate, NumberedRow, Parked,
        lease::length_micros,
        sqlite::{SqliteStore, json},
    },
    telemetry::{Purpose, count_query},
};

const LOG: &str = "\
    INSERT INTO change_log (module, position, epoch, audience, entity_key, op, value, change_id, \
                            previous, occurred_at, sequenced_at) ";

const REMEMBER: &str = "INSERT INTO change_seen (module, change_id, position, at) ";

const STATE: &str = "\
    INSERT INTO entity_state (module, audience, entity_key, op, position, value, sequenced_at) ";

const OVER_STATE: &str = " \
    ON CONFLICT (module, audience, entity_key) DO UPDATE \
    SET op = excluded.op, position = excluded.position, value = excluded.value, \
        sequenced_at = excluded.sequenced_at";

/// From table to table, so that bytes and types stay what they are.
const PARK: &str = "\
    INSERT INTO outbox_rejected (module, audience, entity_key, op, value, change_id, occurred_at, \
                                 reason, rejected_at) \
    SELECT o.module, o.audience, o.entity_key, o.op, o.value, o.change_id, o.occurred_at, \
           p.value->>1, ?2 \
    FROM json_each(?1) p JOIN outbox o ON o.id = p.value->>0 ORDER BY o.id";

const DELETE: &str = "DELETE FROM outbox WHERE id IN (SELECT value FROM json_each(?1))";

const HEADS: &str = "\
    UPDATE module_head \
    SET head = u.value->>2, \
        sequenced_through = max(sequenced_through, u.value->>3), \
        stateless_from = CASE stateless_from WHEN 0 THEN u.value->>4 ELSE stateless_from END, \
        lease_expires_at = ?2 \
    FROM json_each(?1) u \
    WHERE module = u.value->>0 AND lease_token = u.value->>1 \
    RETURNING module";

/// Rows of one statement: with eleven columns well below the 32,766 placeholders that SQLite takes. Bytes are bounded by
/// the batch.
const ROWS: usize = 100;

/// Statements of up to so many rows are kept prepared, beside those that are full.
const REMEMBERED: usize = 16;

type Values<'q> = Separated<'q, Sqlite, &'static str>;

/// Inserts `rows`, whose columns are bound by `columns`.
async fn insert<R>(
    connection: &mut SqliteConnection,
    [into, over]: [&'static str; 2],
    rows: &[R],
    columns: impl Fn(&mut Values<'_>, &R),
) -> sqlx::Result<()> {
    for rows in rows.chunks(ROWS) {
        let mut statement = QueryBuilder::<Sqlite>::new(into);
        statement.push_values(rows, |mut values, row| columns(&mut values, row));
        statement.push(over);
        let kept = rows.len() == ROWS || rows.len() <= REMEMBERED;
        count_query(Purpose::Sequence);
        let insert = statement.build().persistent(kept);
        insert.execute(&mut *connection).await?;
    }
    Ok(())
}

pub(super) async fn log(
    connection: &mut SqliteConnection,
    rows: &[NumberedRow],
) -> sqlx::Result<()> {
    insert(connection, [LOG, ""], rows, |values, row| {
        let change = &row.change;
        values
            .push_bind(row.module.as_str())
            .push_bind(change.position.as_i64())
            .push_bind(change.epoch.get())
            .push_bind(change.audience.as_str())
            .push_bind(&*change.key)
            .push_bind(change.op.as_str())
            .push_bind(change.value.as_str())
            .push_bind(change.change_id.as_deref())
            .push_bind(change.previous.as_i64())
            .push_bind(change.occurred_at.get())
            .push_bind(change.sequenced_at.get());
    })
    .await
}

pub(super) async fn remember(
    connection: &mut SqliteConnection,
    rows: &[NumberedRow],
) -> sqlx::Result<()> {
    let with_id = |row: &&NumberedRow| row.change.change_id.is_some();
    let rows: Vec<_> = rows.iter().filter(with_id).collect();
    insert(connection, [REMEMBER, ""], &rows, |values, row| {
        let change = &row.change;
        values
            .push_bind(row.module.as_str())
            .push_bind(change.change_id.as_deref())
            .push_bind(change.position.as_i64())
            .push_bind(change.sequenced_at.get());
    })
    .await
}

pub(super) async fn state(
    connection: &mut SqliteConnection,
    rows: &[NumberedRow],
) -> sqlx::Result<()> {
    let rows: Vec<_> = rows.iter().filter(|row| row.state).collect();
    insert(connection, [STATE, OVER_STATE], &rows, |values, row| {
        let change = &row.change;
        values
            .push_bind(row.module.as_str())
            .push_bind(change.audience.as_str())
            .push_bind(&*change.key)
            .push_bind(change.op.as_str())
            .push_bind(change.position.as_i64())
            .push_bind(change.value.as_str())
            .push_bind(change.sequenced_at.get());
    })
    .await
}

pub(super) async fn park(
    connection: &mut SqliteConnection,
    parked: &[Parked],
    now: Micros,
) -> sqlx::Result<u64> {
    if parked.is_empty() {
        return Ok(0);
    }
    let reason = |parked: &'_ Parked| (parked.row.id, parked.reason.clone());
    let rows: Vec<_> = parked.iter().map(reason).collect();
    count_query(Purpose::Sequence);
    let insert = sqlx::query(PARK).bind(json::text(&rows)).bind(now.get());
    Ok(insert.execute(connection).await?.rows_affected())
}

pub(super) async fn delete(connection: &mut SqliteConnection, ids: &[i64]) -> sqlx::Result<u64> {
    if ids.is_empty() {
        return Ok(0);
    }
    count_query(Purpose::Sequence);
    let delete = sqlx::query(DELETE).bind(json::text(&ids));
    Ok(delete.execute(connection).await?.rows_affected())
}

/// Moves heads under their tokens; returns the modules whose lease held.
pub(super) async fn heads(
    connection: &mut SqliteConnection,
    heads: &[HeadUpdate],
    lease: Duration,
) -> sqlx::Result<Vec<String>> {
    if heads.is_empty() {
        return Ok(Vec::new());
    }
    let now = SqliteStore::now();
    let expires_at = now.get().saturating_add(length_micros(lease));
    let columns = |head: &HeadUpdate| {
        let lease = head.lease.clone();
        let state = head.stateless_from();
        (
            lease.module,
            lease.token,
            head.head,
            head.sequenced_through,
            state,
        )
    };
    let rows: Vec<_> = heads.iter().map(columns).collect();
    count_query(Purpose::Sequence);
    let update = sqlx::query(HEADS).bind(json::text(&rows)).bind(expires_at);
    let rows = update.fetch_all(connection).await?;
    rows.iter().map(|row| row.try_get(0)).collect()
}
