//! Guards on PostgreSQL.

use async_trait::async_trait;
use sqlx::PgConnection;

use super::PostgresStore;
use crate::{
    domain::Micros,
    store::{
        Error, GuardRecord, GuardWrite, Guards, GuardsSeen, Result,
        guards::ACTOR,
        row::{guards_seen, json_text},
    },
    telemetry::{Purpose, count_query},
};

const GUARDS: &str = "\
    SELECT h.module, h.lease_holder, h.lease_expires_at, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint, \
           g.target, g.state, g.reason, g.share, g.since, g.healthy_since, g.version, g.turns \
    FROM module_head h LEFT JOIN guard g ON g.module = h.module";

/// SHARE: the mirror's cursors are written beside it, a new holder waits for both.
const FENCE: &str = "\
    SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint \
    FROM module_head WHERE module = $1 AND lease_token = $2 FOR SHARE";

const FIRST: &str = "\
    INSERT INTO guard (module, target, version, state, reason, share, since, healthy_since, turns, token) \
    VALUES ($1, $2, $3 + 1, $4, $5, $6, $7, $8, $9, $10) \
    ON CONFLICT (module, target) DO NOTHING";

const NEXT: &str = "\
    UPDATE guard SET version = version + 1, state = $4, reason = $5, share = $6, since = $7, healthy_since = $8, \
           turns = $9, token = $10 \
    WHERE module = $1 AND target = $2 AND version = $3";

const VERSION: &str = "SELECT version FROM guard WHERE module = $1 AND target = $2";

const NOTE: &str = "\
    INSERT INTO audit (module, actor, action, before, after, reason, at) VALUES ($1, $2, $3, $4, $5, $6, $7)";

#[async_trait]
impl Guards for PostgresStore {
    async fn guards(&self) -> Result<GuardsSeen> {
        let doing = "reading guards";
        let mut borrowed = self.borrow(doing).await?;
        count_query(Purpose::Flags);
        let select = sqlx::query(GUARDS).fetch_all(borrowed.connection());
        let rows = self.call(doing, select).await?;
        borrowed.put_back();
        Ok(guards_seen(&rows))
    }

    async fn write_guard(&self, write: &GuardWrite) -> Result<GuardRecord> {
        let doing = "writing a guard";
        let mut borrowed = self.borrow(doing).await?;
        // The head row is locked: half a lease bounds the whole, as it does for numbering.
        let write = in_transaction(borrowed.connection(), write);
        let after = self.quick(doing, write).await??;
        borrowed.put_back();
        Ok(after)
    }
}

/// The inner error: the database has done what it was asked for, and the transaction is not to be committed.
async fn in_transaction(
    connection: &mut PgConnection,
    write: &GuardWrite,
) -> sqlx::Result<Result<GuardRecord>> {
    let module = &write.lease.module;
    let Some(now) = begin(connection, write).await? else {
        let module = module.clone();
        return Ok(Err(Error::LeaseLost { module }));
    };
    let after = write.after(now);
    if !put(connection, write, &after).await? {
        count_query(Purpose::Flags);
        let version: Option<i64> = sqlx::query_scalar(VERSION)
            .bind(module.as_str())
            .bind(&write.target)
            .fetch_optional(connection)
            .await?;
        return Ok(Err(Error::VersionConflict {
            expected: write.expected_version(),
            current: version.unwrap_or(0),
        }));
    }
    if let Some(turn) = &write.turn {
        let audited = (
            json_text("audit", &write.before),
            json_text("audit", &after),
        );
        let (before, changed) = match audited {
            (Ok(before), Ok(after)) => (before, after),
            (Err(error), _) | (_, Err(error)) => return Ok(Err(error)),
        };
        count_query(Purpose::Flags);
        sqlx::query(NOTE)
            .bind(module.as_str())
            .bind(ACTOR)
            .bind(turn.kind.action())
            .bind(before)
            .bind(changed)
            .bind(&turn.reason)
            .bind(now.get())
            .execute(&mut *connection)
            .await?;
    }
    super::connection::commit(connection).await?;
    Ok(Ok(after))
}

/// Begins the transaction with the fence; `None` if it does not hold.
async fn begin(connection: &mut PgConnection, write: &GuardWrite) -> sqlx::Result<Option<Micros>> {
    super::connection::begin(connection).await?;
    count_query(Purpose::Flags);
    let now: Option<i64> = sqlx::query_scalar(FENCE)
        .bind(write.lease.module.as_str())
        .bind(write.lease.token)
        .fetch_optional(connection)
        .await?;
    Ok(now.map(Micros::new))
}

/// Whether the row was the one that the write was decided on.
async fn put(
    connection: &mut PgConnection,
    write: &GuardWrite,
    after: &GuardRecord,
) -> sqlx::Result<bool> {
    count_query(Purpose::Flags);
    let expected = write.expected_version();
    let done = sqlx::query(if expected == 0 { FIRST } else { NEXT })
        .bind(after.module.as_str())
        .bind(&after.target)
        .bind(expected)
        .bind(after.state.as_str())
        .bind(after.stored_cause())
        .bind(i64::from(after.share.get()))
        .bind(after.since.get())
        .bind(after.healthy_since.map(Micros::get))
        .bind(after.turns)
        .bind(write.lease.token)
        .execute(connection)
        .await?;
    Ok(done.rows_affected() == 1)
}
