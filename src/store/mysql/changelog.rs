//! Reading the log and the state on MariaDB and MySQL.
//!
//! MariaDB knows no LATERAL, so the text has one SELECT for each module or channel. Each is read from
//! its own part of an index up to the limit, however rare its changes are, and only the rows of the answer are read
//! whole. The index is named: for a channel that is a large part of its module the optimizer would take the primary key,
//! and look for the channel's rows among all others. Order is made here: a sort in the database would carry the values
//! through it.

use std::sync::Arc;

use async_trait::async_trait;
use sqlx::MySqlConnection;

use super::{
    MySqlStore,
    lease::NOW,
    statement::{Statement, list, ready},
    stored::Stored,
};
use crate::{
    domain::{Audience, Change, Epoch, Micros, ModuleName, Position},
    store::{
        ChangeLog, ChannelRead, Head, LogPage, Result, StateItem, StateTicks, TickBounds, row,
    },
    telemetry::{Purpose, count_query},
};

const BOUNDS: &str = "SELECT epoch, retained_from FROM module_head WHERE module = ?";

#[async_trait]
impl ChangeLog for MySqlStore {
    async fn heads(&self, purpose: Purpose) -> Result<Vec<Head>> {
        let doing = "reading heads";
        let mut borrowed = self.borrow(doing).await?;
        count_query(purpose);
        let heads = self.call(doing, heads(borrowed.connection(), None)).await?;
        borrowed.put_back();
        Ok(heads)
    }

    async fn heads_of(&self, modules: &[ModuleName], purpose: Purpose) -> Result<Vec<Head>> {
        let doing = "reading heads";
        let mut borrowed = self.borrow(doing).await?;
        count_query(purpose);
        let heads = heads(borrowed.connection(), Some(modules));
        let heads = self.call(doing, heads).await?;
        borrowed.put_back();
        Ok(heads)
    }

    async fn rows_after(
        &self,
        from: &[(ModuleName, Position)],
        limit: u32,
        purpose: Purpose,
    ) -> Result<Vec<(ModuleName, Arc<Change>)>> {
        if from.is_empty() {
            return Ok(Vec::new());
        }
        let doing = "following the log";
        let mut borrowed = self.borrow(doing).await?;
        count_query(purpose);
        let rows = rows_after(borrowed.connection(), from, limit);
        let mut rows = self.call(doing, rows).await?;
        borrowed.put_back();
        rows.sort_by(|(one, a), (other, b)| (one, a.position).cmp(&(other, b.position)));
        Ok(rows)
    }

    async fn read_log(&self, read: ChannelRead<'_>, purpose: Purpose) -> Result<LogPage> {
        let doing = "reading the log";
        let mut borrowed = self.borrow(doing).await?;
        let mut changes = Vec::new();
        if !read.audiences.is_empty() {
            count_query(purpose);
            let rows = log(borrowed.connection(), &read);
            changes = self.call(doing, rows).await?;
        }
        count_query(purpose);
        let bounds = sqlx::query_as(BOUNDS).bind(read.module.as_str());
        let bounds: Option<(i64, i64)> = self
            .call(doing, bounds.fetch_optional(borrowed.connection()))
            .await?;
        borrowed.put_back();
        changes.sort_unstable_by_key(|change| change.position);
        // A module without a head row has an empty log.
        let (epoch, retained_from) = bounds.unwrap_or((Epoch::FIRST.get().into(), 1));
        Ok(LogPage {
            changes,
            epoch: row::epoch(epoch),
            retained_from: Position::from_i64(retained_from),
        })
    }

    async fn read_state(
        &self,
        read: ChannelRead<'_>,
        tombstones: bool,
        purpose: Purpose,
    ) -> Result<Vec<StateItem>> {
        if read.audiences.is_empty() {
            return Ok(Vec::new());
        }
        let doing = "reading the state";
        let mut borrowed = self.looked_at_state(read.module, purpose).await?;
        count_query(purpose);
        let items = state(borrowed.connection(), &read, tombstones);
        let mut items = self.call(doing, items).await?;
        borrowed.put_back();
        items.sort_unstable_by_key(|item| item.position);
        Ok(items)
    }

    async fn tick_bounds(
        &self,
        module: &ModuleName,
        from: Micros,
        purpose: Purpose,
    ) -> Result<TickBounds> {
        self.bounds_from(module, from, purpose).await
    }

    async fn read_state_ticks(
        &self,
        read: StateTicks<'_>,
        purpose: Purpose,
    ) -> Result<Vec<(Micros, StateItem)>> {
        self.state_from(read, purpose).await
    }
}

/// Of all modules, or of some.
async fn heads(
    connection: &mut MySqlConnection,
    of: Option<&[ModuleName]>,
) -> sqlx::Result<Vec<Head>> {
    let mut select = Statement::new(
        "SELECT module, epoch, head, retained_from, sequenced_through, lease_holder, \
                lease_expires_at, ",
    );
    select
        .push(NOW)
        .push(", compacted_through, stateless_from FROM module_head ");
    if let Some(modules) = of {
        select.push("WHERE module IN (");
        list(&mut select, modules.iter().map(ModuleName::as_str));
        select.push(") ");
    }
    select.push("ORDER BY module");
    let rows = select.build().fetch_all(connection).await?;
    Stored::all(rows).iter().map(row::head).collect()
}

/// One SELECT a module.
async fn rows_after(
    connection: &mut MySqlConnection,
    from: &[(ModuleName, Position)],
    limit: u32,
) -> sqlx::Result<Vec<(ModuleName, Arc<Change>)>> {
    let mut select = Statement::new("");
    for (number, (module, after)) in from.iter().enumerate() {
        select
            .push(if number == 0 { "(" } else { " UNION ALL (" })
            .push(
                "SELECT module, position, epoch, audience, entity_key, op, value, change_id, \
                        previous, occurred_at, sequenced_at \
                 FROM change_log FORCE INDEX (PRIMARY) WHERE module = ",
            )
            .push_bind(module.as_str())
            .push(" AND position > ")
            .push_bind(after.as_i64())
            .push(" ORDER BY position LIMIT ")
            .push_bind(i64::from(limit))
            .push(")");
    }
    // The configured modules are the same each time.
    let rows = ready(&mut select, 0).fetch_all(connection).await?;
    row::module_changes(&Stored::all(rows))
}

async fn log(
    connection: &mut MySqlConnection,
    read: &ChannelRead<'_>,
) -> sqlx::Result<Vec<Arc<Change>>> {
    let mut select = Statement::new(
        "SELECT c.position, c.epoch, c.audience, c.entity_key, c.op, c.value, c.change_id, \
                c.previous, c.occurred_at, c.sequenced_at FROM (",
    );
    each_channel(
        &mut select,
        read,
        "position",
        "change_log FORCE INDEX (change_log_channel)",
        "",
    );
    select
        .push(") AS found STRAIGHT_JOIN change_log c ON c.module = ")
        .push_bind(read.module.as_str())
        .push(" AND c.position = found.position");
    let select = ready(&mut select, read.audiences.len());
    let rows = Stored::all(select.fetch_all(connection).await?);
    rows.iter()
        .map(|columns| row::change(columns, 0).map(Arc::new))
        .collect()
}

async fn state(
    connection: &mut MySqlConnection,
    read: &ChannelRead<'_>,
    tombstones: bool,
) -> sqlx::Result<Vec<StateItem>> {
    let mut select =
        Statement::new("SELECT s.audience, s.entity_key, s.op, s.position, s.value FROM (");
    let filter = if tombstones {
        ""
    } else {
        " AND op <> 'delete'"
    };
    let key = "audience, entity_key, position";
    let index = "entity_state FORCE INDEX (entity_state_position)";
    each_channel(&mut select, read, key, index, filter);
    select
        .push(") AS found STRAIGHT_JOIN entity_state s ON s.module = ")
        .push_bind(read.module.as_str())
        .push(" AND s.audience = found.audience AND s.entity_key = found.entity_key");
    let select = ready(&mut select, read.audiences.len());
    let rows = Stored::all(select.fetch_all(connection).await?);
    rows.iter().map(row::state_item).collect()
}

/// The `key` of the first rows of the audiences together, by position.
fn each_channel(
    select: &mut Statement,
    read: &ChannelRead<'_>,
    key: &'static str,
    table: &'static str,
    filter: &'static str,
) {
    let through = i64::try_from(read.through.get()).unwrap_or(i64::MAX);
    for (number, audience) in read.audiences.iter().map(Audience::as_str).enumerate() {
        select
            .push(if number == 0 {
                "(SELECT "
            } else {
                " UNION ALL (SELECT "
            })
            .push(key)
            .push(" FROM ")
            .push(table)
            .push(" WHERE module = ")
            .push_bind(read.module.as_str())
            .push(" AND audience = ")
            .push_bind(audience)
            .push(" AND position > ")
            .push_bind(read.after.as_i64())
            .push(" AND position <= ")
            .push_bind(through)
            .push(filter)
            .push(" ORDER BY position LIMIT ")
            .push_bind(i64::from(read.limit))
            .push(")");
    }
    select
        .push(" ORDER BY position LIMIT ")
        .push_bind(i64::from(read.limit));
}
