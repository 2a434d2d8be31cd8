//! Acts on targets: pausing, resuming, retiring them, and sending changes again.
//!
//! Invariant: an act is in force on this replica before its answer, and on the others within a second; a dry run
//! runs every check of the real act.

use std::{collections::BTreeMap, sync::Arc};

use super::Standings;
use crate::{
    cutover::{self, Flags, Routes, check_words},
    domain::{ModuleName, Stage},
    store::{self, StageRecord, Store, TargetAct, TargetActed, TargetBlocked, TargetStep},
};

/// An act as it is asked for.
#[derive(Debug, Clone)]
pub struct TargetAsked {
    /// On which target.
    pub target: String,
    /// What.
    pub step: TargetStep,
    /// Who asks.
    pub actor: String,
    /// Why. Mandatory.
    pub reason: String,
    /// Check everything, change nothing.
    pub dry_run: bool,
}

/// Why an act was not done.
#[derive(Debug, thiserror::Error)]
pub enum TargetRefused {
    /// No configuration names the target.
    #[error("no target of this name is configured")]
    UnknownTarget,
    /// The target does not get the module.
    #[error("the target does not get module {0}: see mqtt.targets.modules")]
    NotItsModule(ModuleName),
    /// Clients would sit at a broker that gets nothing any more.
    #[error("clients of {} are told to connect there: route them to another target first", list(.0))]
    HasClients(Vec<ModuleName>),
    /// Clients would have nowhere to go, and the polls may be gone.
    #[error(
        "it is the last target that is fed of {}, whose clients are told to push: route them to another one first, or roll back to mirror",
        list(.0)
    )]
    LastTarget(Vec<ModuleName>),
    /// Reason or actor may not stand in the audit.
    #[error(transparent)]
    Words(cutover::Refused),
    /// The target, or a log, does not allow it.
    #[error(transparent)]
    Blocked(TargetBlocked),
    /// The database failed.
    #[error("the act could not be written")]
    Store(#[source] store::Error),
}

/// How often an act is decided, if clients are routed each time.
const TRIES: u32 = 3;

/// Where acts on targets are done.
pub struct TargetActs {
    store: Arc<dyn Store>,
    standings: Arc<Standings>,
    flags: Arc<Flags>,
    routes: Arc<Routes>,
    /// The configured targets, with the modules that they get.
    targets: BTreeMap<String, Vec<ModuleName>>,
}

impl TargetActs {
    /// Acts that are written to `store` and put in force in `standings`.
    pub fn new(
        store: Arc<dyn Store>,
        standings: Arc<Standings>,
        (flags, routes): (Arc<Flags>, Arc<Routes>),
        targets: BTreeMap<String, Vec<ModuleName>>,
    ) -> Self {
        Self {
            store,
            standings,
            flags,
            routes,
            targets,
        }
    }

    /// Does an act and puts it in force, unless it is a dry run. If clients are routed meanwhile, it is decided anew.
    pub async fn act(&self, asked: TargetAsked) -> Result<TargetActed, TargetRefused> {
        check_words(&asked.actor, &asked.reason).map_err(TargetRefused::Words)?;
        for _ in 1..TRIES {
            match self.decide_and_write(&asked).await {
                Err(TargetRefused::Blocked(TargetBlocked::FlagsChanged { .. })) => {}
                done => return done,
            }
        }
        self.decide_and_write(&asked).await
    }

    async fn decide_and_write(&self, asked: &TargetAsked) -> Result<TargetActed, TargetRefused> {
        let modules = self.targets.get(&asked.target);
        let modules = modules.ok_or(TargetRefused::UnknownTarget)?;
        let step = &asked.step;
        if let Some(module) = step.module().filter(|module| !modules.contains(module)) {
            return Err(TargetRefused::NotItsModule(module.clone()));
        }
        let seen = if *step == TargetStep::Retire {
            self.check_routes(&asked.target).await?
        } else {
            Vec::new()
        };
        let act = TargetAct {
            target: asked.target.clone(),
            step: asked.step.clone(),
            modules: modules.clone(),
            seen,
            actor: asked.actor.clone(),
            reason: asked.reason.clone(),
            dry_run: asked.dry_run,
        };
        let acted = self.store.act_on_target(&act).await;
        let acted = acted.map_err(TargetRefused::Store)?;
        let acted = acted.map_err(TargetRefused::Blocked)?;
        if !act.dry_run {
            self.put_in_force(&act, &acted);
        }
        Ok(acted)
    }

    fn put_in_force(&self, act: &TargetAct, acted: &TargetActed) {
        let after = &acted.after.record;
        self.standings.adopt(std::slice::from_ref(after));
        tracing::info!(
            broker = after.target,
            action = act.step.action(),
            module = act.step.module().map(ModuleName::as_str),
            standing = %after.standing,
            actor = after.changed_by,
            reason = after.reason,
            "the target was acted on"
        );
    }

    /// Whether nobody is told the target. Returns the versions of the flags that say so.
    async fn check_routes(&self, target: &str) -> Result<Vec<(ModuleName, i64)>, TargetRefused> {
        // Another replica may have routed them, or acted on another target, a moment ago.
        let read = self.store.read_stages().await;
        let read = read.map_err(TargetRefused::Store)?;
        self.flags.adopt(&read.records);
        // Whom its module tells what is not known then.
        if let Some(unreadable) = read.unreadable.into_iter().next() {
            return Err(TargetRefused::Store(unreadable.error));
        }
        let records = self.store.target_records().await;
        self.standings
            .adopt(&records.map_err(TargetRefused::Store)?);
        let modules = self.targets.get(target).into_iter().flatten();
        let records = modules.filter_map(|module| self.flags.record(module));
        let records: Vec<_> = records.collect();
        let is_fed = |target: &str| self.standings.is_fed(target);
        let leads = |record: &StageRecord| {
            self.routes
                .leads_to(&record.module, &record.routing, target, is_fed)
        };
        // Who polls anyway loses nothing with the last one.
        let strands = |record: &StageRecord| {
            record.stage > Stage::Mirror && self.routes.is_last(&record.module, target, is_fed)
        };
        let those = |concerned: &dyn Fn(&StageRecord) -> bool| {
            let concerned = records.iter().filter(|record| concerned(record));
            let modules = concerned.map(|record| record.module.clone());
            Some(modules.collect::<Vec<_>>()).filter(|modules| !modules.is_empty())
        };
        if let Some(told) = those(&leads) {
            return Err(TargetRefused::HasClients(told));
        }
        if let Some(stranded) = those(&strands) {
            return Err(TargetRefused::LastTarget(stranded));
        }
        let seen = |record: &Arc<StageRecord>| (record.module.clone(), record.version);
        Ok(records.iter().map(seen).collect())
    }
}

fn list(modules: &[ModuleName]) -> String {
    let names: Vec<_> = modules.iter().map(ModuleName::as_str).collect();
    names.join(", ")
}
