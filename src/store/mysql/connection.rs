//! Borrowing connections, with the client's own bounds.

use std::{future::Future, time::Duration};

use sqlx::{ConnectOptions, Connection, Executor, MySql, MySqlConnection, pool::PoolConnection};
use tokio::time::timeout;

use super::{MySqlStore, error::failed, session::Session};
use crate::store::{Error, Result, seat::Seated};

/// Waits for `work` at most `limit`. The connection of work that is given up must not be used again.
pub(super) async fn within<T>(
    limit: Duration,
    doing: &'static str,
    work: impl Future<Output = sqlx::Result<T>>,
) -> Result<T> {
    match timeout(limit, work).await {
        Ok(result) => result.map_err(failed(doing)),
        Err(_elapsed) => Err(Error::Unavailable {
            why: format!("{doing}: no answer within {} ms", limit.as_millis()),
            source: None,
        }),
    }
}

/// A connection of the pool. Dropped, it is closed, which rolls back; [`Borrowed::put_back`] keeps it.
#[derive(Debug)]
pub(super) struct Borrowed(Option<PoolConnection<MySql>>);

impl Borrowed {
    pub(super) fn connection(&mut self) -> &mut MySqlConnection {
        self.0
            .as_mut()
            .expect("only put_back and drop take the connection, and both end its use")
    }

    /// Keeps the connection: it is in no transaction and no call on it is under way.
    pub(super) fn put_back(mut self) {
        drop(self.0.take());
    }
}

impl Drop for Borrowed {
    fn drop(&mut self) {
        if let Some(mut connection) = self.0.take() {
            connection.close_on_drop();
        }
    }
}

impl MySqlStore {
    /// A connection of the pool. The pool bounds the wait.
    pub(super) async fn borrow(&self, doing: &'static str) -> Result<Borrowed> {
        let connection = self.pool.acquire().await.map_err(failed(doing))?;
        Ok(Borrowed(Some(connection)))
    }

    /// The numbering connection.
    pub(super) async fn seated(&self, doing: &'static str) -> Result<Seated<MySqlConnection>> {
        let connect = async || {
            timeout(self.half_lease, self.connect(&self.numbering))
                .await
                .map_err(|_elapsed| sqlx::Error::PoolTimedOut)?
        };
        self.seat
            .take(self.half_lease, connect)
            .await
            .map_err(failed(doing))
    }

    /// One call on the pool.
    pub(super) async fn call<T>(
        &self,
        doing: &'static str,
        work: impl Future<Output = sqlx::Result<T>>,
    ) -> Result<T> {
        within(self.call_timeout, doing, work).await
    }

    /// One call on the numbering connection.
    pub(super) async fn quick<T>(
        &self,
        doing: &'static str,
        work: impl Future<Output = sqlx::Result<T>>,
    ) -> Result<T> {
        within(self.half_lease, doing, work).await
    }

    /// A connection of the pool inside a transaction.
    pub(super) async fn begin(&self, doing: &'static str) -> Result<Borrowed> {
        let mut borrowed = self.borrow(doing).await?;
        self.call(doing, begin(borrowed.connection())).await?;
        Ok(borrowed)
    }

    /// Ends a transaction of the pool.
    pub(super) async fn commit(&self, doing: &'static str, mut borrowed: Borrowed) -> Result<()> {
        self.call(doing, commit(borrowed.connection())).await?;
        borrowed.put_back();
        Ok(())
    }

    /// A connection of its own for what may take its time.
    pub(super) async fn migrating(&self) -> Result<MySqlConnection> {
        let connecting = "connecting to migrate";
        self.call(connecting, self.connect(&self.migrating)).await
    }

    async fn connect(&self, session: &Session) -> sqlx::Result<MySqlConnection> {
        let mut connection = self.options.connect().await?;
        session.begin(&mut connection).await?;
        Ok(connection)
    }
}

/// Under the session's READ COMMITTED.
pub(super) async fn begin(connection: &mut MySqlConnection) -> sqlx::Result<()> {
    connection.execute("START TRANSACTION").await?;
    Ok(())
}

pub(super) async fn commit(connection: &mut MySqlConnection) -> sqlx::Result<()> {
    connection.execute("COMMIT").await?;
    Ok(())
}

/// Ends a connection whose work is done; how it ends does not matter any more.
pub(super) async fn end(connection: MySqlConnection) {
    let _ = connection.close().await;
}
