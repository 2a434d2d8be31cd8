//! A numbering transaction on PostgreSQL, behind its fence.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use async_trait::async_trait;
use sqlx::PgConnection;

use super::{fence::Fence, writes};
use crate::{
    domain::{Audience, Micros, ModuleName, Position},
    store::{
        Batch, FencedHead, NumberingTx, Result,
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
        let writing = writes::write(self.seated.connection(), batch, self.fence.now, lease);
        let written = within(self.half_lease, "writing numbered rows", writing).await?;
        all_there(batch.parked.len(), written.parked)?;
        all_there(batch.delete.len(), written.deleted)?;
        fenced(&batch.heads, &written.moved)
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
