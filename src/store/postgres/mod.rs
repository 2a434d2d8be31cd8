//! The store on PostgreSQL.
//!
//! Two ways to the server: a pool for reads and acts, and one connection of its own for leases and
//! numbering, whose every time-out is half a lease. Invariant: no call of ours holds a lock, and no
//! caller waits, longer than the configured bound; where the server cannot promise that (it is
//! frozen, or the network is gone) the client gives the connection up.

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
mod signing_keys;
mod stages;
mod states;
mod targets;
mod tick_index;
mod ticks;
mod tokens;
mod usage;

use std::{str::FromStr, time::Duration};

use sqlx::{
    PgConnection, PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};

use super::{Error, Result, migration::LOCK_WAIT, seat::Seat};
use crate::config::{database::Database, sequencer::Sequencer};

/// The store on PostgreSQL.
#[derive(Debug)]
pub(super) struct PostgresStore {
    pool: PgPool,
    /// The numbering connection.
    seat: Seat<PgConnection>,
    numbering: PgConnectOptions,
    migrating: PgConnectOptions,
    half_lease: Duration,
    /// The client's own bound of a call on the pool.
    call_timeout: Duration,
}

/// For the numbering connection, whose statements are short and find their rows by an index: whatever the statistics say, a
/// plan that walks over a whole table walks over all the rows in it that are dead but kept for somebody's snapshot.
const PLANS: [(&str, &str); 3] = [
    ("enable_seqscan", "off"),
    ("jit", "off"),
    ("max_parallel_workers_per_gather", "0"),
];

impl PostgresStore {
    /// Prepares connections; none is opened yet.
    pub(super) fn open(database: &Database, sequencer: &Sequencer) -> Result<Self> {
        let base = parse(&database.url)?;
        let half_lease = Duration::from_millis((sequencer.lease_ms / 2).max(1));
        let statement = Duration::from_millis(database.statement_timeout_ms);
        let acquire = Duration::from_millis(database.acquire_timeout_ms);
        Ok(Self {
            pool: pool(database, acquire).connect_lazy_with(bounded(&base, statement, half_lease)),
            seat: Seat::new(),
            numbering: bounded(&base, half_lease, half_lease).options(PLANS),
            migrating: base.options([("lock_timeout", millis(LOCK_WAIT))]),
            half_lease,
            call_timeout: acquire + statement,
        })
    }
}

fn parse(url: &str) -> Result<PgConnectOptions> {
    let options = PgConnectOptions::from_str(url).map_err(|error| Error::BadUrl {
        why: format!("cannot be read as postgres://user:password@host:port/name: {error}"),
    })?;
    Ok(options.application_name("changeover"))
}

fn pool(database: &Database, acquire: Duration) -> PgPoolOptions {
    /// An idle connection is asked for a sign of life before it is used; a busy one has just given it.
    const TRUSTED_IDLE: Duration = Duration::from_millis(500);
    PgPoolOptions::new()
        .max_connections(database.connections.max(1))
        .acquire_timeout(acquire)
        .test_before_acquire(false)
        .before_acquire(|connection, meta| {
            Box::pin(async move {
                if meta.idle_for > TRUSTED_IDLE {
                    sqlx::Connection::ping(connection).await?;
                }
                Ok(true)
            })
        })
}

/// Options of a connection that can hold no lock for longer than `idle` without working, and work on
/// nothing for longer than `statement`. The TCP settings make the server give up a client that
/// vanished without a word, or takes in nothing of an answer for as long as a statement may take: on a
/// busy machine half a lease is not enough for a large page. On a unix socket they mean nothing.
fn bounded(base: &PgConnectOptions, statement: Duration, idle: Duration) -> PgConnectOptions {
    base.clone().options([
        ("statement_timeout", millis(statement)),
        ("lock_timeout", millis(statement)),
        ("idle_in_transaction_session_timeout", millis(idle)),
        ("tcp_user_timeout", millis(statement)),
        ("tcp_keepalives_idle", "1".to_owned()),
        ("tcp_keepalives_interval", "1".to_owned()),
        ("tcp_keepalives_count", "1".to_owned()),
    ])
}

fn millis(span: Duration) -> String {
    format!("{}ms", span.as_millis().max(1))
}
