//! Stages and their audit on SQLite.

use async_trait::async_trait;
use sqlx::SqliteConnection;

use super::{SqliteStore, error::failed};
use crate::{
    domain::ModuleName,
    store::{
        Act, AuditEntry, Error, Result, SeenTarget, StageRecord, Stages, StagesRead,
        row::{StoredAudit, json_text, stages_read},
        stages::{Texts, entered_at, written},
    },
    telemetry::{Purpose, count_query},
};

const STAGES: &str = "\
    SELECT module, stage, cohort, routing, ending, paused, version, changed_by, changed_at, reason, \
           entered_at, entered_version, forced \
    FROM module_stage ORDER BY module";

const FIRST: &str = "\
    INSERT INTO module_stage (module, stage, cohort, routing, ending, paused, version, changed_by, changed_at, reason, entered_at, forced, \
                              entered_version) \
    VALUES (?1, ?2, ?3, ?9, ?10, ?4, ?7 + 1, ?5, ?8, ?6, coalesce(?11, ?8), ?12, ?7 + 1) \
    ON CONFLICT (module) DO NOTHING RETURNING version, changed_at, entered_at";

const NEXT: &str = "\
    UPDATE module_stage \
    SET stage = ?2, cohort = ?3, routing = ?9, ending = ?10, paused = ?4, version = version + 1, changed_by = ?5, \
        changed_at = ?8, reason = ?6, entered_at = coalesce(?11, ?8), forced = ?12, entered_version = version + 1 \
    WHERE module = ?1 AND version = ?7 RETURNING version, changed_at, entered_at";

const VERSION: &str = "SELECT version FROM module_stage WHERE module = ?1";

const TARGET: &str = "SELECT version FROM mirror_target WHERE target = ?1";

const NOTE: &str = "\
    INSERT INTO audit (module, actor, action, before, after, reason, at) \
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";

const AUDIT: &str = "\
    SELECT id, module, actor, action, before, after, reason, at FROM audit \
    WHERE (?1 IS NULL OR module = ?1 OR (module IS NULL AND action IN ('panic', 'lift'))) AND id < ?2 ORDER BY id DESC LIMIT ?3";

#[async_trait]
impl Stages for SqliteStore {
    async fn read_stages(&self) -> Result<StagesRead> {
        count_query(Purpose::Flags);
        let select = sqlx::query(STAGES).fetch_all(&self.readers);
        Ok(stages_read(
            &select.await.map_err(failed("reading stages"))?,
        ))
    }

    async fn act(&self, act: &Act) -> Result<StageRecord> {
        let doing = "writing a stage";
        let texts = Texts::of(&act.after)?;
        let mut writing = self.begin_ordinary(doing).await?;
        if let Some(seen) = &act.seen {
            let check = is_as_seen(writing.connection(), seen).await;
            if !check.map_err(failed(doing))? {
                let target = seen.target.clone();
                return Err(Error::TargetChanged { target });
            }
        }
        let columns = write(writing.connection(), act, &texts)
            .await
            .map_err(failed(doing))?;
        let Some(columns) = columns else {
            let current = version(writing.connection(), act)
                .await
                .map_err(failed(doing))?;
            return Err(Error::VersionConflict {
                expected: act.expected_version,
                current,
            });
        };
        let after = written(act, columns.into());
        let (from, to) = (
            json_text("audit", &act.before)?,
            json_text("audit", &after)?,
        );
        let note = note(writing.connection(), act, &after, [&from, &to]);
        note.await.map_err(failed(doing))?;
        writing.commit(doing).await?;
        Ok(after)
    }

    async fn audit(
        &self,
        module: Option<&ModuleName>,
        before: Option<i64>,
        limit: u32,
    ) -> Result<Vec<AuditEntry>> {
        count_query(Purpose::Flags);
        let select = sqlx::query_as(AUDIT)
            .bind(module.map(ModuleName::as_str))
            .bind(before.unwrap_or(i64::MAX))
            .bind(limit);
        let select = select.fetch_all(&self.readers);
        let rows: Vec<StoredAudit> = select.await.map_err(failed("reading the audit"))?;
        rows.into_iter().map(TryInto::try_into).collect()
    }
}

async fn write(
    connection: &mut SqliteConnection,
    act: &Act,
    texts: &Texts,
) -> sqlx::Result<Option<(i64, i64, i64)>> {
    count_query(Purpose::Flags);
    sqlx::query_as(if act.expected_version == 0 {
        FIRST
    } else {
        NEXT
    })
    .bind(act.after.module.as_str())
    .bind(act.after.stage.as_str())
    .bind(&texts.cohort)
    .bind(act.after.paused)
    .bind(&act.after.changed_by)
    .bind(&act.after.reason)
    .bind(act.expected_version)
    .bind(SqliteStore::now().get())
    .bind(&texts.routing)
    .bind(&texts.ending)
    .bind(entered_at(act))
    .bind(&texts.forced)
    .fetch_optional(connection)
    .await
}

/// Whether the target's record is still the one that was seen. Nobody else writes now.
async fn is_as_seen(connection: &mut SqliteConnection, seen: &SeenTarget) -> sqlx::Result<bool> {
    count_query(Purpose::Flags);
    let version = sqlx::query_scalar(TARGET).bind(&seen.target);
    let version: Option<i64> = version.fetch_optional(connection).await?;
    Ok(version.unwrap_or(0) == seen.version)
}

async fn version(connection: &mut SqliteConnection, act: &Act) -> sqlx::Result<i64> {
    count_query(Purpose::Flags);
    let version = sqlx::query_scalar(VERSION)
        .bind(act.after.module.as_str())
        .fetch_optional(connection)
        .await?;
    Ok(version.unwrap_or(0))
}

async fn note(
    connection: &mut SqliteConnection,
    act: &Act,
    after: &StageRecord,
    [from, to]: [&str; 2],
) -> sqlx::Result<()> {
    count_query(Purpose::Flags);
    sqlx::query(NOTE)
        .bind(after.module.as_str())
        .bind(&after.changed_by)
        .bind(&act.action)
        .bind(from)
        .bind(to)
        .bind(&after.reason)
        .bind(after.changed_at.get())
        .execute(connection)
        .await?;
    Ok(())
}
