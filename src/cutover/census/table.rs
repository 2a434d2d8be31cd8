//! The clients of one module, one by one.
//!
//! Invariants: to see a client again takes one short lock of one shard, and allocates nothing; who is to be written is in the queue of its
//! shard once.

use std::{
    hash::BuildHasher,
    sync::{Mutex, MutexGuard, PoisonError},
};

use crossbeam_utils::CachePadded;
use foldhash::fast::RandomState;
use hashbrown::HashTable;

use super::{
    about::About,
    seen::{Moment, Seen},
};

/// Clients that share a lock.
const SHARDS: usize = 16;

/// A client as it is kept.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) id: Box<str>,
    pub(super) about: About,
    /// Tells without a look at the texts whether they are still these.
    pub(super) about_key: u32,
    pub(super) seen: Seen,
    /// When what is to be written was last taken from here.
    pub(super) written: Moment,
    /// The slices of time whose sketches it is in, by transport.
    pub(super) sketched: [u32; 2],
    queued: bool,
}

impl Entry {
    pub(super) fn new(id: &str, about: About, about_key: u32, now: Moment) -> Self {
        Self {
            id: id.into(),
            about,
            about_key,
            seen: Seen::new(now),
            written: Moment::NEVER,
            sketched: [0; 2],
            queued: false,
        }
    }
}

#[derive(Debug)]
pub(super) struct Table {
    shards: Box<[CachePadded<Mutex<Shard>>]>,
    hasher: RandomState,
}

#[derive(Debug, Default)]
pub(super) struct Shard {
    entries: HashTable<Box<Entry>>,
    /// The hashes of those that are to be written.
    queue: Vec<u64>,
}

impl Table {
    pub(super) fn new() -> Self {
        Self {
            shards: (0..SHARDS).map(|_| CachePadded::default()).collect(),
            hasher: RandomState::default(),
        }
    }

    pub(super) fn hash(&self, id: &str) -> u64 {
        self.hasher.hash_one(id)
    }

    /// The shard of a client with this hash.
    pub(super) fn shard(&self, hash: u64) -> MutexGuard<'_, Shard> {
        let place = usize::try_from(hash >> 32).unwrap_or_default() % SHARDS;
        lock(&self.shards[place])
    }

    /// All shards, one after the other.
    pub(super) fn shards(&self) -> impl Iterator<Item = MutexGuard<'_, Shard>> {
        self.shards.iter().map(|shard| lock(shard))
    }
}

fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shard {
    pub(super) fn get(&mut self, hash: u64, id: &str) -> Option<&mut Entry> {
        let found = self.entries.find_mut(hash, |entry| *entry.id == *id);
        found.map(|entry| &mut **entry)
    }

    /// Adds a client that is not here.
    pub(super) fn insert(&mut self, hash: u64, entry: Entry, hasher: &Table) -> &mut Entry {
        let entry = Box::new(entry);
        let inserted = self
            .entries
            .insert_unique(hash, entry, |entry| hasher.hash(&entry.id));
        inserted.into_mut()
    }

    /// Queues a client to be written.
    pub(super) fn queue(&mut self, hash: u64, id: &str) {
        if let Some(entry) = self.get(hash, id)
            && !std::mem::replace(&mut entry.queued, true)
        {
            self.queue.push(hash);
        }
    }

    /// Takes up to `most` out of the queue.
    pub(super) fn drain(&mut self, most: usize, hasher: &Table, mut take: impl FnMut(&mut Entry)) {
        let rest = self.queue.len().saturating_sub(most);
        let taken = self.queue.split_off(rest);
        for hash in taken {
            // The table itself compares a part of the hash only.
            let found = self
                .entries
                .find_mut(hash, |entry| entry.queued && hasher.hash(&entry.id) == hash);
            if let Some(entry) = found {
                entry.queued = false;
                take(entry);
            }
        }
        if self.queue.is_empty() {
            self.queue.shrink_to(64);
        }
    }

    /// How many are to be written.
    pub(super) fn queued(&self) -> usize {
        self.queue.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().map(|entry| &**entry)
    }

    /// Forgets those that were last seen before `since` and are written. Returns how many.
    pub(super) fn forget(&mut self, since: Moment, hasher: &Table) -> usize {
        let before = self.entries.len();
        self.entries.retain(|entry| {
            entry.queued || entry.seen.is_connected() || entry.seen.last() >= since
        });
        let gone = before - self.entries.len();
        if self.entries.capacity() > 64 && self.entries.len() < self.entries.capacity() / 4 {
            self.entries.shrink_to_fit(|entry| hasher.hash(&entry.id));
        }
        gone
    }
}
