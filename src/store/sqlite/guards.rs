//! Guards on SQLite.

use async_trait::async_trait;
use sqlx::SqliteConnection;

use super::{SqliteStore, error::failed};
use crate::{
    domain::Micros,
    store::{
        Error, GuardRecord, GuardWrite, Guards, GuardsSeen, Result,
        guards::ACTOR,
        row::{guards_seen, json_text},
    },
    telemetry::{Purpose, count_query},
};

const GUARDS: &str = "\
    SELECT h.module, h.lease_holder, h.lease_expires_at, ?1, \
           g.target, g.state, g.reason, g.share, g.since, g.healthy_since, g.version, g.turns \
    FROM module_head h LEFT JOIN guard g ON g.module = h.module";

const FENCE: &str = "SELECT 1 FROM module_head WHERE module = ?1 AND lease_token = ?2";

const FIRST: &str = "\
    INSERT INTO guard (module, target, version, state, reason, share, since, healthy_since, turns, token) \
    VALUES (?1, ?2, ?3 + 1, ?4, ?5, ?6, ?7, ?8, ?9, ?10) \
    ON CONFLICT (module, target) DO NOTHING";

const NEXT: &str = "\
    UPDATE guard SET version = version + 1, state = ?4, reason = ?5, share = ?6, since = ?7, healthy_since = ?8, \
           turns = ?9, token = ?10 \
    WHERE module = ?1 AND target = ?2 AND version = ?3";

const VERSION: &str = "SELECT version FROM guard WHERE module = ?1 AND target = ?2";

const NOTE: &str = "\
    INSERT INTO audit (module, actor, action, before, after, reason, at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";

#[async_trait]
impl Guards for SqliteStore {
    async fn guards(&self) -> Result<GuardsSeen> {
        let doing = "reading guards";
        count_query(Purpose::Flags);
        let select = sqlx::query(GUARDS).bind(Self::now().get());
        let rows = select.fetch_all(&self.readers).await;
        let rows = rows.map_err(failed(doing))?;
        Ok(guards_seen(&rows))
    }

    async fn write_guard(&self, write: &GuardWrite) -> Result<GuardRecord> {
        let doing = "writing a guard";
        let mut writing = self.begin_ordinary(doing).await?;
        count_query(Purpose::Flags);
        let held = sqlx::query_scalar::<_, i64>(FENCE)
            .bind(write.lease.module.as_str())
            .bind(write.lease.token)
            .fetch_optional(writing.connection());
        if held.await.map_err(failed(doing))?.is_none() {
            let module = write.lease.module.clone();
            return Err(Error::LeaseLost { module });
        }
        let now: Micros = Self::now();
        let after = write.after(now);
        let put = put(writing.connection(), write, &after).await;
        if !put.map_err(failed(doing))? {
            count_query(Purpose::Flags);
            let version = sqlx::query_scalar(VERSION)
                .bind(write.lease.module.as_str())
                .bind(&write.target)
                .fetch_optional(writing.connection());
            let version: Option<i64> = version.await.map_err(failed(doing))?;
            return Err(Error::VersionConflict {
                expected: write.expected_version(),
                current: version.unwrap_or(0),
            });
        }
        if let Some(turn) = &write.turn {
            count_query(Purpose::Flags);
            let note = sqlx::query(NOTE)
                .bind(write.lease.module.as_str())
                .bind(ACTOR)
                .bind(turn.kind.action())
                .bind(json_text("audit", &write.before)?)
                .bind(json_text("audit", &after)?)
                .bind(&turn.reason)
                .bind(now.get())
                .execute(writing.connection());
            note.await.map_err(failed(doing))?;
        }
        writing.commit(doing).await?;
        Ok(after)
    }
}

/// Whether the row was the one that the write was decided on.
async fn put(
    connection: &mut SqliteConnection,
    write: &GuardWrite,
    after: &GuardRecord,
) -> sqlx::Result<bool> {
    count_query(Purpose::Flags);
    let expected = write.expected_version();
    let done = sqlx::query(if expected == 0 { FIRST } else { NEXT })
        .bind(after.module.as_str())
        .bind(&after.target)
        .bind(expected)
        .bind(after.state.as_str())
        .bind(after.stored_cause())
        .bind(i64::from(after.share.get()))
        .bind(after.since.get())
        .bind(after.healthy_since.map(Micros::get))
        .bind(after.turns)
        .bind(write.lease.token)
        .execute(connection)
        .await?;
    Ok(done.rows_affected() == 1)
}
