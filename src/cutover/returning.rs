//! When a client that is sent back to polling is to come: each at a time of its own, by a hash.
//!
//! Invariants: the polls of those who were on push arrive evenly over the span; asked again, a client hears the same time; who is in
//! the cohort does not decide it.

use std::time::Duration;

use super::Ceiling;
use crate::domain::{Micros, ModuleName, hash};

/// A client's way back from push.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Return {
    began: Micros,
    over: Duration,
    /// Its place in the span, of 2^32; absent = it has no id, so that it could not be told from others.
    place: Option<u32>,
}

impl Return {
    pub(super) fn of(ceiling: Ceiling, module: &ModuleName, client_id: &str) -> Self {
        let place = || hash(&format!("return:{module}"), client_id);
        Self {
            began: ceiling.since,
            over: ceiling.return_over,
            place: (!client_id.is_empty()).then(place),
        }
    }

    /// How long it waits from now on, in milliseconds, beside the interval of polls; 0 once its time has come. `chance`
    /// is from 0 up to 1.
    pub fn wait_ms(&self, now: Micros, chance: impl FnOnce() -> f64) -> u64 {
        // A clock before the beginning makes nobody wait longer than the span.
        let passed = now.since(self.began);
        if passed >= self.over {
            return 0;
        }
        let place = self.place.map_or_else(
            || chance().clamp(0.0, 1.0),
            |place| f64::from(place) / 2.0_f64.powi(32),
        );
        let wait = self.over.mul_f64(place).saturating_sub(passed);
        u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use std::ops::Range;

    use super::*;
    use crate::{cutover::Cause, domain::bucket};

    const OVER: Duration = Duration::from_secs(30);
    const SEED: u64 = 0x9e37_79b9_7f4a_7c15;

    fn ceiling() -> Ceiling {
        Ceiling {
            cause: Cause::Panic,
            since: Micros::new(0),
            return_over: OVER,
        }
    }

    fn at(ms: i64) -> Micros {
        Micros::new(ms * 1_000)
    }

    /// Names without order, from a seed.
    fn clients(count: u64) -> impl Iterator<Item = String> {
        println!("seed {SEED}");
        let mixed = |n: u64| (n.wrapping_add(1)).wrapping_mul(SEED).rotate_left(29);
        (0..count).map(move |n| format!("terminal-{:016x}", mixed(n)))
    }

    #[track_caller]
    fn assert_even(waits: &[u64], expected: usize, within: Range<usize>) {
        let mut seconds = [0_usize; 30];
        for wait in waits {
            seconds[usize::try_from(wait / 1_000).unwrap()] += 1;
        }
        assert_eq!(waits.len(), expected);
        let odd: Vec<_> = seconds
            .iter()
            .filter(|count| !within.contains(count))
            .collect();
        assert!(odd.is_empty(), "{seconds:?}");
    }

    #[test]
    fn clients_come_back_evenly_over_the_span() {
        let module: ModuleName = "m1".parse().unwrap();
        let back =
            |id: String| Return::of(ceiling(), &module, &id).wait_ms(at(0), || panic!("drawn"));
        let waits: Vec<_> = clients(9_000).map(back).collect();
        // 300 a second are expected; 17 is the standard deviation.
        assert_even(&waits, 9_000, 215..385);
        // Those of a small cohort too, although a hash has chosen them.
        let chosen = |id: &String| bucket("m1", id) < 1_000;
        let waits: Vec<_> = clients(90_000).filter(chosen).map(back).collect();
        assert_even(&waits, waits.len(), 215..385);
    }

    #[test]
    fn a_client_keeps_its_time_and_then_waits_no_more() {
        let module: ModuleName = "m1".parse().unwrap();
        let back = Return::of(ceiling(), &module, "t");
        let wait = back.wait_ms(at(0), || panic!("drawn"));
        assert!((1..30_000).contains(&wait), "{wait}");
        assert_eq!(back.wait_ms(at(1), || panic!("drawn")), wait - 1);
        assert_eq!(
            back.wait_ms(at(wait.cast_signed() + 1), || panic!("drawn")),
            0
        );
        assert_eq!(
            back.wait_ms(at(-60_000), || panic!("drawn")),
            wait,
            "a clock that is late"
        );
        assert_eq!(back.wait_ms(at(30_000), || panic!("drawn")), 0);
    }

    #[test]
    fn who_has_no_id_draws() {
        let module: ModuleName = "m1".parse().unwrap();
        let back = Return::of(ceiling(), &module, "");
        assert_eq!(back.wait_ms(at(10_000), || 0.5), 5_000);
        assert_eq!(back.wait_ms(at(30_000), || panic!("drawn")), 0);
    }
}
