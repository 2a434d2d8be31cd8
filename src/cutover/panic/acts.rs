//! Raising a panic and lifting it.
//!
//! Invariants: raising needs no database to be in force here, and says so if it could not be written; lifting needs it, and a
//! database that does not answer lifts nothing. Record and audit entry are one transaction.

use std::sync::Arc;

use tokio::sync::Mutex;

use super::{InForce, Panic, RaisedBy, Scope, Unwritten};
use crate::{
    cutover::{Refused, check_words},
    domain::{Clock, Micros, ModuleName},
    store::{self, PanicAct, PanicRecord, PanicStep, Store},
};

/// An act as it is asked for.
#[derive(Debug, Clone)]
pub struct PanicAsked {
    /// Over which module; absent = over all.
    pub module: Option<ModuleName>,
    /// Who asks.
    pub actor: String,
    /// Why. Mandatory.
    pub reason: String,
    /// Check everything, change nothing.
    pub dry_run: bool,
}

/// What came of an act.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PanicDone {
    /// Whether the database has it. Otherwise it is in force on this replica alone, which goes on trying to write it.
    pub stored: bool,
    /// What was in force on this replica.
    pub before: Vec<InForce>,
    /// What is, or would be.
    pub after: Vec<InForce>,
}

/// Why nothing was done.
#[derive(Debug, thiserror::Error)]
pub enum PanicRefused {
    /// Reason or actor cannot stand in the audit.
    #[error(transparent)]
    Words(Refused),
    /// There is none to lift.
    #[error("no panic is in force over {}", name(.0.as_ref()))]
    NothingToLift(Option<ModuleName>),
    /// The module has none of its own.
    #[error(
        "{0} is under the panic over all modules and has none of its own: lift that one, without a module"
    )]
    OverAll(ModuleName),
    /// A file holds it.
    #[error("what holds {} is the file of `panic.file` on this replica: remove it", name(.0.as_ref()))]
    ByFile(Option<ModuleName>),
    /// The database failed.
    #[error("the panic was not lifted")]
    Store(#[source] store::Error),
}

fn name(scope: Option<&ModuleName>) -> &str {
    scope.map_or("all modules", ModuleName::as_str)
}

/// How often an act is decided, if others act each time.
const TRIES: u32 = 5;

/// Where panics are raised and lifted.
pub struct PanicActs {
    store: Arc<dyn Store>,
    panic: Arc<Panic>,
    clock: Arc<dyn Clock>,
    /// One write of what was raised here at a time: a late one would raise again what somebody has lifted meanwhile.
    turn: Mutex<()>,
}

impl PanicActs {
    /// Acts that are written to `store` and put in force in `panic`.
    pub fn new(store: Arc<dyn Store>, panic: Arc<Panic>, clock: Arc<dyn Clock>) -> Self {
        Self {
            store,
            panic,
            clock,
            turn: Mutex::default(),
        }
    }

    /// What is in force on this replica.
    pub fn in_force(&self) -> Vec<InForce> {
        self.panic.in_force()
    }

    /// Tells clients to poll: here at once, on the other replicas when they read what is written. Raising one that is in
    /// force changes nothing.
    pub async fn raise(&self, asked: PanicAsked) -> Result<PanicDone, PanicRefused> {
        check_words(&asked.actor, &asked.reason).map_err(PanicRefused::Words)?;
        let before = self.panic.in_force();
        let since = self.clock.now();
        if asked.dry_run {
            return Ok(self.would_raise(asked, before, since).await);
        }
        let scope = asked.module.clone();
        if self.panic.is_raised(&scope) {
            tracing::info!(
                over = name(scope.as_ref()),
                actor = asked.actor,
                reason = asked.reason,
                "panic again"
            );
        } else {
            tracing::warn!(
                over = name(scope.as_ref()),
                actor = asked.actor,
                reason = asked.reason,
                "panic: clients are told to poll"
            );
        }
        let (actor, reason) = (asked.actor, asked.reason);
        let unwritten = Unwritten {
            actor,
            reason,
            since,
        };
        self.panic.raise(&scope, unwritten.clone());
        // Another replica may have lifted it a moment ago, so it is not enough that it seems to be in force here.
        let turn = self.turn.lock().await;
        let stored = self.write(&scope, &unwritten).await;
        drop(turn);
        if let Err(error) = &stored {
            tracing::error!(%error, over = name(scope.as_ref()), "the panic is in force on this replica only: it could not be written, and is tried again");
        }
        Ok(PanicDone {
            stored: stored.is_ok(),
            before,
            after: self.panic.in_force(),
        })
    }

    async fn would_raise(
        &self,
        asked: PanicAsked,
        before: Vec<InForce>,
        since: Micros,
    ) -> PanicDone {
        let records = self.store.panics().await;
        let stored = records.is_ok();
        if let Ok(records) = records {
            self.panic.adopt(&records);
        }
        let mut after = self.panic.in_force();
        if !self.panic.is_raised(&asked.module) {
            let by = RaisedBy::act(&asked.actor, &asked.reason, stored);
            let module = asked.module;
            after.push(InForce { module, by, since });
        }
        PanicDone {
            stored,
            before,
            after,
        }
    }

    /// Lifts the panic over a module, or the one over all. Others stay.
    pub async fn lift(&self, asked: PanicAsked) -> Result<PanicDone, PanicRefused> {
        check_words(&asked.actor, &asked.reason).map_err(PanicRefused::Words)?;
        let before = self.panic.in_force();
        if !asked.dry_run {
            // What was raised here has its entry in the audit before that of its end.
            self.write_all().await.map_err(PanicRefused::Store)?;
        }
        for _ in 1..TRIES {
            match self.lift_once(&asked).await {
                Err(PanicRefused::Store(store::Error::VersionConflict { .. })) => {}
                lifted => return lifted.map(|after| done(before, after)),
            }
        }
        let lifted = self.lift_once(&asked).await;
        lifted.map(|after| done(before, after))
    }

    async fn lift_once(&self, asked: &PanicAsked) -> Result<Vec<InForce>, PanicRefused> {
        let records = self.store.panics().await.map_err(PanicRefused::Store)?;
        self.panic.adopt(&records);
        let record = records
            .into_iter()
            .find(|record| record.module == asked.module);
        let Some(record) = record.filter(PanicRecord::is_in_force) else {
            return Err(self.nothing_to_lift(asked.module.clone()));
        };
        if asked.dry_run {
            let mut after = self.panic.in_force();
            after.retain(|one| one.module != asked.module || one.by == RaisedBy::File);
            return Ok(after);
        }
        let act = PanicAct {
            module: asked.module.clone(),
            step: PanicStep::Lift,
            actor: asked.actor.clone(),
            reason: asked.reason.clone(),
            before: Some(record),
        };
        let lifted = self
            .store
            .act_on_panic(&act)
            .await
            .map_err(PanicRefused::Store)?;
        self.panic.adopt(&[lifted]);
        tracing::warn!(
            over = name(asked.module.as_ref()),
            actor = asked.actor,
            reason = asked.reason,
            "the panic is lifted"
        );
        Ok(self.panic.in_force())
    }

    fn nothing_to_lift(&self, module: Option<ModuleName>) -> PanicRefused {
        let over_all = module.is_some() && self.panic.is_raised(&None);
        match module {
            Some(module) if over_all => PanicRefused::OverAll(module),
            module if self.panic.file_since().is_some() => PanicRefused::ByFile(module),
            module => PanicRefused::NothingToLift(module),
        }
    }

    /// Writes what was raised here and is not written yet.
    pub(super) async fn write_all(&self) -> store::Result<()> {
        let _turn = self.turn.lock().await;
        for (scope, unwritten) in self.panic.unwritten() {
            self.write(&scope, &unwritten).await?;
        }
        Ok(())
    }

    async fn write(&self, scope: &Scope, unwritten: &Unwritten) -> store::Result<()> {
        for _ in 1..TRIES {
            match self.try_write(scope, unwritten).await {
                Err(store::Error::VersionConflict { .. }) => {}
                written => return written,
            }
        }
        self.try_write(scope, unwritten).await
    }

    async fn try_write(&self, scope: &Scope, unwritten: &Unwritten) -> store::Result<()> {
        let records = self.store.panics().await?;
        let before = records.into_iter().find(|record| record.module == *scope);
        if let Some(raised) = before.as_ref().filter(|record| record.is_in_force()) {
            self.panic.is_written(raised);
            return Ok(());
        }
        let act = PanicAct {
            module: scope.clone(),
            step: PanicStep::Raise,
            actor: unwritten.actor.clone(),
            reason: unwritten.reason.clone(),
            before,
        };
        let written = self.store.act_on_panic(&act).await?;
        self.panic.is_written(&written);
        Ok(())
    }
}

const fn done(before: Vec<InForce>, after: Vec<InForce>) -> PanicDone {
    PanicDone {
        stored: true,
        before,
        after,
    }
}
