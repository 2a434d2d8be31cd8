//! Pruning on MariaDB and MySQL.
//!
//! What is to go is found by reads that lock nothing and deleted by its keys: a DELETE that joins would lock
//! rows of the state that numbering writes, in another order than numbering does.

use std::time::Duration;

use async_trait::async_trait;
use sqlx::MySqlConnection;

use super::{
    MySqlStore,
    connection::{begin, commit},
    lease::NOW,
    statement::Statement,
    stored::Stored,
};
use crate::{
    domain::{ModuleName, Position},
    store::{
        Aged, Bounds, Error, Lease, Note, Result, Retention, Swept, TargetPosition, Which, Window,
        lease::length_micros,
        retention::{aged, looked_at},
        row::{self, Columns, json_text},
    },
    telemetry::{Purpose, count_query},
};

const TARGETS: &str = "SELECT target, module, position FROM mirror_cursor";

const FENCE: &str = "SELECT 1 FROM module_head WHERE module = ? AND lease_token = ? FOR UPDATE";

const RAISE: &str = "\
    UPDATE module_head \
    SET retained_from = GREATEST(retained_from, LEAST(?, head)), \
        compacted_through = GREATEST(compacted_through, ?) \
    WHERE module = ?";

const LOOK: &str = "\
    SELECT COUNT(*), MAX(position) FROM ( \
        SELECT position FROM change_log FORCE INDEX (PRIMARY) \
        WHERE module = ? AND position >= ? AND position <= ? ORDER BY position LIMIT ?) AS w";

const SUPERSEDED: &str = "\
    SELECT c.position FROM change_log c FORCE INDEX (PRIMARY) \
    STRAIGHT_JOIN entity_state s FORCE INDEX (PRIMARY) \
       ON s.module = c.module AND s.audience = c.audience AND s.entity_key = c.entity_key \
    WHERE c.module = ? AND c.position >= ? AND c.position <= ? AND s.position > c.position";

const DELETE: &str = "DELETE FROM change_log WHERE module = ? AND position >= ? AND position <= ?";

const FORGET_MARKS: &str = "DELETE FROM log_mark WHERE module = ? AND position < ?";

/// SKIP LOCKED: numbering writes many keys in one transaction, and who waits for nobody is in no deadlock.
const TOMBSTONES: &str = "\
    SELECT audience, entity_key FROM entity_state FORCE INDEX (entity_state_tombstone) \
    WHERE module = ? AND op = 'delete' AND position <= ? ORDER BY position LIMIT ? \
    FOR UPDATE SKIP LOCKED";

const DROP: &str = "DELETE FROM entity_state WHERE module = ? AND audience = ? AND entity_key = ? AND op = 'delete'";

/// Tombstones of one transaction: each is a statement of its own.
const TOMBSTONES_AT_ONCE: u32 = 100;

#[async_trait]
impl Retention for MySqlStore {
    async fn target_positions(&self) -> Result<Vec<TargetPosition>> {
        let doing = "reading the targets' positions";
        let mut borrowed = self.borrow(doing).await?;
        count_query(Purpose::Retention);
        let select = sqlx::query(TARGETS).fetch_all(borrowed.connection());
        let rows = self.call(doing, select).await?;
        borrowed.put_back();
        let decoded = Stored::all(rows).iter().map(target_position).collect();
        let decoded: sqlx::Result<_> = decoded;
        decoded.map_err(Error::Unexpected)
    }

    async fn last_older_than(
        &self,
        module: &ModuleName,
        age: Duration,
    ) -> Result<Option<Position>> {
        let doing = "looking for old changes";
        let mut borrowed = self.borrow(doing).await?;
        let select = last_older_than(borrowed.connection(), module, age);
        let position = self.call(doing, select).await?;
        borrowed.put_back();
        Ok(position.map(Position::from_i64))
    }

    async fn first_above(&self, module: &ModuleName, after: Position) -> Result<Option<Aged>> {
        let doing = "looking for the oldest change";
        let mut borrowed = self.borrow(doing).await?;
        let select = first_above(borrowed.connection(), module, after);
        let row = self.call(doing, select).await?;
        borrowed.put_back();
        Ok(row.map(aged))
    }

    async fn raise_bounds(&self, lease: &Lease, bounds: Bounds, note: Option<&Note>) -> Result<()> {
        let doing = "moving a log's bounds";
        let mut borrowed = self.begin(doing).await?;
        if let Some(note) = note {
            let texts = [
                json_text("audit", &note.before)?,
                json_text("audit", &note.after)?,
            ];
            let write = write_note(borrowed.connection(), &lease.module, note, texts);
            self.call(doing, write).await?;
        }
        // The head row is locked from here on: half a lease bounds it, as it does for numbering.
        let raise = raise(borrowed.connection(), lease, bounds);
        if !self.quick(doing, raise).await? {
            return Err(Error::LeaseLost {
                module: lease.module.clone(),
            });
        }
        self.quick(doing, commit(borrowed.connection())).await?;
        borrowed.put_back();
        Ok(())
    }

    async fn count_rows(&self, window: Window<'_>) -> Result<Swept> {
        let doing = "counting changes";
        let mut borrowed = self.borrow(doing).await?;
        let look = look(borrowed.connection(), window);
        let mut swept = self.call(doing, look).await?;
        swept.meant = swept.seen;
        if let (Some(last), Which::Superseded) = (swept.last, window.which) {
            let found = superseded(borrowed.connection(), window, last);
            swept.meant = self.call(doing, found).await?.len() as u64;
        }
        borrowed.put_back();
        Ok(swept)
    }

    async fn delete_rows(&self, window: Window<'_>) -> Result<Swept> {
        let doing = "deleting changes";
        let mut borrowed = self.borrow(doing).await?;
        let look = look(borrowed.connection(), window);
        let mut swept = self.call(doing, look).await?;
        if let Some(last) = swept.last {
            let delete = delete(borrowed.connection(), window, last);
            swept.meant = self.call(doing, delete).await?;
        }
        borrowed.put_back();
        Ok(swept)
    }

    async fn marks(&self, module: &ModuleName) -> Result<Vec<Aged>> {
        let doing = "reading marks";
        let mut borrowed = self.borrow(doing).await?;
        let rows = self
            .call(doing, marks(borrowed.connection(), module))
            .await?;
        borrowed.put_back();
        Ok(rows.into_iter().map(aged).collect())
    }

    async fn mark(
        &self,
        module: &ModuleName,
        position: Position,
        keep_from: Position,
    ) -> Result<()> {
        let doing = "marking a position";
        let mut borrowed = self.borrow(doing).await?;
        let mark = mark(borrowed.connection(), module, position, keep_from);
        self.call(doing, mark).await?;
        borrowed.put_back();
        Ok(())
    }

    async fn drop_tombstones(
        &self,
        module: &ModuleName,
        through: Position,
        limit: u32,
    ) -> Result<u64> {
        let doing = "dropping tombstones";
        let mut dropped = 0;
        let mut left = limit;
        while left > 0 {
            let most = left.min(TOMBSTONES_AT_ONCE);
            let mut borrowed = self.borrow(doing).await?;
            let drop = drop_some(borrowed.connection(), module, through, most);
            let rows = self.quick(doing, drop).await?;
            borrowed.put_back();
            dropped += rows;
            if rows < u64::from(most) {
                break;
            }
            left -= most;
        }
        Ok(dropped)
    }
}

fn target_position(row: &Stored) -> sqlx::Result<TargetPosition> {
    Ok(TargetPosition {
        target: row.text(0)?.to_owned(),
        module: row::module(row.text(1)?)?,
        position: Position::from_i64(row.integer(2)?),
    })
}

/// Of the rows of one tick any may come last in the index.
async fn last_older_than(
    connection: &mut MySqlConnection,
    module: &ModuleName,
    age: Duration,
) -> sqlx::Result<Option<i64>> {
    count_query(Purpose::Retention);
    let mut select = Statement::new(
        "SELECT position FROM change_log FORCE INDEX (change_log_tick) WHERE module = ",
    );
    select
        .push_bind(module.as_str())
        .push(" AND sequenced_at < ")
        .push(NOW)
        .push(" - ")
        .push_bind(length_micros(age))
        .push(" ORDER BY sequenced_at DESC, position DESC LIMIT 1");
    let row = select.build().fetch_optional(connection).await?;
    let rows = Stored::all(row.into_iter().collect());
    rows.first().map(|row| row.integer(0)).transpose()
}

async fn first_above(
    connection: &mut MySqlConnection,
    module: &ModuleName,
    after: Position,
) -> sqlx::Result<Option<(i64, i64)>> {
    count_query(Purpose::Retention);
    let mut select = Statement::new("SELECT position, ");
    select
        .push(NOW)
        .push(" - sequenced_at FROM change_log FORCE INDEX (PRIMARY) WHERE module = ")
        .push_bind(module.as_str())
        .push(" AND position > ")
        .push_bind(after.as_i64())
        .push(" ORDER BY position LIMIT 1");
    let row = select.build().fetch_optional(connection).await?;
    let rows = Stored::all(row.into_iter().collect());
    rows.first().map(pair).transpose()
}

fn pair(row: &Stored) -> sqlx::Result<(i64, i64)> {
    Ok((row.integer(0)?, row.integer(1)?))
}

async fn raise(
    connection: &mut MySqlConnection,
    lease: &Lease,
    bounds: Bounds,
) -> sqlx::Result<bool> {
    count_query(Purpose::Retention);
    let held = sqlx::query(FENCE)
        .bind(lease.module.as_str())
        .bind(lease.token)
        .fetch_optional(&mut *connection)
        .await?;
    if held.is_none() {
        return Ok(false);
    }
    count_query(Purpose::Retention);
    sqlx::query(RAISE)
        .bind(bounds.retained_from.as_i64())
        .bind(bounds.compacted_through.as_i64())
        .bind(lease.module.as_str())
        .execute(connection)
        .await?;
    Ok(true)
}

/// Where a window ends, from the index alone.
async fn look(connection: &mut MySqlConnection, window: Window<'_>) -> sqlx::Result<Swept> {
    count_query(Purpose::Retention);
    let row = sqlx::query_as(LOOK)
        .bind(window.module.as_str())
        .bind(window.from.as_i64())
        .bind(window.through.as_i64())
        .bind(i64::from(window.limit))
        .fetch_one(connection)
        .await?;
    Ok(looked_at(row))
}

async fn superseded(
    connection: &mut MySqlConnection,
    window: Window<'_>,
    last: Position,
) -> sqlx::Result<Vec<i64>> {
    count_query(Purpose::Retention);
    sqlx::query_scalar(SUPERSEDED)
        .bind(window.module.as_str())
        .bind(window.from.as_i64())
        .bind(last.as_i64())
        .fetch_all(connection)
        .await
}

async fn delete(
    connection: &mut MySqlConnection,
    window: Window<'_>,
    last: Position,
) -> sqlx::Result<u64> {
    if window.which == Which::All {
        count_query(Purpose::Retention);
        let delete = sqlx::query(DELETE)
            .bind(window.module.as_str())
            .bind(window.from.as_i64())
            .bind(last.as_i64());
        return Ok(delete.execute(connection).await?.rows_affected());
    }
    // What was superseded once stays so.
    let positions = superseded(connection, window, last).await?;
    if positions.is_empty() {
        return Ok(0);
    }
    count_query(Purpose::Retention);
    let mut delete = Statement::new("DELETE FROM change_log WHERE module = ");
    delete
        .push_bind(window.module.as_str())
        .push(" AND position IN (");
    let mut ids = delete.separated(", ");
    for position in positions {
        ids.push_bind(position);
    }
    delete.push(")");
    Ok(delete.build().execute(connection).await?.rows_affected())
}

async fn marks(
    connection: &mut MySqlConnection,
    module: &ModuleName,
) -> sqlx::Result<Vec<(i64, i64)>> {
    count_query(Purpose::Retention);
    let mut select = Statement::new("SELECT position, ");
    select
        .push(NOW)
        .push(" - at FROM log_mark WHERE module = ")
        .push_bind(module.as_str())
        .push(" ORDER BY position");
    let rows = Stored::all(select.build().fetch_all(connection).await?);
    rows.iter().map(pair).collect()
}

async fn mark(
    connection: &mut MySqlConnection,
    module: &ModuleName,
    position: Position,
    keep_from: Position,
) -> sqlx::Result<()> {
    count_query(Purpose::Retention);
    let mut insert = Statement::new("INSERT INTO log_mark (module, position, at) VALUES (");
    insert
        .push_bind(module.as_str())
        .push(", ")
        .push_bind(position.as_i64())
        .push(", ")
        .push(NOW)
        .push(") ON DUPLICATE KEY UPDATE at = log_mark.at");
    insert.build().execute(&mut *connection).await?;
    count_query(Purpose::Retention);
    sqlx::query(FORGET_MARKS)
        .bind(module.as_str())
        .bind(keep_from.as_i64())
        .execute(connection)
        .await?;
    Ok(())
}

async fn drop_some(
    connection: &mut MySqlConnection,
    module: &ModuleName,
    through: Position,
    most: u32,
) -> sqlx::Result<u64> {
    begin(connection).await?;
    count_query(Purpose::Retention);
    let rows = sqlx::query(TOMBSTONES)
        .bind(module.as_str())
        .bind(through.as_i64())
        .bind(i64::from(most))
        .fetch_all(&mut *connection)
        .await?;
    let mut dropped = 0;
    for key in Stored::all(rows) {
        count_query(Purpose::Retention);
        let delete = sqlx::query(DROP)
            .bind(module.as_str())
            .bind(key.text(0)?.as_bytes())
            .bind(key.text(1)?.as_bytes());
        dropped += delete.execute(&mut *connection).await?.rows_affected();
    }
    commit(connection).await?;
    Ok(dropped)
}

async fn write_note(
    connection: &mut MySqlConnection,
    module: &ModuleName,
    note: &Note,
    [before, after]: [String; 2],
) -> sqlx::Result<()> {
    count_query(Purpose::Retention);
    let mut insert = Statement::new(
        "INSERT INTO audit (module, actor, action, `before`, `after`, reason, at) VALUES (",
    );
    let mut columns = insert.separated(", ");
    columns
        .push_bind(module.as_str())
        .push_bind(&note.actor)
        .push_bind(&note.action)
        .push_bind(before)
        .push_bind(after)
        .push_bind(&note.reason)
        .push(NOW);
    insert.push(")");
    insert.build().execute(connection).await?;
    Ok(())
}
