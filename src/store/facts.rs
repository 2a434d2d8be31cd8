//! What the lease holder of a module knows of its mirror, written down for every replica.
//!
//! Invariants: only the holder writes, under its lease; times are the database's; counts are written over, so that a write which is
//! repeated counts nothing twice.

use std::time::Duration;

use async_trait::async_trait;

use super::{Lease, Result};
use crate::domain::{Micros, ModuleName};

/// How a target stands for a module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MirrorFact {
    /// The target.
    pub target: String,
    /// The module.
    pub module: ModuleName,
    /// Whether the broker has let the mirror in.
    pub connected: bool,
    /// Why not; while it has, what keeps clients there from some of what they are told.
    pub trouble: Option<String>,
    /// Changes that the target has not acknowledged.
    pub behind: u64,
    /// How long ago the oldest of them was numbered; absent = nobody can say.
    pub lag: Option<Duration>,
    /// Why nothing more is sent, if so.
    pub halted: Option<String>,
}

/// A fact, and when it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenFact {
    /// What was seen.
    pub fact: MirrorFact,
    /// When, by the database's clock.
    pub at: Micros,
}

/// What became of changes on their way through a broker: `docs/OPERATIONS.md` says what each means.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Findings {
    /// As the log has them.
    pub ok: u64,
    /// Acknowledged and not delivered.
    pub missing: u64,
    /// Once more.
    pub duplicate: u64,
    /// After a later one of their channel.
    pub reordered: u64,
    /// With another predecessor.
    pub previous: u64,
    /// Too late.
    pub late: u64,
    /// Not the log's.
    pub foreign: u64,
    /// Nobody was there to see.
    pub unobserved: u64,
}

impl Findings {
    /// What should never be, whatever broker or gateway was restarted.
    pub const fn problems(&self) -> u64 {
        self.missing + self.reordered + self.previous + self.foreign
    }

    /// What was compared.
    pub const fn compared(&self) -> u64 {
        self.ok + self.late + self.problems()
    }

    /// What has been added since `earlier`.
    #[must_use]
    pub const fn since(&self, earlier: &Self) -> Self {
        Self {
            ok: self.ok.saturating_sub(earlier.ok),
            missing: self.missing.saturating_sub(earlier.missing),
            duplicate: self.duplicate.saturating_sub(earlier.duplicate),
            reordered: self.reordered.saturating_sub(earlier.reordered),
            previous: self.previous.saturating_sub(earlier.previous),
            late: self.late.saturating_sub(earlier.late),
            foreign: self.foreign.saturating_sub(earlier.foreign),
            unobserved: self.unobserved.saturating_sub(earlier.unobserved),
        }
    }

    /// In the order of the columns.
    pub(super) fn columns(&self) -> [i64; 8] {
        [
            self.ok,
            self.missing,
            self.duplicate,
            self.reordered,
            self.previous,
            self.late,
            self.foreign,
            self.unobserved,
        ]
        .map(as_column)
    }
}

/// What a verifier found in a period.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifierPeriod {
    /// The target.
    pub target: String,
    /// The module.
    pub module: ModuleName,
    /// When the period began.
    pub began_at: Micros,
    /// Up to when it is known.
    pub ended_at: Micros,
    /// For how long of it the subscription stood.
    pub listened: Duration,
    /// What was found.
    pub found: Findings,
}

/// What is known of a module's targets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownFacts {
    /// The database's time.
    pub now: Micros,
    /// A row per target, by its name.
    pub targets: Vec<SeenFact>,
}

/// The facts of the mirror.
#[async_trait]
pub trait Facts {
    /// Writes facts and periods over those of before, each under its lease; those whose lease is lost are left out. Returns the
    /// database's time.
    async fn write_facts(
        &self,
        facts: &[(Lease, MirrorFact)],
        periods: &[(Lease, VerifierPeriod)],
    ) -> Result<Micros>;

    /// What is known of a module's targets, configured or not.
    async fn facts(&self, module: &ModuleName) -> Result<KnownFacts>;

    /// What verifiers found of a module in the periods that ended later than `after`, the oldest first, those of one target
    /// together. What several holders found in one period is one.
    async fn verifier_periods(
        &self,
        module: &ModuleName,
        after: Micros,
    ) -> Result<Vec<VerifierPeriod>>;

    /// Deletes at most so many periods that began before a time, and facts that nobody has written since. Returns how many rows.
    async fn forget_facts(&self, before: Micros, most: u32) -> Result<u64>;

    /// How often something was done to a module since a time, by the audit.
    async fn count_acts(&self, module: &ModuleName, action: &str, since: Micros) -> Result<u64>;
}

/// One database refuses U+0000, and these texts are shown on terminals.
pub(super) fn plain(text: Option<&str>) -> Option<String> {
    let space = |c: char| if c.is_control() { ' ' } else { c };
    text.map(|text| text.chars().map(space).collect())
}

pub(super) fn as_column(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

pub(super) fn span_column(span: Duration) -> i64 {
    i64::try_from(span.as_micros()).unwrap_or(i64::MAX)
}
