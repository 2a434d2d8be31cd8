//! Instances on MariaDB and MySQL.

use std::time::Duration;

use async_trait::async_trait;
use sqlx::MySqlConnection;

use super::{MySqlStore, lease::NOW, statement::Statement, stored::Stored};
use crate::{
    domain::Micros,
    store::{
        Beat, Beaten, Instance, Instances, Result,
        instances::{beaten, wants_text},
        lease::length_micros,
        row::{self, Columns},
    },
    telemetry::{Purpose, count_query},
};

#[async_trait]
impl Instances for MySqlStore {
    async fn beat(&self, beat: &Beat<'_>) -> Result<Beaten> {
        let doing = "renewing the heartbeat";
        let mut seated = self.seated(doing).await?;
        let beating = async {
            let connection = seated.connection();
            let ours = renew(connection, beat).await? || join(connection, beat).await?;
            let (now, all) = all(connection).await?;
            Ok(beaten(beat, ours, now, all))
        };
        let found = self.quick(doing, beating).await?;
        seated.put_back();
        Ok(found)
    }

    async fn instances(&self) -> Result<Vec<Instance>> {
        let doing = "reading the instances";
        let mut borrowed = self.borrow(doing).await?;
        let (_now, all) = self.call(doing, all(borrowed.connection())).await?;
        borrowed.put_back();
        Ok(all)
    }

    async fn leave(&self, name: &str, run: i64) -> Result<()> {
        let doing = "taking the instance out";
        let mut seated = self.seated(doing).await?;
        count_query(Purpose::Lease);
        let delete = sqlx::query("DELETE FROM instance WHERE id = ? AND run = ?")
            .bind(name)
            .bind(run);
        self.quick(doing, delete.execute(seated.connection()))
            .await?;
        seated.put_back();
        Ok(())
    }

    async fn forget_instances(&self, dead_for: Duration) -> Result<u64> {
        let doing = "forgetting dead instances";
        let mut borrowed = self.borrow(doing).await?;
        count_query(Purpose::Lease);
        let mut delete = Statement::new("DELETE FROM instance WHERE expires_at < ");
        delete
            .push(NOW)
            .push(" - ")
            .push_bind(length_micros(dead_for));
        let done = self
            .call(doing, delete.build().execute(borrowed.connection()))
            .await?;
        borrowed.put_back();
        Ok(done.rows_affected())
    }
}

/// The row is this process's, or that of a dead one of its name. The assignments take effect from left to right.
async fn renew(connection: &mut MySqlConnection, beat: &Beat<'_>) -> sqlx::Result<bool> {
    count_query(Purpose::Lease);
    let mut update = Statement::new("UPDATE instance SET since = IF(run = ");
    update
        .push_bind(beat.run)
        .push(" AND since > 0, since, ")
        .push(since(beat))
        .push("), heartbeat = ")
        .push(NOW)
        .push(", expires_at = ")
        .push(NOW)
        .push(" + ")
        .push_bind(length_micros(beat.lease))
        .push(", embedded = ")
        .push_bind(beat.embedded)
        .push(", holds = ")
        .push_bind(i64::try_from(beat.holds).unwrap_or(i64::MAX))
        .push(", wants = ")
        .push_bind(wants_text(beat.wants))
        .push(", run = ")
        .push_bind(beat.run)
        .push(" WHERE id = ")
        .push_bind(beat.name)
        .push(" AND (run = ")
        .push_bind(beat.run)
        .push(" OR expires_at <= ")
        .push(NOW)
        .push(")");
    // The driver asks the server for rows found, not for rows changed.
    Ok(update.build().execute(connection).await?.rows_affected() == 1)
}

/// There is no row of this name; false if one has come in between, or if somebody lives under it.
async fn join(connection: &mut MySqlConnection, beat: &Beat<'_>) -> sqlx::Result<bool> {
    count_query(Purpose::Lease);
    let mut insert = Statement::new(
        "INSERT IGNORE INTO instance (id, run, since, heartbeat, expires_at, embedded, holds, wants) VALUES (",
    );
    insert
        .push_bind(beat.name)
        .push(", ")
        .push_bind(beat.run)
        .push(", ")
        .push(since(beat))
        .push(", ")
        .push(NOW)
        .push(", ")
        .push(NOW)
        .push(" + ")
        .push_bind(length_micros(beat.lease))
        .push(", ")
        .push_bind(beat.embedded)
        .push(", ")
        .push_bind(i64::try_from(beat.holds).unwrap_or(i64::MAX))
        .push(", ")
        .push_bind(wants_text(beat.wants))
        .push(")");
    Ok(insert.build().execute(connection).await?.rows_affected() == 1)
}

/// The column `since` of a process that begins.
const fn since(beat: &Beat<'_>) -> &'static str {
    if beat.joined { NOW } else { "0" }
}

/// All of them, and what time it is; the beginning of time if there are none.
async fn all(connection: &mut MySqlConnection) -> sqlx::Result<(Micros, Vec<Instance>)> {
    count_query(Purpose::Lease);
    let mut select =
        Statement::new("SELECT id, run, since, heartbeat, expires_at, embedded, holds, wants, ");
    select.push(NOW).push(" FROM instance ORDER BY id");
    let rows = Stored::all(select.build().fetch_all(connection).await?);
    let now = rows.first().map_or(Ok(0), |row| row.integer(8))?;
    let all = rows.iter().map(|row| row::instance(row, 0));
    Ok((Micros::new(now), all.collect::<sqlx::Result<_>>()?))
}
