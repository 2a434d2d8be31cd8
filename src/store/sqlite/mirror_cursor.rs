//! The mirror's cursors on SQLite.

use async_trait::async_trait;
use sqlx::{Row, SqliteConnection};

use super::{SqliteStore, error::failed, json, lease::pairs};
use crate::{
    domain::ModuleName,
    store::{Error, Lease, MirrorCursor, MirrorCursors, Result, mirror_cursor, row},
    telemetry::{Purpose, count_query},
};

const CURSORS: &str = "\
    SELECT module, epoch, position, generation, version FROM mirror_cursor \
    WHERE target = ?1 ORDER BY module";

const MIRRORED: &str = "SELECT DISTINCT module FROM mirror_cursor WHERE position > 0";

const FENCE: &str = "\
    SELECT module FROM module_head \
    WHERE (module, lease_token) IN (SELECT value->>0, value->>1 FROM json_each(?1))";

/// A row that is there is only replaced over the version read; a missing one only made for version 0.
const WRITE: &str = "\
    INSERT INTO mirror_cursor (target, module, epoch, position, generation, version, lease_token) \
    SELECT ?1, g.value->>0, g.value->>2, g.value->>3, g.value->>4, (g.value->>5) + 1, g.value->>1 \
    FROM json_each(?2) g \
    LEFT JOIN mirror_cursor c ON c.target = ?1 AND c.module = g.value->>0 \
    WHERE coalesce(c.version, 0) = g.value->>5 \
    ON CONFLICT (target, module) DO UPDATE \
    SET epoch = excluded.epoch, position = excluded.position, generation = excluded.generation, \
        version = excluded.version, lease_token = excluded.lease_token \
    RETURNING module, version";

const VERSION: &str = "SELECT version FROM mirror_cursor WHERE target = ?1 AND module = ?2";

#[async_trait]
impl MirrorCursors for SqliteStore {
    async fn mirror_cursors(&self, target: &str) -> Result<Vec<MirrorCursor>> {
        count_query(Purpose::Cursor);
        let select = sqlx::query(CURSORS).bind(target).fetch_all(&self.readers);
        let rows = select.await.map_err(failed("reading mirror cursors"))?;
        let cursors = rows
            .iter()
            .map(row::mirror_cursor)
            .collect::<sqlx::Result<_>>();
        cursors.map_err(Error::Unexpected)
    }

    async fn mirrored_modules(&self) -> Result<Vec<ModuleName>> {
        count_query(Purpose::Cursor);
        let select = sqlx::query_scalar(MIRRORED).fetch_all(&self.readers);
        let names: Vec<String> = select.await.map_err(failed("reading mirror cursors"))?;
        let modules = names.iter().map(|name| row::module(name));
        modules
            .collect::<sqlx::Result<_>>()
            .map_err(Error::Unexpected)
    }

    async fn write_mirror_cursors(
        &self,
        target: &str,
        cursors: &[(Lease, MirrorCursor)],
    ) -> Result<Vec<i64>> {
        if cursors.is_empty() {
            return Ok(Vec::new());
        }
        let doing = "writing mirror cursors";
        let mut writing = self.begin_ordinary(doing).await?;
        let write = in_transaction(writing.connection(), target, cursors);
        let outcome = write.await.map_err(failed(doing))?;
        let versions = mirror_cursor::in_order(cursors, &outcome)?;
        writing.commit(doing).await?;
        Ok(versions)
    }
}

async fn in_transaction(
    connection: &mut SqliteConnection,
    target: &str,
    cursors: &[(Lease, MirrorCursor)],
) -> sqlx::Result<mirror_cursor::Outcome> {
    count_query(Purpose::Cursor);
    let fence = sqlx::query_scalar(FENCE).bind(pairs(cursors.iter().map(|(lease, _)| lease)));
    let held: Vec<String> = fence.fetch_all(&mut *connection).await?;
    count_query(Purpose::Cursor);
    let rows: Vec<_> = cursors.iter().map(columns).collect();
    let write = sqlx::query(WRITE).bind(target).bind(json::text(&rows));
    let rows = write.fetch_all(&mut *connection).await?;
    let written: Vec<(String, i64)> = rows
        .iter()
        .map(|row| Ok((row.try_get(0)?, row.try_get(1)?)))
        .collect::<sqlx::Result<_>>()?;
    let mut outcome = mirror_cursor::Outcome {
        held,
        written,
        stored: None,
    };
    if let Some(module) = outcome.unwritten(cursors) {
        count_query(Purpose::Cursor);
        let version = sqlx::query_scalar(VERSION)
            .bind(target)
            .bind(module.as_str());
        outcome.stored = version.fetch_optional(connection).await?;
    }
    Ok(outcome)
}

fn columns((lease, row): &(Lease, MirrorCursor)) -> (&str, i64, u32, i64, i64, i64) {
    (
        lease.module.as_str(),
        lease.token,
        row.cursor.epoch.get(),
        row.cursor.position.as_i64(),
        row.generation.cast_signed(),
        row.version,
    )
}
