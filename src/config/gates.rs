//! `[gates]`: what must hold before a module takes a step forward.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Problems, span::Span};

/// The thresholds of the gates, and how much each of them wants to have seen.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Gates {
    /// Whether a step that its gate does not pass is refused; else the answer warns of it.
    pub enforce: bool,
    /// How often the replica that mirrors a module writes down how its targets stand.
    pub facts_every_ms: u64,
    /// What was written longer ago is no fact any more.
    pub stale_after: Span,
    /// To `ramp`: how late a target may be.
    pub max_lag: Span,
    /// To `ramp`: changes that the verifier has received as the log has them, since the last that it has not.
    pub verified_messages: u64,
    /// To `ramp`: for how long it has listened since then, and how long nothing wrong may have been found.
    pub verified_for: Span,
    /// How long what verifiers found is kept, and counts.
    pub verified_within: Span,
    /// To `sunset`: clients that must be known before shares of them say anything.
    pub clients: u64,
    /// To `sunset`: clients that were seen within this time count.
    pub clients_within: Span,
    /// To `sunset`: the least share of them that takes the push.
    pub on_push_percent: f64,
    /// To `sunset`: the largest share of those on push that may have gone back to polling.
    pub fell_back_percent: f64,
    /// To `sunset`: for how long the module is to be at `ramp` and the guard quiet.
    pub quiet_for: Span,
    /// To `sunset`: how often the guard may have tripped in that time.
    pub guard_trips: u64,
    /// To `retired`: for how long nobody is to have polled.
    pub no_polls_for: Span,
    /// To `retired`: clients that may have polled all the same.
    pub pollers: u64,
}

impl Default for Gates {
    fn default() -> Self {
        Self {
            enforce: true,
            facts_every_ms: 5_000,
            stale_after: Span::from_secs(20),
            max_lag: Span::from_secs(5),
            verified_messages: 100,
            verified_for: Span::from_secs(1_800),
            verified_within: Span::from_secs(86_400),
            clients: 10,
            clients_within: Span::from_secs(86_400),
            on_push_percent: 95.0,
            fell_back_percent: 1.0,
            quiet_for: Span::from_secs(86_400),
            guard_trips: 0,
            no_polls_for: Span::from_secs(14 * 86_400),
            pollers: 0,
        }
    }
}

impl Gates {
    /// The longest time between two writes of the facts.
    pub const fn facts_every(&self) -> Duration {
        Duration::from_millis(self.facts_every_ms)
    }

    /// The time that one row of a verifier's findings stands for: what was wrong is known that exactly. There are at most a
    /// thousand rows of a module and target.
    pub fn window(&self) -> Duration {
        const LONGEST: Duration = Duration::from_mins(5);
        const SHORTEST: Duration = Duration::from_secs(1);
        let asked = self.verified_for.get();
        let wanted = if asked.is_zero() { LONGEST } else { asked / 6 };
        let wanted = wanted.clamp(SHORTEST, LONGEST);
        wanted
            .max(self.verified_within.get() / 1_000)
            .max(self.facts_every())
    }

    pub(super) fn validate(&self, path: &str, problems: &mut Problems) {
        let key = |name: &str| format!("{path}.{name}");
        problems.bound(&key("facts_every_ms"), self.facts_every_ms, 100, 60_000);
        let spans = [
            ("stale_after", self.stale_after, "200ms", "1h"),
            ("max_lag", self.max_lag, "1ms", "1d"),
            ("verified_for", self.verified_for, "0s", "90d"),
            ("verified_within", self.verified_within, "1s", "90d"),
            ("clients_within", self.clients_within, "1s", "365d"),
            ("quiet_for", self.quiet_for, "0s", "365d"),
            ("no_polls_for", self.no_polls_for, "1s", "365d"),
        ];
        for (name, span, least, most) in spans {
            problems.bound_span(&key(name), span, least, most);
        }
        for (name, percent) in [
            ("on_push_percent", self.on_push_percent),
            ("fell_back_percent", self.fell_back_percent),
        ] {
            if !(0.0..=100.0).contains(&percent) {
                problems.push(key(name), format!("must be from 0 to 100, not {percent}"));
            }
        }
        if self.stale_after.get() < self.facts_every() * 2 {
            problems.push(
                key("stale_after"),
                "must be at least twice facts_every_ms, or facts would be too old as soon as one write is late",
            );
        }
        if self.verified_within < self.verified_for {
            problems.push(
                key("verified_within"),
                "must not be shorter than verified_for: what it asks for would be forgotten before it is there",
            );
        }
    }
}
