//! Sockets whose clients have not been let in yet.
//!
//! Invariants: there are never more of them than allowed, of one address or in all; a new one always gets a place, and who has waited
//! longest loses his. So whoever says at once who he is comes in, however many others say nothing.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
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
    /// By the order in which they came.
    all: BTreeMap<u64, One>,
    by_sender: HashMap<IpAddr, BTreeSet<u64>>,
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
        let oldest = room.all.keys().next().copied();
        let oldest = oldest.filter(|_| room.all.len() >= self.most);
        if let Some(number) = oldest_of_one.or(oldest)
            && let Some(one) = room.take(number)
        {
            one.turned_out.cancel();
        }
        let number = room.next;
        room.next += 1;
        room.by_sender.entry(sender).or_default().insert(number);
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
        if let Some(own) = self.by_sender.get_mut(&one.sender) {
            own.remove(&number);
            if own.is_empty() {
                self.by_sender.remove(&one.sender);
            }
        }
        Some(one)
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
        // There are three in all.
        let fifth = enter("192.0.2.3");
        assert!(is_out(&first) && !is_out(&third) && !is_out(&fourth));
        drop((first, second, third));
        let sixth = enter("192.0.2.4");
        assert!(!is_out(&fourth) && !is_out(&fifth) && !is_out(&sixth));
    }

    #[test]
    fn those_who_left_are_forgotten() {
        let waiting = Arc::new(Waiting::new(10, 3));
        for n in 0..1_000_u32 {
            let places: Vec<_> = (0..20)
                .map(|m| waiting.enter(IpAddr::V4((n * 7 + m % 5).into())))
                .collect();
            let room = waiting.room();
            assert!(room.all.len() <= 10 && room.by_sender.len() <= 10);
            drop((room, places));
        }
        let room = waiting.room();
        assert!(room.all.is_empty() && room.by_sender.is_empty());
    }
}
