//! Whose turn it is to write.
//!
//! SQLite has one writer at a time. Inside this process numbering, ingest and acts take turns on one
//! connection, in the order in which they asked; ingest and acts pass a gate first, so at most one of
//! them stands in numbering's way. Another process that holds the lock is waited for in short
//! attempts, between which the turn passes on.

use std::{sync::Arc, time::Duration};

use sqlx::{ConnectOptions, Executor, SqliteConnection};
use tokio::{
    sync::OwnedMutexGuard,
    time::{Instant, timeout},
};

use super::{
    SqliteStore,
    error::{failed, is_busy},
    file::DatabaseFile,
};
use crate::store::{Error, Result, seat::Seated};

/// A writing transaction. Dropped, it takes its connection with it, which rolls back.
#[derive(Debug)]
pub(super) struct Writing {
    seated: Seated<SqliteConnection>,
    /// Held until the turn is over.
    _gate: Option<OwnedMutexGuard<()>>,
}

impl Writing {
    pub(super) fn connection(&mut self) -> &mut SqliteConnection {
        self.seated.connection()
    }

    /// Commits, and keeps the connection.
    pub(super) async fn commit(mut self, doing: &'static str) -> Result<()> {
        self.connection()
            .execute("COMMIT")
            .await
            .map_err(failed(doing))?;
        self.seated.put_back();
        Ok(())
    }
}

impl SqliteStore {
    /// A transaction of numbering or leases, within half a lease.
    pub(super) async fn begin_urgent(&self, doing: &'static str) -> Result<Writing> {
        let seated = self.begin(doing, Instant::now() + self.half_lease).await?;
        Ok(Writing {
            seated,
            _gate: None,
        })
    }

    /// A transaction of ingest, acts and cursors, within the time that a request may wait.
    pub(super) async fn begin_ordinary(&self, doing: &'static str) -> Result<Writing> {
        let deadline = Instant::now() + self.acquire_timeout;
        let gate = timeout(self.acquire_timeout, Arc::clone(&self.gate).lock_owned());
        let gate = gate.await.map_err(|_elapsed| busy(doing))?;
        let seated = self.begin(doing, deadline).await?;
        Ok(Writing {
            seated,
            _gate: Some(gate),
        })
    }

    /// Creates the file, and makes it a WAL database.
    pub(super) async fn create_file(&self) -> Result<()> {
        let seated = self
            .seated("opening the database file", self.acquire_timeout)
            .await?;
        seated.put_back();
        Ok(())
    }

    async fn begin(
        &self,
        doing: &'static str,
        deadline: Instant,
    ) -> Result<Seated<SqliteConnection>> {
        self.file.get().map_or(Ok(()), DatabaseFile::check)?;
        loop {
            let wait = deadline.saturating_duration_since(Instant::now());
            let mut seated = self.seated(doing, wait).await?;
            match seated.connection().execute("BEGIN IMMEDIATE").await {
                Ok(_) => return Ok(seated),
                // Nothing began: the connection is as clean as before.
                Err(error) if is_busy(&error) => {
                    seated.put_back();
                    if Instant::now() >= deadline {
                        return Err(failed(doing)(error));
                    }
                }
                Err(error) => return Err(failed(doing)(error)),
            }
        }
    }

    async fn seated(
        &self,
        doing: &'static str,
        wait: Duration,
    ) -> Result<Seated<SqliteConnection>> {
        let deadline = Instant::now() + wait;
        let connect = async || self.connect(deadline).await;
        self.seat.take(wait, connect).await.map_err(failed(doing))
    }

    /// Tries again while another process makes the same new file a WAL database: SQLite does not
    /// wait for that by itself.
    async fn connect(&self, deadline: Instant) -> sqlx::Result<SqliteConnection> {
        loop {
            match self.writing.connect().await {
                Err(error) if is_busy(&error) && Instant::now() < deadline => {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                result => return result,
            }
        }
    }
}

fn busy(doing: &'static str) -> Error {
    Error::Unavailable {
        why: format!("{doing}: others wait to write"),
        source: None,
    }
}
