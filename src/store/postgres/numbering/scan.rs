//! One look at the outbox: no locks, by id, bounded by rows and bytes.
//!
//! Rows that were numbered stay behind as dead rows while somebody keeps a snapshot open, and whoever reads the outbox
//! from its beginning walks over all of them. A look beyond a mark does not: it reads on by id, and picks the rows
//! of transactions that may have been under way from the index of transactions, wherever their ids are. Invariant:
//! it finds what a look at everything would find, in one snapshot and in the same order.

use sqlx::{PgConnection, Row, ValueRef, postgres::PgRow};

use crate::{
    domain::ModuleName,
    store::{Beyond, Look, Mark, OutboxRow, Scan},
    telemetry::{Purpose, count_query},
};

/// Sizes are summed in id order inside the database, so that what exceeds the bound is never sent. The size of a large
/// value is known without reading it. `id + 0` keeps the primary key out of the second part: it would be walked from its
/// beginning. `settled` is the snapshot's: every transaction before it has ended. It comes with no rows, too.
const LOOK: &str = "\
    SELECT id, module, audience, entity_key, op, value, change_id, occurred_at, held, settled \
    FROM (SELECT txid_snapshot_xmin(txid_current_snapshot()) AS settled) AS snapshot LEFT JOIN ( \
        SELECT *, count(*) OVER () AS held, sum(size) OVER (ORDER BY id ROWS UNBOUNDED PRECEDING) AS total FROM ( \
            SELECT *, octet_length(module) + octet_length(entity_key) \
                      + coalesce(octet_length(audience), 0) + coalesce(octet_length(op), 0) \
                      + coalesce(octet_length(value), 0) + coalesce(octet_length(change_id), 0) AS size \
            FROM ( \
                (SELECT * FROM outbox WHERE id > $2 AND (module = ANY($1)) <> $3 ORDER BY id LIMIT $4) \
                UNION ALL \
                (SELECT * FROM outbox WHERE txid >= $6 AND id + 0 <= $2 AND (module = ANY($1)) <> $3 \
                 ORDER BY id + 0 LIMIT $4) \
            ) AS found ORDER BY id LIMIT $4 \
        ) AS next \
    ) AS summed ON total <= $5 OR total = size ORDER BY id";

pub(super) async fn look(connection: &mut PgConnection, scan: &Scan<'_>) -> sqlx::Result<Look> {
    let modules: Vec<&str> = scan.modules.iter().map(ModuleName::as_str).collect();
    let from = match scan.beyond {
        Beyond::Mark(mark) => mark,
        beyond => Mark {
            id: beyond.id(),
            transaction: i64::MAX,
        },
    };
    count_query(Purpose::Sequence);
    let rows = sqlx::query(LOOK)
        .bind(modules)
        .bind(from.id)
        .bind(scan.except)
        .bind(i64::from(scan.rows))
        .bind(i64::try_from(scan.bytes).unwrap_or(i64::MAX))
        .bind(from.transaction)
        .fetch_all(connection)
        .await?;
    let mark = rows.last().map(|last| mark(last, rows.len(), scan.rows));
    let rows = rows.iter().filter_map(|found| row(found).transpose());
    Ok(Look {
        rows: rows.collect::<sqlx::Result<_>>()?,
        mark: mark.transpose()?,
    })
}

/// What is behind a look that ends with the row `last`: if it was cut, what lies above that row was not looked for.
fn mark(last: &PgRow, sent: usize, most: u32) -> sqlx::Result<Mark> {
    let held: Option<i64> = last.try_get(8)?;
    let held = held.map_or(0, i64::unsigned_abs);
    let cut = held >= u64::from(most) || held > sent as u64;
    let id = if cut { last.try_get(0)? } else { i64::MAX };
    Ok(Mark {
        id,
        transaction: last.try_get(9)?,
    })
}

/// No row of the outbox if the look found none: then the snapshot stands alone.
fn row(row: &PgRow) -> sqlx::Result<Option<OutboxRow>> {
    let Some(id) = row.try_get(0)? else {
        return Ok(None);
    };
    Ok(Some(OutboxRow {
        id,
        module: bytes(row, 1)?.unwrap_or_default(),
        audience: bytes(row, 2)?,
        key: bytes(row, 3)?,
        op: bytes(row, 4)?,
        value: bytes(row, 5)?,
        change_id: bytes(row, 6)?,
        occurred_at: row.try_get(7)?,
    }))
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
