//! `[verifier]`: reading back what the targets deliver.

use serde::{Deserialize, Serialize};

use super::Problems;

/// Whether and how each target's deliveries are compared with the log.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Verifier {
    /// Whether each target is read back, by one subscription of its own.
    pub enabled: bool,
    /// A change that arrives longer than this after it was numbered counts as late.
    pub late_ms: u64,
    /// A change that was acknowledged longer than this ago and has not arrived counts as missing.
    pub missing_after_ms: u64,
    /// Changes of each module that are remembered.
    pub window: usize,
    /// Events a second of one target that are compared; above it only a share of the channels is.
    pub rate: u64,
}

impl Default for Verifier {
    fn default() -> Self {
        Self {
            enabled: true,
            late_ms: 5_000,
            missing_after_ms: 10_000,
            window: 10_000,
            rate: 5_000,
        }
    }
}

impl Verifier {
    pub(super) fn validate(&self, path: &str, problems: &mut Problems) {
        let key = |name: &str| format!("{path}.{name}");
        problems.bound(&key("late_ms"), self.late_ms, 1, 3_600_000);
        let missing_after_ms = self.missing_after_ms;
        problems.bound(&key("missing_after_ms"), missing_after_ms, 100, 3_600_000);
        problems.bound(&key("window"), self.window, 1, 10_000_000);
        problems.bound(&key("rate"), self.rate, 1, 1_000_000_000);
    }
}
