//! A bounded table that is read without a lock.
//!
//! It has two halves. What is new goes into the young one; when that is full it becomes the old one, and what was the old one is gone.
//! What is read from the old half goes into the young one again, so what is in use stays.
//!
//! Invariants: a read takes no lock, and allocates only for an entry that it saves from the old half; there are no more entries than allowed,
//! but for those that are written while the halves change.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicUsize, Ordering},
};

use arc_swap::ArcSwap;

use super::fingerprint::{BuildAsItIs, Fingerprint};

type Map<V> = papaya::HashMap<Fingerprint, V, BuildAsItIs>;

/// The table.
pub(super) struct Halves<V> {
    both: ArcSwap<Both<V>>,
    turning: Mutex<()>,
    most_in_half: usize,
}

struct Both<V> {
    young: Arc<Half<V>>,
    old: Arc<Half<V>>,
}

struct Half<V> {
    map: Map<V>,
    count: AtomicUsize,
}

impl<V> Default for Half<V> {
    fn default() -> Self {
        Self {
            map: Map::with_hasher(BuildAsItIs::default()),
            count: AtomicUsize::new(0),
        }
    }
}

impl<V: Clone + Send + Sync + 'static> Halves<V> {
    /// A table of at most so many entries, at least two.
    pub(super) fn new(most: usize) -> Self {
        let both = Both {
            young: Arc::default(),
            old: Arc::default(),
        };
        Self {
            both: ArcSwap::from_pointee(both),
            turning: Mutex::new(()),
            most_in_half: (most / 2).max(1),
        }
    }

    /// What `read` makes of the entry, if there is one.
    pub(super) fn get<R>(&self, key: &Fingerprint, read: impl FnOnce(&V) -> R) -> Option<R> {
        let both = self.both.load();
        if let Some(value) = both.young.map.pin().get(key) {
            return Some(read(value));
        }
        let old = both.old.map.pin();
        let value = old.get(key)?;
        self.save(&both, *key, value);
        Some(read(value))
    }

    /// Puts an entry of the old half into the young one. Never over an entry that came meanwhile.
    fn save(&self, both: &Both<V>, key: Fingerprint, value: &V) {
        if both.young.map.pin().try_insert(key, value.clone()).is_ok() {
            self.count_one(&both.young);
        }
    }

    /// Puts an entry there, over another one.
    pub(super) fn insert(&self, key: Fingerprint, value: V) {
        while !self.put(&self.both.load_full(), key, value.clone()) {}
    }

    /// Puts an entry into the young half. False = it was the young one no more: a reader may have saved the entry of before from it into
    /// the one that is, where it would count over this one.
    fn put(&self, both: &Arc<Both<V>>, key: Fingerprint, value: V) -> bool {
        let is_new = both.young.map.pin().insert(key, value).is_none();
        let was_young = Arc::ptr_eq(both, &self.both.load());
        if is_new {
            self.count_one(&both.young);
        }
        was_young
    }

    /// How many entries there are, some of them perhaps twice.
    pub(super) fn len(&self) -> usize {
        let both = self.both.load();
        let count = |half: &Half<V>| half.count.load(Ordering::Relaxed);
        count(&both.young) + count(&both.old)
    }

    fn count_one(&self, young: &Half<V>) {
        if young.count.fetch_add(1, Ordering::Relaxed) + 1 < self.most_in_half {
            return;
        }
        let _turning = self.turning.lock().unwrap_or_else(PoisonError::into_inner);
        let both = self.both.load();
        // Somebody else may have turned them meanwhile.
        if both.young.count.load(Ordering::Relaxed) >= self.most_in_half {
            self.both.store(Arc::new(Both {
                old: Arc::clone(&both.young),
                young: Arc::default(),
            }));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::fingerprint::Salt;

    fn key(n: u32) -> Fingerprint {
        Salt([7; 16]).of(0, &n.to_le_bytes())
    }

    #[test]
    fn what_is_read_stays_and_the_rest_goes() {
        let table = Halves::new(100);
        table.insert(key(0), 0);
        for n in 1..1_000 {
            table.insert(key(n), n);
            assert_eq!(table.get(&key(0), |n| *n), Some(0), "after {n}");
            assert!(table.len() <= 100, "{}", table.len());
        }
        assert_eq!(table.get(&key(1), |n| *n), None);
        assert_eq!(table.get(&key(999), |n| *n), Some(999));
    }

    /// A table of which one half is full, with the first entry in the old half.
    fn turned() -> Halves<u32> {
        let table = Halves::new(4);
        table.insert(key(0), 0);
        table.insert(key(1), 1);
        table
    }

    #[test]
    fn a_new_entry_counts_over_the_one_that_is_saved() {
        let table = turned();
        let (both, found) = (table.both.load_full(), 0);
        assert!(both.young.map.is_empty(), "it is in the old half");
        // Between what a reader finds and what it saves.
        table.insert(key(0), 2);
        table.save(&both, key(0), &found);
        assert_eq!(table.get(&key(0), |n| *n), Some(2));
    }

    #[test]
    fn a_new_entry_is_put_into_the_half_that_is_young_then() {
        let table = turned();
        let before = table.both.load_full();
        assert!(table.put(&before, key(2), 2));
        assert!(table.put(&before, key(3), 3), "the halves change after it");
        // A reader saves what a writer is about to put into the half of before.
        assert_eq!(table.get(&key(2), |n| *n), Some(2));
        assert!(!table.put(&before, key(2), 4));
        assert_eq!(table.get(&key(2), |n| *n), Some(2), "so it is not done yet");
        table.insert(key(2), 4);
        assert_eq!(table.get(&key(2), |n| *n), Some(4));
    }
}
