//! Acts: a step of the ladder, decided, written and put in force.
//!
//! Invariant: an act is in force on this replica before its answer; the record and its audit
//! entry are one transaction; a dry run runs every check of the real act.

use std::sync::Arc;

use super::{
    Census, Flags, Gate, Gatekeeper, Ladder, Preview, Refused, Route, Routes, Step, check_words,
};
use crate::{
    domain::{ModuleName, Stage},
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
    /// Take the step although its gate does not pass.
    pub force: bool,
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
#[derive(Debug, Clone, PartialEq)]
pub struct Done {
    /// As it was.
    pub before: StageRecord,
    /// As it is, or would be.
    pub after: StageRecord,
    /// Of a dry run: whom it would move.
    pub preview: Option<Preview>,
    /// What was asked before it, if anything; not all of it need have passed.
    pub gate: Option<Gate>,
}

/// How often an act is decided, if its target is acted on each time.
const TRIES: u32 = 3;

/// No configuration names an upstream yet.
const LADDER: Ladder = Ladder::WITHOUT_UPSTREAM;

/// Where acts are done.
pub struct Acts {
    store: Arc<dyn Store>,
    flags: Arc<Flags>,
    routes: Arc<Routes>,
    census: Arc<Census>,
    gatekeeper: Arc<Gatekeeper>,
}

impl Acts {
    /// Acts that are written to `store` and put in force in `flags`, if the gatekeeper lets them; dry runs tell of the clients of the
    /// `census`.
    pub const fn new(
        store: Arc<dyn Store>,
        flags: Arc<Flags>,
        routes: Arc<Routes>,
        census: Arc<Census>,
        gatekeeper: Arc<Gatekeeper>,
    ) -> Self {
        Self {
            store,
            flags,
            routes,
            census,
            gatekeeper,
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
        self.bring_up_to_date(&asked.module).await?;
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
        let gate = self.pass(&before, &mut after, asked.force).await?;
        if asked.dry_run {
            let preview = Preview::of(&self.census, &*self.store, &before, &after).await;
            let preview = Some(preview.map_err(Refused::Store)?);
            return Ok(Done {
                before,
                after,
                preview,
                gate,
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
            forced = after.entered.forced.is_some() && before.stage != after.stage,
            ending = !after.ending.is_empty(),
            actor = after.changed_by,
            reason = after.reason,
            "the module's flags changed"
        );
        Ok(Done {
            before,
            after,
            preview: None,
            gate,
        })
    }

    /// Asks what the step asks for. A step forward passes its gate, is forced, or is refused; of more clients at `ramp` the gate of that
    /// stage only warns: they are in nobody's way back.
    async fn pass(
        &self,
        before: &StageRecord,
        after: &mut StageRecord,
        force: bool,
    ) -> Result<Option<Gate>, Refused> {
        let step = after.stage;
        let forward = step > before.stage;
        if !forward && !reaches_more(before, after) {
            return Ok(None);
        }
        let gate = self.gatekeeper.before(step, before).await;
        if !forward {
            return Ok(gate.unwrap_or_else(|error| {
                tracing::warn!(module = %before.module, %error, "the gate that would have warned cannot be read");
                None
            }));
        }
        let Some(gate) = gate.map_err(Refused::Store)? else {
            return Ok(None);
        };
        let told = self.gatekeeper.told(before).await;
        if told.map_err(Refused::Store)?.is_empty() {
            let module = before.module.clone();
            return Err(Refused::NothingFed { module, step });
        }
        if gate.passes() {
            return Ok(Some(gate));
        }
        if force {
            after.entered.forced = gate.overridden(after);
        } else if self.gatekeeper.enforces() {
            let gate = Box::new(gate);
            return Err(Refused::Gated { gate });
        }
        Ok(Some(gate))
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

    /// Another replica may have acted a moment ago. A record that nobody can read is not acted on.
    async fn bring_up_to_date(&self, module: &ModuleName) -> Result<(), Refused> {
        let read = self.store.read_stages().await.map_err(Refused::Store)?;
        self.flags.adopt(&read.records);
        read.why_not(module)
            .map_or(Ok(()), |why| Err(Refused::Store(why)))
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

/// Whether an act at `ramp` may tell clients to take the push that were told to poll.
fn reaches_more(before: &StageRecord, after: &StageRecord) -> bool {
    let (old, new) = (&before.cohort, &after.cohort);
    let lists = !old.include.holds(&new.include) || !new.exclude.holds(&old.exclude);
    after.stage == Stage::Ramp
        && before.stage == Stage::Ramp
        && (lists || new.basis_points > old.basis_points)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        cutover::flags::untouched,
        domain::{BasisPoints, Cohort},
    };

    #[test]
    fn only_what_may_tell_more_clients_to_push_reaches_more() {
        let at = |points: u16, include: &[&str], exclude: &[&str]| {
            let list = |names: &[&str]| serde_json::from_value(serde_json::json!(names)).unwrap();
            StageRecord {
                stage: Stage::Ramp,
                cohort: Cohort {
                    basis_points: BasisPoints::new(points).unwrap(),
                    include: list(include),
                    exclude: list(exclude),
                },
                ..untouched(&"orders".parse().unwrap())
            }
        };
        let before = at(1_000, &["client:a"], &["client:b"]);
        for (after, reaches) in [
            (at(1_000, &["client:a"], &["client:b"]), false),
            (at(1_001, &["client:a"], &["client:b"]), true),
            (at(999, &["client:a"], &["client:b"]), false),
            (at(1_000, &["client:a", "client:c"], &["client:b"]), true),
            (at(1_000, &[], &["client:b"]), false),
            (at(1_000, &["client:a"], &["client:b", "agent:X*"]), false),
            (at(1_000, &["client:a"], &[]), true),
            (at(1_000, &["client:c"], &["client:b"]), true),
        ] {
            assert_eq!(reaches_more(&before, &after), reaches, "{after:?}");
        }
    }
}
