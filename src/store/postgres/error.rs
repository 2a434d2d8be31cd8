//! From SQLSTATE to what a caller may do about it.

use crate::store::{Error, error::connection_failure};

/// Maps the failure of `doing`, a few words for the log.
pub(super) fn failed(doing: &'static str) -> impl FnOnce(sqlx::Error) -> Error {
    move |error| match &error {
        sqlx::Error::Database(database) => {
            let state = database.code().unwrap_or_default().into_owned();
            by_state(doing, &state, database.message().to_owned(), error)
        }
        sqlx::Error::PoolTimedOut => unavailable(
            doing,
            "no connection could be had in time, is the server up and database.url right?",
            error,
        ),
        // A connection that ends in the middle of a message shows as any of these.
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::BeginFailed
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed => {
            let why = connection_failure(&error);
            unavailable(doing, &why, error)
        },
        _ => Error::Unexpected(error),
    }
}

fn by_state(doing: &'static str, state: &str, message: String, error: sqlx::Error) -> Error {
    match state {
        // Time-outs and cancels; deadlock, serialization; a server that stops, starts or follows another.
        "57014" | "55P03" | "25P03" | "25P04" | "25006" | "40001" | "40P01" | "58030" => {
            unavailable(doing, state, error)
        }
        "53100" => Error::NoRoom {
            why: format!("{doing}: {message} ({state})"),
            source: error,
        },
        _ if ["57P", "08", "53"]
            .iter()
            .any(|class| state.starts_with(class)) =>
        {
            unavailable(doing, state, error)
        }
        // Wrong password, no such user, no such database, not this user's tables.
        "3D000" | "42501" => Error::BadUrl { why: message },
        _ if state.starts_with("28") => Error::BadUrl { why: message },
        // Data exceptions, U+0000 among them; a key too large for its index.
        "54000" => Error::Refused { why: message },
        _ if state.starts_with("22") => Error::Refused { why: message },
        _ => Error::Unexpected(error),
    }
}

fn unavailable(doing: &'static str, word: &str, error: sqlx::Error) -> Error {
    Error::Unavailable {
        why: format!("{doing}: {word}"),
        source: Some(error),
    }
}
