//! One guard as a replica knows it: the row, by the replica's own clock, and what the replica has found by itself.

use std::time::{Duration, Instant};

use super::{Cause, Pace, Spot, State};
use crate::{
    domain::{BasisPoints, GuardPhase},
    store::GuardRecord,
};

/// For how long a row must be older than the one that is known before it counts: longer than any reading is late.
const GONE_BACK_FOR: Duration = Duration::from_secs(5);

/// What is known of one guard.
#[derive(Debug, Clone)]
pub struct Post {
    /// The target that it watches.
    pub target: String,
    /// The row, as last read or written; absent = there is none.
    pub record: Option<GuardRecord>,
    /// What the row says, by this replica's monotonic clock.
    pub(super) stored: State,
    /// What this replica has found by itself, because nobody was there to write it down.
    pub(super) own: State,
    /// Since when the row that is read is older than the one that is known.
    pub(super) gone_back: Option<Instant>,
}

impl Post {
    pub(super) const fn new(target: String) -> Self {
        Self {
            target,
            record: None,
            stored: State::Watching,
            own: State::Watching,
            gone_back: None,
        }
    }

    /// What counts: the worse of what is written and what this replica has found by itself.
    pub const fn state(&self) -> State {
        match (self.stored, self.own) {
            (stored @ State::Tripped { .. }, _) => stored,
            (State::Watching, own) | (_, own @ State::Tripped { .. }) => own,
            (stored, _) => stored,
        }
    }

    /// The version of the row; 0 = there is none.
    pub(super) fn version(&self) -> i64 {
        version(self.record.as_ref())
    }

    pub(super) fn is_quiet(&self) -> bool {
        (self.stored, self.own) == (State::Watching, State::Watching)
    }

    pub(in crate::cutover) fn has_tripped(&self) -> bool {
        self.state().phase() == GuardPhase::Tripped
    }

    pub(super) fn pushed(&self, pace: &Pace, now: Instant) -> BasisPoints {
        let both = [self.stored, self.own].map(|state| state.pushed(pace, now));
        both[0].min(both[1])
    }

    /// When a client at this spot moves next: away at the first of both, back at the last of them. Nobody knows when one returns
    /// before the guard has healed.
    pub(super) fn moves_at(&self, pace: &Pace, spot: Spot, is_in: bool) -> Option<Instant> {
        let (phase, states) = (self.state().phase(), [self.stored, self.own]);
        let states = states.iter().filter(|state| state.phase() == phase);
        let moments = states.filter_map(|state| state.moves_at(pace, spot));
        match (phase, is_in) {
            (GuardPhase::Tripped, true) => moments.min(),
            (GuardPhase::Returning, false) => moments.max(),
            _ => None,
        }
    }

    /// Whether a row that was read, or that there is none, is anything new.
    pub(super) fn is_news(&self, record: Option<&GuardRecord>) -> bool {
        self.gone_back.is_some() || version(record) != self.version()
    }

    /// Takes over what was read; `None` = there is no row. Returns whether clients may be told something else from now on.
    pub(super) fn read(&mut self, record: Option<&GuardRecord>, pace: &Pace, now: Instant) -> bool {
        if version(record) >= self.version() {
            self.gone_back = None;
            return record.is_some_and(|record| self.adopt(record, None, now));
        }
        let since = *self.gone_back.get_or_insert(now);
        if now.saturating_duration_since(since) < GONE_BACK_FOR {
            return false;
        }
        self.go_back(record, pace, now);
        true
    }

    /// The database was restored: its row counts, and clients go there from where they are.
    fn go_back(&mut self, record: Option<&GuardRecord>, pace: &Pace, now: Instant) {
        let pushed = self.pushed(pace, now);
        let returning = State::returning_from(pushed, pace, now);
        let whole = pushed == BasisPoints::ALL;
        (self.stored, self.own) = match record {
            Some(record) if record.state == GuardPhase::Tripped => {
                (tripped(record, now, pushed), State::Watching)
            }
            Some(record) if record.state == GuardPhase::Returning => (returning, State::Watching),
            _ if whole => (State::Watching, State::Watching),
            _ => (State::Watching, returning),
        };
        self.record = record.cloned();
        self.gone_back = None;
    }

    /// Returns whether clients may be told something else from now on. The state, if it is known better than by its age.
    pub(super) fn adopt(
        &mut self,
        record: &GuardRecord,
        state: Option<State>,
        now: Instant,
    ) -> bool {
        if record.version <= self.version() {
            return false;
        }
        let was = self.stored;
        let turns = self.record.as_ref().map_or(0, |held| held.turns);
        let has_turned = record.turns != turns;
        let goes_on = (!has_turned).then_some(was);
        self.stored = state.unwrap_or_else(|| continued(goes_on, record, now));
        self.record = Some(record.clone());
        if self.stored != State::Watching {
            // Somebody has written down what each replica had to find by itself.
            self.own = State::Watching;
        }
        // Two turns may lead to where it was, with other clients on their way.
        has_turned || self.stored.phase() != was.phase()
    }
}

fn version(record: Option<&GuardRecord>) -> i64 {
    record.map_or(0, |record| record.version)
}

/// A row's state by this replica's clock. One that goes on keeps the moment that it was first seen with. How long the mirror has been
/// healthy counts for the one who watches, who begins anew.
fn continued(goes_on: Option<State>, record: &GuardRecord, now: Instant) -> State {
    let began = now.checked_sub(record.age).unwrap_or(now);
    match (record.state, goes_on) {
        (GuardPhase::Watching, _) => State::Watching,
        (GuardPhase::Tripped, Some(State::Tripped { since, share, .. })) => {
            tripped(record, since, share)
        }
        (GuardPhase::Tripped, _) => tripped(record, began, record.share),
        (GuardPhase::Returning, Some(State::Returning { since })) => State::Returning { since },
        (GuardPhase::Returning, _) => State::Returning { since: began },
    }
}

fn tripped(record: &GuardRecord, since: Instant, share: BasisPoints) -> State {
    State::Tripped {
        cause: record.cause.unwrap_or(Cause::Lag),
        since,
        share,
        healthy_since: None,
    }
}
