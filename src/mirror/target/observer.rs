//! What the mirror of this replica shows to the guards: how long each target has been away, how late it is, what it has lost.
//!
//! Invariants: everything is counted by a monotonic clock from what this process has seen itself, so that no clock that is set makes a
//! target late; what is remembered of a module on a target is bounded.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use super::{ModuleStatus, Status, TargetStatus};
use crate::{
    cutover::guard::{self, Evidence},
    domain::ModuleName,
    log::Leadership,
    mirror::verifier::Outcome,
    store::Lease,
};

/// Moments that are remembered of a lag: with more of them every second one is forgotten, and they are taken half as often from then
/// on. A lag is told too short by a thirtieth at most.
const MOST_MARKS: usize = 64;

/// Moments at which changes were missed that are remembered: beyond them the newest one counts for those that follow.
const MOST_LOSSES: usize = 64;

/// An observer of the mirror.
#[derive(Debug)]
pub struct Observer {
    status: Status,
    leadership: Arc<Leadership>,
    /// How long a change that was missed counts.
    missing_within: Duration,
    /// Since when targets are away.
    away: HashMap<String, Instant>,
    sights: BTreeMap<(ModuleName, String), Sight>,
}

impl Observer {
    /// An observer that has seen nothing yet.
    pub fn new(status: Status, leadership: Arc<Leadership>, missing_within: Duration) -> Self {
        Self {
            status,
            leadership,
            missing_within,
            away: HashMap::new(),
            sights: BTreeMap::new(),
        }
    }

    fn target(&self, name: &str) -> Option<&TargetStatus> {
        let mut targets = self.status.targets().iter();
        targets
            .find(|target| target.name() == name)
            .map(Arc::as_ref)
    }
}

impl guard::Observer for Observer {
    fn look(&mut self, now: Instant) {
        let mut seen = BTreeMap::new();
        for target in self.status.targets() {
            if target.connected() || !target.is_fed() {
                self.away.remove(target.name());
            } else {
                self.away.entry(target.name().to_owned()).or_insert(now);
            }
            for (module, status) in target.modules() {
                let found = target.verification().module(&module);
                let missing = found.map(|found| found.count(Outcome::Missing));
                let key = (module, target.name().to_owned());
                let before = self.sights.remove(&key);
                let mut sight = before.unwrap_or_else(|| Sight::new(missing));
                sight.see(&status, missing, now);
                sight.forget(now, self.missing_within);
                seen.insert(key, sight);
            }
        }
        // What is not mirrored here now is looked at anew when it comes back.
        self.sights = seen;
    }

    fn lease(&self, module: &ModuleName) -> Option<Lease> {
        self.leadership.lease(module)
    }

    fn is_fed(&self, target: &str) -> bool {
        self.target(target).is_some_and(TargetStatus::is_fed)
    }

    fn evidence(&self, module: &ModuleName, target: &str, now: Instant) -> Option<Evidence> {
        let status = self.target(target)?;
        if !status.is_fed() {
            return None;
        }
        let since = self.away.get(target);
        let away = since.map_or(Duration::ZERO, |at| now.saturating_duration_since(*at));
        let Some(sight) = self.sights.get(&(module.clone(), target.to_owned())) else {
            // Its cursor is still being read. A target that is away is so for each module.
            return (!away.is_zero()).then_some(Evidence {
                away,
                ..Evidence::HEALTHY
            });
        };
        Some(Evidence {
            // Away since this very look is not yet healthy.
            away: away.max(since.map_or(Duration::ZERO, |_| Duration::from_nanos(1))),
            lag: sight.lag(now),
            halted: sight.halted,
            missing: sight.losses.iter().map(|(_, count)| count).sum(),
        })
    }
}

/// One module on one target, since this replica mirrors it there.
#[derive(Debug, Default)]
struct Sight {
    stay: u64,
    halted: bool,
    /// Up to which position there was something to send, and since when.
    marks: VecDeque<(u64, Instant)>,
    /// How far they are apart.
    apart: Duration,
    /// How many changes were missed, and when that was seen.
    losses: VecDeque<(Instant, u64)>,
    missed: Option<u64>,
}

impl Sight {
    /// What was missed before does not count.
    fn new(missed: Option<u64>) -> Self {
        Self {
            missed,
            ..Self::default()
        }
    }

    fn see(&mut self, status: &ModuleStatus, missing: Option<u64>, now: Instant) {
        if self.stay != status.stay {
            self.stay = status.stay;
            self.marks.clear();
        }
        self.halted = status.halted.is_some();
        self.see_lag(status, now);
        self.see_losses(missing, now);
    }

    fn see_lag(&mut self, status: &ModuleStatus, now: Instant) {
        let acknowledged = status.acknowledged.position.get();
        let head = acknowledged.saturating_add(status.behind);
        while self
            .marks
            .front()
            .is_some_and(|(to, _)| *to <= acknowledged)
        {
            self.marks.pop_front();
        }
        if self.marks.is_empty() {
            self.apart = Duration::ZERO;
        }
        let apart = self.apart;
        let is_due =
            |(to, at): &(u64, Instant)| *to < head && now.saturating_duration_since(*at) >= apart;
        if status.behind > 0 && self.marks.back().is_none_or(is_due) {
            self.marks.push_back((head, now));
        }
        if self.marks.len() > MOST_MARKS {
            let mut keep = false;
            self.marks.retain(|_| {
                keep = !keep;
                keep
            });
            self.apart = self.lag(now) / u32::try_from(MOST_MARKS / 2).unwrap_or(1);
        }
    }

    fn see_losses(&mut self, missing: Option<u64>, now: Instant) {
        let Some(missing) = missing else {
            return;
        };
        let before = self.missed.replace(missing).unwrap_or(0);
        let more = missing.saturating_sub(before);
        if more == 0 {
            return;
        }
        let is_full = self.losses.len() >= MOST_LOSSES;
        match self.losses.back_mut().filter(|_| is_full) {
            Some(last) => *last = (now, last.1 + more),
            None => self.losses.push_back((now, more)),
        }
    }

    fn forget(&mut self, now: Instant, after: Duration) {
        let is_old = |at: &Instant| now.saturating_duration_since(*at) > after;
        while self.losses.front().is_some_and(|(at, _)| is_old(at)) {
            self.losses.pop_front();
        }
    }

    /// How long the oldest change that is not acknowledged has been seen waiting.
    fn lag(&self, now: Instant) -> Duration {
        let oldest = self.marks.front();
        oldest.map_or(Duration::ZERO, |(_, at)| now.saturating_duration_since(*at))
    }
}

#[cfg(test)]
#[path = "observer_tests.rs"]
mod tests;
