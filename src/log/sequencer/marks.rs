//! How far looks at the outbox have come, where the database tells rows by their transaction.
//!
//! When nothing is known the outbox is walked through in spans of ids, each of them one look, so that no look takes long, however many
//! dead rows there are. Rows are numbered by the way: what a span holds is complete up to its end. Afterwards the first new rows are found
//! by their transaction, and looks read on by id from the last of them.

use std::time::Duration;

use crate::store::{Beyond, Mark};

/// Ids of the first span of a walk. Ids grow for years: spans in which there is nothing double.
const SPAN: i64 = 1 << 20;
/// What a span shrinks to at most.
const LEAST_SPAN: i64 = 1 << 12;
/// Looks that took less than this above the quickest of the walk let the next span double, looks that took more halve it. What every
/// look takes, the way to the database first of all, says nothing of the rows.
const QUICK: Duration = Duration::from_millis(20);
const SLOW: Duration = Duration::from_millis(100);

#[derive(Debug)]
pub(super) struct Marks {
    mark: Mark,
    span: i64,
    /// Up to here the present span goes; to the end of all ids when the walk is over.
    through: i64,
    walking: bool,
    /// What the quickest look of the walk took. The first one has nothing to walk over.
    quickest: Duration,
    /// Where a look of an earlier walk was given up, and the span to go on with there.
    hard: Option<(i64, i64)>,
}

impl Marks {
    pub(super) const fn new() -> Self {
        Self {
            mark: Mark::NOTHING,
            span: SPAN,
            through: 0,
            walking: true,
            quickest: Duration::MAX,
            hard: None,
        }
    }

    /// Begins anew.
    pub(super) const fn walk(&mut self) {
        *self = Self::new();
    }

    /// Begins anew, with a smaller span where this walk was: it may have been a look that took too long.
    pub(super) fn walk_carefully(&mut self) {
        let looked = self.through.saturating_sub(self.mark.id.max(0));
        let here = (self.mark.id, (looked / 8).clamp(LEAST_SPAN, SPAN));
        let hard = if self.walking && self.through > 0 {
            Some(here)
        } else {
            self.hard
        };
        *self = Self {
            hard,
            ..Self::new()
        };
    }

    pub(super) const fn are_walking(&self) -> bool {
        self.walking
    }

    pub(super) const fn next_look(&self) -> Beyond {
        Beyond::Mark {
            mark: self.mark,
            through: self.through,
        }
    }

    pub(super) fn found_nothing(&mut self, mark: Mark, took: Duration) {
        self.mark = mark;
        if self.walking {
            self.resize(took);
            self.go_on();
        } else if took > QUICK {
            // Over the dead rows of modules that others number. New rows are found by their transaction then.
            self.mark.id = i64::MAX;
        }
    }

    pub(super) fn numbered(&mut self, mark: Option<Mark>) {
        let Some(mark) = mark else {
            self.walk();
            return;
        };
        self.mark = mark;
        if self.walking && mark.id >= self.through {
            self.go_on();
        }
    }

    fn resize(&mut self, took: Duration) {
        self.quickest = self.quickest.min(took);
        let rows = took.saturating_sub(self.quickest);
        if rows < QUICK {
            self.span = self.span.saturating_mul(2);
        } else if rows > SLOW {
            self.span = (self.span / 2).max(LEAST_SPAN);
        }
    }

    /// To the next span, or to the end of the walk.
    fn go_on(&mut self) {
        self.walking = self.through < i64::MAX;
        let from = self.through;
        if let Some((_, span)) = self.hard.take_if(|(at, _)| *at <= from) {
            self.span = span;
        }
        self.through = from.saturating_add(self.span);
        if let Some((at, _)) = self.hard {
            self.through = self.through.min(at);
        }
        if !self.walking {
            *self = Self {
                mark: Mark {
                    id: i64::MAX,
                    ..self.mark
                },
                span: SPAN,
                through: i64::MAX,
                walking: false,
                ..Self::new()
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn through(marks: &Marks) -> i64 {
        let Beyond::Mark { through, .. } = marks.next_look() else {
            panic!("marks begin every look");
        };
        through
    }

    const fn up_to(id: i64) -> Mark {
        Mark { id, transaction: 7 }
    }

    #[test]
    fn a_walk_through_nothing_is_short() {
        let mut marks = Marks::new();
        let mut looks = 0;
        while marks.are_walking() {
            let end = through(&marks);
            marks.found_nothing(up_to(end), Duration::ZERO);
            looks += 1;
        }
        assert!(looks < 50, "{looks}");
        assert_eq!(through(&marks), i64::MAX);
    }

    #[test]
    fn spans_follow_what_rows_cost() {
        let (near, far) = (Duration::from_millis(1), Duration::from_millis(300));
        for way in [near, far] {
            let mut marks = Marks::new();
            marks.found_nothing(up_to(0), way);
            assert_eq!(through(&marks), 2 * SPAN);
            marks.found_nothing(up_to(2 * SPAN), way + Duration::from_millis(200));
            assert_eq!(through(&marks), 3 * SPAN);
            marks.found_nothing(up_to(3 * SPAN), way + Duration::from_millis(50));
            assert_eq!(through(&marks), 4 * SPAN);
        }
    }

    /// Dead rows behind a long range without any: the walk comes there with a large span each time that it begins anew.
    #[test]
    fn where_a_look_was_given_up_the_next_walk_goes_slowly() {
        const DENSE: std::ops::Range<i64> = 1_000_000_000..1_020_000_000;
        /// As many dead rows as a look gets over.
        const MOST: i64 = 4_000_000;
        let mut marks = Marks::new();
        let (mut looks, mut given_up) = (0, 0);
        while marks.are_walking() {
            looks += 1;
            assert!(looks < 1_000, "the walk comes to no end");
            let (from, end) = (marks.mark.id, through(&marks));
            let dead = (end.min(DENSE.end) - from.max(DENSE.start)).max(0);
            if dead > MOST {
                given_up += 1;
                marks.walk_carefully();
            } else {
                let took = Duration::from_micros(dead.unsigned_abs() / 7);
                marks.found_nothing(up_to(end), took);
            }
        }
        println!("{looks} looks, {given_up} of them given up");
        assert!(given_up > 0);
    }

    #[test]
    fn a_span_is_left_when_all_of_it_is_numbered() {
        let mut marks = Marks::new();
        marks.found_nothing(up_to(0), Duration::ZERO);
        assert_eq!(through(&marks), 2 * SPAN);
        marks.numbered(Some(up_to(2_000)));
        assert_eq!(through(&marks), 2 * SPAN);
        marks.numbered(Some(up_to(2 * SPAN)));
        assert_eq!(through(&marks), 4 * SPAN);
        marks.numbered(None);
        assert_eq!((marks.mark, through(&marks)), (Mark::NOTHING, 0));
    }

    #[test]
    fn the_dead_rows_of_others_are_passed_by_when_they_cost() {
        let mut marks = Marks::new();
        while marks.are_walking() {
            let end = through(&marks);
            marks.found_nothing(up_to(end), Duration::ZERO);
        }
        marks.numbered(Some(up_to(9)));
        marks.found_nothing(up_to(9), Duration::from_millis(5));
        assert_eq!(marks.mark.id, 9);
        marks.found_nothing(up_to(9), Duration::from_millis(50));
        assert_eq!(marks.mark.id, i64::MAX);
    }
}
