//! `[poll]`: what all legacy polls share.

use serde::{Deserialize, Serialize};

/// Bounds of answering legacy polls.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default)]
pub struct Poll {
    /// Whole states kept in memory, one per module and set of audiences, for `kind = "none"`.
    pub state_cache_entries: usize,
    /// Most bytes that they take together.
    pub state_cache_bytes: usize,
    /// Largest body of a poll by `POST`. It is read and dropped.
    pub body_bytes: usize,
    /// What `Retry-After` says, in seconds, when the database cannot be asked.
    pub retry_after_s: u32,
}

impl Default for Poll {
    fn default() -> Self {
        Self {
            state_cache_entries: 10_000,
            state_cache_bytes: 64 * 1024 * 1024,
            body_bytes: 64 * 1024,
            retry_after_s: 5,
        }
    }
}
