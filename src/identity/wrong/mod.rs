//! Who sends wrong credentials.
//!
//! An address may send so many different wrong credentials within a minute, and one more for each caller that it brings meanwhile: many clients may share an
//! address, and where most are right, few wrong ones are no guessing. Beyond that it is told to wait with a further wrong one, and with one that
//! somebody else would have to be asked about, but for a trickle of checks: so nobody is locked out whom his neighbours' ended sessions stand
//! beside. What is known, was right once, or can be verified here passes all the same. A wrong credential counts once, however often it comes, in later
//! minutes too. An IPv6 address counts with its /64.
//!
//! `book.rs` is what is remembered of them.
//!
//! Invariant: no more addresses are remembered than allowed, and of each no more than named here.

mod book;

use std::{
    net::IpAddr,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use self::book::{Book, MOST_RIGHT, Sender, WINDOW};
use super::fingerprint::Fingerprint;
use crate::{
    config::auth::Auth,
    domain::{Micros, sender},
};

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

fn whole_seconds(left: Duration) -> u32 {
    u32::try_from(left.as_secs() + 1).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
