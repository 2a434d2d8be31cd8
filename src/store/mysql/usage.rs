//! What was counted, on MariaDB and MySQL.

use async_trait::async_trait;
use sqlx::MySqlConnection;

use super::{MySqlStore, statement::Statement, stored::Stored};
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

/// Nothing is changed if the flush, or a later one, is in already. The row is locked in any case.
const FENCE: &str =
    "SELECT flushes FROM usage_writer FORCE INDEX (PRIMARY) WHERE run = ? FOR UPDATE";

const FIRST: &str = "INSERT INTO usage_writer (flushes, at, run) VALUES (?, ?, ?)";

const NEXT: &str =
    "UPDATE usage_writer FORCE INDEX (PRIMARY) SET flushes = ?, at = ? WHERE run = ?";

const ADD: &str = "\
    ON DUPLICATE KEY UPDATE \
        stage = GREATEST(stage, VALUES(stage)), \
        counted_from = LEAST(counted_from, VALUES(counted_from)), \
        counted_to = GREATEST(counted_to, VALUES(counted_to)), \
        requests = requests + VALUES(requests), idle = idle + VALUES(idle), \
        memory = memory + VALUES(memory), refused = refused + VALUES(refused), \
        statements = statements + VALUES(statements), bytes = bytes + VALUES(bytes), \
        messages = messages + VALUES(messages), payloads = payloads + VALUES(payloads)";

const SUMS: &str = "\
    SELECT module, transport, CAST(SUM(counted_to - counted_from) AS SIGNED), MIN(counted_from), MAX(counted_to), \
        CAST(SUM(requests) AS SIGNED), CAST(SUM(idle) AS SIGNED), CAST(SUM(memory) AS SIGNED), \
        CAST(SUM(refused) AS SIGNED), CAST(SUM(statements) AS SIGNED), CAST(SUM(bytes) AS SIGNED), \
        CAST(SUM(messages) AS SIGNED), CAST(SUM(payloads) AS SIGNED), MAX(requests), MAX(CASE WHEN requests > 0 THEN counted_to END) \
    FROM usage_hourly WHERE hour >= ? AND stage <= ? GROUP BY module, transport ORDER BY module, transport";

const BUSIEST: &str = "\
    SELECT CAST(MAX(r) AS SIGNED), CAST(MAX(s) AS SIGNED) FROM ( \
        SELECT SUM(requests) AS r, SUM(CASE WHEN module = '-' THEN statements ELSE 0 END) AS s \
        FROM usage_hourly WHERE hour >= ? GROUP BY hour) AS hours";

const FORGET: &str =
    "DELETE FROM usage_hourly WHERE hour < ? ORDER BY hour, module, transport LIMIT ?";

const FORGET_WRITERS: &str = "DELETE FROM usage_writer WHERE at < ?";

#[async_trait]
impl Usages for MySqlStore {
    async fn add_usage(&self, flush: &UsageFlush) -> Result<()> {
        let doing = "writing what was counted";
        let mut borrowed = self.begin(doing).await?;
        let fence = fence(borrowed.connection(), flush);
        if self.call(doing, fence).await? {
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
        let sums: sqlx::Result<_> = Stored::all(rows).iter().map(usage_sum).collect();
        sums.map_err(Error::Unexpected)
    }

    async fn busiest_hours(&self, since: Micros) -> Result<Busiest> {
        let doing = "reading the busiest hours";
        let mut borrowed = self.borrow(doing).await?;
        count_query(Purpose::Usage);
        let select = sqlx::query(BUSIEST).bind(since.get());
        let rows = self
            .call(doing, select.fetch_all(borrowed.connection()))
            .await?;
        borrowed.put_back();
        let found = Stored::all(rows).first().map(busiest).transpose();
        found
            .map(Option::unwrap_or_default)
            .map_err(Error::Unexpected)
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
        let writers = sqlx::query(FORGET_WRITERS)
            .bind(before.minus(REMEMBERED).get())
            .execute(borrowed.connection());
        self.call(doing, writers).await?;
        self.commit(doing, borrowed).await?;
        Ok(hours)
    }
}

/// Whether the flush is to be added.
async fn fence(connection: &mut MySqlConnection, flush: &UsageFlush) -> sqlx::Result<bool> {
    count_query(Purpose::Usage);
    let done: Option<i64> = sqlx::query_scalar(FENCE)
        .bind(flush.run)
        .fetch_optional(&mut *connection)
        .await?;
    if done.is_some_and(|done| done >= flush.number) {
        return Ok(false);
    }
    count_query(Purpose::Usage);
    let write = sqlx::query(if done.is_some() { NEXT } else { FIRST })
        .bind(flush.number)
        .bind(flush.at.get())
        .bind(flush.run);
    write.execute(connection).await?;
    Ok(true)
}

async fn add(connection: &mut MySqlConnection, rows: &[UsageRow]) -> sqlx::Result<()> {
    count_query(Purpose::Usage);
    let mut insert = Statement::new(INTO);
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
