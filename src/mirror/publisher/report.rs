//! What the publisher tells about itself, in the status and the metrics.

use std::collections::BTreeMap;

use super::{Publisher, jobs::MirrorStore};
use crate::{
    domain::{Cursor, Micros},
    log::TailRead,
    mirror::{lane::Lane, target::ModuleStatus},
};

impl<S: MirrorStore + ?Sized> Publisher<S> {
    /// Brings the status and the metrics up to date.
    pub(super) fn report(&self) {
        let now = self.sources.clock.now();
        let mut modules = BTreeMap::new();
        for lane in &self.lanes {
            let status = self.module_status(lane);
            lane.lag_seconds.set(status.lag(now).as_secs_f64());
            modules.insert(lane.module.clone(), status);
        }
        self.status.set_modules(modules);
        self.status.set_given_up(self.given_up().as_deref());
        #[expect(
            clippy::cast_precision_loss,
            reason = "the count is bounded by mirror.inflight"
        )]
        self.inflight.set(self.ledger.outstanding() as f64);
    }

    fn module_status(&self, lane: &Lane) -> ModuleStatus {
        let acknowledged = self.ledger.prefix(lane.id).unwrap_or(lane.stored.cursor);
        let last = self
            .sources
            .tail
            .edge(&lane.module)
            .map_or(acknowledged, |edge| edge.cursor());
        let behind = last
            .position
            .get()
            .saturating_sub(acknowledged.position.get());
        let outstanding = self.ledger.oldest(lane.id).map(|(_, at)| at);
        ModuleStatus {
            acknowledged,
            stay: lane.id.0,
            generation: lane.generation,
            behind,
            oldest: (behind > 0)
                .then(|| outstanding.or_else(|| self.next_at(lane, acknowledged)))
                .flatten(),
            halted: lane.halt_reason(),
            skipped: lane.skipped.clone(),
            unheard: lane.bookmark.given_up().map(str::to_owned),
        }
    }

    /// When the change after `acknowledged` was numbered, or the oldest that the tail still has.
    fn next_at(&self, lane: &Lane, acknowledged: Cursor) -> Option<Micros> {
        let edge = self.sources.tail.edge(&lane.module)?;
        let after = acknowledged.position.max(edge.covers_after);
        match self.sources.tail.read_all(&lane.module, after, 1)? {
            TailRead::Found { changes, .. } => Some(changes.first()?.sequenced_at),
            _ => None,
        }
    }
}
