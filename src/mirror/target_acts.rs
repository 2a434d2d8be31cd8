//! Acts on targets: pausing, resuming, retiring them, and sending changes again.
//!
//! Invariant: an act is in force on this replica before its answer, and on the others within a second; a dry run
//! runs every check of the real act.

use std::{collections::BTreeMap, sync::Arc};

use super::Standings;
use crate::{
    cutover::{self, check_words},
    domain::ModuleName,
    store::{self, Store, TargetAct, TargetActed, TargetBlocked, TargetStep},
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

/// Where acts on targets are done.
pub struct TargetActs {
    store: Arc<dyn Store>,
    standings: Arc<Standings>,
    /// The configured targets, with the modules that they get.
    targets: BTreeMap<String, Vec<ModuleName>>,
}

impl TargetActs {
    /// Acts that are written to `store` and put in force in `standings`.
    pub const fn new(
        store: Arc<dyn Store>,
        standings: Arc<Standings>,
        targets: BTreeMap<String, Vec<ModuleName>>,
    ) -> Self {
        Self {
            store,
            standings,
            targets,
        }
    }

    /// Does an act and puts it in force, unless it is a dry run.
    pub async fn act(&self, asked: TargetAsked) -> Result<TargetActed, TargetRefused> {
        let modules = self.targets.get(&asked.target);
        let modules = modules.ok_or(TargetRefused::UnknownTarget)?;
        check_words(&asked.actor, &asked.reason).map_err(TargetRefused::Words)?;
        if let Some(module) = asked
            .step
            .module()
            .filter(|module| !modules.contains(module))
        {
            return Err(TargetRefused::NotItsModule(module.clone()));
        }
        let act = TargetAct {
            target: asked.target,
            step: asked.step,
            modules: modules.clone(),
            actor: asked.actor,
            reason: asked.reason,
            dry_run: asked.dry_run,
        };
        let acted = self.store.act_on_target(&act).await;
        let acted = acted.map_err(TargetRefused::Store)?;
        let acted = acted.map_err(TargetRefused::Blocked)?;
        if !act.dry_run {
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
        Ok(acted)
    }
}
