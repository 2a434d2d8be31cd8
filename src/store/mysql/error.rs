//! From error numbers to what a caller may do about it. The numbers are the servers' own, since SQLSTATE is HY000
//! for most of them: <https://mariadb.com/kb/en/mariadb-error-code-reference/>,
//! <https://dev.mysql.com/doc/mysql-errors/8.0/en/server-error-reference.html>.

use sqlx::mysql::MySqlDatabaseError;

use crate::store::{Error, error::connection_failure};

/// What passes by itself.
#[rustfmt::skip]
const PASSING: &[u16] = &[
    // Lock wait and deadlock; statement, transaction and connection time-outs, kills.
    1205, 1213, 1317, 1927, 1969, 3024, 4031,
    // A server that stops, starts, is full of connections or statements, or follows another.
    1040, 1047, 1053, 1129, 1203, 1226, 1290, 1461, 1792, 1836, 3100, 3101,
    // Memory, engine; network; a table that was altered meanwhile.
    1020, 1030, 1037, 1038, 1041, 1180, 1181, 1158, 1159, 1160, 1161, 1412, 1615,
];

const NO_TLS: &str = "\
    if the server takes this user's password over TLS only, let it speak TLS and say ssl-mode=VERIFY_IDENTITY, or \
    give the user the plugin mysql_native_password";

/// A row with this key is there already.
const DUPLICATE: [u16; 2] = [1022, 1062];

/// Maps the failure of `doing`, a few words for the log.
pub(super) fn failed(doing: &'static str) -> impl FnOnce(sqlx::Error) -> Error {
    move |error| match &error {
        sqlx::Error::Database(database) => {
            let of_server = database.try_downcast_ref::<MySqlDatabaseError>();
            let number = of_server.map_or(0, MySqlDatabaseError::number);
            let state = database.code().unwrap_or_default().into_owned();
            by_number(doing, number, &state, database.message().to_owned(), error)
        }
        sqlx::Error::PoolTimedOut => unavailable(
            doing,
            "no connection could be had in time, is the server up and database.url right?",
            error,
        ),
        // The driver knows the URL by now, so this is about how the server wants the password, or about files of TLS.
        sqlx::Error::Configuration(why) => Error::BadUrl {
            why: format!("{why}; {NO_TLS}"),
        },
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

/// Whether a row with the same key is there already.
pub(super) fn is_duplicate(error: &sqlx::Error) -> bool {
    let database = error.as_database_error();
    let of_server = database.and_then(|database| database.try_downcast_ref::<MySqlDatabaseError>());
    of_server.is_some_and(|error| DUPLICATE.contains(&error.number()))
}

fn by_number(
    doing: &'static str,
    number: u16,
    state: &str,
    message: String,
    error: sqlx::Error,
) -> Error {
    match number {
        // The disk, or the table space.
        1021 | 1114 => Error::NoRoom {
            why: format!("{doing}: {message} (error {number})"),
            source: error,
        },
        _ if PASSING.contains(&number) => unavailable(doing, &format!("error {number}"), error),
        // Wrong password, no such user or database, not this user's tables.
        1044 | 1045 | 1049 | 1130 | 1142 | 1143 | 1227 | 1251 | 1698 | 1862 => {
            Error::BadUrl { why: message }
        }
        // Too long for its column or for a message, not of its character set, missing.
        1048 | 1118 | 1153 | 1364 | 1366 | 1406 | 3819 => Error::Refused { why: message },
        4025 if state == "23000" => Error::Refused { why: message },
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
