//! New epochs on MariaDB and MySQL.
//!
//! Two steps: the lease is seized first, by one short statement, so that whoever held it stops and waits for no
//! lock; then everything is written in one transaction that holds the module's head row alone. Who
//! takes leases passes a locked row by, so nobody comes between however long the state takes.

use std::time::Duration;

use async_trait::async_trait;
use sqlx::MySqlConnection;

use super::{
    MySqlStore,
    connection::{begin, commit, end},
    error::failed,
};
use crate::{
    domain::{Cursor, Micros, ModuleName, Pace, Position},
    store::{
        EpochBump, EpochBumped, Epochs, Error, Result,
        epochs::{ACTION, Columns, HOLDER, Leap, Survey, TOKEN_LEAP, first_tick, last_tick},
        lease::length_micros,
        row::{self, json_text},
    },
    telemetry::{Purpose, count_query},
};

/// An older copy may not know the module.
const ENSURE: &str = "\
    INSERT INTO module_head (module) VALUES (?) ON DUPLICATE KEY UPDATE module = VALUES(module)";

const LOOK: &str = "\
    SELECT epoch, head, retained_from, lease_token, epoch, head, NULL, NULL FROM module_head \
    WHERE module = ? FOR UPDATE";

const SEIZE: &str = "\
    UPDATE module_head \
    SET lease_token = lease_token + ?, lease_holder = ?, \
        lease_expires_at = TIMESTAMPDIFF(MICROSECOND, '1970-01-01 00:00:00', UTC_TIMESTAMP(6)) + ? \
    WHERE module = ?";

const LOCK: &str = "\
    SELECT lease_token FROM module_head WHERE module = ? AND lease_token = ? FOR UPDATE";

const SURVEY: &str = "\
    SELECT h.epoch, h.head, h.retained_from, h.lease_token, \
        GREATEST(h.epoch, \
            coalesce((SELECT c.epoch FROM change_log c WHERE c.module = h.module \
                      ORDER BY c.position DESC LIMIT 1), 0), \
            coalesce((SELECT max(m.epoch) FROM mirror_cursor m WHERE m.module = h.module), 0)), \
        GREATEST(h.head, \
            coalesce((SELECT max(c.position) FROM change_log c WHERE c.module = h.module), 0), \
            coalesce((SELECT max(m.position) FROM mirror_cursor m WHERE m.module = h.module), 0)), \
        (SELECT min(s.position) FROM entity_state s WHERE s.module = h.module), \
        (SELECT max(s.position) FROM entity_state s WHERE s.module = h.module) \
    FROM module_head h WHERE h.module = ?";

const STATE: &str = "UPDATE entity_state SET position = position + ? WHERE module = ?";

/// The new generation makes the clients of each target read at once.
const CURSORS: &str = "\
    UPDATE mirror_cursor \
    SET epoch = ?, position = ?, generation = generation + 1, version = version + 1 \
    WHERE module = ?";

/// Assignments take effect from left to right here.
const HEAD: &str = "\
    UPDATE module_head \
    SET epoch = ?, head = ?, retained_from = ?, \
        sequenced_through = GREATEST(sequenced_through, ?, TIMESTAMPDIFF(MICROSECOND, '1970-01-01 00:00:00', UTC_TIMESTAMP(6))), \
        lost_through = sequenced_through, \
        lease_holder = NULL, lease_expires_at = 0, lease_token = lease_token + 1 \
    WHERE module = ?";

const LOST: &str = "SELECT lost_through FROM module_head WHERE module = ?";

const RETIME: &str = "\
    UPDATE entity_state s JOIN ( \
        SELECT audience, entity_key, ROW_NUMBER() OVER (ORDER BY position) - 1 AS n \
        FROM entity_state WHERE module = ? \
    ) AS r ON r.audience = s.audience AND r.entity_key = s.entity_key \
    SET s.sequenced_at = ? + (r.n DIV ?) * ? WHERE s.module = ?";

/// A cursor within the state is answered from the state.
const CLOSE: &str = "\
    UPDATE module_head SET sequenced_through = GREATEST(sequenced_through, ?), lost_through = ? - 1 \
    WHERE module = ?";

const NOTE: &str = "\
    INSERT INTO audit (module, actor, action, `before`, `after`, reason, at) \
    VALUES (?, ?, ?, ?, ?, ?, TIMESTAMPDIFF(MICROSECOND, '1970-01-01 00:00:00', UTC_TIMESTAMP(6)))";

/// Of each log only its last row is looked at. A plain join reads all of a log, for longer than a lease lives if it
/// is large.
const BEYOND: &str = "\
    SELECT CAST(h.module AS CHAR), c.epoch, c.position FROM module_head h \
    JOIN mirror_cursor c ON c.module = h.module \
    WHERE c.epoch > h.epoch OR (c.epoch = h.epoch AND c.position > h.head) \
    UNION ALL \
    SELECT CAST(h.module AS CHAR), c.epoch, c.position FROM module_head h \
    STRAIGHT_JOIN change_log c FORCE INDEX (PRIMARY) ON c.module = h.module AND c.position = ( \
        SELECT l.position FROM change_log l FORCE INDEX (PRIMARY) WHERE l.module = h.module \
        ORDER BY l.position DESC LIMIT 1) \
    WHERE c.position > h.head";

#[async_trait]
impl Epochs for MySqlStore {
    async fn bump_epoch(&self, bump: &EpochBump, lease: Duration) -> Result<Option<EpochBumped>> {
        let Some(token) = self.seize(bump, lease).await? else {
            return Ok(None);
        };
        let doing = "beginning a new epoch";
        // On a connection of its own: it moves all of a state and may take its time.
        let mut connection = self.migrating().await?;
        begin(&mut connection).await.map_err(failed(doing))?;
        let fence = lock(&mut connection, &bump.module, token).await;
        if !fence.map_err(failed(doing))? {
            return Err(Error::LeaseLost {
                module: bump.module.clone(),
            });
        }
        let survey = survey(&mut connection, &bump.module).await;
        let leap = survey.map_err(failed(doing))?.leap(bump.witnessed)?;
        let sides = [
            json_text("audit", &leap.bumped.before)?,
            json_text("audit", &leap.bumped.after)?,
        ];
        let write = write(&mut connection, bump, &leap, &sides);
        write.await.map_err(failed(doing))?;
        commit(&mut connection).await.map_err(failed(doing))?;
        end(connection).await;
        Ok(Some(leap.bumped))
    }

    async fn try_epoch(&self, bump: &EpochBump) -> Result<EpochBumped> {
        let doing = "trying a new epoch";
        let mut borrowed = self.begin(doing).await?;
        let ensure = ensure(borrowed.connection(), &bump.module);
        self.call(doing, ensure).await?;
        let survey = survey(borrowed.connection(), &bump.module);
        // Dropping the connection rolls back.
        let leap = self.call(doing, survey).await?.leap(bump.witnessed)?;
        Ok(leap.bumped)
    }

    async fn beyond_heads(&self) -> Result<Vec<(ModuleName, Cursor)>> {
        let doing = "looking for positions beyond the heads";
        let mut seated = self.seated(doing).await?;
        count_query(Purpose::Lease);
        let select = sqlx::query_as(BEYOND).fetch_all(seated.connection());
        let rows: Vec<(String, i64, i64)> = self.quick(doing, select).await?;
        seated.put_back();
        let beyond = |(name, epoch, position): &(String, i64, i64)| {
            let cursor = Cursor::new(row::epoch(*epoch), Position::from_i64(*position));
            Ok((row::module(name)?, cursor))
        };
        let beyond = rows.iter().map(beyond).collect::<sqlx::Result<_>>();
        beyond.map_err(Error::Unexpected)
    }
}

impl MySqlStore {
    /// Takes the lease from whoever holds it, if the ground holds. Its token fences them off.
    async fn seize(&self, bump: &EpochBump, lease: Duration) -> Result<Option<i64>> {
        let doing = "seizing a lease";
        let module = bump.module.as_str();
        let mut borrowed = self.begin(doing).await?;
        let ensure = ensure(borrowed.connection(), &bump.module);
        self.call(doing, ensure).await?;
        count_query(Purpose::Lease);
        let look = sqlx::query_as(LOOK).bind(module);
        let look = look.fetch_one(borrowed.connection());
        let columns: Columns = self.call(doing, look).await?;
        let Survey { mark, token, .. } = Survey::new(&columns);
        if !bump.is_called_for(&mark, token) {
            // Not left to the end of the connection: who takes leases would pass the row by until then.
            self.commit(doing, borrowed).await?;
            return Ok(None);
        }
        count_query(Purpose::Lease);
        let seize = sqlx::query(SEIZE)
            .bind(TOKEN_LEAP)
            .bind(HOLDER)
            .bind(length_micros(lease))
            .bind(module)
            .execute(borrowed.connection());
        self.call(doing, seize).await?;
        self.commit(doing, borrowed).await?;
        Ok(Some(token + TOKEN_LEAP))
    }
}

async fn ensure(connection: &mut MySqlConnection, module: &ModuleName) -> sqlx::Result<()> {
    count_query(Purpose::Lease);
    let ensure = sqlx::query(ENSURE).bind(module.as_str());
    ensure.execute(connection).await?;
    Ok(())
}

/// Whether the lease still stands. The row stays locked.
async fn lock(
    connection: &mut MySqlConnection,
    module: &ModuleName,
    token: i64,
) -> sqlx::Result<bool> {
    count_query(Purpose::Lease);
    let lock = sqlx::query(LOCK).bind(module.as_str()).bind(token);
    Ok(lock.fetch_optional(connection).await?.is_some())
}

async fn survey(connection: &mut MySqlConnection, module: &ModuleName) -> sqlx::Result<Survey> {
    count_query(Purpose::Lease);
    let select = sqlx::query_as(SURVEY).bind(module.as_str());
    let columns: Columns = select.fetch_one(connection).await?;
    Ok(Survey::new(&columns))
}

/// Gives the state new times.
async fn retime(connection: &mut MySqlConnection, module: &str, pace: Pace) -> sqlx::Result<()> {
    count_query(Purpose::Lease);
    let lost = sqlx::query_scalar(LOST).bind(module);
    let lost: i64 = lost.fetch_one(&mut *connection).await?;
    let first = first_tick(pace, Micros::new(lost));
    count_query(Purpose::Lease);
    let retime = sqlx::query(RETIME)
        .bind(module)
        .bind(first.get())
        .bind(i64::from(pace.changes))
        .bind(pace.tick.micros())
        .bind(module);
    let items = retime.execute(&mut *connection).await?.rows_affected();
    count_query(Purpose::Lease);
    let close = sqlx::query(CLOSE)
        .bind(last_tick(pace, first, items).get())
        .bind(last_tick(pace, first, items).get())
        .bind(module);
    close.execute(connection).await?;
    Ok(())
}

async fn write(
    connection: &mut MySqlConnection,
    bump: &EpochBump,
    leap: &Leap,
    [from, to]: &[String; 2],
) -> sqlx::Result<()> {
    let module = bump.module.as_str();
    let after = leap.bumped.after;
    let (epoch, head) = (i64::from(after.epoch.get()), after.head.as_i64());
    count_query(Purpose::Lease);
    let state = sqlx::query(STATE).bind(leap.state_shift).bind(module);
    state.execute(&mut *connection).await?;
    count_query(Purpose::Lease);
    let cursors = sqlx::query(CURSORS).bind(epoch).bind(head).bind(module);
    cursors.execute(&mut *connection).await?;
    count_query(Purpose::Lease);
    sqlx::query(HEAD)
        .bind(epoch)
        .bind(head)
        .bind(after.retained_from.as_i64())
        .bind(bump.witnessed_time.get())
        .bind(module)
        .execute(&mut *connection)
        .await?;
    if let Some(pace) = bump.pace {
        retime(&mut *connection, module, pace).await?;
    }
    count_query(Purpose::Lease);
    sqlx::query(NOTE)
        .bind(module)
        .bind(&bump.actor)
        .bind(ACTION)
        .bind(from)
        .bind(to)
        .bind(&bump.reason)
        .execute(connection)
        .await?;
    Ok(())
}
