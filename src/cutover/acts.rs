//! Acts: a step of the ladder, decided, written and put in force.
//!
//! Invariant: an act is in force on this replica before its answer; the record and its audit
//! entry are one transaction; a dry run runs every check of the real act.

use std::sync::Arc;

use super::{Blocked, Flags, Ladder, NoRoute, Preview, Roll, Route, Routes, Step};
use crate::{
    domain::ModuleName,
    store::{self, Act, SeenTarget, StageRecord, Store},
};

/// An act as it is asked for.
#[derive(Debug, Clone)]
pub struct Asked {
    /// On which module.
    pub module: ModuleName,
    /// What.
    pub change: Move,
    /// Who asks.
    pub actor: String,
    /// Why. Mandatory.
    pub reason: String,
    /// The version that the asker has seen; absent = whatever is stored.
    pub if_version: Option<i64>,
    /// Check everything, change nothing.
    pub dry_run: bool,
}

/// What is done to a module's flags.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Move {
    /// A step of the ladder.
    Step(Step),
    /// Which target clients are told.
    Route(Route),
}

impl Move {
    /// The word in the audit.
    const fn action(&self) -> &'static str {
        match self {
            Self::Step(step) => step.action(),
            Self::Route(_) => "route",
        }
    }
}

/// The records before and after an act.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Done {
    /// As it was.
    pub before: StageRecord,
    /// As it is, or would be.
    pub after: StageRecord,
    /// Of a dry run: whom it would move.
    pub preview: Option<Preview>,
}

/// Why an act was not done.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// No configuration names the module.
    #[error("there is no module {0}")]
    UnknownModule(ModuleName),
    /// Without a reason the audit would not help anybody.
    #[error("a reason is needed: it is what the audit shows later")]
    NoReason,
    /// The reason or the actor is too long to be kept.
    #[error("`{field}` has {bytes} bytes, at most {most} are kept")]
    TooLong {
        /// Which one.
        field: &'static str,
        /// Its size.
        bytes: usize,
        /// The bound.
        most: usize,
    },
    /// The reason or the actor holds control characters.
    #[error("`{field}` must be one line of text, without control characters")]
    NotPlain {
        /// Which one.
        field: &'static str,
    },
    /// The ladder does not allow it from here.
    #[error(transparent)]
    Blocked(#[from] Blocked),
    /// The clients cannot be told that target.
    #[error(transparent)]
    NoRoute(#[from] NoRoute),
    /// Somebody else acted in between.
    #[error("the module's flags are at version {current}, not {expected}: look again, then repeat")]
    VersionConflict {
        /// The version that the asker had seen.
        expected: i64,
        /// The version that is stored.
        current: i64,
    },
    /// The database failed.
    #[error("the act could not be written")]
    Store(#[source] store::Error),
}

/// Most bytes of a reason and of an actor's name.
const REASON_BYTES: usize = 1_024;
const ACTOR_BYTES: usize = 128;
/// How often an act is decided, if its target is acted on each time.
const TRIES: u32 = 3;

/// No configuration names an upstream yet.
const LADDER: Ladder = Ladder::WITHOUT_UPSTREAM;

/// Where acts are done.
pub struct Acts {
    store: Arc<dyn Store>,
    flags: Arc<Flags>,
    routes: Arc<Routes>,
    roll: Arc<Roll>,
}

impl Acts {
    /// Acts that are written to `store` and put in force in `flags`; dry runs tell of the clients on the `roll`.
    pub const fn new(
        store: Arc<dyn Store>,
        flags: Arc<Flags>,
        routes: Arc<Routes>,
        roll: Arc<Roll>,
    ) -> Self {
        Self {
            store,
            flags,
            routes,
            roll,
        }
    }

    /// Decides and, unless it is a dry run, writes an act and puts it in force. If its target is acted on meanwhile, it is
    /// decided anew.
    pub async fn act(&self, asked: Asked) -> Result<Done, Refused> {
        check_words(&asked.actor, &asked.reason)?;
        for _ in 1..TRIES {
            match self.decide_and_write(&asked).await {
                Err(Refused::Store(store::Error::TargetChanged { .. })) => {}
                done => return done,
            }
        }
        self.decide_and_write(&asked).await
    }

    async fn decide_and_write(&self, asked: &Asked) -> Result<Done, Refused> {
        self.bring_up_to_date().await?;
        let before = self
            .flags
            .record(&asked.module)
            .ok_or_else(|| Refused::UnknownModule(asked.module.clone()))?;
        check_version(&before, asked.if_version)?;
        let (mut after, seen) = match &asked.change {
            Move::Step(step) => (step.apply(&before, LADDER)?, None),
            Move::Route(route) => self.route(&before, route).await?,
        };
        after.changed_by.clone_from(&asked.actor);
        after.reason.clone_from(&asked.reason);
        let before = StageRecord::clone(&before);
        if asked.dry_run {
            let preview = Some(Preview::of(&self.roll, &before, &after));
            return Ok(Done {
                before,
                after,
                preview,
            });
        }
        let act = Act {
            after,
            expected_version: before.version,
            seen,
            action: asked.change.action().to_owned(),
            before: serde_json::to_value(&before).unwrap_or_default(),
        };
        let after = self.write(&act).await?;
        self.flags.adopt(std::slice::from_ref(&after));
        tracing::info!(
            module = %after.module,
            action = act.action,
            before = %before.stage,
            after = %after.stage,
            percent = %after.cohort.basis_points,
            included = after.cohort.include.len(),
            excluded = after.cohort.exclude.len(),
            routing = %after.routing,
            actor = after.changed_by,
            reason = after.reason,
            "the module's flags changed"
        );
        Ok(Done {
            before,
            after,
            preview: None,
        })
    }

    async fn route(
        &self,
        before: &StageRecord,
        route: &Route,
    ) -> Result<(StageRecord, Option<SeenTarget>), Refused> {
        let records = self.store.target_records().await.map_err(Refused::Store)?;
        let routed = self
            .routes
            .step(&before.module, &before.routing, route, &records);
        let after = StageRecord {
            routing: routed?,
            ..before.clone()
        };
        let record = records.iter().find(|record| record.target == route.target);
        let seen = SeenTarget {
            target: route.target.clone(),
            version: record.map_or(0, |record| record.version),
        };
        Ok((after, Some(seen)))
    }

    /// Another replica may have acted a moment ago.
    async fn bring_up_to_date(&self) -> Result<(), Refused> {
        let records = self.store.stages().await.map_err(Refused::Store)?;
        self.flags.adopt(&records);
        Ok(())
    }

    async fn write(&self, act: &Act) -> Result<StageRecord, Refused> {
        self.store.act(act).await.map_err(|error| match error {
            store::Error::VersionConflict { expected, current } => {
                Refused::VersionConflict { expected, current }
            }
            error => Refused::Store(error),
        })
    }
}

/// Whether actor and reason may stand in the audit.
pub fn check_words(actor: &str, reason: &str) -> Result<(), Refused> {
    if reason.trim().is_empty() {
        return Err(Refused::NoReason);
    }
    check_plain("reason", reason)?;
    check_plain("actor", actor)?;
    check_size("reason", reason, REASON_BYTES)?;
    check_size("actor", actor, ACTOR_BYTES)
}

/// The audit is shown on terminals, and one database refuses U+0000.
fn check_plain(field: &'static str, text: &str) -> Result<(), Refused> {
    if text.chars().any(char::is_control) {
        return Err(Refused::NotPlain { field });
    }
    Ok(())
}

fn check_size(field: &'static str, text: &str, most: usize) -> Result<(), Refused> {
    let bytes = text.len();
    if bytes <= most {
        return Ok(());
    }
    Err(Refused::TooLong { field, bytes, most })
}

fn check_version(record: &StageRecord, seen: Option<i64>) -> Result<(), Refused> {
    let current = record.version;
    match seen {
        Some(expected) if expected != current => {
            Err(Refused::VersionConflict { expected, current })
        }
        _ => Ok(()),
    }
}
