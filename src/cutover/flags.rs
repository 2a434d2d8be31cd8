//! The flags of all modules in memory, and the answer to "poll or push" for one client.

use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::sync::watch;

use crate::{
    domain::{Cohort, Micros, ModuleMap, ModuleName, Routing, Stage, Transport},
    store::StageRecord,
};

/// What one client of one module is told, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Evaluation {
    /// The stage that engineers asked for.
    pub requested: Stage,
    /// The stage that clients see.
    pub effective: Stage,
    /// How this client is to receive changes.
    pub transport: Transport,
    /// Why: a stable word for programs and people.
    pub reason: &'static str,
}

/// The stored flags, as this replica last saw them. Reading costs no lock and no I/O.
#[derive(Debug)]
pub struct Flags {
    records: ArcSwap<ModuleMap<Arc<StageRecord>>>,
    /// The generation.
    changes: watch::Sender<u64>,
}

impl Flags {
    /// Flags of `modules`, each at `mirror` until [`Flags::adopt`] says otherwise.
    pub fn new(modules: &[ModuleName]) -> Self {
        let records = modules
            .iter()
            .map(|module| (module.clone(), Arc::new(untouched(module))))
            .collect();
        Self {
            records: ArcSwap::from_pointee(records),
            changes: watch::Sender::new(0),
        }
    }

    /// Takes over records from the database. A record never replaces one of a higher version, so
    /// a slow read cannot undo what an act on this replica has put in force. Returns the modules
    /// whose record changed.
    pub fn adopt(&self, records: &[StageRecord]) -> Vec<ModuleName> {
        let mut changed = Vec::new();
        self.records.rcu(|old| {
            changed.clear();
            let mut new = ModuleMap::clone(old);
            for record in records {
                let current = new.get(&record.module).map_or(0, |known| known.version);
                if record.version > current {
                    changed.push(record.module.clone());
                    new.insert(record.module.clone(), Arc::new(record.clone()));
                }
            }
            new
        });
        if !changed.is_empty() {
            self.changes
                .send_modify(|count| *count = count.wrapping_add(1));
        }
        changed
    }

    /// Counts up with whatever may make an evaluation another one, after it has. Answers are kept as long as it stands still.
    pub fn generation(&self) -> u64 {
        *self.changes.borrow()
    }

    /// Wakes who waits for the next [`generation`](Self::generation).
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// A module's record; `None` if no configuration names it.
    pub fn record(&self, module: &ModuleName) -> Option<Arc<StageRecord>> {
        self.records.load().get(module).cloned()
    }

    /// What a client is told. An unknown module is at `mirror`.
    pub fn evaluate(&self, module: &ModuleName, client_id: &str) -> Evaluation {
        let records = self.records.load();
        match records.get(module) {
            Some(record) => evaluate(record, client_id),
            None => evaluate(&untouched(module), client_id),
        }
    }
}

/// What a client is told under a record.
pub fn evaluate(record: &StageRecord, client_id: &str) -> Evaluation {
    let (transport, reason) = match record.stage {
        Stage::Mirror => (Transport::Poll, "stage"),
        Stage::Ramp if record.cohort.contains(&record.module, client_id) => {
            (Transport::Push, "cohort")
        }
        Stage::Ramp => (Transport::Poll, "cohort"),
        Stage::Sunset | Stage::Retired => (Transport::Push, "stage"),
    };
    Evaluation {
        requested: record.stage,
        effective: record.stage,
        transport,
        reason,
    }
}

/// The record of a module that nobody has acted on yet.
fn untouched(module: &ModuleName) -> StageRecord {
    StageRecord {
        module: module.clone(),
        stage: Stage::Mirror,
        cohort: Cohort::default(),
        routing: Routing::default(),
        paused: false,
        version: 0,
        changed_by: String::new(),
        changed_at: Micros::default(),
        reason: String::new(),
    }
}
