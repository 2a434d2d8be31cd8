//! `[database]`: where the change log lives.

use serde::{Deserialize, Serialize};

/// Where the change log lives, and how many connections it may cost.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default)]
pub struct Database {
    /// `sqlite://path/to/file.db` or `postgres://user:password@host:port/name`.
    pub url: String,
    /// Connections for reads and acts. The sequencer has one of its own beside them.
    pub connections: u32,
    /// How long a request waits for a free connection.
    pub acquire_timeout_ms: u64,
    /// How long one statement may take, except the sequencer's, which are bound by its lease.
    pub statement_timeout_ms: u64,
}

impl Default for Database {
    fn default() -> Self {
        Self {
            url: "sqlite://data/changeover.db".to_owned(),
            connections: 8,
            acquire_timeout_ms: 2_000,
            statement_timeout_ms: 5_000,
        }
    }
}
