//! `[native]`: streams, snapshots and `POST /v1/poll`.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Problems;

/// Bounds of native reads.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Native {
    /// Most changes, or items of a snapshot, in one answer.
    pub page_changes: u32,
    /// Most bytes of them; a single larger one goes alone.
    pub page_bytes: usize,
    /// Most modules in one `POST /v1/poll`.
    pub poll_modules: usize,
    /// Largest body of a `POST /v1/poll`.
    pub poll_body_bytes: usize,
    /// How long a long-poll of a stream waits for news.
    pub wait_ms: u64,
    /// The longest wait that a `POST /v1/poll` may ask for.
    pub max_wait_ms: u64,
    /// Most streams of server-sent events at once.
    pub streams: usize,
    /// How long such a stream lives.
    pub stream_ms: u64,
    /// Silence after which something is sent to keep such a stream alive.
    pub keep_alive_ms: u64,
}

impl Default for Native {
    fn default() -> Self {
        Self {
            page_changes: 1_000,
            page_bytes: 1024 * 1024,
            poll_modules: 64,
            poll_body_bytes: 64 * 1024,
            wait_ms: 20_000,
            max_wait_ms: 30_000,
            streams: 5_000,
            stream_ms: 60_000,
            keep_alive_ms: 15_000,
        }
    }
}

impl Native {
    /// How long a long-poll waits at most.
    pub const fn wait(&self) -> Duration {
        Duration::from_millis(self.wait_ms)
    }

    /// How long a `POST /v1/poll` waits at most.
    pub const fn max_wait(&self) -> Duration {
        Duration::from_millis(self.max_wait_ms)
    }

    /// How long a stream of server-sent events lives.
    pub const fn stream(&self) -> Duration {
        Duration::from_millis(self.stream_ms)
    }

    /// The longest silence on such a stream.
    pub const fn keep_alive(&self) -> Duration {
        Duration::from_millis(self.keep_alive_ms)
    }

    pub(super) fn validate(&self, path: &str, problems: &mut Problems) {
        const HOUR_MS: u64 = 3_600_000;
        let mut bound = |key: &str, value: u64, min, max| {
            problems.bound(&format!("{path}.{key}"), value, min, max);
        };
        let count = |value: usize| u64::try_from(value).unwrap_or(u64::MAX);
        bound("page_changes", self.page_changes.into(), 1, 100_000);
        bound("page_bytes", count(self.page_bytes), 1, 1 << 30);
        bound("poll_modules", count(self.poll_modules), 1, 10_000);
        bound(
            "poll_body_bytes",
            count(self.poll_body_bytes),
            64,
            256 << 20,
        );
        bound("wait_ms", self.wait_ms, 1, HOUR_MS);
        bound("max_wait_ms", self.max_wait_ms, 1, HOUR_MS);
        bound("streams", count(self.streams), 1, 1_000_000);
        bound("stream_ms", self.stream_ms, 100, 24 * HOUR_MS);
        bound("keep_alive_ms", self.keep_alive_ms, 10, HOUR_MS);
    }
}
