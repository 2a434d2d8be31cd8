//! The flags of all modules in memory, and the answer to "poll or push" for one client.

use std::{sync::Arc, time::Instant};

use arc_swap::{ArcSwap, ArcSwapOption};
use tokio::sync::watch;

use super::{Hold, Return};
use crate::{
    domain::{
        Choice, Client, Cohort, End, Micros, ModuleMap, ModuleName, Routing, Stage, Transport,
    },
    store::{Entered, StageRecord},
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
    /// When it is to come, if it would be on push and is sent back to polling.
    pub returns: Option<Return>,
}

/// The stored flags, as this replica last saw them, and what holds them down. Reading costs no lock and no I/O.
#[derive(Debug)]
pub struct Flags {
    /// Both of a module in one place: an evaluation looks once.
    known: ArcSwap<ModuleMap<Known>>,
    /// The generation.
    changes: watch::Sender<u64>,
    confirmed: ArcSwapOption<Instant>,
}

#[derive(Debug, Clone)]
struct Known {
    record: Arc<StageRecord>,
    hold: Hold,
}

impl Flags {
    /// Flags of `modules`, each at `mirror` until [`Flags::adopt`] says otherwise.
    pub fn new(modules: &[ModuleName]) -> Self {
        let known = modules
            .iter()
            .map(|module| (module.clone(), Known::new(untouched(module))))
            .collect();
        Self {
            known: ArcSwap::from_pointee(known),
            changes: watch::Sender::new(0),
            confirmed: ArcSwapOption::empty(),
        }
    }

    /// Takes over records from the database. A record never replaces one of a higher version, so
    /// a slow read cannot undo what an act on this replica has put in force. Returns the modules
    /// whose record changed.
    pub fn adopt(&self, records: &[StageRecord]) -> Vec<ModuleName> {
        let mut changed = Vec::new();
        self.known.rcu(|old| {
            changed.clear();
            let mut new = ModuleMap::clone(old);
            for record in records {
                let known = new
                    .entry(record.module.clone())
                    .or_insert_with(|| Known::new(untouched(&record.module)));
                if record.version > known.record.version {
                    changed.push(record.module.clone());
                    known.record = Arc::new(record.clone());
                }
            }
            new
        });
        if !changed.is_empty() {
            self.have_changed();
        }
        changed
    }

    /// Notes that the database has said all this when it was asked.
    pub(super) fn confirm(&self, asked: Instant) {
        self.confirmed.store(Some(Arc::new(asked)));
    }

    /// When the database last said all this; `None` if it has not yet.
    pub fn confirmed_at(&self) -> Option<Instant> {
        self.confirmed.load().as_deref().copied()
    }

    /// Counts up with whatever may make an evaluation another one, after it has. Answers are kept as long as it stands still.
    pub fn generation(&self) -> u64 {
        *self.changes.borrow()
    }

    /// Wakes who waits for the next [`generation`](Self::generation).
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Something that an evaluation goes by is another one.
    pub(super) fn have_changed(&self) {
        self.changes
            .send_modify(|count| *count = count.wrapping_add(1));
    }

    /// Takes over what holds each configured module down.
    pub(super) fn hold(&self, of: impl Fn(&ModuleName) -> Hold) {
        let mut changed = false;
        self.known.rcu(|old| {
            changed = false;
            let mut new = ModuleMap::clone(old);
            for (module, known) in &mut new {
                let hold = of(module);
                changed |= std::mem::replace(&mut known.hold, hold) != hold;
            }
            new
        });
        if changed {
            self.have_changed();
        }
    }

    /// A module's record; `None` if no configuration names it.
    pub fn record(&self, module: &ModuleName) -> Option<Arc<StageRecord>> {
        let known = self.known.load();
        known.get(module).map(|known| Arc::clone(&known.record))
    }

    /// What clients know the module's flags by: another number after each act on it, and each time that its ceiling comes or
    /// goes. The version for `If-Match` is the record's.
    pub fn told_version(&self, module: &ModuleName) -> i64 {
        let known = self.known.load();
        let told = |known: &Known| known.record.version + known.hold.turns;
        known.get(module).map_or(0, told)
    }

    /// What a client is told. An unknown module is at `mirror`.
    pub fn evaluate(&self, module: &ModuleName, client: &Client<'_>) -> Evaluation {
        let known = self.known.load();
        match known.get(module) {
            Some(known) => {
                let asked_for = evaluate(&known.record, client);
                known.hold.limit(asked_for, module, client.id)
            }
            None => evaluate(&untouched(module), client),
        }
    }

    /// What clients in general are told if a module's record is this one.
    pub fn evaluate_record(&self, record: &StageRecord) -> Evaluation {
        let client = Client::default();
        let asked_for = evaluate(record, &client);
        let known = self.known.load();
        known.get(&record.module).map_or(asked_for, |known| {
            known.hold.limit(asked_for, &record.module, client.id)
        })
    }
}

impl Known {
    fn new(record: StageRecord) -> Self {
        Self {
            record: Arc::new(record),
            hold: Hold::default(),
        }
    }
}

/// What a client is told under a record, if nothing holds it down.
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
        returns: None,
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
pub(super) fn untouched(module: &ModuleName) -> StageRecord {
    StageRecord {
        module: module.clone(),
        stage: Stage::Mirror,
        cohort: Cohort::default(),
        routing: Routing::default(),
        ending: End::default(),
        paused: false,
        version: 0,
        changed_by: String::new(),
        changed_at: Micros::default(),
        reason: String::new(),
        entered: Entered::default(),
    }
}
