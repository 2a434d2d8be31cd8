//! From the log to the lanes: what is read next, and from where.
//!
//! Invariants: a lane reads its log in order and enters what it reads into the ledger before it goes anywhere; it reads on
//! only while it has little left to send, and not far beyond the first change that is not acknowledged, so what is held for
//! a target that stands still is bounded.

use std::{sync::Arc, time::Instant};

use super::{
    Publisher,
    jobs::{Asked, Kind, MirrorStore, Rows},
};
use crate::{
    domain::{Change, Cursor},
    log::TailRead,
    mirror::{ledger::Enlisted, target::Target},
};

impl<S: MirrorStore + ?Sized> Publisher<S> {
    /// Reads on from the tail, or notes that the database must be asked.
    pub(super) fn refill(&mut self, at: usize) {
        let lane = &self.lanes[at];
        let batch = usize::try_from(self.settings.batch).unwrap_or(usize::MAX);
        let waiting = lane.waiting();
        let far = self.ledger.held(lane.id) >= Target::span(&self.settings);
        if lane.wants_database.is_some() || waiting > batch / 2 || far {
            return;
        }
        let (tail, read_to) = (&self.sources.tail, lane.read_to.position);
        match tail.read_all(&lane.module, read_to, batch - waiting) {
            Some(TailRead::Found { changes, .. }) => self.take_in(at, changes),
            Some(TailRead::Older(edge)) => {
                let begins = Cursor::new(edge.epoch, edge.covers_after);
                self.lanes[at].wants_database = Some(begins);
            }
            // The tail is behind the cursor for a moment after a take-over.
            Some(TailRead::Above(_)) | None => {}
        }
    }

    /// Takes changes that follow what a lane has read, each into the queue of its way.
    fn take_in(&mut self, at: usize, changes: impl IntoIterator<Item = Arc<Change>>) {
        let lane = &mut self.lanes[at];
        for change in changes {
            let cursor = change.cursor();
            let after = std::mem::replace(&mut lane.read_to, cursor);
            let enlisted = self
                .ledger
                .enlist(lane.id, after, cursor, change.sequenced_at);
            match enlisted {
                Enlisted::Wanted => {
                    let way = lane.fork.way(&change.audience);
                    lane.ways[way].queue.push_back(change);
                }
                Enlisted::Known => {}
                Enlisted::Misplaced => {
                    tracing::error!(broker = %self.target.name, module = %lane.module, %after, %cursor, "a change was passed over: beginning again at the cursor");
                    if let Some(prefix) = self.ledger.prefix(lane.id) {
                        lane.restart(prefix);
                        self.ledger.open(lane.id, prefix);
                    }
                    return;
                }
            }
        }
    }

    /// Asks the database for what the tail does not have any more.
    pub(super) fn ask_database(&mut self) {
        let wanted = self.lanes.iter().filter_map(|lane| {
            Some(Asked {
                lane: lane.id,
                module: lane.module.clone(),
                after: lane.read_to.position,
                tail_begins: lane.wants_database?,
            })
        });
        let asked: Vec<_> = wanted.collect();
        if !asked.is_empty() && self.jobs.may(Kind::Read, Instant::now()) {
            self.jobs.read(asked, self.settings.batch);
        }
    }

    /// Takes rows that the tail did not have any more.
    pub(super) fn take_rows(&mut self, asked: Vec<Asked>, mut rows: Rows) {
        let mut idle = true;
        for one in asked {
            let changes = rows.by_module.remove(&one.module).unwrap_or_default();
            idle &= changes.is_empty();
            let pruned = rows.pruned.contains(&one.module);
            self.take_rows_of(&one, changes, pruned);
        }
        if idle {
            self.jobs.rest(Kind::Read);
        }
    }

    fn take_rows_of(&mut self, asked: &Asked, changes: Vec<Arc<Change>>, pruned: bool) {
        let Some(at) = self.lanes.iter().position(|lane| lane.id == asked.lane) else {
            return;
        };
        let lane = &mut self.lanes[at];
        // A reconnect in between has set the lane back: it will ask again.
        let unchanged = lane.read_to.position == asked.after;
        if lane.wants_database.take().is_none() || !unchanged {
            return;
        }
        if changes.is_empty() {
            self.ledger.forget(lane.id, lane.read_to, asked.tail_begins);
        }
        let nothing_outstanding = self.ledger.oldest(lane.id).is_none();
        let next = changes.first().map(|change| change.cursor());
        let goes_on = next.or(nothing_outstanding.then_some(asked.tail_begins));
        if let Some(next) = goes_on.filter(|_| pruned) {
            lane.skip(&self.target.name, next);
        }
        if changes.is_empty() && nothing_outstanding {
            // All that lies before the tail is gone from the log: go on where the tail begins.
            lane.restart(asked.tail_begins);
            self.ledger.open(lane.id, asked.tail_begins);
        } else {
            self.take_in(at, changes);
        }
    }
}
