//! A numbering transaction on SQLite.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use async_trait::async_trait;

use super::writes;
use crate::{
    domain::{Audience, Micros, ModuleName, Position},
    store::{
        Batch, FencedHead, NumberingTx, Result,
        numbering::{all_there, fenced},
        sqlite::{connection::Writing, error::failed, json},
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
        writes::log(connection, &batch.rows)
            .await
            .map_err(failed("writing the log"))?;
        writes::remember(connection, &batch.rows)
            .await
            .map_err(failed("remembering change ids"))?;
        writes::state(connection, &batch.rows)
            .await
            .map_err(failed("writing the state"))?;
        let parked = writes::park(connection, &batch.parked, now)
            .await
            .map_err(failed("parking rows"))?;
        all_there(batch.parked.len(), parked)?;
        let deleted = writes::delete(connection, &batch.delete)
            .await
            .map_err(failed("emptying the outbox"))?;
        all_there(batch.delete.len(), deleted)?;
        let moved = writes::heads(connection, &batch.heads, lease)
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
