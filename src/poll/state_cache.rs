//! Whole states in memory, for polls without a cursor.
//!
//! Invariants: count and bytes are bounded, the least recently used goes first; what is held is
//! the state of its audiences as of a position, so the tail alone can say whether it still holds.

use std::{
    collections::{HashMap, hash_map::RandomState},
    hash::BuildHasher,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use lru::LruCache;
use tokio::sync;

use super::audiences::Audiences;
use crate::{
    domain::{Audience, Change, Epoch, ModuleName, Op, Position},
    store::StateItem,
};

/// Whose state.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct StateKey {
    pub(super) module: ModuleName,
    pub(super) audiences: Audiences,
}

/// A state as of a position. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Held {
    pub(super) epoch: Epoch,
    pub(super) through: Position,
    /// By position, without tombstones. `None` if there are more than the contract allows: kept
    /// so that finding it out again costs no SQL either.
    pub(super) items: Option<Arc<[Arc<StateItem>]>>,
}

impl Held {
    /// The state after some more changes, by position, up to `through`. A change applies only above what
    /// is held for its key. `None` if that cannot be told.
    pub(super) fn advance(&self, changes: &[Arc<Change>], through: Position) -> Option<Self> {
        let items = match &self.items {
            items if changes.is_empty() => items.clone(),
            None => return None,
            Some(items) => Some(apply(items, changes)),
        };
        Some(Self {
            epoch: self.epoch,
            through,
            items,
        })
    }

    fn footprint_bytes(&self) -> usize {
        let items = self.items.iter().flat_map(|items| items.iter());
        size_of::<(StateKey, Self)>() + items.map(|item| footprint_bytes(item)).sum::<usize>()
    }
}

fn footprint_bytes(item: &StateItem) -> usize {
    let texts = item.audience.as_str().len() + item.key.len() + item.value.as_str().len();
    size_of::<Arc<StateItem>>() + size_of::<StateItem>() + texts + 6 * size_of::<usize>()
}

fn apply(items: &[Arc<StateItem>], changes: &[Arc<Change>]) -> Arc<[Arc<StateItem>]> {
    let mut newest: HashMap<(&Audience, &str), &Arc<Change>> = HashMap::new();
    for change in changes {
        newest.insert((&change.audience, &change.key), change);
    }
    let mut merged = Vec::with_capacity(items.len() + newest.len());
    for item in items {
        match newest.get(&(&item.audience, &*item.key)) {
            Some(change) if change.position > item.position => {}
            // The database was read later than the tail: it has this change, or a later one.
            Some(_) => {
                newest.remove(&(&item.audience, &*item.key));
                merged.push(Arc::clone(item));
            }
            None => merged.push(Arc::clone(item)),
        }
    }
    let upserts = newest.into_values().filter(|c| c.op == Op::Upsert);
    merged.extend(upserts.map(|change| Arc::new(state_item(change))));
    merged.sort_by_key(|item| item.position);
    merged.into()
}

fn state_item(change: &Change) -> StateItem {
    StateItem {
        audience: change.audience.clone(),
        key: change.key.clone(),
        op: change.op,
        position: change.position,
        value: change.value.clone(),
    }
}

/// Loads of the same state wait for each other; of different states rarely.
const TURNS: usize = 64;

/// The states that are held.
pub(super) struct StateCache {
    entries: Mutex<Entries>,
    most_entries: usize,
    most_bytes: usize,
    turns: [sync::Mutex<()>; TURNS],
    hasher: RandomState,
}

struct Entries {
    by_key: LruCache<StateKey, Held>,
    bytes: usize,
}

impl StateCache {
    pub(super) fn new(most_entries: usize, most_bytes: usize) -> Self {
        Self {
            entries: Mutex::new(Entries {
                by_key: LruCache::unbounded(),
                bytes: 0,
            }),
            most_entries,
            most_bytes,
            turns: std::array::from_fn(|_| sync::Mutex::new(())),
            hasher: RandomState::new(),
        }
    }

    pub(super) fn get(&self, key: &StateKey) -> Option<Held> {
        self.lock().by_key.get(key).cloned()
    }

    /// Keeps a state, unless a later one is there.
    pub(super) fn put(&self, key: StateKey, held: Held) {
        let mut entries = self.lock();
        let version = |held: &Held| (held.epoch, held.through);
        if entries.by_key.peek(&key).map(version) > Some(version(&held)) {
            return;
        }
        entries.bytes += held.footprint_bytes();
        if let Some((_, replaced)) = entries.by_key.push(key, held) {
            entries.bytes -= replaced.footprint_bytes();
        }
        entries.evict(self.most_entries, self.most_bytes);
    }

    /// Held while a state is read from the database, so that many polls cause one read.
    pub(super) async fn turn(&self, key: &StateKey) -> sync::MutexGuard<'_, ()> {
        let slot = self.hasher.hash_one(key) % TURNS as u64;
        let slot = usize::try_from(slot).expect("below the number of turns");
        self.turns[slot].lock().await
    }

    // Between two statements the entries are whole, so a panic elsewhere spoils nothing.
    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entries {
    fn evict(&mut self, most_entries: usize, most_bytes: usize) {
        while self.by_key.len() > most_entries || self.bytes > most_bytes {
            let Some((_, oldest)) = self.by_key.pop_lru() else {
                return;
            };
            self.bytes -= oldest.footprint_bytes();
        }
    }
}

#[cfg(test)]
#[path = "state_cache_tests.rs"]
mod tests;
