//! Reading the log and the state on PostgreSQL.

use std::sync::Arc;

use async_trait::async_trait;
use sqlx::postgres::PgRow;

use super::PostgresStore;
use crate::{
    domain::{Audience, Change, Epoch, Micros, ModuleName, Position},
    store::{
        ChangeLog, ChannelRead, Error, Head, LogPage, Result, StateItem, StateTicks, TickBounds,
        row,
    },
    telemetry::{Purpose, count_query},
};

const HEADS: &str = "\
    SELECT module, epoch, head, retained_from, sequenced_through, lease_holder, lease_expires_at, \
           (extract(epoch FROM clock_timestamp()) * 1000000)::bigint, compacted_through, \
           stateless_from \
    FROM module_head ORDER BY module";

const HEADS_OF: &str = "\
    SELECT module, epoch, head, retained_from, sequenced_through, lease_holder, lease_expires_at, \
           (extract(epoch FROM clock_timestamp()) * 1000000)::bigint, compacted_through, \
           stateless_from \
    FROM module_head WHERE module = ANY($1) ORDER BY module";

const BOUNDS: &str = "SELECT epoch, retained_from FROM module_head WHERE module = $1";

const ROWS_AFTER: &str = "\
    SELECT f.module, c.* FROM unnest($1::text[], $2::bigint[]) AS f(module, after) \
    CROSS JOIN LATERAL ( \
        SELECT position, epoch, audience, entity_key, op, value, change_id, previous, occurred_at, \
               sequenced_at \
        FROM change_log WHERE module = f.module AND position > f.after ORDER BY position LIMIT $3 \
    ) AS c ORDER BY f.module COLLATE \"C\", c.position";

/// LATERAL: each channel is read from its own index up to the limit, however rare its changes are.
const READ_LOG: &str = "\
    SELECT c.* FROM unnest($2::text[]) AS a(audience) \
    CROSS JOIN LATERAL ( \
        SELECT position, epoch, audience, entity_key, op, value, change_id, previous, occurred_at, \
               sequenced_at \
        FROM change_log \
        WHERE module = $1 AND audience = a.audience AND position > $3 AND position <= $4 \
        ORDER BY position LIMIT $5 \
    ) AS c ORDER BY c.position LIMIT $5";

const READ_STATE: &str = "\
    SELECT s.* FROM unnest($2::text[]) AS a(audience) \
    CROSS JOIN LATERAL ( \
        SELECT audience, entity_key, op, position, value FROM entity_state \
        WHERE module = $1 AND audience = a.audience AND position > $3 AND position <= $4 \
          AND ($6 OR op <> 'delete') \
        ORDER BY position LIMIT $5 \
    ) AS s ORDER BY s.position LIMIT $5";

#[async_trait]
impl ChangeLog for PostgresStore {
    async fn heads(&self, purpose: Purpose) -> Result<Vec<Head>> {
        let doing = "reading heads";
        let mut borrowed = self.borrow(doing).await?;
        count_query(purpose);
        let rows = sqlx::query(HEADS).fetch_all(borrowed.connection());
        let rows = self.call(doing, rows).await?;
        borrowed.put_back();
        decode(rows.iter().map(row::head).collect())
    }

    async fn heads_of(&self, modules: &[ModuleName], purpose: Purpose) -> Result<Vec<Head>> {
        let names: Vec<_> = modules.iter().map(ModuleName::as_str).collect();
        let doing = "reading heads";
        let mut borrowed = self.borrow(doing).await?;
        count_query(purpose);
        let select = sqlx::query(HEADS_OF).bind(names);
        let rows = self.call(doing, select.fetch_all(borrowed.connection()));
        let rows = rows.await?;
        borrowed.put_back();
        decode(rows.iter().map(row::head).collect())
    }

    async fn rows_after(
        &self,
        from: &[(ModuleName, Position)],
        limit: u32,
        purpose: Purpose,
    ) -> Result<Vec<(ModuleName, Arc<Change>)>> {
        let (modules, after): (Vec<&str>, Vec<i64>) = from
            .iter()
            .map(|(module, after)| (module.as_str(), after.as_i64()))
            .unzip();
        let doing = "following the log";
        let mut borrowed = self.borrow(doing).await?;
        count_query(purpose);
        let select = sqlx::query(ROWS_AFTER)
            .bind(modules)
            .bind(after)
            .bind(i64::from(limit));
        let rows = self
            .call(doing, select.fetch_all(borrowed.connection()))
            .await?;
        borrowed.put_back();
        decode(row::module_changes(&rows))
    }

    async fn read_log(&self, read: ChannelRead<'_>, purpose: Purpose) -> Result<LogPage> {
        let doing = "reading the log";
        let mut borrowed = self.borrow(doing).await?;
        count_query(purpose);
        let select = channels(READ_LOG, &read).fetch_all(borrowed.connection());
        let rows = self.call(doing, select).await?;
        count_query(purpose);
        let bounds = sqlx::query_as(BOUNDS).bind(read.module.as_str());
        let bounds: Option<(i64, i64)> = self
            .call(doing, bounds.fetch_optional(borrowed.connection()))
            .await?;
        borrowed.put_back();
        page(&rows, bounds)
    }

    async fn read_state(
        &self,
        read: ChannelRead<'_>,
        tombstones: bool,
        purpose: Purpose,
    ) -> Result<Vec<StateItem>> {
        let doing = "reading the state";
        let mut borrowed = self.looked_at_state(read.module, purpose).await?;
        count_query(purpose);
        let select = channels(READ_STATE, &read).bind(tombstones);
        let rows = self
            .call(doing, select.fetch_all(borrowed.connection()))
            .await?;
        borrowed.put_back();
        decode(rows.iter().map(row::state_item).collect())
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

type Query<'q> = sqlx::query::Query<'q, sqlx::Postgres, sqlx::postgres::PgArguments>;

fn channels<'q>(sql: &'static str, read: &ChannelRead<'q>) -> Query<'q> {
    let audiences: Vec<&str> = read.audiences.iter().map(Audience::as_str).collect();
    sqlx::query(sql)
        .bind(read.module.as_str())
        .bind(audiences)
        .bind(read.after.as_i64())
        .bind(i64::try_from(read.through.get()).unwrap_or(i64::MAX))
        .bind(i64::from(read.limit))
}

/// A module without a head row has an empty log.
fn page(rows: &[PgRow], bounds: Option<(i64, i64)>) -> Result<LogPage> {
    let changes = rows
        .iter()
        .map(|columns| row::change(columns, 0).map(Arc::new))
        .collect();
    let (epoch, retained_from) = bounds.unwrap_or((Epoch::FIRST.get().into(), 1));
    Ok(LogPage {
        changes: decode(changes)?,
        epoch: row::epoch(epoch),
        retained_from: Position::from_i64(retained_from),
    })
}

fn decode<T>(rows: sqlx::Result<T>) -> Result<T> {
    rows.map_err(Error::Unexpected)
}
