//! Who sends wrong credentials.
//!
//! An address may send so many different wrong credentials within a minute, and one more for each caller that it brings meanwhile: many clients may share an
//! address, and where most are right, few wrong ones are no guessing. Beyond that it is told to wait with a further wrong one, and with one that
//! somebody else would have to be asked about, but for a trickle of checks: so nobody is locked out whom his neighbours' ended sessions stand
//! beside. What is known, was right once, or can be verified here passes all the same. A wrong credential counts once, however often it comes, in later
//! minutes too. An IPv6 address counts with its /64.
//!
//! Invariant: no more addresses are remembered than allowed, and of each no more than named here.

use std::{
    collections::{HashMap, VecDeque},
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

/// The most callers of one address that give it room for a wrong credential each.
const MOST_RIGHT: usize = 1_000;

/// How many wrong credentials of an address are known again, as a multiple of its tries.
const REMEMBERED: usize = 8;

/// The addresses that sent wrong credentials.
pub(super) struct WrongSenders {
    tries: usize,
    /// How often an address that has to wait may have a credential checked.
    check_every: Duration,
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

/// One address.
#[derive(Default)]
struct Sender {
    /// When its minute began.
    since: Micros,
    /// How many wrong credentials count in it.
    tries: usize,
    /// The last ones that were wrong, in this minute or before it.
    wrong: VecDeque<u64>,
    /// Callers that it brought in this minute, after a wrong credential.
    right: Vec<u64>,
    /// When the next check may be, while it has to wait.
    next_check: Micros,
}

impl WrongSenders {
    pub(super) fn new(auth: &Auth) -> Self {
        Self {
            tries: auth.wrong_tries,
            check_every: WINDOW / auth.locked_checks.max(1),
            most_in_half: (auth.max_wrong_senders / 2).max(1),
            book: Mutex::default(),
        }
    }

    /// Takes down a wrong credential. Returns when to come again, if it was one too many.
    pub(super) fn note(&self, from: IpAddr, wrong: &Fingerprint, now: Micros) -> Option<u32> {
        let mut book = self.book.lock().unwrap_or_else(PoisonError::into_inner);
        let sender = book.sender(sender(from), now, self.most_in_half);
        if sender.wrong.contains(&wrong.short()) {
            return None;
        }
        if sender.wrong.len() >= self.tries * REMEMBERED {
            sender.wrong.pop_front();
        }
        sender.wrong.push_back(wrong.short());
        if sender.has_to_wait(self.tries) {
            return Some(whole_seconds(sender.left(now)));
        }
        sender.tries += 1;
        if sender.has_to_wait(self.tries) {
            sender.next_check = now.plus(self.check_every);
        }
        None
    }

    /// Whether somebody else may be asked about a credential that was never right; if not, when to come again. A yes to who has to wait is a check
    /// of the trickle.
    pub(super) fn may_ask(&self, from: IpAddr, key: &Fingerprint, now: Micros) -> Result<(), u32> {
        let ends = now.plus(self.check_every);
        self.asks(from, key, now, |sender| sender.next_check = ends)
    }

    /// The same, as it looks now: for who will ask again when its turn has come, and takes nothing of the trickle before.
    pub(super) fn might_ask(
        &self,
        from: IpAddr,
        key: &Fingerprint,
        now: Micros,
    ) -> Result<(), u32> {
        self.asks(from, key, now, |_| ())
    }

    fn asks(
        &self,
        from: IpAddr,
        key: &Fingerprint,
        now: Micros,
        trickle: impl FnOnce(&mut Sender),
    ) -> Result<(), u32> {
        let mut book = self.book.lock().unwrap_or_else(PoisonError::into_inner);
        let from = sender(from);
        let Book { young, old, .. } = &mut *book;
        let Some(sender) = young.get_mut(&from).or_else(|| old.get_mut(&from)) else {
            return Ok(());
        };
        if !sender.has_to_wait(self.tries) || !sender.is_current(now) {
            return Ok(());
        }
        if sender.wrong.contains(&key.short()) {
            return Err(whole_seconds(sender.left(now)));
        }
        if now < sender.next_check {
            let left = sender.next_check.since(now).min(sender.left(now));
            return Err(whole_seconds(left));
        }
        trickle(sender);
        Ok(())
    }

    /// Takes down that an address has brought a caller that was not known. Each counts once.
    pub(super) fn note_right(&self, from: IpAddr, who: &Fingerprint, now: Micros) {
        let mut book = self.book.lock().unwrap_or_else(PoisonError::into_inner);
        let from = sender(from);
        let Book { young, old, .. } = &mut *book;
        let known = young.get_mut(&from).or_else(|| old.get_mut(&from));
        let Some(sender) = known.filter(|sender| sender.is_current(now)) else {
            return;
        };
        let who = who.short();
        if sender.right.len() < MOST_RIGHT && !sender.right.contains(&who) {
            sender.right.push(who);
        }
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
    fn has_to_wait(&self, tries: usize) -> bool {
        self.tries >= tries + self.right.len()
    }

    fn is_current(&self, now: Micros) -> bool {
        // A clock that was set back begins a new minute.
        now >= self.since && now.since(self.since) < WINDOW
    }

    /// What is left of its minute.
    fn left(&self, now: Micros) -> Duration {
        WINDOW.saturating_sub(now.since(self.since))
    }
}

fn whole_seconds(left: Duration) -> u32 {
    u32::try_from(left.as_secs() + 1).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::fingerprint::Salt;

    fn key(n: usize) -> Fingerprint {
        Salt([1; 16]).of(0, &n.to_le_bytes())
    }

    fn senders(max_wrong_senders: usize) -> WrongSenders {
        WrongSenders::new(&Auth {
            wrong_tries: 3,
            locked_checks: 12,
            max_wrong_senders,
            ..Auth::default()
        })
    }

    fn at(seconds: i64) -> Micros {
        Micros::new(1_000_000 * (1_000 + seconds))
    }

    fn addresses() -> (IpAddr, IpAddr) {
        ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap())
    }

    #[test]
    fn one_address_waits_until_its_minute_is_over_and_no_other_does() {
        let senders = senders(100);
        let (bad, good) = addresses();
        for n in 0..3 {
            assert_eq!(senders.may_ask(bad, &key(n), at(0)), Ok(()));
            assert_eq!(senders.note(bad, &key(n), at(0)), None);
            assert_eq!(senders.note(bad, &key(n), at(0)), None, "the same again");
        }
        assert_eq!(senders.may_ask(bad, &key(9), at(1)), Err(5));
        assert_eq!(senders.note(bad, &key(9), at(10)), Some(51));
        assert_eq!(senders.may_ask(good, &key(9), at(10)), Ok(()));
        assert_eq!(senders.may_ask(bad, &key(9), at(60)), Ok(()));
        assert_eq!(senders.note(bad, &key(10), at(60)), None);
    }

    #[test]
    fn who_has_to_wait_has_a_trickle_of_checks() {
        let senders = senders(100);
        let (bad, _) = addresses();
        for n in 0..3 {
            senders.note(bad, &key(n), at(0));
        }
        let asked = (0..60_usize).filter(|n| {
            let now = at(i64::try_from(*n).unwrap());
            senders.may_ask(bad, &key(100 + n), now).is_ok()
        });
        assert_eq!(asked.count(), 11, "every five seconds");
        assert!(
            senders.may_ask(bad, &key(1), at(59)).is_err(),
            "a known one"
        );
    }

    #[test]
    fn who_looks_before_its_turn_takes_nothing_of_the_trickle() {
        let senders = senders(100);
        let (bad, _) = addresses();
        for n in 0..3 {
            senders.note(bad, &key(n), at(0));
        }
        for n in 10..20 {
            assert_eq!(senders.might_ask(bad, &key(n), at(5)), Ok(()));
        }
        assert_eq!(senders.may_ask(bad, &key(10), at(5)), Ok(()));
        assert!(senders.might_ask(bad, &key(11), at(5)).is_err());
    }

    #[test]
    fn who_brings_right_ones_too_has_more_tries_and_each_caller_counts_once() {
        let senders = senders(100);
        let (shared, _) = addresses();
        senders.note_right(shared, &key(1_000), at(0));
        for n in 0..3 {
            assert_eq!(senders.note(shared, &key(n), at(0)), None);
        }
        assert!(senders.may_ask(shared, &key(9), at(0)).is_err());
        for _ in 0..10 {
            senders.note_right(shared, &key(1_001), at(0));
        }
        assert_eq!(senders.may_ask(shared, &key(9), at(0)), Ok(()));
        assert_eq!(senders.note(shared, &key(9), at(0)), None);
        assert!(senders.may_ask(shared, &key(10), at(0)).is_err());
    }

    #[test]
    fn the_same_ones_do_not_count_again_in_the_next_minute() {
        let senders = senders(100);
        let (shared, _) = addresses();
        for minute in 0..5 {
            for n in 0..3 {
                senders.note(shared, &key(n), at(60 * minute));
            }
            let asked = senders.may_ask(shared, &key(9), at(60 * minute));
            assert_eq!(asked.is_ok(), minute > 0, "minute {minute}");
        }
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let senders = senders(10);
        for n in 0..1_000_u32 {
            let from = IpAddr::V4((0x0A00_0000 + n).into());
            for n in 0..100 {
                senders.note(from, &key(n), Micros::new(0));
                senders.note_right(from, &key(n), Micros::new(0));
            }
        }
        let book = senders.book.lock().unwrap();
        assert!(book.young.len() + book.old.len() <= 10);
        let most = 3 * REMEMBERED;
        assert!(book.young.values().all(|one| one.wrong.len() <= most));
        assert!(book.young.values().all(|one| one.right.len() <= MOST_RIGHT));
    }

    #[test]
    fn a_network_of_ipv6_is_one_sender() {
        let senders = senders(10);
        for n in 0..3 {
            let from = format!("2001:db8::{n}").parse().unwrap();
            senders.note(from, &key(n), Micros::default());
        }
        let asks = |from: &str| senders.may_ask(from.parse().unwrap(), &key(9), Micros::default());
        assert!(asks("2001:db8::ffff").is_err());
        assert!(asks("2001:db8:0:1::1").is_ok());
    }
}
