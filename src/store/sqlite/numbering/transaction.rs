//! A numbering transaction on SQLite: all rows of a statement in one JSON parameter.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use async_trait::async_trait;
use serde::Serialize;
use sqlx::{Row, SqliteConnection};

use crate::{
    domain::{Audience, Micros, ModuleName, Position},
    store::{
        Batch, FencedHead, HeadUpdate, NumberedRow, NumberingTx, Parked, Result,
        lease::length_micros,
        numbering::{all_there, fenced},
        sqlite::{SqliteStore, connection::Writing, error::failed, json},
    },
    telemetry::{Purpose, count_query},
};

const SEEN: &str = "\
    SELECT i.key FROM json_each(?1) i \
    WHERE EXISTS ( \
        SELECT 1 FROM change_seen WHERE module = i.value->>0 AND change_id = i.value->>1)";

const LAST: &str = "\
    SELECT key, last FROM ( \
        SELECT i.key AS key, \
               (SELECT max(position) FROM change_log \
                WHERE module = i.value->>0 AND audience = i.value->>1) AS last \
        FROM json_each(?1) i \
    ) WHERE last IS NOT NULL";

const LOG: &str = "\
    INSERT INTO change_log (module, position, epoch, audience, entity_key, op, value, change_id, \
                            previous, occurred_at, sequenced_at) \
    SELECT value->>0, value->>1, value->>2, value->>3, value->>4, value->>5, value->>6, value->>7, \
           value->>8, value->>9, value->>10 \
    FROM json_each(?1)";

const REMEMBER: &str = "\
    INSERT INTO change_seen (module, change_id, position, at) \
    SELECT value->>0, value->>1, value->>2, value->>3 FROM json_each(?1)";

const STATE: &str = "\
    INSERT INTO entity_state (module, audience, entity_key, op, position, value, sequenced_at) \
    SELECT value->>0, value->>1, value->>2, value->>3, value->>4, value->>5, value->>6 \
    FROM json_each(?1) WHERE true \
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

/// Behind its fence. Dropped, it takes its connection with it.
pub(super) struct Transaction {
    writing: Writing,
    heads: Vec<FencedHead>,
    now: Micros,
}

impl Transaction {
    pub(super) fn new(writing: Writing, heads: Vec<FencedHead>, now: Micros) -> Self {
        Self {
            writing,
            heads,
            now,
        }
    }
}

#[async_trait]
impl NumberingTx for Transaction {
    fn heads(&self) -> &[FencedHead] {
        &self.heads
    }

    fn now(&self) -> Micros {
        self.now
    }

    async fn seen(
        &mut self,
        ids: &[(ModuleName, Box<str>)],
    ) -> Result<HashSet<(ModuleName, Box<str>)>> {
        count_query(Purpose::Sequence);
        let select = sqlx::query_scalar(SEEN).bind(json::text(&ids));
        let seen: Vec<i64> = select
            .fetch_all(self.writing.connection())
            .await
            .map_err(failed("looking for repeats"))?;
        Ok(seen
            .into_iter()
            .filter_map(|key| nth(ids, key))
            .cloned()
            .collect())
    }

    async fn last_positions(
        &mut self,
        channels: &[(ModuleName, Audience)],
    ) -> Result<HashMap<(ModuleName, Audience), Position>> {
        count_query(Purpose::Sequence);
        let select = sqlx::query_as(LAST).bind(json::text(&channels));
        let last: Vec<(i64, i64)> = select
            .fetch_all(self.writing.connection())
            .await
            .map_err(failed("reading last positions"))?;
        let entry = |(key, position): (i64, i64)| {
            Some((nth(channels, key)?.clone(), Position::from_i64(position)))
        };
        Ok(last.into_iter().filter_map(entry).collect())
    }

    async fn write(&mut self, batch: &Batch, lease: Duration) -> Result<()> {
        let now = self.now;
        let connection = self.writing.connection();
        log(connection, &batch.rows)
            .await
            .map_err(failed("writing the log"))?;
        remember(connection, &batch.rows)
            .await
            .map_err(failed("remembering change ids"))?;
        state(connection, &batch.rows)
            .await
            .map_err(failed("writing the state"))?;
        let parked = park(connection, &batch.parked, now)
            .await
            .map_err(failed("parking rows"))?;
        all_there(batch.parked.len(), parked)?;
        let deleted = delete(connection, &batch.delete)
            .await
            .map_err(failed("emptying the outbox"))?;
        all_there(batch.delete.len(), deleted)?;
        let moved = heads(connection, &batch.heads, lease)
            .await
            .map_err(failed("moving heads"))?;
        fenced(&batch.heads, &moved)
    }

    async fn commit(self: Box<Self>) -> Result<()> {
        count_query(Purpose::Sequence);
        self.writing.commit("committing numbers").await
    }
}

fn nth<T>(list: &[T], key: i64) -> Option<&T> {
    list.get(usize::try_from(key).ok()?)
}

/// Runs `sql` over `rows`, unless there are none. Returns how many rows it affected.
async fn run<T: Serialize>(
    connection: &mut SqliteConnection,
    sql: &'static str,
    rows: Vec<T>,
    at: Option<Micros>,
) -> sqlx::Result<u64> {
    if rows.is_empty() {
        return Ok(0);
    }
    count_query(Purpose::Sequence);
    let mut query = sqlx::query(sql).bind(json::text(&rows));
    if let Some(at) = at {
        query = query.bind(at.get());
    }
    Ok(query.execute(connection).await?.rows_affected())
}

async fn log(connection: &mut SqliteConnection, rows: &[NumberedRow]) -> sqlx::Result<u64> {
    run(
        connection,
        LOG,
        rows.iter().map(log_columns).collect(),
        None,
    )
    .await
}

fn log_columns(row: &NumberedRow) -> impl Serialize {
    let change = &row.change;
    (
        &row.module,
        change.position,
        change.epoch,
        &change.audience,
        &change.key,
        change.op.as_str(),
        change.value.as_str(),
        &change.change_id,
        change.previous,
        change.occurred_at,
        change.sequenced_at,
    )
}

async fn remember(connection: &mut SqliteConnection, rows: &[NumberedRow]) -> sqlx::Result<u64> {
    let rows = rows.iter().filter(|row| row.change.change_id.is_some());
    run(connection, REMEMBER, rows.map(seen_columns).collect(), None).await
}

fn seen_columns(row: &NumberedRow) -> impl Serialize {
    let change = &row.change;
    (
        &row.module,
        &change.change_id,
        change.position,
        change.sequenced_at,
    )
}

async fn state(connection: &mut SqliteConnection, rows: &[NumberedRow]) -> sqlx::Result<u64> {
    let rows = rows.iter().filter(|row| row.state);
    run(connection, STATE, rows.map(state_columns).collect(), None).await
}

fn state_columns(row: &NumberedRow) -> impl Serialize {
    let change = &row.change;
    let (op, value) = (change.op.as_str(), change.value.as_str());
    (
        &row.module,
        &change.audience,
        &change.key,
        op,
        change.position,
        value,
        change.sequenced_at,
    )
}

async fn park(
    connection: &mut SqliteConnection,
    parked: &[Parked],
    now: Micros,
) -> sqlx::Result<u64> {
    let rows: Vec<_> = parked
        .iter()
        .map(|parked| (parked.row.id, &parked.reason))
        .collect();
    run(connection, PARK, rows, Some(now)).await
}

async fn delete(connection: &mut SqliteConnection, ids: &[i64]) -> sqlx::Result<u64> {
    run(connection, DELETE, ids.to_vec(), None).await
}

async fn heads(
    connection: &mut SqliteConnection,
    heads: &[HeadUpdate],
    lease: Duration,
) -> sqlx::Result<Vec<String>> {
    if heads.is_empty() {
        return Ok(Vec::new());
    }
    let expires_at = SqliteStore::now()
        .get()
        .saturating_add(length_micros(lease));
    count_query(Purpose::Sequence);
    let update = sqlx::query(HEADS)
        .bind(json::text(
            &heads.iter().map(head_columns).collect::<Vec<_>>(),
        ))
        .bind(expires_at);
    let rows = update.fetch_all(connection).await?;
    rows.iter().map(|row| row.try_get(0)).collect()
}

fn head_columns(head: &HeadUpdate) -> impl Serialize {
    (
        &head.lease.module,
        head.lease.token,
        head.head,
        head.sequenced_through,
        head.stateless_from(),
    )
}
