//! New epochs on PostgreSQL.
//!
//! Two steps: the lease is seized first, by one short statement, so that whoever held it stops and waits for no
//! lock; then everything is written in one transaction that holds the module's head row alone. Who
//! takes leases passes a locked row by, so nobody comes between however long the state takes.

use std::time::Duration;

use async_trait::async_trait;
use sqlx::PgConnection;

use super::{
    PostgresStore,
    connection::{begin, commit, end},
    error::failed,
};
use crate::{
    domain::{Cursor, Epoch, Micros, ModuleName, Pace, Position},
    store::{
        EpochBump, EpochBumped, Epochs, Error, Ground, Result,
        epochs::{ACTION, Columns, HOLDER, Leap, Survey, TOKEN_LEAP, first_tick, last_tick},
        lease::length_micros,
        row::{self, json_text},
    },
    telemetry::{Purpose, count_query},
};

/// An older copy may not know the module.
const ENSURE: &str = "INSERT INTO module_head (module) VALUES ($1) ON CONFLICT (module) DO NOTHING";

const SEIZE: &str = "\
    UPDATE module_head \
    SET lease_token = lease_token + $2, lease_holder = $3, \
        lease_expires_at = (extract(epoch FROM clock_timestamp()) * 1000000)::bigint + $4 \
    WHERE module = $1 AND ($5 OR lease_token = $6 OR (epoch, head) < ($7, $8)) \
    RETURNING lease_token";

const LOCK: &str = "\
    SELECT lease_token FROM module_head WHERE module = $1 AND lease_token = $2 FOR UPDATE";

const SURVEY: &str = "\
    SELECT h.epoch, h.head, h.retained_from, h.lease_token, \
        GREATEST(h.epoch, \
            (SELECT epoch FROM change_log WHERE module = h.module ORDER BY position DESC LIMIT 1), \
            (SELECT max(epoch) FROM mirror_cursor WHERE module = h.module)), \
        GREATEST(h.head, \
            (SELECT max(position) FROM change_log WHERE module = h.module), \
            (SELECT max(position) FROM mirror_cursor WHERE module = h.module)), \
        (SELECT min(position) FROM entity_state WHERE module = h.module), \
        (SELECT max(position) FROM entity_state WHERE module = h.module) \
    FROM module_head h WHERE h.module = $1";

const STATE: &str = "UPDATE entity_state SET position = position + $2 WHERE module = $1";

/// The new generation makes the clients of each target read at once.
const CURSORS: &str = "\
    UPDATE mirror_cursor \
    SET epoch = $2, position = $3, generation = generation + 1, version = version + 1 \
    WHERE module = $1";

const HEAD: &str = "\
    UPDATE module_head \
    SET epoch = $2, head = $3, retained_from = $4, \
        lost_through = GREATEST( \
            sequenced_through, $5, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint), \
        sequenced_through = GREATEST( \
            sequenced_through, $5, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint), \
        lease_holder = NULL, lease_expires_at = 0, lease_token = lease_token + 1 \
    WHERE module = $1";

const LOST: &str = "SELECT lost_through FROM module_head WHERE module = $1";

const RETIME: &str = "\
    UPDATE entity_state s SET sequenced_at = $2 + (r.n / $3) * $4 \
    FROM ( \
        SELECT audience, entity_key, row_number() OVER (ORDER BY position) - 1 AS n \
        FROM entity_state WHERE module = $1 \
    ) AS r \
    WHERE s.module = $1 AND s.audience = r.audience AND s.entity_key = r.entity_key";

/// A cursor within the state is answered from the state.
const CLOSE: &str = "\
    UPDATE module_head SET sequenced_through = GREATEST(sequenced_through, $2), lost_through = $2 - 1 \
    WHERE module = $1";

const NOTE: &str = "\
    INSERT INTO audit (module, actor, action, before, after, reason, at) \
    VALUES ($1, $2, $3, $4, $5, $6, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint)";

/// LATERAL: of each log only its last row is looked at. A plain join reads all of a log that is large, for longer
/// than a lease lives.
const BEYOND: &str = "\
    SELECT h.module, c.epoch, c.position FROM module_head h \
    JOIN mirror_cursor c ON c.module = h.module \
    WHERE (c.epoch, c.position) > (h.epoch, h.head) \
    UNION ALL \
    SELECT h.module, c.epoch, c.position FROM module_head h \
    CROSS JOIN LATERAL ( \
        SELECT epoch, position FROM change_log \
        WHERE module = h.module AND position > h.head ORDER BY position DESC LIMIT 1 \
    ) AS c";

#[async_trait]
impl Epochs for PostgresStore {
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

impl PostgresStore {
    /// Takes the lease from whoever holds it, if the ground holds. Its token fences them off.
    async fn seize(&self, bump: &EpochBump, lease: Duration) -> Result<Option<i64>> {
        let doing = "seizing a lease";
        let (asked, under) = match bump.ground {
            Ground::Asked => (true, None),
            Ground::Beyond { under } => (false, under),
        };
        let lowest = Cursor::new(Epoch::new(0), Position::ZERO);
        let witnessed = bump.witnessed.unwrap_or(lowest);
        let mut borrowed = self.borrow(doing).await?;
        let ensure = ensure(borrowed.connection(), &bump.module);
        self.call(doing, ensure).await?;
        count_query(Purpose::Lease);
        let seize = sqlx::query_scalar(SEIZE)
            .bind(bump.module.as_str())
            .bind(TOKEN_LEAP)
            .bind(HOLDER)
            .bind(length_micros(lease))
            .bind(asked)
            .bind(under)
            .bind(i64::from(witnessed.epoch.get()))
            .bind(witnessed.position.as_i64())
            .fetch_optional(borrowed.connection());
        let token = self.call(doing, seize).await?;
        borrowed.put_back();
        Ok(token)
    }
}

async fn ensure(connection: &mut PgConnection, module: &ModuleName) -> sqlx::Result<()> {
    count_query(Purpose::Lease);
    let ensure = sqlx::query(ENSURE).bind(module.as_str());
    ensure.execute(connection).await?;
    Ok(())
}

/// Whether the lease still stands. The row stays locked.
async fn lock(
    connection: &mut PgConnection,
    module: &ModuleName,
    token: i64,
) -> sqlx::Result<bool> {
    count_query(Purpose::Lease);
    let lock = sqlx::query(LOCK).bind(module.as_str()).bind(token);
    Ok(lock.fetch_optional(connection).await?.is_some())
}

async fn survey(connection: &mut PgConnection, module: &ModuleName) -> sqlx::Result<Survey> {
    count_query(Purpose::Lease);
    let select = sqlx::query_as(SURVEY).bind(module.as_str());
    let columns: Columns = select.fetch_one(connection).await?;
    Ok(Survey::new(&columns))
}

/// Gives the state new times.
async fn retime(connection: &mut PgConnection, module: &str, pace: Pace) -> sqlx::Result<()> {
    count_query(Purpose::Lease);
    let lost = sqlx::query_scalar(LOST).bind(module);
    let lost: i64 = lost.fetch_one(&mut *connection).await?;
    let first = first_tick(pace, Micros::new(lost));
    count_query(Purpose::Lease);
    let retime = sqlx::query(RETIME)
        .bind(module)
        .bind(first.get())
        .bind(i64::from(pace.changes))
        .bind(pace.tick.micros());
    let items = retime.execute(&mut *connection).await?.rows_affected();
    count_query(Purpose::Lease);
    let close = sqlx::query(CLOSE)
        .bind(module)
        .bind(last_tick(pace, first, items).get());
    close.execute(connection).await?;
    Ok(())
}

async fn write(
    connection: &mut PgConnection,
    bump: &EpochBump,
    leap: &Leap,
    [from, to]: &[String; 2],
) -> sqlx::Result<()> {
    let module = bump.module.as_str();
    let after = leap.bumped.after;
    let (epoch, head) = (i64::from(after.epoch.get()), after.head.as_i64());
    count_query(Purpose::Lease);
    let state = sqlx::query(STATE).bind(module).bind(leap.state_shift);
    state.execute(&mut *connection).await?;
    count_query(Purpose::Lease);
    let cursors = sqlx::query(CURSORS).bind(module).bind(epoch).bind(head);
    cursors.execute(&mut *connection).await?;
    count_query(Purpose::Lease);
    sqlx::query(HEAD)
        .bind(module)
        .bind(epoch)
        .bind(head)
        .bind(after.retained_from.as_i64())
        .bind(bump.witnessed_time.get())
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
