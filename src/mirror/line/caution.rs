//! Fewer publishes at once to a broker that did not answer in time.
//!
//! Invariant: a broker that needs longer than `mirror.ack_timeout_ms` for a full window is given smaller ones until it
//! answers, so that repeating what it did not answer never becomes all that happens; with its answers the window grows again.

/// A bound on what is under way, beside the target's own.
#[derive(Debug)]
pub(in crate::mirror) struct Caution {
    limit: usize,
}

/// What is left of the window after a missed deadline.
const PART: usize = 4;

impl Caution {
    /// No bound.
    pub(in crate::mirror) const fn none() -> Self {
        Self { limit: usize::MAX }
    }

    /// The window that is left of `window`, never none.
    pub(in crate::mirror) fn within(&self, window: usize) -> usize {
        self.limit.min(window)
    }

    /// The broker did not answer in time to so many.
    pub(in crate::mirror) fn rise(&mut self, window: usize) {
        self.limit = (self.within(window) / PART).max(1);
    }

    /// The broker has acknowledged something: as long as it does, each round may be twice as large as the last one.
    pub(in crate::mirror) fn ease(&mut self) {
        self.limit = self.limit.saturating_add(1);
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
        for expected in [2, 4, 8, 16, 32, 64, 128, 256, 512, 1_000] {
            for _ in 0..caution.within(1_000) {
                caution.ease();
            }
            assert_eq!(caution.within(1_000), expected);
        }
    }
}
