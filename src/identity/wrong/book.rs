//! The book of the addresses that sent wrong credentials lately.
//!
//! Invariant: it has no more of them than allowed, in two halves of which the older one is forgotten.

use std::{
    collections::{HashMap, VecDeque},
    mem,
    net::IpAddr,
    time::Duration,
};

use crate::domain::Micros;

/// For how long tries count together.
pub(super) const WINDOW: Duration = Duration::from_mins(1);

/// The most callers of one address that give it room for a wrong credential each.
pub(super) const MOST_RIGHT: usize = 1_000;

/// Two halves: when the young one is full or a minute old, the old one is forgotten.
#[derive(Default)]
pub(super) struct Book {
    since: Micros,
    pub(super) young: HashMap<IpAddr, Sender>,
    pub(super) old: HashMap<IpAddr, Sender>,
}

/// One address.
#[derive(Default)]
pub(super) struct Sender {
    /// When its minute began.
    since: Micros,
    /// How many wrong credentials count in it.
    pub(super) tries: usize,
    /// The last ones that were wrong, in this minute or before it.
    pub(super) wrong: VecDeque<u64>,
    /// Callers that it brought in this minute, after a wrong credential.
    pub(super) right: Vec<u64>,
    /// When the next check may be, while it has to wait.
    pub(super) next_check: Micros,
}

impl Book {
    pub(super) fn sender(&mut self, from: IpAddr, now: Micros, most: usize) -> &mut Sender {
        let is_new = !self.young.contains_key(&from);
        if now.since(self.since) > WINDOW || (is_new && self.young.len() >= most) {
            self.old = mem::take(&mut self.young);
            self.since = now;
        }
        let before = self.old.remove(&from);
        let sender = self.young.entry(from).or_insert_with(|| {
            before.unwrap_or(Sender {
                since: now,
                ..Sender::default()
            })
        });
        if !sender.is_current(now) {
            sender.since = now;
            sender.tries = 0;
            sender.right.clear();
        }
        sender
    }
}

impl Sender {
    pub(super) fn has_to_wait(&self, tries: usize) -> bool {
        self.tries >= tries + self.right.len()
    }

    pub(super) fn is_current(&self, now: Micros) -> bool {
        // A clock that was set back begins a new minute.
        now >= self.since && now.since(self.since) < WINDOW
    }

    /// What is left of its minute.
    pub(super) fn left(&self, now: Micros) -> Duration {
        WINDOW.saturating_sub(now.since(self.since))
    }
}
