//! Who may do what: everyone may connect and subscribe while there is room, only the gateway publishes.
//!
//! mqtt5 asks here before it routes a publish, a last will or a subscription, with the user id
//! that `authenticate` gave to the connection. A stranger never has one, whatever name he brings.

use std::{future::Future, net::SocketAddr, pin::Pin};

use mqtt5::{
    broker::{AuthProvider, AuthResult},
    error::Result,
    packet::connect::ConnectPacket,
    protocol::v5::reason_codes::ReasonCode,
    types::WillMessage,
};

use super::sessions::Sessions;

/// The user name that only the gateway's own connection may bear.
pub const GATEWAY_USER: &str = "changeover-gateway";

/// What a session may carry besides its queue, in bytes: the longest filter, and the largest last
/// will (which reaches nobody). It holds the longest topic of ours.
const LONGEST: usize = 4_096;

/// What a pair of user properties takes besides its texts.
const PAIR: usize = 2 * size_of::<String>();

type Answer<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// How the gateway's own connection proves itself. Made once per process, so that the broker may
/// be started again under a publisher that goes on.
#[derive(Clone)]
pub struct GatewayLogin {
    /// Taken over by nobody else: a second connection under it would throw the gateway out.
    pub(super) client_id: String,
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
    pub(super) sessions: Sessions,
}

/// Who connects.
enum Who {
    Gateway,
    Stranger,
    Refused(ReasonCode),
}

impl Gate {
    fn recognize(&self, connect: &ConnectPacket) -> Who {
        let claims_gateway = connect.username.as_deref() == Some(GATEWAY_USER);
        let proves_it = connect
            .password
            .as_deref()
            .is_some_and(|given| same(given, self.gateway.password.as_bytes()));
        match (claims_gateway, proves_it) {
            (true, true) => Who::Gateway,
            (true, false) => Who::Refused(ReasonCode::BadUsernameOrPassword),
            (false, _) if connect.client_id == self.gateway.client_id => {
                Who::Refused(ReasonCode::ClientIdentifierNotValid)
            }
            (false, _) if connect.will.as_ref().is_some_and(is_large) => {
                Who::Refused(ReasonCode::PacketTooLarge)
            }
            (false, _) => Who::Stranger,
        }
    }

    async fn admit(&self, connect: &ConnectPacket) -> Result<AuthResult> {
        Ok(match self.recognize(connect) {
            Who::Gateway => AuthResult::success_with_user(GATEWAY_USER),
            Who::Refused(reason) => AuthResult::fail(reason),
            Who::Stranger if self.sessions.admit(&connect.client_id).await? => {
                AuthResult::success()
            }
            Who::Stranger => AuthResult::fail(ReasonCode::QuotaExceeded),
        })
    }
}

fn is_large(will: &WillMessage) -> bool {
    let properties = &will.properties;
    let text = |text: &Option<String>| text.as_ref().map_or(0, String::len);
    let pairs = properties.user_properties.iter();
    let bytes = will.topic.len()
        + will.payload.len()
        + text(&properties.content_type)
        + text(&properties.response_topic)
        + properties.correlation_data.as_ref().map_or(0, Vec::len)
        + pairs
            .map(|(key, value)| key.len() + value.len() + PAIR)
            .sum::<usize>();
    bytes > LONGEST
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
        Box::pin(self.admit(connect))
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
        user_id: Option<&'a str>,
        filter: &'a str,
    ) -> Answer<'a, bool> {
        let granted = user_id == Some(GATEWAY_USER) || filter.len() <= LONGEST;
        Box::pin(std::future::ready(granted))
    }
}
