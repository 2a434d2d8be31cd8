//! The counts of one module on one target, in the metrics and for the admin API.

use std::time::{Duration, Instant};

use super::{ModuleVerification, Outcome, Problem};
use crate::{
    domain::{Micros, ModuleName, Position},
    telemetry::metric,
};

/// Problems of one module are written to the log no more often.
const TELL_EVERY: Duration = Duration::from_secs(10);

pub(super) struct Tally {
    module: ModuleName,
    target: String,
    found: ModuleVerification,
    counters: [metrics::Counter; Outcome::ALL.len()],
    /// Problems that the log was not told of.
    untold: u64,
    told_at: Option<Instant>,
}

impl Tally {
    pub(super) fn new(target: &str, module: &ModuleName, since: Micros) -> Self {
        let counter = |outcome: Outcome| {
            let labels = [
                ("target", target.to_owned()),
                ("module", module.as_str().to_owned()),
                ("outcome", outcome.label().to_owned()),
            ];
            metrics::counter!(metric::VERIFIED, &labels)
        };
        Self {
            module: module.clone(),
            target: target.to_owned(),
            found: ModuleVerification::new(since),
            counters: Outcome::ALL.map(counter),
            untold: 0,
            told_at: None,
        }
    }

    pub(super) const fn found(&self) -> &ModuleVerification {
        &self.found
    }

    pub(super) fn count(&mut self, outcome: Outcome, changes: u64) {
        self.found.counts[outcome as usize] += changes;
        self.counters[outcome as usize].increment(changes);
    }

    /// Something should not have been. It is counted by [`Self::count`].
    pub(super) fn complain(&mut self, problem: Problem) {
        self.found.last_problem = Some(problem);
        self.untold += 1;
    }

    /// Counts one event and complains of it.
    pub(super) fn blame(
        &mut self,
        outcome: Outcome,
        position: Option<Position>,
        at: Micros,
        detail: String,
    ) {
        self.count(outcome, 1);
        self.complain(Problem {
            outcome,
            position,
            at,
            detail,
        });
    }

    /// Writes the problems to the log, if it is time.
    pub(super) fn tell(&mut self, now: Instant) {
        let Some(last) = &self.found.last_problem else {
            return;
        };
        let lately = |at: Instant| now.duration_since(at) < TELL_EVERY;
        if self.untold == 0 || self.told_at.is_some_and(lately) {
            return;
        }
        let position = last.position.map(Position::get);
        tracing::warn!(
            broker = %self.target, module = %self.module, problems = self.untold,
            outcome = last.outcome.label(), position, detail = last.detail,
            "what a subscriber receives is not what the log says"
        );
        (self.untold, self.told_at) = (0, Some(now));
    }
}
