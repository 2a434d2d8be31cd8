//! `modules[].poll.wait`: how long a poll may wait for news.

use serde::{Deserialize, Serialize};

use super::{Problems, modules::Place};

/// The longest wait of a poll: proxies on the way give up sooner.
const MOST_MS: u64 = 600_000;

/// How long a poll may wait for news, and where a client says so.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WaitField {
    /// Which part of the request; absent = clients cannot choose.
    #[serde(rename = "in")]
    pub place: Option<Place>,
    /// Its name there.
    pub name: String,
    /// What the number counts.
    pub unit: WaitUnit,
    /// What counts when the request does not say.
    pub default_ms: u64,
    /// What counts when the request asks for more.
    pub max_ms: u64,
}

impl Default for WaitField {
    fn default() -> Self {
        Self {
            place: None,
            name: String::new(),
            unit: WaitUnit::default(),
            default_ms: 0,
            max_ms: 30_000,
        }
    }
}

/// What the number of a wait counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum WaitUnit {
    /// Milliseconds.
    #[default]
    #[serde(rename = "ms")]
    Milliseconds,
    /// Seconds.
    #[serde(rename = "s")]
    Seconds,
}

impl WaitField {
    /// Checks the bounds; where the value stands is checked with the other fields.
    pub(super) fn validate(&self, path: &str, problems: &mut Problems) {
        let max = &format!("{path}.max_ms");
        problems.bound(max, self.max_ms, 1, MOST_MS);
        if self.default_ms > self.max_ms {
            problems.push(
                format!("{path}.default_ms"),
                format!(
                    "{} must not be above {max} ({})",
                    self.default_ms, self.max_ms
                ),
            );
        }
    }
}
