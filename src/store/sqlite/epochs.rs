//! New epochs on SQLite: one transaction, whose lock keeps every other writer out.

use std::time::Duration;

use async_trait::async_trait;
use sqlx::SqliteConnection;

use super::{SqliteStore, error::failed};
use crate::{
    domain::{Cursor, Micros, ModuleName, Pace, Position},
    store::{
        EpochBump, EpochBumped, Epochs, Error, Result,
        epochs::{ACTION, Columns, Leap, Survey, TOKEN_LEAP, first_tick, last_tick},
        row::{self, json_text},
    },
    telemetry::{Purpose, count_query},
};

/// An older copy may not know the module.
const ENSURE: &str = "INSERT INTO module_head (module) VALUES (?1) ON CONFLICT (module) DO NOTHING";

const SURVEY: &str = "\
    SELECT h.epoch, h.head, h.retained_from, h.lease_token, \
        max(h.epoch, \
            coalesce((SELECT epoch FROM change_log WHERE module = h.module \
                      ORDER BY position DESC LIMIT 1), 0), \
            coalesce((SELECT max(epoch) FROM mirror_cursor WHERE module = h.module), 0)), \
        max(h.head, \
            coalesce((SELECT max(position) FROM change_log WHERE module = h.module), 0), \
            coalesce((SELECT max(position) FROM mirror_cursor WHERE module = h.module), 0)), \
        (SELECT min(position) FROM entity_state WHERE module = h.module), \
        (SELECT max(position) FROM entity_state WHERE module = h.module) \
    FROM module_head h WHERE h.module = ?1";

const STATE: &str = "UPDATE entity_state SET position = position + ?2 WHERE module = ?1";

/// The new generation makes the clients of each target read at once.
const CURSORS: &str = "\
    UPDATE mirror_cursor \
    SET epoch = ?2, position = ?3, generation = generation + 1, version = version + 1 \
    WHERE module = ?1";

const HEAD: &str = "\
    UPDATE module_head \
    SET epoch = ?2, head = ?3, retained_from = ?4, \
        lost_through = max(sequenced_through, ?5), \
        sequenced_through = max(sequenced_through, ?5), \
        lease_holder = NULL, lease_expires_at = 0, lease_token = lease_token + ?6 \
    WHERE module = ?1";

const LOST: &str = "SELECT lost_through FROM module_head WHERE module = ?1";

const RETIME: &str = "\
    UPDATE entity_state SET sequenced_at = ?2 + (r.n / ?3) * ?4 \
    FROM ( \
        SELECT audience, entity_key, row_number() OVER (ORDER BY position) - 1 AS n \
        FROM entity_state WHERE module = ?1 \
    ) AS r \
    WHERE entity_state.module = ?1 AND entity_state.audience = r.audience \
      AND entity_state.entity_key = r.entity_key";

/// A cursor within the state is answered from the state.
const CLOSE: &str = "\
    UPDATE module_head SET sequenced_through = max(sequenced_through, ?2), lost_through = ?2 - 1 \
    WHERE module = ?1";

const NOTE: &str = "\
    INSERT INTO audit (module, actor, action, before, after, reason, at) \
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";

const BEYOND: &str = "\
    SELECT h.module, c.epoch, c.position FROM module_head h \
    JOIN mirror_cursor c ON c.module = h.module \
    WHERE (c.epoch, c.position) > (h.epoch, h.head) \
    UNION ALL \
    SELECT h.module, c.epoch, max(c.position) FROM module_head h \
    JOIN change_log c ON c.module = h.module AND c.position > h.head GROUP BY h.module";

#[async_trait]
impl Epochs for SqliteStore {
    async fn bump_epoch(&self, bump: &EpochBump, _lease: Duration) -> Result<Option<EpochBumped>> {
        let doing = "beginning a new epoch";
        let mut writing = self.begin_ordinary(doing).await?;
        let survey = survey(writing.connection(), &bump.module).await;
        let survey = survey.map_err(failed(doing))?;
        if !bump.is_called_for(&survey.mark, survey.token) {
            return Ok(None);
        }
        let leap = survey.leap(bump.witnessed)?;
        let sides = [
            json_text("audit", &leap.bumped.before)?,
            json_text("audit", &leap.bumped.after)?,
        ];
        let write = write(writing.connection(), bump, &leap, &sides);
        write.await.map_err(failed(doing))?;
        writing.commit(doing).await?;
        Ok(Some(leap.bumped))
    }

    async fn try_epoch(&self, bump: &EpochBump) -> Result<EpochBumped> {
        let doing = "trying a new epoch";
        let mut writing = self.begin_ordinary(doing).await?;
        let survey = survey(writing.connection(), &bump.module).await;
        // Dropping the transaction rolls it back.
        let leap = survey.map_err(failed(doing))?.leap(bump.witnessed)?;
        Ok(leap.bumped)
    }

    async fn beyond_heads(&self) -> Result<Vec<(ModuleName, Cursor)>> {
        count_query(Purpose::Lease);
        let select = sqlx::query_as(BEYOND).fetch_all(&self.readers);
        let doing = "looking for positions beyond the heads";
        let rows: Vec<(String, i64, i64)> = select.await.map_err(failed(doing))?;
        let beyond = |(name, epoch, position): &(String, i64, i64)| {
            let cursor = Cursor::new(row::epoch(*epoch), Position::from_i64(*position));
            Ok((row::module(name)?, cursor))
        };
        let beyond = rows.iter().map(beyond).collect::<sqlx::Result<_>>();
        beyond.map_err(Error::Unexpected)
    }
}

async fn survey(connection: &mut SqliteConnection, module: &ModuleName) -> sqlx::Result<Survey> {
    count_query(Purpose::Lease);
    let ensure = sqlx::query(ENSURE).bind(module.as_str());
    ensure.execute(&mut *connection).await?;
    count_query(Purpose::Lease);
    let select = sqlx::query_as(SURVEY).bind(module.as_str());
    let columns: Columns = select.fetch_one(connection).await?;
    Ok(Survey::new(&columns))
}

/// Gives the state new times.
async fn retime(connection: &mut SqliteConnection, module: &str, pace: Pace) -> sqlx::Result<()> {
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
    connection: &mut SqliteConnection,
    bump: &EpochBump,
    leap: &Leap,
    [from, to]: &[String; 2],
) -> sqlx::Result<()> {
    let module = bump.module.as_str();
    let after = leap.bumped.after;
    let (epoch, head) = (i64::from(after.epoch.get()), after.head.as_i64());
    let now = SqliteStore::now().get();
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
        .bind(now.max(bump.witnessed_time.get()))
        .bind(TOKEN_LEAP)
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
        .bind(now)
        .execute(connection)
        .await?;
    Ok(())
}
