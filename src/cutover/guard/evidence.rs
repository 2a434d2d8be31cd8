//! What is known about a module's mirror, and what is bad enough.

use std::time::Duration;

use super::Cause;

/// What the holder of a module's lease knows of its mirror on one target at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Evidence {
    /// How long the target has been without a connection; zero while it has one.
    pub away: Duration,
    /// How long the oldest change that is not acknowledged has been waiting.
    pub lag: Duration,
    /// The mirror has stopped at a change that the target refuses, or is kept off by another log.
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

impl Evidence {
    /// Nothing is wrong.
    pub const HEALTHY: Self = Self {
        away: Duration::ZERO,
        lag: Duration::ZERO,
        halted: false,
        missing: 0,
    };
}

impl Bounds {
    /// What is bad, in words.
    pub fn describe(&self, cause: Cause, evidence: &Evidence) -> String {
        let whole =
            |span: Duration| humantime::format_duration(Duration::from_secs(span.as_secs()));
        match cause {
            Cause::Halted => {
                "the mirror has halted on the target: it refuses a change, or another gateway publishes there".to_owned()
            }
            Cause::Disconnected => format!(
                "no connection to the target for {} (more than {})",
                whole(evidence.away),
                humantime::format_duration(self.away)
            ),
            Cause::Lag => format!(
                "the target is {} behind (more than {})",
                whole(evidence.lag),
                humantime::format_duration(self.lag)
            ),
            Cause::Loss => format!(
                "subscribers missed {} changes (more than {})",
                evidence.missing, self.missing
            ),
            Cause::Leaderless => "nobody held the lease, so nothing was mirrored".to_owned(),
        }
    }

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
