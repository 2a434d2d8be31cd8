//! One connection's dealings with the gate.
//!
//! The library asks this, and not the gate, so that it is known which connection was let in. Invariant: what a connection takes (a place
//! among those who wait, then one among those who are in, and its grant) is given back when the connection ends, however it ends.

use std::{
    future::Future,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use mqtt5::{
    broker::{AuthProvider, AuthResult},
    error::Result,
    packet::connect::ConnectPacket,
};
use tokio_util::sync::CancellationToken;

use super::{
    gate::{Admitted, Gate, Held},
    waiting::Place,
};

type Answer<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A connection at the gate, and behind it.
pub(super) struct Visit {
    gate: Arc<Gate>,
    waits: Mutex<Option<Place>>,
    holds: OnceLock<Held>,
    admitted: CancellationToken,
}

impl Visit {
    /// Somebody who has this place among those who wait.
    pub(super) fn new(gate: Arc<Gate>, place: Place) -> Self {
        Self {
            gate,
            waits: Mutex::new(Some(place)),
            holds: OnceLock::new(),
            admitted: CancellationToken::new(),
        }
    }

    /// Cancelled when the gate has let him in.
    pub(super) fn admitted(&self) -> CancellationToken {
        self.admitted.clone()
    }

    async fn enter(&self, connect: &ConnectPacket) -> Result<AuthResult> {
        let Admitted { user, held } = match self.gate.admit(connect).await? {
            Ok(admitted) => admitted,
            Err(reason) => return Ok(AuthResult::fail(reason)),
        };
        // A second CONNECT on one connection never comes as far as here.
        let _unheard_of = self.holds.set(held);
        let waited = self
            .waits
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        drop(waited);
        self.admitted.cancel();
        Ok(user.map_or_else(AuthResult::success, AuthResult::success_with_user))
    }
}

impl AuthProvider for Visit {
    fn authenticate<'a>(
        &'a self,
        connect: &'a ConnectPacket,
        _client: SocketAddr,
    ) -> Answer<'a, Result<AuthResult>> {
        Box::pin(self.enter(connect))
    }

    fn authorize_publish<'a>(
        &'a self,
        _client_id: &str,
        user_id: Option<&'a str>,
        _topic: &'a str,
    ) -> Answer<'a, bool> {
        Box::pin(std::future::ready(Gate::may_publish(user_id)))
    }

    fn authorize_subscribe<'a>(
        &'a self,
        client_id: &str,
        user_id: Option<&'a str>,
        filter: &'a str,
    ) -> Answer<'a, bool> {
        let granted = self.gate.may_subscribe(client_id, user_id, filter);
        Box::pin(std::future::ready(granted))
    }
}
