//! The statements that a numbering transaction writes with: many rows each, never a statement per row.

use std::time::Duration;

use sqlx::MySqlConnection;

use crate::{
    domain::{Change, Micros},
    store::{
        HeadUpdate, Lease, NumberedRow, Parked,
        lease::length_micros,
        mysql::{
            lease::NOW,
            statement::{Statement, chunks, held, ready},
        },
    },
    telemetry::{Purpose, count_query},
};

pub(super) async fn log(
    connection: &mut MySqlConnection,
    rows: &[NumberedRow],
) -> sqlx::Result<()> {
    for rows in chunks(rows, |row| size(&row.change)) {
        count_query(Purpose::Sequence);
        let mut insert = Statement::new(
            "INSERT INTO change_log (module, position, epoch, audience, entity_key, op, value, \
                                     change_id, previous, occurred_at, sequenced_at) ",
        );
        insert.push_values(rows, |mut columns, row| {
            let change = &row.change;
            columns
                .push_bind(row.module.as_str())
                .push_bind(change.position.as_i64())
                .push_bind(i64::from(change.epoch.get()))
                .push_bind(change.audience.as_str())
                .push_bind(&*change.key)
                .push_bind(change.op.as_str())
                .push_bind(change.value.as_str())
                .push_bind(change.change_id.as_deref())
                .push_bind(change.previous.as_i64())
                .push_bind(change.occurred_at.get())
                .push_bind(change.sequenced_at.get());
        });
        ready(&mut insert, rows.len())
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

pub(super) async fn remember(
    connection: &mut MySqlConnection,
    rows: &[NumberedRow],
) -> sqlx::Result<()> {
    let rows: Vec<(&NumberedRow, &str)> = rows
        .iter()
        .filter_map(|row| Some((row, row.change.change_id.as_deref()?)))
        .collect();
    for rows in chunks(&rows, |(_, id)| id.len()) {
        count_query(Purpose::Sequence);
        let mut insert =
            Statement::new("INSERT INTO change_seen (module, change_id, position, at) ");
        insert.push_values(rows, |mut columns, (row, id)| {
            columns
                .push_bind(row.module.as_str())
                .push_bind(*id)
                .push_bind(row.change.position.as_i64())
                .push_bind(row.change.sequenced_at.get());
        });
        ready(&mut insert, rows.len())
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

pub(super) async fn state(
    connection: &mut MySqlConnection,
    rows: &[NumberedRow],
) -> sqlx::Result<()> {
    let rows: Vec<&NumberedRow> = rows.iter().filter(|row| row.state).collect();
    for rows in chunks(&rows, |row| size(&row.change)) {
        count_query(Purpose::Sequence);
        let mut insert = Statement::new(
            "INSERT INTO entity_state \
             (module, audience, entity_key, op, position, value, sequenced_at) ",
        );
        insert.push_values(rows, |mut columns, row| {
            let change = &row.change;
            columns
                .push_bind(row.module.as_str())
                .push_bind(change.audience.as_str())
                .push_bind(&*change.key)
                .push_bind(change.op.as_str())
                .push_bind(change.position.as_i64())
                .push_bind(change.value.as_str())
                .push_bind(change.sequenced_at.get());
        });
        insert.push(
            " ON DUPLICATE KEY UPDATE \
             op = VALUES(op), position = VALUES(position), value = VALUES(value), \
             sequenced_at = VALUES(sequenced_at)",
        );
        ready(&mut insert, rows.len())
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

/// From table to table, so that bytes stay what they are. Under READ COMMITTED the outbox is read without locks here
/// too.
pub(super) async fn park(
    connection: &mut MySqlConnection,
    parked: &[Parked],
    now: Micros,
) -> sqlx::Result<u64> {
    let mut affected = 0;
    for parked in chunks(parked, |parked| parked.reason.len()) {
        count_query(Purpose::Sequence);
        let mut insert = Statement::new(
            "INSERT INTO outbox_rejected (module, audience, entity_key, op, value, change_id, \
                                          occurred_at, reason, rejected_at) \
             SELECT o.module, o.audience, o.entity_key, o.op, o.value, o.change_id, \
                    o.occurred_at, p.reason, ",
        );
        insert.push_bind(now.get()).push(" FROM (");
        for (number, parked) in parked.iter().enumerate() {
            if number > 0 {
                insert.push(" UNION ALL ");
            }
            insert
                .push("SELECT CAST(")
                .push_bind(parked.row.id)
                .push(" AS SIGNED) AS id, ")
                .push_bind(parked.reason.as_str())
                .push(" AS reason");
        }
        insert.push(") AS p STRAIGHT_JOIN outbox o ON o.id = p.id ORDER BY o.id");
        let insert = ready(&mut insert, parked.len());
        affected += insert.execute(&mut *connection).await?.rows_affected();
    }
    Ok(affected)
}

/// Row by row from the primary key, whatever the optimizer thinks of the sizes: where it looks through all of a
/// small table instead, as it does for a plain `IN (…)`, it waits for every row that a producer has not
/// committed yet.
pub(super) async fn delete(connection: &mut MySqlConnection, ids: &[i64]) -> sqlx::Result<u64> {
    let mut affected = 0;
    for ids in chunks(ids, |_| size_of::<i64>()) {
        count_query(Purpose::Sequence);
        let mut delete = Statement::new("DELETE o FROM (");
        for (number, id) in ids.iter().enumerate() {
            if number > 0 {
                delete.push(" UNION ALL ");
            }
            delete
                .push("SELECT CAST(")
                .push_bind(*id)
                .push(" AS SIGNED) AS id");
        }
        delete.push(") AS i STRAIGHT_JOIN outbox o FORCE INDEX (PRIMARY) ON o.id = i.id");
        let delete = ready(&mut delete, ids.len());
        affected += delete.execute(&mut *connection).await?.rows_affected();
    }
    Ok(affected)
}

/// Returns how many heads still stood under their token.
pub(super) async fn heads(
    connection: &mut MySqlConnection,
    heads: &[HeadUpdate],
    lease: Duration,
) -> sqlx::Result<u64> {
    count_query(Purpose::Sequence);
    let mut update = Statement::new("UPDATE module_head FORCE INDEX (PRIMARY) SET head = ");
    by_module(&mut update, heads, |head| head.head.as_i64());
    update.push(", sequenced_through = GREATEST(sequenced_through, ");
    by_module(&mut update, heads, |head| head.sequenced_through.get());
    update.push("), stateless_from = CASE stateless_from WHEN 0 THEN ");
    by_module(&mut update, heads, HeadUpdate::stateless_from);
    update
        .push(" ELSE stateless_from END, lease_expires_at = ")
        .push(NOW)
        .push(" + ")
        .push_bind(length_micros(lease))
        .push(" WHERE ");
    let leases: Vec<Lease> = heads.iter().map(|head| head.lease.clone()).collect();
    held(&mut update, &leases);
    let done = ready(&mut update, heads.len()).execute(connection).await?;
    Ok(done.rows_affected())
}

/// An integer for each module.
fn by_module(statement: &mut Statement, heads: &[HeadUpdate], of: impl Fn(&HeadUpdate) -> i64) {
    statement.push("CASE module");
    for head in heads {
        statement
            .push(" WHEN ")
            .push_bind(head.lease.module.as_str())
            .push(" THEN CAST(")
            .push_bind(of(head))
            .push(" AS SIGNED)");
    }
    statement.push(" END");
}

fn size(change: &Change) -> usize {
    /// Integers, lengths, module and op.
    const REST: usize = 128;
    let id = change.change_id.as_deref().unwrap_or_default();
    change.audience.as_str().len()
        + change.key.len()
        + change.value.as_str().len()
        + id.len()
        + REST
}
