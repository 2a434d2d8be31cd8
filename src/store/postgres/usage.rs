//! What was counted, on PostgreSQL.

use async_trait::async_trait;
use sqlx::{PgConnection, Postgres, QueryBuilder};

use super::PostgresStore;
use crate::{
    domain::{Micros, Stage},
    store::{
        Busiest, Error, Result, UsageFlush, Usages,
        row::{busiest, usage_sum},
        usage::{INTO, REMEMBERED, ROWS, numbers, rank},
    },
    telemetry::{
        Purpose, count_query,
        usage::{UsageRow, UsageSum},
    },
};

/// Nothing is changed if the flush, or a later one, is in already.
const FENCE: &str = "\
    INSERT INTO usage_writer (run, flushes, at) VALUES ($1, $2, $3) \
    ON CONFLICT (run) DO UPDATE SET flushes = excluded.flushes, at = excluded.at WHERE usage_writer.flushes < excluded.flushes";

const ADD: &str = "\
    ON CONFLICT (hour, module, transport) DO UPDATE SET \
        stage = greatest(usage_hourly.stage, excluded.stage), \
        counted_from = least(usage_hourly.counted_from, excluded.counted_from), \
        counted_to = greatest(usage_hourly.counted_to, excluded.counted_to), \
        requests = usage_hourly.requests + excluded.requests, idle = usage_hourly.idle + excluded.idle, \
        memory = usage_hourly.memory + excluded.memory, refused = usage_hourly.refused + excluded.refused, \
        statements = usage_hourly.statements + excluded.statements, bytes = usage_hourly.bytes + excluded.bytes, \
        messages = usage_hourly.messages + excluded.messages, payloads = usage_hourly.payloads + excluded.payloads";

const SUMS: &str = "\
    SELECT module, transport, SUM(counted_to - counted_from)::bigint, MIN(counted_from), MAX(counted_to), \
        SUM(requests)::bigint, SUM(idle)::bigint, SUM(memory)::bigint, SUM(refused)::bigint, SUM(statements)::bigint, \
        SUM(bytes)::bigint, SUM(messages)::bigint, SUM(payloads)::bigint, MAX(requests), MAX(CASE WHEN requests > 0 THEN counted_to END) \
    FROM usage_hourly WHERE hour >= $1 AND stage <= $2 GROUP BY module, transport ORDER BY module, transport";

const BUSIEST: &str = "\
    SELECT MAX(r)::bigint, MAX(s)::bigint FROM ( \
        SELECT SUM(requests) AS r, SUM(CASE WHEN module = '-' THEN statements ELSE 0 END) AS s \
        FROM usage_hourly WHERE hour >= $1 GROUP BY hour) AS hours";

const FORGET: &str = "\
    DELETE FROM usage_hourly WHERE (hour, module, transport) IN \
        (SELECT hour, module, transport FROM usage_hourly WHERE hour < $1 ORDER BY hour LIMIT $2)";

#[async_trait]
impl Usages for PostgresStore {
    async fn add_usage(&self, flush: &UsageFlush) -> Result<()> {
        let doing = "writing what was counted";
        let mut borrowed = self.begin(doing).await?;
        count_query(Purpose::Usage);
        let fence = sqlx::query(FENCE)
            .bind(flush.run)
            .bind(flush.number)
            .bind(flush.at.get())
            .execute(borrowed.connection());
        if self.call(doing, fence).await?.rows_affected() == 1 {
            for rows in flush.rows.chunks(ROWS) {
                self.call(doing, add(borrowed.connection(), rows)).await?;
            }
        }
        self.commit(doing, borrowed).await
    }

    async fn usage(&self, since: Micros, stage: Stage) -> Result<Vec<UsageSum>> {
        let doing = "reading what was counted";
        let mut borrowed = self.borrow(doing).await?;
        count_query(Purpose::Usage);
        let select = sqlx::query(SUMS).bind(since.get()).bind(rank(stage));
        let rows = self
            .call(doing, select.fetch_all(borrowed.connection()))
            .await?;
        borrowed.put_back();
        let sums: sqlx::Result<_> = rows.iter().map(usage_sum).collect();
        sums.map_err(Error::Unexpected)
    }

    async fn busiest_hours(&self, since: Micros) -> Result<Busiest> {
        let doing = "reading the busiest hours";
        let mut borrowed = self.borrow(doing).await?;
        count_query(Purpose::Usage);
        let select = sqlx::query(BUSIEST).bind(since.get());
        let row = self
            .call(doing, select.fetch_one(borrowed.connection()))
            .await?;
        borrowed.put_back();
        busiest(&row).map_err(Error::Unexpected)
    }

    async fn forget_usage(&self, before: Micros, most: u32) -> Result<u64> {
        let doing = "forgetting what was counted";
        let mut borrowed = self.begin(doing).await?;
        count_query(Purpose::Usage);
        let hours = sqlx::query(FORGET)
            .bind(before.get())
            .bind(i64::from(most))
            .execute(borrowed.connection());
        let hours = self.call(doing, hours).await?.rows_affected();
        count_query(Purpose::Usage);
        let writers = sqlx::query("DELETE FROM usage_writer WHERE at < $1")
            .bind(before.minus(REMEMBERED).get())
            .execute(borrowed.connection());
        self.call(doing, writers).await?;
        self.commit(doing, borrowed).await?;
        Ok(hours)
    }
}

async fn add(connection: &mut PgConnection, rows: &[UsageRow]) -> sqlx::Result<()> {
    count_query(Purpose::Usage);
    let mut insert = QueryBuilder::<Postgres>::new(INTO);
    insert.push_values(rows, |mut columns, row| {
        columns
            .push_bind(row.hour.get())
            .push_bind(&row.module)
            .push_bind(row.transport.as_str());
        for number in numbers(row) {
            columns.push_bind(number);
        }
    });
    insert.push(" ").push(ADD);
    insert.build().execute(connection).await.map(drop)
}
