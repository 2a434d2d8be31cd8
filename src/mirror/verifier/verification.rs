//! What the verifier of a target has found, for the admin API: written by the verifier, read by
//! anyone at any time.

use std::{
    collections::BTreeMap,
    sync::{PoisonError, RwLock},
};

use super::Outcome;
use crate::domain::{Micros, ModuleName, Position};

/// One target, as its verifier sees it. Empty where no verifier runs.
#[derive(Debug, Default)]
pub struct Verification {
    found: RwLock<Found>,
}

#[derive(Debug, Default)]
struct Found {
    listening: bool,
    share: f64,
    modules: BTreeMap<ModuleName, ModuleVerification>,
}

/// One module on one target, since this replica mirrors it there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModuleVerification {
    /// Since when it is counted.
    pub since: Micros,
    /// By outcome, in the order of [`Outcome::ALL`].
    pub counts: [u64; Outcome::ALL.len()],
    /// The last thing that should not have been.
    pub last_problem: Option<Problem>,
}

/// Something that should not have been.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Of what kind.
    pub outcome: Outcome,
    /// Which change, if the event named one.
    pub position: Option<Position>,
    /// When it was found.
    pub at: Micros,
    /// What is wrong, for people.
    pub detail: String,
}

impl ModuleVerification {
    /// Nothing found yet.
    pub const fn new(since: Micros) -> Self {
        Self {
            since,
            counts: [0; Outcome::ALL.len()],
            last_problem: None,
        }
    }

    /// How often there was this outcome.
    pub const fn count(&self, outcome: Outcome) -> u64 {
        self.counts[outcome as usize]
    }
}

impl Verification {
    /// Whether the subscription stands.
    pub fn listening(&self) -> bool {
        self.found().listening
    }

    /// The share of the channels that is compared at present, 0 to 1.
    pub fn share(&self) -> f64 {
        self.found().share
    }

    /// What was found of a module; `None` if this replica has not mirrored it there.
    pub fn module(&self, module: &ModuleName) -> Option<ModuleVerification> {
        self.found().modules.get(module).cloned()
    }

    fn found(&self) -> std::sync::RwLockReadGuard<'_, Found> {
        self.found.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(in crate::mirror) fn set(
        &self,
        listening: bool,
        share: f64,
        modules: BTreeMap<ModuleName, ModuleVerification>,
    ) {
        let mut found = self.found.write().unwrap_or_else(PoisonError::into_inner);
        *found = Found {
            listening,
            share,
            modules,
        };
    }
}
