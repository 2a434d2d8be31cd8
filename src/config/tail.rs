//! `[tail]`: the newest part of each module's log, in memory on every replica.

use serde::{Deserialize, Serialize};

use super::Problems;

/// Bounds of the tail, per module, and the rhythm of its reader.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tail {
    /// Most changes kept per module.
    pub changes: usize,
    /// Most bytes kept per module.
    pub bytes: usize,
    /// Pause between two reads of modules that another replica numbers.
    pub tick_ms: u64,
    /// Most rows that one read brings per module.
    pub page: u32,
    /// How often all modules are read, whoever numbers them.
    pub full_ms: u64,
}

impl Default for Tail {
    fn default() -> Self {
        Self {
            changes: 10_000,
            bytes: 16 * 1024 * 1024,
            tick_ms: 20,
            page: 2_000,
            full_ms: 1_000,
        }
    }
}

impl Tail {
    pub(super) fn validate(&self, path: &str, problems: &mut Problems) {
        problems.bound(&format!("{path}.changes"), self.changes, 1, 100_000_000);
        problems.bound(&format!("{path}.bytes"), self.bytes, 1_024, 1 << 40);
        problems.bound(&format!("{path}.tick_ms"), self.tick_ms, 1, 60_000);
        problems.bound(&format!("{path}.page"), self.page, 1, 100_000);
        problems.bound(&format!("{path}.full_ms"), self.full_ms, 10, 60_000);
    }
}
