//! Outbox rows as a producer would write them: one of many channels, about 200 bytes of value.

use sqlx::{Executor, Postgres};

/// Rows `first..=last` of a load: row i has key `order-i` and goes to channel i modulo `channels`.
pub struct Rows {
    pub first: i64,
    pub last: i64,
    pub channels: i64,
}

const INSERT: &str = "\
    INSERT INTO outbox (module, audience, entity_key, value) \
    SELECT 'commission', 'u' || (i % $3), 'order-' || i, \
           '{\"order\":' || i || ',\"state\":\"settled\",\"amount\":\"1034.50\",\"note\":\"' \
           || repeat('x', 140) || '\"}' \
    FROM generate_series($1::bigint, $2::bigint) AS i";

/// Inserts and, outside a transaction, commits them.
pub async fn insert<'c>(
    executor: impl Executor<'c, Database = Postgres>,
    rows: Rows,
) -> sqlx::Result<()> {
    sqlx::query(INSERT)
        .bind(rows.first)
        .bind(rows.last)
        .bind(rows.channels)
        .execute(executor)
        .await?;
    Ok(())
}
