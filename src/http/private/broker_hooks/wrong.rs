//! Who shows wrong logins to the brokers.
//!
//! A broker asks for many clients over one connection, so nobody's answer is held back: it would hold up those behind it. Wrong ones are
//! counted, by the address of the client where the broker says it and by the user name where it does not. Right ones are no concern of
//! this, however many wrong ones came from the same place. Invariant: no more senders are remembered than allowed.

use std::{
    collections::HashMap,
    mem,
    net::IpAddr,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use crate::{config::auth::Auth, domain, telemetry::metric};

const WINDOW: Duration = Duration::from_mins(1);

/// What is remembered of a user name.
const USER_CHARACTERS: usize = 64;

/// The senders of wrong logins.
pub(super) struct WrongLogins {
    tries: usize,
    most_in_half: usize,
    book: Mutex<Book>,
}

/// Two halves: when the young one is full or a minute old, the old one is forgotten.
#[derive(Default)]
struct Book {
    since: Option<Instant>,
    young: HashMap<Sender, Tries>,
    old: HashMap<Sender, Tries>,
    told_at: Option<Instant>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Sender {
    Address(IpAddr),
    User(Box<str>),
}

#[derive(Clone, Copy)]
struct Tries {
    since: Instant,
    count: usize,
}

impl WrongLogins {
    /// As many as are allowed of wrong credentials over HTTP.
    pub(super) fn new(auth: &Auth) -> Self {
        Self {
            tries: auth.wrong_tries,
            most_in_half: (auth.max_wrong_senders / 2).max(1),
            book: Mutex::default(),
        }
    }

    /// Counts one, and tells of who tries often.
    pub(super) fn note(&self, broker: &'static str, peer: Option<&str>, username: &str) {
        let often = self.count(&sender(peer, username), Instant::now());
        let label = if often { "yes" } else { "no" };
        metrics::counter!(metric::WRONG_LOGINS, "broker" => broker, "often" => label).increment(1);
    }

    /// Whether this sender has tried more often within a minute than is allowed.
    fn count(&self, sender: &Sender, now: Instant) -> bool {
        let mut book = self.book.lock().unwrap_or_else(PoisonError::into_inner);
        let tries = book.tries(sender.clone(), now, self.most_in_half);
        tries.count += 1;
        let often = tries.count > self.tries;
        let is_told = |at| now.saturating_duration_since(at) < WINDOW;
        if often && !book.told_at.is_some_and(is_told) {
            book.told_at = Some(now);
            // What somebody writes as a user name may be a password.
            let from = match sender {
                Sender::Address(address) => address.to_string(),
                Sender::User(_) => "one user name".to_owned(),
            };
            tracing::warn!(
                from,
                "somebody tries wrong logins at a broker, again and again"
            );
        }
        often
    }
}

fn sender(peer: Option<&str>, username: &str) -> Sender {
    let address = peer.and_then(|peer| peer.parse().ok());
    address.map_or_else(
        || Sender::User(username.chars().take(USER_CHARACTERS).collect()),
        |address| Sender::Address(domain::sender(address)),
    )
}

impl Book {
    fn tries(&mut self, sender: Sender, now: Instant, most: usize) -> &mut Tries {
        let is_new = !self.young.contains_key(&sender);
        let is_over = |since| now.saturating_duration_since(since) >= WINDOW;
        if self.since.is_none_or(is_over) || (is_new && self.young.len() >= most) {
            self.old = mem::take(&mut self.young);
            self.since = Some(now);
        }
        let none = Tries {
            since: now,
            count: 0,
        };
        let before = self.old.remove(&sender);
        let tries = self
            .young
            .entry(sender)
            .or_insert_with(|| before.unwrap_or(none));
        if is_over(tries.since) {
            *tries = none;
        }
        tries
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn logins(max_wrong_senders: usize) -> WrongLogins {
        WrongLogins::new(&Auth {
            wrong_tries: 3,
            max_wrong_senders,
            ..Auth::default()
        })
    }

    #[test]
    fn who_tries_often_is_told_from_others_until_his_minute_is_over() {
        let (logins, begin) = (logins(100), Instant::now());
        let often = |peer, user, seconds| {
            let now = begin + Duration::from_secs(seconds);
            logins.count(&sender(peer, user), now)
        };
        let tries: Vec<_> = (0..5).map(|n| often(Some("192.0.2.1"), "a", n)).collect();
        assert_eq!(tries, [false, false, false, true, true]);
        assert!(often(Some("::ffff:192.0.2.1"), "b", 6), "it is the address");
        assert!(!often(Some("192.0.2.2"), "a", 6), "another address");
        assert!(!often(None, "a", 6), "the name is not counted with it");
        assert!(!often(Some("no address"), "b", 6), "another name");
        assert!(!often(Some("192.0.2.1"), "a", 61), "his minute is over");
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let (logins, now) = (logins(10), Instant::now());
        for n in 0..1_000 {
            logins.count(&sender(None, &format!("{n}{}", "x".repeat(9_999))), now);
        }
        let book = logins.book.lock().unwrap();
        let remembered = book.young.len() + book.old.len();
        assert!(remembered <= 10, "{remembered} are remembered");
        let short = |sender: &Sender| matches!(sender, Sender::User(text) if text.len() <= 64);
        assert!(book.young.keys().all(short));
    }
}
