//! The outbox on SQLite, as producers and operators use it.

use async_trait::async_trait;

use super::{SqliteStore, error::failed, json};
use crate::{
    domain::{Micros, NewChange},
    store::{Error, Outbox, RejectedRow, Result},
    telemetry::{Purpose, count_query},
};

const APPEND: &str = "\
    INSERT INTO outbox (module, audience, entity_key, op, value, change_id, occurred_at) \
    SELECT value->>0, value->>1, value->>2, value->>3, value->>4, value->>5, \
           coalesce(value->>6, ?2) \
    FROM json_each(?1) ORDER BY key";

const DEPTH: &str = "SELECT count(*) FROM (SELECT 1 FROM outbox LIMIT ?1)";

const REJECTED: &str = "\
    SELECT id, CAST(module AS BLOB) AS module, CAST(audience AS BLOB) AS audience, \
           CAST(entity_key AS BLOB) AS entity_key, CAST(op AS BLOB) AS op, \
           CAST(value AS BLOB) AS value, CAST(change_id AS BLOB) AS change_id, \
           CASE WHEN typeof(occurred_at) = 'integer' THEN occurred_at END AS occurred_at, \
           reason, rejected_at \
    FROM outbox_rejected WHERE id > ?1 ORDER BY id LIMIT ?2";

const RETRY: &str = "\
    INSERT INTO outbox (module, audience, entity_key, op, value, change_id, occurred_at) \
    SELECT module, audience, entity_key, op, value, change_id, occurred_at FROM outbox_rejected \
    WHERE ?2 OR id IN (SELECT value FROM json_each(?1)) ORDER BY id";

const DROP: &str = "\
    DELETE FROM outbox_rejected WHERE ?2 OR id IN (SELECT value FROM json_each(?1))";

#[async_trait]
impl Outbox for SqliteStore {
    async fn append(&self, changes: &[NewChange]) -> Result<()> {
        refuse_nul(changes)?;
        let doing = "appending to the outbox";
        let rows = changes.iter().map(columns).collect::<Vec<_>>();
        let rows = json::text(&rows);
        let mut writing = self.begin_ordinary(doing).await?;
        count_query(Purpose::Ingest);
        let insert = sqlx::query(APPEND).bind(rows).bind(Self::now().get());
        insert
            .execute(writing.connection())
            .await
            .map_err(failed(doing))?;
        writing.commit(doing).await
    }

    async fn outbox_depth(&self, most: u32) -> Result<u64> {
        count_query(Purpose::Sequence);
        let count = sqlx::query_scalar(DEPTH)
            .bind(most)
            .fetch_one(&self.readers);
        let depth: i64 = count.await.map_err(failed("counting the outbox"))?;
        Ok(depth.unsigned_abs())
    }

    async fn rejected(&self, after: i64, limit: u32) -> Result<Vec<RejectedRow>> {
        count_query(Purpose::Sequence);
        let select = sqlx::query_as(REJECTED)
            .bind(after)
            .bind(limit)
            .fetch_all(&self.readers);
        let rows: Vec<Stored> = select.await.map_err(failed("listing rejected rows"))?;
        Ok(rows.into_iter().map(Into::into).collect())
    }

    async fn retry_rejected(&self, ids: &[i64]) -> Result<u64> {
        self.on_rejected("retrying rejected rows", &[RETRY, DROP], ids)
            .await
    }

    async fn drop_rejected(&self, ids: &[i64]) -> Result<u64> {
        self.on_rejected("dropping rejected rows", &[DROP], ids)
            .await
    }
}

impl SqliteStore {
    /// Returns what the last statement affected.
    async fn on_rejected(
        &self,
        doing: &'static str,
        statements: &[&'static str],
        ids: &[i64],
    ) -> Result<u64> {
        let mut writing = self.begin_ordinary(doing).await?;
        let mut affected = 0;
        for statement in statements {
            count_query(Purpose::Sequence);
            let change = sqlx::query(*statement)
                .bind(json::text(&ids))
                .bind(ids.is_empty());
            let done = change
                .execute(writing.connection())
                .await
                .map_err(failed(doing))?;
            affected = done.rows_affected();
        }
        writing.commit(doing).await?;
        Ok(affected)
    }
}

type Columns<'a> = (
    &'a str,
    &'a str,
    &'a str,
    &'a str,
    &'a str,
    Option<&'a str>,
    Option<Micros>,
);

fn columns(change: &NewChange) -> Columns<'_> {
    (
        change.module.as_str(),
        change.audience.as_str(),
        &change.key,
        change.op.as_str(),
        change.value.as_str(),
        change.change_id.as_deref(),
        change.occurred_at,
    )
}

/// SQLite would store U+0000, and cut the text there in many of its functions; PostgreSQL refuses it.
fn refuse_nul(changes: &[NewChange]) -> Result<()> {
    let texts = |change: &NewChange| {
        let id = change.change_id.clone().unwrap_or_default();
        [
            change.audience.as_str(),
            &change.key,
            change.value.as_str(),
            &id,
        ]
        .iter()
        .any(|text| text.contains('\0'))
    };
    if changes.iter().any(texts) {
        return Err(Error::Refused {
            why: "a text holds U+0000".to_owned(),
        });
    }
    Ok(())
}

#[derive(sqlx::FromRow)]
struct Stored {
    id: i64,
    module: Option<Vec<u8>>,
    audience: Option<Vec<u8>>,
    entity_key: Option<Vec<u8>>,
    op: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    change_id: Option<Vec<u8>>,
    occurred_at: Option<i64>,
    reason: String,
    rejected_at: i64,
}

impl From<Stored> for RejectedRow {
    fn from(row: Stored) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Self {
            id: row.id,
            module: row.module.map(text).unwrap_or_default(),
            audience: row.audience.map(text),
            key: row.entity_key.map(text),
            op: row.op.map(text),
            value: row.value.map(text),
            change_id: row.change_id.map(text),
            occurred_at: row.occurred_at,
            reason: row.reason,
            rejected_at: Micros::new(row.rejected_at),
        }
    }
}
