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
/// value is known without reading it. `id + 0` is a column of the index of transactions: the primary key would be walked from
/// its beginning. `settled` is the snapshot's: every transaction before it has ended. It comes with no rows, too.
const LOOK: &str = "\
    SELECT id, module, audience, entity_key, op, value, change_id, occurred_at, held, settled \
    FROM (SELECT txid_snapshot_xmin(txid_current_snapshot()) AS settled) AS snapshot LEFT JOIN ( \
        SELECT *, count(*) OVER () AS held, sum(size) OVER (ORDER BY id ROWS UNBOUNDED PRECEDING) AS total FROM ( \
            SELECT *, octet_length(module) + octet_length(entity_key) \
                      + coalesce(octet_length(audience), 0) + coalesce(octet_length(op), 0) \
                      + coalesce(octet_length(value), 0) + coalesce(octet_length(change_id), 0) AS size \
            FROM ( \
                (SELECT * FROM outbox WHERE id > $2 AND id <= $7 AND (module = ANY($1)) <> $3 ORDER BY id LIMIT $4) \
                UNION ALL \
                (SELECT * FROM outbox WHERE txid >= $6 AND id + 0 <= $2 AND (module = ANY($1)) <> $3 \
                 ORDER BY id + 0 LIMIT $4) \
            ) AS found ORDER BY id LIMIT $4 \
        ) AS next \
    ) AS summed ON total <= $5 OR total = size ORDER BY id";

pub(super) async fn look(connection: &mut PgConnection, scan: &Scan<'_>) -> sqlx::Result<Look> {
    let modules: Vec<&str> = scan.modules.iter().map(ModuleName::as_str).collect();
    let (from, through) = match scan.beyond {
        Beyond::Mark { mark, through } => (mark, through),
        beyond => (without_mark(beyond), i64::MAX),
    };
    count_query(Purpose::Sequence);
    let rows = sqlx::query(LOOK)
        .bind(modules)
        .bind(from.id)
        .bind(scan.except)
        .bind(i64::from(scan.rows))
        .bind(i64::try_from(scan.bytes).unwrap_or(i64::MAX))
        .bind(from.transaction)
        .bind(through)
        .fetch_all(connection)
        .await?;
    let (settled, held) = rows.last().map_or(Ok((i64::MIN, 0)), told)?;
    let found = rows.iter().filter_map(|found| row(found).transpose());
    let found = found.collect::<sqlx::Result<Vec<_>>>()?;
    let cut = held >= u64::from(scan.rows) || held > found.len() as u64;
    let highest = found.last().map(|row| row.id);
    let mark = Mark {
        id: past(from, through, cut, highest),
        transaction: settled,
    };
    Ok(Look {
        mark: matches!(scan.beyond, Beyond::Mark { .. }).then_some(mark),
        rows: found,
        cut,
    })
}

/// No transaction has this number: only ids count.
fn without_mark(beyond: Beyond) -> Mark {
    Mark {
        id: beyond.id(),
        ..Mark::NOTHING
    }
}

/// The highest id up to which nothing is left of those transactions: what lies above the last row of a look that was cut was not
/// looked for. After all ids it is the last row's, from which new rows are read on by the primary key: a lower one is never wrong.
fn past(from: Mark, through: i64, cut: bool, highest: Option<i64>) -> i64 {
    match highest {
        Some(highest) if cut => highest,
        _ if through < i64::MAX => from.id.max(through),
        Some(highest) if from.id == i64::MAX => highest,
        Some(highest) => highest.max(from.id),
        None => from.id,
    }
}

/// What each row tells of the whole look: the snapshot's oldest transaction that had not ended, and how many rows there were
/// before they were cut by bytes.
fn told(row: &PgRow) -> sqlx::Result<(i64, u64)> {
    let held: Option<i64> = row.try_get(8)?;
    Ok((row.try_get(9)?, held.map_or(0, i64::unsigned_abs)))
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
