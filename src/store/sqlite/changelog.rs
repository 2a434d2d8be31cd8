//! Reading the log and the state on SQLite. Reads of several statements stand in one read
//! transaction, that is in one snapshot.

use std::sync::Arc;

use async_trait::async_trait;
use sqlx::{SqliteConnection, sqlite::SqliteRow};

use super::{SqliteStore, error::failed, json};
use crate::{
    domain::{Audience, Change, Epoch, Micros, ModuleName, Position},
    store::{
        ChangeLog, ChannelRead, Error, Head, LogPage, Result, StateItem, StateTicks, TickBounds,
        row,
    },
    telemetry::{Purpose, count_query},
};

const HEADS_OF: &str = "\
    SELECT module, epoch, head, retained_from, sequenced_through, lease_holder, lease_expires_at, ?1, \
           compacted_through, stateless_from \
    FROM module_head WHERE module IN (SELECT value FROM json_each(?2)) ORDER BY module";

const HEADS: &str = "\
    SELECT module, epoch, head, retained_from, sequenced_through, lease_holder, lease_expires_at, ?1, \
           compacted_through, stateless_from \
    FROM module_head ORDER BY module";

const BOUNDS: &str = "SELECT epoch, retained_from FROM module_head WHERE module = ?1";

/// The inner SELECT finds where the limit falls in a module's log, from the index alone.
const ROWS_AFTER: &str = "\
    SELECT c.module, c.position, c.epoch, c.audience, c.entity_key, c.op, c.value, c.change_id, \
           c.previous, c.occurred_at, c.sequenced_at \
    FROM json_each(?1) f CROSS JOIN change_log c \
    WHERE c.module = f.value->>0 AND c.position > f.value->>1 \
      AND c.position <= coalesce( \
          (SELECT position FROM change_log \
           WHERE module = f.value->>0 AND position > f.value->>1 \
           ORDER BY position LIMIT 1 OFFSET ?2 - 1), \
          9223372036854775807) \
    ORDER BY c.module, c.position";

/// One channel: two could not be merged from the index, and a rare one would be sought among all rows.
const READ_LOG: &str = "\
    SELECT position, epoch, audience, entity_key, op, value, change_id, previous, occurred_at, \
           sequenced_at \
    FROM change_log \
    WHERE module = ?1 AND audience = ?2 AND position > ?3 AND position <= ?4 \
    ORDER BY position LIMIT ?5";

const READ_STATE: &str = "\
    SELECT audience, entity_key, op, position, value FROM entity_state \
    WHERE module = ?1 AND audience = ?2 AND position > ?3 AND position <= ?4 \
      AND (?6 OR op <> 'delete') \
    ORDER BY position LIMIT ?5";

#[async_trait]
impl ChangeLog for SqliteStore {
    async fn heads(&self, purpose: Purpose) -> Result<Vec<Head>> {
        count_query(purpose);
        let select = sqlx::query(HEADS).bind(Self::now().get());
        let rows = select
            .fetch_all(&self.readers)
            .await
            .map_err(failed("reading heads"))?;
        decode(rows.iter().map(row::head).collect())
    }

    async fn heads_of(&self, modules: &[ModuleName], purpose: Purpose) -> Result<Vec<Head>> {
        count_query(purpose);
        let names: Vec<_> = modules.iter().map(ModuleName::as_str).collect();
        let select = sqlx::query(HEADS_OF)
            .bind(Self::now().get())
            .bind(serde_json::json!(names).to_string());
        let rows = select
            .fetch_all(&self.readers)
            .await
            .map_err(failed("reading heads"))?;
        decode(rows.iter().map(row::head).collect())
    }

    async fn rows_after(
        &self,
        from: &[(ModuleName, Position)],
        limit: u32,
        purpose: Purpose,
    ) -> Result<Vec<(ModuleName, Arc<Change>)>> {
        let from = from
            .iter()
            .map(|(module, after)| (module.as_str(), after.as_i64()));
        count_query(purpose);
        let select = sqlx::query(ROWS_AFTER)
            .bind(json::text(&from.collect::<Vec<_>>()))
            .bind(i64::from(limit));
        let rows = select
            .fetch_all(&self.readers)
            .await
            .map_err(failed("following the log"))?;
        decode(row::module_changes(&rows))
    }

    async fn read_log(&self, read: ChannelRead<'_>, purpose: Purpose) -> Result<LogPage> {
        let reading = async {
            let mut snapshot = self.readers.begin().await?;
            let position = |change: &Arc<Change>| change.position;
            let decode = |columns: &SqliteRow| row::change(columns, 0).map(Arc::new);
            let sql = |channel: Channel<'_>| channel.select(READ_LOG);
            let changes = merged(&mut snapshot, &read, purpose, sql, decode, position).await?;
            count_query(purpose);
            let bounds = sqlx::query_as(BOUNDS).bind(read.module.as_str());
            let bounds: Option<(i64, i64)> = bounds.fetch_optional(&mut *snapshot).await?;
            snapshot.commit().await?;
            Ok((changes, bounds))
        };
        let (changes, bounds) = reading.await.map_err(failed("reading the log"))?;
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
        self.look_at_state(read.module, purpose).await?;
        let reading = async {
            let mut snapshot = self.readers.begin().await?;
            let position = |item: &StateItem| item.position;
            let sql = |channel: Channel<'_>| channel.select(READ_STATE).bind(tombstones);
            let items = merged(
                &mut snapshot,
                &read,
                purpose,
                sql,
                row::state_item,
                position,
            )
            .await?;
            snapshot.commit().await?;
            Ok(items)
        };
        reading.await.map_err(failed("reading the state"))
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

type Query = sqlx::query::Query<'static, sqlx::Sqlite, sqlx::sqlite::SqliteArguments>;

/// One audience of a [`ChannelRead`].
struct Channel<'a> {
    module: &'a ModuleName,
    audience: &'a Audience,
    after: Position,
    through: Position,
    limit: u32,
}

impl Channel<'_> {
    fn select(&self, sql: &'static str) -> Query {
        sqlx::query(sql)
            .bind(self.module.as_str().to_owned())
            .bind(self.audience.as_str().to_owned())
            .bind(self.after.as_i64())
            .bind(i64::try_from(self.through.get()).unwrap_or(i64::MAX))
            .bind(self.limit)
    }
}

/// The first rows of several channels by position. Once the limit is reached, later channels are read only up
/// to the last position found.
async fn merged<T>(
    connection: &mut SqliteConnection,
    read: &ChannelRead<'_>,
    purpose: Purpose,
    select: impl Fn(Channel<'_>) -> Query,
    decode: impl Fn(&SqliteRow) -> sqlx::Result<T>,
    position: impl Fn(&T) -> Position,
) -> sqlx::Result<Vec<T>> {
    let limit = read.limit as usize;
    let mut found: Vec<T> = Vec::new();
    for audience in read.audiences {
        let full = found.len() >= limit;
        let through = found
            .last()
            .filter(|_| full)
            .map_or(read.through, &position);
        let (module, after, limit_rows) = (read.module, read.after, read.limit);
        count_query(purpose);
        let channel = Channel {
            module,
            audience,
            after,
            through,
            limit: limit_rows,
        };
        let rows = select(channel).fetch_all(&mut *connection).await?;
        for row in &rows {
            found.push(decode(row)?);
        }
        found.sort_by_key(&position);
        found.truncate(limit);
    }
    Ok(found)
}

fn decode<T>(rows: sqlx::Result<T>) -> Result<T> {
    rows.map_err(Error::Unexpected)
}
