//! What is remembered of those who ask: a moment each.
//!
//! Two generations in each part: what is looked up comes into the young one; when that is full, or old, the old one is forgotten and the
//! young one takes its place. So whoever asks again and again stays, and to forget costs nothing per entry.
//!
//! Invariants: at most twice as many are remembered as wished, and one more per part; a part's lock is held for a lookup.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

/// Locks: those who ask at the same moment seldom meet.
const PARTS: usize = 16;

/// Keys are hashes already.
type Moments = HashMap<u64, u64, foldhash::fast::RandomState>;

/// The moments of all.
#[derive(Debug)]
pub(super) struct Kept {
    parts: Box<[Mutex<Part>]>,
    /// Entries in a young generation.
    most: usize,
    /// What has not been looked up for so long says nothing any more.
    stale_us: u64,
}

#[derive(Debug, Default)]
struct Part {
    young: Moments,
    old: Moments,
    /// When the young one began.
    since_us: u64,
}

impl Kept {
    pub(super) fn new(remembered: usize, stale_us: u64) -> Self {
        Self {
            parts: (0..PARTS).map(|_| Mutex::default()).collect(),
            most: remembered.div_ceil(PARTS),
            stale_us,
        }
    }

    /// Gives the moment of `who`, 0 if none is remembered, to `next`, and remembers what it returns.
    pub(super) fn update<E>(
        &self,
        who: u64,
        now_us: u64,
        next: impl FnOnce(u64) -> Result<u64, E>,
    ) -> Result<(), E> {
        // The lowest bits choose the part; the table hashes all of them again.
        let place = usize::try_from(who % PARTS as u64).expect("it is below PARTS");
        let mut part = self.parts[place]
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        part.age(now_us, self.most, self.stale_us);
        let known = part.young.get(&who).or_else(|| part.old.get(&who));
        let known = known.copied().unwrap_or(0);
        let (moment, outcome) = match next(known) {
            Ok(moment) => (moment, Ok(())),
            Err(refused) => (known, Err(refused)),
        };
        part.young.insert(who, moment);
        outcome
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        let len = |part: &Mutex<Part>| {
            let part = part.lock().unwrap();
            part.young.len() + part.old.len()
        };
        self.parts.iter().map(len).sum()
    }
}

impl Part {
    fn age(&mut self, now_us: u64, most: usize, stale_us: u64) {
        let is_full = self.young.len() >= most;
        if is_full || now_us.saturating_sub(self.since_us) > stale_us {
            self.old = std::mem::take(&mut self.young);
            self.since_us = now_us;
        }
    }
}
