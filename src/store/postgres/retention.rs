//! Pruning on PostgreSQL. Only the move of the bounds takes the lock that numbering needs, and only at
//! the end of its transaction.

use std::time::Duration;

use async_trait::async_trait;
use sqlx::PgConnection;

use super::PostgresStore;
use crate::{
    domain::{ModuleName, Position},
    store::{
        Aged, Bounds, Error, Lease, Note, Result, Retention, Swept, TargetPosition, Which, Window,
        lease::length_micros,
        retention::{aged, looked_at},
        row::{self, json_text},
    },
    telemetry::{Purpose, count_query},
};

const TARGETS: &str = "SELECT target, module, position FROM mirror_cursor";

/// Of the rows of one tick any may come last in the index.
const OLDER: &str = "\
    SELECT position FROM change_log \
    WHERE module = $1 \
      AND sequenced_at < (extract(epoch FROM clock_timestamp()) * 1000000)::bigint - $2 \
    ORDER BY sequenced_at DESC, position DESC LIMIT 1";

const FIRST: &str = "\
    SELECT position, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint - sequenced_at \
    FROM change_log WHERE module = $1 AND position > $2 ORDER BY position LIMIT 1";

const RAISE: &str = "\
    UPDATE module_head \
    SET retained_from = GREATEST(retained_from, LEAST($3, head)), \
        compacted_through = GREATEST(compacted_through, $4) \
    WHERE module = $1 AND lease_token = $2";

const NOTE: &str = "\
    INSERT INTO audit (module, actor, action, before, after, reason, at) \
    VALUES ($1, $2, $3, $4, $5, $6, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint)";

const LOOK: &str = "\
    SELECT count(*), max(position) FROM ( \
        SELECT position FROM change_log \
        WHERE module = $1 AND position >= $2 AND position <= $3 ORDER BY position LIMIT $4) AS w";

const COUNT_SUPERSEDED: &str = "\
    SELECT count(*) FROM change_log c \
    JOIN entity_state s ON s.module = c.module AND s.audience = c.audience \
                       AND s.entity_key = c.entity_key AND s.position > c.position \
    WHERE c.module = $1 AND c.position >= $2 AND c.position <= $3";

const DELETE: &str = "\
    DELETE FROM change_log WHERE module = $1 AND position >= $2 AND position <= $3";

const DELETE_SUPERSEDED: &str = "\
    DELETE FROM change_log c USING entity_state s \
    WHERE c.module = $1 AND c.position >= $2 AND c.position <= $3 \
      AND s.module = c.module AND s.audience = c.audience \
      AND s.entity_key = c.entity_key AND s.position > c.position";

const MARKS: &str = "\
    SELECT position, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint - at \
    FROM log_mark WHERE module = $1 ORDER BY position";

const MARK: &str = "\
    INSERT INTO log_mark (module, position, at) \
    VALUES ($1, $2, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint) \
    ON CONFLICT (module, position) DO NOTHING";

const FORGET_MARKS: &str = "DELETE FROM log_mark WHERE module = $1 AND position < $2";

/// SKIP LOCKED: numbering writes many keys in one transaction, and who waits for nobody is in no deadlock.
const DROP_TOMBSTONES: &str = "\
    DELETE FROM entity_state WHERE ctid = ANY(ARRAY( \
        SELECT ctid FROM entity_state \
        WHERE module = $1 AND op = 'delete' AND position <= $2 \
        ORDER BY position LIMIT $3 FOR UPDATE SKIP LOCKED))";

#[async_trait]
impl Retention for PostgresStore {
    async fn target_positions(&self) -> Result<Vec<TargetPosition>> {
        let doing = "reading the targets' positions";
        let mut borrowed = self.borrow(doing).await?;
        count_query(Purpose::Retention);
        let select = sqlx::query_as(TARGETS).fetch_all(borrowed.connection());
        let rows: Vec<(String, String, i64)> = self.call(doing, select).await?;
        borrowed.put_back();
        let decoded = rows.into_iter().map(|(target, module, position)| {
            Ok(TargetPosition {
                target,
                module: row::module(&module)?,
                position: Position::from_i64(position),
            })
        });
        decoded
            .collect::<sqlx::Result<_>>()
            .map_err(Error::Unexpected)
    }

    async fn last_older_than(
        &self,
        module: &ModuleName,
        age: Duration,
    ) -> Result<Option<Position>> {
        let doing = "looking for old changes";
        let mut borrowed = self.borrow(doing).await?;
        count_query(Purpose::Retention);
        let select = sqlx::query_scalar(OLDER)
            .bind(module.as_str())
            .bind(length_micros(age));
        let select = select.fetch_optional(borrowed.connection());
        let position: Option<i64> = self.call(doing, select).await?;
        borrowed.put_back();
        Ok(position.map(Position::from_i64))
    }

    async fn first_above(&self, module: &ModuleName, after: Position) -> Result<Option<Aged>> {
        let doing = "looking for the oldest change";
        let mut borrowed = self.borrow(doing).await?;
        count_query(Purpose::Retention);
        let select = sqlx::query_as(FIRST)
            .bind(module.as_str())
            .bind(after.as_i64());
        let row = self
            .call(doing, select.fetch_optional(borrowed.connection()))
            .await?;
        borrowed.put_back();
        Ok(row.map(aged))
    }

    async fn raise_bounds(&self, lease: &Lease, bounds: Bounds, note: Option<&Note>) -> Result<()> {
        let doing = "moving a log's bounds";
        let mut borrowed = self.begin(doing).await?;
        if let Some(note) = note {
            let texts = [
                json_text("audit", &note.before)?,
                json_text("audit", &note.after)?,
            ];
            let write = write_note(borrowed.connection(), &lease.module, note, texts);
            self.call(doing, write).await?;
        }
        count_query(Purpose::Retention);
        let raise = sqlx::query(RAISE)
            .bind(lease.module.as_str())
            .bind(lease.token)
            .bind(bounds.retained_from.as_i64())
            .bind(bounds.compacted_through.as_i64());
        // The head row is locked from here on: half a lease bounds it, as it does for numbering.
        let raise = raise.execute(borrowed.connection());
        if self.quick(doing, raise).await?.rows_affected() == 0 {
            return Err(Error::LeaseLost {
                module: lease.module.clone(),
            });
        }
        let commit = super::connection::commit(borrowed.connection());
        self.quick(doing, commit).await?;
        borrowed.put_back();
        Ok(())
    }

    async fn count_rows(&self, window: Window<'_>) -> Result<Swept> {
        let doing = "counting changes";
        let mut borrowed = self.borrow(doing).await?;
        let look = look(borrowed.connection(), window);
        let mut swept = self.call(doing, look).await?;
        swept.meant = swept.seen;
        if let (Some(last), Which::Superseded) = (swept.last, window.which) {
            count_query(Purpose::Retention);
            let count = sqlx::query_scalar(COUNT_SUPERSEDED)
                .bind(window.module.as_str())
                .bind(window.from.as_i64())
                .bind(last.as_i64());
            let count: i64 = self
                .call(doing, count.fetch_one(borrowed.connection()))
                .await?;
            swept.meant = count.unsigned_abs();
        }
        borrowed.put_back();
        Ok(swept)
    }

    async fn delete_rows(&self, window: Window<'_>) -> Result<Swept> {
        let doing = "deleting changes";
        let mut borrowed = self.borrow(doing).await?;
        let look = look(borrowed.connection(), window);
        let mut swept = self.call(doing, look).await?;
        if let Some(last) = swept.last {
            count_query(Purpose::Retention);
            let delete = sqlx::query(match window.which {
                Which::All => DELETE,
                Which::Superseded => DELETE_SUPERSEDED,
            })
            .bind(window.module.as_str())
            .bind(window.from.as_i64())
            .bind(last.as_i64());
            let done = self.call(doing, delete.execute(borrowed.connection()));
            swept.meant = done.await?.rows_affected();
        }
        borrowed.put_back();
        Ok(swept)
    }

    async fn marks(&self, module: &ModuleName) -> Result<Vec<Aged>> {
        let doing = "reading marks";
        let mut borrowed = self.borrow(doing).await?;
        count_query(Purpose::Retention);
        let select = sqlx::query_as(MARKS).bind(module.as_str());
        let rows: Vec<(i64, i64)> = self
            .call(doing, select.fetch_all(borrowed.connection()))
            .await?;
        borrowed.put_back();
        Ok(rows.into_iter().map(aged).collect())
    }

    async fn mark(
        &self,
        module: &ModuleName,
        position: Position,
        keep_from: Position,
    ) -> Result<()> {
        let doing = "marking a position";
        let mut borrowed = self.borrow(doing).await?;
        count_query(Purpose::Retention);
        let mark = sqlx::query(MARK)
            .bind(module.as_str())
            .bind(position.as_i64());
        self.call(doing, mark.execute(borrowed.connection()))
            .await?;
        count_query(Purpose::Retention);
        let forget = sqlx::query(FORGET_MARKS)
            .bind(module.as_str())
            .bind(keep_from.as_i64());
        self.call(doing, forget.execute(borrowed.connection()))
            .await?;
        borrowed.put_back();
        Ok(())
    }

    async fn drop_tombstones(
        &self,
        module: &ModuleName,
        through: Position,
        limit: u32,
    ) -> Result<u64> {
        let doing = "dropping tombstones";
        let mut borrowed = self.borrow(doing).await?;
        count_query(Purpose::Retention);
        let delete = sqlx::query(DROP_TOMBSTONES)
            .bind(module.as_str())
            .bind(through.as_i64())
            .bind(i64::from(limit));
        let done = self
            .call(doing, delete.execute(borrowed.connection()))
            .await?;
        borrowed.put_back();
        Ok(done.rows_affected())
    }
}

/// Where a window ends, from the index alone.
async fn look(connection: &mut PgConnection, window: Window<'_>) -> sqlx::Result<Swept> {
    count_query(Purpose::Retention);
    let row = sqlx::query_as(LOOK)
        .bind(window.module.as_str())
        .bind(window.from.as_i64())
        .bind(window.through.as_i64())
        .bind(i64::from(window.limit))
        .fetch_one(connection)
        .await?;
    Ok(looked_at(row))
}

async fn write_note(
    connection: &mut PgConnection,
    module: &ModuleName,
    note: &Note,
    [before, after]: [String; 2],
) -> sqlx::Result<()> {
    count_query(Purpose::Retention);
    sqlx::query(NOTE)
        .bind(module.as_str())
        .bind(&note.actor)
        .bind(&note.action)
        .bind(before)
        .bind(after)
        .bind(&note.reason)
        .execute(connection)
        .await?;
    Ok(())
}
