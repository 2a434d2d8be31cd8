//! The tail: the newest part of each module's log, in memory on every replica.
//!
//! Invariants: per module no row of the log is missing up to `last`, the last contiguously loaded
//! position; a position is passed over only where the log was compacted; rows come from confirmed
//! commits only; count and bytes are bounded.

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

    /// The latest time of a module's rows, or of a tick that was called closed.
    pub fn latest_time(&self, module: &ModuleName) -> Micros {
        let ring = self.modules.get(module).map(read);
        ring.map(|ring| ring.latest_time()).unwrap_or_default()
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
        self.extend(module, changes, |_| Some(Position::ZERO))
    }

    /// Appends rows that were read above `after`, all that there were, where they may have holes: positions
    /// that the log has given up for later changes of their keys. `head` must have been read after the
    /// rows. Returns false if rows may be missing for another reason: then the head is to be adopted.
    pub fn append_compacted(&self, head: &Head, after: Position, changes: &[Arc<Change>]) -> bool {
        self.extend(&head.module, changes, |ring| {
            let all_there = ring.epoch == Some(head.epoch) && head.retained_from <= after.next();
            (all_there && after <= ring.last).then_some(head.compacted_through)
        })
    }

    /// Appends rows after `compacted` has told up to where they may have holes, if it may be done at all.
    fn extend(
        &self,
        module: &ModuleName,
        changes: &[Arc<Change>],
        compacted: impl FnOnce(&Ring) -> Option<Position>,
    ) -> bool {
        let Some(ring) = self.modules.get(module) else {
            return true;
        };
        let mut ring = write(ring);
        let before = ring.last;
        let whole = compacted(&ring).is_some_and(|compacted| {
            let mut changes = changes.iter();
            changes.all(|change| ring.push(change, compacted, &self.bounds))
        });
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
        let anew = write(ring).adopt(head, self.bounds.changes);
        if anew {
            self.news.send_modify(|count| *count += 1);
        }
    }

    /// Changes whenever rows were appended to any module, or a module's log began anew.
    pub fn news(&self) -> watch::Receiver<u64> {
        self.news.subscribe()
    }
}

#[derive(Debug, Default)]
struct Ring {
    epoch: Option<Epoch>,
    /// Every row of the log above it and up to `last` is in `changes`.
    covers_after: Position,
    last: Position,
    retained_from: Position,
    changes: VecDeque<Arc<Change>>,
    bytes: usize,
    times: Times,
}

impl Ring {
    fn edge(&self) -> Edge {
        Edge {
            epoch: self.epoch.unwrap_or(Epoch::FIRST),
            covers_after: self.covers_after,
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

    fn latest_time(&self) -> Micros {
        let last = self.changes.back().map(|change| change.sequenced_at);
        last.unwrap_or_default().max(self.times.closed())
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

    /// Returns false on a hole that does not end within what is `compacted`.
    fn push(
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
        self.evict(bounds);
        true
    }

    fn evict(&mut self, bounds: &config::tail::Tail) {
        while self.changes.len() > bounds.changes || self.bytes > bounds.bytes {
            let Some(oldest) = self.changes.pop_front() else {
                return;
            };
            self.bytes -= oldest.footprint_bytes();
            self.covers_after = oldest.position;
            self.times.evicted(&oldest);
        }
    }

    /// Returns whether the log began anew. A head of an older epoch was read before a newer one.
    fn adopt(&mut self, head: &Head, most_changes: usize) -> bool {
        if self.epoch > Some(head.epoch) {
            return false;
        }
        let anew = self.epoch < Some(head.epoch);
        self.retained_from = if anew {
            head.retained_from
        } else {
            self.retained_from.max(head.retained_from)
        };
        if anew || self.last < head.retained_from.before() {
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
        self.bytes = 0;
        self.last = newest.max(head.retained_from.before());
        self.covers_after = self.last;
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

    fn head(head: u64, retained_from: u64, compacted_through: u64) -> Head {
        Head {
            module: "m".parse().unwrap(),
            epoch: Epoch::FIRST,
            head: Position::new(head),
            retained_from: Position::new(retained_from),
            compacted_through: Position::new(compacted_through),
            sequenced_through: Micros::new(0),
            lease_holder: None,
            lease_vacant: true,
        }
    }

    #[test]
    fn only_what_was_compacted_is_passed_over() {
        let module: ModuleName = "m".parse().unwrap();
        let bounds = config::tail::Tail {
            changes: 2,
            ..config::tail::Tail::default()
        };
        let tail = Tail::new(&bounds, std::slice::from_ref(&module));
        tail.adopt_head(&head(0, 1, 0));
        let rows = [change(3), change(4)];
        let after = Position::ZERO;
        assert!(!tail.append(&module, &rows), "a hole without a reason");
        assert!(!tail.append_compacted(&head(4, 1, 1), after, &rows));
        assert!(
            !tail.append_compacted(&head(4, 2, 2), after, &rows),
            "what was pruned is missing"
        );
        assert!(tail.append_compacted(&head(4, 1, 2), after, &rows));
        assert!(tail.append_compacted(&head(8, 1, 7), Position::new(4), &[change(8)]));
        assert!(
            !tail.append_compacted(&head(12, 1, 11), Position::new(9), &[change(12)]),
            "what lies between is not known"
        );
        let edge = tail.edge(&module).unwrap();
        assert_eq!(edge.covers_after, Position::new(3), "3 was let go");
        assert_eq!(edge.last, Position::new(8));
        for after in 3..8 {
            let found = tail.read_all(&module, Position::new(after), 10);
            let Some(TailRead::Found { changes, .. }) = found else {
                panic!("{found:?}");
            };
            assert_eq!(changes.len(), if after < 4 { 2 } else { 1 });
        }
    }
}
