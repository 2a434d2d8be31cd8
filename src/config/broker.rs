//! `[broker]`: bounds of the embedded broker.

use serde::{Deserialize, Serialize};

use super::{Problems, span::Span};

/// Bounds of the embedded broker. They have no effect on a broker of its own process.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Broker {
    /// Connections at once, the gateway's own among them: more than `max_sessions`, or
    /// clients can keep it out.
    pub max_connections: usize,
    /// Sessions of clients, connected or kept while the client is away; a further client is refused
    /// and polls on. They are what takes memory: at worst `max_sessions` x `queued_bytes` of
    /// messages that wait, and 2 x `client_queue` + 128 messages more for each client that is
    /// connected and does not read.
    pub max_sessions: usize,
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
            max_connections: 2_100,
            max_sessions: 2_000,
            packet_bytes: 1024 * 1024,
            client_queue: 100,
            queued_messages: 1_000,
            queued_bytes: 1024 * 1024,
            subscriptions: 100,
            session_expiry: Span::from_secs(3_600),
        }
    }
}

impl Broker {
    pub(super) fn validate(&self, path: &str, problems: &mut Problems) {
        let key = |name: &str| format!("{path}.{name}");
        problems.bound(&key("max_connections"), self.max_connections, 1, 10_000_000);
        problems.bound(&key("max_sessions"), self.max_sessions, 1, 10_000_000);
        problems.bound(&key("packet_bytes"), self.packet_bytes, 1_024, 256 << 20);
        problems.bound(&key("client_queue"), self.client_queue, 1, 1_000_000);
        problems.bound(&key("queued_messages"), self.queued_messages, 1, 10_000_000);
        problems.bound(&key("queued_bytes"), self.queued_bytes, 1_024, 1 << 40);
        problems.bound(&key("subscriptions"), self.subscriptions, 1, 1_000_000);
        problems.bound_span(&key("session_expiry"), self.session_expiry, "1s", "365d");
    }
}
