//! From the ledger's prefixes to the rows of `mirror_cursor`.
//!
//! Invariant: a row is written only under its module's lease and over the version that was read.

use std::time::{Duration, Instant};

use super::{
    Publisher,
    jobs::{Kind, MirrorStore},
};
use crate::{domain::ModuleName, mirror::ledger::LaneId, store};

impl<S: MirrorStore + ?Sized> Publisher<S> {
    /// Writes the moved cursors if enough time or acknowledgements have passed.
    pub(super) fn write_if_due(&mut self) {
        let now = Instant::now();
        let span = Duration::from_millis(self.settings.cursor_ms);
        let due = self.unwritten_acks >= self.settings.cursor_acks.max(1)
            || now.duration_since(self.written_at) >= span;
        if due && self.jobs.may(Kind::Write, now) {
            self.write();
        }
    }

    /// Writes the cursors that have moved. Those of a retired target stand for nothing, and stay.
    pub(super) fn write(&mut self) {
        if !self.may_follow() {
            return;
        }
        let ledger = &self.ledger;
        let dirty = self.lanes.iter().filter_map(|lane| {
            let prefix = ledger.prefix(lane.id)?;
            lane.is_dirty(prefix)
                .then(|| (lane.id, lane.lease.clone(), lane.row(prefix)))
        });
        let rows: Vec<_> = dirty.collect();
        self.written_at = Instant::now();
        self.unwritten_acks = 0;
        if !rows.is_empty() {
            self.jobs.write(rows);
        }
    }

    /// The store has refused cursors: those whose right was lost are no longer mirrored from here.
    pub(super) fn on_unwritten(
        &mut self,
        rows: &[(LaneId, store::MirrorCursor)],
        error: &store::Error,
    ) {
        self.complain(error);
        let closed = |module: &ModuleName| match error {
            store::Error::LeaseLost { module: lost } => module == lost,
            // Somebody wrote in between, or an outcome was unknown: begin with what is stored.
            store::Error::VersionConflict { .. } => true,
            _ => false,
        };
        for (id, _) in rows.iter().filter(|(_, row)| closed(&row.module)) {
            self.close_lane(*id);
        }
    }
}
