//! One look at the outbox: without locks, by id, bounded by rows and bytes.

use sqlx::{Row, SqlitePool, sqlite::SqliteRow};

use super::super::json;
use crate::{
    store::{OutboxRow, Scan},
    telemetry::{Purpose, count_query},
};

/// Whatever type a producer's program stored is read as bytes. Sizes are summed in id order, and
/// what exceeds the bound is not read.
const SCAN: &str = "\
    SELECT id, CAST(module AS BLOB), CAST(audience AS BLOB), CAST(entity_key AS BLOB), \
           CAST(op AS BLOB), CAST(value AS BLOB), CAST(change_id AS BLOB), \
           CASE WHEN typeof(occurred_at) IN ('integer', 'real') THEN CAST(occurred_at AS INTEGER) END \
    FROM ( \
        SELECT *, sum(size) OVER (ORDER BY id ROWS UNBOUNDED PRECEDING) AS total FROM ( \
            SELECT *, octet_length(module) + octet_length(entity_key) \
                      + coalesce(octet_length(audience), 0) + coalesce(octet_length(op), 0) \
                      + coalesce(octet_length(value), 0) + coalesce(octet_length(change_id), 0) AS size \
            FROM outbox \
            WHERE id > ?2 AND (module IN (SELECT value FROM json_each(?1))) <> ?3 \
            ORDER BY id LIMIT ?4 \
        ) \
    ) \
    WHERE total <= ?5 OR total = size ORDER BY id";

pub(super) async fn rows(scanner: &SqlitePool, scan: &Scan<'_>) -> sqlx::Result<Vec<OutboxRow>> {
    count_query(Purpose::Sequence);
    let rows = sqlx::query(SCAN)
        .bind(json::text(&scan.modules))
        .bind(scan.beyond.id())
        .bind(scan.except)
        .bind(scan.rows)
        .bind(i64::try_from(scan.bytes).unwrap_or(i64::MAX))
        .fetch_all(scanner)
        .await?;
    rows.iter().map(row).collect()
}

fn row(row: &SqliteRow) -> sqlx::Result<OutboxRow> {
    Ok(OutboxRow {
        id: row.try_get(0)?,
        module: row.try_get(1)?,
        audience: row.try_get(2)?,
        key: row.try_get(3)?,
        op: row.try_get(4)?,
        value: row.try_get(5)?,
        change_id: row.try_get(6)?,
        occurred_at: row.try_get(7)?,
    })
}
