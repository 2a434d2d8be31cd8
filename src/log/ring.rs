//! The newest part of one module's log, with an index per audience.
//!
//! Invariants: the index holds exactly the changes of the ring; a read costs what it returns,
//! whoever else the changes are for; the index is counted in the ring's bytes.

use std::{collections::VecDeque, sync::Arc};

use super::{Edge, TailRead, channels::Channels};
use crate::{
    config,
    domain::{Audience, Change, Epoch, Position},
    store::Head,
};

#[derive(Debug, Default)]
pub(super) struct Ring {
    epoch: Option<Epoch>,
    last: Position,
    retained_from: Position,
    changes: VecDeque<Arc<Change>>,
    channels: Channels,
    bytes: usize,
}

impl Ring {
    pub(super) const fn last(&self) -> Position {
        self.last
    }

    pub(super) fn edge(&self) -> Edge {
        let first = self.changes.front().map(|change| change.position.before());
        Edge {
            epoch: self.epoch.unwrap_or(Epoch::FIRST),
            covers_after: first.unwrap_or(self.last),
            last: self.last,
            retained_from: self.retained_from,
        }
    }

    /// What some audiences have above a position.
    pub(super) fn select(&self, audiences: &[Audience], after: Position, limit: usize) -> TailRead {
        self.judge(after, || {
            let seen = |change: &Change| change.position <= after;
            self.channels.select(audiences, seen, limit)
        })
    }

    /// What everyone has above a position.
    pub(super) fn select_all(&self, after: Position, limit: usize) -> TailRead {
        self.judge(after, || {
            let seen = |change: &Arc<Change>| change.position <= after;
            let start = self.changes.partition_point(seen);
            let mut found = self.changes.range(start..);
            let changes = found.by_ref().take(limit).cloned().collect();
            (changes, found.next().is_some())
        })
    }

    fn judge(
        &self,
        after: Position,
        select: impl FnOnce() -> (Vec<Arc<Change>>, bool),
    ) -> TailRead {
        let edge = self.edge();
        if after > edge.last {
            return TailRead::Above(edge);
        }
        if after < edge.covers_after {
            return TailRead::Older(edge);
        }
        let (changes, cut) = if after == edge.last {
            (Vec::new(), false)
        } else {
            select()
        };
        TailRead::Found { changes, cut, edge }
    }

    /// Returns false on a hole.
    pub(super) fn push(&mut self, change: &Arc<Change>, bounds: &config::tail::Tail) -> bool {
        if self.epoch.is_none() && change.position == Position::ZERO.next() {
            // The log began after the heads were read: this is all of it.
            self.epoch = Some(change.epoch);
        }
        if self.epoch != Some(change.epoch) {
            // The reader adopts the head of a new epoch first; rows of an older one are history.
            return self.epoch > Some(change.epoch);
        }
        if change.position <= self.last {
            return true;
        }
        if change.position != self.last.next() {
            return false;
        }
        self.last = change.position;
        self.bytes += change.footprint_bytes();
        self.changes.push_back(Arc::clone(change));
        self.channels.push(change);
        self.evict(bounds);
        true
    }

    fn evict(&mut self, bounds: &config::tail::Tail) {
        while self.changes.len() > bounds.changes
            || self.bytes + self.channels.bytes() > bounds.bytes
        {
            let Some(oldest) = self.changes.pop_front() else {
                return;
            };
            self.bytes -= oldest.footprint_bytes();
            self.channels.pop_oldest(&oldest.audience);
        }
    }

    /// Takes over what a head says. Returns whether the ring was emptied for it.
    pub(super) fn adopt(&mut self, head: &Head, most_changes: usize) -> bool {
        self.retained_from = head.retained_from;
        let overtaken = self.last < head.retained_from.before();
        let anew = self.epoch < Some(head.epoch) || (self.epoch == Some(head.epoch) && overtaken);
        if anew {
            self.begin(head, most_changes);
        }
        anew
    }

    /// Empties the ring, to be loaded so far below the head as the bound and retention allow.
    fn begin(&mut self, head: &Head, most_changes: usize) {
        let span = u64::try_from(most_changes).unwrap_or(u64::MAX);
        let newest = Position::new(head.head.get().saturating_sub(span));
        self.epoch = Some(head.epoch);
        self.changes.clear();
        self.channels = Channels::default();
        self.bytes = 0;
        self.last = newest.max(head.retained_from.before());
    }
}

#[cfg(test)]
#[path = "ring_tests.rs"]
mod tests;
