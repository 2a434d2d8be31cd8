//! Acts on targets on SQLite. The one writer is the lock.

use async_trait::async_trait;
use sqlx::SqliteConnection;

use super::{SqliteStore, error::failed};
use crate::{
    store::{
        Error, Result, TargetAct, TargetActed, TargetBlocked, TargetCursor, TargetRecord, Targets,
        row::{self, json_text},
        target_step::{TargetPlan, TargetSurvey},
    },
    telemetry::{Purpose, count_query},
};

const RECORDS: &str = "\
    SELECT target, standing, version, changed_by, changed_at, reason \
    FROM mirror_target ORDER BY target";

const CURSORS: &str = "\
    SELECT module, epoch, position, generation, version, retired_at FROM mirror_cursor \
    WHERE target = ?1 ORDER BY module";

const HEADS: &str =
    "SELECT module, epoch, head, retained_from, lease_token FROM module_head ORDER BY module";

/// Of all modules. There is one writer at a time.
const FLAGS: &str = "SELECT module, version FROM module_stage";

const PUT_RECORD: &str = "\
    INSERT INTO mirror_target (target, standing, version, changed_by, changed_at, reason) \
    VALUES (?1, ?2, ?3, ?4, ?5, ?6) \
    ON CONFLICT (target) DO UPDATE \
    SET standing = excluded.standing, version = excluded.version, \
        changed_by = excluded.changed_by, changed_at = excluded.changed_at, \
        reason = excluded.reason";

const PUT_CURSOR: &str = "\
    INSERT INTO mirror_cursor \
    (target, module, epoch, position, generation, version, lease_token, retired_at) \
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) \
    ON CONFLICT (target, module) DO UPDATE \
    SET epoch = excluded.epoch, position = excluded.position, generation = excluded.generation, \
        version = excluded.version, retired_at = excluded.retired_at";

const NOTE: &str = "\
    INSERT INTO audit (module, actor, action, before, after, reason, at) \
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";

#[async_trait]
impl Targets for SqliteStore {
    async fn target_records(&self) -> Result<Vec<TargetRecord>> {
        count_query(Purpose::Flags);
        let select = sqlx::query(RECORDS).fetch_all(&self.readers);
        let rows = select.await.map_err(failed("reading targets"))?;
        let records = rows
            .iter()
            .map(row::target_record)
            .collect::<sqlx::Result<_>>();
        records.map_err(Error::Unexpected)
    }

    async fn target_cursors(&self, target: &str) -> Result<Vec<TargetCursor>> {
        count_query(Purpose::Flags);
        let select = sqlx::query(CURSORS).bind(target).fetch_all(&self.readers);
        let rows = select.await.map_err(failed("reading a target's cursors"))?;
        let cursors = rows
            .iter()
            .map(row::target_cursor)
            .collect::<sqlx::Result<_>>();
        cursors.map_err(Error::Unexpected)
    }

    async fn act_on_target(
        &self,
        act: &TargetAct,
    ) -> Result<std::result::Result<TargetActed, TargetBlocked>> {
        let doing = "acting on a target";
        let mut writing = self.begin_ordinary(doing).await?;
        let survey = survey(writing.connection(), &act.target).await;
        let plan = match survey.map_err(failed(doing))?.plan(act) {
            Ok(plan) => plan,
            Err(blocked) => return Ok(Err(blocked)),
        };
        let sides = [
            json_text("audit", &plan.acted.before)?,
            json_text("audit", &plan.acted.after)?,
        ];
        let write = write(writing.connection(), act, &plan, sides);
        write.await.map_err(failed(doing))?;
        if !act.dry_run {
            writing.commit(doing).await?;
        }
        Ok(Ok(plan.acted))
    }
}

async fn survey(connection: &mut SqliteConnection, target: &str) -> sqlx::Result<TargetSurvey> {
    count_query(Purpose::Flags);
    let heads = sqlx::query(HEADS).fetch_all(&mut *connection).await?;
    count_query(Purpose::Flags);
    let records = sqlx::query(RECORDS).fetch_all(&mut *connection).await?;
    count_query(Purpose::Flags);
    let cursors = sqlx::query(CURSORS).bind(target);
    let cursors = cursors.fetch_all(&mut *connection).await?;
    count_query(Purpose::Flags);
    let flags = sqlx::query(FLAGS).fetch_all(connection).await?;
    row::target_survey(
        target,
        &heads,
        &records,
        &cursors,
        &flags,
        SqliteStore::now(),
    )
}

async fn write(
    connection: &mut SqliteConnection,
    act: &TargetAct,
    plan: &TargetPlan,
    [before, after]: [String; 2],
) -> sqlx::Result<()> {
    let record = &plan.acted.after.record;
    count_query(Purpose::Flags);
    sqlx::query(PUT_RECORD)
        .bind(&record.target)
        .bind(record.standing.as_str())
        .bind(record.version)
        .bind(&record.changed_by)
        .bind(record.changed_at.get())
        .bind(&record.reason)
        .execute(&mut *connection)
        .await?;
    for (cursor, token) in &plan.rows {
        count_query(Purpose::Flags);
        sqlx::query(PUT_CURSOR)
            .bind(&record.target)
            .bind(cursor.row.module.as_str())
            .bind(i64::from(cursor.row.cursor.epoch.get()))
            .bind(cursor.row.cursor.position.as_i64())
            .bind(cursor.row.generation.cast_signed())
            .bind(cursor.row.version)
            .bind(token)
            .bind(cursor.retired_at.get())
            .execute(&mut *connection)
            .await?;
    }
    count_query(Purpose::Flags);
    sqlx::query(NOTE)
        .bind(act.step.module().map(crate::domain::ModuleName::as_str))
        .bind(&act.actor)
        .bind(act.step.action())
        .bind(before)
        .bind(after)
        .bind(&act.reason)
        .bind(record.changed_at.get())
        .execute(connection)
        .await?;
    Ok(())
}
