//! What all endpoints read from.

use std::{sync::Arc, time::Instant};

use super::state_cache::StateCache;
use crate::{
    config,
    cutover::{Adviser, Census, SteadyTime},
    domain::{Clock, Micros},
    identity::Identity,
    log::{Reader, Waiting},
    telemetry::usage::Usage,
};

/// What all endpoints read from: memory first, the database where memory does not reach.
pub struct Sources {
    pub(super) reader: Arc<Reader>,
    pub(super) waiting: Arc<Waiting>,
    pub(super) adviser: Arc<Adviser>,
    pub(super) census: Arc<Census>,
    pub(super) clock: Arc<dyn Clock>,
    /// Who may ask.
    pub(super) identity: Arc<Identity>,
    /// What brown-outs go by.
    pub(super) steady: SteadyTime,
    pub(super) states: StateCache,
    /// Where it is counted what polls cost.
    pub(super) usage: Arc<Usage>,
}

impl Sources {
    /// Sources with an empty cache of states.
    pub fn new(
        reader: Arc<Reader>,
        waiting: Arc<Waiting>,
        (adviser, census): (Arc<Adviser>, Arc<Census>),
        clock: Arc<dyn Clock>,
        bounds: &config::poll::Poll,
    ) -> Self {
        let states = StateCache::new(bounds.state_cache_entries, bounds.state_cache_bytes);
        Self {
            reader,
            waiting,
            adviser,
            census,
            steady: SteadyTime::from(Arc::clone(&clock), Instant::now()),
            clock,
            states,
            usage: Arc::default(),
            identity: Arc::new(Identity::open()),
        }
    }

    /// Goes by the database's clock too: what it says at a moment, if that is known.
    #[must_use]
    pub fn by_database(
        self,
        time: impl Fn(Instant) -> Option<Micros> + Send + Sync + 'static,
    ) -> Self {
        Self {
            steady: self.steady.and_database(time),
            ..self
        }
    }

    /// Asks who polls; else whoever says who he is, is believed. To be called before endpoints are made.
    #[must_use]
    pub fn asking(self, identity: Arc<Identity>) -> Self {
        Self { identity, ..self }
    }

    /// Counts what polls cost where others count too. To be called before endpoints are made.
    #[must_use]
    pub fn counting(self, usage: Arc<Usage>) -> Self {
        Self { usage, ..self }
    }
}
