//! How long a broker may leave what is under way without an answer.
//!
//! Invariant: what counts is time without progress. A broker that answers late but goes on answering never misses the
//! deadline, and time in which this process did not run, or had no time to look, hardly counts.

use std::time::{Duration, Instant};

/// The wait of whatever has been under way longest.
#[derive(Debug)]
pub(in crate::mirror) struct Deadline {
    patience: Duration,
    /// The number of what was under way longest at the last look.
    front: Option<u64>,
    waited: Duration,
    looked_at: Instant,
}

/// A look counts for this part of the patience at most.
const LEAST_LOOKS: u32 = 4;

impl Deadline {
    /// Nothing is under way.
    pub(in crate::mirror) const fn new(patience: Duration, now: Instant) -> Self {
        Self {
            patience,
            front: None,
            waited: Duration::ZERO,
            looked_at: now,
        }
    }

    /// Looks at what has been under way longest. Returns whether that has been the same for too long; the wait then begins
    /// anew.
    pub(in crate::mirror) fn is_missed(&mut self, front: Option<u64>, now: Instant) -> bool {
        let since = now.duration_since(self.looked_at);
        self.looked_at = now;
        if front.is_none() || self.front != front {
            (self.front, self.waited) = (front, Duration::ZERO);
            return false;
        }
        self.waited += since.min(self.patience / LEAST_LOOKS);
        let missed = self.waited >= self.patience;
        if missed {
            self.front = None;
        }
        missed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(10);

    /// Looks each second, at what `front` says; returns in which second the deadline was missed.
    fn missed_after(seconds: u64, front: impl Fn(u64) -> Option<u64>) -> Option<u64> {
        let start = Instant::now();
        let mut deadline = Deadline::new(PATIENCE, start);
        (0..=seconds)
            .find(|&second| deadline.is_missed(front(second), start + Duration::from_secs(second)))
    }

    #[test]
    fn what_is_never_answered_misses_it() {
        assert_eq!(missed_after(60, |_| Some(7)), Some(10));
        assert_eq!(missed_after(60, |_| None), None);
    }

    #[test]
    fn a_slow_broker_that_goes_on_answering_does_not() {
        assert_eq!(missed_after(600, |second| Some(second / 9)), None);
    }

    #[test]
    fn others_that_are_answered_do_not_hide_the_one_that_is_not() {
        let front = |second| Some(if second < 20 { second } else { 20 });
        assert_eq!(missed_after(60, front), Some(30));
    }

    #[test]
    fn a_process_that_stood_still_blames_nobody() {
        let start = Instant::now();
        let mut deadline = Deadline::new(PATIENCE, start);
        assert!(!deadline.is_missed(Some(1), start));
        let woken = start + Duration::from_hours(1);
        assert!(!deadline.is_missed(Some(1), woken));
        assert!(!deadline.is_missed(Some(2), woken + Duration::from_secs(1)));
    }
}
