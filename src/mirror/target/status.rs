//! How the mirror stands, for the admin API and the metrics: written by the publishers, read by
//! anyone at any time.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use crate::{
    domain::{Cursor, Micros, ModuleName},
    mirror::verifier::Verification,
};

/// All targets of this replica.
#[derive(Debug, Default, Clone)]
pub struct Status {
    targets: Vec<Arc<TargetStatus>>,
}

impl Status {
    /// The status of these targets.
    pub fn new(targets: impl IntoIterator<Item = Arc<TargetStatus>>) -> Self {
        let targets = targets.into_iter().collect();
        Self { targets }
    }

    /// The targets, in the order of the configuration.
    pub fn targets(&self) -> &[Arc<TargetStatus>] {
        &self.targets
    }
}

/// One target, as this replica feeds it.
#[derive(Debug)]
pub struct TargetStatus {
    name: Box<str>,
    fed: AtomicBool,
    connected: AtomicBool,
    /// Why it is not connected.
    trouble: RwLock<Option<Box<str>>>,
    /// Why sessions get no clients there that have to be made.
    shut: RwLock<Option<Box<str>>>,
    /// Why clients that are connected to it do not hear what they are told.
    given_up: RwLock<Option<Box<str>>>,
    connections: AtomicU64,
    verification: Verification,
    modules: RwLock<BTreeMap<ModuleName, ModuleStatus>>,
}

/// One module on one target. Only the holder of the module's lease has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModuleStatus {
    /// Everything up to here was acknowledged.
    pub acknowledged: Cursor,
    /// Which stay of the module here it is: a new one begins again at the stored cursor.
    pub stay: u64,
    /// Grows with each loss of the broker's state.
    pub generation: u64,
    /// Changes of the log above `acknowledged`.
    pub behind: u64,
    /// When the oldest of them was numbered, if it is in memory.
    pub oldest: Option<Micros>,
    /// Why nothing more is sent, if so.
    pub halted: Option<String>,
    /// Which changes were left out last, and why, if any were since this replica has the module.
    pub skipped: Option<String>,
    /// Why the broker refuses its retained message, if that is given up for now.
    pub unheard: Option<String>,
}

impl ModuleStatus {
    /// How late the target is for this module.
    pub fn lag(&self, now: Micros) -> Duration {
        self.oldest
            .map_or(Duration::ZERO, |oldest| now.since(oldest))
    }
}

impl TargetStatus {
    /// A target that is not connected yet.
    pub fn new(name: &str) -> Self {
        Self {
            name: name.into(),
            fed: AtomicBool::new(false),
            connected: AtomicBool::new(false),
            trouble: RwLock::default(),
            shut: RwLock::default(),
            given_up: RwLock::default(),
            connections: AtomicU64::new(0),
            verification: Verification::default(),
            modules: RwLock::default(),
        }
    }

    /// The target's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether anything is to be sent to it: it is neither paused nor retired.
    pub fn is_fed(&self) -> bool {
        self.fed.load(Ordering::Relaxed)
    }

    /// Whether the broker has let us in and all connections stand.
    pub fn connected(&self) -> bool {
        self.connected.load(Ordering::Relaxed)
    }

    /// Why the last connection ended or could not be made, while there is none; else which retained messages the broker refuses, and why;
    /// else why sessions get no clients there, while that is so.
    pub fn trouble(&self) -> Option<Box<str>> {
        let troubles = [&self.trouble, &self.given_up, &self.shut];
        troubles.into_iter().find_map(noted)
    }

    /// Why sessions get no clients there that have to be made, while that is so.
    pub fn shut(&self) -> Option<Box<str>> {
        noted(&self.shut)
    }

    /// How often the broker has let us in. What was under way before comes again after.
    pub fn connections(&self) -> u64 {
        self.connections.load(Ordering::Relaxed)
    }

    /// What a subscriber of the target has found.
    pub const fn verification(&self) -> &Verification {
        &self.verification
    }

    /// The modules that this replica mirrors there.
    pub fn modules(&self) -> BTreeMap<ModuleName, ModuleStatus> {
        let modules = self.modules.read().unwrap_or_else(PoisonError::into_inner);
        modules.clone()
    }

    /// One of them.
    pub fn module(&self, module: &ModuleName) -> Option<ModuleStatus> {
        let modules = self.modules.read().unwrap_or_else(PoisonError::into_inner);
        modules.get(module).cloned()
    }

    pub(in crate::mirror) fn set_fed(&self, fed: bool) {
        self.fed.store(fed, Ordering::Relaxed);
    }

    pub(in crate::mirror) fn set_connected(&self, connected: bool) {
        self.connected.store(connected, Ordering::Relaxed);
        if connected {
            note(&self.trouble, None);
        }
    }

    pub(in crate::mirror) fn count_connection(&self) {
        self.connections.fetch_add(1, Ordering::Relaxed);
    }

    /// Not connected on all lines, for this reason.
    pub(in crate::mirror) fn set_away(&self, reason: &str) {
        self.set_connected(false);
        note(&self.trouble, Some(reason));
    }

    /// Not connected, at our own wish.
    pub(in crate::mirror) fn set_left(&self) {
        self.set_connected(false);
        note(&self.trouble, None);
    }

    /// Whether sessions get clients there, and why not.
    pub(in crate::mirror) fn set_shut(&self, trouble: Option<&str>) {
        note(&self.shut, trouble);
    }

    /// Retained messages are given up, for this reason.
    pub(in crate::mirror) fn set_given_up(&self, reason: Option<&str>) {
        note(&self.given_up, reason);
    }

    pub(in crate::mirror) fn set_modules(&self, fresh: BTreeMap<ModuleName, ModuleStatus>) {
        let mut modules = self.modules.write().unwrap_or_else(PoisonError::into_inner);
        *modules = fresh;
    }
}

fn noted(trouble: &RwLock<Option<Box<str>>>) -> Option<Box<str>> {
    let trouble = trouble.read().unwrap_or_else(PoisonError::into_inner);
    trouble.clone()
}

fn note(place: &RwLock<Option<Box<str>>>, trouble: Option<&str>) {
    let mut place = place.write().unwrap_or_else(PoisonError::into_inner);
    *place = trouble.map(Box::from);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broker_that_takes_changes_and_no_clients_is_in_trouble() {
        let status = TargetStatus::new("local");
        let told = || status.trouble();
        status.set_away("refused");
        status.set_shut(Some("no answer"));
        assert_eq!(told().as_deref(), Some("refused"), "what comes first");
        status.set_connected(true);
        assert_eq!(told().as_deref(), Some("no answer"));
        status.set_shut(None);
        assert_eq!(told(), None);
    }
}
