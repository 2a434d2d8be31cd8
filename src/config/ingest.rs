//! `[ingest]`: changes that come over HTTP.

use serde::{Deserialize, Serialize};

use super::Problems;

/// Bounds of ingest over HTTP.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
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

impl Ingest {
    pub(super) fn validate(&self, path: &str, problems: &mut Problems) {
        problems.bound(&format!("{path}.queue"), self.queue, 1, 1_000_000);
        problems.bound(&format!("{path}.group"), self.group, 1, 100_000);
        problems.bound(
            &format!("{path}.body_bytes"),
            self.body_bytes,
            1_024,
            1 << 30,
        );
    }
}
