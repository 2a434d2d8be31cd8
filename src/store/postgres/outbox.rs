//! The outbox on PostgreSQL, as producers and operators use it.

use async_trait::async_trait;

use super::PostgresStore;
use crate::{
    domain::{Micros, NewChange},
    store::{Outbox, RejectedRow, Result},
    telemetry::{Purpose, count_query},
};

/// Ids are given in the order of the sort.
const APPEND: &str = "\
    INSERT INTO outbox (module, audience, entity_key, op, value, change_id, occurred_at) \
    SELECT module, audience, entity_key, op, value, change_id, \
           coalesce(occurred_at, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint) \
    FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::bigint[]) \
         WITH ORDINALITY \
         AS c(module, audience, entity_key, op, value, change_id, occurred_at, ordinal) \
    ORDER BY ordinal";

const DEPTH: &str = "SELECT count(*) FROM (SELECT 1 FROM outbox LIMIT $1) AS waiting";

const REJECTED: &str = "\
    SELECT id, module, audience, entity_key, op, value, change_id, occurred_at, reason, rejected_at \
    FROM outbox_rejected WHERE id > $1 ORDER BY id LIMIT $2";

const RETRY: &str = "\
    WITH parked AS ( \
        DELETE FROM outbox_rejected WHERE $2 OR id = ANY($1) RETURNING * \
    ) \
    INSERT INTO outbox (module, audience, entity_key, op, value, change_id, occurred_at) \
    SELECT module, audience, entity_key, op, value, change_id, occurred_at FROM parked ORDER BY id";

const DROP: &str = "DELETE FROM outbox_rejected WHERE $2 OR id = ANY($1)";

#[async_trait]
impl Outbox for PostgresStore {
    async fn append(&self, changes: &[NewChange]) -> Result<()> {
        let column = |of: fn(&NewChange) -> &str| changes.iter().map(of).collect::<Vec<_>>();
        let ids: Vec<Option<&str>> = changes.iter().map(|c| c.change_id.as_deref()).collect();
        let times: Vec<Option<i64>> = changes
            .iter()
            .map(|c| c.occurred_at.map(Micros::get))
            .collect();
        let doing = "appending to the outbox";
        let mut borrowed = self.borrow(doing).await?;
        count_query(Purpose::Ingest);
        let insert = sqlx::query(APPEND)
            .bind(column(|c| c.module.as_str()))
            .bind(column(|c| c.audience.as_str()))
            .bind(column(|c| &c.key))
            .bind(column(|c| c.op.as_str()))
            .bind(column(|c| c.value.as_str()))
            .bind(ids)
            .bind(times)
            .execute(borrowed.connection());
        self.call(doing, insert).await?;
        borrowed.put_back();
        Ok(())
    }

    async fn outbox_depth(&self, most: u32) -> Result<u64> {
        let doing = "counting the outbox";
        let mut borrowed = self.borrow(doing).await?;
        count_query(Purpose::Sequence);
        let count = sqlx::query_scalar(DEPTH).bind(i64::from(most));
        let depth: i64 = self
            .call(doing, count.fetch_one(borrowed.connection()))
            .await?;
        borrowed.put_back();
        Ok(depth.unsigned_abs())
    }

    async fn rejected(&self, after: i64, limit: u32) -> Result<Vec<RejectedRow>> {
        let doing = "listing rejected rows";
        let mut borrowed = self.borrow(doing).await?;
        count_query(Purpose::Sequence);
        let select = sqlx::query_as(REJECTED).bind(after).bind(i64::from(limit));
        let rows: Vec<Stored> = self
            .call(doing, select.fetch_all(borrowed.connection()))
            .await?;
        borrowed.put_back();
        Ok(rows.into_iter().map(Into::into).collect())
    }

    async fn retry_rejected(&self, ids: &[i64]) -> Result<u64> {
        self.on_rejected("retrying rejected rows", RETRY, ids).await
    }

    async fn drop_rejected(&self, ids: &[i64]) -> Result<u64> {
        self.on_rejected("dropping rejected rows", DROP, ids).await
    }
}

impl PostgresStore {
    async fn on_rejected(
        &self,
        doing: &'static str,
        sql: &'static str,
        ids: &[i64],
    ) -> Result<u64> {
        let mut borrowed = self.borrow(doing).await?;
        count_query(Purpose::Sequence);
        let change = sqlx::query(sql).bind(ids).bind(ids.is_empty());
        let done = self
            .call(doing, change.execute(borrowed.connection()))
            .await?;
        borrowed.put_back();
        Ok(done.rows_affected())
    }
}

#[derive(sqlx::FromRow)]
struct Stored {
    id: i64,
    module: Option<String>,
    audience: Option<String>,
    entity_key: Option<String>,
    op: Option<String>,
    value: Option<String>,
    change_id: Option<String>,
    occurred_at: Option<i64>,
    reason: String,
    rejected_at: i64,
}

impl From<Stored> for RejectedRow {
    fn from(row: Stored) -> Self {
        Self {
            id: row.id,
            module: row.module.unwrap_or_default(),
            audience: row.audience,
            key: row.entity_key,
            op: row.op,
            value: row.value,
            change_id: row.change_id,
            occurred_at: row.occurred_at,
            reason: row.reason,
            rejected_at: Micros::new(row.rejected_at),
        }
    }
}
