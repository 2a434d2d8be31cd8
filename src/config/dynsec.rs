//! `[dynsec]`: clients that the gateway keeps on brokers with Mosquitto's dynamic-security plugin.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Problems, span::Span};

/// Bounds of each target with `credentials = "dynsec"`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Dynsec {
    /// Clients that sessions may have on the broker at once.
    pub max_clients: usize,
    /// Those of one address, IPv6 by /64, where callers are not told apart.
    pub max_clients_per_address: usize,
    /// Sessions that may wait for the broker at once.
    pub max_waiting: usize,
    /// Commands in one message: Mosquitto does nothing else while it carries them out.
    pub batch: usize,
    /// How long the broker may leave a message without an answer.
    pub timeout_ms: u64,
    /// How long a session waits for its client to be made.
    pub wait_ms: u64,
    /// How often the broker is asked which clients it has.
    pub survey: Span,
}

impl Default for Dynsec {
    fn default() -> Self {
        Self {
            max_clients: 10_000,
            max_clients_per_address: 1_000,
            max_waiting: 1_000,
            batch: 25,
            timeout_ms: 5_000,
            wait_ms: 2_000,
            survey: Span::from_secs(60),
        }
    }
}

impl Dynsec {
    /// How long the broker may leave a message without an answer.
    pub const fn timeout(&self) -> Duration {
        Duration::from_millis(self.timeout_ms)
    }

    /// How long a session waits for its client to be made.
    pub const fn wait(&self) -> Duration {
        Duration::from_millis(self.wait_ms)
    }

    pub(super) fn validate(&self, path: &str, problems: &mut Problems) {
        let key = |name: &str| format!("{path}.{name}");
        problems.bound(&key("max_clients"), self.max_clients, 1, 100_000);
        problems.bound(
            &key("max_clients_per_address"),
            self.max_clients_per_address,
            1,
            100_000,
        );
        problems.bound(&key("max_waiting"), self.max_waiting, 1, 100_000);
        problems.bound(&key("batch"), self.batch, 1, 1_000);
        problems.bound(&key("timeout_ms"), self.timeout_ms, 100, 60_000);
        problems.bound(&key("wait_ms"), self.wait_ms, 100, 60_000);
        problems.bound_span(&key("survey"), self.survey, "1s", "1h");
    }
}
