//! Who may do what: everyone may connect and subscribe, only the gateway publishes.
//!
//! mqtt5 asks here before it routes a publish, a last will or a subscription, with the user id
//! that `authenticate` gave to the connection. A stranger never has one, whatever name he brings.

use std::{future::Future, net::SocketAddr, pin::Pin};

use mqtt5::{
    broker::{AuthProvider, AuthResult},
    error::Result,
    packet::connect::ConnectPacket,
    protocol::v5::reason_codes::ReasonCode,
};

/// The user name that only the gateway's own connection may bear.
pub const GATEWAY_USER: &str = "changeover-gateway";

type Answer<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// How the gateway's own connection proves itself. Made once per process, so that the broker may
/// be started again under a publisher that goes on.
#[derive(Clone)]
pub struct GatewayLogin {
    /// Taken over by nobody else: a second connection under it would throw the gateway out.
    client_id: String,
    /// Random, never shown.
    password: String,
}

impl GatewayLogin {
    /// A new random password for the gateway's connection under this client id.
    pub fn random(client_id: &str) -> Self {
        let halves: [u128; 2] = rand::random();
        Self {
            client_id: client_id.to_owned(),
            password: format!("{:032x}{:032x}", halves[0], halves[1]),
        }
    }

    /// The user name and password to connect with.
    pub fn credentials(&self) -> (&str, &str) {
        (GATEWAY_USER, &self.password)
    }
}

/// The gate of one broker.
pub(super) struct Gate {
    pub(super) gateway: GatewayLogin,
}

impl Gate {
    fn admit(&self, connect: &ConnectPacket) -> AuthResult {
        let claims_gateway = connect.username.as_deref() == Some(GATEWAY_USER);
        let proves_it = connect
            .password
            .as_deref()
            .is_some_and(|given| same(given, self.gateway.password.as_bytes()));
        match (claims_gateway, proves_it) {
            (true, true) => AuthResult::success_with_user(GATEWAY_USER),
            (true, false) => AuthResult::fail(ReasonCode::BadUsernameOrPassword),
            (false, _) if connect.client_id == self.gateway.client_id => {
                AuthResult::fail(ReasonCode::ClientIdentifierNotValid)
            }
            (false, _) => AuthResult::success(),
        }
    }
}

/// Takes as long for a nearly right password as for a wrong one.
fn same(given: &[u8], right: &[u8]) -> bool {
    let differences = given.iter().zip(right).fold(0, |all, (a, b)| all | (a ^ b));
    given.len() == right.len() && differences == 0
}

impl AuthProvider for Gate {
    fn authenticate<'a>(
        &'a self,
        connect: &'a ConnectPacket,
        _client: SocketAddr,
    ) -> Answer<'a, Result<AuthResult>> {
        let answer = self.admit(connect);
        Box::pin(std::future::ready(Ok(answer)))
    }

    fn authorize_publish<'a>(
        &'a self,
        _client_id: &str,
        user_id: Option<&'a str>,
        _topic: &'a str,
    ) -> Answer<'a, bool> {
        Box::pin(std::future::ready(user_id == Some(GATEWAY_USER)))
    }

    fn authorize_subscribe<'a>(
        &'a self,
        _client_id: &str,
        _user_id: Option<&'a str>,
        _filter: &'a str,
    ) -> Answer<'a, bool> {
        Box::pin(std::future::ready(true))
    }
}
