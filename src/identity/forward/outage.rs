//! Sparing callers the wait while the back end does not answer.
//!
//! After several checks in a row without an answer, nobody is asked for a moment; then one check at a time tries again. One answer ends it. Of credentials
//! that were never right, those of one address count as one check: a stranger who knows on which ones the back end fails is not believed that it fails for all. And it is
//! first tried again with a credential that was right before.
//!
//! Invariants: only checks that were made count; what a stranger sends delays no try with a credential that was right before.

use std::{
    net::IpAddr,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use super::Asker;
use crate::domain::{Micros, sender};

/// So many checks without an answer are an outage.
const FAILURES: usize = 8;

/// For so long nobody is asked then.
const PAUSE: Duration = Duration::from_secs(1);

/// Whether the back end answers.
pub(super) struct Outage {
    failing: Mutex<Failing>,
    patience: Duration,
}

/// What came of the last checks.
#[derive(Default)]
struct Failing {
    /// Checks in a row of credentials that were right before.
    proven: usize,
    /// Those whose other credentials got no answer meanwhile.
    strangers: Vec<IpAddr>,
    pause: Option<Pause>,
}

/// When the next try may be.
#[derive(Clone, Copy)]
struct Pause {
    /// With a credential that was right before.
    proven: Micros,
    /// With any.
    any: Micros,
}

impl Outage {
    pub(super) fn new(patience: Duration) -> Self {
        Self {
            failing: Mutex::default(),
            patience,
        }
    }

    fn failing(&self) -> MutexGuard<'_, Failing> {
        self.failing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a check may begin. In an outage that is a try, and the next one has to wait for its end.
    pub(super) fn lets_through(&self, asker: &Asker, now: Micros) -> bool {
        let mut failing = self.failing();
        let Some(pause) = &mut failing.pause else {
            return true;
        };
        let ended = now.plus(self.patience).plus(PAUSE);
        let next = if asker.is_proven {
            pause.proven
        } else {
            pause.any
        };
        if now < next {
            return false;
        }
        pause.any = ended.plus(PAUSE);
        if asker.is_proven {
            pause.proven = ended;
        }
        true
    }

    /// It has answered.
    pub(super) fn ends(&self) {
        *self.failing() = Failing::default();
    }

    /// It has not.
    pub(super) fn goes_on(&self, asker: &Asker, now: Micros) {
        let mut failing = self.failing();
        let from = sender(asker.from);
        if asker.is_proven {
            failing.proven = failing.proven.saturating_add(1);
        } else if failing.strangers.len() < FAILURES && !failing.strangers.contains(&from) {
            failing.strangers.push(from);
        }
        if failing.proven.saturating_add(failing.strangers.len()) < FAILURES {
            return;
        }
        let next = Pause {
            proven: now.plus(PAUSE),
            any: now.plus(PAUSE * 2),
        };
        let pause = failing.pause.get_or_insert(next);
        pause.any = next.any;
        if asker.is_proven {
            pause.proven = next.proven;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> Micros {
        Micros::new(1_000 * (1_000_000 + millis))
    }

    fn asker(is_proven: bool, last: u8) -> Asker {
        Asker {
            is_proven,
            from: [192, 0, 2, last].into(),
        }
    }

    #[test]
    fn one_at_a_time_tries_again() {
        let outage = Outage::new(Duration::from_secs(2));
        let known = asker(true, 1);
        for _ in 0..FAILURES {
            assert!(outage.lets_through(&known, at(0)));
            outage.goes_on(&known, at(0));
        }
        assert!(!outage.lets_through(&known, at(999)));
        assert!(outage.lets_through(&known, at(1_000)));
        assert!(!outage.lets_through(&known, at(1_001)));
        outage.goes_on(&known, at(1_500));
        assert!(!outage.lets_through(&known, at(2_499)));
        assert!(outage.lets_through(&known, at(2_500)));
        outage.ends();
        assert!(outage.lets_through(&known, at(2_501)) && outage.lets_through(&known, at(2_502)));
    }

    #[test]
    fn one_stranger_makes_no_outage() {
        let outage = Outage::new(Duration::from_secs(2));
        for _ in 0..100 {
            outage.goes_on(&asker(false, 1), at(0));
        }
        assert!(outage.lets_through(&asker(false, 1), at(0)));
        for last in 2..9 {
            outage.goes_on(&asker(false, last), at(0));
        }
        assert!(!outage.lets_through(&asker(false, 9), at(0)));
    }

    #[test]
    fn who_was_right_tries_first_and_no_stranger_delays_it() {
        let outage = Outage::new(Duration::from_secs(2));
        for last in 1..9 {
            outage.goes_on(&asker(false, last), at(0));
        }
        assert!(!outage.lets_through(&asker(false, 1), at(1_999)));
        assert!(outage.lets_through(&asker(false, 1), at(2_000)));
        assert!(
            outage.lets_through(&asker(true, 1), at(2_001)),
            "beside its try"
        );
        outage.goes_on(&asker(false, 1), at(2_500));
        outage.goes_on(&asker(true, 1), at(2_600));
        outage.goes_on(&asker(false, 1), at(3_599));
        assert!(outage.lets_through(&asker(true, 1), at(3_600)));
        assert!(!outage.lets_through(&asker(false, 1), at(5_598)));
    }
}
