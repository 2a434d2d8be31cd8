//! How long keys stay in force while their source cannot be read.
//!
//! Invariant: a key that was withdrawn is believed no longer than configured, also if whoever withdrew it cannot be read.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use super::keyring::Keyring;
use crate::telemetry::metric;

/// Since when the source of a ring's keys cannot be read.
pub(super) struct Unread {
    realm: Arc<str>,
    /// How long its last keys stay in force.
    keeps: Duration,
    since: Option<Instant>,
}

impl Unread {
    pub(super) const fn new(realm: Arc<str>, keeps: Duration) -> Self {
        Self {
            realm,
            keeps,
            since: None,
        }
    }

    /// It was read.
    pub(super) fn ends(&mut self) {
        self.since = None;
        self.tell(Duration::ZERO);
    }

    /// It could not be read now. Takes the keys out of force when their time is over.
    pub(super) fn goes_on(&mut self, now: Instant, ring: &Keyring) {
        let since = *self.since.get_or_insert(now);
        let lasts = now.saturating_duration_since(since);
        self.tell(lasts);
        if lasts >= self.keeps && ring.withdraw() {
            tracing::error!(realm = %self.realm, "keys could not be read for as long as they stay in force without: nobody is recognized by them until they can");
        }
    }

    fn tell(&self, lasts: Duration) {
        let realm = self.realm.as_ref().to_owned();
        metrics::gauge!(metric::KEYS_UNREAD, "realm" => realm).set(lasts.as_secs_f64());
    }
}
