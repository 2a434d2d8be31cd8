//! Looking at the outbox and numbering on PostgreSQL, on the numbering connection.

mod fence;
mod scan;
mod transaction;
mod writes;

use std::time::Duration;

use async_trait::async_trait;

use super::PostgresStore;
use crate::{
    store::{
        Lease, Look, Numbering, NumberingTx, Result, Scan, lease::length_micros,
        numbering::all_fenced,
    },
    telemetry::{Purpose, count_query},
};

const FORGET: &str = "\
    DELETE FROM change_seen WHERE ctid = ANY(ARRAY( \
        SELECT ctid FROM change_seen \
        WHERE at < (extract(epoch FROM clock_timestamp()) * 1000000)::bigint - $1 \
        ORDER BY at LIMIT $2))";

#[async_trait]
impl Numbering for PostgresStore {
    async fn scan_outbox(&self, scan: Scan<'_>) -> Result<Look> {
        let doing = "looking at the outbox";
        let mut seated = self.seated(doing).await?;
        let look = self
            .quick(doing, scan::look(seated.connection(), &scan))
            .await?;
        seated.put_back();
        Ok(look)
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
        count_query(Purpose::Retention);
        let delete = sqlx::query(FORGET)
            .bind(length_micros(window))
            .bind(i64::from(limit));
        let done = self
            .quick(doing, delete.execute(seated.connection()))
            .await?;
        seated.put_back();
        Ok(done.rows_affected())
    }
}
