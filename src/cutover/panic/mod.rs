//! Panic: everybody, or one module's clients, are told to poll, because somebody said so or because a file is there.
//!
//! Invariants: what is raised here is in force here before it is written, and stays so until the database says that it was lifted;
//! a record never replaces one of a higher version; a file holds its own replica, and only its removal lifts it. No client ever
//! waits for what stands here: the flags hold what follows from it.

mod acts;
mod file;
mod reader;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use metrics::gauge;

pub use acts::{PanicActs, PanicAsked, PanicDone, PanicRefused};
pub use file::{PanicFile, missing_folder};
pub use reader::PanicReader;

use super::{Cause, Ceiling, Flags, Hold};
use crate::{
    domain::{Micros, ModuleName},
    store::PanicRecord,
    telemetry::metric,
};

/// Over what: one module, or all.
type Scope = Option<ModuleName>;

/// What a file adds to the number of turns: more than acts ever will, and far below 2^53.
const FILE_TURNS: i64 = 1 << 40;

/// A panic that is in force on this replica.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InForce {
    /// Over which module; absent = over all.
    pub module: Option<ModuleName>,
    /// What holds it.
    pub by: RaisedBy,
    /// Since when.
    pub since: Micros,
}

/// What holds a panic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RaisedBy {
    /// An act.
    Act {
        /// Whose.
        actor: String,
        /// Why.
        reason: String,
        /// Whether the database has it: otherwise other replicas and a restart do not know of it.
        stored: bool,
    },
    /// The file of this replica.
    File,
}

/// What was raised here and is not written yet.
#[derive(Debug, Clone)]
struct Unwritten {
    actor: String,
    reason: String,
    since: Micros,
}

/// All that this replica knows of panics.
#[derive(Debug)]
pub struct Panic {
    flags: Arc<Flags>,
    modules: Vec<ModuleName>,
    return_over: Duration,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    records: BTreeMap<Scope, PanicRecord>,
    unwritten: BTreeMap<Scope, Unwritten>,
    /// Since when the file is there.
    file: Option<Micros>,
}

impl Panic {
    /// No panic over any of `modules`, as far as is known.
    pub fn new(flags: Arc<Flags>, modules: &[ModuleName], return_over: Duration) -> Self {
        let panic = Self {
            flags,
            modules: modules.to_vec(),
            return_over,
            known: Mutex::default(),
        };
        panic.put_in_force(&panic.known());
        panic
    }

    /// What is in force here, over all first.
    pub fn in_force(&self) -> Vec<InForce> {
        self.known().in_force()
    }

    /// Whether one is in force over this, and not over all where that is another, nor by a file.
    fn is_raised(&self, scope: &Scope) -> bool {
        self.known().is_raised(scope)
    }

    /// Takes over records from the database.
    fn adopt(&self, records: &[PanicRecord]) {
        let mut known = self.known();
        let mut changed = false;
        for record in records {
            let current = known.records.get(&record.module);
            if current.is_none_or(|current| current.version < record.version) {
                changed = true;
                known.records.insert(record.module.clone(), record.clone());
            }
        }
        if changed {
            self.put_in_force(&known);
        }
    }

    /// In force here from now on, whatever becomes of it.
    fn raise(&self, scope: &Scope, unwritten: Unwritten) {
        let mut known = self.known();
        if !known.is_raised(scope) {
            known.unwritten.insert(scope.clone(), unwritten);
            self.put_in_force(&known);
        }
    }

    /// The database has it, as one of the records says.
    fn is_written(&self, record: &PanicRecord) {
        let mut known = self.known();
        known.unwritten.remove(&record.module);
        let current = known.records.get(&record.module);
        if current.is_none_or(|current| current.version < record.version) {
            known.records.insert(record.module.clone(), record.clone());
        }
        self.put_in_force(&known);
    }

    fn unwritten(&self) -> Vec<(Scope, Unwritten)> {
        let known = self.known();
        let all = known.unwritten.iter();
        all.map(|(scope, unwritten)| (scope.clone(), unwritten.clone()))
            .collect()
    }

    fn file_since(&self) -> Option<Micros> {
        self.known().file
    }

    fn set_file(&self, since: Option<Micros>) {
        let mut known = self.known();
        known.file = since;
        self.put_in_force(&known);
    }

    /// The lock is held meanwhile, so that what is put in force last was known last.
    fn put_in_force(&self, known: &Known) {
        self.flags
            .hold(|module| known.hold(module, self.return_over));
        for module in &self.modules {
            let held = known.since(module).is_some();
            gauge!(metric::PANIC, "module" => module.to_string()).set(f64::from(u8::from(held)));
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        // Between two statements what is known is whole, so a panic elsewhere spoils nothing.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn is_raised(&self, scope: &Scope) -> bool {
        let written = self.records.get(scope);
        written.is_some_and(PanicRecord::is_in_force) || self.unwritten.contains_key(scope)
    }

    fn in_force(&self) -> Vec<InForce> {
        let file = self.file.map(|since| InForce {
            module: None,
            by: RaisedBy::File,
            since,
        });
        let unwritten = self.unwritten.iter().map(|(scope, raised)| InForce {
            module: scope.clone(),
            by: RaisedBy::act(&raised.actor, &raised.reason, false),
            since: raised.since,
        });
        let records = self.records.values();
        let records = records.filter(|record| record.is_in_force());
        let written = records.map(|record| InForce {
            module: record.module.clone(),
            by: RaisedBy::act(&record.actor, &record.reason, true),
            since: record.since,
        });
        let mut all: Vec<_> = file.into_iter().chain(written).chain(unwritten).collect();
        all.sort_by(|a, b| a.module.cmp(&b.module));
        all
    }

    fn hold(&self, module: &ModuleName, return_over: Duration) -> Hold {
        let ceiling = self.since(module).map(|since| Ceiling {
            cause: Cause::Panic,
            since,
            return_over,
        });
        let turns = over(module).map(|scope| self.turns(&scope)).sum::<i64>();
        Hold {
            ceiling,
            turns: turns + self.file.map_or(0, |_| FILE_TURNS),
        }
    }

    /// Since when the clients of a module are told to poll.
    fn since(&self, module: &ModuleName) -> Option<Micros> {
        let of = |scope: Scope| {
            let record = self.records.get(&scope);
            let written = record.filter(|record| record.is_in_force());
            let unwritten = self.unwritten.get(&scope);
            [written.map(|one| one.since), unwritten.map(|one| one.since)]
        };
        let acts = over(module).flat_map(of).flatten();
        acts.chain(self.file).min()
    }

    /// One that is not written counts as what it will be.
    fn turns(&self, scope: &Scope) -> i64 {
        let version = self.records.get(scope).map_or(0, |record| record.version);
        version + i64::from(self.unwritten.contains_key(scope))
    }
}

fn over(module: &ModuleName) -> impl Iterator<Item = Scope> {
    [None, Some(module.clone())].into_iter()
}

impl RaisedBy {
    fn act(actor: &str, reason: &str, stored: bool) -> Self {
        Self::Act {
            actor: actor.to_owned(),
            reason: reason.to_owned(),
            stored,
        }
    }
}
