//! What can go wrong between the gateway and its database.

use std::io;

use crate::domain::ModuleName;

/// Result of a store call.
pub type Result<T> = std::result::Result<T, Error>;

/// A failed store call. Sources are kept for the log and are never part of the message.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The URL names no database that this program knows.
    #[error("database.url: `{scheme}:` is not supported, use sqlite:, postgres: or mysql:")]
    UnknownScheme {
        /// What stands before the colon.
        scheme: String,
    },
    /// The URL cannot be read.
    #[error("database.url: {why}")]
    BadUrl {
        /// What is wrong with it, without its password.
        why: String,
    },
    /// The database cannot be asked now: not reachable, locked, over a time-out. Trying
    /// again later is right. After a commit the outcome is unknown.
    #[error("the database does not answer: {why}")]
    Unavailable {
        /// What was being done, and the database's short word for what failed.
        why: String,
        /// The driver's error.
        #[source]
        source: Option<sqlx::Error>,
    },
    /// The database has no room for what was to be written, and nothing of it was. Trying again is right once there is some.
    #[error("the database has no room left: {why}")]
    NoRoom {
        /// What was being done, and the database's short word for what failed.
        why: String,
        /// The driver's error.
        #[source]
        source: sqlx::Error,
    },
    /// The lease is lost; everything of the transaction was rolled back.
    #[error("the lease of module {module} is held by somebody else")]
    LeaseLost {
        /// The first module whose fence did not hold.
        module: ModuleName,
    },
    /// Changes were numbered without state, and the state does not hold them yet.
    #[error(
        "the state of module {module} is not whole: changes were numbered while `state` was off"
    )]
    StateNotWhole {
        /// The module.
        module: ModuleName,
    },
    /// The rows changed between reading and deleting them; everything was rolled back.
    #[error("{expected} outbox rows were to be deleted, {deleted} were there")]
    OutboxChanged {
        /// Rows read.
        expected: u64,
        /// Rows that the delete found.
        deleted: u64,
    },
    /// The stored version is not the one that the write was meant for; nothing was written.
    #[error("the stored version is {current}, not {expected}: look again, then repeat")]
    VersionConflict {
        /// The version that the caller had seen.
        expected: i64,
        /// The version that is stored.
        current: i64,
    },
    /// A target was acted on after the write was decided; nothing was written.
    #[error("target {target} was acted on meanwhile: look again, then repeat")]
    TargetChanged {
        /// The target.
        target: String,
    },
    /// The database refuses this very value, and would again.
    #[error("the database refuses the value: {why}")]
    Refused {
        /// The reason, in words for a producer.
        why: String,
    },
    /// The schema lacks migrations and the program was told not to run them.
    #[error(
        "the database schema lacks {pending} migration(s): run `changeover migrate`, or serve without --no-migrate"
    )]
    SchemaPending {
        /// How many.
        pending: usize,
    },
    /// The schema is newer than this program, or not changeover's.
    #[error(
        "the database schema holds migration {found}, which this program does not know (it knows up to {known}): run the newer changeover, or restore the older database"
    )]
    SchemaNewer {
        /// The unknown migration.
        found: i64,
        /// The newest migration of this program.
        known: i64,
    },
    /// Stored data that this program cannot have written.
    #[error("{table} holds {what}")]
    Corrupt {
        /// The table.
        table: &'static str,
        /// What is wrong with its row.
        what: String,
    },
    /// Any other failure of the database: a bug of ours or a damaged schema. Not worth a retry
    /// without a person looking.
    #[error("the database failed in an unexpected way")]
    Unexpected(#[source] sqlx::Error),
}

impl Error {
    /// Whether the same call may succeed later without anybody changing anything.
    pub const fn is_transient(&self) -> bool {
        matches!(
            self,
            Self::Unavailable { .. }
                | Self::NoRoom { .. }
                | Self::LeaseLost { .. }
                | Self::StateNotWhole { .. }
                | Self::OutboxChanged { .. }
        )
    }
}

/// What a connection failed of, in a few words: that of TLS is for the operator to mend.
pub(super) fn connection_failure(error: &sqlx::Error) -> String {
    let of_tls = match error {
        sqlx::Error::Tls(why) => Some(why.to_string()),
        sqlx::Error::Io(why) if why.kind() == io::ErrorKind::InvalidData => Some(why.to_string()),
        _ => None,
    };
    of_tls.map_or_else(
        || "the connection failed".to_owned(),
        |why| format!("no TLS with the server: {why}"),
    )
}
