//! `[server]`: listeners and the process itself.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

/// Listeners and the process itself.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default)]
pub struct Server {
    /// Legacy polls and everything for clients.
    pub public: SocketAddr,
    /// Ingest, admin API, metrics. Loopback only unless `private_insecure`.
    pub private: SocketAddr,
    /// Names other than the loopback ones that requests to the private listener may carry in `Host`.
    pub private_hosts: Vec<String>,
    /// Lets the private listener leave loopback although nothing there asks who is calling.
    pub private_insecure: bool,
    /// Name of this replica, unique among those that share a database; empty = host name and port.
    pub instance: String,
    /// How long a shutdown may take before it is forced.
    pub drain_ms: u64,
    /// Connections per listener; one more waits to be accepted.
    pub max_connections: usize,
    /// How long a client may take to send a request's head, or stay idle between requests.
    pub idle_timeout_ms: u64,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            public: SocketAddr::from(([127, 0, 0, 1], 8080)),
            private: SocketAddr::from(([127, 0, 0, 1], 8081)),
            private_hosts: Vec::new(),
            private_insecure: false,
            instance: String::new(),
            drain_ms: 10_000,
            max_connections: 20_000,
            idle_timeout_ms: 75_000,
        }
    }
}
