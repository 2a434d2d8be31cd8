//! `[poll]`: what all legacy polls share.

use serde::{Deserialize, Serialize};

use super::Problems;

/// Bounds of answering legacy polls.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Poll {
    /// Whole states kept in memory, one per module and set of audiences, for `kind = "none"`.
    pub state_cache_entries: usize,
    /// Most bytes that they take together.
    pub state_cache_bytes: usize,
    /// Largest body of a poll.
    pub body_bytes: usize,
    /// What `Retry-After` says, in seconds, when the database cannot be asked.
    pub retry_after_s: u32,
    /// Reads that may wait for news at once; one more is answered at once.
    pub max_waiting: usize,
    /// Empty answers remembered per module with a `floor_ms`.
    pub floor_entries: usize,
}

impl Default for Poll {
    fn default() -> Self {
        Self {
            state_cache_entries: 10_000,
            state_cache_bytes: 64 * 1024 * 1024,
            body_bytes: 64 * 1024,
            retry_after_s: 5,
            max_waiting: 15_000,
            floor_entries: 10_000,
        }
    }
}

impl Poll {
    pub(super) fn validate(&self, path: &str, problems: &mut Problems) {
        let key = |name: &str| format!("{path}.{name}");
        problems.bound(
            &key("state_cache_entries"),
            self.state_cache_entries,
            1,
            100_000_000,
        );
        problems.bound(
            &key("state_cache_bytes"),
            self.state_cache_bytes,
            1_024,
            1 << 40,
        );
        problems.bound(&key("body_bytes"), self.body_bytes, 1, 256 << 20);
        problems.bound(&key("retry_after_s"), self.retry_after_s, 1, 3_600);
        problems.bound(&key("max_waiting"), self.max_waiting, 0, 1_000_000);
        problems.bound(&key("floor_entries"), self.floor_entries, 1, 10_000_000);
    }
}
