//! What a target's desk knows of the broker's clients, and who waits for one.

use std::{
    collections::{HashMap, VecDeque},
    time::Instant,
};

use tokio::sync::oneshot;

use super::rights::Role;
use crate::{domain::Micros, identity::passes::Issued};

/// A client to be made.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    pub(super) issued: Issued,
    pub(super) client_id: String,
    pub(super) roles: Vec<Role>,
    pub(super) end: Micros,
}

/// A session that waits for its client: told whether it is there.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) wanted: Wanted,
    pub(super) told: oneshot::Sender<bool>,
}

/// Why a session gets no client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Without {
    /// The broker cannot be asked.
    Away,
    /// Too many wait.
    Crowded,
    /// The broker has as many as it may have.
    Full,
    /// It was not made in time.
    Late,
    /// The broker does not make it.
    Refused,
}

impl Without {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Away => "away",
            Self::Crowded => "crowded",
            Self::Full => "full",
            Self::Late => "late",
            Self::Refused => "refused",
        }
    }
}

/// What is known of the broker.
#[derive(Debug)]
pub(super) struct Held {
    /// The clients that it has, and when each is to be removed.
    clients: HashMap<String, Micros>,
    waiting: VecDeque<Waiting>,
    /// Since when it cannot be asked; none = it can.
    pub(super) away_since: Option<Instant>,
}

impl Held {
    /// Nothing yet.
    pub(super) fn new(now: Instant) -> Self {
        Self {
            clients: HashMap::new(),
            waiting: VecDeque::new(),
            away_since: Some(now),
        }
    }

    pub(super) fn has(&self, username: &str) -> bool {
        self.clients.contains_key(username)
    }

    pub(super) fn count(&self) -> usize {
        self.clients.len()
    }

    /// Those that it has or will have.
    pub(super) fn expected(&self) -> usize {
        self.clients.len() + self.waiting.len()
    }

    pub(super) fn is_waited_for(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// A session waits.
    pub(super) fn wait(&mut self, waiting: Waiting, most: usize) -> Result<(), Without> {
        if self.waiting.len() >= most {
            // Those whose sessions have gone on without take nobody's place.
            self.waiting.retain(|one| !one.told.is_closed());
        }
        if self.waiting.len() >= most {
            return Err(Without::Crowded);
        }
        self.waiting.push_back(waiting);
        Ok(())
    }

    /// The next session that needs a client. Those that need none any more are passed over.
    pub(super) fn next(&mut self) -> Option<Waiting> {
        while let Some(next) = self.waiting.pop_front() {
            if self.has(&next.wanted.issued.username) {
                let _gone = next.told.send(true);
            } else if !next.told.is_closed() {
                return Some(next);
            }
        }
        None
    }

    pub(super) fn made(&mut self, username: String, end: Micros) {
        self.clients.insert(username, end);
    }

    pub(super) fn removed(&mut self, username: &str) {
        self.clients.remove(username);
    }

    /// What the broker says that it has.
    pub(super) fn replace(&mut self, clients: HashMap<String, Micros>) {
        self.clients = clients;
    }

    /// It may have forgotten them.
    pub(super) fn forget(&mut self, now: Instant) {
        self.clients = HashMap::new();
        self.away_since.get_or_insert(now);
    }

    /// Clients whose end has come, at most so many.
    pub(super) fn ended(&self, now: Micros, most: usize) -> Vec<String> {
        let ended = self.clients.iter().filter(|(_, end)| **end <= now);
        ended.map(|(name, _)| name.clone()).take(most).collect()
    }

    /// The soonest end.
    pub(super) fn soonest(&self) -> Option<Micros> {
        self.clients.values().min().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waiting(username: &str) -> (Waiting, oneshot::Receiver<bool>) {
        let (told, hears) = oneshot::channel();
        let wanted = Wanted {
            issued: Issued {
                username: username.to_owned(),
                password: String::new(),
            },
            client_id: "id".to_owned(),
            roles: Vec::new(),
            end: Micros::new(10),
        };
        (Waiting { wanted, told }, hears)
    }

    #[test]
    fn the_queue_is_bounded_and_passes_over_who_needs_nothing() {
        let mut held = Held::new(Instant::now());
        let (first, gone) = waiting("a");
        let (second, mut served) = waiting("b");
        let (third, _waits) = waiting("c");
        held.wait(first, 2).unwrap();
        held.wait(second, 2).unwrap();
        let (more, _hears) = waiting("d");
        assert_eq!(held.wait(more, 2), Err(Without::Crowded));
        drop(gone);
        held.wait(third, 2).unwrap();
        held.made("b".to_owned(), Micros::new(10));
        assert_eq!(held.next().unwrap().wanted.issued.username, "c");
        assert!(served.try_recv().unwrap());
        assert!(held.next().is_none());
        assert_eq!(held.ended(Micros::new(10), 5), ["b"]);
        assert!(held.ended(Micros::new(9), 5).is_empty());
        held.forget(Instant::now());
        assert_eq!((held.count(), held.soonest()), (0, None));
    }
}
