//! A database connection that one task uses at a time.
//!
//! Invariant: a connection comes back to its seat only when its user says that it is clean. A
//! transaction that is dropped, a call that is cancelled, a failed commit: each takes the connection with
//! it, which makes the database roll back, and the next user opens another. So no state of one user
//! can reach the next.

use std::{sync::Arc, time::Duration};

use sqlx::Connection;
use tokio::{
    sync::{Mutex, OwnedMutexGuard},
    time::timeout,
};

/// The place of one connection. Those who wait for it are served in order.
#[derive(Debug)]
pub(super) struct Seat<C>(Arc<Mutex<Place<C>>>);

#[derive(Debug)]
enum Place<C> {
    Empty,
    Ready(C),
    Closed,
}

impl<C: Connection> Seat<C> {
    /// A seat without a connection yet.
    pub(super) fn new() -> Self {
        Self(Arc::new(Mutex::new(Place::Empty)))
    }

    /// Waits at most `wait` for the seat, and opens a connection if none is there.
    /// `sqlx::Error::PoolTimedOut` if others held it too long.
    pub(super) async fn take(
        &self,
        wait: Duration,
        connect: impl AsyncFnOnce() -> sqlx::Result<C>,
    ) -> sqlx::Result<Seated<C>> {
        let mut place = timeout(wait, Arc::clone(&self.0).lock_owned())
            .await
            .map_err(|_elapsed| sqlx::Error::PoolTimedOut)?;
        let connection = match std::mem::replace(&mut *place, Place::Empty) {
            Place::Ready(connection) => connection,
            Place::Empty => connect().await?,
            Place::Closed => {
                *place = Place::Closed;
                return Err(sqlx::Error::PoolClosed);
            }
        };
        Ok(Seated { place, connection })
    }

    /// Ends the connection, after the one who uses it.
    pub(super) async fn close(&self) {
        let mut place = self.0.lock().await;
        if let Place::Ready(connection) = std::mem::replace(&mut *place, Place::Closed) {
            // It is given up either way, and everything that matters was committed.
            let _ = connection.close().await;
        }
    }
}

/// A connection in use. Dropped, it is closed; [`Seated::put_back`] keeps it for the next user.
#[derive(Debug)]
pub(super) struct Seated<C> {
    place: OwnedMutexGuard<Place<C>>,
    connection: C,
}

impl<C> Seated<C> {
    /// The connection.
    pub(super) fn connection(&mut self) -> &mut C {
        &mut self.connection
    }

    /// Keeps the connection: it is in no transaction and no call on it is under way.
    pub(super) fn put_back(mut self) {
        *self.place = Place::Ready(self.connection);
    }
}
