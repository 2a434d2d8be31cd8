//! Looking at the outbox and numbering on SQLite.

mod scan;
mod transaction;
mod writes;

use std::time::Duration;

use async_trait::async_trait;

use super::{SqliteStore, error::failed, lease::pairs};
use crate::{
    store::{Error, Lease, Look, Numbering, NumberingTx, Result, Scan, numbering::all_fenced, row},
    telemetry::{Purpose, count_query},
};

const FENCE: &str = "\
    SELECT module, epoch, head, retained_from, sequenced_through FROM module_head \
    WHERE (module, lease_token) IN (SELECT value->>0, value->>1 FROM json_each(?1)) \
    ORDER BY module";

const FORGET: &str = "\
    DELETE FROM change_seen WHERE rowid IN ( \
        SELECT rowid FROM change_seen WHERE at < ?1 ORDER BY at LIMIT ?2)";

#[async_trait]
impl Numbering for SqliteStore {
    fn excludes_producers(&self) -> bool {
        true
    }

    async fn scan_outbox(&self, scan: Scan<'_>) -> Result<Look> {
        let rows = scan::rows(&self.scanner, &scan).await;
        Ok(rows.map_err(failed("looking at the outbox"))?.into())
    }

    async fn begin_numbering(&self, leases: &[Lease]) -> Result<Box<dyn NumberingTx>> {
        let doing = "beginning to number";
        let mut writing = self.begin_urgent(doing).await?;
        count_query(Purpose::Sequence);
        let fence = sqlx::query(FENCE).bind(pairs(leases));
        let rows = fence
            .fetch_all(writing.connection())
            .await
            .map_err(failed(doing))?;
        let heads = rows
            .iter()
            .map(row::fenced_head)
            .collect::<sqlx::Result<Vec<_>>>();
        let heads = heads.map_err(Error::Unexpected)?;
        all_fenced(leases, &heads)?;
        Ok(Box::new(transaction::Transaction::new(
            writing,
            heads,
            Self::now(),
        )))
    }

    async fn forget_seen(&self, window: Duration, limit: u32) -> Result<u64> {
        let doing = "forgetting change ids";
        let mut writing = self.begin_urgent(doing).await?;
        count_query(Purpose::Retention);
        let before = Self::now().minus(window);
        let delete = sqlx::query(FORGET).bind(before.get()).bind(limit);
        let done = delete
            .execute(writing.connection())
            .await
            .map_err(failed(doing))?;
        writing.commit(doing).await?;
        Ok(done.rows_affected())
    }
}
