//! The guard as a state machine: which share of the clients is told what, and when that changes. Pure.

use std::time::{Duration, Instant};

use super::{Bounds, Cause, Evidence, Spot};
use crate::domain::BasisPoints;

/// How fast a guard moves clients. See `[guard]` in docs/CONFIGURATION.md.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// In which time all clients fall back to polling.
    pub fall_back_over: Duration,
    /// How long the mirror must be healthy before the first client returns; not below `fall_back_over`.
    pub heal_after: Duration,
    /// In which time all clients return.
    pub return_over: Duration,
}

/// Where a guard is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum State {
    /// Clients are told what the ladder says.
    #[default]
    Watching,
    /// Clients fall back, or have fallen back.
    Tripped {
        /// Why.
        cause: Cause,
        /// From when on.
        since: Instant,
        /// The share that was told push then: the guard trips again while clients return.
        share: BasisPoints,
        /// Since when the mirror has been healthy.
        healthy_since: Option<Instant>,
    },
    /// Clients return.
    Returning {
        /// From when on.
        since: Instant,
    },
}

/// One guard.
#[derive(Debug, Clone)]
pub struct Guard {
    bounds: Bounds,
    pace: Pace,
    state: State,
}

impl Guard {
    /// A guard that nothing is known to.
    pub const fn new(bounds: Bounds, pace: Pace) -> Self {
        Self::resumed(bounds, pace, State::Watching)
    }

    /// A guard as its last holder left it.
    pub const fn resumed(bounds: Bounds, pace: Pace, state: State) -> Self {
        Self {
            bounds,
            pace,
            state,
        }
    }

    /// Where it is.
    pub const fn state(&self) -> State {
        self.state
    }

    /// Takes in what is known now. Returns whether the state is another one: what has to be written down.
    pub fn observe(&mut self, evidence: &Evidence, now: Instant) -> bool {
        let next = match self.bounds.trip(evidence) {
            Some(cause) => self.tripped(cause, now),
            None => self.calmer(self.bounds.heals(evidence), now),
        };
        std::mem::replace(&mut self.state, next) != next
    }

    /// Nobody mirrors the module: as bad as any evidence.
    pub fn leaderless(&mut self, now: Instant) -> bool {
        let next = self.tripped(Cause::Leaderless, now);
        std::mem::replace(&mut self.state, next) != next
    }

    /// A guard that has tripped keeps its moment, or each new cause would send clients to the push again.
    fn tripped(&self, cause: Cause, now: Instant) -> State {
        match self.state {
            State::Tripped { since, share, .. } => State::Tripped {
                cause,
                since,
                share,
                healthy_since: None,
            },
            State::Watching | State::Returning { .. } => State::Tripped {
                cause,
                since: now,
                share: self.pushed(now),
                healthy_since: None,
            },
        }
    }

    fn calmer(&self, heals: bool, now: Instant) -> State {
        match self.state {
            State::Watching => State::Watching,
            State::Returning { since } if elapsed(since, now) >= self.pace.return_over => {
                State::Watching
            }
            State::Returning { since } => State::Returning { since },
            State::Tripped {
                cause,
                since,
                share,
                healthy_since,
            } => {
                let healthy_since = heals.then(|| healthy_since.unwrap_or(now));
                let healed = healthy_since.is_some_and(|at| elapsed(at, now) >= self.heal_after());
                if healed {
                    return State::Returning { since: now };
                }
                State::Tripped {
                    cause,
                    since,
                    share,
                    healthy_since,
                }
            }
        }
    }

    /// Nobody returns before all have fallen back.
    fn heal_after(&self) -> Duration {
        self.pace.heal_after.max(self.pace.fall_back_over)
    }

    /// Nobody knows any more whether the mirror is healthy.
    pub const fn lose_sight(&mut self) {
        if let State::Tripped { healthy_since, .. } = &mut self.state {
            *healthy_since = None;
        }
    }

    /// A turn is taken now, and of those whose guard has tripped this share is told push: decided it was before.
    pub fn begin(&mut self, now: Instant, pushed: BasisPoints) {
        match &mut self.state {
            State::Watching => {}
            State::Returning { since } => *since = now,
            State::Tripped {
                since,
                share,
                healthy_since,
                ..
            } => {
                (*since, *share) = (now, pushed);
                *healthy_since = healthy_since.map(|at| at.max(now));
            }
        }
    }

    /// The share of the clients, by their spot, that is told what the ladder says. The others are told to poll.
    pub fn pushed(&self, now: Instant) -> BasisPoints {
        self.state.pushed(&self.pace, now)
    }
}

impl State {
    /// See [`Guard::pushed`].
    pub fn pushed(&self, pace: &Pace, now: Instant) -> BasisPoints {
        match *self {
            Self::Watching => BasisPoints::ALL,
            Self::Tripped { since, share, .. } => {
                share.minus(part(elapsed(since, now), pace.fall_back_over))
            }
            Self::Returning { since } => part(elapsed(since, now), pace.return_over),
        }
    }

    /// One under which clients return, at the moment at which this share of them has.
    pub(super) fn returning_from(pushed: BasisPoints, pace: &Pace, now: Instant) -> Self {
        let passed = piece(pace.return_over, pushed.get());
        Self::Returning {
            since: now.checked_sub(passed).unwrap_or(now),
        }
    }

    /// When a client is told something else, as far as it can be known: on its way to polling its time to leave the push, on the way
    /// back its time to return. It may have passed.
    pub fn moves_at(&self, pace: &Pace, spot: Spot) -> Option<Instant> {
        match *self {
            Self::Watching => None,
            Self::Tripped { since, share, .. } => {
                let before = share.get().checked_sub(spot.get())?;
                Some(since + piece(pace.fall_back_over, before))
            }
            Self::Returning { since } => {
                Some(since + piece(pace.return_over, spot.get().saturating_add(1)))
            }
        }
    }
}

/// So many hundredths of a percent of a span, rounded up.
fn piece(whole: Duration, points: u16) -> Duration {
    let nanos = whole.as_nanos() * u128::from(points);
    let nanos = nanos.div_ceil(u128::from(BasisPoints::ALL.get()));
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

/// Another replica's moment may lie ahead of this one's by what the reading took.
fn elapsed(since: Instant, now: Instant) -> Duration {
    now.saturating_duration_since(since)
}

/// How much of everyone is `done` of `whole`.
fn part(done: Duration, whole: Duration) -> BasisPoints {
    if done >= whole {
        return BasisPoints::ALL;
    }
    let all = u128::from(BasisPoints::ALL.get());
    let points = all * done.as_nanos() / whole.as_nanos();
    let points = u16::try_from(points).unwrap_or(u16::MAX);
    BasisPoints::new(points).unwrap_or(BasisPoints::ALL)
}
