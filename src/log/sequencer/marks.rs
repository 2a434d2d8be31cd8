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
/// Looks that took less let the next span double, looks that took more halve it.
const QUICK: Duration = Duration::from_millis(20);
const SLOW: Duration = Duration::from_millis(100);

#[derive(Debug)]
pub(super) struct Marks {
    mark: Mark,
    span: i64,
    /// Up to here the present span goes; to the end of all ids when the walk is over.
    through: i64,
    walking: bool,
}

impl Marks {
    pub(super) const fn new() -> Self {
        Self {
            mark: Mark::NOTHING,
            span: SPAN,
            through: 0,
            walking: true,
        }
    }

    /// Begins anew.
    pub(super) const fn walk(&mut self) {
        *self = Self::new();
    }

    /// Begins anew with smaller spans: it may have been a look that took too long.
    pub(super) fn walk_carefully(&mut self) {
        let span = (self.span / 4).clamp(LEAST_SPAN, SPAN);
        *self = Self {
            span,
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
        if took < QUICK {
            self.span = self.span.saturating_mul(2);
        } else if took > SLOW {
            self.span = (self.span / 2).max(LEAST_SPAN);
        }
    }

    /// To the next span, or to the end of the walk.
    fn go_on(&mut self) {
        self.walking = self.through < i64::MAX;
        self.through = self.through.saturating_add(self.span);
        if !self.walking {
            *self = Self {
                mark: Mark {
                    id: i64::MAX,
                    ..self.mark
                },
                span: SPAN,
                through: i64::MAX,
                walking: false,
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
    fn spans_follow_what_looks_cost() {
        let mut marks = Marks::new();
        marks.found_nothing(up_to(0), Duration::ZERO);
        assert_eq!(through(&marks), 2 * SPAN);
        marks.found_nothing(up_to(2 * SPAN), Duration::from_millis(200));
        assert_eq!(through(&marks), 3 * SPAN);
        // A look was given up: what is known is forgotten, and the spans are smaller.
        marks.walk_carefully();
        assert_eq!((marks.mark, through(&marks)), (Mark::NOTHING, 0));
        marks.found_nothing(up_to(0), Duration::from_millis(50));
        assert_eq!(through(&marks), SPAN / 4);
        for _ in 0..20 {
            marks.walk_carefully();
        }
        marks.found_nothing(up_to(0), Duration::from_millis(50));
        assert_eq!(through(&marks), LEAST_SPAN);
    }

    #[test]
    fn a_span_is_left_when_all_of_it_is_numbered() {
        let mut marks = Marks::new();
        marks.found_nothing(up_to(0), Duration::from_millis(50));
        assert_eq!(through(&marks), SPAN);
        marks.numbered(Some(up_to(2_000)));
        assert_eq!(through(&marks), SPAN);
        marks.numbered(Some(up_to(SPAN)));
        assert_eq!(through(&marks), 2 * SPAN);
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
