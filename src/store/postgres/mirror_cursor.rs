//! The mirror's cursors on PostgreSQL.

use async_trait::async_trait;
use sqlx::{PgConnection, Row};

use super::{PostgresStore, lease::columns};
use crate::{
    domain::ModuleName,
    store::{Error, Lease, MirrorCursor, MirrorCursors, Result, mirror_cursor, row},
    telemetry::{Purpose, count_query},
};

const CURSORS: &str = "\
    SELECT module, epoch, position, generation, version FROM mirror_cursor \
    WHERE target = $1 ORDER BY module";

const MIRRORED: &str = "SELECT DISTINCT module FROM mirror_cursor WHERE position > 0";

/// SHARE: several targets of one module do not wait for each other, a new holder waits for all.
const FENCE: &str = "\
    SELECT h.module FROM module_head h \
    JOIN unnest($1::text[], $2::bigint[]) AS l(module, token) \
      ON h.module = l.module AND h.lease_token = l.token \
    ORDER BY h.module FOR SHARE OF h";

/// A row that is there is only replaced over the version read; a missing one only made for version 0.
const WRITE: &str = "\
    WITH given AS ( \
        SELECT * FROM unnest($2::text[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[]) \
            AS g(module, lease_token, epoch, position, generation, version) \
    ), moved AS ( \
        UPDATE mirror_cursor c \
        SET epoch = g.epoch, position = g.position, generation = g.generation, \
            version = c.version + 1, lease_token = g.lease_token \
        FROM given g \
        WHERE c.target = $1 AND c.module = g.module AND c.version = g.version \
        RETURNING c.module, c.version \
    ), made AS ( \
        INSERT INTO mirror_cursor (target, module, epoch, position, generation, version, lease_token) \
        SELECT $1, module, epoch, position, generation, 1, lease_token FROM given WHERE version = 0 \
        ON CONFLICT (target, module) DO NOTHING \
        RETURNING module, version \
    ) \
    SELECT module, version FROM moved UNION ALL SELECT module, version FROM made";

const VERSION: &str = "SELECT version FROM mirror_cursor WHERE target = $1 AND module = $2";

#[async_trait]
impl MirrorCursors for PostgresStore {
    async fn mirror_cursors(&self, target: &str) -> Result<Vec<MirrorCursor>> {
        let doing = "reading mirror cursors";
        let mut borrowed = self.borrow(doing).await?;
        count_query(Purpose::Cursor);
        let select = sqlx::query(CURSORS)
            .bind(target)
            .fetch_all(borrowed.connection());
        let rows = self.call(doing, select).await?;
        borrowed.put_back();
        let cursors = rows
            .iter()
            .map(row::mirror_cursor)
            .collect::<sqlx::Result<_>>();
        cursors.map_err(Error::Unexpected)
    }

    async fn mirrored_modules(&self) -> Result<Vec<ModuleName>> {
        let doing = "reading mirror cursors";
        let mut borrowed = self.borrow(doing).await?;
        count_query(Purpose::Cursor);
        let select = sqlx::query_scalar(MIRRORED).fetch_all(borrowed.connection());
        let names: Vec<String> = self.call(doing, select).await?;
        borrowed.put_back();
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
        let mut borrowed = self.borrow(doing).await?;
        // The head rows are locked: half a lease bounds the whole, as it does for numbering.
        let write = in_transaction(borrowed.connection(), target, cursors);
        let outcome = self.quick(doing, write).await?;
        let versions = mirror_cursor::in_order(cursors, &outcome)?;
        let commit = super::connection::commit(borrowed.connection());
        self.quick(doing, commit).await?;
        borrowed.put_back();
        Ok(versions)
    }
}

async fn in_transaction(
    connection: &mut PgConnection,
    target: &str,
    cursors: &[(Lease, MirrorCursor)],
) -> sqlx::Result<mirror_cursor::Outcome> {
    super::connection::begin(connection).await?;
    let leases: Vec<Lease> = cursors.iter().map(|(lease, _)| lease.clone()).collect();
    let (modules, tokens) = columns(&leases);
    count_query(Purpose::Cursor);
    let fence = sqlx::query_scalar(FENCE).bind(&modules).bind(&tokens);
    let held: Vec<String> = fence.fetch_all(&mut *connection).await?;
    count_query(Purpose::Cursor);
    let column =
        |of: fn(&MirrorCursor) -> i64| cursors.iter().map(|(_, c)| of(c)).collect::<Vec<_>>();
    let rows = sqlx::query(WRITE)
        .bind(target)
        .bind(&modules)
        .bind(&tokens)
        .bind(column(|c| c.cursor.epoch.get().into()))
        .bind(column(|c| c.cursor.position.as_i64()))
        .bind(column(|c| c.generation.cast_signed()))
        .bind(column(|c| c.version))
        .fetch_all(&mut *connection)
        .await?;
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
