//! The flags of all modules in memory, and the answer to "poll or push" for one client.

use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::{
    domain::{Choice, Client, Cohort, Micros, ModuleMap, ModuleName, Routing, Stage, Transport},
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
        changed
    }

    /// A module's record; `None` if no configuration names it.
    pub fn record(&self, module: &ModuleName) -> Option<Arc<StageRecord>> {
        self.records.load().get(module).cloned()
    }

    /// What a client is told. An unknown module is at `mirror`.
    pub fn evaluate(&self, module: &ModuleName, client: &Client<'_>) -> Evaluation {
        let records = self.records.load();
        match records.get(module) {
            Some(record) => evaluate(record, client),
            None => evaluate(&untouched(module), client),
        }
    }
}

/// What a client is told under a record.
pub fn evaluate(record: &StageRecord, client: &Client<'_>) -> Evaluation {
    let effective = record.stage.max(Stage::Mirror);
    let (transport, reason) = match record.stage {
        // Nobody but the gateway can answer, so it does.
        Stage::Proxy | Stage::Shadow => (Transport::Poll, "no-upstream"),
        Stage::Mirror => (Transport::Poll, "stage"),
        Stage::Ramp => chosen(record.cohort.choose(&record.module, client)),
        Stage::Sunset | Stage::Retired => (Transport::Push, "stage"),
    };
    Evaluation {
        requested: record.stage,
        effective,
        transport,
        reason,
    }
}

const fn chosen(choice: Choice) -> (Transport, &'static str) {
    let transport = if choice.is_in() {
        Transport::Push
    } else {
        Transport::Poll
    };
    let reason = match choice {
        Choice::Excluded => "excluded",
        Choice::Included => "included",
        Choice::Within | Choice::Beyond => "cohort",
    };
    (transport, reason)
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
