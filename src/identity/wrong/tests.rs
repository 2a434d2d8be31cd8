//! Who has to wait, for how long, and who has not.

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
