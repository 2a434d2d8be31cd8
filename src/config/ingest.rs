//! `[ingest]`: changes that come over HTTP.

use serde::{Deserialize, Serialize};

/// Bounds of ingest over HTTP.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default)]
pub struct Ingest {
    /// Requests that may wait for the writer; one more is answered 429.
    pub queue: usize,
    /// Most changes that one transaction commits together.
    pub group: usize,
    /// Largest request body.
    pub body_bytes: usize,
}

impl Default for Ingest {
    fn default() -> Self {
        Self {
            queue: 1_024,
            group: 2_000,
            body_bytes: 4 * 1024 * 1024,
        }
    }
}
