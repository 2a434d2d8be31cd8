//! The newest part of one module's log, with an index per audience.
//!
//! Invariants: no row of the log above `covers_after` and up to `last` is missing, but for what was
//! compacted; the index holds exactly the changes of the ring; a read costs what it returns,
//! whoever else the changes are for; the index is counted in the ring's bytes.

use std::{collections::VecDeque, sync::Arc};

use super::{
    Edge, TailRead,
    channels::Channels,
    ticks::{TickEdge, TickRead, Times, cut_at_tick},
};
use crate::{
    config,
    domain::{Audience, Change, Epoch, Micros, Position, Tick},
    store::{Closed, Head},
};

#[derive(Debug, Default)]
pub(super) struct Ring {
    epoch: Option<Epoch>,
    /// Every row of the log above it and up to `last` is in `changes`.
    covers_after: Position,
    last: Position,
    retained_from: Position,
    changes: VecDeque<Arc<Change>>,
    channels: Channels,
    bytes: usize,
    times: Times,
}

impl Ring {
    pub(super) const fn last(&self) -> Position {
        self.last
    }

    /// `None` before the first row or head.
    pub(super) const fn epoch(&self) -> Option<Epoch> {
        self.epoch
    }

    pub(super) fn edge(&self) -> Edge {
        Edge {
            epoch: self.epoch.unwrap_or(Epoch::FIRST),
            covers_after: self.covers_after,
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

    pub(super) fn tick_edge(&self, tick: Tick) -> TickEdge {
        TickEdge {
            edge: self.edge(),
            open: self.times.open(tick),
        }
    }

    /// What some audiences have from a tick on, in whole ticks that are closed. Times grow with positions.
    pub(super) fn select_ticks(
        &self,
        audiences: &[Audience],
        from: Micros,
        tick: Tick,
        limit: usize,
    ) -> TickRead {
        let edge = self.tick_edge(tick);
        if from < edge.open && !self.times.covers(from, tick) {
            return TickRead::Older(edge);
        }
        let seen = |change: &Change| change.sequenced_at < from;
        let select = |most| {
            let (mut changes, _cut) = self.channels.select(audiences, seen, most);
            changes.truncate(changes.partition_point(|c| c.sequenced_at < edge.open));
            changes
        };
        // One more than the limit tells where to cut, if it is of another tick than the first.
        let mut changes = select(limit.saturating_add(1));
        if changes.len() > limit && is_one_tick(&changes, tick) {
            changes = select(usize::MAX);
        }
        let next = cut_at_tick(&mut changes, limit, tick, |change| change.sequenced_at);
        TickRead::Found {
            changes,
            next,
            edge,
        }
    }

    /// The latest time of a row, or of a tick that was called closed.
    pub(super) fn latest_time(&self) -> Micros {
        let last = self.changes.back().map(|change| change.sequenced_at);
        last.unwrap_or_default().max(self.times.closed())
    }

    /// Whether rows wait for their tick to be closed.
    pub(super) fn has_open_ticks(&self) -> bool {
        let last = self.changes.back();
        last.is_some_and(|change| self.times.is_open(change))
    }

    /// Takes over how far ticks are closed. Returns whose rows were closed that were not before.
    pub(super) fn close(&mut self, closed: &Closed) -> Vec<Audience> {
        let before = self.times.closed();
        let whole = self.epoch == Some(closed.epoch) && self.last >= closed.head;
        if !whole || !self.times.close(closed.through) {
            return Vec::new();
        }
        let waited = self.changes.partition_point(|c| c.sequenced_at < before);
        let waited = self.changes.range(waited..);
        waited
            .take_while(|change| change.sequenced_at < closed.through)
            .map(|change| change.audience.clone())
            .collect()
    }

    /// Returns false on a hole that does not end within what is `compacted`.
    pub(super) fn push(
        &mut self,
        change: &Arc<Change>,
        compacted: Position,
        bounds: &config::tail::Tail,
    ) -> bool {
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
        if change.position != self.last.next() && change.position.before() > compacted {
            return false;
        }
        if self.changes.is_empty() {
            self.times.first(change);
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
            self.covers_after = oldest.position;
            self.times.evicted(&oldest);
        }
    }

    /// Takes over what a head says. A head of an older epoch was read before a newer one. Returns
    /// whether what the ring held is another log's, or gone; the first head of an empty log is no
    /// such news.
    pub(super) fn adopt(&mut self, head: &Head, most_changes: usize) -> bool {
        if self.epoch > Some(head.epoch) {
            return false;
        }
        let new_epoch = self.epoch < Some(head.epoch);
        self.retained_from = if new_epoch {
            head.retained_from
        } else {
            self.retained_from.max(head.retained_from)
        };
        if !new_epoch && self.last >= head.retained_from.before() {
            return false;
        }
        let before = (self.epoch, self.last);
        self.begin(head, most_changes);
        before != (None, self.last)
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
        self.covers_after = self.last;
        let nothing_before = self.last == Position::ZERO;
        self.times.begin(nothing_before, head.sequenced_through);
    }
}

/// Whether changes in the order of time are all of one tick.
fn is_one_tick(changes: &[Arc<Change>], tick: Tick) -> bool {
    let ends = (changes.first(), changes.last());
    let (Some(first), Some(last)) = ends else {
        return true;
    };
    last.sequenced_at < tick.end(first.sequenced_at)
}

#[cfg(test)]
#[path = "ring_tests.rs"]
mod tests;
