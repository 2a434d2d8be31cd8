//! Pruning on SQLite. What is to go is found by readers; the one writer is held for a small delete only.

use std::time::Duration;

use async_trait::async_trait;

use super::{SqliteStore, error::failed};
use crate::{
    domain::{ModuleName, Position},
    store::{
        Aged, Bounds, Error, Lease, Note, Result, Retention, Swept, TargetPosition, Which, Window,
        retention::{aged, looked_at},
        row::{self, json_text},
    },
    telemetry::{Purpose, count_query},
};

const TARGETS: &str = "SELECT target, module, position FROM mirror_cursor";

/// Of the rows of one tick any may come last in the index.
const OLDER: &str = "\
    SELECT position FROM change_log INDEXED BY change_log_tick \
    WHERE module = ?1 AND sequenced_at < ?2 \
    ORDER BY sequenced_at DESC, position DESC LIMIT 1";

const FIRST: &str = "\
    SELECT position, ?3 - sequenced_at FROM change_log \
    WHERE module = ?1 AND position > ?2 ORDER BY position LIMIT 1";

const RAISE: &str = "\
    UPDATE module_head \
    SET retained_from = max(retained_from, min(?3, head)), \
        compacted_through = max(compacted_through, ?4) \
    WHERE module = ?1 AND lease_token = ?2";

const NOTE: &str = "\
    INSERT INTO audit (module, actor, action, before, after, reason, at) \
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";

const LOOK: &str = "\
    SELECT count(*), max(position) FROM ( \
        SELECT position FROM change_log \
        WHERE module = ?1 AND position >= ?2 AND position <= ?3 ORDER BY position LIMIT ?4)";

const COUNT_SUPERSEDED: &str = "\
    SELECT count(*) FROM change_log c \
    CROSS JOIN entity_state s ON s.module = c.module AND s.audience = c.audience \
                             AND s.entity_key = c.entity_key AND s.position > c.position \
    WHERE c.module = ?1 AND c.position >= ?2 AND c.position <= ?3";

const DELETE: &str = "\
    DELETE FROM change_log WHERE module = ?1 AND position >= ?2 AND position <= ?3";

const DELETE_SUPERSEDED: &str = "\
    DELETE FROM change_log \
    WHERE module = ?1 AND position >= ?2 AND position <= ?3 AND EXISTS ( \
        SELECT 1 FROM entity_state s \
        WHERE s.module = change_log.module AND s.audience = change_log.audience \
          AND s.entity_key = change_log.entity_key AND s.position > change_log.position)";

const MARKS: &str = "\
    SELECT position, ?2 - at FROM log_mark WHERE module = ?1 ORDER BY position";

const MARK: &str = "\
    INSERT INTO log_mark (module, position, at) VALUES (?1, ?2, ?3) \
    ON CONFLICT (module, position) DO NOTHING";

const FORGET_MARKS: &str = "DELETE FROM log_mark WHERE module = ?1 AND position < ?2";

const DROP_TOMBSTONES: &str = "\
    DELETE FROM entity_state WHERE rowid IN ( \
        SELECT rowid FROM entity_state INDEXED BY entity_state_tombstone \
        WHERE module = ?1 AND op = 'delete' AND position <= ?2 ORDER BY position LIMIT ?3)";

#[async_trait]
impl Retention for SqliteStore {
    async fn target_positions(&self) -> Result<Vec<TargetPosition>> {
        count_query(Purpose::Retention);
        let rows: Vec<(String, String, i64)> = sqlx::query_as(TARGETS)
            .fetch_all(&self.readers)
            .await
            .map_err(failed("reading the targets' positions"))?;
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
        count_query(Purpose::Retention);
        let position: Option<i64> = sqlx::query_scalar(OLDER)
            .bind(module.as_str())
            .bind(Self::now().minus(age).get())
            .fetch_optional(&self.readers)
            .await
            .map_err(failed("looking for old changes"))?;
        Ok(position.map(Position::from_i64))
    }

    async fn first_above(&self, module: &ModuleName, after: Position) -> Result<Option<Aged>> {
        count_query(Purpose::Retention);
        let row = sqlx::query_as(FIRST)
            .bind(module.as_str())
            .bind(after.as_i64())
            .bind(Self::now().get())
            .fetch_optional(&self.readers)
            .await
            .map_err(failed("looking for the oldest change"))?;
        Ok(row.map(aged))
    }

    async fn raise_bounds(&self, lease: &Lease, bounds: Bounds, note: Option<&Note>) -> Result<()> {
        let doing = "moving a log's bounds";
        let texts = note
            .map(|note| {
                Ok((
                    json_text("audit", &note.before)?,
                    json_text("audit", &note.after)?,
                ))
            })
            .transpose()?;
        let mut writing = self.begin_ordinary(doing).await?;
        if let (Some(note), Some((before, after))) = (note, texts) {
            count_query(Purpose::Retention);
            sqlx::query(NOTE)
                .bind(lease.module.as_str())
                .bind(&note.actor)
                .bind(&note.action)
                .bind(before)
                .bind(after)
                .bind(&note.reason)
                .bind(Self::now().get())
                .execute(writing.connection())
                .await
                .map_err(failed(doing))?;
        }
        count_query(Purpose::Retention);
        let done = sqlx::query(RAISE)
            .bind(lease.module.as_str())
            .bind(lease.token)
            .bind(bounds.retained_from.as_i64())
            .bind(bounds.compacted_through.as_i64())
            .execute(writing.connection())
            .await
            .map_err(failed(doing))?;
        if done.rows_affected() == 0 {
            return Err(Error::LeaseLost {
                module: lease.module.clone(),
            });
        }
        writing.commit(doing).await
    }

    async fn count_rows(&self, window: Window<'_>) -> Result<Swept> {
        let mut swept = self.look(window).await?;
        let (Some(last), Which::Superseded) = (swept.last, window.which) else {
            return Ok(Swept {
                meant: swept.seen,
                ..swept
            });
        };
        count_query(Purpose::Retention);
        let count: i64 = sqlx::query_scalar(COUNT_SUPERSEDED)
            .bind(window.module.as_str())
            .bind(window.from.as_i64())
            .bind(last.as_i64())
            .fetch_one(&self.readers)
            .await
            .map_err(failed("counting changes"))?;
        swept.meant = count.unsigned_abs();
        Ok(swept)
    }

    async fn delete_rows(&self, window: Window<'_>) -> Result<Swept> {
        let mut swept = self.look(window).await?;
        let Some(last) = swept.last else {
            return Ok(swept);
        };
        let doing = "deleting changes";
        let mut writing = self.begin_ordinary(doing).await?;
        count_query(Purpose::Retention);
        let done = sqlx::query(match window.which {
            Which::All => DELETE,
            Which::Superseded => DELETE_SUPERSEDED,
        })
        .bind(window.module.as_str())
        .bind(window.from.as_i64())
        .bind(last.as_i64())
        .execute(writing.connection())
        .await
        .map_err(failed(doing))?;
        writing.commit(doing).await?;
        swept.meant = done.rows_affected();
        Ok(swept)
    }

    async fn marks(&self, module: &ModuleName) -> Result<Vec<Aged>> {
        count_query(Purpose::Retention);
        let rows: Vec<(i64, i64)> = sqlx::query_as(MARKS)
            .bind(module.as_str())
            .bind(Self::now().get())
            .fetch_all(&self.readers)
            .await
            .map_err(failed("reading marks"))?;
        Ok(rows.into_iter().map(aged).collect())
    }

    async fn mark(
        &self,
        module: &ModuleName,
        position: Position,
        keep_from: Position,
    ) -> Result<()> {
        let doing = "marking a position";
        let mut writing = self.begin_ordinary(doing).await?;
        count_query(Purpose::Retention);
        sqlx::query(MARK)
            .bind(module.as_str())
            .bind(position.as_i64())
            .bind(Self::now().get())
            .execute(writing.connection())
            .await
            .map_err(failed(doing))?;
        count_query(Purpose::Retention);
        sqlx::query(FORGET_MARKS)
            .bind(module.as_str())
            .bind(keep_from.as_i64())
            .execute(writing.connection())
            .await
            .map_err(failed(doing))?;
        writing.commit(doing).await
    }

    async fn drop_tombstones(
        &self,
        module: &ModuleName,
        through: Position,
        limit: u32,
    ) -> Result<u64> {
        let doing = "dropping tombstones";
        let mut writing = self.begin_ordinary(doing).await?;
        count_query(Purpose::Retention);
        let done = sqlx::query(DROP_TOMBSTONES)
            .bind(module.as_str())
            .bind(through.as_i64())
            .bind(limit)
            .execute(writing.connection())
            .await
            .map_err(failed(doing))?;
        writing.commit(doing).await?;
        Ok(done.rows_affected())
    }
}

impl SqliteStore {
    /// Where a window ends, from the index alone.
    async fn look(&self, window: Window<'_>) -> Result<Swept> {
        count_query(Purpose::Retention);
        let row = sqlx::query_as(LOOK)
            .bind(window.module.as_str())
            .bind(window.from.as_i64())
            .bind(window.through.as_i64())
            .bind(window.limit)
            .fetch_one(&self.readers)
            .await
            .map_err(failed("looking at a log"))?;
        Ok(looked_at(row))
    }
}
