//! Fewer publishes at once to a broker that did not answer in time.
//!
//! Invariant: a broker that needs longer than `mirror.ack_timeout_ms` for a full window is given smaller ones until it
//! answers, so that repeating what it did not answer never becomes all that happens; with its answers the window grows again, and
//! slowly from half of what it did not answer on, so that one that is always slow is seldom asked too much.

/// A bound on what is under way, beside the target's own.
#[derive(Debug)]
pub(in crate::mirror) struct Caution {
    limit: usize,
    /// From here on the limit grows by one with each round, below it with each answer.
    slow_from: usize,
    /// Answers since it grew last.
    answers: usize,
}

/// What is left of the window after a missed deadline.
const PART: usize = 4;
/// What of it may be asked for again soon.
const SOON: usize = 2;

impl Caution {
    /// No bound.
    pub(in crate::mirror) const fn none() -> Self {
        Self {
            limit: usize::MAX,
            slow_from: usize::MAX,
            answers: 0,
        }
    }

    /// The window that is left of `window`, never none.
    pub(in crate::mirror) fn within(&self, window: usize) -> usize {
        self.limit.min(window)
    }

    /// The broker did not answer in time to so many.
    pub(in crate::mirror) fn rise(&mut self, window: usize) {
        let asked = self.within(window);
        self.limit = (asked / PART).max(1);
        self.slow_from = (asked / SOON).max(1);
        self.answers = 0;
    }

    /// The broker has acknowledged something: as long as it does, each round may be twice as large as the last one, or larger
    /// by one.
    pub(in crate::mirror) fn ease(&mut self) {
        self.answers += 1;
        if self.limit < self.slow_from || self.answers >= self.limit {
            self.limit = self.limit.saturating_add(1);
            self.answers = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_comes_down_to_what_is_answered_and_up_again() {
        let mut caution = Caution::none();
        assert_eq!(caution.within(1_000), 1_000);
        for expected in [250, 62, 15, 3, 1, 1] {
            caution.rise(1_000);
            assert_eq!(caution.within(1_000), expected);
        }
        // Asked for one, it did not answer: one more with each round.
        for expected in [2, 3, 4, 5] {
            for _ in 0..caution.within(1_000) {
                caution.ease();
            }
            assert_eq!(caution.within(1_000), expected);
        }
    }

    #[test]
    fn it_grows_slowly_near_what_was_too_much() {
        let mut caution = Caution::none();
        caution.rise(1_000);
        let mut rounds = Vec::new();
        for _ in 0..5 {
            for _ in 0..caution.within(1_000) {
                caution.ease();
            }
            rounds.push(caution.within(1_000));
        }
        assert_eq!(rounds, [500, 501, 502, 503, 504]);
    }
}
