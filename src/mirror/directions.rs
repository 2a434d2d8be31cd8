//! Where the clients of a module are sent, and since which version: what a session tells one of them, and what the retained
//! messages tell all.
//!
//! Invariants: both say the same as polls and flags, because all ask the adviser; the version grows with every act that may change
//! the answer, on the module's flags as on the targets, and not with the configuration.

use std::sync::Arc;

use super::Standings;
use crate::{
    cutover::{Adviser, Evaluation, Flags, Routes},
    domain::{ModuleName, Standing},
};

/// The flags, and what stands behind them: targets that can take clients.
#[derive(Debug, Clone)]
pub struct Directions {
    adviser: Arc<Adviser>,
    standings: Arc<Standings>,
}

/// What one client of one module is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Direction {
    pub(super) evaluation: Evaluation,
    /// Where to connect; absent if no target that is fed gets the module.
    pub(super) target: Option<String>,
}

impl Directions {
    /// Directions by these flags, routes and standings, which may change at any time.
    pub fn new(flags: Arc<Flags>, routes: Arc<Routes>, standings: Arc<Standings>) -> Self {
        let feeds = Arc::clone(&standings);
        let adviser = Adviser::new(flags, routes, move |target| feeds.is_fed(target));
        Self {
            adviser: Arc::new(adviser),
            standings,
        }
    }

    /// Who says what clients are told.
    pub const fn adviser(&self) -> &Arc<Adviser> {
        &self.adviser
    }

    /// What a client is told.
    pub(super) fn of(&self, module: &ModuleName, client_id: &str) -> Direction {
        let advice = self.adviser.advise(module, client_id);
        Direction {
            evaluation: advice.evaluation,
            target: advice.target.map(str::to_owned),
        }
    }

    /// Where a client is to connect.
    pub(super) fn target(&self, module: &ModuleName, client_id: &str) -> Option<String> {
        let target = self.adviser.target(module, client_id);
        target.map(str::to_owned)
    }

    /// How a target stands; active as long as nobody knows better.
    pub(super) fn standing(&self, target: &str) -> Standing {
        let known = self.standings.of(target);
        known.map_or(Standing::Active, |(standing, _)| standing)
    }

    /// The version of all that. To be read before what it is to stand for: then it is at worst too small, and what was said is
    /// said once more.
    pub(super) fn version(&self, module: &ModuleName) -> i64 {
        let record = self.adviser.flags().record(module);
        let flags = record.map_or(0, |record| record.version);
        flags.saturating_add(self.standings.version())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::{
        domain::{Stage, Transport},
        store::TargetRecord,
    };

    #[test]
    fn whoever_no_target_can_take_polls() {
        let module: ModuleName = "orders".parse().unwrap();
        let flags = Arc::new(Flags::new(std::slice::from_ref(&module)));
        let mut record = (*flags.record(&module).unwrap()).clone();
        (record.stage, record.version) = (Stage::Sunset, 3);
        flags.adopt(&[record]);
        let both = vec!["old".to_owned(), "new".to_owned()];
        let routes = Routes::new(BTreeMap::from([(module.clone(), both)]));
        let standings = Arc::<Standings>::default();
        let directions = Directions::new(flags, Arc::new(routes), Arc::clone(&standings));
        let told = || {
            let Direction { evaluation, target } = directions.of(&module, "c");
            let transport = evaluation.transport;
            let version = directions.version(&module);
            (target, evaluation.effective, transport, version)
        };
        let old = Some("old".to_owned());
        assert_eq!(told(), (old, Stage::Sunset, Transport::Push, 3));

        let act = |target: &str, standing, version| {
            standings.adopt(&[TargetRecord {
                standing,
                version,
                ..TargetRecord::untouched(target)
            }]);
        };
        act("old", Standing::Paused, 1);
        let new = Some("new".to_owned());
        assert_eq!(told(), (new, Stage::Sunset, Transport::Push, 4));
        assert_eq!(directions.standing("old"), Standing::Paused);
        act("new", Standing::Retired, 1);
        assert_eq!(told(), (None, Stage::Mirror, Transport::Poll, 5));
        assert_eq!(directions.of(&module, "c").evaluation.reason, "no-target");
        act("old", Standing::Active, 2);
        let old = Some("old".to_owned());
        assert_eq!(told(), (old, Stage::Sunset, Transport::Push, 6));
    }
}
