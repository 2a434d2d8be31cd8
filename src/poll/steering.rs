//! When a client should come again: what `$next_poll_ms` and `Changeover-Next-Poll-Ms` say.
//!
//! The interval is `next_poll_ms × f`. `f` is 1 as it comes, and once a second of polls
//!
//! - demand is the polls a second over `steer.polls_per_s` (0 if that is not configured);
//! - with a demand above 1 `f` grows by that factor, and at least by 1.25 if a read of the module had
//!   to wait for a place or found none, but never by more than 1.5;
//! - with a demand below 0.8 and nobody waiting it shrinks by 5 %; in between it stays.
//!
//! It ends at `steer.max_ms`. Clients that obey come `f` times less often, so demand settles between
//! 0.8 and 1. An interval above the configured one is spread over a tenth of itself, so that clients
//! that were answered together do not come back together.
//!
//! Invariant: without steering, or without load, the interval is the configured one exactly.

use std::{
    sync::{
        Mutex, PoisonError, TryLockError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use crate::config::steer::Steer;

const TICK: Duration = Duration::from_secs(1);
/// Growth in one tick if a read found no place at once, and at most.
const GROWTH: (f64, f64) = (1.25, 1.5);
const SHRINKAGE: f64 = 0.95;
/// Below this demand the interval shrinks.
const CALM: f64 = 0.8;
const SPREAD: f64 = 0.1;

/// The steering of one endpoint.
#[derive(Debug)]
pub(super) struct Steering {
    base_ms: u64,
    steer: Option<Steer>,
    polls: AtomicU64,
    /// `f64` bits.
    factor: AtomicU64,
    last: Mutex<Last>,
}

/// The last tick.
#[derive(Debug)]
struct Last {
    at: Instant,
    strain: u64,
}

/// What one tick has seen.
#[derive(Debug, Clone, Copy)]
struct Load {
    demand: f64,
    strained: bool,
    seconds: f64,
}

impl Steering {
    pub(super) fn new(base_ms: u64, steer: Option<Steer>, now: Instant) -> Self {
        Self {
            base_ms,
            steer,
            polls: AtomicU64::new(0),
            factor: AtomicU64::new(1.0_f64.to_bits()),
            last: Mutex::new(Last { at: now, strain: 0 }),
        }
    }

    /// Whether anything but the configured interval may be told.
    pub(super) const fn is_on(&self) -> bool {
        self.steer.is_some()
    }

    /// The interval for one client, who polls now. `strain` counts up with each read that had to wait
    /// and is asked once a second at most; `chance` is between 0 and 1.
    pub(super) fn interval_ms(
        &self,
        now: Instant,
        strain: impl FnOnce() -> u64,
        chance: impl FnOnce() -> f64,
    ) -> u64 {
        let Some(steer) = &self.steer else {
            return self.base_ms;
        };
        self.polls.fetch_add(1, Relaxed);
        self.tick(steer, now, strain);
        let factor = f64::from_bits(self.factor.load(Relaxed));
        if factor <= 1.0 {
            return self.base_ms;
        }
        let spread = 1.0 + SPREAD * chance().clamp(0.0, 1.0);
        scaled(self.base_ms, factor * spread).min(self.most_ms(steer))
    }

    fn tick(&self, steer: &Steer, now: Instant, strain: impl FnOnce() -> u64) {
        let mut last = match self.last.try_lock() {
            Ok(last) => last,
            Err(TryLockError::Poisoned(poisoned)) => PoisonError::into_inner(poisoned),
            // Another poll is at it.
            Err(TryLockError::WouldBlock) => return,
        };
        let elapsed = now.saturating_duration_since(last.at);
        if elapsed < TICK {
            return;
        }
        let strain = strain();
        let load = Load {
            demand: demand(self.polls.swap(0, Relaxed), elapsed, steer),
            strained: strain != last.strain,
            seconds: elapsed.as_secs_f64(),
        };
        *last = Last { at: now, strain };
        let factor = f64::from_bits(self.factor.load(Relaxed));
        #[expect(clippy::cast_precision_loss, reason = "intervals are below 2^52 ms")]
        let most = self.most_ms(steer) as f64 / self.base_ms as f64;
        let factor = next_factor(factor, load).clamp(1.0, most.max(1.0));
        self.factor.store(factor.to_bits(), Relaxed);
    }

    fn most_ms(&self, steer: &Steer) -> u64 {
        steer.max_ms.max(self.base_ms)
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "far below 2^52 polls in one tick"
)]
fn demand(polls: u64, elapsed: Duration, steer: &Steer) -> f64 {
    let allowed = steer.polls_per_s.map(f64::from);
    allowed.map_or(0.0, |allowed| {
        polls as f64 / elapsed.as_secs_f64() / allowed
    })
}

fn next_factor(factor: f64, load: Load) -> f64 {
    let (strained, most) = GROWTH;
    let floor = if load.strained { strained } else { 1.0 };
    let growth = load.demand.max(floor).min(most);
    if growth > 1.0 {
        factor * growth
    } else if load.demand < CALM {
        factor * SHRINKAGE.powf(load.seconds)
    } else {
        factor
    }
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "intervals are below 2^52 ms, and what is too large ends at the most"
)]
fn scaled(ms: u64, factor: f64) -> u64 {
    (ms as f64 * factor).round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE_MS: u64 = 1_000;

    fn steering(now: Instant) -> Steering {
        let steer = Steer {
            max_ms: 8_000,
            polls_per_s: Some(100),
        };
        Steering::new(BASE_MS, Some(steer), now)
    }

    /// `clients` that obey poll for `seconds`. Returns the last interval and the polls of the last
    /// second.
    fn run(steering: &Steering, now: &mut Instant, clients: u64, seconds: u64) -> (u64, u64) {
        let (mut interval, mut polls) = (BASE_MS, 0);
        for _ in 0..seconds {
            polls = clients * BASE_MS / interval;
            for _ in 0..polls {
                interval = steering.interval_ms(*now, || 0, || 0.0);
            }
            *now += TICK;
        }
        (interval, polls)
    }

    #[test]
    fn clients_that_obey_come_as_often_as_wanted() {
        let mut now = Instant::now();
        let steering = steering(now);
        let (calm, _) = run(&steering, &mut now, 70, 10);
        assert_eq!(calm, BASE_MS, "without load exactly what is configured");
        let (_, polls) = run(&steering, &mut now, 400, 60);
        assert!((70..=105).contains(&polls), "{polls} a second");
        let (most, _) = run(&steering, &mut now, 100_000, 60);
        assert_eq!(most, 8_000);
        let (calm, _) = run(&steering, &mut now, 10, 200);
        assert_eq!(calm, BASE_MS, "the load is gone");
    }

    #[test]
    fn reads_that_wait_for_a_place_slow_the_clients() {
        let mut now = Instant::now();
        let steering = steering(now);
        let intervals: Vec<_> = (1..=20)
            .map(|strain| {
                now += TICK;
                steering.interval_ms(now, || strain, || 0.0)
            })
            .collect();
        assert_eq!(intervals[..3], [1_250, 1_563, 1_953]);
        assert_eq!(intervals[19], 8_000);
    }

    #[test]
    fn raised_intervals_are_spread() {
        let began = Instant::now();
        let (steering, now) = (steering(began), began + TICK);
        assert_eq!(steering.interval_ms(now, || 1, || 0.0), 1_250);
        assert_eq!(steering.interval_ms(now, || 1, || 1.0), 1_375);
    }

    #[test]
    fn who_is_not_steered_hears_what_is_configured() {
        let now = Instant::now();
        let steering = Steering::new(BASE_MS, None, now);
        let said = steering.interval_ms(now + TICK, || panic!("not asked"), || panic!("nor drawn"));
        assert_eq!(said, BASE_MS);
    }
}
