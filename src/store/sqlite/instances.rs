//! Instances on SQLite. The time is read once the writer's lock is held.

use std::time::Duration;

use async_trait::async_trait;

use super::{SqliteStore, error::failed};
use crate::{
    domain::Micros,
    store::{
        Beat, Beaten, Error, Instance, Instances, Result,
        instances::{beaten, wants_text},
        lease::length_micros,
        row,
    },
    telemetry::{Purpose, count_query},
};

const BEAT: &str = "\
    INSERT INTO instance (id, run, since, heartbeat, expires_at, embedded, holds, wants) \
    VALUES (?1, ?2, iif(?8, ?3, 0), ?3, ?3 + ?4, ?5, ?6, ?7) \
    ON CONFLICT (id) DO UPDATE \
    SET since = CASE WHEN run = excluded.run AND since > 0 THEN since ELSE excluded.since END, \
        run = excluded.run, heartbeat = excluded.heartbeat, expires_at = excluded.expires_at, \
        embedded = excluded.embedded, holds = excluded.holds, wants = excluded.wants \
    WHERE run = excluded.run OR expires_at <= excluded.heartbeat";

const ALL: &str = "\
    SELECT id, run, since, heartbeat, expires_at, embedded, holds, wants, ?1 \
    FROM instance ORDER BY id";

#[async_trait]
impl Instances for SqliteStore {
    async fn beat(&self, beat: &Beat<'_>) -> Result<Beaten> {
        let doing = "renewing the heartbeat";
        let mut writing = self.begin_urgent(doing).await?;
        let now = Self::now().get();
        count_query(Purpose::Lease);
        let done = sqlx::query(BEAT)
            .bind(beat.name)
            .bind(beat.run)
            .bind(now)
            .bind(length_micros(beat.lease))
            .bind(beat.embedded)
            .bind(i64::try_from(beat.holds).unwrap_or(i64::MAX))
            .bind(wants_text(beat.wants))
            .bind(beat.joined)
            .execute(writing.connection())
            .await
            .map_err(failed(doing))?;
        count_query(Purpose::Lease);
        let rows = sqlx::query(ALL)
            .bind(now)
            .fetch_all(writing.connection())
            .await
            .map_err(failed(doing))?;
        writing.commit(doing).await?;
        let all = decode(&rows)?;
        let ours = done.rows_affected() == 1;
        Ok(beaten(beat, ours, Micros::new(now), all))
    }

    async fn instances(&self) -> Result<Vec<Instance>> {
        count_query(Purpose::Lease);
        let select = sqlx::query(ALL).bind(Self::now().get());
        let rows = select
            .fetch_all(&self.readers)
            .await
            .map_err(failed("reading the instances"))?;
        decode(&rows)
    }

    async fn leave(&self, name: &str, run: i64) -> Result<()> {
        let doing = "taking the instance out";
        let mut writing = self.begin_urgent(doing).await?;
        count_query(Purpose::Lease);
        sqlx::query("DELETE FROM instance WHERE id = ?1 AND run = ?2")
            .bind(name)
            .bind(run)
            .execute(writing.connection())
            .await
            .map_err(failed(doing))?;
        writing.commit(doing).await
    }

    async fn forget_instances(&self, dead_for: Duration) -> Result<u64> {
        let doing = "forgetting dead instances";
        let mut writing = self.begin_urgent(doing).await?;
        let before: Micros = Self::now().minus(dead_for);
        count_query(Purpose::Lease);
        let done = sqlx::query("DELETE FROM instance WHERE expires_at < ?1")
            .bind(before.get())
            .execute(writing.connection())
            .await
            .map_err(failed(doing))?;
        writing.commit(doing).await?;
        Ok(done.rows_affected())
    }
}

fn decode(rows: &[sqlx::sqlite::SqliteRow]) -> Result<Vec<Instance>> {
    let all = rows.iter().map(|row| row::instance(row, 0));
    all.collect::<sqlx::Result<_>>().map_err(Error::Unexpected)
}
