//! That this replica keeps the census, written down for the gates that ask since when who polls is known.
//!
//! Invariants: it is noted only after all that was seen is written, often enough that a write which is late is no gap; a replica that ends
//! takes itself out only if it has written all; one without a census says at its start and its end that nothing is known.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{
    domain::ModuleName,
    store::{self, Keeping, Store},
};

/// Notes in the time that is no gap.
const PER_GAP: u32 = 5;

/// The record of this replica.
pub(super) struct Record {
    store: Arc<dyn Store>,
    instance: String,
    modules: Vec<ModuleName>,
    gap: Duration,
    keep: Duration,
    noted_at: Option<Instant>,
}

impl Record {
    pub(super) fn new(
        store: Arc<dyn Store>,
        instance: String,
        mut modules: Vec<ModuleName>,
        (gap, keep): (Duration, Duration),
    ) -> Self {
        // All replicas write them in one order, so that none waits for another one crosswise.
        modules.sort_unstable();
        Self {
            store,
            instance,
            modules,
            gap,
            keep,
            noted_at: None,
        }
    }

    /// What is no gap yet.
    pub(super) const fn gap(&self) -> Duration {
        self.gap
    }

    /// All that was seen before `now` is written.
    pub(super) async fn note(&mut self, now: Instant) -> store::Result<()> {
        let is_due = |at| now.saturating_duration_since(at) >= self.gap / PER_GAP;
        if !self.noted_at.is_none_or(is_due) {
            return Ok(());
        }
        let keeping = Keeping {
            instance: &self.instance,
            modules: &self.modules,
            gap: self.gap,
            keep: self.keep,
            again: self.noted_at.is_some(),
        };
        self.store.note_kept(&keeping).await?;
        self.noted_at = Some(now);
        Ok(())
    }

    /// All that was seen is written, and nothing more will be seen.
    pub(super) async fn end(&self) -> store::Result<()> {
        self.store.end_keeping(&self.instance).await
    }

    /// Whoever polls here is seen by nobody.
    pub(super) async fn deny(&self) -> store::Result<()> {
        self.store.note_unkept(&self.instance, &self.modules).await
    }
}
