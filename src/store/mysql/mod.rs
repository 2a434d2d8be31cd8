//! The store on MariaDB, and on MySQL 8 by the same SQL.
//!
//! As on PostgreSQL there are two ways to the server: a pool for reads and acts, and one connection of its own for
//! leases and numbering, whose every time-out is half a lease. Invariants: every session runs under READ COMMITTED
//! (under REPEATABLE READ a transaction would delete outbox rows that it never read); names are bound
//! and compared as bytes; no call of ours holds a lock, and no caller waits, longer than the configured bound.
//!
//! Times come from `UTC_TIMESTAMP(6)`, which stands still from the beginning of a statement: a lease that is judged
//! or set after a wait for a lock ends early, never late. Where the time after a lock counts, it is asked for in a
//! statement of its own.

mod census;
mod census_kept;
mod changelog;
mod connection;
mod epochs;
mod error;
mod facts;
mod guards;
mod instances;
mod lease;
mod log_identity;
mod mirror_cursor;
mod numbering;
mod outbox;
mod panics;
mod retention;
mod schema;
mod session;
mod signing_keys;
mod stages;
mod statement;
mod states;
mod stored;
mod targets;
mod tick_index;
mod ticks;
mod tokens;
mod usage;

use std::{str::FromStr, time::Duration};

use sqlx::{
    MySqlConnection, MySqlPool,
    mysql::{MySqlConnectOptions, MySqlPoolOptions},
};

use self::session::Session;
use super::{Error, Result, seat::Seat};
use crate::config::{database::Database, sequencer::Sequencer};

/// The store on MariaDB or MySQL.
#[derive(Debug)]
pub(super) struct MySqlStore {
    pool: MySqlPool,
    /// The numbering connection.
    seat: Seat<MySqlConnection>,
    options: MySqlConnectOptions,
    numbering: Session,
    migrating: Session,
    half_lease: Duration,
    /// The client's own bound of a call on the pool.
    call_timeout: Duration,
}

impl MySqlStore {
    /// Prepares connections; none is opened yet.
    pub(super) fn open(database: &Database, sequencer: &Sequencer) -> Result<Self> {
        let options = parse(&database.url)?;
        let half_lease = Duration::from_millis((sequencer.lease_ms / 2).max(1));
        let statement = Duration::from_millis(database.statement_timeout_ms);
        let acquire = Duration::from_millis(database.acquire_timeout_ms);
        let pooled = Session::bounded(statement, half_lease);
        Ok(Self {
            pool: pool(database, acquire, pooled).connect_lazy_with(options.clone()),
            seat: Seat::new(),
            options,
            numbering: Session::bounded(half_lease, half_lease),
            migrating: Session::unhurried(),
            half_lease,
            call_timeout: acquire + statement,
        })
    }
}

fn parse(url: &str) -> Result<MySqlConnectOptions> {
    let options = MySqlConnectOptions::from_str(url).map_err(|error| Error::BadUrl {
        why: format!("cannot be read as mysql://user:password@host:port/name: {error}"),
    })?;
    // The session says its own sql_mode.
    Ok(options
        .charset("utf8mb4")
        .timezone("+00:00".to_owned())
        .pipes_as_concat(false)
        .no_engine_substitution(false))
}

fn pool(database: &Database, acquire: Duration, session: Session) -> MySqlPoolOptions {
    /// An idle connection is asked for a sign of life before it is used; a busy one has just given it.
    const TRUSTED_IDLE: Duration = Duration::from_millis(500);
    MySqlPoolOptions::new()
        .max_connections(database.connections.max(1))
        .acquire_timeout(acquire)
        .test_before_acquire(false)
        .after_connect(move |connection, _meta| {
            let session = session.clone();
            Box::pin(async move { session.begin(connection).await })
        })
        .before_acquire(|connection, meta| {
            Box::pin(async move {
                if meta.idle_for > TRUSTED_IDLE {
                    sqlx::Connection::ping(connection).await?;
                }
                Ok(true)
            })
        })
}
