//! Panics: clients are told to poll, whatever engineers asked for.

use async_trait::async_trait;

use super::Result;
use crate::domain::{Micros, ModuleName};

/// What stands for all modules in the table.
pub(super) const ALL: &str = "*";

/// A row of `panic`. It stays when the panic is lifted.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct PanicRecord {
    /// Over which module; absent = over all.
    pub module: Option<ModuleName>,
    /// Grows by one with every act.
    pub version: i64,
    /// Who raised it.
    pub actor: String,
    /// Why.
    pub reason: String,
    /// When.
    pub since: Micros,
    /// When it was lifted; absent = it is in force.
    pub lifted_at: Option<Micros>,
}

impl PanicRecord {
    /// Whether clients are told to poll because of it.
    pub const fn is_in_force(&self) -> bool {
        self.lifted_at.is_none()
    }
}

/// What is done to a panic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PanicStep {
    /// Clients are told to poll.
    Raise,
    /// They are told what engineers asked for again.
    Lift,
}

impl PanicStep {
    /// The word in the audit.
    pub const fn action(self) -> &'static str {
        match self {
            Self::Raise => "panic",
            Self::Lift => "lift",
        }
    }
}

/// One act on a panic, written with its audit entry in one transaction.
#[derive(Debug, Clone)]
pub struct PanicAct {
    /// Over which module; absent = over all.
    pub module: Option<ModuleName>,
    /// What.
    pub step: PanicStep,
    /// Who.
    pub actor: String,
    /// Why.
    pub reason: String,
    /// The record that the act was decided on.
    pub before: Option<PanicRecord>,
}

impl PanicAct {
    /// The version that the act was decided on; 0 = no record before.
    pub(super) fn expected_version(&self) -> i64 {
        self.before.as_ref().map_or(0, |before| before.version)
    }

    /// The module as the table holds it.
    pub(super) fn stored_module(&self) -> &str {
        self.module.as_ref().map_or(ALL, ModuleName::as_str)
    }

    /// The record after the act, by the database's clock.
    pub(super) fn after(&self, now: Micros) -> PanicRecord {
        let version = self.expected_version() + 1;
        match (self.step, &self.before) {
            (PanicStep::Lift, Some(before)) => PanicRecord {
                version,
                lifted_at: Some(now),
                ..before.clone()
            },
            (step, _) => PanicRecord {
                module: self.module.clone(),
                version,
                actor: self.actor.clone(),
                reason: self.reason.clone(),
                since: now,
                lifted_at: (step == PanicStep::Lift).then_some(now),
            },
        }
    }
}

/// Panics and their audit.
#[async_trait]
pub trait Panics {
    /// All records, lifted ones too.
    async fn panics(&self) -> Result<Vec<PanicRecord>>;

    /// Writes an act with its audit entry in one transaction, by the database's clock.
    /// [`super::Error::VersionConflict`] if another act came between.
    async fn act_on_panic(&self, act: &PanicAct) -> Result<PanicRecord>;
}
