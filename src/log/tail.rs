//! The tail: the newest part of each module's log, in memory on every replica.
//!
//! Invariants: per module no row of the log is missing up to `last`, the last contiguously loaded
//! position; a position is passed over only where the log was compacted; rows come from confirmed
//! commits only; count and bytes are bounded; who waits for news is told after they can be read.

use std::sync::{Arc, PoisonError};

use crossbeam_utils::sync::{ShardedLock, ShardedLockReadGuard, ShardedLockWriteGuard};
use tokio::sync::watch;

use super::{
    bells::Bells,
    ring::Ring,
    ticks::{TickEdge, TickRead},
};
use crate::{
    config,
    domain::{Audience, Change, Cursor, Epoch, Micros, ModuleMap, ModuleName, Position, Tick},
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

impl TailRead {
    /// The edge at that moment.
    pub const fn edge(&self) -> Edge {
        match self {
            Self::Found { edge, .. } | Self::Older(edge) | Self::Above(edge) => *edge,
        }
    }
}

/// The tails of all configured modules.
#[derive(Debug)]
pub struct Tail {
    /// Read for every poll, by all cores at once: each has a part of the lock that only it writes.
    modules: ModuleMap<ShardedLock<Ring>>,
    bounds: config::tail::Tail,
    news: watch::Sender<u64>,
    bells: Bells,
}

impl Tail {
    /// Empty tails of `modules`. They cover nothing until the first rows or heads come. To be called
    /// after the metrics recorder is installed.
    pub fn new(bounds: &config::tail::Tail, modules: &[ModuleName]) -> Self {
        let rings = modules
            .iter()
            .cloned()
            .map(|module| (module, ShardedLock::default()));
        Self {
            modules: rings.collect(),
            bounds: bounds.clone(),
            news: watch::Sender::new(0),
            bells: Bells::new(modules),
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
        Some(read(self.modules.get(module)?).select(audiences, after, limit))
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
        let ring = read(self.modules.get(module)?);
        Some(ring.select_ticks(audiences, from, tick, limit))
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
        let audiences = write(ring).close(closed);
        if !audiences.is_empty() {
            self.news.send_modify(|count| *count += 1);
            self.bells.ring(&closed.module, audiences.iter());
        }
    }

    /// Changes for everyone above `after`, at most `limit`: what the mirror publishes.
    pub fn read_all(&self, module: &ModuleName, after: Position, limit: usize) -> Option<TailRead> {
        Some(read(self.modules.get(module)?).select_all(after, limit))
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
            let all_there = ring.epoch() == Some(head.epoch) && head.retained_from <= after.next();
            (all_there && after <= ring.last()).then_some(head.compacted_through)
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
        let before = ring.last();
        let whole = compacted(&ring).is_some_and(|compacted| {
            let mut changes = changes.iter();
            changes.all(|change| ring.push(change, compacted, &self.bounds))
        });
        let last = ring.last();
        drop(ring);
        if last != before {
            self.news.send_modify(|count| *count += 1);
            let new = changes
                .iter()
                .filter(|change| change.position > before && change.position <= last);
            self.bells.ring(module, new.map(|change| &change.audience));
        }
        whole
    }

    /// Takes over what a head says: retention, and a new epoch, which empties the tail. On an empty tail the
    /// rows to be loaded begin so far below the head as the bound on their count allows.
    pub fn adopt_head(&self, head: &Head) {
        let Some(ring) = self.modules.get(&head.module) else {
            return;
        };
        let began_anew = write(ring).adopt(head, self.bounds.changes);
        if began_anew {
            self.news.send_modify(|count| *count += 1);
            // What was waited for may be among what is gone: all have to look.
            self.bells.ring_all(&head.module);
        }
    }

    /// Changes whenever rows were appended to any module, or a module's log began anew.
    pub fn news(&self) -> watch::Receiver<u64> {
        self.news.subscribe()
    }

    /// Those who wait for news of some channels.
    pub(super) const fn bells(&self) -> &Bells {
        &self.bells
    }
}

// A panic while the lock was held cannot leave a ring half changed in a way that matters: rows
// are appended one by one, each whole. So poison is passed over.
fn read(ring: &ShardedLock<Ring>) -> ShardedLockReadGuard<'_, Ring> {
    ring.read().unwrap_or_else(PoisonError::into_inner)
}

fn write(ring: &ShardedLock<Ring>) -> ShardedLockWriteGuard<'_, Ring> {
    ring.write().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
#[path = "tail_tests.rs"]
mod tests;
