//! Sockets whose clients have not been let in yet.
//!
//! Invariants: there are never more of them than allowed, of one address or in all; a new one always gets a place. If he is one too many of
//! his address, its oldest loses his; if he is one too many in all, the oldest of the address that has the most. So whoever says at once who
//! he is comes in, however many others say nothing, and a crowd of few addresses turns out its own, and none who came alone.

use std::{
    cmp::Reverse,
    collections::{BTreeSet, HashMap},
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio_util::sync::CancellationToken;

use crate::domain::sender;

/// Those who wait, at all ports of one broker.
pub(super) struct Waiting {
    most: usize,
    most_of_one: usize,
    room: Mutex<Room>,
}

#[derive(Default)]
struct Room {
    next: u64,
    all: HashMap<u64, One>,
    /// By the order in which they came.
    by_sender: HashMap<IpAddr, BTreeSet<u64>>,
    /// Of each address one, so that who has the most is found without a search.
    crowds: BTreeSet<Crowd>,
}

/// How many an address has, and its oldest: of those with as many, the last is the one whose oldest is older.
type Crowd = (usize, Reverse<u64>, IpAddr);

fn crowd(sender: IpAddr, own: &BTreeSet<u64>) -> Option<Crowd> {
    let oldest = own.first().copied();
    oldest.map(|oldest| (own.len(), Reverse(oldest), sender))
}

struct One {
    sender: IpAddr,
    turned_out: CancellationToken,
}

/// The place of one who waits, until it is dropped.
pub(super) struct Place {
    waiting: Arc<Waiting>,
    number: u64,
    turned_out: CancellationToken,
}

impl Waiting {
    /// So many in all, and so many of one address.
    pub(super) fn new(most: usize, most_of_one: usize) -> Self {
        Self {
            most,
            most_of_one,
            room: Mutex::default(),
        }
    }

    /// A place for a socket from there.
    pub(super) fn enter(self: &Arc<Self>, from: IpAddr) -> Place {
        let (sender, turned_out) = (sender(from), CancellationToken::new());
        let mut room = self.room();
        let of_one = room.by_sender.get(&sender);
        let oldest_of_one = of_one
            .filter(|own| own.len() >= self.most_of_one)
            .and_then(BTreeSet::first)
            .copied();
        let largest = room.crowds.last();
        let oldest_of_largest = largest
            .filter(|_| room.all.len() >= self.most)
            .map(|&(_, Reverse(oldest), _)| oldest);
        if let Some(number) = oldest_of_one.or(oldest_of_largest)
            && let Some(one) = room.take(number)
        {
            one.turned_out.cancel();
        }
        let number = room.next;
        room.next += 1;
        room.change(sender, |own| own.insert(number));
        let one = One {
            sender,
            turned_out: turned_out.clone(),
        };
        room.all.insert(number, one);
        drop(room);
        Place {
            waiting: Arc::clone(self),
            number,
            turned_out,
        }
    }

    fn room(&self) -> MutexGuard<'_, Room> {
        self.room.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Room {
    fn take(&mut self, number: u64) -> Option<One> {
        let one = self.all.remove(&number)?;
        self.change(one.sender, |own| own.remove(&number));
        Some(one)
    }

    /// Changes what an address has, and its rank with it.
    fn change(&mut self, sender: IpAddr, change: impl FnOnce(&mut BTreeSet<u64>) -> bool) {
        let own = self.by_sender.entry(sender).or_default();
        if let Some(before) = crowd(sender, own) {
            self.crowds.remove(&before);
        }
        change(own);
        if let Some(now) = crowd(sender, own) {
            self.crowds.insert(now);
        } else {
            self.by_sender.remove(&sender);
        }
    }
}

impl Place {
    /// Cancelled when the place was given to somebody else.
    pub(super) fn turned_out(&self) -> CancellationToken {
        self.turned_out.clone()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.waiting.room().take(self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(address: &str) -> IpAddr {
        address.parse().unwrap()
    }

    #[test]
    fn the_newest_has_a_place_and_the_oldest_loses_it() {
        let waiting = Arc::new(Waiting::new(3, 2));
        let enter = |address: &str| waiting.enter(at(address));
        let is_out = |place: &Place| place.turned_out.is_cancelled();
        let (first, second) = (enter("192.0.2.2"), enter("192.0.2.1"));
        let third = enter("::ffff:192.0.2.1");
        assert!(!is_out(&first) && !is_out(&second) && !is_out(&third));
        // Of one address there are two, so its oldest goes, and no other's.
        let fourth = enter("192.0.2.1");
        assert!(!is_out(&first) && is_out(&second) && !is_out(&third));
        // There are three in all, of this address two.
        let fifth = enter("192.0.2.3");
        assert!(!is_out(&first) && is_out(&third) && !is_out(&fourth));
        // Where all have one, it is the oldest of all.
        let sixth = enter("192.0.2.4");
        assert!(is_out(&first) && !is_out(&fourth) && !is_out(&fifth));
        drop((first, second, third, fourth));
        let seventh = enter("192.0.2.5");
        assert!(!is_out(&fifth) && !is_out(&sixth) && !is_out(&seventh));
    }

    #[test]
    fn a_crowd_of_four_addresses_turns_out_nobody_who_is_alone() {
        let waiting = Arc::new(Waiting::new(40, 10));
        let lone = waiting.enter(at("192.0.2.9"));
        let crowd: Vec<_> = (0..1_000)
            .map(|n| waiting.enter(at(&format!("192.0.2.{}", n % 4))))
            .collect();
        assert!(!lone.turned_out.is_cancelled());
        let in_place = crowd
            .iter()
            .filter(|one| !one.turned_out.is_cancelled())
            .count();
        assert_eq!(in_place, 39);
        // And who comes alone later finds a place, and keeps it.
        let late = waiting.enter(at("192.0.2.10"));
        let more: Vec<_> = (0..100).map(|_| waiting.enter(at("192.0.2.1"))).collect();
        assert!(!lone.turned_out.is_cancelled() && !late.turned_out.is_cancelled());
        drop((more, crowd));
        assert_eq!(waiting.room().crowds.len(), 2);
    }

    #[test]
    fn those_who_left_are_forgotten() {
        let waiting = Arc::new(Waiting::new(10, 3));
        for n in 0..1_000_u32 {
            let places: Vec<_> = (0..20)
                .map(|m| waiting.enter(IpAddr::V4((n * 7 + m % 5).into())))
                .collect();
            let room = waiting.room();
            assert!(room.all.len() <= 10 && room.by_sender.len() == room.crowds.len());
            drop((room, places));
        }
        let room = waiting.room();
        assert!(room.all.is_empty() && room.by_sender.is_empty() && room.crowds.is_empty());
    }
}
