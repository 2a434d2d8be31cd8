//! Instances on PostgreSQL.

use std::time::Duration;

use async_trait::async_trait;
use sqlx::{Row, postgres::PgRow};

use super::PostgresStore;
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

/// The others are read as they were before the statement, which is soon enough.
const BEAT: &str = "\
    WITH clock AS MATERIALIZED ( \
        SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS now \
    ), mine AS ( \
        INSERT INTO instance AS i (id, run, since, heartbeat, expires_at, embedded, holds, wants) \
        SELECT $1, $2, CASE WHEN $7 THEN now ELSE 0 END, now, now + $3, $4, $5, $6 FROM clock \
        ON CONFLICT (id) DO UPDATE \
        SET since = CASE WHEN i.run = excluded.run AND i.since > 0 THEN i.since ELSE excluded.since END, \
            run = excluded.run, heartbeat = excluded.heartbeat, expires_at = excluded.expires_at, \
            embedded = excluded.embedded, holds = excluded.holds, wants = excluded.wants \
        WHERE i.run = excluded.run OR i.expires_at <= excluded.heartbeat \
        RETURNING id \
    ) \
    SELECT (SELECT count(*) FROM mine), \
           i.id, i.run, i.since, i.heartbeat, i.expires_at, i.embedded, i.holds, i.wants, clock.now \
    FROM clock LEFT JOIN instance i ON true ORDER BY i.id";

const ALL: &str = "\
    SELECT id, run, since, heartbeat, expires_at, embedded, holds, wants, \
           (extract(epoch FROM clock_timestamp()) * 1000000)::bigint \
    FROM instance ORDER BY id";

const LEAVE: &str = "DELETE FROM instance WHERE id = $1 AND run = $2";

const FORGET: &str = "\
    DELETE FROM instance \
    WHERE expires_at < (extract(epoch FROM clock_timestamp()) * 1000000)::bigint - $1";

#[async_trait]
impl Instances for PostgresStore {
    async fn beat(&self, beat: &Beat<'_>) -> Result<Beaten> {
        let doing = "renewing the heartbeat";
        let mut seated = self.seated(doing).await?;
        count_query(Purpose::Lease);
        let upsert = sqlx::query(BEAT)
            .bind(beat.name)
            .bind(beat.run)
            .bind(length_micros(beat.lease))
            .bind(beat.embedded)
            .bind(i64::try_from(beat.holds).unwrap_or(i64::MAX))
            .bind(wants_text(beat.wants))
            .bind(beat.joined);
        let rows = self
            .quick(doing, upsert.fetch_all(seated.connection()))
            .await?;
        seated.put_back();
        let said = |row: &PgRow| Ok((row.try_get::<i64, _>(0)? == 1, row.try_get(9)?));
        let said = rows.first().map_or(Err(sqlx::Error::RowNotFound), said);
        let (ours, now) = said.map_err(Error::Unexpected)?;
        // Before the first of all beats there is a row of the clock alone.
        let stored = rows.iter().filter(|row| {
            row.try_get::<Option<&str>, _>(1)
                .is_ok_and(|id| id.is_some())
        });
        let all = stored
            .map(|row| row::instance(row, 1))
            .collect::<sqlx::Result<_>>();
        let all = all.map_err(Error::Unexpected)?;
        Ok(beaten(beat, ours, Micros::new(now), all))
    }

    async fn instances(&self) -> Result<Vec<Instance>> {
        let doing = "reading the instances";
        let mut borrowed = self.borrow(doing).await?;
        count_query(Purpose::Lease);
        let select = sqlx::query(ALL).fetch_all(borrowed.connection());
        let rows = self.call(doing, select).await?;
        borrowed.put_back();
        let all = rows.iter().map(|row| row::instance(row, 0));
        all.collect::<sqlx::Result<_>>().map_err(Error::Unexpected)
    }

    async fn leave(&self, name: &str, run: i64) -> Result<()> {
        let doing = "taking the instance out";
        let mut seated = self.seated(doing).await?;
        count_query(Purpose::Lease);
        let delete = sqlx::query(LEAVE).bind(name).bind(run);
        self.quick(doing, delete.execute(seated.connection()))
            .await?;
        seated.put_back();
        Ok(())
    }

    async fn forget_instances(&self, dead_for: Duration) -> Result<u64> {
        let doing = "forgetting dead instances";
        let mut borrowed = self.borrow(doing).await?;
        count_query(Purpose::Lease);
        let delete = sqlx::query(FORGET).bind(length_micros(dead_for));
        let done = self
            .call(doing, delete.execute(borrowed.connection()))
            .await?;
        borrowed.put_back();
        Ok(done.rows_affected())
    }
}
