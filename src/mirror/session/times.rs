//! How long an answer holds, and when a client comes again.
//!
//! Invariants: no answer outlives the credential of its caller; who was answered together does not come back together.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use super::{ModuleSession, Sessions};
use crate::identity::Who;

impl Sessions {
    /// How long the answer holds: no longer than the credential of the caller.
    pub(super) fn lifetime_ms(&self, who: &Who) -> u64 {
        let ends_at = who.caller().and_then(|caller| caller.expires_at);
        let left = ends_at.map(|at| at.since(self.clock.now()).as_millis());
        let left = left.and_then(|left| u64::try_from(left).ok());
        left.map_or(self.settings.lifetime_ms, |left| {
            left.min(self.settings.lifetime_ms)
        })
    }

    /// What a client is told on its way back from push is no interval to go on with: it asks again once it is there. So does one that a
    /// guard moves, at its own time.
    pub(super) fn next_session_ms(
        &self,
        lifetime_ms: u64,
        modules: &BTreeMap<String, ModuleSession>,
        chance: f64,
    ) -> u64 {
        // Whose credential ends in a moment does not come again and again until then.
        let shortest = SHORTEST_SESSION_MS.min(self.settings.lifetime_ms / 2);
        let usual = spread((lifetime_ms / 2).max(shortest), chance);
        let returning = modules.values().filter(|module| module.returns);
        let there = returning.filter_map(|module| module.next_poll_ms).max();
        let moved = modules.values().filter_map(|module| module.holds_ms).min();
        let soonest = there.into_iter().chain(moved).min();
        soonest.map_or(usual, |soonest| usual.min(soonest.max(SHORTEST_SESSION_MS)))
    }
}

/// A little more than what is left, so that who comes then finds itself moved.
pub(super) fn from_now_ms(moment: Instant) -> u64 {
    let left = moment.saturating_duration_since(Instant::now());
    u64::try_from(left.as_millis())
        .unwrap_or(u64::MAX)
        .saturating_add(1)
}

/// Nobody is asked to come again sooner.
const SHORTEST_SESSION_MS: u64 = 1_000;

/// A tenth less at most, so that clients that asked together do not come back together.
pub(super) fn spread(ms: u64, chance: f64) -> u64 {
    let tenth = Duration::from_millis(ms / 10).mul_f64(chance.clamp(0.0, 1.0));
    ms - u64::try_from(tenth.as_millis()).unwrap_or(0)
}
