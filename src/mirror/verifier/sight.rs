//! What the watches look at, and when.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{
    config,
    domain::{Clock, Micros},
    log::Tail,
    mirror::topic::Topics,
};

/// What lasts.
pub(super) struct Means {
    pub(super) settings: config::verifier::Verifier,
    pub(super) tail: Arc<Tail>,
    pub(super) topics: Topics,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) delivery: metrics::Histogram,
    /// Publishes of the mirror that may be on their way at once.
    pub(super) slack: u64,
}

/// A look at it.
pub(super) struct Sight<'a> {
    pub(super) settings: &'a config::verifier::Verifier,
    pub(super) tail: &'a Tail,
    pub(super) topics: &'a Topics,
    pub(super) delivery: &'a metrics::Histogram,
    pub(super) slack: u64,
    pub(super) now: Instant,
    pub(super) time: Micros,
}

impl Means {
    pub(super) fn sight(&self) -> Sight<'_> {
        Sight {
            settings: &self.settings,
            tail: &self.tail,
            topics: &self.topics,
            delivery: &self.delivery,
            slack: self.slack,
            now: Instant::now(),
            time: self.clock.now(),
        }
    }
}

impl Sight<'_> {
    /// How long a change may take before it is missing, and a report of something before it is late.
    pub(super) fn grace(&self) -> Duration {
        Duration::from_millis(self.settings.missing_after_ms)
    }
}
