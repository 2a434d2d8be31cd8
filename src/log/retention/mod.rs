//! Retention: what leaves a module's log, and when.
//!
//! A background task of the lease holder. Invariants: `retained_from` moves first, under the lease, and
//! rows go after, a bounded batch at a time; the newest row stays; a change that a configured target has
//! not acknowledged stays until it is `retention.force_after` old, and if it goes then that is logged and
//! counted; compaction never passes the slowest target and takes only what a later change of its key has
//! replaced; a tombstone goes only from below `retained_from`, so whoever may have missed it is told that its
//! cursor is too old. An activation that is cut short anywhere is finished by the next one.

mod act;
mod awaited;
mod decision;
mod outlook;
mod pass;
mod tombstones;
mod work;

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use tokio::{sync::Mutex, time::sleep};
use tokio_util::sync::CancellationToken;

pub use self::{
    act::{Compacted, NotDone},
    awaited::Awaited,
    outlook::{HeldBack, Outlook},
};
use self::{
    decision::{Decision, TargetState, decide, wanted},
    work::Work,
};
use super::Leadership;
use crate::{
    config::{self, modules::Module},
    domain::{ModuleName, Position},
    store::{self, Head, Lease, Store, TargetPosition},
    telemetry::{Purpose, metric},
};

/// What one module's log keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// Changes younger than this.
    pub age: Option<Duration>,
    /// So many of the newest positions.
    pub changes: Option<u64>,
    /// Only the newest change of each key.
    pub last_value: bool,
    /// Whether there is a state whose tombstones grow old.
    pub state: bool,
}

impl From<&Module> for Policy {
    fn from(module: &Module) -> Self {
        let kept = module.kept();
        Self {
            age: kept.age.map(config::span::Span::get),
            changes: kept.changes,
            last_value: module.last_value,
            state: module.state,
        }
    }
}

/// The keeper of all modules' bounds. See the module's documentation.
pub struct Retention {
    store: Arc<dyn Store>,
    leadership: Arc<Leadership>,
    settings: config::retention::Retention,
    policies: BTreeMap<ModuleName, Policy>,
    targets: Vec<Awaited>,
    work: Mutex<HashMap<ModuleName, Work>>,
}

/// What an activation knows of all modules.
struct Survey {
    heads: HashMap<ModuleName, Head>,
    positions: Vec<TargetPosition>,
    /// Targets that nothing is kept for.
    retired: HashSet<String>,
}

impl Retention {
    /// A keeper of these modules, which waits for these targets.
    pub fn new(
        store: Arc<dyn Store>,
        leadership: Arc<Leadership>,
        settings: &config::retention::Retention,
        policies: BTreeMap<ModuleName, Policy>,
        targets: Vec<Awaited>,
    ) -> Self {
        Self {
            store,
            leadership,
            settings: settings.clone(),
            policies,
            targets,
            work: Mutex::default(),
        }
    }

    /// Prunes and compacts until told to stop.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        let tick = Duration::from_millis(self.settings.tick_ms);
        let mut failing = false;
        while !stop.is_cancelled() {
            let outcome = tokio::select! {
                () = stop.cancelled() => return,
                outcome = self.activate() => outcome,
            };
            match &outcome {
                Err(error) if !failing => {
                    tracing::warn!(error = ?error, "retention is tried again");
                }
                Ok(()) if failing => tracing::info!("retention goes on"),
                _ => {}
            }
            failing = outcome.is_err();
            tokio::select! {
                () = stop.cancelled() => {}
                () = sleep(tick) => {}
            }
        }
    }

    /// One activation: decides for each module of this replica, then works in batches until nothing is left.
    async fn activate(&self) -> store::Result<()> {
        let held = self.held();
        self.forget_others(&held).await;
        if held.is_empty() {
            return Ok(());
        }
        let survey = self.survey().await?;
        let mut failed = None;
        for lease in &held {
            let begun = self.begin(lease, &survey, None).await;
            failed = failed.or(begun.err());
        }
        while self.step_all(&held, &mut failed).await {
            sleep(self.pause()).await;
        }
        failed.map_or(Ok(()), Err)
    }

    /// A batch of each module. Returns whether there is more to do; a module that failed rests.
    async fn step_all(&self, held: &[Lease], failed: &mut Option<store::Error>) -> bool {
        let mut more = false;
        for lease in held {
            match self.step(lease).await {
                Ok(unfinished) => more |= unfinished,
                Err(error) => *failed = failed.take().or(Some(error)),
            }
        }
        more
    }

    fn held(&self) -> Vec<Lease> {
        let modules = self.policies.keys();
        modules
            .filter_map(|module| self.leadership.lease(module))
            .collect()
    }

    /// Another replica keeps these modules now: it begins with what is stored, and so will this one.
    async fn forget_others(&self, held: &[Lease]) {
        self.work.lock().await.retain(|module, work| {
            let ours = held
                .iter()
                .any(|lease| lease.module == *module && lease.token == work.token);
            if !ours {
                oldest_gauge(module).set(0.0);
            }
            ours
        });
    }

    async fn survey(&self) -> store::Result<Survey> {
        // Cursors first: a head that is younger than they are holds back no less.
        let positions = self.store.target_positions().await?;
        let retired = awaited::retired(self.store.target_records().await?);
        let heads = self.store.heads(Purpose::Retention).await?;
        Ok(Survey {
            heads: heads
                .into_iter()
                .map(|head| (head.module.clone(), head))
                .collect(),
            positions,
            retired,
        })
    }

    /// What may go of a module.
    async fn decide(
        &self,
        module: &ModuleName,
        survey: &Survey,
    ) -> store::Result<Option<Decision>> {
        let (Some(policy), Some(head)) = (self.policies.get(module), survey.heads.get(module))
        else {
            return Ok(None);
        };
        let before = head.retained_from.before();
        let oldest = self.store.first_above(module, before).await?;
        let oldest = oldest.map_or(Duration::ZERO, |oldest| oldest.age);
        let aged = match policy.age {
            Some(age) => self.older_than(module, age, oldest).await?,
            None => None,
        };
        let wanted = wanted(head, *policy, aged);
        let targets = self.target_states(module, survey);
        let expired = if targets.iter().any(|target| target.position() < wanted) {
            let force_after = self.settings.force_after.get();
            self.older_than(module, force_after, oldest).await?
        } else {
            None
        };
        let decision = decide(head, *policy, wanted, &targets, expired);
        Ok(Some(Decision { oldest, ..decision }))
    }

    /// The last position that is older than `age`. Not asked for in vain: a database that finds none walks
    /// over all that was deleted and not cleaned up yet.
    async fn older_than(
        &self,
        module: &ModuleName,
        age: Duration,
        oldest: Duration,
    ) -> store::Result<Option<Position>> {
        if oldest < age {
            return Ok(None);
        }
        self.store.last_older_than(module, age).await
    }

    /// The targets that get the module, as far as the database knows.
    fn target_states(&self, module: &ModuleName, survey: &Survey) -> Vec<TargetState> {
        let state = |target: &Awaited| {
            let name = &target.name;
            let of_target = |row: &&TargetPosition| row.target == *name && row.module == *module;
            let row = survey.positions.iter().find(of_target);
            TargetState {
                name: name.clone(),
                acknowledged: row.map(|row| row.position),
            }
        };
        let waits =
            |target: &&Awaited| target.takes(module) && !survey.retired.contains(&target.name);
        self.targets.iter().filter(waits).map(state).collect()
    }

    const fn pause(&self) -> Duration {
        Duration::from_millis(self.settings.pause_ms)
    }
}

fn oldest_gauge(module: &ModuleName) -> metrics::Gauge {
    metrics::gauge!(metric::OLDEST_RETAINED_SECONDS, "module" => module.to_string())
}

/// Counts rows that are gone.
fn count_rows(module: &ModuleName, what: &'static str, rows: u64) {
    metrics::counter!(metric::RETENTION_ROWS, "module" => module.to_string(), "what" => what)
        .increment(rows);
}

/// The positions above `from`, up to `to`.
const fn span(from: Position, to: Position) -> u64 {
    to.get().saturating_sub(from.get())
}
