//! A numbering transaction on MariaDB or MySQL, behind its fence.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    time::Duration,
};

use async_trait::async_trait;
use sqlx::MySqlConnection;

use super::{fence::Fence, writes};
use crate::{
    domain::{Audience, Micros, ModuleName, Position},
    store::{
        Batch, FencedHead, HeadUpdate, NumberingTx, Result,
        mysql::{
            connection::{commit, within},
            lease::{names, still_held},
            statement::{Statement, chunks, list, ready},
            stored::Stored,
        },
        numbering::{all_there, fenced},
        row::Columns,
        seat::Seated,
    },
    telemetry::{Purpose, count_query},
};

/// Behind its fence. Dropped, it takes its connection with it.
pub(super) struct Transaction {
    seated: Seated<MySqlConnection>,
    fence: Fence,
    half_lease: Duration,
}

impl Transaction {
    pub(super) fn new(seated: Seated<MySqlConnection>, fence: Fence, half_lease: Duration) -> Self {
        Self {
            seated,
            fence,
            half_lease,
        }
    }

    /// Moves the heads under their tokens.
    async fn end_with_the_fence(&mut self, heads: &[HeadUpdate], lease: Duration) -> Result<()> {
        let (doing, half_lease) = ("moving heads", self.half_lease);
        let connection = self.seated.connection();
        let moved = within(half_lease, doing, writes::heads(connection, heads, lease)).await?;
        if moved == heads.len() as u64 {
            return Ok(());
        }
        let leases: Vec<_> = heads.iter().map(|head| head.lease.clone()).collect();
        let held = within(half_lease, doing, still_held(connection, &leases)).await?;
        fenced(heads, &held)
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
        let mut modules = BTreeMap::<&ModuleName, Vec<&str>>::new();
        for (module, id) in ids {
            modules.entry(module).or_default().push(id);
        }
        let mut found = HashSet::new();
        for (module, ids) in modules {
            for ids in chunks(&ids, |id| id.len()) {
                let select = seen(self.seated.connection(), module, ids);
                let seen = within(self.half_lease, "looking for repeats", select).await?;
                found.extend(seen.into_iter().map(|id| (module.clone(), id.into())));
            }
        }
        Ok(found)
    }

    async fn last_positions(
        &mut self,
        channels: &[(ModuleName, Audience)],
    ) -> Result<HashMap<(ModuleName, Audience), Position>> {
        let mut found = HashMap::new();
        for channels in chunks(channels, |(_, audience)| audience.as_str().len()) {
            let select = last(self.seated.connection(), channels);
            let last = within(self.half_lease, "reading last positions", select).await?;
            let entry = |(ordinal, position): (i64, i64)| {
                let channel = channels.get(usize::try_from(ordinal).ok()?)?;
                Some((channel.clone(), Position::from_i64(position)))
            };
            found.extend(last.into_iter().filter_map(entry));
        }
        Ok(found)
    }

    async fn write(&mut self, batch: &Batch, lease: Duration) -> Result<()> {
        let (half_lease, now) = (self.half_lease, self.fence.now);
        let connection = self.seated.connection();
        let log = writes::log(connection, &batch.rows);
        within(half_lease, "writing the log", log).await?;
        let remember = writes::remember(connection, &batch.rows);
        within(half_lease, "remembering change ids", remember).await?;
        let state = writes::state(connection, &batch.rows);
        within(half_lease, "writing the state", state).await?;
        let park = writes::park(connection, &batch.parked, now);
        let parked = within(half_lease, "parking rows", park).await?;
        all_there(batch.parked.len(), parked)?;
        let delete = writes::delete(connection, &batch.delete);
        let deleted = within(half_lease, "emptying the outbox", delete).await?;
        all_there(batch.delete.len(), deleted)?;
        if batch.heads.is_empty() {
            return Ok(());
        }
        self.end_with_the_fence(&batch.heads, lease).await
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

async fn seen(
    connection: &mut MySqlConnection,
    module: &ModuleName,
    ids: &[&str],
) -> sqlx::Result<Vec<String>> {
    count_query(Purpose::Sequence);
    let mut select =
        Statement::new("SELECT change_id FROM change_seen FORCE INDEX (PRIMARY) WHERE module = ");
    select
        .push_bind(module.as_str())
        .push(" AND change_id IN (");
    list(&mut select, ids.iter().copied());
    select.push(")");
    let rows = ready(&mut select, ids.len()).fetch_all(connection).await?;
    names(&Stored::all(rows))
}

/// Each channel's newest row from the end of its own part of the index. There is no LATERAL in MariaDB, and `MAX`
/// would read all of the part. Returns places in `channels` with positions.
async fn last(
    connection: &mut MySqlConnection,
    channels: &[(ModuleName, Audience)],
) -> sqlx::Result<Vec<(i64, i64)>> {
    count_query(Purpose::Sequence);
    let mut select = Statement::new(
        "SELECT i.ordinal, ( \
             SELECT c.position FROM change_log c FORCE INDEX (change_log_channel) \
             WHERE c.module = i.module AND c.audience = i.audience \
             ORDER BY c.position DESC LIMIT 1) \
         FROM (",
    );
    for (ordinal, (module, audience)) in (0_i64..).zip(channels) {
        if ordinal > 0 {
            select.push(" UNION ALL ");
        }
        select
            .push("SELECT CAST(")
            .push_bind(ordinal)
            .push(" AS SIGNED) AS ordinal, ")
            .push_bind(module.as_str())
            .push(" AS module, ")
            .push_bind(audience.as_str())
            .push(" AS audience");
    }
    select.push(") AS i");
    let rows = ready(&mut select, channels.len())
        .fetch_all(connection)
        .await?;
    Stored::all(rows)
        .iter()
        .map(|row| Ok(Some(row.integer(0)?).zip(row.optional_integer(1)?)))
        .filter_map(sqlx::Result::transpose)
        .collect()
}
