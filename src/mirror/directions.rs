//! Where the clients of a module are sent, and since which version: what a session tells one of them, and what the retained
//! messages tell all.
//!
//! Invariants: both say the same, because both ask here; the version grows with every act that may change the answer, on the
//! module's flags as on the targets, and not with the configuration.

use std::sync::Arc;

use super::Standings;
use crate::{
    cutover::{Advice, Adviser, Evaluation},
    domain::{Client, ModuleName, Standing},
};

/// What clients are told, and which acts that comes from.
#[derive(Debug, Clone)]
pub struct Directions {
    adviser: Arc<Adviser>,
    standings: Arc<Standings>,
}

impl Directions {
    /// Directions by this adviser and the standings behind it, which may change at any time.
    pub const fn new(adviser: Arc<Adviser>, standings: Arc<Standings>) -> Self {
        Self { adviser, standings }
    }

    /// What a client is told.
    pub(super) fn of(&self, module: &ModuleName, client: &Client<'_>) -> Advice<'_> {
        self.adviser.advise(module, client)
    }

    /// What the clients of a target are told in general.
    pub(super) fn of_all(&self, module: &ModuleName, target: &str) -> Evaluation {
        self.adviser.advise_all(module, target)
    }

    /// Where a client is to connect.
    pub(super) fn target(&self, module: &ModuleName, client_id: &str) -> Option<&str> {
        self.adviser.target(module, client_id)
    }

    /// How a target stands; active as long as nobody knows better.
    pub(super) fn standing(&self, target: &str) -> Standing {
        let known = self.standings.of(target);
        known.map_or(Standing::Active, |(standing, _)| standing)
    }

    /// The version of all that for the clients of a target. To be read before what it is to stand for: then it is at worst too small,
    /// and what was said is said once more.
    pub(super) fn version(&self, module: &ModuleName, target: Option<&str>) -> i64 {
        let flags = self.adviser.told_version(module, target);
        flags.saturating_add(self.standings.version())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::{
        cutover::{Flags, Routes},
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
        let behind = Arc::clone(&standings);
        let is_fed = move |target: &str| behind.is_fed(target);
        let adviser = Adviser::new(flags, Arc::new(routes), is_fed);
        let directions = Directions::new(Arc::new(adviser), Arc::clone(&standings));
        let told = || {
            let Advice {
                evaluation, target, ..
            } = directions.of(&module, &Client::named("c"));
            let transport = evaluation.transport;
            let version = directions.version(&module, target);
            (target, evaluation.effective, transport, version)
        };
        let (old, new) = (Some("old"), Some("new"));
        assert_eq!(told(), (old, Stage::Sunset, Transport::Push, 3));

        let act = |target: &str, standing, version| {
            standings.adopt(&[TargetRecord {
                standing,
                version,
                ..TargetRecord::untouched(target)
            }]);
        };
        act("old", Standing::Paused, 1);
        assert_eq!(told(), (new, Stage::Sunset, Transport::Push, 4));
        assert_eq!(directions.standing("old"), Standing::Paused);
        act("new", Standing::Retired, 1);
        assert_eq!(told(), (None, Stage::Mirror, Transport::Poll, 5));
        assert_eq!(
            directions
                .of(&module, &Client::named("c"))
                .evaluation
                .reason,
            "no-target"
        );
        act("old", Standing::Active, 2);
        assert_eq!(told(), (old, Stage::Sunset, Transport::Push, 6));
    }
}
