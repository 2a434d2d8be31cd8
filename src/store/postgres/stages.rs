//! Stages and their audit on PostgreSQL.

use async_trait::async_trait;
use sqlx::PgConnection;

use super::PostgresStore;
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
    SELECT $1, $2, $3, $8, $9, $4, $7 + 1, $5, now, $6, coalesce($10, now), $11, $7 + 1 \
    FROM (SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS now OFFSET 0) AS clock \
    ON CONFLICT (module) DO NOTHING RETURNING version, changed_at, entered_at";

const NEXT: &str = "\
    UPDATE module_stage \
    SET stage = $2, cohort = $3, routing = $8, ending = $9, paused = $4, version = version + 1, changed_by = $5, \
        changed_at = now, reason = $6, entered_at = coalesce($10, now), forced = $11, entered_version = version + 1 \
    FROM (SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS now OFFSET 0) AS clock \
    WHERE module = $1 AND version = $7 RETURNING version, changed_at, entered_at";

const VERSION: &str = "SELECT version FROM module_stage WHERE module = $1";

/// Acts on targets lock all heads.
const LOCK: &str = "SELECT 1 FROM module_head WHERE module = $1 FOR UPDATE";

const TARGET: &str = "SELECT version FROM mirror_target WHERE target = $1";

const NOTE: &str = "\
    INSERT INTO audit (module, actor, action, before, after, reason, at) \
    VALUES ($1, $2, $3, $4, $5, $6, $7)";

const AUDIT: &str = "\
    SELECT id, module, actor, action, before, after, reason, at FROM audit \
    WHERE ($1::text IS NULL OR module = $1 OR (module IS NULL AND action IN ('panic', 'lift'))) AND id < $2 ORDER BY id DESC LIMIT $3";

#[async_trait]
impl Stages for PostgresStore {
    async fn read_stages(&self) -> Result<StagesRead> {
        let doing = "reading stages";
        let mut borrowed = self.borrow(doing).await?;
        count_query(Purpose::Flags);
        let select = sqlx::query(STAGES).fetch_all(borrowed.connection());
        let rows = self.call(doing, select).await?;
        borrowed.put_back();
        Ok(stages_read(&rows))
    }

    async fn act(&self, act: &Act) -> Result<StageRecord> {
        let doing = "writing a stage";
        let texts = Texts::of(&act.after)?;
        let mut borrowed = self.begin(doing).await?;
        if let Some(seen) = &act.seen {
            let check = is_as_seen(borrowed.connection(), &act.after.module, seen);
            if !self.call(doing, check).await? {
                let target = seen.target.clone();
                return Err(Error::TargetChanged { target });
            }
        }
        let write = write(borrowed.connection(), act, &texts);
        let Some(columns) = self.call(doing, write).await? else {
            let current = self
                .call(doing, version(borrowed.connection(), act))
                .await?;
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
        let note = note(borrowed.connection(), act, &after, [&from, &to]);
        self.call(doing, note).await?;
        self.commit(doing, borrowed).await?;
        Ok(after)
    }

    async fn audit(
        &self,
        module: Option<&ModuleName>,
        before: Option<i64>,
        limit: u32,
    ) -> Result<Vec<AuditEntry>> {
        let doing = "reading the audit";
        let mut borrowed = self.borrow(doing).await?;
        count_query(Purpose::Flags);
        let select = sqlx::query_as(AUDIT)
            .bind(module.map(ModuleName::as_str))
            .bind(before.unwrap_or(i64::MAX))
            .bind(i64::from(limit));
        let rows: Vec<StoredAudit> = self
            .call(doing, select.fetch_all(borrowed.connection()))
            .await?;
        borrowed.put_back();
        rows.into_iter().map(TryInto::try_into).collect()
    }
}

async fn write(
    connection: &mut PgConnection,
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
    .bind(&texts.routing)
    .bind(&texts.ending)
    .bind(entered_at(act))
    .bind(&texts.forced)
    .fetch_optional(connection)
    .await
}

/// Whether the target's record is still the one that was seen; locks the module's head.
async fn is_as_seen(
    connection: &mut PgConnection,
    module: &ModuleName,
    seen: &SeenTarget,
) -> sqlx::Result<bool> {
    count_query(Purpose::Flags);
    let lock = sqlx::query(LOCK).bind(module.as_str());
    lock.fetch_optional(&mut *connection).await?;
    count_query(Purpose::Flags);
    let version = sqlx::query_scalar(TARGET).bind(&seen.target);
    let version: Option<i64> = version.fetch_optional(connection).await?;
    Ok(version.unwrap_or(0) == seen.version)
}

async fn version(connection: &mut PgConnection, act: &Act) -> sqlx::Result<i64> {
    count_query(Purpose::Flags);
    let version = sqlx::query_scalar(VERSION)
        .bind(act.after.module.as_str())
        .fetch_optional(connection)
        .await?;
    Ok(version.unwrap_or(0))
}

async fn note(
    connection: &mut PgConnection,
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
