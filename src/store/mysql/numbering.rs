//! Looking at the outbox and numbering on MariaDB and MySQL, on the numbering connection.

mod fence;
mod scan;
mod transaction;
mod writes;

use std::time::Duration;

use async_trait::async_trait;
use sqlx::MySqlConnection;

use super::{MySqlStore, lease::NOW, statement::Statement};
use crate::{
    store::{
        Lease, Look, Numbering, NumberingTx, Result, Scan, lease::length_micros,
        numbering::all_fenced,
    },
    telemetry::{Purpose, count_query},
};

#[async_trait]
impl Numbering for MySqlStore {
    async fn scan_outbox(&self, scan: Scan<'_>) -> Result<Look> {
        let doing = "looking at the outbox";
        let mut seated = self.seated(doing).await?;
        let rows = self
            .quick(doing, scan::rows(seated.connection(), &scan))
            .await?;
        seated.put_back();
        Ok(rows.into())
    }

    async fn begin_numbering(&self, leases: &[Lease]) -> Result<Box<dyn NumberingTx>> {
        let doing = "beginning to number";
        let mut seated = self.seated(doing).await?;
        let fence = self
            .quick(doing, fence::lock(seated.connection(), leases))
            .await?;
        all_fenced(leases, &fence.heads)?;
        Ok(Box::new(transaction::Transaction::new(
            seated,
            fence,
            self.half_lease,
        )))
    }

    async fn forget_seen(&self, window: Duration, limit: u32) -> Result<u64> {
        let doing = "forgetting change ids";
        let mut seated = self.seated(doing).await?;
        let forgotten = self
            .quick(doing, forget(seated.connection(), window, limit))
            .await?;
        seated.put_back();
        Ok(forgotten)
    }
}

async fn forget(
    connection: &mut MySqlConnection,
    window: Duration,
    limit: u32,
) -> sqlx::Result<u64> {
    count_query(Purpose::Retention);
    let mut delete = Statement::new("DELETE FROM change_seen WHERE at < ");
    delete
        .push(NOW)
        .push(" - ")
        .push_bind(length_micros(window))
        .push(" ORDER BY at LIMIT ")
        .push_bind(i64::from(limit));
    let done = delete.build().execute(connection).await?;
    Ok(done.rows_affected())
}
