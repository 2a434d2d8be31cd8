//! What the holder of a module's lease does with a guard: it goes on where the last holder has left it, takes evidence in, and says
//! what is to be written down.
//!
//! Invariants: a state is in force once it is written, so that all replicas tell the same; a turn that could not be written is decided
//! anew, so that each begins where clients are and when it is written.

use std::time::{Duration, Instant};

use super::{Bounds, Cause, Evidence, Guard, Post, State, Terms};
use crate::{
    domain::{BasisPoints, GuardPhase},
    store::{GuardRecord, GuardTurn, GuardWrite, Lease, TurnKind},
};

/// What does not tell clients anything else is written no more often.
const MINOR_EVERY: Duration = Duration::from_secs(2);

/// A guard in the hands of its holder.
#[derive(Debug)]
pub(super) struct Judging {
    lease: Lease,
    guard: Guard,
    /// Where it was before a turn that is not written.
    settled: State,
    /// The row that this goes on from.
    record: Option<GuardRecord>,
    /// What it says.
    written: State,
    written_at: Instant,
    /// What was bad last.
    last_bad: String,
}

impl Judging {
    /// Goes on from what is known of a guard. What this replica has found by itself is written down now.
    pub(super) fn resumed(lease: Lease, post: &Post, terms: &Terms, now: Instant) -> Self {
        Self {
            lease,
            guard: begun(post.stored, post, terms, now),
            settled: post.stored,
            record: post.record.clone(),
            written: post.stored,
            written_at: now,
            last_bad: terms.bounds.describe(Cause::Leaderless, &Evidence::HEALTHY),
        }
    }

    /// Whether it is of this lease and this row.
    pub(super) fn goes_on(&self, lease: &Lease, post: &Post) -> bool {
        let version = self.record.as_ref().map_or(0, |record| record.version);
        self.lease == *lease && version == post.version()
    }

    /// Takes in what is known; `None` = nothing is. One whose clients are told to poll anyway does not trip.
    pub(super) fn observe(
        &mut self,
        post: &Post,
        evidence: Option<&Evidence>,
        may_trip: bool,
        terms: &Terms,
        now: Instant,
    ) {
        if self.is_turned() {
            self.guard = begun(self.settled, post, terms, now);
        } else {
            self.settled = self.guard.state();
        }
        match evidence {
            Some(evidence) => self.see(evidence, may_trip, &terms.bounds, now),
            None => self.guard.lose_sight(),
        }
        if self.is_turned() {
            self.guard.begin(now, post.pushed(&terms.pace, now));
        }
    }

    fn see(&mut self, evidence: &Evidence, may_trip: bool, bounds: &Bounds, now: Instant) {
        let has_tripped = self.guard.state().phase() == GuardPhase::Tripped;
        let evidence = if may_trip || has_tripped {
            evidence
        } else {
            &Evidence::HEALTHY
        };
        if let Some(cause) = bounds.trip(evidence) {
            self.last_bad = bounds.describe(cause, evidence);
        }
        self.guard.observe(evidence, now);
    }

    /// Whether it is somewhere else than is written.
    fn is_turned(&self) -> bool {
        self.guard.state().phase() != self.written.phase()
    }

    /// What is to be written down, if anything is.
    pub(super) fn unwritten(&self, target: &str, now: Instant) -> Option<GuardWrite> {
        let state = self.guard.state();
        let is_minor = !self.is_turned();
        let is_early = now.saturating_duration_since(self.written_at) < MINOR_EVERY;
        if state == self.written || (is_minor && is_early) {
            return None;
        }
        let age = |since: Instant| now.saturating_duration_since(since);
        let (cause, share, age, healthy) = match state {
            State::Watching => (None, BasisPoints::ALL, Duration::ZERO, None),
            State::Returning { since } => (None, BasisPoints::default(), age(since), None),
            State::Tripped {
                cause,
                since,
                share,
                healthy_since,
            } => (Some(cause), share, age(since), healthy_since.map(age)),
        };
        Some(GuardWrite {
            lease: self.lease.clone(),
            target: target.to_owned(),
            state: state.phase(),
            cause,
            share,
            age,
            healthy,
            before: self.record.clone(),
            turn: self.turn(target),
        })
    }

    fn turn(&self, target: &str) -> Option<GuardTurn> {
        let tripped = GuardPhase::Tripped;
        let (was, is) = (self.written.phase(), self.guard.state().phase());
        if was != tripped && is == tripped {
            return Some(GuardTurn {
                kind: TurnKind::Trip,
                reason: format!("target {target}: {}", self.last_bad),
            });
        }
        (was == tripped && is != tripped).then(|| GuardTurn {
            kind: TurnKind::Heal,
            reason: format!("target {target}: healthy for long enough"),
        })
    }

    /// It is written. What waited for its turn among other writes is in force from now on.
    pub(super) fn wrote(&mut self, record: &GuardRecord, now: Instant) -> State {
        if self.is_turned() {
            self.guard.begin(now, record.share);
        }
        self.record = Some(record.clone());
        self.written = self.guard.state();
        self.written_at = now;
        self.written
    }
}

/// A guard that goes on from a state. What this replica has found by itself counts if it is worse.
fn begun(state: State, post: &Post, terms: &Terms, now: Instant) -> Guard {
    let state = match (state, post.own) {
        (State::Watching | State::Returning { .. }, State::Tripped { cause, .. }) => {
            State::Tripped {
                cause,
                since: now,
                share: post.pushed(&terms.pace, now),
                healthy_since: None,
            }
        }
        (state, _) => state,
    };
    Guard::resumed(terms.bounds, terms.pace, state)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{cutover::guard::tests::TERMS, domain::Micros};
    const AWAY: Evidence = Evidence {
        away: Duration::from_secs(11),
        ..Evidence::HEALTHY
    };

    fn lease(token: i64) -> Lease {
        Lease {
            module: "m".parse().unwrap(),
            token,
        }
    }

    fn post() -> Post {
        Post {
            target: "t".to_owned(),
            record: None,
            stored: State::Watching,
            own: State::Watching,
            gone_back: None,
        }
    }

    struct Scene {
        judging: Judging,
        post: Post,
        began: Instant,
    }

    impl Scene {
        fn of(post: &Post) -> Self {
            let began = Instant::now();
            let judging = Judging::resumed(lease(1), post, &TERMS, began);
            let post = post.clone();
            Self {
                judging,
                post,
                began,
            }
        }

        /// What is to be written after this evidence.
        fn see(&mut self, at: u64, evidence: Option<&Evidence>, may: bool) -> Option<GuardWrite> {
            let now = self.began + Duration::from_secs(at);
            self.judging.observe(&self.post, evidence, may, &TERMS, now);
            self.judging.unwritten("t", now)
        }

        fn write(&mut self, at: u64, write: &GuardWrite) {
            let record = write.after(Micros::new(0));
            let now = self.began + Duration::from_secs(at);
            let state = self.judging.wrote(&record, now);
            self.post.adopt(&record, Some(state), now);
        }
    }

    #[test]
    fn each_turn_is_said_until_it_is_written() {
        let mut scene = Scene::of(&post());
        assert!(scene.see(0, Some(&Evidence::HEALTHY), true).is_none());
        assert!(
            scene.see(1, Some(&AWAY), false).is_none(),
            "nobody is there"
        );
        assert!(scene.see(1, None, true).is_none());
        let first = scene.see(2, Some(&AWAY), true).unwrap();
        let turn = first.turn.clone().unwrap();
        assert_eq!(turn.kind, TurnKind::Trip);
        assert!(
            turn.reason
                .contains("target t: no connection to the target for 11s")
        );
        // The database was away.
        let again = scene.see(5, Some(&AWAY), true).unwrap();
        assert_eq!((again.age, again.share), (Duration::ZERO, BasisPoints::ALL));
        assert_eq!(again.turn, Some(turn));
        scene.write(5, &again);
        // What tells nobody anything else has time.
        assert!(scene.see(6, Some(&AWAY), true).is_none());
        let well = scene.see(10, Some(&Evidence::HEALTHY), true).unwrap();
        assert_eq!(well.healthy, Some(Duration::ZERO));
        scene.write(10, &well);
        // Out of sight is not healthy.
        let unseen = scene.see(40, None, true).unwrap();
        assert_eq!(unseen.healthy, None);
        scene.write(40, &unseen);
        scene.see(41, Some(&Evidence::HEALTHY), false);
        let healed = scene.see(101, Some(&Evidence::HEALTHY), false).unwrap();
        assert_eq!(healed.turn.as_ref().unwrap().kind, TurnKind::Heal);
        scene.write(101, &healed);
        let over = scene.see(202, Some(&Evidence::HEALTHY), true).unwrap();
        assert_eq!((over.state, over.turn), (GuardPhase::Watching, None));
    }

    #[test]
    fn a_turn_that_could_not_be_written_begins_when_it_is() {
        let healthy = Some(&Evidence::HEALTHY);
        let mut scene = Scene::of(&post());
        assert!(scene.see(2, Some(&AWAY), true).is_some());
        for at in 3..200 {
            let none = scene.see(at, healthy, true);
            assert!(none.is_none(), "nobody was told of it: {none:?}");
        }
        assert!(scene.see(200, Some(&AWAY), true).is_some());
        let trip = scene.see(209, Some(&AWAY), true).unwrap();
        assert_eq!((trip.age, trip.share), (Duration::ZERO, BasisPoints::ALL));
        // Others were written before it.
        scene.write(212, &trip);
        let began = scene.began;
        let at = |seconds| began + Duration::from_secs(seconds);
        let pushed = |scene: &Scene, seconds| scene.post.pushed(&TERMS.pace, at(seconds)).get();
        assert_eq!((pushed(&scene, 212), pushed(&scene, 213)), (10_000, 9_000));

        scene.see(230, healthy, true);
        assert!(scene.see(290, healthy, true).is_some());
        let heal = scene.see(330, healthy, true).unwrap();
        assert_eq!(
            (heal.state, heal.age),
            (GuardPhase::Returning, Duration::ZERO)
        );
        assert_eq!(heal.turn.as_ref().unwrap().kind, TurnKind::Heal);
        scene.write(330, &heal);

        assert!(scene.see(340, Some(&AWAY), true).is_some());
        let again = scene.see(350, Some(&AWAY), true).unwrap();
        assert_eq!((again.age, again.share.get()), (Duration::ZERO, 2_000));
        scene.write(350, &again);
        assert_eq!(pushed(&scene, 350), 2_000);
    }

    #[test]
    fn one_that_nobody_is_told_goes_on_returning() {
        let mut scene = Scene::of(&post());
        let trip = scene.see(0, Some(&AWAY), true).unwrap();
        scene.write(0, &trip);
        scene.see(1, Some(&Evidence::HEALTHY), true);
        let heal = scene.see(61, Some(&Evidence::HEALTHY), true).unwrap();
        scene.write(61, &heal);
        assert!(scene.see(70, Some(&AWAY), false).is_none());
        let over = scene.see(161, Some(&AWAY), false).unwrap();
        assert_eq!((over.state, over.turn), (GuardPhase::Watching, None));
    }

    #[test]
    fn what_a_replica_has_found_by_itself_is_written_by_who_takes_the_lease() {
        let began = Instant::now();
        let own = State::Tripped {
            cause: Cause::Leaderless,
            since: began.checked_sub(Duration::from_secs(5)).unwrap(),
            share: BasisPoints::ALL,
            healthy_since: None,
        };
        let mut scene = Scene::of(&Post { own, ..post() });
        let write = scene.see(0, Some(&Evidence::HEALTHY), true).unwrap();
        assert_eq!(write.cause, Some(Cause::Leaderless));
        assert_eq!(write.turn.as_ref().unwrap().kind, TurnKind::Trip);
        // It goes on where clients are.
        assert!(
            (4_900..=5_000).contains(&write.share.get()),
            "{}",
            write.share
        );
        // If it cannot be written, they go on meanwhile.
        let later = scene.see(3, Some(&Evidence::HEALTHY), true).unwrap();
        assert_eq!(later.turn.as_ref().unwrap().kind, TurnKind::Trip);
        assert_eq!((later.age, later.share.get()), (Duration::ZERO, 2_000));
    }

    #[test]
    fn a_trip_begins_where_the_clients_of_this_replica_are() {
        let began = Instant::now();
        let own = State::Returning {
            since: began.checked_sub(Duration::from_secs(30)).unwrap(),
        };
        let mut scene = Scene::of(&Post { own, ..post() });
        scene.began = began;
        let trip = scene.see(0, Some(&AWAY), true).unwrap();
        assert_eq!(trip.share.get(), 3_000);
    }

    #[test]
    fn another_lease_or_another_row_is_begun_anew() {
        let scene = Scene::of(&post());
        assert!(scene.judging.goes_on(&lease(1), &post()));
        assert!(!scene.judging.goes_on(&lease(2), &post()));
        let mut other = Scene::of(&post());
        let write = other.see(0, Some(&AWAY), true).unwrap();
        let row = Post {
            record: Some(write.after(Micros::new(0))),
            ..post()
        };
        assert!(!scene.judging.goes_on(&lease(1), &row));
    }
}
