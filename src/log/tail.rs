//! The tail: the newest part of each module's log, in memory on every replica.
//!
//! Invariants: per module the rows stand without a hole up to `last`, the last contiguously
//! loaded position; rows come from confirmed commits only; count and bytes are bounded.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use tokio::sync::watch;

use super::ticks::{TickEdge, TickRead, Times, cut_at_tick};
use crate::{
    config,
    domain::{Audience, Change, Cursor, Epoch, Micros, ModuleName, Position, Tick},
    store::{Closed, Head},
};

/// What the tail of one module covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Edge {
    /// Epoch of the log.
    pub epoch: Epoch,
    /// Reads after this position, or a later one, are answered from memory.
    pub covers_after: Position,
    /// The last contiguously loaded position.
    pub last: Position,
    /// The oldest position that the log promises to hold, as last heard.
    pub retained_from: Position,
}

impl Edge {
    /// The cursor of one who has seen all that the tail has.
    pub const fn cursor(&self) -> Cursor {
        Cursor::new(self.epoch, self.last)
    }
}

/// What the tail has above a position.
#[derive(Debug, Clone)]
pub enum TailRead {
    /// All of it, or the first `limit` of it.
    Found {
        /// By position.
        changes: Vec<Arc<Change>>,
        /// Whether there is more: then the last change is where to go on, else the edge.
        cut: bool,
        /// The edge at that moment.
        edge: Edge,
    },
    /// The tail begins later: ask the database.
    Older(Edge),
    /// The tail has not got so far, or the position is foreign: refresh, then judge.
    Above(Edge),
}

/// The tails of all configured modules.
#[derive(Debug)]
pub struct Tail {
    modules: HashMap<ModuleName, RwLock<Ring>>,
    bounds: config::tail::Tail,
    news: watch::Sender<u64>,
}

impl Tail {
    /// Empty tails of `modules`. They cover nothing until the first rows or heads come.
    pub fn new(bounds: &config::tail::Tail, modules: &[ModuleName]) -> Self {
        let rings = modules
            .iter()
            .cloned()
            .map(|module| (module, RwLock::default()));
        Self {
            modules: rings.collect(),
            bounds: bounds.clone(),
            news: watch::Sender::new(0),
        }
    }

    /// The modules that are followed.
    pub fn modules(&self) -> impl Iterator<Item = &ModuleName> {
        self.modules.keys()
    }

    /// What the tail of a module covers; `None` for a module that is not followed.
    pub fn edge(&self, module: &ModuleName) -> Option<Edge> {
        Some(read(self.modules.get(module)?).edge())
    }

    /// Changes for some audiences above `after`, at most `limit`. `None` for a module that is not followed.
    pub fn read(
        &self,
        module: &ModuleName,
        audiences: &[Audience],
        after: Position,
        limit: usize,
    ) -> Option<TailRead> {
        let wanted = |change: &Change| audiences.contains(&change.audience);
        Some(read(self.modules.get(module)?).select(after, limit, wanted))
    }

    /// Changes for some audiences from a tick on, in whole ticks that are closed: at most `limit`, but one tick at
    /// least. `None` for a module that is not followed.
    pub fn read_ticks(
        &self,
        module: &ModuleName,
        audiences: &[Audience],
        from: Micros,
        tick: Tick,
        limit: usize,
    ) -> Option<TickRead> {
        let wanted = |change: &Change| audiences.contains(&change.audience);
        let ring = read(self.modules.get(module)?);
        Some(ring.select_ticks(from, tick, limit, wanted))
    }

    /// Where a tail ends in positions and ticks; `None` for a module that is not followed.
    pub fn tick_edge(&self, module: &ModuleName, tick: Tick) -> Option<TickEdge> {
        Some(read(self.modules.get(module)?).tick_edge(tick))
    }

    /// Whether rows of a module wait for their tick to be closed.
    pub fn has_open_ticks(&self, module: &ModuleName) -> bool {
        let ring = self.modules.get(module).map(read);
        ring.is_some_and(|ring| ring.has_open_ticks())
    }

    /// Takes over how far the database says that ticks are closed. Nothing happens while rows up to that
    /// head are missing here.
    pub fn close(&self, closed: &Closed) {
        let Some(ring) = self.modules.get(&closed.module) else {
            return;
        };
        if write(ring).close(closed) {
            self.news.send_modify(|count| *count += 1);
        }
    }

    /// Changes for everyone above `after`, at most `limit`: what the mirror publishes.
    pub fn read_all(&self, module: &ModuleName, after: Position, limit: usize) -> Option<TailRead> {
        Some(read(self.modules.get(module)?).select(after, limit, |_| true))
    }

    /// Appends rows of a confirmed commit, by position. Rows that are there already are passed over.
    /// Returns false if there is a hole between the tail and the first row: then nothing is
    /// appended, and the rows must be read from the database.
    pub fn append(&self, module: &ModuleName, changes: &[Arc<Change>]) -> bool {
        let Some(ring) = self.modules.get(module) else {
            return true;
        };
        let mut ring = write(ring);
        let before = ring.last;
        let whole = changes.iter().all(|change| ring.push(change, &self.bounds));
        let grown = ring.last != before;
        drop(ring);
        if grown {
            self.news.send_modify(|count| *count += 1);
        }
        whole
    }

    /// Takes over what a head says: retention, and a new epoch, which empties the tail. On an empty tail the
    /// rows to be loaded begin so far below the head as the bound on their count allows.
    pub fn adopt_head(&self, head: &Head) {
        let Some(ring) = self.modules.get(&head.module) else {
            return;
        };
        write(ring).adopt(head, self.bounds.changes);
    }

    /// Changes whenever rows were appended to any module.
    pub fn news(&self) -> watch::Receiver<u64> {
        self.news.subscribe()
    }
}

#[derive(Debug, Default)]
struct Ring {
    epoch: Option<Epoch>,
    last: Position,
    retained_from: Position,
    changes: VecDeque<Arc<Change>>,
    bytes: usize,
    times: Times,
}

impl Ring {
    fn edge(&self) -> Edge {
        let first = self.changes.front().map(|change| change.position.before());
        Edge {
            epoch: self.epoch.unwrap_or(Epoch::FIRST),
            covers_after: first.unwrap_or(self.last),
            last: self.last,
            retained_from: self.retained_from,
        }
    }

    fn select(&self, after: Position, limit: usize, wanted: impl Fn(&Change) -> bool) -> TailRead {
        let edge = self.edge();
        if after > edge.last {
            return TailRead::Above(edge);
        }
        if after < edge.covers_after {
            return TailRead::Older(edge);
        }
        if after == edge.last {
            return TailRead::Found {
                changes: Vec::new(),
                cut: false,
                edge,
            };
        }
        let start = self
            .changes
            .partition_point(|change| change.position <= after);
        let mut found = self.changes.range(start..).filter(|change| wanted(change));
        let changes = found.by_ref().take(limit).cloned().collect();
        TailRead::Found {
            changes,
            cut: found.next().is_some(),
            edge,
        }
    }

    fn tick_edge(&self, tick: Tick) -> TickEdge {
        TickEdge {
            edge: self.edge(),
            open: self.times.open(tick),
        }
    }

    /// Times grow with positions.
    fn select_ticks(
        &self,
        from: Micros,
        tick: Tick,
        limit: usize,
        wanted: impl Fn(&Change) -> bool,
    ) -> TickRead {
        let edge = self.tick_edge(tick);
        let mut changes = Vec::new();
        if from < edge.open && !self.times.covers(from, tick) {
            return TickRead::Older(edge);
        }
        let start = self.changes.partition_point(|c| c.sequenced_at < from);
        for change in self.changes.range(start..).filter(|change| wanted(change)) {
            let at = change.sequenced_at;
            if at >= edge.open {
                break;
            }
            changes.push(Arc::clone(change));
            // One more than the limit tells where to cut, once it is of another tick than the first.
            let first_end = tick.end(changes[0].sequenced_at);
            if changes.len() > limit && at >= first_end {
                break;
            }
        }
        let next = cut_at_tick(&mut changes, limit, tick, |change| change.sequenced_at);
        TickRead::Found {
            changes,
            next,
            edge,
        }
    }

    fn has_open_ticks(&self) -> bool {
        let last = self.changes.back();
        last.is_some_and(|change| self.times.is_open(change))
    }

    /// Returns whether rows were closed that were not before.
    fn close(&mut self, closed: &Closed) -> bool {
        let waited = self.has_open_ticks();
        let whole = self.epoch == Some(closed.epoch) && self.last >= closed.head;
        whole && self.times.close(closed.through) && waited
    }

    /// Returns false on a hole.
    fn push(&mut self, change: &Arc<Change>, bounds: &config::tail::Tail) -> bool {
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
        if self.changes.is_empty() {
            self.times.first(change);
        }
        self.last = change.position;
        self.bytes += change.footprint_bytes();
        self.changes.push_back(Arc::clone(change));
        self.evict(bounds);
        true
    }

    fn evict(&mut self, bounds: &config::tail::Tail) {
        while self.changes.len() > bounds.changes || self.bytes > bounds.bytes {
            let Some(oldest) = self.changes.pop_front() else {
                return;
            };
            self.bytes -= oldest.footprint_bytes();
            self.times.evicted(&oldest);
        }
    }

    fn adopt(&mut self, head: &Head, most_changes: usize) {
        self.retained_from = head.retained_from;
        let overtaken = self.last < head.retained_from.before();
        if self.epoch < Some(head.epoch) || (self.epoch == Some(head.epoch) && overtaken) {
            self.begin(head, most_changes);
        }
    }

    /// Empties the ring, to be loaded so far below the head as the bound and retention allow.
    fn begin(&mut self, head: &Head, most_changes: usize) {
        let span = u64::try_from(most_changes).unwrap_or(u64::MAX);
        let newest = Position::new(head.head.get().saturating_sub(span));
        self.epoch = Some(head.epoch);
        self.changes.clear();
        self.bytes = 0;
        self.last = newest.max(head.retained_from.before());
        let nothing_before = self.last == Position::ZERO;
        self.times.begin(nothing_before, head.sequenced_through);
    }
}

// A panic while the lock was held cannot leave a ring half changed in a way that matters: rows
// are appended one by one, each whole. So poison is passed over.
fn read(ring: &RwLock<Ring>) -> RwLockReadGuard<'_, Ring> {
    ring.read().unwrap_or_else(PoisonError::into_inner)
}

fn write(ring: &RwLock<Ring>) -> RwLockWriteGuard<'_, Ring> {
    ring.write().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{JsonText, Micros, Op};

    fn change(position: u64) -> Arc<Change> {
        Arc::new(Change {
            epoch: Epoch::FIRST,
            position: Position::new(position),
            previous: Position::ZERO,
            audience: Audience::everyone(),
            key: "k".into(),
            op: Op::Upsert,
            value: JsonText::stored("1"),
            change_id: None,
            occurred_at: Micros::new(0),
            sequenced_at: Micros::new(0),
        })
    }

    #[test]
    fn a_log_that_begins_is_followed_from_its_first_change() {
        let module: ModuleName = "m".parse().unwrap();
        let tail = Tail::new(
            &config::tail::Tail::default(),
            std::slice::from_ref(&module),
        );
        assert!(
            !tail.append(&module, &[change(2)]),
            "of a log that was there before, this is not all"
        );
        assert!(tail.append(&module, &[change(1), change(2)]));
        assert_eq!(tail.edge(&module).unwrap().last, Position::new(2));
    }
}
