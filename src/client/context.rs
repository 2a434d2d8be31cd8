//! What all parts of a client share: the time, the chance, and the list of what is to be done.

use std::time::Duration;

use super::{Action, Settings, chance::Chance};
use crate::domain::Backoff;

/// What everything in a client shares.
#[derive(Debug)]
pub(super) struct Context {
    pub(super) now: Duration,
    pub(super) settings: Settings,
    pub(super) chance: Chance,
    /// What is to be done.
    pub(super) actions: Vec<Action>,
}

impl Context {
    pub(super) fn backoff(settings: &Settings) -> Backoff {
        Backoff::new(settings.first_pause, settings.longest_pause)
    }

    /// After a failure; at least as long as the server asks.
    pub(super) fn after_pause(
        &mut self,
        failures: &mut Backoff,
        asked: Option<Duration>,
    ) -> Duration {
        let pause = failures.pause(self.chance.draw());
        self.now + asked.unwrap_or_default().max(pause)
    }
}
