//! `[guard]`: telling clients to poll while the mirror fails them.

use serde::{Deserialize, Serialize};

use super::{Problems, span::Span};

/// When clients are told to poll, and at what pace they leave and return.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Guard {
    /// Whether there are guards; the same on all replicas.
    pub enabled: bool,
    /// A target without a connection for longer than this trips.
    pub away: Span,
    /// A change that waits for its acknowledgement for longer than this trips.
    pub lag: Span,
    /// More changes than this that the verifier has missed within `missing_within` trip.
    pub missing: u64,
    /// How long a missed change counts.
    pub missing_within: Span,
    /// A module whose lease nobody holds for longer than this trips.
    pub leaderless_after: Span,
    /// Over what time clients fall back to polling.
    pub fall_back_over: Span,
    /// How long all must be well before the first client returns.
    pub heal_after: Span,
    /// Over what time clients return.
    pub return_over: Span,
}

impl Default for Guard {
    fn default() -> Self {
        Self {
            enabled: true,
            away: Span::from_secs(10),
            lag: Span::from_secs(30),
            missing: 10,
            missing_within: Span::from_secs(300),
            leaderless_after: Span::from_secs(10),
            fall_back_over: Span::from_secs(30),
            heal_after: Span::from_secs(60),
            return_over: Span::from_secs(300),
        }
    }
}

impl Guard {
    pub(super) fn validate(&self, path: &str, problems: &mut Problems) {
        let key = |name: &str| format!("{path}.{name}");
        problems.bound_span(&key("away"), self.away, "1s", "1d");
        problems.bound_span(&key("lag"), self.lag, "1s", "1d");
        problems.bound(&key("missing"), self.missing, 0, 1_000_000);
        problems.bound_span(&key("missing_within"), self.missing_within, "1s", "1d");
        problems.bound_span(&key("leaderless_after"), self.leaderless_after, "1s", "1d");
        problems.bound_span(&key("fall_back_over"), self.fall_back_over, "0s", "1h");
        problems.bound_span(&key("heal_after"), self.heal_after, "1s", "1d");
        problems.bound_span(&key("return_over"), self.return_over, "0s", "1d");
        for (name, other) in [("fall_back_over", self.fall_back_over), ("lag", self.lag)] {
            if self.heal_after < other {
                problems.push(
                    key("heal_after"),
                    format!(
                        "{} is shorter than {path}.{name} ({other}): {}",
                        self.heal_after,
                        match name {
                            "lag" =>
                                "a mirror that is late would count as healthy before that is seen",
                            _ => "clients would return before all have fallen back",
                        }
                    ),
                );
            }
        }
    }
}
