//! From SQLite's result codes to what a caller may do about it.

use crate::store::Error;

const BUSY: u32 = 5;
const LOCKED: u32 = 6;

/// Maps the failure of `doing`, a few words for the log.
pub(super) fn failed(doing: &'static str) -> impl FnOnce(sqlx::Error) -> Error {
    move |error| match (&error, primary_code(&error)) {
        (_, Some(code)) => by_code(doing, code, error),
        (
            sqlx::Error::Io(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed,
            None,
        ) => unavailable(doing, "no connection", error),
        _ => Error::Unexpected(error),
    }
}

/// Whether another process writes.
pub(super) fn is_busy(error: &sqlx::Error) -> bool {
    matches!(primary_code(error), Some(BUSY | LOCKED))
}

/// The low byte of an extended result code, <https://www.sqlite.org/rescode.html>.
fn primary_code(error: &sqlx::Error) -> Option<u32> {
    let code = error.as_database_error()?.code()?;
    code.parse::<u32>().ok().map(|code| code & 0xff)
}

fn by_code(doing: &'static str, code: u32, error: sqlx::Error) -> Error {
    match code {
        BUSY | LOCKED => unavailable(doing, "another process writes (SQLITE_BUSY)", error),
        7 => unavailable(doing, "out of memory (SQLITE_NOMEM)", error),
        8 => unavailable(doing, "the file cannot be written (SQLITE_READONLY)", error),
        9 => unavailable(doing, "interrupted (SQLITE_INTERRUPT)", error),
        10 => unavailable(doing, "the disk fails (SQLITE_IOERR)", error),
        13 => Error::NoRoom {
            why: format!("{doing}: the disk is full (SQLITE_FULL)"),
            source: error,
        },
        14 => unavailable(doing, "the file cannot be opened (SQLITE_CANTOPEN)", error),
        15 => unavailable(doing, "locks are contended (SQLITE_PROTOCOL)", error),
        18 => Error::Refused {
            why: "larger than SQLite stores (SQLITE_TOOBIG)".to_owned(),
        },
        _ => Error::Unexpected(error),
    }
}

fn unavailable(doing: &'static str, word: &str, error: sqlx::Error) -> Error {
    Error::Unavailable {
        why: format!("{doing}: {word}"),
        source: Some(error),
    }
}
