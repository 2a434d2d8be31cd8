//! How the migrations in a database compare with the ones in this program.

use std::time::Duration;

use sqlx::migrate::{MigrateError, Migrator};

use super::{Error, Result, SchemaState};

/// How long a migration waits for the one of another process, and for locks.
pub(super) const LOCK_WAIT: Duration = Duration::from_mins(1);

/// A row of `_sqlx_migrations`.
#[derive(Debug, sqlx::FromRow)]
pub(super) struct Applied {
    version: i64,
    checksum: Vec<u8>,
    success: bool,
}

/// Compares. Refuses a migration that is unknown, unfinished, or not what this program carries
/// under its number.
pub(super) fn compare(migrator: &Migrator, applied: &[Applied]) -> Result<SchemaState> {
    for row in applied {
        check(migrator, row)?;
    }
    Ok(
        match migrator.iter().count().saturating_sub(applied.len()) {
            0 => SchemaState::Current,
            pending => SchemaState::Pending(pending),
        },
    )
}

fn check(migrator: &Migrator, applied: &Applied) -> Result<()> {
    let Some(own) = migrator.iter().find(|own| own.version == applied.version) else {
        return Err(newer(migrator, applied.version));
    };
    if !applied.success {
        return Err(corrupt(
            applied.version,
            "that was begun and never finished: restore the database",
        ));
    }
    if *own.checksum != *applied.checksum {
        return Err(changed(applied.version));
    }
    Ok(())
}

fn newer(migrator: &Migrator, found: i64) -> Error {
    let known = migrator
        .iter()
        .map(|own| own.version)
        .max()
        .unwrap_or_default();
    Error::SchemaNewer { found, known }
}

fn changed(version: i64) -> Error {
    corrupt(
        version,
        "with another checksum than this program's: the database was made by a different build; run that build, or begin with an empty database",
    )
}

fn corrupt(version: i64, what: &str) -> Error {
    Error::Corrupt {
        table: "_sqlx_migrations",
        what: format!("migration {version} {what}"),
    }
}

/// What went wrong while migrating; `database` maps the driver's errors.
pub(super) fn failure(
    migrator: &Migrator,
    error: MigrateError,
    database: impl FnOnce(sqlx::Error) -> Error,
) -> Error {
    match error {
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => database(error),
        MigrateError::VersionMissing(version) => newer(migrator, version),
        MigrateError::VersionMismatch(version) => changed(version),
        other => Error::Unexpected(sqlx::Error::Migrate(Box::new(other))),
    }
}
