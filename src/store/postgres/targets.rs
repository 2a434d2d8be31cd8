//! Acts on targets on PostgreSQL.

use async_trait::async_trait;
use sqlx::PgConnection;

use super::PostgresStore;
use crate::{
    domain::Micros,
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
    WHERE target = $1 ORDER BY module";

/// No mirror writes a cursor meanwhile: it would lock its head row first.
const HEADS: &str = "\
    SELECT module, epoch, head, retained_from, lease_token FROM module_head ORDER BY module FOR UPDATE";

/// Of all modules. Routes are written under the lock of the module's head, too.
const FLAGS: &str = "SELECT module, version FROM module_stage";

const NOW: &str = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint";

const PUT_RECORD: &str = "\
    INSERT INTO mirror_target (target, standing, version, changed_by, changed_at, reason) \
    VALUES ($1, $2, $3, $4, $5, $6) \
    ON CONFLICT (target) DO UPDATE \
    SET standing = excluded.standing, version = excluded.version, \
        changed_by = excluded.changed_by, changed_at = excluded.changed_at, \
        reason = excluded.reason";

const PUT_CURSOR: &str = "\
    INSERT INTO mirror_cursor \
    (target, module, epoch, position, generation, version, lease_token, retired_at) \
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8) \
    ON CONFLICT (target, module) DO UPDATE \
    SET epoch = excluded.epoch, position = excluded.position, generation = excluded.generation, \
        version = excluded.version, retired_at = excluded.retired_at";

const NOTE: &str = "\
    INSERT INTO audit (module, actor, action, before, after, reason, at) \
    VALUES ($1, $2, $3, $4, $5, $6, $7)";

#[async_trait]
impl Targets for PostgresStore {
    async fn target_records(&self) -> Result<Vec<TargetRecord>> {
        let doing = "reading targets";
        let mut borrowed = self.borrow(doing).await?;
        count_query(Purpose::Flags);
        let select = sqlx::query(RECORDS).fetch_all(borrowed.connection());
        let rows = self.call(doing, select).await?;
        borrowed.put_back();
        let records = rows
            .iter()
            .map(row::target_record)
            .collect::<sqlx::Result<_>>();
        records.map_err(Error::Unexpected)
    }

    async fn target_cursors(&self, target: &str) -> Result<Vec<TargetCursor>> {
        let doing = "reading a target's cursors";
        let mut borrowed = self.borrow(doing).await?;
        count_query(Purpose::Flags);
        let select = sqlx::query(CURSORS)
            .bind(target)
            .fetch_all(borrowed.connection());
        let rows = self.call(doing, select).await?;
        borrowed.put_back();
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
        for _ in 1..ATTEMPTS {
            match self.try_act(act).await {
                Err(Tried::Waiting(error)) if error.is_transient() => {}
                Err(Tried::Waiting(error) | Tried::Otherwise(error)) => return Err(error),
                Ok(acted) => return Ok(acted),
            }
        }
        self.try_act(act).await.map_err(|tried| match tried {
            Tried::Waiting(error) | Tried::Otherwise(error) => error,
        })
    }
}

/// How often an act waits for locks, half a lease each time: numbering and the mirrors take them all the time.
const ATTEMPTS: u32 = 5;

/// Where an act failed.
enum Tried {
    /// It waited for locks, and has surely changed nothing.
    Waiting(Error),
    /// Trying again would not help, or could do it twice.
    Otherwise(Error),
}

impl PostgresStore {
    async fn try_act(
        &self,
        act: &TargetAct,
    ) -> std::result::Result<std::result::Result<TargetActed, TargetBlocked>, Tried> {
        let doing = "acting on a target";
        let begun = self.begin(doing).await;
        let mut borrowed = begun.map_err(Tried::Otherwise)?;
        let planned = self.write_act(borrowed.connection(), act).await;
        let plan = match planned.map_err(Tried::Waiting)? {
            Ok(plan) => plan,
            // Dropping the transaction rolls it back.
            Err(blocked) => return Ok(Err(blocked)),
        };
        if !act.dry_run {
            let committed = self.commit(doing, borrowed).await;
            committed.map_err(Tried::Otherwise)?;
        }
        Ok(Ok(plan.acted))
    }

    /// The head rows are locked: half a lease bounds each step, as it does for numbering.
    async fn write_act(
        &self,
        connection: &mut PgConnection,
        act: &TargetAct,
    ) -> Result<std::result::Result<TargetPlan, TargetBlocked>> {
        let doing = "acting on a target";
        let survey = survey(connection, &act.target);
        let plan = match self.quick(doing, survey).await?.plan(act) {
            Ok(plan) => plan,
            Err(blocked) => return Ok(Err(blocked)),
        };
        let sides = [
            json_text("audit", &plan.acted.before)?,
            json_text("audit", &plan.acted.after)?,
        ];
        self.quick(doing, write(connection, act, &plan, sides))
            .await?;
        Ok(Ok(plan))
    }
}

async fn survey(connection: &mut PgConnection, target: &str) -> sqlx::Result<TargetSurvey> {
    count_query(Purpose::Flags);
    let heads = sqlx::query(HEADS).fetch_all(&mut *connection).await?;
    count_query(Purpose::Flags);
    let records = sqlx::query(RECORDS).fetch_all(&mut *connection).await?;
    count_query(Purpose::Flags);
    let cursors = sqlx::query(CURSORS).bind(target);
    let cursors = cursors.fetch_all(&mut *connection).await?;
    count_query(Purpose::Flags);
    let flags = sqlx::query(FLAGS).fetch_all(&mut *connection).await?;
    count_query(Purpose::Flags);
    let now = sqlx::query_scalar(NOW).fetch_one(connection).await?;
    row::target_survey(target, &heads, &records, &cursors, &flags, Micros::new(now))
}

async fn write(
    connection: &mut PgConnection,
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
