//! One look at the outbox: no locks, by id, bounded by rows and bytes.

use sqlx::{PgConnection, Row, ValueRef, postgres::PgRow};

use crate::{
    domain::ModuleName,
    store::{OutboxRow, Scan},
    telemetry::{Purpose, count_query},
};

/// Sizes are summed in id order inside the database, so that what exceeds the bound is never sent.
/// The size of a large value is known without reading it.
const SCAN: &str = "\
    SELECT id, module, audience, entity_key, op, value, change_id, occurred_at FROM ( \
        SELECT *, sum(size) OVER (ORDER BY id ROWS UNBOUNDED PRECEDING) AS total FROM ( \
            SELECT *, octet_length(module) + octet_length(entity_key) \
                      + coalesce(octet_length(audience), 0) + coalesce(octet_length(op), 0) \
                      + coalesce(octet_length(value), 0) + coalesce(octet_length(change_id), 0) AS size \
            FROM outbox WHERE id > $2 AND (module = ANY($1)) <> $3 ORDER BY id LIMIT $4 \
        ) AS next \
    ) AS summed \
    WHERE total <= $5 OR total = size ORDER BY id";

pub(super) async fn rows(
    connection: &mut PgConnection,
    scan: &Scan<'_>,
) -> sqlx::Result<Vec<OutboxRow>> {
    let modules: Vec<&str> = scan.modules.iter().map(ModuleName::as_str).collect();
    count_query(Purpose::Sequence);
    let rows = sqlx::query(SCAN)
        .bind(modules)
        .bind(scan.after_id)
        .bind(scan.except)
        .bind(i64::from(scan.rows))
        .bind(i64::try_from(scan.bytes).unwrap_or(i64::MAX))
        .fetch_all(connection)
        .await?;
    rows.iter().map(row).collect()
}

fn row(row: &PgRow) -> sqlx::Result<OutboxRow> {
    Ok(OutboxRow {
        id: row.try_get(0)?,
        module: bytes(row, 1)?.unwrap_or_default(),
        audience: bytes(row, 2)?,
        key: bytes(row, 3)?,
        op: bytes(row, 4)?,
        value: bytes(row, 5)?,
        change_id: bytes(row, 6)?,
        occurred_at: row.try_get(7)?,
    })
}

/// As bytes: a database whose encoding is `SQL_ASCII` promises no UTF-8.
fn bytes(row: &PgRow, column: usize) -> sqlx::Result<Option<Vec<u8>>> {
    let value = row.try_get_raw(column)?;
    if value.is_null() {
        return Ok(None);
    }
    let bytes = value.as_bytes().map_err(sqlx::Error::Decode)?;
    Ok(Some(bytes.to_vec()))
}
