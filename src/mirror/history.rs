//! What was acknowledged when, over the last moments: where to begin again after a broker lost
//! its state.
//!
//! The measure is when the broker acknowledged, not when the change was numbered: what a broker
//! took lately is what it may not have delivered, also while the mirror catches up with old changes.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use crate::domain::Cursor;

/// Samples of one lane's prefix. At most [`SAMPLES`] and one more are kept.
#[derive(Debug)]
pub struct History {
    span: Duration,
    samples: VecDeque<(Instant, Cursor)>,
}

/// How finely the span is divided.
const SAMPLES: u32 = 64;

impl History {
    /// A history over `span`, that begins with `prefix`.
    pub fn new(span: Duration, now: Instant, prefix: Cursor) -> Self {
        let samples = VecDeque::from([(now, prefix)]);
        Self { span, samples }
    }

    /// Takes a sample, if the last one is old enough and says another thing.
    pub fn note(&mut self, now: Instant, prefix: Cursor) {
        let last = self.samples.back();
        let soon = |(at, _): &(Instant, _)| now.duration_since(*at) < self.span / SAMPLES;
        if last.is_some_and(soon) {
            return;
        }
        self.samples.push_back((now, prefix));
        // The newest sample outside the span stays: it is where the span begins.
        while self
            .samples
            .get(1)
            .is_some_and(|(at, _)| now.duration_since(*at) >= self.span)
        {
            self.samples.pop_front();
        }
    }

    /// The prefix that was acknowledged one span before `moment`, or the oldest known.
    pub fn before(&self, moment: Instant) -> Option<Cursor> {
        let old = |(at, _): &&(Instant, Cursor)| moment.duration_since(*at) >= self.span;
        let sample = self.samples.iter().rev().find(old).or(self.samples.front());
        sample.map(|(_, prefix)| *prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Epoch, Position};

    #[test]
    fn it_knows_the_prefix_of_a_span_ago_and_stays_small() {
        let at = |position| Cursor::new(Epoch::FIRST, Position::new(position));
        let start = Instant::now();
        let mut history = History::new(Duration::from_secs(2), start, at(0));
        for tenth in 1..=100 {
            let now = start + Duration::from_millis(100) * tenth;
            history.note(now, at(u64::from(tenth)));
        }
        assert_eq!(
            history.before(start + Duration::from_secs(10)),
            Some(at(80))
        );
        assert!(history.samples.len() <= 22, "{}", history.samples.len());
        let young = History::new(Duration::from_secs(2), start, at(7));
        assert_eq!(young.before(start), Some(at(7)));
    }
}
