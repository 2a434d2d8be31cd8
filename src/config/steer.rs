//! `modules[].poll.steer`: how far the interval of clients rises under load.

use serde::{Deserialize, Serialize};

use super::{Problems, modules_check::NEXT_POLL_MAX_MS};

/// How far `$next_poll_ms` rises under load.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Steer {
    /// The most that it says.
    pub max_ms: u64,
    /// Polls a second, on this replica, above which it rises; absent = only when reads have to wait
    /// for a place.
    pub polls_per_s: Option<u32>,
}

impl Default for Steer {
    fn default() -> Self {
        Self {
            max_ms: 60_000,
            polls_per_s: None,
        }
    }
}

impl Steer {
    /// Checks the bounds above the configured interval.
    pub(super) fn validate(&self, base_ms: u64, path: &str, problems: &mut Problems) {
        let max = &format!("{path}.max_ms");
        problems.bound(max, self.max_ms, 1, NEXT_POLL_MAX_MS);
        if self.max_ms < base_ms {
            let why = format!("{} must not be below next_poll_ms ({base_ms})", self.max_ms);
            problems.push(max, why);
        }
        if let Some(polls) = self.polls_per_s {
            problems.bound(&format!("{path}.polls_per_s"), polls, 1, 10_000_000);
        }
    }
}
