//! What each replica finds by itself: that nobody holds a module's lease, so that nothing of it is mirrored.
//!
//! Nobody may write that down then, so each replica tells its own clients; who takes the lease writes it down for all. A database
//! that cannot be asked shows no vacancy: nothing is numbered then either, so that clients on push miss nothing by it.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use super::{Evidence, Guard, State, Terms};
use crate::domain::{GuardPhase, ModuleName};

/// Since when modules have been without a holder.
#[derive(Debug, Default)]
pub(super) struct Vacancies {
    since: HashMap<ModuleName, Instant>,
}

/// How it stands with the lease of a module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lead {
    /// Somebody holds it.
    Held,
    /// Nobody does, and not for long yet.
    Vacant,
    /// Nobody does.
    Leaderless,
}

impl Vacancies {
    /// Nothing is known any more.
    pub(super) fn forget(&mut self) {
        self.since.clear();
    }

    /// Takes in whether a lease is vacant.
    pub(super) fn see(
        &mut self,
        module: &ModuleName,
        is_vacant: bool,
        after: Duration,
        now: Instant,
    ) -> Lead {
        if !is_vacant {
            self.since.remove(module);
            return Lead::Held;
        }
        let since = *self.since.entry(module.clone()).or_insert(now);
        if now.saturating_duration_since(since) > after {
            Lead::Leaderless
        } else {
            Lead::Vacant
        }
    }
}

/// What a replica has found by itself, after another look.
pub(super) fn found(own: State, lead: Lead, may_trip: bool, terms: &Terms, now: Instant) -> State {
    let mut guard = Guard::resumed(terms.bounds, terms.pace, own);
    match lead {
        Lead::Leaderless if may_trip || own.phase() == GuardPhase::Tripped => {
            guard.leaderless(now);
        }
        Lead::Leaderless | Lead::Vacant => guard.lose_sight(),
        Lead::Held => {
            guard.observe(&Evidence::HEALTHY, now);
        }
    }
    guard.state()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cutover::guard::{Cause, tests::TERMS};

    #[test]
    fn a_vacancy_counts_from_when_it_is_seen_and_an_outage_is_none() {
        let (mut vacancies, began) = (Vacancies::default(), Instant::now());
        let module: ModuleName = "m".parse().unwrap();
        let mut see = |at, vacant| {
            let now = began + Duration::from_secs(at);
            vacancies.see(&module, vacant, TERMS.leaderless_after, now)
        };
        assert_eq!(see(0, false), Lead::Held);
        assert_eq!(see(1, true), Lead::Vacant);
        assert_eq!(see(11, true), Lead::Vacant);
        assert_eq!(see(12, true), Lead::Leaderless);
        assert_eq!(see(13, false), Lead::Held);
        assert_eq!(see(14, true), Lead::Vacant);
        // The database is away, and after it the lease has expired.
        vacancies.forget();
        let now = began + Duration::from_mins(1);
        let after = vacancies.see(&module, true, TERMS.leaderless_after, now);
        assert_eq!(after, Lead::Vacant);
    }

    #[test]
    fn who_takes_the_lease_heals_it_in_time() {
        let began = Instant::now();
        let at = |seconds| began + Duration::from_secs(seconds);
        let step = |own, lead, may, seconds| found(own, lead, may, &TERMS, at(seconds));
        let still = step(State::Watching, Lead::Vacant, true, 0);
        assert_eq!(still, State::Watching);
        let nobody = step(State::Watching, Lead::Leaderless, false, 0);
        assert_eq!(nobody, State::Watching, "nobody takes the push there");
        let tripped = step(State::Watching, Lead::Leaderless, true, 1);
        assert!(
            matches!(tripped, State::Tripped { cause: Cause::Leaderless, since, .. } if since == at(1))
        );
        let held = step(tripped, Lead::Held, true, 30);
        let vacant = step(held, Lead::Vacant, true, 60);
        let again = step(vacant, Lead::Held, true, 91);
        assert_eq!(again.phase(), GuardPhase::Tripped, "it must last");
        let back = step(again, Lead::Held, true, 151);
        assert_eq!(back, State::Returning { since: at(151) });
        let nobody = step(back, Lead::Leaderless, false, 200);
        assert_eq!(nobody, back, "nobody takes the push there any more");
        let over = step(back, Lead::Held, true, 251);
        assert_eq!(over, State::Watching);
    }
}
