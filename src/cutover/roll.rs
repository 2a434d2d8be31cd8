//! Who has called here, so that an act can say beforehand whom it would move.
//!
//! Invariants: what is remembered is bounded, whoever was seen longest ago goes first; only sessions are noted, so no poll waits for it.

use std::{
    net::IpAddr,
    num::NonZeroUsize,
    sync::{Mutex, PoisonError},
};

use lru::LruCache;

use crate::domain::{Audience, Client, ModuleName};

/// The clients that are known of: those that have opened a session on this replica since its start.
#[derive(Debug)]
pub struct Roll {
    /// `None` if nobody is to be remembered.
    seen: Option<Mutex<LruCache<Box<str>, Seen>>>,
}

/// What was last seen of a client.
#[derive(Debug)]
struct Seen {
    audience: Option<Audience>,
    agent: Box<[u8]>,
    address: Option<IpAddr>,
    /// What it has asked for; `None` = all.
    modules: Option<Vec<ModuleName>>,
}

impl Roll {
    /// A roll of at most so many clients.
    pub fn of(most: usize) -> Self {
        let seen = NonZeroUsize::new(most).map(|most| Mutex::new(LruCache::new(most)));
        Self { seen }
    }

    /// Notes a client that asks for some modules, or for all.
    pub fn note(&self, client: &Client<'_>, modules: Option<&[ModuleName]>) {
        let Some(seen) = &self.seen else {
            return;
        };
        let last = Seen {
            audience: client.audiences.first().cloned(),
            agent: client.agent.into(),
            address: client.address,
            modules: modules.map(<[ModuleName]>::to_vec),
        };
        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.put(client.id.into(), last);
    }

    /// Shows all that have asked for a module, one after the other.
    pub fn each(&self, module: &ModuleName, mut show: impl FnMut(&Client<'_>)) {
        let Some(seen) = &self.seen else {
            return;
        };
        let seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        for (id, last) in seen.iter() {
            let modules = last.modules.as_ref();
            if modules.is_some_and(|modules| !modules.contains(module)) {
                continue;
            }
            show(&Client {
                id,
                audiences: last.audience.as_slice(),
                agent: &last.agent,
                address: last.address,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(roll: &Roll, module: &str) -> Vec<String> {
        let mut ids = Vec::new();
        roll.each(&module.parse().unwrap(), |client| {
            ids.push(client.id.to_owned());
        });
        ids.sort_unstable();
        ids
    }

    #[test]
    fn whoever_was_seen_longest_ago_is_forgotten_first() {
        let roll = Roll::of(2);
        for id in ["a", "b", "a", "c"] {
            roll.note(&Client::named(id), None);
        }
        assert_eq!(shown(&roll, "m"), ["a", "c"]);
        let none = Roll::of(0);
        none.note(&Client::named("a"), None);
        assert_eq!(shown(&none, "m"), [""; 0]);
    }

    #[test]
    fn a_client_counts_for_what_it_asks_for() {
        let roll = Roll::of(2);
        roll.note(&Client::named("a"), Some(&["m".parse().unwrap()]));
        roll.note(&Client::named("b"), None);
        assert_eq!(shown(&roll, "m"), ["a", "b"]);
        assert_eq!(shown(&roll, "n"), ["b"]);
    }
}
