//! Who may do what: only the gateway publishes; a client reads what its pass names. While nobody is asked who he is, everyone may
//! connect and subscribe while there is room.
//!
//! mqtt5 asks (`visit.rs`) before it routes a publish, a last will or a subscription, with the user id
//! that `admit` gave to the connection. A stranger never has one, whatever name he brings. All clients with a pass have the same: it
//! is the client id that tells them apart, and a pass is good for one of those only, so whoever finds a kept session is who left it.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use mqtt5::{
    error::Result, packet::connect::ConnectPacket, protocol::v5::reason_codes::ReasonCode,
    types::WillMessage,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{
    granted::{Connected, Granted},
    sessions::Sessions,
};
use crate::{
    config::broker::Broker,
    identity::passes::{Doorkeeper, Entered},
};

/// The user name that only the gateway's own connection may bear.
pub const GATEWAY_USER: &str = "changeover-gateway";

/// The user id of every client with a pass.
const CLIENT_USER: &str = "changeover-client";

/// How long whoever shows a wrong pass waits for the answer: nobody else does.
const WRONG_WAITS: Duration = Duration::from_millis(250);

/// What a session may carry besides its queue, in bytes: the longest filter, and the largest last
/// will (which reaches nobody). It holds the longest topic of ours.
const LONGEST: usize = 4_096;

/// What a pair of user properties takes besides its texts.
const PAIR: usize = 2 * size_of::<String>();

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
    gateway: GatewayLogin,
    sessions: Sessions,
    /// What clients may read; `None` = nobody is asked who he is.
    passes: Option<Arc<dyn Doorkeeper>>,
    granted: Arc<Granted>,
    /// A place for each connection of a client that has been let in.
    connections: Arc<Semaphore>,
}

/// Somebody who is let in.
pub(super) struct Admitted {
    /// What the library is to know him as.
    pub(super) user: Option<&'static str>,
    pub(super) held: Held,
}

/// What a connection takes; given back when it is dropped. The gateway's own takes nothing, so nobody can keep it out.
#[derive(Default)]
pub(super) struct Held {
    _connection: Option<OwnedSemaphorePermit>,
    _grant: Option<Connected>,
}

/// Who connects.
enum Who {
    Gateway,
    Stranger,
    Client(Entered),
    Refused(ReasonCode),
    Wrong,
}

impl Gate {
    pub(super) fn new(
        bounds: &Broker,
        gateway: &GatewayLogin,
        sessions: Sessions,
        passes: Option<Arc<dyn Doorkeeper>>,
        granted: Arc<Granted>,
    ) -> Self {
        Self {
            gateway: gateway.clone(),
            sessions,
            passes,
            granted,
            connections: Arc::new(Semaphore::new(bounds.max_connections)),
        }
    }

    fn recognize(&self, connect: &ConnectPacket) -> Who {
        let claims_gateway = connect.username.as_deref() == Some(GATEWAY_USER);
        let proves_it = connect
            .password
            .as_deref()
            .is_some_and(|given| same(given, self.gateway.password.as_bytes()));
        match (claims_gateway, proves_it) {
            (true, true) => Who::Gateway,
            (true, false) => Who::Wrong,
            (false, _) if connect.client_id == self.gateway.client_id => {
                Who::Refused(ReasonCode::ClientIdentifierNotValid)
            }
            (false, _) if connect.will.as_ref().is_some_and(is_large) => {
                Who::Refused(ReasonCode::PacketTooLarge)
            }
            (false, _) => self.passes.as_deref().map_or(Who::Stranger, |passes| {
                let username = connect.username.as_deref().unwrap_or_default();
                let password = connect.password.as_deref().unwrap_or_default();
                let entered = passes.enter(&connect.client_id, username, password);
                entered.map_or(Who::Wrong, Who::Client)
            }),
        }
    }

    /// Whether somebody may come in, and what he holds then.
    pub(super) async fn admit(
        &self,
        connect: &ConnectPacket,
    ) -> Result<std::result::Result<Admitted, ReasonCode>> {
        let (user, entered) = match self.recognize(connect) {
            Who::Gateway => {
                return Ok(Ok(Admitted {
                    user: Some(GATEWAY_USER),
                    held: Held::default(),
                }));
            }
            Who::Refused(reason) => return Ok(Err(reason)),
            Who::Wrong => {
                tokio::time::sleep(WRONG_WAITS).await;
                return Ok(Err(ReasonCode::BadUsernameOrPassword));
            }
            Who::Client(entered) => (Some(CLIENT_USER), Some(entered)),
            Who::Stranger => (None, None),
        };
        let held = self.seat(&connect.client_id, entered).await?;
        let admitted = held.map(|held| Admitted { user, held });
        Ok(admitted.ok_or(ReasonCode::QuotaExceeded))
    }

    /// What a client needs to be in; none where it, its caller or all together have as much as they may.
    async fn seat(&self, client_id: &str, entered: Option<Entered>) -> Result<Option<Held>> {
        let Ok(connection) = Arc::clone(&self.connections).try_acquire_owned() else {
            return Ok(None);
        };
        let caller = entered.as_ref().and_then(|entered| entered.pass.caller());
        let granted = entered.map(|Entered { pass, left, .. }| {
            let connected = self.granted.enters(pass, left, Instant::now());
            connected.ok_or(())
        });
        let Ok(grant) = granted.transpose() else {
            return Ok(None);
        };
        let has_session = self.sessions.admit(client_id, caller).await?;
        Ok(has_session.then_some(Held {
            _connection: Some(connection),
            _grant: grant,
        }))
    }

    /// Whether a user may publish.
    pub(super) fn may_publish(user_id: Option<&str>) -> bool {
        user_id == Some(GATEWAY_USER)
    }

    /// Whether a client may subscribe to this.
    pub(super) fn may_subscribe(
        &self,
        client_id: &str,
        user_id: Option<&str>,
        filter: &str,
    ) -> bool {
        let is_short = filter.len() <= LONGEST;
        match (&self.passes, user_id) {
            (_, Some(GATEWAY_USER)) => true,
            (None, _) => is_short,
            (Some(passes), Some(CLIENT_USER)) => {
                let may = |pass: &_| passes.may_subscribe(pass, filter);
                is_short && self.granted.of(client_id, Instant::now(), may)
            }
            (Some(_), _) => false,
        }
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
