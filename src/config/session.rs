//! `[session]`: what clients that are ready for push are told at start.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Problems;

/// Rhythm and bounds of clients on push.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Session {
    /// How long an answer may be used; clients ask again after half of it.
    pub lifetime_ms: u64,
    /// How often a client reads from its cursor although nothing seems to be missing.
    pub resync_ms: u64,
    /// MQTT keep-alive of clients.
    pub keep_alive_s: u16,
    /// Largest body of a request.
    pub body_bytes: usize,
}

impl Default for Session {
    fn default() -> Self {
        Self {
            lifetime_ms: 3_600_000,
            resync_ms: 300_000,
            keep_alive_s: 60,
            body_bytes: 65_536,
        }
    }
}

impl Session {
    /// How long a password for a broker is good: a quarter longer than the answer that holds it, for those who connect late.
    pub fn pass_lifetime(&self) -> Duration {
        let lifetime = Duration::from_millis(self.lifetime_ms);
        lifetime.saturating_add(lifetime / 4)
    }

    pub(super) fn validate(&self, path: &str, problems: &mut Problems) {
        let key = |name: &str| format!("{path}.{name}");
        problems.bound(&key("lifetime_ms"), self.lifetime_ms, 1_000, 86_400_000);
        problems.bound(&key("resync_ms"), self.resync_ms, 1_000, 86_400_000);
        problems.bound(&key("keep_alive_s"), self.keep_alive_s, 5, 65_535);
        problems.bound(&key("body_bytes"), self.body_bytes, 1_024, 16_777_216);
    }
}
