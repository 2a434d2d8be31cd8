//! Guards on MariaDB and MySQL.

use async_trait::async_trait;
use sqlx::MySqlConnection;

use super::{
    MySqlStore,
    connection::{begin, commit},
    error::is_duplicate,
    lease::NOW,
    statement::Statement,
    stored::Stored,
};
use crate::{
    domain::Micros,
    store::{
        Error, GuardRecord, GuardWrite, Guards, GuardsSeen, Result,
        guards::ACTOR,
        row::{guards_seen, json_text},
    },
    telemetry::{Purpose, count_query},
};

const FIRST: &str = "\
    INSERT INTO guard (state, reason, share, since, healthy_since, turns, token, module, target, version) \
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ? + 1)";

const NEXT: &str = "\
    UPDATE guard FORCE INDEX (PRIMARY) \
    SET state = ?, reason = ?, share = ?, since = ?, healthy_since = ?, turns = ?, token = ?, version = version + 1 \
    WHERE module = ? AND target = ? AND version = ?";

const VERSION: &str = "SELECT version FROM guard WHERE module = ? AND target = ?";

const NOTE: &str = "\
    INSERT INTO audit (module, actor, action, `before`, `after`, reason, at) VALUES (?, ?, ?, ?, ?, ?, ?)";

#[async_trait]
impl Guards for MySqlStore {
    async fn guards(&self) -> Result<GuardsSeen> {
        let doing = "reading guards";
        let mut borrowed = self.borrow(doing).await?;
        count_query(Purpose::Flags);
        let mut select = Statement::new("SELECT h.module, h.lease_holder, h.lease_expires_at, ");
        select.push(NOW).push(
            ", g.target, g.state, g.reason, g.share, g.since, g.healthy_since, g.version, g.turns \
             FROM module_head h LEFT JOIN guard g ON g.module = h.module",
        );
        let rows = select.build().fetch_all(borrowed.connection());
        let rows = self.call(doing, rows).await?;
        borrowed.put_back();
        Ok(guards_seen(&Stored::all(rows)))
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
    connection: &mut MySqlConnection,
    write: &GuardWrite,
) -> sqlx::Result<Result<GuardRecord>> {
    let module = &write.lease.module;
    let Some(now) = begin_fenced(connection, write).await? else {
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
    commit(connection).await?;
    Ok(Ok(after))
}

/// Begins the transaction with the fence; `None` if it does not hold. SHARE: the mirror's cursors are written beside it, a new
/// holder waits for both.
async fn begin_fenced(
    connection: &mut MySqlConnection,
    write: &GuardWrite,
) -> sqlx::Result<Option<Micros>> {
    begin(connection).await?;
    count_query(Purpose::Flags);
    let mut fence = Statement::new("SELECT ");
    fence
        .push(NOW)
        .push(" FROM module_head FORCE INDEX (PRIMARY) WHERE module = ")
        .push_bind(write.lease.module.as_str())
        .push(" AND lease_token = ")
        .push_bind(write.lease.token)
        .push(" LOCK IN SHARE MODE");
    let now: Option<i64> = fence
        .build_query_scalar()
        .fetch_optional(connection)
        .await?;
    Ok(now.map(Micros::new))
}

/// Whether the row was the one that the write was decided on.
async fn put(
    connection: &mut MySqlConnection,
    write: &GuardWrite,
    after: &GuardRecord,
) -> sqlx::Result<bool> {
    count_query(Purpose::Flags);
    let expected = write.expected_version();
    let done = sqlx::query(if expected == 0 { FIRST } else { NEXT })
        .bind(after.state.as_str())
        .bind(after.stored_cause())
        .bind(i64::from(after.share.get()))
        .bind(after.since.get())
        .bind(after.healthy_since.map(Micros::get))
        .bind(after.turns)
        .bind(write.lease.token)
        .bind(after.module.as_str())
        .bind(&after.target)
        .bind(expected)
        .execute(connection)
        .await;
    match done {
        Ok(done) => Ok(done.rows_affected() == 1),
        Err(error) if is_duplicate(&error) => Ok(false),
        Err(error) => Err(error),
    }
}
