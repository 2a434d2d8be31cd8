//! `[ofrep]`: flags over the OpenFeature Remote Evaluation Protocol.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Problems;

/// Bounds of flag evaluation.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Ofrep {
    /// Largest body of a request.
    pub body_bytes: usize,
    /// Most bytes of answers that are kept for clients that ask again.
    pub cache_bytes: usize,
    /// Most event streams at once.
    pub streams: usize,
    /// How long an event stream lives.
    pub stream_ms: u64,
    /// Silence after which a comment is sent to keep a stream alive.
    pub keep_alive_ms: u64,
    /// The longest pause before a client whose stream has ended comes back.
    pub reconnect_ms: u64,
    /// After how long out of sight a client is to close its stream.
    pub inactivity_s: u32,
    /// How often the ticket in the address of a caller's stream changes; it is good twice as long.
    pub ticket_ms: u64,
    /// How long a request that follows an event waits for the flags of that event.
    pub settle_ms: u64,
}

impl Default for Ofrep {
    fn default() -> Self {
        Self {
            body_bytes: 65_536,
            cache_bytes: 32 << 20,
            streams: 5_000,
            stream_ms: 43_200_000,
            keep_alive_ms: 30_000,
            reconnect_ms: 3_000,
            inactivity_s: 120,
            ticket_ms: 43_200_000,
            settle_ms: 1_000,
        }
    }
}

impl Ofrep {
    /// How long an event stream lives.
    pub const fn stream(&self) -> Duration {
        Duration::from_millis(self.stream_ms)
    }

    /// The longest silence on an event stream.
    pub const fn keep_alive(&self) -> Duration {
        Duration::from_millis(self.keep_alive_ms)
    }

    /// How often tickets change, where what a key has signed is believed for so long: a ticket ends before that.
    pub fn ticket(&self, believed: Duration) -> Duration {
        Duration::from_millis(self.ticket_ms).min(believed / 2)
    }

    /// How long a request waits for the flags that its client was told of.
    pub const fn settle(&self) -> Duration {
        Duration::from_millis(self.settle_ms)
    }

    pub(super) fn validate(&self, path: &str, problems: &mut Problems) {
        const DAY_MS: u64 = 86_400_000;
        let mut bound = |key: &str, value: u64, min, max| {
            problems.bound(&format!("{path}.{key}"), value, min, max);
        };
        let count = |value: usize| u64::try_from(value).unwrap_or(u64::MAX);
        bound("body_bytes", count(self.body_bytes), 1_024, 16_777_216);
        bound("cache_bytes", count(self.cache_bytes), 0, 1 << 34);
        bound("streams", count(self.streams), 1, 1_000_000);
        bound("stream_ms", self.stream_ms, 100, DAY_MS);
        bound("keep_alive_ms", self.keep_alive_ms, 10, 3_600_000);
        bound("reconnect_ms", self.reconnect_ms, 10, 3_600_000);
        bound("inactivity_s", self.inactivity_s.into(), 1, 86_400);
        bound("ticket_ms", self.ticket_ms, 1_000, DAY_MS);
        bound("settle_ms", self.settle_ms, 0, 60_000);
    }
}
