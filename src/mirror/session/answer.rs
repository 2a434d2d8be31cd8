//! What a client that is ready for push is answered.
//!
//! Invariant: a password stands in the answer alone, and in no `Debug`.

use std::{collections::BTreeMap, fmt};

use serde::Serialize;
use utoipa::ToSchema;

use crate::domain::Transport;

/// The answer to a client that is ready for push.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Session {
    pub(super) client_id: String,
    /// Until when the answer may be used.
    #[schema(format = DateTime)]
    pub(super) expires_at: String,
    /// When to ask again; earlier if the `version` in a module's retained message is a new one.
    pub(super) next_session_ms: u64,
    /// How often to read from the cursor although nothing seems to be missing.
    pub(super) resync_ms: u64,
    /// The target of most of the modules. Null while there is none.
    pub(super) mqtt: Option<Connection>,
    /// The targets of the modules, by name.
    pub(super) targets: BTreeMap<String, Connection>,
    pub(super) modules: BTreeMap<String, ModuleSession>,
}

/// How to connect to a target.
#[derive(Clone, PartialEq, Serialize, ToSchema)]
#[schema(as = SessionTarget)]
pub struct Connection {
    pub(super) target: String,
    /// MQTT over TCP or TLS.
    pub(super) url: Option<String>,
    /// MQTT over WebSocket; null = none.
    pub(super) websocket_url: Option<String>,
    /// The newest version that it speaks.
    #[schema(pattern = "^(5|3\\.1\\.1)$")]
    pub(super) protocol: &'static str,
    /// With which to connect: another one may be taken by another client.
    pub(super) client_id: String,
    /// Says what may be read. Null where the password is.
    pub(super) username: Option<String>,
    /// Good for this client id only, until a little after `expires_at`. Null = connect without, if a module of this target is to come by
    /// `push`. If none is, there may be no way in now: with the reason `broker-unready` the broker cannot be told of the client, so do not
    /// connect, and ask again after `next_session_ms`.
    pub(super) password: Option<String>,
    pub(super) keep_alive_s: u16,
}

/// Without the password.
impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("target", &self.target)
            .field("client_id", &self.client_id)
            .finish_non_exhaustive()
    }
}

/// How one module comes to this client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ModuleSession {
    #[schema(value_type = String, pattern = "^(poll|push)$")]
    pub(super) transport: Transport,
    /// Why: a stable word.
    pub(super) reason: &'static str,
    /// Where the module's retained message shows another one, this answer no longer holds: ask again.
    pub(super) version: i64,
    /// What to subscribe to at QoS 1: the module's retained message, and its channels for this client. Empty without a
    /// target.
    pub(super) topics: Vec<String>,
    /// Where. Null = none gets the module now.
    pub(super) target: Option<String>,
    /// How long to wait before the next poll while the transport is `poll`. Null = nothing is configured. Where clients are sent
    /// back from push, each has its own, so that they do not come at once, and asks for the session again after it.
    pub(super) next_poll_ms: Option<u64>,
    /// Whether that is its time to come back from push.
    #[serde(skip)]
    pub(super) returns: bool,
    /// How long this holds, if a guard is about to move the client.
    #[serde(skip)]
    pub(super) holds_ms: Option<u64>,
}
