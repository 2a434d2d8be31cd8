//! What a connection needs before the library begins: the login, and the way if it is not plain TCP.
//!
//! Invariant: both are looked up anew for each connection, so that passwords and certificates can be changed while
//! the gateway runs; what is broken then keeps this connection from being made, with its reason.

use rumqttc::Transport;

use super::{
    Endpoint,
    bridge::{Bridge, Crossing},
    route,
};
use crate::config::login::Login;

/// A connection to be made.
pub(super) struct Entry {
    endpoint: Endpoint,
    /// Absent if the library goes to the broker by itself.
    bridge: Option<Bridge>,
}

/// What came of it.
pub(super) struct Entered {
    /// User and password.
    pub(super) login: Option<(String, String)>,
    /// What carries the connection.
    pub(super) crossing: Option<Crossing>,
}

impl Entry {
    pub(super) fn new(endpoint: &Endpoint) -> Self {
        let plain = endpoint.tls.is_none() && endpoint.websocket.is_none();
        Self {
            endpoint: endpoint.clone(),
            bridge: (!plain).then(Bridge::new),
        }
    }

    /// Where the library is to connect, and how.
    pub(super) fn place(&self) -> (String, u16, Transport) {
        let endpoint = &self.endpoint;
        match &self.bridge {
            Some(bridge) => (bridge.name().to_owned(), 0, Transport::unix()),
            None if endpoint.host.contains(':') => {
                let host = format!("[{}]", endpoint.host);
                (host, endpoint.port, Transport::tcp())
            }
            None => (endpoint.host.clone(), endpoint.port, Transport::tcp()),
        }
    }

    /// Goes as far as the library needs it. It has to connect soon after.
    pub(super) async fn enter(self) -> Result<Entered, String> {
        let login = match self.endpoint.login.clone() {
            Some(login) => Some(read(login).await?),
            None => None,
        };
        let crossing = match self.bridge {
            Some(bridge) => {
                let broker = route::open(&self.endpoint).await?;
                let carried = bridge.carry(broker, self.endpoint);
                Some(carried.map_err(|error| format!("no bridge to the broker: {error}"))?)
            }
            None => None,
        };
        Ok(Entered { login, crossing })
    }
}

async fn read(login: Login) -> Result<(String, String), String> {
    let Login { user, password } = login;
    let read = tokio::task::spawn_blocking(move || password.read()).await;
    let password = read.map_err(|error| error.to_string())?;
    Ok((user, password.map_err(|unusable| unusable.to_string())?))
}
