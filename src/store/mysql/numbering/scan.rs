//! One look at the outbox: no locks, by id, bounded by rows and bytes.

use sqlx::MySqlConnection;

use crate::{
    domain::ModuleName,
    store::{
        OutboxRow, Scan,
        mysql::{
            statement::{Statement, list, ready},
            stored::Stored,
        },
        row::Columns,
    },
    telemetry::{Purpose, count_query},
};

/// Sizes are summed in id order inside the database, so that what exceeds the bound is never sent. Only ids and
/// sizes pass through the temporary tables; the rows are fetched by their ids at last, all from the statement's one
/// snapshot.
const SUMMED: &str = "\
    SELECT o.id, o.module, o.audience, o.entity_key, o.op, o.value, o.change_id, o.occurred_at \
    FROM ( \
        SELECT id, size, SUM(size) OVER (ORDER BY id ROWS UNBOUNDED PRECEDING) AS total FROM ( \
            SELECT id, COALESCE(size, 0) AS size FROM outbox WHERE id > ";

pub(super) async fn rows(
    connection: &mut MySqlConnection,
    scan: &Scan<'_>,
) -> sqlx::Result<Vec<OutboxRow>> {
    if scan.modules.is_empty() && !scan.except {
        return Ok(Vec::new());
    }
    count_query(Purpose::Sequence);
    let mut select = Statement::new(SUMMED);
    select.push_bind(scan.beyond.id());
    if !scan.modules.is_empty() {
        select.push(if scan.except {
            " AND module NOT IN ("
        } else {
            " AND module IN ("
        });
        list(&mut select, scan.modules.iter().map(ModuleName::as_str));
        select.push(")");
    }
    select
        .push(" ORDER BY id LIMIT ")
        .push_bind(i64::from(scan.rows))
        .push(
            ") AS next_rows) AS summed STRAIGHT_JOIN outbox o ON o.id = summed.id WHERE total <= ",
        )
        .push_bind(i64::try_from(scan.bytes).unwrap_or(i64::MAX))
        .push(" OR total = summed.size ORDER BY o.id");
    // The configured modules are the same each time.
    let rows = ready(&mut select, 0).fetch_all(connection).await?;
    Stored::all(rows).iter().map(row).collect()
}

fn row(row: &Stored) -> sqlx::Result<OutboxRow> {
    Ok(OutboxRow {
        id: row.integer(0)?,
        module: row.bytes(1)?.unwrap_or_default(),
        audience: row.bytes(2)?,
        key: row.bytes(3)?,
        op: row.bytes(4)?,
        value: row.bytes(5)?,
        change_id: row.bytes(6)?,
        occurred_at: row.optional_integer(7)?,
    })
}
