//! Who sends wrong credentials.
//!
//! An address that has sent as many different wrong credentials within a minute as are allowed is told to wait: with a wrong credential, or with one that
//! somebody else would have to be asked about. One that is known, or that can be verified here, passes all the same: many
//! clients may share an address. The same wrong credential again is no further try. An IPv6 address counts with its /64.
//!
//! Invariant: no more addresses are remembered than allowed, and of each no more than its tries.

use std::{
    collections::HashMap,
    mem,
    net::IpAddr,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use super::fingerprint::Fingerprint;
use crate::{
    config::auth::Auth,
    domain::{Micros, sender},
};

const WINDOW: Duration = Duration::from_mins(1);

/// The addresses that sent wrong credentials.
pub(super) struct WrongSenders {
    tries: usize,
    most_in_half: usize,
    book: Mutex<Book>,
}

/// Two halves: when the young one is full or a minute old, the old one is forgotten.
#[derive(Default)]
struct Book {
    since: Micros,
    young: HashMap<IpAddr, Sender>,
    old: HashMap<IpAddr, Sender>,
}

struct Sender {
    since: Micros,
    sent: Vec<u64>,
}

impl WrongSenders {
    pub(super) fn new(auth: &Auth) -> Self {
        Self {
            tries: auth.wrong_tries,
            most_in_half: (auth.max_wrong_senders / 2).max(1),
            book: Mutex::default(),
        }
    }

    /// Takes down a wrong credential. Returns when to come again, if it was one too many.
    pub(super) fn note(&self, from: IpAddr, wrong: &Fingerprint, now: Micros) -> Option<u32> {
        let mut book = self.book.lock().unwrap_or_else(PoisonError::into_inner);
        let sender = book.sender(sender(from), now, self.most_in_half);
        let is_new = !sender.sent.contains(&wrong.short());
        if is_new && sender.sent.len() >= self.tries {
            return Some(sender.waits_s(now));
        }
        if is_new {
            sender.sent.push(wrong.short());
        }
        None
    }

    /// When to come again with something that is not known here; `None` = now.
    pub(super) fn waits_s(&self, from: IpAddr, now: Micros) -> Option<u32> {
        let book = self.book.lock().unwrap_or_else(PoisonError::into_inner);
        let from = sender(from);
        let sender = book.young.get(&from).or_else(|| book.old.get(&from))?;
        let too_many = sender.sent.len() >= self.tries && sender.is_current(now);
        too_many.then(|| sender.waits_s(now))
    }
}

impl Book {
    fn sender(&mut self, from: IpAddr, now: Micros, most: usize) -> &mut Sender {
        let is_new = !self.young.contains_key(&from);
        if now.since(self.since) > WINDOW || (is_new && self.young.len() >= most) {
            self.old = mem::take(&mut self.young);
            self.since = now;
        }
        let before = self.old.remove(&from);
        let sender = self.young.entry(from).or_insert_with(|| {
            before.unwrap_or(Sender {
                since: now,
                sent: Vec::new(),
            })
        });
        if !sender.is_current(now) {
            sender.since = now;
            sender.sent.clear();
        }
        sender
    }
}

impl Sender {
    fn is_current(&self, now: Micros) -> bool {
        // A clock that was set back begins a new minute.
        now >= self.since && now.since(self.since) < WINDOW
    }

    fn waits_s(&self, now: Micros) -> u32 {
        let left = WINDOW.saturating_sub(now.since(self.since));
        u32::try_from(left.as_secs() + 1).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::fingerprint::Salt;

    fn wrong(n: usize) -> Fingerprint {
        Salt([1; 16]).of(0, &n.to_le_bytes())
    }

    fn senders(max_wrong_senders: usize) -> WrongSenders {
        WrongSenders::new(&Auth {
            wrong_tries: 3,
            max_wrong_senders,
            ..Auth::default()
        })
    }

    #[test]
    fn one_address_waits_until_its_minute_is_over_and_no_other_does() {
        let senders = senders(100);
        let (bad, good): (IpAddr, IpAddr) =
            ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
        let at = |seconds: i64| Micros::new(1_000_000 * (1_000 + seconds));
        for n in 0..3 {
            assert_eq!(senders.waits_s(bad, at(0)), None);
            assert_eq!(senders.note(bad, &wrong(n), at(0)), None);
            assert_eq!(senders.note(bad, &wrong(n), at(0)), None, "the same again");
        }
        assert_eq!(senders.waits_s(bad, at(10)), Some(51));
        assert_eq!(senders.note(bad, &wrong(9), at(10)), Some(51));
        assert_eq!(senders.waits_s(good, at(10)), None);
        assert_eq!(senders.waits_s(bad, at(60)), None);
        assert_eq!(senders.note(bad, &wrong(9), at(60)), None);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let senders = senders(10);
        for n in 0..1_000_u32 {
            let from = IpAddr::V4((0x0A00_0000 + n).into());
            for n in 0..100 {
                senders.note(from, &wrong(n), Micros::new(i64::from(0)));
            }
        }
        let book = senders.book.lock().unwrap();
        assert!(book.young.len() + book.old.len() <= 10);
        assert!(book.young.values().all(|sender| sender.sent.len() <= 3));
    }

    #[test]
    fn a_network_of_ipv6_is_one_sender() {
        let senders = senders(10);
        for n in 0..3 {
            let from = format!("2001:db8::{n}").parse().unwrap();
            senders.note(from, &wrong(n), Micros::default());
        }
        let waits = |from: &str| senders.waits_s(from.parse().unwrap(), Micros::default());
        assert!(waits("2001:db8::ffff").is_some());
        assert!(waits("2001:db8:0:1::1").is_none());
    }
}
