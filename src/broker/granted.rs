//! What the clients that are connected have shown, and until when it is good.
//!
//! Invariants: a client is here as long as one of its connections holds its [`Connected`]; once the pass of its newest one
//! has expired, it grants nothing more and its connection is ended. Without an entry nothing is granted. No caller has more connections
//! than allowed, but that each of its clients may take over its own.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use crate::identity::passes::{CallerMark, Pass};

/// The passes of those who are connected.
pub(super) struct Granted {
    per_caller: usize,
    book: Mutex<Book>,
}

#[derive(Default)]
struct Book {
    /// By MQTT client id.
    by_client: HashMap<String, Grant>,
    /// How many connections each has.
    by_caller: HashMap<CallerMark, usize>,
}

struct Grant {
    pass: Pass,
    expires: Instant,
    /// Connections that were let in and have not ended: two for a moment while one takes over.
    connections: u32,
    /// Whether its expiry was told.
    is_over: bool,
}

/// A connection of somebody who has shown a pass, until it is dropped.
pub(super) struct Connected {
    granted: Arc<Granted>,
    client_id: String,
    caller: Option<CallerMark>,
}

impl Granted {
    /// Of so many connections of each caller at most.
    pub(super) fn new(per_caller: usize) -> Self {
        Self {
            per_caller,
            book: Mutex::default(),
        }
    }

    /// Notes who is let in; none if its caller has as many connections as it may.
    pub(super) fn enters(
        self: &Arc<Self>,
        pass: Pass,
        left: Duration,
        now: Instant,
    ) -> Option<Connected> {
        let mut book = self.book();
        let (client_id, caller) = (pass.client_id().to_owned(), pass.caller());
        let before = book.by_client.get(&client_id);
        let connections = before.map_or(0, |grant| grant.connections);
        if let Some(caller) = caller {
            let of_caller = book.by_caller.entry(caller).or_default();
            // One that takes over from itself has two until the older one has ended.
            if *of_caller >= self.per_caller && connections != 1 {
                return None;
            }
            *of_caller += 1;
        }
        // An hour where the clock cannot count so far: who enters is asked again then.
        let expires = now.checked_add(left).unwrap_or(now + LONGEST);
        let grant = Grant {
            pass,
            expires,
            connections: connections.saturating_add(1),
            is_over: false,
        };
        book.by_client.insert(client_id.clone(), grant);
        drop(book);
        Some(Connected {
            granted: Arc::clone(self),
            client_id,
            caller,
        })
    }

    /// What is so for the pass of a client, if it has one that is good.
    pub(super) fn of(&self, client_id: &str, now: Instant, is_so: impl Fn(&Pass) -> bool) -> bool {
        let book = self.book();
        let grant = book.by_client.get(client_id);
        grant.is_some_and(|grant| now < grant.expires && is_so(&grant.pass))
    }

    /// Whose pass has expired, each time as long as they are connected: whoever ends them may not know of one yet. With it, whether it is told for the
    /// first time.
    pub(super) fn expire(&self, now: Instant) -> Vec<(String, bool)> {
        let mut book = self.book();
        let over = book
            .by_client
            .iter_mut()
            .filter(|(_, grant)| grant.expires <= now);
        over.map(|(client_id, grant)| {
            let is_new = !std::mem::replace(&mut grant.is_over, true);
            (client_id.clone(), is_new)
        })
        .collect()
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Connected {
    fn drop(&mut self) {
        let mut book = self.granted.book();
        if let Some(grant) = book.by_client.get_mut(&self.client_id) {
            grant.connections = grant.connections.saturating_sub(1);
            if grant.connections == 0 {
                book.by_client.remove(&self.client_id);
            }
        }
        if let Some(Entry::Occupied(mut count)) = self.caller.map(|of| book.by_caller.entry(of)) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

const LONGEST: Duration = Duration::from_hours(1);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::{Who, testing::open_passes};

    fn pass(client_id: &str) -> Pass {
        let passes = open_passes();
        let issued = passes.issue(&Who::Open, &[], client_id).unwrap();
        passes.named(&issued.username).unwrap()
    }

    #[test]
    fn an_expiry_is_told_as_long_as_the_client_is_connected() {
        let (granted, now) = (Arc::new(Granted::new(9)), Instant::now());
        let second = Duration::from_secs(1);
        let connected = granted.enters(pass("one"), second, now).unwrap();
        assert!(granted.expire(now).is_empty());
        let then = now + second;
        assert_eq!(granted.expire(then), [("one".to_owned(), true)]);
        assert_eq!(granted.expire(then), [("one".to_owned(), false)]);
        // A new pass is another one.
        let again = granted.enters(pass("one"), second, then).unwrap();
        assert!(granted.expire(then).is_empty());
        assert_eq!(granted.expire(then + second), [("one".to_owned(), true)]);
        drop((connected, again));
        assert!(granted.expire(then + second).is_empty());
    }
}
