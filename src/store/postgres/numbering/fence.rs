//! Where a numbering transaction begins: the head rows, locked under their tokens.

use sqlx::{PgConnection, Row, postgres::PgRow};

use crate::{
    domain::Micros,
    store::{
        FencedHead, Lease,
        postgres::{connection::begin, lease::columns},
        row,
    },
    telemetry::{Purpose, count_query},
};

/// Waits for a writer before us, at most the connection's `lock_timeout`. The clock is read as each row
/// comes out, so the last one's is later than every lock.
const FENCE: &str = "\
    WITH fence AS MATERIALIZED ( \
        SELECT h.module, h.epoch, h.head, h.retained_from, h.sequenced_through FROM module_head h \
        JOIN unnest($1::text[], $2::bigint[]) AS l(module, token) \
          ON h.module = l.module AND h.lease_token = l.token \
        ORDER BY h.module FOR UPDATE OF h \
    ) \
    SELECT fence.*, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint FROM fence \
    ORDER BY module";

const NOW: &str = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint";

/// What stands behind the fence.
pub(super) struct Fence {
    pub(super) heads: Vec<FencedHead>,
    pub(super) now: Micros,
}

/// Begins a transaction and locks those of the heads whose lease holds.
pub(super) async fn lock(connection: &mut PgConnection, leases: &[Lease]) -> sqlx::Result<Fence> {
    begin(connection).await?;
    count_query(Purpose::Sequence);
    if leases.is_empty() {
        let now = sqlx::query_scalar(NOW).fetch_one(connection).await?;
        return Ok(Fence {
            heads: Vec::new(),
            now: Micros::new(now),
        });
    }
    let (modules, tokens) = columns(leases);
    let rows = sqlx::query(FENCE)
        .bind(modules)
        .bind(tokens)
        .fetch_all(connection)
        .await?;
    let clock = |row: &PgRow| row.try_get::<i64, _>(5);
    let clocks: Vec<i64> = rows.iter().map(clock).collect::<sqlx::Result<_>>()?;
    Ok(Fence {
        heads: rows
            .iter()
            .map(row::fenced_head)
            .collect::<sqlx::Result<_>>()?,
        now: Micros::new(clocks.into_iter().max().unwrap_or_default()),
    })
}
