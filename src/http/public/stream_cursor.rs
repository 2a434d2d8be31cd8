//! `Stream-Cursor`: a number that makes the addresses of waiting reads differ as time goes on, so that
//! no cache can answer them for ever (Durable Streams, section 10.1).
//!
//! Invariant: it never goes backward, and never stays what the client sent.

use crate::domain::Micros;

/// 2024-10-09T00:00:00Z in seconds since 1970: the begin of slot 0.
const FIRST_SLOT_S: i64 = 1_728_432_000;
const SLOT_S: i64 = 20;
/// The most that is added for a client that is already in the current slot.
pub(super) const MOST_EXTRA_S: u64 = 3_600;

/// The cursor for an answer at `now` to a client that `sent` one. `extra_s` is from 1 to
/// [`MOST_EXTRA_S`], at random.
pub(super) fn next(now: Micros, sent: Option<u64>, extra_s: u64) -> u64 {
    let current = (now.as_secs() - FIRST_SLOT_S).div_euclid(SLOT_S).max(0);
    let current = current.unsigned_abs();
    match sent.filter(|sent| *sent >= current) {
        Some(sent) => sent.saturating_add(extra_s.div_ceil(SLOT_S.unsigned_abs()).max(1)),
        None => current,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Micros {
        Micros::new(seconds * 1_000_000)
    }

    #[test]
    fn slots_are_counted_from_october_2024() {
        assert_eq!(next(at(FIRST_SLOT_S), None, 1), 0);
        assert_eq!(next(at(FIRST_SLOT_S + 19), None, 1), 0);
        assert_eq!(next(at(FIRST_SLOT_S + 20), None, 1), 1);
        assert_eq!(next(at(0), None, 1), 0, "a clock that is not set");
        let date = humantime::parse_rfc3339("2024-10-09T00:00:00Z").unwrap();
        assert_eq!(Micros::from(date), at(FIRST_SLOT_S));
    }

    #[test]
    fn it_passes_what_the_client_sent() {
        let now = at(FIRST_SLOT_S + 20 * 100);
        assert_eq!(next(now, Some(99), 3_600), 100);
        assert_eq!(next(now, Some(100), 1), 101);
        assert_eq!(next(now, Some(100), 20), 101);
        assert_eq!(next(now, Some(100), 21), 102);
        assert_eq!(next(now, Some(500), MOST_EXTRA_S), 680);
        assert_eq!(next(now, Some(u64::MAX), 1), u64::MAX);
    }
}
