//! What one client is told of one module: poll or push, why, and where to connect.
//!
//! Invariants: polls, sessions and flags all ask here, so they tell a client the same; nobody is told to take the push of a module
//! that no target is fed with, nor of one whose mirror fails its clients, and its polls are answered as at `mirror` then, whatever was
//! asked for.

use std::{fmt, sync::Arc, time::Instant};

use super::{Evaluation, Flags, Routes, ceiling, guard::Guards};
use crate::{
    domain::{Client, ModuleName, Stage, Transport},
    store::StageRecord,
};

/// Whether anything is sent to a target of this name.
type IsFed = dyn Fn(&str) -> bool + Send + Sync;

/// Who knows what clients are told. Asking costs no I/O.
pub struct Adviser {
    flags: Arc<Flags>,
    routes: Arc<Routes>,
    is_fed: Box<IsFed>,
    /// Absent = nothing is guarded.
    guards: Option<Arc<Guards>>,
}

/// What a client is told of a module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Advice<'a> {
    /// How it is to receive changes, and why.
    pub evaluation: Evaluation,
    /// Where it finds them; `None` if no target gets the module now.
    pub target: Option<&'a str>,
    /// When it will be told something else, if that is known: a guard moves it.
    pub until: Option<Instant>,
}

impl fmt::Debug for Adviser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Adviser").finish_non_exhaustive()
    }
}

impl Adviser {
    /// Advice from these flags and routes; `is_fed` says whether anything is sent to a target now.
    pub fn new(
        flags: Arc<Flags>,
        routes: Arc<Routes>,
        is_fed: impl Fn(&str) -> bool + Send + Sync + 'static,
    ) -> Self {
        Self {
            flags,
            routes,
            is_fed: Box::new(is_fed),
            guards: None,
        }
    }

    /// The same under these guards.
    #[must_use]
    pub fn guarded_by(self, guards: Arc<Guards>) -> Self {
        Self {
            guards: Some(guards),
            ..self
        }
    }

    /// The flags behind it.
    pub const fn flags(&self) -> &Arc<Flags> {
        &self.flags
    }

    /// All that a client is told.
    pub fn advise(&self, module: &ModuleName, client: &Client<'_>) -> Advice<'_> {
        let evaluation = self.flags.evaluate(module, client);
        let target = self.target(module, client.id);
        let (evaluation, until) = match target {
            Some(target) => self.guarded(evaluation, module, target, client.id),
            None => (without_target(evaluation), None),
        };
        Advice {
            evaluation,
            target,
            until,
        }
    }

    /// The same transport, and how its polls are answered, for who does not tell the rest: at the stages where it does not matter, the
    /// target is not looked for.
    ///
    /// While a guard of the module holds clients of any target, everybody's polls are answered: who polls may be known by another id
    /// here than the one that it was told its target by.
    pub fn evaluate(&self, module: &ModuleName, client: &Client<'_>) -> Evaluation {
        let evaluation = self.flags.evaluate(module, client);
        if evaluation.effective <= ceiling::STAGE {
            return evaluation;
        }
        let Some(target) = self.target(module, client.id) else {
            return without_target(evaluation);
        };
        let (evaluation, _) = self.guarded(evaluation, module, target, client.id);
        if evaluation.effective > ceiling::STAGE && self.are_any_on_their_way(module) {
            return Evaluation {
                effective: ceiling::STAGE,
                ..evaluation
            };
        }
        evaluation
    }

    fn guarded(
        &self,
        asked_for: Evaluation,
        module: &ModuleName,
        target: &str,
        client_id: &str,
    ) -> (Evaluation, Option<Instant>) {
        match &self.guards {
            Some(guards) if asked_for.effective > ceiling::STAGE => {
                guards.limit(asked_for, module, target, client_id)
            }
            _ => (asked_for, None),
        }
    }

    fn are_any_on_their_way(&self, module: &ModuleName) -> bool {
        self.guards.as_ref().is_some_and(|guards| {
            guards.are_any(module, |post| self.has_clients(module, &post.target))
        })
    }

    /// Whether any client of the module is told a target.
    pub fn has_clients(&self, module: &ModuleName, target: &str) -> bool {
        self.flags.record(module).is_some_and(|record| {
            let is_fed = &*self.is_fed;
            self.routes
                .has_clients(module, &record.routing, target, is_fed)
        })
    }

    /// Whether anything is sent to a target now.
    pub fn is_fed(&self, target: &str) -> bool {
        (self.is_fed)(target)
    }

    /// What the clients of a target are told in general.
    pub fn advise_all(&self, module: &ModuleName, target: &str) -> Evaluation {
        let evaluation = self.flags.evaluate(module, &Client::default());
        if self.target(module, "").is_none() {
            return without_target(evaluation);
        }
        match &self.guards {
            Some(guards) if evaluation.effective > ceiling::STAGE => {
                guards.limit_all(evaluation, module, target)
            }
            _ => evaluation,
        }
    }

    /// What clients in general are told if a module's record is this one: the worst, where they are on several targets.
    pub fn evaluate_record(&self, record: &StageRecord) -> Evaluation {
        let evaluation = self.flags.evaluate_record(record);
        let module = &record.module;
        let has_tripped = |guards: &Arc<Guards>| {
            guards.are_any(module, |post| {
                post.has_tripped() && self.has_clients(module, &post.target)
            })
        };
        if evaluation.effective > ceiling::STAGE && self.guards.as_ref().is_some_and(has_tripped) {
            return ceiling::lowered(evaluation, super::Cause::Guard, Transport::Poll);
        }
        if evaluation.effective > ceiling::STAGE && self.target(module, "").is_none() {
            return without_target(evaluation);
        }
        evaluation
    }

    /// The version of a module's flags as clients of a target know it.
    pub fn told_version(&self, module: &ModuleName, target: Option<&str>) -> i64 {
        let guards = self.guards.as_ref().zip(target);
        let turns = guards.map_or(0, |(guards, target)| guards.turns(module, target));
        self.flags.told_version(module).saturating_add(turns)
    }

    /// Where a client connects for a module, whatever its transport.
    pub fn target(&self, module: &ModuleName, client_id: &str) -> Option<&str> {
        let record = self.flags.record(module)?;
        let chosen = self
            .routes
            .choose(module, &record.routing, client_id, &*self.is_fed)?;
        // By its name in the configuration: the record's lives no longer than the record.
        let mut names = self.routes.targets(module).iter().map(String::as_str);
        names.find(|name| *name == chosen)
    }
}

/// There must be polls to come back to.
fn without_target(evaluation: Evaluation) -> Evaluation {
    Evaluation {
        effective: evaluation.effective.min(Stage::Mirror),
        transport: Transport::Poll,
        reason: "no-target",
        ..evaluation
    }
}

#[cfg(test)]
mod tests {
    use std::{
        collections::BTreeMap,
        sync::atomic::{AtomicBool, Ordering::Relaxed},
    };

    use super::*;
    use crate::{
        domain::{BasisPoints, Cohort, End, Micros, Routing},
        store::{Entered, StageRecord},
    };

    #[test]
    fn who_has_no_target_polls() {
        let module: ModuleName = "orders".parse().unwrap();
        let flags = Arc::new(Flags::new(std::slice::from_ref(&module)));
        let mut seen = flags.changes();
        let targets = vec!["old".to_owned()];
        let routes = Routes::new(BTreeMap::from([(module.clone(), targets)]));
        let is_fed = Arc::new(AtomicBool::new(true));
        let switch = Arc::clone(&is_fed);
        let adviser = Adviser::new(Arc::clone(&flags), Arc::new(routes), move |target| {
            target == "old" && switch.load(Relaxed)
        });
        let told = || {
            let advice = adviser.advise(&module, &Client::named("c"));
            let evaluation = adviser.evaluate(&module, &Client::named("c"));
            assert_eq!(evaluation.transport, advice.evaluation.transport);
            assert_eq!(evaluation.effective, advice.evaluation.effective);
            (
                advice.evaluation.transport,
                advice.evaluation.reason,
                advice.target,
            )
        };
        assert_eq!(told(), (Transport::Poll, "stage", Some("old")));
        assert!(!seen.has_changed().unwrap());
        let all = StageRecord {
            module: module.clone(),
            stage: Stage::Ramp,
            cohort: Cohort::share(BasisPoints::ALL),
            routing: Routing::default(),
            paused: false,
            version: 1,
            changed_by: String::new(),
            changed_at: Micros::default(),
            reason: String::new(),
            ending: End::default(),
            entered: Entered::default(),
        };
        flags.adopt(std::slice::from_ref(&all));
        assert!(seen.has_changed().unwrap());
        seen.mark_unchanged();
        flags.adopt(std::slice::from_ref(&all));
        assert!(!seen.has_changed().unwrap(), "nothing was new");
        assert_eq!(told(), (Transport::Push, "cohort", Some("old")));
        is_fed.store(false, Relaxed);
        assert_eq!(told(), (Transport::Poll, "no-target", None));
        let shown = adviser.evaluate_record(&all);
        assert_eq!(
            (shown.effective, shown.reason),
            (Stage::Mirror, "no-target")
        );
        let gone = StageRecord {
            stage: Stage::Retired,
            version: 2,
            ..all
        };
        flags.adopt(&[gone]);
        assert_eq!(told(), (Transport::Poll, "no-target", None));
        let evaluation = adviser.evaluate(&module, &Client::named("c"));
        assert_eq!(evaluation.effective, Stage::Mirror, "polls are answered");
        assert_eq!(evaluation.requested, Stage::Retired);
    }
}
