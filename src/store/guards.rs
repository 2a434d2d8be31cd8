//! Guards: where the one of each module on each target is, and since when.
//!
//! Invariants: a row is written only under the lease of its module, so that a holder of before changes nothing; a trip and a heal
//! are one transaction with their audit entry. Times go in and out as ages by the database's clock: no jump of a replica's own
//! clock moves anything.

use std::time::Duration;

use async_trait::async_trait;

use super::{Lease, Result, Unreadable};
use crate::domain::{BasisPoints, GuardCause, GuardPhase, Micros, ModuleName};

/// Who acts, in the audit.
pub(super) const ACTOR: &str = "guard";

/// A row of `guard`. It stays when the guard has healed.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct GuardRecord {
    /// The module.
    pub module: ModuleName,
    /// The target.
    pub target: String,
    /// Where the guard is.
    pub state: GuardPhase,
    /// Why it has tripped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<GuardCause>,
    /// The share of the clients that was told push when it tripped.
    #[serde(skip)]
    pub share: BasisPoints,
    /// Since when it is there.
    pub since: Micros,
    /// How long ago that was, by the database's clock, when the row was read or written.
    #[serde(skip)]
    pub age: Duration,
    /// Since when the mirror has been healthy, if it has tripped.
    #[serde(skip)]
    pub healthy_since: Option<Micros>,
    /// Grows by one with every write.
    pub version: i64,
    /// Grows by one with every trip and every heal.
    #[serde(skip)]
    pub turns: i64,
}

/// What every replica wants to know, of one moment.
#[derive(Debug, Default)]
pub struct GuardsSeen {
    /// The modules whose lease nobody holds.
    pub vacant: Vec<ModuleName>,
    /// All rows that can be read.
    pub records: Vec<GuardRecord>,
    /// Those that hold something that this program cannot have written.
    pub unreadable: Vec<Unreadable>,
}

impl GuardsSeen {
    /// Whether all rows of a module can be read.
    pub fn can_be_read(&self, module: &ModuleName) -> bool {
        let mut unreadable = self.unreadable.iter();
        unreadable.all(|one| one.module != module.as_str())
    }
}

/// A new state of a guard.
#[derive(Debug, Clone)]
pub struct GuardWrite {
    /// The lease of the module.
    pub lease: Lease,
    /// The target.
    pub target: String,
    /// Where the guard is now.
    pub state: GuardPhase,
    /// Why it has tripped.
    pub cause: Option<GuardCause>,
    /// The share of the clients that was told push when it tripped.
    pub share: BasisPoints,
    /// How long it has been there.
    pub age: Duration,
    /// How long the mirror has been healthy, if it has tripped.
    pub healthy: Option<Duration>,
    /// The record that this was decided on.
    pub before: Option<GuardRecord>,
    /// Whether clients are told something else from now on, and why.
    pub turn: Option<GuardTurn>,
}

/// A trip or a heal, for the audit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuardTurn {
    /// What.
    pub kind: TurnKind,
    /// Why, for people.
    pub reason: String,
}

/// Which turn it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TurnKind {
    /// Clients fall back to polling.
    Trip,
    /// They return.
    Heal,
}

impl TurnKind {
    /// The word in the audit.
    pub const fn action(self) -> &'static str {
        match self {
            Self::Trip => "guard-trip",
            Self::Heal => "guard-heal",
        }
    }
}

impl GuardWrite {
    /// The version that this was decided on; 0 = no row before.
    pub(super) fn expected_version(&self) -> i64 {
        self.before.as_ref().map_or(0, |before| before.version)
    }

    /// The record after it, by the database's clock.
    pub fn after(&self, now: Micros) -> GuardRecord {
        let turns = self.before.as_ref().map_or(0, |before| before.turns);
        GuardRecord {
            module: self.lease.module.clone(),
            target: self.target.clone(),
            state: self.state,
            cause: self.cause,
            share: self.share,
            since: now.minus(self.age),
            age: self.age,
            healthy_since: self.healthy.map(|healthy| now.minus(healthy)),
            version: self.expected_version() + 1,
            turns: turns + i64::from(self.turn.is_some()),
        }
    }
}

impl GuardRecord {
    /// What stands in the column `reason`.
    pub(super) fn stored_cause(&self) -> &'static str {
        self.cause.map_or("", GuardCause::as_str)
    }
}

/// Guards and their audit.
#[async_trait]
pub trait Guards {
    /// All rows, and which leases nobody holds: one statement.
    async fn guards(&self) -> Result<GuardsSeen>;

    /// Writes a new state, and the audit entry of its turn, in a transaction that locks the module's head row under its lease's
    /// token. [`super::Error::LeaseLost`] if the lease is another's, [`super::Error::VersionConflict`] if the row is another
    /// one.
    async fn write_guard(&self, write: &GuardWrite) -> Result<GuardRecord>;
}
