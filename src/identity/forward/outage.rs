//! Sparing callers the wait while the back end does not answer.
//!
//! After several checks in a row without an answer, nobody is asked for a moment; then one check at a time tries again. One answer ends it. A single credential on which the
//! back end fails does not begin it while others are answered.

use std::{
    sync::atomic::{AtomicI64, AtomicU32, Ordering},
    time::Duration,
};

use crate::domain::Micros;

/// So many checks without an answer are an outage.
const FAILURES: u32 = 8;

/// For so long nobody is asked then.
const PAUSE: Duration = Duration::from_secs(1);

/// Whether the back end answers.
pub(super) struct Outage {
    failures: AtomicU32,
    /// When the next one may try; 0 = everybody may.
    next_try: AtomicI64,
    patience: Duration,
}

impl Outage {
    pub(super) const fn new(patience: Duration) -> Self {
        Self {
            failures: AtomicU32::new(0),
            next_try: AtomicI64::new(0),
            patience,
        }
    }

    /// Whether a check may begin. In an outage that is a try, and the next one has to wait for its end.
    pub(super) fn lets_through(&self, now: Micros) -> bool {
        let next = self.next_try.load(Ordering::Relaxed);
        if next == 0 {
            return true;
        }
        let after = now.plus(self.patience).plus(PAUSE).get();
        now.get() >= next
            && self
                .next_try
                .compare_exchange(next, after, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
    }

    pub(super) fn ends(&self) {
        self.failures.store(0, Ordering::Relaxed);
        self.next_try.store(0, Ordering::Relaxed);
    }

    pub(super) fn goes_on(&self, now: Micros) {
        let failures = self
            .failures
            .fetch_add(1, Ordering::Relaxed)
            .saturating_add(1);
        if failures >= FAILURES {
            self.next_try
                .store(now.plus(PAUSE).get(), Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_at_a_time_tries_again() {
        let outage = Outage::new(Duration::from_secs(2));
        let at = |millis: i64| Micros::new(1_000 * (1_000_000 + millis));
        for _ in 0..FAILURES {
            assert!(outage.lets_through(at(0)));
            outage.goes_on(at(0));
        }
        assert!(!outage.lets_through(at(999)));
        assert!(outage.lets_through(at(1_000)));
        assert!(!outage.lets_through(at(1_001)));
        outage.goes_on(at(1_500));
        assert!(!outage.lets_through(at(2_499)));
        assert!(outage.lets_through(at(2_500)));
        outage.ends();
        assert!(outage.lets_through(at(2_501)) && outage.lets_through(at(2_502)));
    }
}
