//! What was counted, on SQLite.

use async_trait::async_trait;
use sqlx::{QueryBuilder, Sqlite, SqliteConnection};

use super::{SqliteStore, error::failed};
use crate::{
    domain::{Micros, Stage},
    store::{
        Busiest, Result, UsageFlush, Usages,
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
    INSERT INTO usage_writer (run, flushes, at) VALUES (?1, ?2, ?3) \
    ON CONFLICT (run) DO UPDATE SET flushes = excluded.flushes, at = excluded.at WHERE flushes < excluded.flushes";

const ADD: &str = "\
    ON CONFLICT (hour, module, transport) DO UPDATE SET \
        stage = max(stage, excluded.stage), \
        counted_from = min(counted_from, excluded.counted_from), \
        counted_to = max(counted_to, excluded.counted_to), \
        requests = requests + excluded.requests, idle = idle + excluded.idle, \
        memory = memory + excluded.memory, refused = refused + excluded.refused, \
        statements = statements + excluded.statements, bytes = bytes + excluded.bytes, \
        messages = messages + excluded.messages, payloads = payloads + excluded.payloads";

const SUMS: &str = "\
    SELECT module, transport, SUM(counted_to - counted_from), MIN(counted_from), MAX(counted_to), SUM(requests), SUM(idle), \
        SUM(memory), SUM(refused), SUM(statements), SUM(bytes), SUM(messages), SUM(payloads), MAX(requests), \
        MAX(CASE WHEN requests > 0 THEN counted_to END) \
    FROM usage_hourly WHERE hour >= ?1 AND stage <= ?2 GROUP BY module, transport ORDER BY module, transport";

const BUSIEST: &str = "\
    SELECT MAX(r), MAX(s) FROM ( \
        SELECT SUM(requests) AS r, SUM(CASE WHEN module = '-' THEN statements ELSE 0 END) AS s \
        FROM usage_hourly WHERE hour >= ?1 GROUP BY hour)";

const FORGET: &str = "\
    DELETE FROM usage_hourly WHERE (hour, module, transport) IN \
        (SELECT hour, module, transport FROM usage_hourly WHERE hour < ?1 ORDER BY hour LIMIT ?2)";

#[async_trait]
impl Usages for SqliteStore {
    async fn add_usage(&self, flush: &UsageFlush) -> Result<()> {
        let doing = "writing what was counted";
        let mut writing = self.begin_ordinary(doing).await?;
        count_query(Purpose::Usage);
        let fence = sqlx::query(FENCE)
            .bind(flush.run)
            .bind(flush.number)
            .bind(flush.at.get());
        let fenced = fence.execute(writing.connection()).await;
        if fenced.map_err(failed(doing))?.rows_affected() == 1 {
            for rows in flush.rows.chunks(ROWS) {
                let add = add(writing.connection(), rows).await;
                add.map_err(failed(doing))?;
            }
        }
        writing.commit(doing).await
    }

    async fn usage(&self, since: Micros, stage: Stage) -> Result<Vec<UsageSum>> {
        let doing = "reading what was counted";
        count_query(Purpose::Usage);
        let select = sqlx::query(SUMS).bind(since.get()).bind(rank(stage));
        let rows = select.fetch_all(&self.readers).await;
        let rows = rows.map_err(failed(doing))?;
        let sums: sqlx::Result<_> = rows.iter().map(usage_sum).collect();
        sums.map_err(failed(doing))
    }

    async fn busiest_hours(&self, since: Micros) -> Result<Busiest> {
        let doing = "reading the busiest hours";
        count_query(Purpose::Usage);
        let select = sqlx::query(BUSIEST).bind(since.get());
        let row = select.fetch_one(&self.readers).await;
        row.and_then(|row| busiest(&row)).map_err(failed(doing))
    }

    async fn forget_usage(&self, before: Micros, most: u32) -> Result<u64> {
        let doing = "forgetting what was counted";
        let mut writing = self.begin_ordinary(doing).await?;
        count_query(Purpose::Usage);
        let hours = sqlx::query(FORGET).bind(before.get()).bind(most);
        let hours = hours.execute(writing.connection()).await;
        let hours = hours.map_err(failed(doing))?.rows_affected();
        count_query(Purpose::Usage);
        let writers = sqlx::query("DELETE FROM usage_writer WHERE at < ?1")
            .bind(before.minus(REMEMBERED).get())
            .execute(writing.connection());
        writers.await.map_err(failed(doing))?;
        writing.commit(doing).await?;
        Ok(hours)
    }
}

async fn add(connection: &mut SqliteConnection, rows: &[UsageRow]) -> sqlx::Result<()> {
    count_query(Purpose::Usage);
    let mut insert = QueryBuilder::<Sqlite>::new(INTO);
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
