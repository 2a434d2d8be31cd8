//! The store on SQLite: one file, one writing connection, a pool of readers, and a reader of its own for
//! looking at the outbox.
//!
//! Invariants: every writing transaction begins IMMEDIATE, so that none finds out half-way that
//! another process writes; WAL lets reads go on meanwhile; `synchronous=FULL`, so a commit that was
//! confirmed survives a loss of power.

mod census;
mod census_kept;
mod changelog;
mod connection;
mod epochs;
mod error;
mod facts;
mod file;
mod guards;
mod instances;
mod json;
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

use std::{
    path::Path,
    str::FromStr,
    sync::{Arc, OnceLock},
    time::Duration,
};

use sqlx::{
    SqliteConnection, SqlitePool,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};
use tokio::sync::Mutex;

use self::file::DatabaseFile;
use super::{Error, Result, seat::Seat};
use crate::{
    config::{database::Database, sequencer::Sequencer},
    domain::{Clock, Micros, SystemClock},
};

/// The most memory for pages of the writing connection, in KiB, as SQLite wants it written. With its own 2 MiB a batch
/// whose channels lie all over the indexes is written to the log of the file several times before it is committed.
const CACHE: &str = "-65536";
/// Pages of the write-ahead log after which they go to the file: 16 MiB. Pages that many batches touch go there once.
const CHECKPOINT: &str = "4000";

/// The store on SQLite.
#[derive(Debug)]
pub(super) struct SqliteStore {
    /// The only connection that writes.
    seat: Seat<SqliteConnection>,
    writing: SqliteConnectOptions,
    /// Ingest and acts pass here one by one, so that numbering never waits behind more than one of
    /// them.
    gate: Arc<Mutex<()>>,
    readers: SqlitePool,
    scanner: SqlitePool,
    half_lease: Duration,
    acquire_timeout: Duration,
    /// What the path led to once the file was made.
    file: OnceLock<DatabaseFile>,
}

impl SqliteStore {
    /// Opens the file; it and its folder are created if missing.
    pub(super) async fn open(database: &Database, sequencer: &Sequencer) -> Result<Self> {
        let base = parse(&database.url)?;
        create_folder(base.get_filename())?;
        file::make_private(base.get_filename())?;
        let half_lease = Duration::from_millis((sequencer.lease_ms / 2).max(1));
        let acquire_timeout = Duration::from_millis(database.acquire_timeout_ms);
        let reading = base
            .clone()
            .busy_timeout(acquire_timeout)
            .pragma("query_only", "ON");
        let pool = |connections: u32, wait: Duration| {
            SqlitePoolOptions::new()
                .max_connections(connections.max(1))
                .acquire_timeout(wait)
                .test_before_acquire(false)
                .connect_lazy_with(reading.clone())
        };
        let store = Self {
            seat: Seat::new(),
            // Half of what numbering may wait: one attempt of another never uses up all of it.
            writing: base
                .create_if_missing(true)
                .busy_timeout(half_lease / 2)
                .pragma("cache_size", CACHE)
                .pragma("wal_autocheckpoint", CHECKPOINT),
            gate: Arc::default(),
            readers: pool(database.connections, acquire_timeout),
            scanner: pool(1, half_lease),
            half_lease,
            acquire_timeout,
            file: OnceLock::new(),
        };
        store.create_file().await?;
        let file = DatabaseFile::remember(store.writing.get_filename())?;
        store.file.get_or_init(|| file);
        Ok(store)
    }

    /// The clock. SQLite has none of its own: its functions read the machine's, in whole milliseconds. All
    /// processes that share the file share the machine.
    fn now() -> Micros {
        SystemClock.now()
    }
}

fn parse(url: &str) -> Result<SqliteConnectOptions> {
    if url.contains(":memory:") || url.contains("mode=memory") {
        return Err(Error::BadUrl {
            why: "a database in memory is not shared between connections: name a file".to_owned(),
        });
    }
    let options = SqliteConnectOptions::from_str(url).map_err(|error| Error::BadUrl {
        why: format!("cannot be read as sqlite://path/to/file.db: {error}"),
    })?;
    if options.get_filename().as_os_str().is_empty() {
        return Err(Error::BadUrl {
            why: "names no file: write sqlite://path/to/file.db".to_owned(),
        });
    }
    Ok(options
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full))
}

fn create_folder(file: &Path) -> Result<()> {
    let Some(folder) = file
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
    else {
        return Ok(());
    };
    std::fs::create_dir_all(folder).map_err(|error| Error::BadUrl {
        why: format!("the folder `{}` cannot be made: {error}", folder.display()),
    })
}
