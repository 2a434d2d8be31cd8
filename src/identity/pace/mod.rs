//! How often one address, and one caller, may ask.
//!
//! Invariants: who asks too often delays nobody else; what is remembered is bounded, whoever asks; without a limit nothing is looked up.

mod kept;

use std::{
    hash::{BuildHasher, Hash},
    net::IpAddr,
    time::Instant,
};

use foldhash::quality::RandomState;

use self::kept::Kept;
use crate::{
    config::rate::{Allowance, Rate},
    domain::sender,
    telemetry::metric,
};

/// One asks too often.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many requests")]
pub struct TooSoon {
    /// When to come again.
    pub retry_after_s: u32,
}

/// The pace of everybody who asks.
#[derive(Debug)]
pub struct Pace {
    addresses: Option<Gate>,
    callers: Option<Gate>,
    began: Instant,
    hashes: RandomState,
}

/// One limit.
#[derive(Debug)]
pub(super) struct Gate {
    /// Microseconds between two requests in the long run.
    every_us: u64,
    /// How far ahead of that one may be.
    ahead_us: u64,
    kept: Kept,
}

impl Pace {
    /// As configured.
    pub fn new(rate: &Rate, now: Instant) -> Self {
        let gate = |allowance| Gate::new(allowance, rate.remembered);
        Self {
            addresses: gate(rate.per_address),
            callers: gate(rate.per_caller),
            began: now,
            hashes: RandomState::default(),
        }
    }

    /// Counts a request of an address.
    pub fn admit_address(
        &self,
        address: IpAddr,
        now: impl FnOnce() -> Instant,
    ) -> Result<(), TooSoon> {
        let Some(gate) = &self.addresses else {
            return Ok(());
        };
        self.admit(gate, "address", sender(address), now())
    }

    /// Counts a request of a caller, who is `id` in this realm.
    pub fn admit_caller(
        &self,
        realm: &str,
        id: &str,
        now: impl FnOnce() -> Instant,
    ) -> Result<(), TooSoon> {
        let Some(gate) = &self.callers else {
            return Ok(());
        };
        self.admit(gate, "caller", (realm, id), now())
    }

    fn admit(
        &self,
        gate: &Gate,
        of: &'static str,
        who: impl Hash,
        now: Instant,
    ) -> Result<(), TooSoon> {
        let now = now.saturating_duration_since(self.began).as_micros();
        let now_us = u64::try_from(now).unwrap_or(u64::MAX);
        let admitted = gate.admit(self.hashes.hash_one(who), now_us);
        if admitted.is_err() {
            metrics::counter!(metric::TOO_SOON, "of" => of).increment(1);
        }
        admitted
    }
}

impl Gate {
    /// None without a limit.
    fn new(allowance: Allowance, remembered: usize) -> Option<Self> {
        let every_us = 1_000_000_u64.checked_div(allowance.per_second.into())?;
        let burst = match allowance.burst {
            0 => allowance.per_second,
            burst => burst,
        };
        Some(Self {
            every_us,
            ahead_us: every_us * u64::from(burst - 1),
            kept: Kept::new(remembered, every_us * u64::from(burst)),
        })
    }

    /// So many within a minute, at once or evenly.
    pub(super) fn per_minute(times: u32, remembered: usize) -> Self {
        let times = u64::from(times.max(1));
        let every_us = 60_000_000 / times;
        Self {
            every_us,
            ahead_us: every_us * (times - 1),
            kept: Kept::new(remembered, every_us * times),
        }
    }

    /// GCRA: each has a moment at which its requests would have come at an even pace, and may be ahead of it only so far.
    pub(super) fn admit(&self, who: u64, now_us: u64) -> Result<(), TooSoon> {
        self.kept.update(who, now_us, |due_us| {
            let due_us = due_us.max(now_us);
            let ahead_us = due_us - now_us;
            match ahead_us.checked_sub(self.ahead_us) {
                None | Some(0) => Ok(due_us + self.every_us),
                Some(early_us) => Err(TooSoon {
                    retry_after_s: whole_seconds(early_us),
                }),
            }
        })
    }
}

fn whole_seconds(us: u64) -> u32 {
    u32::try_from(us.div_ceil(1_000_000)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn pace(per_second: u32, burst: u32, remembered: usize) -> (Pace, Instant) {
        let now = Instant::now();
        let allowance = Allowance { per_second, burst };
        let rate = Rate {
            per_address: allowance,
            per_caller: allowance,
            remembered,
        };
        (Pace::new(&rate, now), now)
    }

    fn address(n: u32) -> IpAddr {
        IpAddr::V4(n.into())
    }

    #[test]
    fn a_burst_and_then_an_even_pace() {
        let (pace, began) = pace(2, 5, 100);
        let at = |ms| pace.admit_address(address(1), || began + Duration::from_millis(ms));
        for _ in 0..5 {
            at(0).unwrap();
        }
        assert_eq!(at(0), Err(TooSoon { retry_after_s: 1 }));
        assert_eq!(at(499), Err(TooSoon { retry_after_s: 1 }));
        at(500).unwrap();
        at(500).unwrap_err();
        for _ in 0..5 {
            at(60_000).unwrap();
        }
        at(60_000).unwrap_err();
        pace.admit_address(address(2), || began).unwrap();
    }

    #[test]
    fn callers_of_two_realms_are_two() {
        let (pace, now) = pace(1, 1, 100);
        pace.admit_caller("a", "u1", || now).unwrap();
        pace.admit_caller("a", "u1", || now).unwrap_err();
        pace.admit_caller("b", "u1", || now).unwrap();
        pace.admit_caller("au", "1", || now).unwrap();
        pace.admit_caller("a", "u2", || now).unwrap();
    }

    #[test]
    fn a_slow_pace_says_how_long_to_wait() {
        let (pace, now) = pace(1, 10, 100);
        let mut refused = None;
        for _ in 0..11 {
            refused = pace.admit_address(address(1), || now).err();
        }
        assert_eq!(refused, Some(TooSoon { retry_after_s: 1 }));
    }

    #[test]
    fn what_is_remembered_is_bounded_and_the_newest_stay() {
        let (pace, now) = pace(1, 1, 1_000);
        for n in 0..100_000 {
            pace.admit_address(address(n), || now).unwrap();
        }
        let kept = pace.addresses.as_ref().unwrap().kept.len();
        assert!(kept <= 2_000 + 2 * 16, "{kept}");
        pace.admit_address(address(99_999), || now).unwrap_err();
    }

    #[test]
    fn without_a_limit_everything_goes_through() {
        let (pace, now) = pace(0, 0, 100);
        for _ in 0..1_000 {
            pace.admit_address(address(1), || now).unwrap();
            pace.admit_caller("a", "b", || now).unwrap();
        }
    }
}
