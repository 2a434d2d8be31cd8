//! What a target's desk knows of the broker's clients, and who waits for one.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    time::Instant,
};

use tokio::sync::oneshot;

use super::{rights::Role, shares::Shares};
use crate::{
    domain::Micros,
    identity::passes::{Issued, Owner},
};

/// A client to be made.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    pub(super) issued: Issued,
    pub(super) client_id: String,
    /// Whose it is, and how many clients of this owner there may be.
    pub(super) owner: Owner,
    pub(super) share: usize,
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
    /// Its caller, or its address, has as many as one may have, or as many wait for it as may.
    Share,
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
            Self::Share => "share",
            Self::Late => "late",
            Self::Refused => "refused",
        }
    }
}

/// What is known of the broker.
#[derive(Debug)]
pub(super) struct Held {
    /// The clients that it has, and when each is to be removed; while it cannot be asked, those that it had.
    clients: HashMap<String, Micros>,
    /// Whose they are.
    shares: Shares,
    waiting: VecDeque<Waiting>,
    /// Since when it cannot be asked; none = it can.
    pub(super) away_since: Option<Instant>,
}

impl Held {
    /// Nothing yet.
    pub(super) fn new(now: Instant) -> Self {
        Self {
            clients: HashMap::new(),
            shares: Shares::default(),
            waiting: VecDeque::new(),
            away_since: Some(now),
        }
    }

    /// The clients that it has for certain.
    fn certain(&self) -> impl Iterator<Item = (&String, &Micros)> {
        let clients = self.away_since.is_none().then_some(&self.clients);
        clients.into_iter().flatten()
    }

    pub(super) fn has(&self, username: &str) -> bool {
        self.away_since.is_none() && self.had(username)
    }

    /// Whether it has this client, or had it when it could be asked last: such a one has its place among the clients already.
    pub(super) fn had(&self, username: &str) -> bool {
        self.clients.contains_key(username)
    }

    pub(super) fn count(&self) -> usize {
        self.certain().count()
    }

    /// Those that it has or had, and will have: no fewer than there will be.
    pub(super) fn expected(&self) -> usize {
        self.clients.len() + self.waiting.len()
    }

    /// Other clients that its owner has or will have, as far as this replica knows: those that are being made just now, of one message, are not among them.
    pub(super) fn expected_beside(&self, wanted: &Wanted) -> usize {
        let own = self.wanted_by(&wanted.owner);
        let names = own.map(|one| &one.issued.username);
        let own: HashSet<_> = names.filter(|name| !self.had(name)).collect();
        let is_counted = own.contains(&wanted.issued.username);
        self.shares.count(&wanted.owner) + own.len() - usize::from(is_counted)
    }

    /// Sessions of this owner that wait.
    pub(super) fn waiting_of(&self, owner: &Owner) -> usize {
        self.wanted_by(owner).count()
    }

    /// What those want, but for whoever has gone on without.
    fn wanted_by(&self, owner: &Owner) -> impl Iterator<Item = &Wanted> {
        let mark = owner.mark();
        let waiting = self.waiting.iter().filter(|one| !one.told.is_closed());
        let wanted = waiting.map(|one| &one.wanted);
        wanted.filter(move |one| one.owner.mark() == mark)
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

    pub(super) fn made(&mut self, wanted: &Wanted) {
        let username = &wanted.issued.username;
        if self.clients.insert(username.clone(), wanted.end).is_none() {
            self.shares.add(username);
        }
    }

    pub(super) fn removed(&mut self, username: &str) {
        if self.clients.remove(username).is_some() {
            self.shares.take(username);
        }
    }

    /// It can be asked, and says that it has these.
    pub(super) fn replace(&mut self, clients: HashMap<String, Micros>) {
        self.shares = Shares::of(clients.keys());
        self.clients = clients;
        self.away_since = None;
    }

    /// It cannot be asked, and may have forgotten them. Until it tells, they keep their places: a connection that is lost makes no room, and costs nobody his own.
    pub(super) fn forget(&mut self, now: Instant) {
        self.away_since.get_or_insert(now);
    }

    /// Clients whose end has come, at most so many.
    pub(super) fn ended(&self, now: Micros, most: usize) -> Vec<String> {
        let ended = self.certain().filter(|(_, end)| **end <= now);
        ended.map(|(name, _)| name.clone()).take(most).collect()
    }

    /// The soonest end.
    pub(super) fn soonest(&self) -> Option<Micros> {
        self.certain().map(|(_, end)| *end).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::{
        Who,
        testing::{known, open_passes},
    };

    fn waiting(username: &str) -> (Waiting, oneshot::Receiver<bool>) {
        let (told, hears) = oneshot::channel();
        let owner = open_passes().owner(&Who::Open, None).unwrap();
        let wanted = Wanted {
            issued: Issued {
                username: username.to_owned(),
                password: String::new(),
            },
            client_id: "id".to_owned(),
            owner,
            share: 9,
            roles: Vec::new(),
            end: Micros::new(10),
        };
        (Waiting { wanted, told }, hears)
    }

    #[test]
    fn the_queue_is_bounded_and_passes_over_who_needs_nothing() {
        let mut held = Held::new(Instant::now());
        held.replace(HashMap::new());
        let (first, gone) = waiting("a");
        let (second, mut served) = waiting("b");
        let (third, _waits) = waiting("c");
        held.wait(first, 2).unwrap();
        held.wait(second, 2).unwrap();
        let (more, _hears) = waiting("d");
        assert_eq!(held.wait(more, 2), Err(Without::Crowded));
        drop(gone);
        held.wait(third, 2).unwrap();
        held.made(&waiting("b").0.wanted);
        assert_eq!(held.next().unwrap().wanted.issued.username, "c");
        assert!(served.try_recv().unwrap());
        assert!(held.next().is_none());
        assert_eq!(held.ended(Micros::new(10), 5), ["b"]);
        assert!(held.ended(Micros::new(9), 5).is_empty());
        held.forget(Instant::now());
        assert_eq!((held.count(), held.soonest()), (0, None));
    }

    #[test]
    fn clients_are_counted_for_their_owners() {
        let passes = open_passes();
        let mut held = Held::new(Instant::now());
        let of = |id: &str, who: &Who| {
            let (mut waiting, hears) = waiting("");
            let owner = passes.owner(who, None).unwrap();
            let end = Micros::new(1_000_000);
            let issued = passes.lasting((owner.mark(), id), end, &[]).unwrap();
            (waiting.wanted.owner, waiting.wanted.issued) = (owner, issued);
            (waiting, hears)
        };
        let (one, two) = (known("u1", &[]), known("u2", &[]));
        let (first, _hears) = of("a", &one);
        let (second, _also) = of("b", &one);
        let (again, _too) = of("b", &one);
        let ((third, _), (others, _)) = (of("c", &one), of("d", &two));
        let name = first.wanted.issued.username.clone();
        for _ in 0..2 {
            held.made(&first.wanted);
        }
        // What is asked for twice counts once, and not beside itself.
        held.wait(second, 9).unwrap();
        held.wait(again, 9).unwrap();
        assert_eq!(held.expected_beside(&third.wanted), 2, "one is, one waits");
        let waits_too = held.expected_beside(&of("b", &one).0.wanted);
        assert_eq!(waits_too, 1, "it is counted beside itself");
        let of_other = held.expected_beside(&others.wanted);
        assert_eq!(of_other, 0, "those of another caller are counted");
        // A connection that is lost makes no room; what the broker has lost does.
        held.forget(Instant::now());
        let (own, waits) = of("a", &one);
        held.wait(own, 9).unwrap();
        assert_eq!(held.expected_beside(&third.wanted), 2, "once for both");
        drop(waits);
        held.replace(HashMap::from([(name.clone(), Micros::new(10))]));
        assert_eq!(held.expected_beside(&third.wanted), 2);
        for _ in 0..2 {
            held.removed(&name);
        }
        assert_eq!(held.expected_beside(&third.wanted), 1, "its place is free");
        held.made(&third.wanted);
        held.replace(HashMap::new());
        assert_eq!(held.expected_beside(&third.wanted), 1, "one waits");
        // Whoever has made them.
        let mut other = Held::new(Instant::now());
        let mine = third.wanted.issued.username.clone();
        let theirs = others.wanted.issued.username.clone();
        let listed = [name, mine, theirs, "co2.000000000001.before".to_owned()];
        other.replace(listed.map(|name| (name, Micros::new(10))).into());
        assert_eq!(other.expected_beside(&of("e", &one).0.wanted), 2);
    }
}
