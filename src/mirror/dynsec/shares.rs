//! Whose the clients on a broker are.
//!
//! Invariant: it knows of no client that the broker was not seen to have, so it is bounded as those are. What another replica made, or this one in its last life, is
//! nobody's until its caller asks here again.

use std::collections::HashMap;

use crate::identity::passes::CallerMark;

/// The callers of clients.
#[derive(Debug, Default)]
pub(super) struct Shares {
    callers: HashMap<String, CallerMark>,
    counts: HashMap<CallerMark, usize>,
}

impl Shares {
    /// How many clients a caller has.
    pub(super) fn count(&self, caller: CallerMark) -> usize {
        self.counts.get(&caller).copied().unwrap_or_default()
    }

    /// The client is this caller's.
    pub(super) fn note(&mut self, username: &str, caller: CallerMark) {
        if !self.callers.contains_key(username) {
            self.callers.insert(username.to_owned(), caller);
            *self.counts.entry(caller).or_default() += 1;
        }
    }

    /// The broker has the client no longer.
    pub(super) fn forget(&mut self, username: &str) {
        if let Some(caller) = self.callers.remove(username) {
            self.give_back(caller);
        }
    }

    /// The broker has these and no others.
    pub(super) fn keep(&mut self, is_there: impl Fn(&str) -> bool) {
        let gone = self.callers.extract_if(|name, _| !is_there(name));
        let gone: Vec<_> = gone.map(|(_, caller)| caller).collect();
        for caller in gone {
            self.give_back(caller);
        }
    }

    fn give_back(&mut self, caller: CallerMark) {
        if let Some(count) = self.counts.get_mut(&caller) {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(&caller);
            }
        }
    }
}
