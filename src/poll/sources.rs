//! What all endpoints read from.

use std::sync::Arc;

use super::state_cache::StateCache;
use crate::{
    config,
    cutover::Adviser,
    domain::Clock,
    log::{Reader, Waiting},
};

/// What all endpoints read from: memory first, the database where memory does not reach.
pub struct Sources {
    pub(super) reader: Arc<Reader>,
    pub(super) waiting: Arc<Waiting>,
    pub(super) adviser: Arc<Adviser>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) states: StateCache,
}

impl Sources {
    /// Sources with an empty cache of states.
    pub fn new(
        reader: Arc<Reader>,
        waiting: Arc<Waiting>,
        adviser: Arc<Adviser>,
        clock: Arc<dyn Clock>,
        bounds: &config::poll::Poll,
    ) -> Self {
        let states = StateCache::new(bounds.state_cache_entries, bounds.state_cache_bytes);
        Self {
            reader,
            waiting,
            adviser,
            clock,
            states,
        }
    }
}
