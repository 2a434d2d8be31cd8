//! Answers that were given, for clients that ask again: to make one costs an evaluation of each module and a hash of it all.
//!
//! Invariants: an answer is given again only while nothing has changed since before it was made; the bytes are bounded, what was
//! asked for least recently goes first.

use std::sync::{Mutex, MutexGuard, PoisonError};

use lru::LruCache;

use super::{Asker, answer::Answer};

/// What answers were made of: counts up with whatever may make them others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Generation {
    pub(super) flags: u64,
    pub(super) standings: i64,
}

/// The answers that are held.
pub(super) struct Held {
    entries: Mutex<Entries>,
    most_bytes: usize,
}

struct Entries {
    by_asker: LruCache<Asker, (Generation, Answer)>,
    bytes: usize,
}

impl Held {
    /// None at first, and never more than so many bytes.
    pub(super) fn new(most_bytes: usize) -> Self {
        Self {
            entries: Mutex::new(Entries {
                by_asker: LruCache::unbounded(),
                bytes: 0,
            }),
            most_bytes,
        }
    }

    /// The answer to this client, if it was made of the same.
    pub(super) fn get(&self, asker: &Asker, of: Generation) -> Option<Answer> {
        let mut entries = self.entries();
        let (made_of, answer) = entries.by_asker.get(asker)?;
        (*made_of == of).then(|| answer.clone())
    }

    /// Holds an answer in place of the client's last one.
    pub(super) fn put(&self, asker: &Asker, of: Generation, answer: &Answer) {
        let bytes = footprint_bytes(asker, answer);
        if bytes > self.most_bytes {
            return;
        }
        let mut entries = self.entries();
        let held = (of, answer.clone());
        if let Some((asker, (_, old))) = entries.by_asker.push(asker.clone(), held) {
            entries.bytes -= footprint_bytes(&asker, &old);
        }
        entries.bytes += bytes;
        while entries.bytes > self.most_bytes {
            let Some((asker, (_, old))) = entries.by_asker.pop_lru() else {
                return;
            };
            entries.bytes -= footprint_bytes(&asker, &old);
        }
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn footprint_bytes(asker: &Asker, answer: &Answer) -> usize {
    // The map's own part: two links, a hash and a pointer, and room that is not taken.
    let entry = size_of::<(Asker, Generation, Answer)>() + 6 * size_of::<usize>();
    entry + asker.bytes() + answer.body.len() + 2 * answer.hash.len() + answer.tag.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asker(id: &str) -> Asker {
        Asker {
            client_id: id.to_owned(),
            audiences: [].into(),
            named: None,
            agent: None,
            address: None,
            hidden: [].into(),
            ticket: None,
        }
    }

    fn answer(bytes: usize) -> Answer {
        Answer::of("x".repeat(bytes).into())
    }

    const ONE: Generation = Generation {
        flags: 1,
        standings: 1,
    };

    #[test]
    fn what_was_made_of_something_else_is_not_given() {
        let held = Held::new(100_000);
        held.put(&asker("a"), ONE, &answer(10));
        assert!(held.get(&asker("a"), ONE).is_some());
        assert!(held.get(&asker("b"), ONE).is_none());
        for (flags, standings) in [(2, 1), (1, 2)] {
            let other = Generation { flags, standings };
            assert!(held.get(&asker("a"), other).is_none());
        }
        let other = Asker {
            agent: Some("shop/2".to_owned()),
            ..asker("a")
        };
        assert!(held.get(&other, ONE).is_none());
    }

    #[test]
    fn the_bytes_are_bounded_and_the_oldest_goes_first() {
        let one = footprint_bytes(&asker("a"), &answer(1_000));
        let held = Held::new(2 * one);
        let is_held = |id: &str| held.get(&asker(id), ONE).is_some();
        held.put(&asker("a"), ONE, &answer(1_000));
        held.put(&asker("b"), ONE, &answer(1_000));
        assert!(is_held("a"));
        held.put(&asker("c"), ONE, &answer(1_000));
        assert!(is_held("a") && !is_held("b") && is_held("c"));
        // The same client's takes no further place.
        for _ in 0..10 {
            held.put(&asker("c"), ONE, &answer(1_000));
        }
        assert!(is_held("a") && is_held("c"));
        assert_eq!(held.entries().bytes, 2 * one);
        held.put(&asker("d"), ONE, &answer(2 * one));
        assert!(is_held("a") && is_held("c") && !is_held("d"));
        let none = Held::new(0);
        none.put(&asker("a"), ONE, &answer(0));
        assert!(none.get(&asker("a"), ONE).is_none());
    }
}
