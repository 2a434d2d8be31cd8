//! `[broker]`: bounds of the embedded broker.

use serde::{Deserialize, Serialize};

use super::{Problems, port, span::Span};

/// Bounds of the embedded broker. They have no effect on a broker of its own process.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Broker {
    /// Connections per port that wait to be accepted; the system's own bound holds too.
    pub backlog: u32,
    /// Connections of clients that have entered, at once. The gateway's own counts for none.
    pub max_connections: usize,
    /// Those of one caller; each of its clients may have a second one for a moment, to take over its own.
    pub max_connections_per_caller: usize,
    /// Sockets whose clients have not said yet who they are. For one more the oldest is closed of the address that has the most.
    pub max_waiting: usize,
    /// Those of one address; for one more its oldest is closed.
    pub max_waiting_per_address: usize,
    /// How long a client may take from the socket to its CONNECT, the handshake of WebSocket within.
    pub connect_timeout_ms: u64,
    /// Sessions of clients, connected or kept while the client is away; a further client is refused
    /// and polls on. They are what takes memory: at worst `max_sessions` x `queued_bytes` of
    /// messages that wait, and 2 x `client_queue` + 128 messages more for each client that is
    /// connected and does not read.
    pub max_sessions: usize,
    /// Those of one caller.
    pub max_sessions_per_caller: usize,
    /// The largest packet, in bytes. A change that is larger as an event goes as a pointer.
    pub packet_bytes: usize,
    /// Messages that wait in memory for one connected client.
    pub client_queue: usize,
    /// Messages that wait for one client that is away or slow; the oldest go first.
    pub queued_messages: usize,
    /// Bytes of such messages.
    pub queued_bytes: usize,
    /// Subscriptions of one client.
    pub subscriptions: usize,
    /// How long the session of a client that is away is kept at most.
    pub session_expiry: Span,
}

impl Default for Broker {
    fn default() -> Self {
        Self {
            backlog: port::BACKLOG,
            max_connections: 2_100,
            max_connections_per_caller: 200,
            max_waiting: 2_000,
            max_waiting_per_address: 500,
            connect_timeout_ms: 10_000,
            max_sessions: 2_000,
            max_sessions_per_caller: 200,
            packet_bytes: 1024 * 1024,
            client_queue: 100,
            queued_messages: 1_000,
            queued_bytes: 1024 * 1024,
            subscriptions: 100,
            session_expiry: Span::from_secs(3_600),
        }
    }
}

/// Of clients.
const MOST: u64 = 10_000_000;

impl Broker {
    pub(super) fn validate(&self, path: &str, problems: &mut Problems) {
        let key = |name: &str| format!("{path}.{name}");
        problems.bound(&key("backlog"), self.backlog, 1, port::MOST_BACKLOG);
        problems.bound(&key("max_connections"), self.max_connections, 1, MOST);
        let per_caller = self.max_connections_per_caller;
        problems.bound(&key("max_connections_per_caller"), per_caller, 1, MOST);
        problems.bound(&key("max_waiting"), self.max_waiting, 1, 1_000_000);
        let per_address = self.max_waiting_per_address;
        problems.bound(&key("max_waiting_per_address"), per_address, 1, 1_000_000);
        let patience = self.connect_timeout_ms;
        problems.bound(&key("connect_timeout_ms"), patience, 100, 10_000);
        problems.bound(&key("max_sessions"), self.max_sessions, 1, MOST);
        let per_caller = self.max_sessions_per_caller;
        problems.bound(&key("max_sessions_per_caller"), per_caller, 1, MOST);
        problems.bound(&key("packet_bytes"), self.packet_bytes, 1_024, 256 << 20);
        problems.bound(&key("client_queue"), self.client_queue, 1, 1_000_000);
        problems.bound(&key("queued_messages"), self.queued_messages, 1, 10_000_000);
        problems.bound(&key("queued_bytes"), self.queued_bytes, 1_024, 1 << 40);
        problems.bound(&key("subscriptions"), self.subscriptions, 1, 1_000_000);
        problems.bound_span(&key("session_expiry"), self.session_expiry, "1s", "365d");
    }
}
