//! Stages and their audit on MariaDB and MySQL.

use async_trait::async_trait;
use sqlx::MySqlConnection;

use super::{MySqlStore, error::is_duplicate, lease::NOW, statement::Statement};
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
    SELECT CAST(module AS CHAR) AS module, stage, cohort, routing, ending, paused, version, changed_by, changed_at, \
           reason, entered_at, entered_version, forced \
    FROM module_stage ORDER BY module_stage.module";

const WRITTEN: &str = "SELECT version, changed_at, entered_at FROM module_stage WHERE module = ?";

const VERSION: &str = "SELECT version FROM module_stage WHERE module = ?";

/// Acts on targets lock all heads.
const LOCK: &str = "SELECT 1 FROM module_head FORCE INDEX (PRIMARY) WHERE module = ? FOR UPDATE";

const TARGET: &str = "SELECT version FROM mirror_target WHERE target = ?";

const NOTE: &str = "\
    INSERT INTO audit (module, actor, action, `before`, `after`, reason, at) \
    VALUES (?, ?, ?, ?, ?, ?, ?)";

const AUDIT: &str = "\
    SELECT id, CAST(module AS CHAR) AS module, actor, action, `before`, `after`, reason, at \
    FROM audit WHERE (? IS NULL OR audit.module = ? OR (audit.module IS NULL AND action IN ('panic', 'lift'))) AND id < ? ORDER BY id DESC LIMIT ?";

#[async_trait]
impl Stages for MySqlStore {
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
        let module = module.map(ModuleName::as_str);
        let select = sqlx::query_as(AUDIT)
            .bind(module)
            .bind(module)
            .bind(before.unwrap_or(i64::MAX))
            .bind(i64::from(limit));
        let rows: Vec<StoredAudit> = self
            .call(doing, select.fetch_all(borrowed.connection()))
            .await?;
        borrowed.put_back();
        rows.into_iter().map(TryInto::try_into).collect()
    }
}

/// Writes over the expected version only. Returns the new version and its time, as they were stored.
async fn write(
    connection: &mut MySqlConnection,
    act: &Act,
    texts: &Texts,
) -> sqlx::Result<Option<(i64, i64, i64)>> {
    count_query(Purpose::Flags);
    let mut change = if act.expected_version == 0 {
        first(act, texts)
    } else {
        next(act, texts)
    };
    match change.build().execute(&mut *connection).await {
        Ok(done) if done.rows_affected() == 1 => {}
        Ok(_) => return Ok(None),
        Err(error) if is_duplicate(&error) => return Ok(None),
        Err(error) => return Err(error),
    }
    count_query(Purpose::Flags);
    sqlx::query_as(WRITTEN)
        .bind(act.after.module.as_str())
        .fetch_optional(connection)
        .await
}

fn first(act: &Act, texts: &Texts) -> Statement {
    let after = &act.after;
    let mut insert = Statement::new(
        "INSERT INTO module_stage \
         (module, stage, cohort, routing, ending, paused, version, changed_by, reason, forced, entered_version, changed_at, entered_at) VALUES (",
    );
    let mut columns = insert.separated(", ");
    columns
        .push_bind(after.module.as_str())
        .push_bind(after.stage.as_str())
        .push_bind(&texts.cohort)
        .push_bind(&texts.routing)
        .push_bind(&texts.ending)
        .push_bind(after.paused)
        .push_bind(1_i64)
        .push_bind(&after.changed_by)
        .push_bind(&after.reason)
        .push_bind(&texts.forced)
        .push_bind(1_i64)
        .push(NOW);
    match entered_at(act) {
        Some(at) => columns.push_bind(at),
        None => columns.push(NOW),
    };
    insert.push(")");
    insert
}

fn next(act: &Act, texts: &Texts) -> Statement {
    let after = &act.after;
    let mut update = Statement::new("UPDATE module_stage SET stage = ");
    update
        .push_bind(after.stage.as_str())
        .push(", cohort = ")
        .push_bind(&texts.cohort)
        .push(", routing = ")
        .push_bind(&texts.routing)
        .push(", ending = ")
        .push_bind(&texts.ending)
        .push(", paused = ")
        .push_bind(after.paused)
        // In this order: the version is already the new one behind its own assignment.
        .push(", version = version + 1, entered_version = version, changed_by = ")
        .push_bind(&after.changed_by)
        .push(", reason = ")
        .push_bind(&after.reason)
        .push(", forced = ")
        .push_bind(&texts.forced)
        .push(", changed_at = ")
        .push(NOW)
        .push(", entered_at = ");
    match entered_at(act) {
        Some(at) => update.push_bind(at),
        None => update.push(NOW),
    };
    update
        .push(" WHERE module = ")
        .push_bind(after.module.as_str())
        .push(" AND version = ")
        .push_bind(act.expected_version);
    update
}

/// Whether the target's record is still the one that was seen; locks the module's head.
async fn is_as_seen(
    connection: &mut MySqlConnection,
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

async fn version(connection: &mut MySqlConnection, act: &Act) -> sqlx::Result<i64> {
    count_query(Purpose::Flags);
    let version = sqlx::query_scalar(VERSION)
        .bind(act.after.module.as_str())
        .fetch_optional(connection)
        .await?;
    Ok(version.unwrap_or(0))
}

async fn note(
    connection: &mut MySqlConnection,
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
