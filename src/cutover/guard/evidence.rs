//! What is known about a module's mirror, and what is bad enough.

use std::time::Duration;

/// What the holder of a module's lease knows of its mirror on one target at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Evidence {
    /// How long the target has been without a connection; zero while it has one.
    pub away: Duration,
    /// How long the oldest change that is not acknowledged has been waiting.
    pub lag: Duration,
    /// The mirror has stopped at a change that the target refuses.
    pub halted: bool,
    /// Changes that the verifier has missed lately.
    pub missing: u64,
}

/// From when on something is bad enough. See `[guard]` in docs/CONFIGURATION.md.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Longest time without a connection.
    pub away: Duration,
    /// Longest lag.
    pub lag: Duration,
    /// Most missing changes.
    pub missing: u64,
}

/// Why clients are told to poll.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// The mirror has stopped.
    Halted,
    /// The target is away.
    Disconnected,
    /// The mirror is late.
    Lag,
    /// Subscribers miss changes.
    Loss,
    /// Nobody mirrors the module.
    Leaderless,
}

impl Cause {
    /// The stable word for programs and people.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Halted => "halted",
            Self::Disconnected => "disconnected",
            Self::Lag => "lag",
            Self::Loss => "loss",
            Self::Leaderless => "leaderless",
        }
    }
}

impl Bounds {
    /// What is bad enough to trip; the gravest first.
    pub fn trip(&self, evidence: &Evidence) -> Option<Cause> {
        let causes = [
            (evidence.halted, Cause::Halted),
            (evidence.away > self.away, Cause::Disconnected),
            (evidence.lag > self.lag, Cause::Lag),
            (evidence.missing > self.missing, Cause::Loss),
        ];
        causes
            .into_iter()
            .find_map(|(bad, cause)| bad.then_some(cause))
    }

    /// Whether it is good enough to heal. That asks for more than not to trip, or a lag about its bound would trip
    /// and heal in turns.
    pub fn heals(&self, evidence: &Evidence) -> bool {
        self.trip(evidence).is_none() && evidence.away.is_zero() && evidence.lag <= self.lag / 2
    }
}
