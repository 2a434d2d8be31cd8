//! The mirror's cursors on MariaDB and MySQL.

use async_trait::async_trait;
use sqlx::MySqlConnection;

use super::{
    MySqlStore,
    connection::{begin, commit},
    error::is_duplicate,
    lease::names,
    statement::{Statement, held, list, ready},
    stored::Stored,
};
use crate::{
    domain::ModuleName,
    store::{
        Error, Lease, MirrorCursor, MirrorCursors, Result,
        mirror_cursor::{self, Outcome},
        row::{self, Columns},
    },
    telemetry::{Purpose, count_query},
};

const CURSORS: &str = "\
    SELECT module, epoch, position, generation, version FROM mirror_cursor \
    WHERE target = ? ORDER BY module";

const MIRRORED: &str = "SELECT DISTINCT module FROM mirror_cursor WHERE position > 0";

const INSERT: &str = "\
    INSERT INTO mirror_cursor (target, module, epoch, position, generation, version, lease_token) ";

/// Over rows whose version was compared under lock.
const REPLACE: &str = " ON DUPLICATE KEY UPDATE \
    epoch = VALUES(epoch), position = VALUES(position), generation = VALUES(generation), \
    version = VALUES(version), lease_token = VALUES(lease_token)";

type Given = (Lease, MirrorCursor);

#[async_trait]
impl MirrorCursors for MySqlStore {
    async fn mirror_cursors(&self, target: &str) -> Result<Vec<MirrorCursor>> {
        let doing = "reading mirror cursors";
        let mut borrowed = self.borrow(doing).await?;
        count_query(Purpose::Cursor);
        let select = sqlx::query(CURSORS)
            .bind(target)
            .fetch_all(borrowed.connection());
        let rows = self.call(doing, select).await?;
        borrowed.put_back();
        let cursors = Stored::all(rows)
            .iter()
            .map(row::mirror_cursor)
            .collect::<sqlx::Result<_>>();
        cursors.map_err(Error::Unexpected)
    }

    async fn mirrored_modules(&self) -> Result<Vec<ModuleName>> {
        let doing = "reading mirror cursors";
        let mut borrowed = self.borrow(doing).await?;
        count_query(Purpose::Cursor);
        let select = sqlx::query(MIRRORED).fetch_all(borrowed.connection());
        let rows = self.call(doing, select).await?;
        borrowed.put_back();
        let modules = Stored::all(rows);
        let modules = modules.iter().map(|row| row::module(row.text(0)?));
        modules
            .collect::<sqlx::Result<_>>()
            .map_err(Error::Unexpected)
    }

    async fn write_mirror_cursors(&self, target: &str, cursors: &[Given]) -> Result<Vec<i64>> {
        if cursors.is_empty() {
            return Ok(Vec::new());
        }
        let doing = "writing mirror cursors";
        let mut borrowed = self.borrow(doing).await?;
        // The head rows are locked: half a lease bounds the whole, as it does for numbering.
        let write = in_transaction(borrowed.connection(), target, cursors);
        let outcome = self.quick(doing, write).await?;
        let versions = mirror_cursor::in_order(cursors, &outcome)?;
        self.quick(doing, commit(borrowed.connection())).await?;
        borrowed.put_back();
        Ok(versions)
    }
}

/// The versions are compared under lock and before anything is written: then the cursors are written all or none.
async fn in_transaction(
    connection: &mut MySqlConnection,
    target: &str,
    cursors: &[Given],
) -> sqlx::Result<Outcome> {
    begin(connection).await?;
    let held = fence(connection, cursors).await?;
    let mut stored = versions(connection, target, cursors).await?;
    let fits = |(lease, cursor): &&Given| version(&stored, lease) == cursor.version;
    let mut fitting: Vec<&Given> = cursors.iter().filter(fits).collect();
    if fitting.len() == cursors.len() && !write(connection, target, cursors).await? {
        fitting.retain(|(_, cursor)| cursor.version != 0);
        stored = versions(connection, target, cursors).await?;
    }
    let written = |(lease, cursor): &&Given| (lease.module.to_string(), cursor.version + 1);
    let mut outcome = Outcome {
        held,
        written: fitting.iter().map(written).collect(),
        stored: None,
    };
    let unwritten = outcome.unwritten(cursors);
    let unwritten = cursors
        .iter()
        .find(|(lease, _)| Some(&lease.module) == unwritten);
    outcome.stored = unwritten.map(|(lease, _)| version(&stored, lease));
    Ok(outcome)
}

/// The stored version of a module's cursor; 0 if there is none.
fn version(stored: &[(String, i64)], lease: &Lease) -> i64 {
    let row = stored
        .iter()
        .find(|(name, _)| name == lease.module.as_str());
    row.map_or(0, |(_, version)| *version)
}

/// SHARE: several targets of one module do not wait for each other, a new holder waits for all. Both servers know
/// this older form.
async fn fence(connection: &mut MySqlConnection, cursors: &[Given]) -> sqlx::Result<Vec<String>> {
    count_query(Purpose::Cursor);
    let mut select = Statement::new("SELECT module FROM module_head FORCE INDEX (PRIMARY) WHERE ");
    held(&mut select, cursors.iter().map(|(lease, _)| lease));
    select.push(" ORDER BY module LOCK IN SHARE MODE");
    let rows = ready(&mut select, cursors.len())
        .fetch_all(connection)
        .await?;
    names(&Stored::all(rows))
}

/// The stored versions, under lock.
async fn versions(
    connection: &mut MySqlConnection,
    target: &str,
    cursors: &[Given],
) -> sqlx::Result<Vec<(String, i64)>> {
    count_query(Purpose::Cursor);
    let mut select = Statement::new(
        "SELECT module, version FROM mirror_cursor FORCE INDEX (PRIMARY) WHERE target = ",
    );
    select.push_bind(target).push(" AND module IN (");
    list(
        &mut select,
        cursors.iter().map(|(lease, _)| lease.module.as_str()),
    );
    select.push(") ORDER BY module FOR UPDATE");
    let rows = ready(&mut select, cursors.len())
        .fetch_all(connection)
        .await?;
    Stored::all(rows)
        .iter()
        .map(|row| Ok((row.text(0)?.to_owned(), row.integer(1)?)))
        .collect()
}

/// Makes the cursors that are missing and replaces the others. False if somebody made a missing one in the
/// meantime: then nothing may be committed.
async fn write(
    connection: &mut MySqlConnection,
    target: &str,
    cursors: &[Given],
) -> sqlx::Result<bool> {
    let (missing, there): (Vec<&Given>, Vec<&Given>) =
        cursors.iter().partition(|(_, cursor)| cursor.version == 0);
    match insert(connection, target, &missing, "").await {
        Err(error) if is_duplicate(&error) => return Ok(false),
        result => result?,
    }
    insert(connection, target, &there, REPLACE).await?;
    Ok(true)
}

async fn insert(
    connection: &mut MySqlConnection,
    target: &str,
    cursors: &[&Given],
    over: &'static str,
) -> sqlx::Result<()> {
    if cursors.is_empty() {
        return Ok(());
    }
    count_query(Purpose::Cursor);
    let mut insert = Statement::new(INSERT);
    insert.push_values(cursors, |mut columns, (lease, row)| {
        columns
            .push_bind(target)
            .push_bind(lease.module.as_str())
            .push_bind(i64::from(row.cursor.epoch.get()))
            .push_bind(row.cursor.position.as_i64())
            .push_bind(row.generation.cast_signed())
            .push_bind(row.version + 1)
            .push_bind(lease.token);
    });
    insert.push(over);
    ready(&mut insert, cursors.len())
        .execute(connection)
        .await?;
    Ok(())
}
