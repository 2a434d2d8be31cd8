//! What memory has from a tick on, and which ticks of it are closed.
//!
//! Invariant: what is called closed is so by the database's word, and every row below it is in memory
//! or was: a tick is shown whole or not at all.

use std::sync::Arc;

use super::Edge;
use crate::domain::{Change, Micros, Tick};

/// What a module's memory knows of time.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Times {
    /// No row to come has a time below it.
    closed: Micros,
    /// No row that memory does not hold has a time above it. `None` if it holds all there ever was.
    floor: Option<Micros>,
}

impl Times {
    /// Memory begins anew, below rows that are to be loaded; no row that there is has a time above `through`.
    pub(super) fn begin(&mut self, nothing_before: bool, through: Micros) {
        self.closed = Micros::default();
        self.floor = (!nothing_before).then_some(through);
    }

    /// The first row was loaded: all before it are not younger.
    pub(super) fn first(&mut self, change: &Change) {
        self.floor = self.floor.map(|floor| floor.min(change.sequenced_at));
    }

    /// A row was let go.
    pub(super) fn evicted(&mut self, change: &Change) {
        self.floor = Some(change.sequenced_at);
    }

    /// Returns whether this is news.
    pub(super) fn close(&mut self, through: Micros) -> bool {
        let news = through > self.closed;
        self.closed = self.closed.max(through);
        news
    }

    /// Below it every tick is closed.
    pub(super) const fn closed(&self) -> Micros {
        self.closed
    }

    /// The tick that is not closed yet; those before it are.
    pub(super) const fn open(&self, tick: Tick) -> Micros {
        tick.begin(self.closed)
    }

    /// Whether a row waits for its tick to be closed, be it the longest.
    pub(super) fn is_open(&self, change: &Change) -> bool {
        change.sequenced_at >= Tick::SECOND.begin(self.closed)
    }

    /// Whether memory holds every row from a tick on.
    pub(super) fn covers(&self, from: Micros, tick: Tick) -> bool {
        self.floor.is_none_or(|floor| tick.begin(floor) < from)
    }
}

/// What the tail has from a tick on.
#[derive(Debug, Clone)]
pub enum TickRead {
    /// The closed ticks, or as many whole ones as the limit allows.
    Found {
        /// By position.
        changes: Vec<Arc<Change>>,
        /// If there is more, the tick where it goes on.
        next: Option<Micros>,
        /// The edge at that moment.
        edge: TickEdge,
    },
    /// The tail begins later: ask the database.
    Older(TickEdge),
}

/// Where a tail ends, in positions and in ticks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TickEdge {
    /// In positions.
    pub edge: Edge,
    /// The first tick that is not closed: rows of earlier ones have positions up to the edge's last.
    pub open: Micros,
}

/// Cuts what is in the order of time where its ticks end: the largest number of whole ticks within `limit`, but the first
/// tick always. Returns the tick where it goes on. `items` must hold the whole first tick, or one
/// item more than `limit`.
pub fn cut_at_tick<T>(
    items: &mut Vec<T>,
    limit: usize,
    tick: Tick,
    at: impl Fn(&T) -> Micros,
) -> Option<Micros> {
    let over = tick.begin(at(items.get(limit)?));
    let first = tick.begin(at(items.first()?));
    let end = if over > first {
        items.partition_point(|item| at(item) < over)
    } else {
        items.partition_point(|item| at(item) < tick.end(first))
    };
    let next = items.get(end).map(|item| tick.begin(at(item)));
    items.truncate(end);
    next
}

#[cfg(test)]
#[path = "ticks_tests.rs"]
mod tests;
